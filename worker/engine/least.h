/* least.h - the least of many numbers that change one by one. */
#ifndef QUIRE_ENGINE_LEAST_H
#define QUIRE_ENGINE_LEAST_H

#include <stddef.h>
#include <stdint.h>

#define LEAST_LEVELS 9 /* enough for 2^32 numbers */
#define LEAST_NONE UINT64_MAX

/* Zero it to begin with. Its memory stays until least_clear, so it may be filled again. */
struct least {
    uint64_t *level[LEAST_LEVELS]; /* [0] the numbers; [k + 1] the least of each 16 of [k] */
    int levels;
    uint64_t *memory;
    size_t capacity;
};

/* Makes room for `count` numbers. The caller writes level[0][0 .. count) and then calls
 * least_build. ERR_NOMEM. */
int least_reserve(struct least *l, size_t count);
void least_build(struct least *l, size_t count);
void least_clear(struct least *l);

/* To be called after level[0][a], [b] and [c] were changed, a <= b <= c. */
void least_update(struct least *l, size_t a, size_t b, size_t c);
/* The least number, LEAST_NONE if no other is left. */
uint64_t least_get(const struct least *l);

#endif
