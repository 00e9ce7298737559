/* pool.h - a real broker and real workers in a temporary directory, for tests. */
#ifndef QUIRE_TESTS_SUPPORT_POOL_H
#define QUIRE_TESTS_SUPPORT_POOL_H

#include "client/quire.h"
#include "tests/support/process.h"
#include "tests/support/temp.h"

#define POOL_MAX_WORKERS 4

struct pool_options {
    int workers;
    const char *model, *mmproj; /* NULL: the random SmolVLM-shaped pair of tests/golden */
    const char *credits;        /* of each worker; NULL: its default */
    const char *broker_flags[8];
    const char *worker_flags[8]; /* of each worker; they win over what pool.c says */
};

struct pool {
    struct temp_dir dir;
    char clients[TEMP_PATH_BYTES + 32], workers_endpoint[TEMP_PATH_BYTES + 32];
    char log[TEMP_PATH_BYTES + 32]; /* standard error of all of them */
    struct pool_options options;
    struct process broker, workers[POOL_MAX_WORKERS];
    struct quire_client *client;
};

/* Starts everything, sets QUIRE_ENDPOINT, QUIRE_RUNTIME_DIR, QUIRE_PACKS and QUIRE_CONFIG, connects p->client and waits until all workers are up. A
 * pool that does not come up fails the test with the log printed. */
void pool_open(struct pool *p, struct pool_options options);
void pool_close(struct pool *p); /* kills all, removes the directory */

void pool_start_broker(struct pool *p);
void pool_start_worker(struct pool *p, int i); /* named w0, w1, ... */

/* Waits until the broker lists exactly n workers in state UP. */
void pool_wait_up(struct pool *p, size_t n);

/* What the broker says of worker w<i>; false when it does not list it. */
bool pool_worker(struct pool *p, int i, struct quire_worker *out);
struct quire_stats pool_stats(struct pool *p);

/* ---- requests ---- */

struct pool_answer {
    char text[16384];
    size_t size;
    uint32_t n_tokens;
    struct quire_event end; /* DONE or FAILED */
    bool began, ended;
};

/* A request with one user message; greedy. picture: a file of tests/golden/pictures, or NULL. */
struct quire_request *pool_question(const char *text, const char *picture, uint32_t max_tokens);

/* Takes events of `client` into answers[i] by ids[i] until *condition holds for all n (ended, or
 * began when only_begin), or the test fails after PROCESS_WAIT_MS. */
void pool_collect(struct quire_client *client, size_t n, uint8_t (*ids)[QUIRE_ID_BYTES],
                  struct pool_answer *answers, bool only_begin);

/* Sends and collects one. */
void pool_ask(struct pool *p, const struct quire_request *request, struct pool_answer *answer);

#endif
