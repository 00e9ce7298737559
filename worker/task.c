/* task.c - what one request needs.
 *
 * Pages for prompt and answer are taken together before the first position is computed: a request
 * that has begun can always go on, so none has to be thrown out again half way and no two can wait
 * for each other's pages.
 *
 * The end token is not part of an answer: it is neither counted nor told. */
#include "worker/task.h"

#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "common/clock.h"
#include "common/must.h"

void task_start(struct task *t, struct engine *g, struct job *job, scheduler_outcome *tell,
                void *arg) {
    MUST(t->state == TASK_FREE);
    memset(t, 0, sizeof *t);
    t->state = TASK_NEW;
    t->engine = g;
    t->job = job;
    t->tell = tell;
    t->arg = arg;
}

void task_clear(struct task *t) {
    if (t->sequence.pages != NULL)
        sequence_close(&t->sequence, t->engine->pages);
    prompt_clear(&t->prompt);
    features_close(&t->features);
    stream_close(&t->stream);
    free(t->picture_ends);
    free(t->history);
    memset(t, 0, sizeof *t);
}

void task_fail(struct task *t, int code, const char *text) {
    struct outcome o = {.kind = OUTCOME_ERROR};
    o.error.has_id = true;
    o.error.id = t->job->request->id;
    o.error.code = code;
    o.error.text = (struct bytes){(const uint8_t *)text, strlen(text)};
    t->tell(t->arg, t->job, &o);
    task_clear(t);
}

/* ---- before the first position ---- */

/* The request's messages in the engine's words; one block that the caller frees. */
static struct chat_message *chat_messages(const struct request *r) {
    size_t n_parts = 0;
    for (size_t i = 0; i < r->n_messages; i++)
        n_parts += r->messages[i].n_parts;
    size_t head = r->n_messages * sizeof(struct chat_message); /* both bounded by limits.h */
    struct chat_message *out = malloc(head + n_parts * sizeof(struct chat_part) + 1);
    if (out == NULL)
        return NULL;
    struct chat_part *part = (struct chat_part *)(void *)((char *)out + head);
    for (size_t i = 0; i < r->n_messages; i++) {
        const struct request_message *m = &r->messages[i];
        out[i] = (struct chat_message){(enum chat_role)m->role, part, m->n_parts};
        for (size_t j = 0; j < m->n_parts; j++)
            *part++ = (struct chat_part){m->parts[j].kind == PART_PICTURE, m->parts[j].text,
                                         m->parts[j].picture};
    }
    return out;
}
_Static_assert((int)ROLE_SYSTEM == CHAT_SYSTEM && (int)ROLE_USER == CHAT_USER &&
                   (int)ROLE_ASSISTANT == CHAT_ASSISTANT,
               "roles have the same numbers");
_Static_assert(sizeof(struct chat_message) % _Alignof(struct chat_part) == 0,
               "parts may follow messages in one block");

static int build_prompt(struct task *t, struct error *e) {
    const struct request *r = t->job->request;
    struct chat_message *messages = chat_messages(r);
    if (messages == NULL)
        return error_set(e, ERR_NOMEM, "no memory for %zu messages", r->n_messages);
    int rc = engine_prompt(t->engine, messages, r->n_messages, t->features.layouts,
                           t->features.count, &t->prompt, e);
    free(messages);
    return rc;
}

static int take_options(struct task *t, struct error *e) {
    const struct request *r = t->job->request;
    const struct sampling_options *o = &r->sampling;
    t->sampling = (struct sampler_options){
        .temperature = o->temperature,
        .top_k = o->top_k,
        .top_p = o->top_p,
        .min_p = o->min_p,
        .repeat_penalty = o->repeat_penalty,
        .presence_penalty = o->presence_penalty,
        .frequency_penalty = o->frequency_penalty,
        .repeat_last_n = o->repeat_last_n,
        .seed = o->seed,
    };
    if (!o->has_seed && getrandom(&t->sampling.seed, sizeof t->sampling.seed, 0) !=
                            (ssize_t)sizeof t->sampling.seed)
        return error_set(e, ERR_INTERNAL, "the system gave no random numbers for a seed");
    uint32_t room = t->engine->context - (uint32_t)t->prompt.count;
    t->max_tokens = r->max_tokens < room ? r->max_tokens : room;
    int rc = stream_open(&t->stream, r->stops, r->n_stops);
    if (rc == 0)
        rc = stream_reserve(&t->stream, t->engine->longest_token);
    if (rc < 0)
        return error_set(e, rc, "%s",
                         rc == ERR_LIMIT ? "too many stop strings, or too long ones"
                                         : "no memory for stop strings");
    return 0;
}

static int take_history(struct task *t, struct error *e) {
    t->history = malloc((t->prompt.count + t->max_tokens) * sizeof *t->history);
    t->picture_ends = calloc(t->features.count + 1, sizeof *t->picture_ends);
    if (t->history == NULL || t->picture_ends == NULL)
        return error_set(e, ERR_NOMEM, "no memory for a history of %zu tokens", t->prompt.count);
    for (size_t i = 0; i < t->prompt.count; i++) {
        const struct position_unit *unit = &t->prompt.units[i];
        if (unit->token >= 0)
            t->history[t->n_history++] = unit->token;
        else
            t->picture_ends[unit->picture] = (uint32_t)i + 1;
    }
    return 0;
}

int task_prepare(struct task *t, uint32_t max_pictures, struct error *e) {
    const struct request *r = t->job->request;
    if (r->n_pictures > max_pictures)
        return error_set(e, ERR_LIMIT, "the request has %u pictures; this worker takes %u",
                         r->n_pictures, max_pictures);
    int rc = features_open(&t->features, t->engine, t->job->pictures, r->n_pictures, e);
    if (rc == 0)
        rc = build_prompt(t, e);
    if (rc == 0)
        rc = take_options(t, e);
    if (rc == 0)
        rc = take_history(t, e);
    if (rc == 0)
        t->state = TASK_WAITING;
    return rc;
}

uint32_t task_pages(const struct task *t) {
    uint32_t positions = (uint32_t)t->prompt.count + t->max_tokens;
    return (positions + PAGE_POSITIONS - 1) / PAGE_POSITIONS;
}

int task_admit(struct task *t, int64_t now_us, struct error *e) {
    uint32_t positions = (uint32_t)t->prompt.count + t->max_tokens;
    int rc = sequence_open(&t->sequence, positions, e);
    if (rc < 0)
        return rc;
    rc = sequence_reserve(&t->sequence, t->engine->pages, positions);
    if (rc < 0)
        return error_set(e, rc, "no pages left for %u positions", positions);
    t->started_us = now_us;
    t->state = TASK_PREFILL;
    return 0;
}

/* ---- the prompt ---- */

uint32_t task_left(const struct task *t) {
    return (uint32_t)t->prompt.count - t->sequence.positions;
}

bool task_needs_picture(const struct task *t, uint32_t window, uint32_t *picture) {
    const struct position_unit *units = t->prompt.units + t->sequence.positions;
    for (uint32_t i = 0; i < window && i < task_left(t); i++) {
        if (units[i].token < 0 && !features_complete(&t->features, units[i].picture)) {
            *picture = units[i].picture;
            return true;
        }
    }
    return false;
}

int task_encode(struct task *t, uint32_t picture, bool *tile, struct error *e) {
    int64_t begin_us = clock_us();
    task_progress(t, STAGE_PICTURE, begin_us);
    int rc = features_work(&t->features, t->engine, picture, tile, e);
    int64_t end_us = clock_us();
    t->picture_us += end_us - begin_us;
    if (rc == 0)
        task_progress(t, STAGE_PICTURE, end_us);
    return rc;
}

void task_fill_rows(struct task *t, uint32_t n, struct step_row *rows) {
    MUST(n <= task_left(t));
    for (uint32_t i = 0; i < n; i++) {
        uint32_t position = t->sequence.positions + i;
        const struct position_unit *unit = &t->prompt.units[position];
        rows[i] = (struct step_row){
            .sequence = &t->sequence,
            .position = position,
            .token = unit->token,
            .embedding = unit->token >= 0
                             ? NULL
                             : features_row(&t->features, t->engine, unit->picture, unit->row),
            .want_logits = position + 1 == t->prompt.count,
        };
    }
}

void task_fill_decode_row(struct task *t, struct step_row *row) {
    *row = (struct step_row){
        .sequence = &t->sequence,
        .position = t->sequence.positions,
        .token = t->last_token,
        .embedding = NULL,
        .want_logits = true,
    };
}

void task_computed(struct task *t) {
    for (uint32_t i = 0; i < t->features.count; i++)
        if (t->picture_ends[i] > 0 && t->picture_ends[i] <= t->sequence.positions)
            features_drop(&t->features, i);
}

void task_progress(struct task *t, enum progress_stage stage, int64_t now_us) {
    bool begins = (t->told_stages & (1u << stage)) == 0;
    if (!begins && now_us - t->told_us < SCHEDULER_PROGRESS_US)
        return;
    t->told_us = now_us;
    t->told_stages |= 1u << stage;
    struct outcome o = {.kind = OUTCOME_PROGRESS};
    o.progress.id = t->job->request->id;
    o.progress.stage = stage;
    o.progress.done = stage == STAGE_PICTURE ? t->features.tiles_done : t->sequence.positions;
    o.progress.total = stage == STAGE_PICTURE ? t->features.tiles_total : (uint32_t)t->prompt.count;
    t->tell(t->arg, t->job, &o);
}

/* ---- the answer ---- */

static struct bytes piece_of(const struct task *t, int32_t id) {
    if (id >= tokenizer_size(t->engine->tokenizer)) /* a row of padding in the embedding table */
        return (struct bytes){NULL, 0};
    return tokenizer_piece(t->engine->tokenizer, id);
}

/* What logprobs tell of one token. */
struct told_token {
    struct token_entry entry;
    struct token_logprob others[LIMIT_LOGPROBS];
};

static void describe_token(const struct task *t, struct sampled drawn, const float *logits,
                           struct told_token *out) {
    struct sampled_alternative top[LIMIT_LOGPROBS];
    uint32_t n = t->job->request->logprobs;
    n = n < LIMIT_LOGPROBS ? n : LIMIT_LOGPROBS;
    sampler_top(t->engine->sampler, logits, (int32_t)n, top);
    for (uint32_t i = 0; i < n; i++)
        out->others[i] = (struct token_logprob){top[i].id, top[i].logprob, piece_of(t, top[i].id)};
    out->entry = (struct token_entry){
        .id = drawn.id,
        .self = {drawn.id, drawn.logprob, piece_of(t, drawn.id)},
        .others = out->others,
        .n_others = n,
    };
}

/* Tells the tokens that were not told yet, and the text that is ready. `told` is NULL, or about the
 * only such token. */
static void tell_tokens(struct task *t, const struct told_token *told) {
    struct bytes text = stream_ready(&t->stream);
    struct outcome o = {.kind = OUTCOME_TOKENS};
    o.tokens.id = t->job->request->id;
    o.tokens.index = t->n_sent;
    o.tokens.n_tokens = t->n_tokens - t->n_sent;
    o.tokens.text = text;
    o.tokens.entries = o.tokens.n_tokens > 0 && told != NULL ? &told->entry : NULL;
    if (o.tokens.n_tokens == 0 && text.size == 0)
        return;
    t->tell(t->arg, t->job, &o);
    t->n_sent = t->n_tokens;
    stream_take(&t->stream);
}

static uint64_t between(int64_t begin_us, int64_t end_us) {
    return end_us > begin_us ? (uint64_t)(end_us - begin_us) : 0;
}

static void finish(struct task *t, enum finish_reason reason, const struct told_token *told) {
    tell_tokens(t, told);
    const struct request *r = t->job->request;
    int64_t now_us = clock_us();
    struct outcome o = {.kind = OUTCOME_DONE};
    o.done.id = r->id;
    o.done.reason = reason;
    o.done.usage = (struct usage){
        .prompt_positions = (uint32_t)t->prompt.count,
        .reused_positions = 0, /* no page outlives its request yet */
        .answer_tokens = t->n_tokens,
        .pictures = r->n_pictures,
        .pictures_encoded = t->features.pictures_encoded,
        .tiles_encoded = t->features.tiles_done,
    };
    o.done.timings = (struct timings){
        .wait_us = between(t->job->arrived_us, t->started_us),
        .picture_us = (uint64_t)t->picture_us,
        .prefill_us = between(t->started_us + t->picture_us, t->first_us),
        .first_token_us = between(t->job->arrived_us, t->first_us),
        .decode_us = between(t->first_us, now_us),
        .total_us = between(t->job->arrived_us, now_us),
    };
    o.done.seed = t->sampling.seed;
    o.done.model =
        (struct bytes){(const uint8_t *)t->engine->text.name, strlen(t->engine->text.name)};
    t->tell(t->arg, t->job, &o);
    task_clear(t);
}

void task_answer(struct task *t, const float *logits) {
    struct sampled drawn = sampler_draw(t->engine->sampler, &t->sampling, logits, t->history,
                                        (int32_t)t->n_history, t->n_tokens);
    if (t->n_tokens == 0)
        t->first_us = clock_us();
    t->state = TASK_DECODE;
    t->last_token = drawn.id;
    bool end = tokenizer_ends(t->engine->tokenizer, drawn.id);
    struct told_token told;
    bool tells = !end && t->job->request->logprobs > 0;
    int rc = 0;
    if (!end) {
        t->history[t->n_history++] = drawn.id;
        t->n_tokens++;
        if (tells)
            describe_token(t, drawn, logits, &told);
        rc = stream_push(&t->stream, piece_of(t, drawn.id));
    }
    bool full = t->n_tokens == t->max_tokens;
    if (rc == 0 && (end || full))
        rc = stream_finish(&t->stream);
    if (rc < 0) {
        task_fail(t, rc, "no memory for the answer's text");
        return;
    }
    const struct told_token *entry = tells ? &told : NULL;
    if (t->stream.stopped)
        finish(t, FINISH_STOP, entry);
    else if (end)
        finish(t, FINISH_END, entry);
    else if (full)
        finish(t, FINISH_LENGTH, entry);
    else if (tells || stream_ready(&t->stream).size > 0 ||
             t->n_tokens - t->n_sent == LIMIT_TOKENS_PER_MESSAGE)
        tell_tokens(t, entry);
}
