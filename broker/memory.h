/* memory.h - what the broker remembers of the past: models it has seen, contents it refuses. */
#ifndef QUIRE_BROKER_MEMORY_H
#define QUIRE_BROKER_MEMORY_H

#include "broker/names.h"

#define MODELS_MAX 64   /* names remembered; the one seen longest ago is forgotten first */
#define REFUSALS_MAX 64 /* contents refused at a time; the oldest is let go first */

/* Models that any worker ever announced. What separates "wait, it may come back" from "never heard
 * of it". */
struct models {
    struct {
        struct label name;
        bool vision; /* some worker that served it had a vision tower */
        uint64_t seen;
    } entries[MODELS_MAX];
    size_t count;
    uint64_t clock;
};

void models_see(struct models *m, const struct label *name, bool vision);
bool models_know(const struct models *m, struct bytes name, bool *vision); /* vision may be NULL */

/* Writes the known names, ", " between them, into out; cut if longer, always NUL-terminated. */
void models_list(const struct models *m, char *out, size_t size);

/* Contents that ended two workers, refused until a time. */
struct refusals {
    struct {
        uint64_t content_hash;
        int64_t until_us;
    } entries[REFUSALS_MAX];
    size_t next; /* overwritten next */
};

void refusals_add(struct refusals *r, uint64_t content_hash, int64_t until_us);

/* For how long from now the content is refused; 0: it is not. */
int64_t refusals_left_us(const struct refusals *r, uint64_t content_hash, int64_t now_us);

#endif
