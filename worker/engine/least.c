/* least.c - a tree of minima with sixteen children per node.
 *
 * Taking the least of sixteen neighbours needs no branch that could be guessed wrong, which makes
 * this a good deal quicker than a heap for the few hundred numbers of a window. */
#include "worker/engine/least.h"

#include <stdlib.h>

#include "common/bytes.h"
#include "common/error.h"

#define CHILDREN 16

static size_t padded(size_t count) {
    return (count + CHILDREN - 1) / CHILDREN * CHILDREN;
}

int least_reserve(struct least *l, size_t count) {
    size_t total = 0, bytes;
    for (size_t n = count; n > 1; n = padded(n) / CHILDREN) {
        total += padded(n);
    }
    total += CHILDREN;
    if (total > l->capacity) {
        if (!size_mul(total, 2 * sizeof *l->memory, &bytes)) {
            return ERR_NOMEM;
        }
        uint64_t *memory = malloc(bytes);
        if (memory == NULL) {
            return ERR_NOMEM;
        }
        free(l->memory);
        l->memory = memory;
        l->capacity = 2 * total;
    }
    l->level[0] = l->memory;
    return 0;
}

void least_clear(struct least *l) {
    free(l->memory);
    *l = (struct least){0};
}

static uint64_t lesser(uint64_t a, uint64_t b) {
    return a < b ? a : b;
}

static uint64_t least_of_group(const uint64_t *g) {
    uint64_t a = g[0], b = g[1], c = g[2], d = g[3];
    for (int i = 4; i < CHILDREN; i += 4) {
        a = lesser(a, g[i]);
        b = lesser(b, g[i + 1]);
        c = lesser(c, g[i + 2]);
        d = lesser(d, g[i + 3]);
    }
    return lesser(lesser(a, b), lesser(c, d));
}

void least_build(struct least *l, size_t count) {
    l->levels = 0;
    for (;;) {
        uint64_t *level = l->level[l->levels++];
        for (size_t i = count; i < padded(count); i++) {
            level[i] = LEAST_NONE;
        }
        if (count <= CHILDREN) {
            return;
        }
        uint64_t *above = level + padded(count);
        count = padded(count) / CHILDREN;
        for (size_t i = 0; i < count; i++) {
            above[i] = least_of_group(level + i * CHILDREN);
        }
        l->level[l->levels] = above;
    }
}

void least_update(struct least *l, size_t a, size_t b, size_t c) {
    for (int k = 0; k + 1 < l->levels; k++) {
        const uint64_t *below = l->level[k];
        uint64_t *level = l->level[k + 1];
        a /= CHILDREN;
        b /= CHILDREN;
        c /= CHILDREN;
        level[a] = least_of_group(below + a * CHILDREN);
        if (b != a) {
            level[b] = least_of_group(below + b * CHILDREN);
        }
        if (c != b) {
            level[c] = least_of_group(below + c * CHILDREN);
        }
    }
}

uint64_t least_get(const struct least *l) {
    return least_of_group(l->level[l->levels - 1]);
}
