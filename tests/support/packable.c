/* packable.c - random weights in the places of a model. */
#include "tests/support/packable.h"

#include <stdlib.h>
#include <string.h>

#include "common/must.h"
#include "tests/support/random_weight.h"
#include "worker/engine/pack_plan.h"

#define EMBD 256
#define FF 768
#define VOCAB 2050 /* not a multiple of a tile */

void packable_open(struct packable *p, unsigned seed) {
    struct random_source r = {seed};
    memset(p, 0, sizeof *p);
    p->model.n_layer = PACKABLE_LAYERS;
    p->model.layers = p->layers;
    size_t n = 0;
    for (int i = 0; i < PACKABLE_LAYERS; i++) {
        struct text_layer *l = &p->layers[i];
        l->q = random_weight(&r, QUANT_Q8_0, EMBD, EMBD);
        l->k = random_weight(&r, QUANT_Q4_0, EMBD / 4, EMBD);
        l->v = random_weight(&r, QUANT_F16, EMBD / 4, EMBD);
        l->attn_out = random_weight(&r, QUANT_Q4_K, EMBD, EMBD);
        l->gate = random_weight(&r, QUANT_BF16, FF, EMBD);
        l->up = random_weight(&r, QUANT_Q5_1, FF, EMBD);
        l->down = random_weight(&r, QUANT_F32, EMBD, FF);
        struct weight *all[] = {&l->q, &l->k, &l->v, &l->attn_out, &l->gate, &l->up, &l->down};
        for (int k = 0; k < 7; k++)
            p->weights[n++] = all[k];
    }
    p->model.output = random_weight(&r, QUANT_F32, VOCAB, EMBD);
    p->weights[n] = &p->model.output;
}

void packable_close(struct packable *p) {
    for (int i = 0; i < PACKABLE_WEIGHTS; i++)
        free((void *)(uintptr_t)p->weights[i]->data);
}

bool packable_is_packed(const struct packable *p) {
    bool same = true;
    for (int i = 0; i < PACKABLE_WEIGHTS && same; i++) {
        const struct weight *w = p->weights[i];
        size_t bytes = pack_weight_bytes(w);
        uint8_t *tiles = aligned_alloc(TILE_ALIGN, bytes);
        MUST(tiles != NULL);
        pack_weight(w, tiles);
        same = w->tiles != NULL && memcmp(tiles, w->tiles, bytes) == 0;
        free(tiles);
    }
    return same;
}
