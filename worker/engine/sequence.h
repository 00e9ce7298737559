/* sequence.h - the pages of one sequence, in the order of their positions. */
#ifndef QUIRE_ENGINE_SEQUENCE_H
#define QUIRE_ENGINE_SEQUENCE_H

#include <stdint.h>

#include "common/error.h"
#include "worker/engine/pages.h"

struct sequence {
    page_id *pages; /* capacity entries, owned */
    uint32_t n_pages, capacity;
    uint32_t positions; /* keys and values that are valid */
};
/* Room for max_positions. ERR_NOMEM; s is closed then. */
int sequence_open(struct sequence *s, uint32_t max_positions, struct error *e);
/* Makes sure pages exist for `positions` in all; ERR_LIMIT when the arena has none left or there is
 * no room for so many positions (what was taken stays taken and counted). For sequences that are
 * no path of a tree (tree.h). */
int sequence_reserve(struct sequence *s, struct pages *p, uint32_t positions);
void sequence_close(struct sequence *s, struct pages *p); /* releases its pages */

#endif
