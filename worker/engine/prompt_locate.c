/* prompt_locate.c - at which position a place of the conversation is.
 *
 * It is found afterwards, by counting the bytes that tokens stand for: the tokens themselves never
 * depend on where somebody wants to know a position. */
#include "worker/engine/prompt.h"

#include <stdbool.h>

/* A walk over the tokens of one stretch: `position` is behind the first `bytes` bytes of what its
 * tokens stand for, which is `total` bytes in all. */
struct walk {
    const struct prompt_span *span;
    uint32_t position;
    size_t bytes, total;
};

/* Of text that was tokenized: control tokens stand for their own names there. */
static size_t token_bytes(const struct prompt *p, const struct tokenizer *t, uint32_t position) {
    int32_t token = p->units[position].token;
    size_t size = tokenizer_piece(t, token).size;
    return size > 0 ? size : tokenizer_text(t, token).size;
}

static void start_walk(struct walk *w, const struct prompt *p, const struct tokenizer *t,
                       const struct prompt_span *span) {
    *w = (struct walk){.span = span, .position = span->first};
    for (uint32_t i = span->first; i < span->last; i++) {
        w->total += token_bytes(p, t, i);
    }
}

/* Behind the first `offset` bytes of the span's part. */
static uint32_t locate_in(struct walk *w, const struct prompt *p, const struct tokenizer *t,
                          const struct prompt_span *span, size_t offset) {
    if (span->stretch_bytes == 0) {
        return span->last;
    }
    if (w->span == NULL || w->span->first != span->first) {
        start_walk(w, p, t, span);
    }
    size_t bytes = offset <= span->skipped ? 0 : offset - span->skipped;
    size_t wanted = span->before + (bytes < span->bytes ? bytes : span->bytes);
    while (w->position < span->last) {
        size_t next = w->bytes + token_bytes(p, t, w->position);
        if ((uint64_t)next * span->stretch_bytes > (uint64_t)wanted * w->total) {
            break;
        }
        w->bytes = next;
        w->position++;
    }
    return w->position;
}

static bool is_before(const struct prompt_span *s, const struct prompt_mark *m) {
    return s->message < m->message || (s->message == m->message && s->part < m->part);
}

void prompt_locate(const struct prompt *p, const struct tokenizer *t, struct prompt_mark *marks,
                   size_t n_marks) {
    struct walk walk = {0};
    uint32_t last = 0;
    size_t span = 0;
    for (size_t i = 0; i < n_marks; i++) {
        struct prompt_mark *m = &marks[i];
        while (span < p->n_spans && is_before(&p->spans[span], m)) {
            span++;
        }
        const struct prompt_span *s = &p->spans[span];
        if (span < p->n_spans && s->message == m->message && s->part == m->part) {
            uint32_t position = locate_in(&walk, p, t, s, m->offset);
            last = position > last ? position : last;
        }
        m->position = last;
    }
}
