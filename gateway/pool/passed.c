/* passed.c - counting, hashing (FNV-1a, 64 bits) and cutting. */
#include "gateway/pool/passed.h"

#include <stddef.h>

#define FNV_START 14695981039346656037U
#define FNV_PRIME 1099511628211U

static uint64_t hash_bytes(uint64_t hash, const void *data, size_t bytes) {
    const uint8_t *p = data;
    for (size_t i = 0; i < bytes; i++)
        hash = (hash ^ p[i]) * FNV_PRIME;
    return hash;
}

static void mark_init(struct passed_mark *m) {
    *m = (struct passed_mark){.text_hash = FNV_START, .ids_hash = FNV_START};
}

void passed_init(struct passed *p) {
    mark_init(&p->given);
    mark_init(&p->now);
}

void passed_again(struct passed *p) {
    mark_init(&p->now);
}

bool passed_whole(const struct passed *p) {
    return p->now.tokens == p->given.tokens && p->now.text_bytes == p->given.text_bytes;
}

static void mark_add(struct passed_mark *m, const struct quire_event *event, uint32_t tokens,
                     size_t bytes) {
    m->text_hash = hash_bytes(m->text_hash, event->text, bytes);
    m->text_bytes += bytes;
    m->tokens += tokens;
    for (uint32_t i = 0; i < tokens && event->tokens != NULL; i++)
        m->ids_hash =
            hash_bytes(m->ids_hash, &event->tokens[i].chosen.id, sizeof event->tokens[i].chosen.id);
}

static void skip(struct quire_event *event, uint32_t tokens, size_t bytes) {
    if (bytes > 0)
        event->text += bytes;
    event->text_bytes -= bytes;
    event->index += tokens;
    event->n_tokens -= tokens;
    if (event->tokens != NULL)
        event->tokens = event->n_tokens > 0 ? event->tokens + tokens : NULL;
}

int passed_cut(struct passed *p, struct quire_event *event) {
    uint64_t bytes = p->given.text_bytes - p->now.text_bytes;
    uint32_t tokens = p->given.tokens - p->now.tokens;
    if (bytes > event->text_bytes)
        bytes = event->text_bytes;
    if (tokens > event->n_tokens)
        tokens = event->n_tokens;
    mark_add(&p->now, event, tokens, (size_t)bytes);
    skip(event, tokens, (size_t)bytes);
    bool left = event->n_tokens > 0 || event->text_bytes > 0;
    if (!passed_whole(p))
        return left ? -1 : 0; /* text goes with its tokens: neither is ahead in the same answer */
    if (p->now.text_hash != p->given.text_hash || p->now.ids_hash != p->given.ids_hash)
        return -1;
    mark_add(&p->given, event, event->n_tokens, event->text_bytes);
    p->now = p->given;
    return left;
}
