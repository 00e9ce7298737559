/* gather.h - asks the broker to explain requests that were answered, and puts them into the tree.
 *
 * The tree is a picture for people: under load most requests are not asked about. At most
 * GATHER_PER_TICK questions go to the observer between two snapshots, GATHER_QUEUE requests wait,
 * and what finds no place is dropped. */
#ifndef QUIRE_GATEWAY_GATHER_H
#define QUIRE_GATEWAY_GATHER_H

#include "gateway/figures/figures.h"
#include "gateway/pool/observer.h"
#include "gateway/views/tree.h"

#define GATHER_PER_TICK 8
#define GATHER_QUEUE 16

struct gather;
int gather_open(struct gather **out, struct observer *o, struct tree *t); /* ERR_NOMEM */
void gather_close(struct gather *g); /* no answer may come any more; NULL is fine */
void gather_add(struct gather *g, const struct record *r);
void gather_tick(struct gather *g); /* with each snapshot */

#endif
