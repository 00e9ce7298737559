/* names.h - how JSON and figures call what the client library has numbers for. */
#ifndef QUIRE_GATEWAY_NAMES_H
#define QUIRE_GATEWAY_NAMES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "client/quire.h"

const char *name_kind(bool picture);
const char *name_role(enum quire_role role);
const char *name_policy(enum quire_policy policy);
const char *name_index_state(enum quire_index_state state);
const char *name_worker_state(enum quire_worker_state state);
const char *name_request_state(enum quire_request_state state);

/* Writes 2 * n hex digits and a NUL. */
void name_hex(const uint8_t *bytes, size_t n, char *out);
/* Reads exactly 2 * n hex digits; false when that is not what text is. */
bool name_unhex(const char *text, uint8_t *bytes, size_t n);

#endif
