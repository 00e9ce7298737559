/* engine_run.c - open, encode, prefill, decode. */
#include "tests/support/engine_run.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int engine_run_open(struct engine_run *r, const char *model, const char *mmproj, struct error *e) {
    memset(r, 0, sizeof *r);
    /* The template does not matter, prompts are rendered; naming one accepts models of any. */
    struct engine_options o = {
        .model = model, .mmproj = mmproj, .chat_template = "smolvlm", .max_sequences = 1};
    return engine_open(&r->engine, &o, e);
}

static void forget_prompt(struct engine_run *r) {
    if (r->engine == NULL)
        return;
    features_close(&r->features);
    prompt_clear(&r->prompt);
    if (r->sequence.capacity)
        sequence_close(&r->sequence, r->engine->pages);
    memset(&r->sequence, 0, sizeof r->sequence);
    r->logits = NULL;
}

void engine_run_close(struct engine_run *r) {
    forget_prompt(r);
    engine_close(r->engine);
    memset(r, 0, sizeof *r);
}

static int encode_pictures(struct engine_run *r, struct error *e) {
    struct features_done done;
    int code = 0;
    for (uint32_t i = 0; i < r->features.count && code == 0; i++)
        while (code == 0 && !features_complete(&r->features, i))
            code = features_work(&r->features, i, 0, &done, e);
    return code;
}

static int build_prompt(struct engine_run *r, struct bytes text, struct error *e) {
    struct rendering rendering;
    struct bytes mark = {(const uint8_t *)ENGINE_RUN_MARK, strlen(ENGINE_RUN_MARK)};
    int code = rendering_from_marked(text, mark, &rendering, e);
    if (code)
        return code;
    code = prompt_build(&r->prompt, r->engine->tokenizer, r->engine->markers, &rendering,
                        r->features.layouts, r->features.count, r->engine->context, e);
    rendering_clear(&rendering);
    if (code == 0 && r->prompt.count == 0)
        code = error_set(e, ERR_BAD_REQUEST, "the prompt is empty");
    return code;
}

/* Makes room, then runs `n` units of the prompt from its unit `first` on. */
static int run_units(struct engine_run *r, size_t first, size_t n, struct error *e) {
    struct step_row rows[ENGINE_CHUNK];
    struct sequence *s = &r->sequence;
    if (sequence_reserve(s, r->engine->pages, s->positions + (uint32_t)n))
        return error_set(e, ERR_TOO_LONG, "the pages are full at position %u", s->positions);
    for (size_t i = 0; i < n; i++) {
        const struct position_unit *u = &r->prompt.units[first + i];
        rows[i] = (struct step_row){
            .sequence = s, .position = s->positions + (uint32_t)i, .token = u->token};
        if (u->token < 0)
            rows[i].embedding = features_row(&r->features, u->picture, u->row);
        rows[i].want_logits = first + i + 1 == r->prompt.count;
    }
    r->logits = decoder_step(r->engine->decoder, rows, (int32_t)n);
    return 0;
}

static int open_pictures(struct engine_run *r, const struct bytes *pictures, size_t n,
                         struct error *e) {
    struct shown *shown = calloc(n + 1, sizeof *shown);
    if (shown == NULL)
        return error_set(e, ERR_NOMEM, "no memory for %zu pictures", n);
    for (size_t i = 0; i < n; i++)
        shown[i].encoded = pictures[i];
    int code = features_open(&r->features, r->engine, (struct bytes){NULL, 0}, shown, n, e);
    free(shown);
    return code;
}

int engine_run_prompt(struct engine_run *r, struct bytes prompt, const struct bytes *pictures,
                      size_t n_pictures, struct error *e) {
    forget_prompt(r);
    int code = open_pictures(r, pictures, n_pictures, e);
    if (code == 0)
        code = encode_pictures(r, e);
    if (code == 0)
        code = build_prompt(r, prompt, e);
    if (code == 0)
        code = sequence_open(&r->sequence, r->engine->context, e);
    for (size_t at = 0; code == 0 && at < r->prompt.count; at += ENGINE_CHUNK) {
        size_t left = r->prompt.count - at;
        code = run_units(r, at, left < ENGINE_CHUNK ? left : ENGINE_CHUNK, e);
    }
    return code;
}

int engine_run_token(struct engine_run *r, int32_t token, struct error *e) {
    struct sequence *s = &r->sequence;
    if (s->positions >= r->engine->context ||
        sequence_reserve(s, r->engine->pages, s->positions + 1))
        return error_set(e, ERR_TOO_LONG, "the context is full at position %u", s->positions);
    struct step_row row = {
        .sequence = s, .position = s->positions, .token = token, .want_logits = true};
    r->logits = decoder_step(r->engine->decoder, &row, 1);
    return 0;
}

/* Whether a comes before b. */
static bool higher(const float *logits, int32_t a, int32_t b) {
    return logits[a] > logits[b] || (logits[a] >= logits[b] && a < b);
}

void engine_run_highest(const struct engine_run *r, int32_t n, int32_t *ids) {
    int32_t found = 0;
    for (int32_t id = 0; id < r->engine->text.n_vocab; id++) {
        int32_t at = found;
        while (at > 0 && higher(r->logits, id, ids[at - 1]))
            at--;
        if (at == n)
            continue;
        found += found < n;
        memmove(ids + at + 1, ids + at, (size_t)(found - at - 1) * sizeof *ids);
        ids[at] = id;
    }
}
