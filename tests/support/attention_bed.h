/* attention_bed.h - attention with a team and pages of its own, for tests. */
#ifndef QUIRE_TESTS_SUPPORT_ATTENTION_BED_H
#define QUIRE_TESTS_SUPPORT_ATTENTION_BED_H

#include "tests/support/random_weight.h"
#include "worker/engine/attention.h"

#define BED_ROWS 600  /* of the largest step */
#define BED_PAGES 500 /* of the arena */
#define BED_LAYER 1   /* that is used, of two */

struct bed {
    struct pages_shape shape;
    int32_t group;
    struct team *team;
    struct pages *pages;
    struct attention *attention;
    struct random_source random;
};

/* shape.n_layer is set by it. */
void bed_open(struct bed *b, struct pages_shape shape, int32_t group, int threads);
void bed_close(struct bed *b);

/* Takes pages for n positions, in no order, and fills them with random keys and values; all else
 * in them is NaN, which must never get into a result. The caller owns the list. */
page_id *bed_fill(struct bed *b, uint32_t n);
void bed_poison(struct bed *b, page_id id); /* the whole page becomes NaN */
void bed_release(struct bed *b, page_id *ids, uint32_t n);

/* What the layout of kv.h says is there. */
double bed_key(const struct bed *b, page_id id, int32_t head, uint32_t position, int32_t d);
double bed_value(const struct bed *b, page_id id, int32_t head, uint32_t position, int32_t d);

#endif
