/* stage.h - a pool on which conversations are held, every request of them twice.
 *
 * stage_ask sends a request warm, to a pool that has heard all that came before, and then cold: the
 * same request for a tenant whom nobody knows, and tenants share nothing (scenario 19 shows that).
 * The two answers must be equal to the bit, and what the worker says it reused and encoded must be exactly
 * what the oracle finds that this worker could. A scenario then only has to say what it is about.
 */
#ifndef QUIRE_TESTS_SCENARIOS_STAGE_H
#define QUIRE_TESTS_SCENARIOS_STAGE_H

#include <stdbool.h>
#include <stdint.h>

#include "tests/scenarios/gallery.h"
#include "tests/scenarios/oracle.h"
#include "tests/scenarios/talk.h"
#include "tests/support/pool.h"
#include "tests/support/same_answer.h"

enum stage_model {
    STAGE_MADE, /* random, of 4 layers; a strip of the gallery is 5 tiles, a square 17 */
    STAGE_DEMO, /* the demo model, which answers in sentences; every picture is 2 tiles */
};
struct stage_options {
    enum stage_model model;
    int workers; /* 0: what `main` was called with */
    const char *credits;
    const char *worker_flags[8], *broker_flags[8];
};

/* What came of the last stage_ask. */
struct asked {
    struct answer answer;
    struct units units; /* of the prompt and of the answer as computed */
    uint32_t positions; /* of the prompt */
    uint32_t reused, encoded;
    uint32_t ideal; /* that the best worker could have reused */
    uint8_t id[QUIRE_ID_BYTES];
};

struct held; /* what a worker has computed */

/* On a pool a worker is chosen by rates that were measured, so one that has to compute a little
 * more may be the earliest. At most one request in so many may stray like that. */
#define STAGE_STRAYS_SHARE 4

struct stage {
    struct pool pool;
    int workers;
    char model[TEMP_PATH_BYTES + 64], mmproj[TEMP_PATH_BYTES + 64];
    struct temp_dir dir;
    struct oracle *oracle;
    struct held *held;
    struct asked now;
    struct answer cold; /* the same, answered cold */
    bool evicts;        /* memory is short: less may be reused than the oracle finds */
    uint32_t n_tenants;
    uint32_t n_expected, n_strayed; /* calls of stage_expect, and where another worker was chosen */
};

/* What `main` was called with: how many workers a stage has. */
void stage_arguments(int argc, char **argv);
int stage_workers(void);

struct stage *stage_open(struct stage_options options);
void stage_close(struct stage *s);

/* Group fixtures: one stage for all tests of a program. */
int stage_setup_made(void **state);
int stage_setup_demo(void **state);
int stage_teardown(void **state);

/* An empty conversation of a tenant of its own. */
void stage_begin(struct stage *s, struct talk *t);

void stage_ask(struct stage *s, const struct talk *t);
/* The same, and the answer becomes the conversation's next message. */
void stage_go_on(struct stage *s, struct talk *t);
/* Warm only. */
void stage_ask_warm(struct stage *s, const struct talk *t);

/* n requests sent at once, answers[i] to talks[i]; each is then compared with its cold run, and
 * what was computed for them counts as held. */
void stage_ask_at_once(struct stage *s, const struct talk *talks, size_t n, struct answer *answers);

/* ---- of the last request ---- */

/* The best worker could reuse exactly so many positions, and then had to encode so many pictures;
 * the one that was chosen did, or the broker had foreseen no later first token from it. */
void stage_expect(struct stage *s, uint32_t reused, uint32_t encoded);

/* b(x): positions before the first embedding of the n-th shown picture. */
uint32_t stage_before(const struct stage *s, size_t n);
uint32_t stage_behind(const struct stage *s, size_t n); /* its last embedding */
/* Positions that two conversations have in common, from the start. */
uint32_t stage_common(struct stage *s, const struct talk *a, const struct talk *b);

/* What the broker says of a request that is not run; freed with free(). */
struct quire_explanation *stage_explain(struct stage *s, const struct talk *t);
const struct quire_explained_worker *stage_explained(const struct quire_explanation *x,
                                                     const char *worker);

/* Every worker may have computed this, the oracle does not know; for use with `evicts`. */
void stage_pretend(struct stage *s, const struct talk *t);
/* Everything a worker has computed is gone: it was started again. NULL: all of them. */
void stage_forget(struct stage *s, const char *worker);

#endif
