/* prompts.c - a small table without order; what is left of each goes down by itself meanwhile. */
#include "broker/prompts.h"

#include "common/must.h"

#define SILENT_SHARE 7 / 8 /* of the work told, that may be done meanwhile without a word */
#define LOOK_PER_TILE 0.1  /* a look takes about so much of a run of the tower */

uint32_t prompts_add(struct prompts *p, const struct cost *c, int64_t now_us) {
    uint32_t slot = 0;
    while (slot < p->end && p->slots[slot].used)
        slot++;
    MUST(slot < PROMPTS_MAX);
    p->end = slot < p->end ? p->end : slot + 1;
    p->count++;
    p->slots[slot] = (struct prompt){
        .used = true,
        .stage = PROMPT_SENT,
        .pictures = c->encode_us > 0,
        .tile_us = c->tile_us,
        .chunk_us = c->chunk_us,
        .left_us = c->encode_us + c->prefill_us,
        .told_us = now_us,
    };
    return slot;
}

void prompts_remove(struct prompts *p, uint32_t slot) {
    MUST(slot < p->end && p->slots[slot].used);
    p->slots[slot].used = false;
    p->count--;
    while (p->end > 0 && !p->slots[p->end - 1].used)
        p->end--;
}

void prompts_tell(struct prompts *p, uint32_t slot, enum prompt_stage stage, int64_t left_us,
                  int64_t now_us) {
    MUST(slot < p->end && p->slots[slot].used);
    struct prompt *t = &p->slots[slot];
    t->stage = stage > t->stage ? stage : t->stage;
    if (left_us >= t->left_us)
        return;
    t->left_us = left_us;
    t->told_us = now_us;
}

/* The worker's time was shared by all who are there. */
static int64_t left_of(const struct prompts *p, const struct prompt *t, int64_t now_us) {
    int64_t most = t->left_us * SILENT_SHARE;
    int64_t done = now_us > t->told_us ? (now_us - t->told_us) / p->count : 0;
    return t->left_us - (done < most ? done : most);
}

int64_t prompts_left(const struct prompts *p, int64_t now_us) {
    int64_t sum = 0;
    for (uint32_t i = 0; i < p->end; i++)
        if (p->slots[i].used)
            sum += left_of(p, &p->slots[i], now_us);
    return sum;
}

/* Pieces of t before a prompt of so many has got all of its own. */
static double turns_of(const struct prompt *t, double pieces) {
    if (t->stage != PROMPT_SENT)
        return pieces - 0.5;
    return t->pictures ? pieces - 1 + LOOK_PER_TILE : pieces;
}

int64_t prompts_wait(const struct prompts *p, double pieces, int64_t now_us) {
    int64_t sum = 0;
    for (uint32_t i = 0; i < p->end; i++) {
        const struct prompt *t = &p->slots[i];
        if (!t->used)
            continue;
        bool chunks = t->stage == PROMPT_COMPUTES || !t->pictures;
        double us = turns_of(t, pieces) * (double)(chunks ? t->chunk_us : t->tile_us);
        int64_t left_us = left_of(p, t, now_us);
        sum += us < (double)left_us ? (int64_t)us : left_us;
    }
    return sum;
}
