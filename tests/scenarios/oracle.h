/* oracle.h - what a worker should be able to reuse, found without any tree, digest or cache.
 *
 * Each request's positions are written down as a list of units, pictures being told apart by their
 * prepared pixels. What can be reused of a request is the longest run of leading units that it has
 * in common with anything a worker computed before. */
#ifndef QUIRE_TESTS_SCENARIOS_ORACLE_H
#define QUIRE_TESTS_SCENARIOS_ORACLE_H

#include <stddef.h>
#include <stdint.h>

#include "tests/scenarios/talk.h"
#include "tests/support/same_answer.h"

#define ORACLE_SHOWN 64 /* pictures in one request */

struct oracle_unit {
    int32_t token; /* -1: a row of a picture */
    uint32_t row;
    uint64_t picture[2]; /* hash of all that the model sees of it */
};

/* All positions of a request, and then of an answer. */
struct units {
    struct oracle_unit *list; /* owned */
    size_t count;
    size_t n_shown;
    uint64_t shown[ORACLE_SHOWN][2];
    uint32_t first[ORACLE_SHOWN],
        last[ORACLE_SHOWN]; /* positions of its embeddings: [first, last) */
};

struct engine;
struct oracle;

/* The files' tokenizer, template and tile sizes. Fails the test when they can't be opened. */
struct oracle *oracle_open(const char *model, const char *mmproj);
void oracle_close(struct oracle *o); /* NULL is fine */
const struct engine *oracle_engine(const struct oracle *o);

void oracle_units(struct oracle *o, const struct talk *t, struct units *out);
void units_clear(struct units *u); /* a zeroed one is fine */
/* Adds the positions of an answer that a worker has computed: without the last token when nothing
 * followed it. */
void units_add_answer(struct units *u, const struct answer *a);
size_t units_common(const struct units *a, const struct units *b);

#endif
