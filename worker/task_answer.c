/* task_answer.c - drawing tokens, telling them, and the end.
 *
 * The end token is not part of an answer: it is neither counted nor told. */
#include <string.h>

#include "common/clock.h"
#include "worker/task.h"

#define DRAW_TRIES 1000 /* tokens drawn in vain for one of an answer, more than ever happen */

static struct bytes piece_of(const struct task *t, int32_t id) {
    if (id >=
        tokenizer_size(t->world->engine->tokenizer)) /* a row of padding in the embedding table */
        return (struct bytes){NULL, 0};
    return tokenizer_piece(t->world->engine->tokenizer, id);
}

bool task_leads(const struct task *t) {
    return t->job->request->messages[0].role != ROLE_RAW &&
           template_leads_answer(t->world->engine->template);
}

struct bytes task_shown(struct task *t, int32_t id) {
    struct bytes piece = piece_of(t, id);
    bool leads = !t->spoke && piece.size > 0 && piece.data[0] == ' ' && task_leads(t);
    t->spoke |= piece.size > 0;
    return leads ? (struct bytes){piece.data + 1, piece.size - 1} : piece;
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
    sampler_top(t->world->engine->sampler, logits, (int32_t)n, top);
    for (uint32_t i = 0; i < n; i++)
        out->others[i] = (struct token_logprob){top[i].id, top[i].logprob, piece_of(t, top[i].id)};
    out->entry = (struct token_entry){
        .id = drawn.id,
        .self = {drawn.id, drawn.logprob, piece_of(t, drawn.id)},
        .others = out->others,
        .n_others = n,
    };
}

/* The text that is ready, without what the client has of it. */
static struct bytes take_new(struct task *t) {
    struct bytes text = stream_ready(&t->stream);
    task_links_text(&t->links, text, t->path.known);
    size_t known = t->skip_bytes < text.size ? (size_t)t->skip_bytes : text.size;
    t->skip_bytes -= known;
    return (struct bytes){text.data + known, text.size - known};
}

/* Tells the tokens that were not told yet, and the text that is ready. `told` is NULL, or about the
 * only such token. */
static void tell_tokens(struct task *t, const struct told_token *told) {
    struct outcome o = {.kind = OUTCOME_TOKENS};
    uint32_t n = t->n_tokens - t->n_sent;
    o.ids = t->history + t->n_history - n;
    o.tokens.id = t->job->request->id;
    o.tokens.index = t->n_sent;
    o.tokens.n_tokens = n;
    o.tokens.text = take_new(t);
    o.tokens.entries = n > 0 && told != NULL ? &told->entry : NULL;
    if (n > 0 || o.tokens.text.size > 0)
        t->world->tell(t->world->arg, t->job, &o);
    t->n_sent = t->n_tokens;
    stream_take(&t->stream);
}

static uint64_t between(int64_t begin_us, int64_t end_us) {
    return end_us > begin_us ? (uint64_t)(end_us - begin_us) : 0;
}

/* The path's last page may be one that somebody else has, too; links go to the one that stays. */
static void tell_links(struct task *t) {
    struct tree *tree = t->world->tree;
    tree_settle(tree, &t->path);
    task_links_prompt(&t->links, tree, &t->path);
    task_links_answer(&t->links, t->path.known, tree, &t->path);
}

static struct usage usage_of(const struct task *t) {
    return (struct usage){
        .prompt_positions = (uint32_t)t->prompt.count,
        .reused_positions = (uint32_t)t->prompt.count - t->computed,
        .answer_tokens = t->n_tokens,
        .pictures = t->job->request->n_pictures,
        .pictures_encoded = t->features.pictures_encoded,
        .tiles_encoded = t->features.tiles_encoded,
        .picture_positions = t->picture_positions,
    };
}

static struct timings timings_of(const struct task *t, int64_t now_us) {
    int64_t arrived_us = t->job->arrived_us;
    return (struct timings){
        .wait_us = between(arrived_us + t->look_us, t->started_us),
        .picture_us = (uint64_t)(t->look_us + t->encode_us),
        .prefill_us = between(t->started_us + t->encode_us, t->first_us),
        .first_token_us = between(arrived_us, t->first_us),
        .decode_us = between(t->first_us, now_us),
        .total_us = between(arrived_us, now_us),
    };
}

static void finish(struct task *t, enum finish_reason reason, const struct told_token *told) {
    tell_tokens(t, told);
    tell_links(t);
    const char *model = t->world->engine->text.name;
    struct outcome o = {.kind = OUTCOME_DONE};
    o.done.id = t->job->request->id;
    o.done.reason = reason;
    o.done.stop = reason == FINISH_STOP ? t->stream.stop : -1;
    o.done.usage = usage_of(t);
    o.done.timings = timings_of(t, clock_us());
    o.done.seed = t->sampling.seed;
    o.done.model = (struct bytes){(const uint8_t *)model, strlen(model)};
    o.done.segment_ends = task_links_ends(&t->links);
    t->world->tell(t->world->arg, t->job, &o);
    task_clear(t);
}

void task_count(struct task *t) {
    const char *model = t->world->engine->text.name;
    struct outcome o = {.kind = OUTCOME_DONE};
    o.done.id = t->job->request->id;
    o.done.reason = FINISH_END;
    o.done.stop = -1;
    o.done.usage = (struct usage){
        .prompt_positions = (uint32_t)t->prompt.count,
        .pictures = t->job->request->n_pictures,
        .picture_positions = t->picture_positions,
    };
    o.done.timings.total_us = between(t->job->arrived_us, clock_us());
    o.done.model = (struct bytes){(const uint8_t *)model, strlen(model)};
    o.done.segment_ends = task_links_ends(&t->links);
    t->world->tell(t->world->arg, t->job, &o);
    task_clear(t);
}

/* Why an answer ends after its last token: one that fits a schema is whole then. */
static enum finish_reason last_reason(const struct task *t) {
    return t->constraint.schema != NULL ? FINISH_END : FINISH_LENGTH;
}

/* The client has the whole answer, and only its end was lost. */
static bool finish_replayed(struct task *t) {
    if (t->n_replayed == 0 || t->n_tokens > t->n_replayed ||
        (!t->stream.stopped && t->n_tokens < t->max_tokens && !task_constraint_complete(t)))
        return false;
    t->state = TASK_DECODE;
    finish(t, t->stream.stopped ? FINISH_STOP : last_reason(t), NULL);
    return true;
}

/* The next token, which the schema takes if there is one; false when it takes none, which can't be.
 */
static bool draw(struct task *t, const float *logits, struct sampled *out) {
    task_constraint_mask(t);
    for (int tries = 0; tries < DRAW_TRIES; tries++) {
        *out = sampler_draw(t->world->engine->sampler, &t->sampling, logits, t->history,
                            (int32_t)t->n_history, t->n_tokens);
        if (task_constraint_take(t, out->id))
            return true;
    }
    return false;
}

void task_answer(struct task *t, const float *logits) {
    if (t->first_us == 0)
        t->first_us = clock_us();
    if (finish_replayed(t))
        return;
    struct sampled drawn;
    if (!draw(t, logits, &drawn)) {
        task_fail(t, ERR_INTERNAL, "no token of the vocabulary goes on with what fits the schema");
        return;
    }
    t->state = TASK_DECODE;
    t->last_token = drawn.id;
    bool end = tokenizer_ends(t->world->engine->tokenizer, drawn.id);
    struct told_token told;
    bool tells = !end && t->job->request->logprobs > 0;
    int rc = 0;
    if (!end) {
        t->history[t->n_history++] = drawn.id;
        t->n_tokens++;
        if (tells)
            describe_token(t, drawn, logits, &told);
        rc = stream_push(&t->stream, task_shown(t, drawn.id));
    }
    bool full = t->n_tokens == t->max_tokens || task_constraint_complete(t);
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
        finish(t, last_reason(t), entry);
    else if (tells || stream_ready(&t->stream).size > 0 ||
             t->n_tokens - t->n_sent == LIMIT_TOKENS_PER_MESSAGE)
        tell_tokens(t, entry);
}
