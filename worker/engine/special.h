/* special.h - finding the tokens that stand in a text by their own names.
 *
 * The reference cuts a text at every special token in turn, the longest token first, at its
 * leftmost places first. This finds the same cuts in one pass over the text. */
#ifndef QUIRE_ENGINE_SPECIAL_H
#define QUIRE_ENGINE_SPECIAL_H

#include <stddef.h>
#include <stdint.h>

#include "common/bytes.h"
#include "common/error.h"
#include "worker/engine/vocabulary.h"

struct special_set;

/* v must outlive the set. ERR_NOMEM. */
int special_open(struct special_set **out, const struct vocabulary *v, struct error *e);
void special_close(struct special_set *s);

struct special_span {
    size_t start, end;
    int32_t id;
};
struct special_list {
    struct special_span *spans; /* in order, apart; the caller frees them */
    size_t count;
};

/* Bytes [start, end) of a text. */
struct special_range {
    size_t start, end;
};

/* Guarded tokens count only where they lie in one of `ranges` (in order, not touching each other);
 * all others count everywhere. ERR_NOMEM, ERR_LIMIT (4 GiB of text). */
int special_find(const struct special_set *s, struct bytes text, const struct special_range *ranges,
                 size_t n_ranges, struct special_list *out);

#endif
