/* merge.h - joining neighbouring symbols, best pair first, until no rule joins any.
 *
 * The order is the one both kinds of tokenizer share: the pair of lowest rank, of equal ones the
 * leftmost. A symbol is known by the place of its first byte, and reaches to the next symbol. */
#ifndef QUIRE_ENGINE_MERGE_H
#define QUIRE_ENGINE_MERGE_H

#include <stddef.h>
#include <stdint.h>

#include "common/bytes.h"
#include "worker/engine/least.h"

#define MERGE_NONE UINT32_MAX
#define MERGE_MAX_BYTES (1u << 30) /* in one piece */

struct merge_symbol {
    uint32_t place, end; /* bytes of the piece */
    uint32_t value;      /* what the rules make of it */
};

struct merge_rules {
    const void *context;
    /* The symbol that begins at place before anything is joined; piece.size > place. */
    struct merge_symbol (*first)(const void *context, struct bytes piece, uint32_t place);
    /* The rank of joining a with b behind it, or MERGE_NONE. */
    uint32_t (*rank)(const void *context, struct bytes piece, const struct merge_symbol *a,
                     const struct merge_symbol *b);
    /* The value of what a join of that rank gives. */
    uint32_t (*value)(const void *context, uint32_t rank);
    size_t longest; /* no symbol that was joined has more bytes than this */
};

/* The symbols of a piece in order; a growing list. */
struct merge_list {
    struct merge_symbol *symbols;
    size_t count, capacity;
};

/* Memory for pieces, used again and again. Zero it to begin with. */
struct merger {
    struct merge_list list; /* the last result */
    struct merge_node *nodes;
    size_t capacity;
    struct least keys;
};
void merger_clear(struct merger *m);

/* Joins the symbols of piece; the result is in m->list. ERR_NOMEM, ERR_LIMIT (MERGE_MAX_BYTES). */
int merger_run(struct merger *m, struct bytes piece, const struct merge_rules *rules);

#endif
