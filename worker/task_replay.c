/* task_replay.c - an answer that another worker began, up to where the client has it.
 *
 * The tokens go the way they went there: into the history that penalties look at, through the
 * stream that holds back characters and stop strings, to the answer's links. What came out of the
 * stream on that way is with the client. TOKENS always brings all text that its tokens have made
 * ready, so after the same tokens the same text is held back here as there.
 *
 * Only at an answer's very end more can be with the client: what was held back is shown when no
 * token follows. Its DONE was lost then; the bytes are skipped when they come out here. */
#include "common/utf8.h"
#include "worker/task.h"

static int32_t id_at(const struct task *t, uint32_t i) {
    const uint8_t *p = t->job->replay.data + (size_t)i * TOKEN_ID_BYTES;
    return (int32_t)((uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 |
                     (uint32_t)p[3] << 24);
}

static int check_count(const struct task *t, uint32_t n, struct error *e) {
    uint32_t asked = t->job->request->max_tokens;
    if (n > asked)
        return error_set(e, ERR_BAD_MESSAGE, "replay of %u tokens; the answer has %u at most", n,
                         asked);
    if (n > t->max_tokens)
        return error_set(e, ERR_TOO_LONG,
                         "the client has %u tokens of the answer; after the prompt this worker has "
                         "room for %u",
                         n, t->max_tokens);
    return 0;
}

static int replay_token(struct task *t, int32_t id, struct error *e) {
    if (id < 0 || id >= t->world->engine->text.n_vocab)
        return error_set(e, ERR_BAD_MESSAGE, "replay: token %u is %d, which the model has not",
                         t->n_tokens, id);
    if (tokenizer_ends(t->world->engine->tokenizer, id))
        return error_set(e, ERR_BAD_MESSAGE, "replay: token %u is %d, which ends answers",
                         t->n_tokens, id);
    if (!task_constraint_take(t, id))
        return error_set(e, ERR_BAD_MESSAGE,
                         "replay: token %u is %d, with which the answer can't fit its schema",
                         t->n_tokens, id);
    if (t->stream.stopped)
        return error_set(e, ERR_BAD_MESSAGE, "replay: a stop string ended the answer after %u",
                         t->n_tokens);
    t->history[t->n_history++] = id;
    t->n_tokens++;
    int rc = stream_push(&t->stream, task_shown(t, id));
    if (rc == 0 && t->n_tokens == t->max_tokens)
        rc = stream_finish(&t->stream);
    return rc < 0 ? error_set(e, rc, "no memory for the answer's text") : 0;
}

/* Forgets the text that is ready; it is with the client. Its bytes are returned. */
static size_t pass_over(struct task *t) {
    struct bytes text = stream_ready(&t->stream);
    task_links_text(&t->links, text, (uint32_t)t->prompt.count + t->n_tokens - 1);
    stream_take(&t->stream);
    return text.size;
}

/* What may come out of the stream yet without another token. */
static size_t held_back(const struct task *t) {
    return t->stream.held + UTF8_REPAIRED_BYTES(t->stream.raw_size);
}

int task_replay(struct task *t, struct error *e) {
    uint32_t n = (uint32_t)(t->job->replay.size / TOKEN_ID_BYTES);
    uint64_t had = t->job->replay_bytes, said = 0;
    int rc = check_count(t, n, e);
    for (uint32_t i = 0; rc == 0 && i < n; i++) {
        rc = replay_token(t, id_at(t, i), e);
        said += rc == 0 ? pass_over(t) : 0;
    }
    if (rc < 0)
        return rc;
    if (said > had || had - said > held_back(t))
        return error_set(e, ERR_BAD_MESSAGE,
                         "replay: %u tokens make %llu bytes of text; the client has %llu", n,
                         (unsigned long long)said, (unsigned long long)had);
    t->skip_bytes = had - said;
    t->n_replayed = t->n_sent = n;
    t->n_units = (uint32_t)t->prompt.count + n;
    return 0;
}
