/* text_run.c - opens the chain of file, model, team, pages, decoder. */
#include "tests/support/text_run.h"

#include <stdio.h>

#include "common/must.h"

#define ARENA_BYTES ((size_t)64 << 20)

void text_run_open(struct text_run *r, const char *path, int threads) {
    struct error e = {0};
    int rc = gguf_open(&r->gguf, path, &e);
    if (rc == 0)
        rc = text_model_bind(&r->model, r->gguf, &e);
    if (rc == 0)
        rc = team_open(&r->team, threads, &e);
    if (rc == 0)
        rc = pack_open(&r->pack, &r->model, r->team, NULL, &e);
    struct pages_shape shape = {r->model.n_layer, r->model.n_head_kv, r->model.head_dim, KV_F16};
    if (rc == 0)
        rc = pages_open(&r->pages, shape, ARENA_BYTES, &e);
    if (rc == 0)
        rc = decoder_open(&r->decoder, &r->model, r->pages, r->team, TEXT_RUN_ROWS, TEXT_RUN_LOGITS,
                          &e);
    if (rc != 0)
        fprintf(stderr, "%s: %s\n", path, e.text);
    MUST(rc == 0);
}

void text_run_close(struct text_run *r) {
    decoder_close(r->decoder);
    pages_close(r->pages);
    pack_close(r->pack);
    team_close(r->team);
    text_model_release(&r->model);
    gguf_close(r->gguf);
}

void text_run_sequence(struct text_run *r, struct sequence *s) {
    MUST(sequence_open(s, (uint32_t)r->model.n_context, NULL) == 0);
}

const float *text_run_tokens(struct text_run *r, struct sequence *s, const int32_t *tokens,
                             int32_t n, int32_t chunk) {
    struct step_row rows[TEXT_RUN_ROWS];
    const float *logits = NULL;
    MUST(chunk >= 1 && chunk <= TEXT_RUN_ROWS);
    MUST(sequence_reserve(s, r->pages, s->positions + (uint32_t)n) == 0);
    for (int32_t from = 0; from < n; from += chunk) {
        int32_t count = n - from < chunk ? n - from : chunk;
        for (int32_t i = 0; i < count; i++)
            rows[i] = (struct step_row){.sequence = s,
                                        .position = s->positions + (uint32_t)i,
                                        .token = tokens[from + i],
                                        .want_logits = from + i == n - 1};
        logits = decoder_step(r->decoder, rows, count);
    }
    return logits;
}
