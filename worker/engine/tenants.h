/* tenants.h - tenants' names, each held once while somebody needs it. */
#ifndef QUIRE_ENGINE_TENANTS_H
#define QUIRE_ENGINE_TENANTS_H

#include <stdint.h>

#include "common/bytes.h"

#define TENANT_BYTES 64 /* the longest name */
#define TENANT_NONE UINT32_MAX

struct tenants;

/* Room for `capacity` different names at a time. NULL: no memory. Allocates nothing afterwards. */
struct tenants *tenants_open(uint32_t capacity);
void tenants_close(struct tenants *t); /* NULL is fine */

/* The slot of a name, at most TENANT_BYTES long and perhaps empty; below the capacity. */
uint32_t tenants_find(const struct tenants *t, struct bytes name); /* TENANT_NONE if not held */
/* The same with one reference; gives an unknown name a slot. TENANT_NONE when all slots are held.
 */
uint32_t tenants_take(struct tenants *t, struct bytes name);
void tenants_retain(struct tenants *t, uint32_t slot);
void tenants_release(struct tenants *t, uint32_t slot);

#endif
