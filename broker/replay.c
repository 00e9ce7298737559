/* replay.c - blocks of ids in lists, and a list of those that are free again. Blocks that were
 * never used are not touched, so memory that no answer has needed is only reserved. */
#include "broker/replay.h"

#include <stdlib.h>
#include <string.h>

#include "common/must.h"

#define BLOCK_BYTES ((size_t)REPLAY_BLOCK_TOKENS * TOKEN_ID_BYTES)
#define NONE UINT32_MAX

struct block {
    uint8_t ids[BLOCK_BYTES];
    uint32_t next;
};

struct replays {
    uint32_t free;   /* the first of those given back; NONE */
    uint32_t unused; /* from here on none was ever used */
    uint32_t n_free; /* of both kinds */
    struct block blocks[];
};

int replays_open(struct replays **out, uint32_t blocks) {
    MUST(blocks > 0 && blocks < NONE);
    *out = NULL;
    struct replays *t = malloc(sizeof *t + blocks * sizeof t->blocks[0]);
    if (!t)
        return ERR_NOMEM;
    t->free = NONE;
    t->unused = 0;
    t->n_free = blocks;
    *out = t;
    return 0;
}

void replays_close(struct replays *t) {
    free(t);
}

uint32_t replays_free(const struct replays *t) {
    return t->n_free;
}

static void take_block(struct replays *t, struct replay *r) {
    uint32_t block = t->free;
    if (block != NONE)
        t->free = t->blocks[block].next;
    else
        block = t->unused++;
    t->n_free--;
    t->blocks[block].next = NONE;
    if (r->count == 0)
        r->first = block;
    else
        t->blocks[r->last].next = block;
    r->last = block;
}

bool replays_add(struct replays *t, struct replay *r, struct bytes ids) {
    MUST(ids.size % TOKEN_ID_BYTES == 0);
    size_t left = ids.size / TOKEN_ID_BYTES;
    uint32_t used =
        r->count % REPLAY_BLOCK_TOKENS; /* of the last block; 0: there is none, or full */
    size_t room = used > 0 ? REPLAY_BLOCK_TOKENS - used : 0;
    if (left > room && (left - room - 1) / REPLAY_BLOCK_TOKENS + 1 > t->n_free)
        return false;
    for (const uint8_t *from = ids.data; left > 0;) {
        used = r->count % REPLAY_BLOCK_TOKENS;
        if (used == 0)
            take_block(t, r);
        size_t n = REPLAY_BLOCK_TOKENS - used < left ? REPLAY_BLOCK_TOKENS - used : left;
        memcpy(t->blocks[r->last].ids + (size_t)used * TOKEN_ID_BYTES, from, n * TOKEN_ID_BYTES);
        from += n * TOKEN_ID_BYTES;
        r->count += (uint32_t)n;
        left -= n;
    }
    return true;
}

void replays_drop(struct replays *t, struct replay *r) {
    if (r->count == 0)
        return;
    t->blocks[r->last].next = t->free;
    t->free = r->first;
    t->n_free += (r->count - 1) / REPLAY_BLOCK_TOKENS + 1;
    *r = (struct replay){0};
}

void replays_read(const struct replays *t, const struct replay *r, uint8_t *out) {
    uint32_t block = r->first;
    for (uint32_t at = 0; at < r->count; at += REPLAY_BLOCK_TOKENS) {
        uint32_t n = r->count - at < REPLAY_BLOCK_TOKENS ? r->count - at : REPLAY_BLOCK_TOKENS;
        memcpy(out + (size_t)at * TOKEN_ID_BYTES, t->blocks[block].ids, (size_t)n * TOKEN_ID_BYTES);
        block = t->blocks[block].next;
    }
}
