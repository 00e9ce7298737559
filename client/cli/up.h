/* up.h - the children of `quire up`: planning, starting, watching, restarting, stopping.
 *
 * Decisions are made from exit codes and times only, so that they can be read in one place: a child
 * that says its settings or files are wrong (usage, data errors) will say so again, and ends the
 * pool; anything else is started again, later each time. */
#ifndef QUIRE_CLI_UP_H
#define QUIRE_CLI_UP_H

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/config.h"
#include "common/cpus.h"
#include "common/error.h"

#define UP_MAX_WORKERS 64
#define UP_MAX_CHILDREN (UP_MAX_WORKERS + 2) /* the broker, workers and the gateway */
#define UP_MAX_ARGUMENTS 40                  /* of one child */
#define UP_ENDPOINTS_BYTES 512               /* a list of endpoints for the broker */
#define UP_BACKOFF_MIN_MS 200                /* before the first restart */
#define UP_BACKOFF_MAX_MS 5000               /* before any later one */
#define UP_MAX_THREADS 256
#define UP_MAX_CREDITS 64 /* requests that a worker can hold */
#define UP_MAX_STEP_MS 60000
#define UP_HTTP "127.0.0.1:8080" /* where HTTP is served, unless somebody says otherwise */
#define UP_KV_SHARE 4 /* all workers' pages together take one part in so many of the memory */
#define UP_KV_MIN_BYTES (INT64_C(16) << 20)
#define UP_KV_MAX_BYTES (INT64_C(1) << 30) /* of one worker, unless --kv-memory says otherwise */
#define UP_STEADY_MS 10000 /* a child that lived this long starts over with the first pause */

struct child {
    char name[32];
    char *argv[UP_MAX_ARGUMENTS + 1];
    pid_t pid;     /* 0: not running */
    bool optional; /* the pool goes on without it where it can't run */
    int64_t started_ms, start_at_ms, backoff_ms;
};

/* What of the machine a worker gets, as texts for its flags. */
struct share {
    int threads;
    char threads_text[16];
    char cpus[CPUS_TEXT_BYTES]; /* "" when it is not pinned */
};

/* Settings, what follows from them (plan.c), and what runs (pool.c). */
struct up {
    int64_t workers, threads, credits, kv_bytes, feature_bytes, drain_seconds, context, index_links;
    int64_t max_step_ms;
    const char *cpus; /* where all workers together may compute */
    bool pin;
    struct share shares[UP_MAX_WORKERS];
    const char *model, *mmproj, *template, *log_level, *policy, *index, *secret;
    const char *kv_type, *packs; /* NULL: not set */
    const char *http, *keys;     /* http: NULL or "off" for no gateway */
    bool http_usual;             /* nobody chose that address */
    const char *clients_flag, *endpoint_flag;
    /* What the broker serves, and where the workers and we reach it. */
    char clients[UP_ENDPOINTS_BYTES], workers_endpoint[UP_ENDPOINTS_BYTES];
    char reach_clients[UP_ENDPOINTS_BYTES], reach_workers[UP_ENDPOINTS_BYTES];
    char bin_dir[1024], demo_text[1100], demo_mmproj[1100];
    char broker_path[1100], worker_path[1100], gateway_path[1100];
    char numbers[7][32];
    struct child children[UP_MAX_CHILDREN]; /* [0] is the broker, then workers, then the gateway */
    size_t n_children;
    int signals; /* a signalfd */
    sigset_t signals_before;
    bool announced;
};

#define UP_POOL_ITEMS 18
/* Defaults, and the flags that say how a pool is, whoever starts it: fills
 * items[0..UP_POOL_ITEMS-1]. */
void up_defaults(struct up *u);
void up_pool_items(struct up *u, struct config_item *items);

/* Finds programs, demo model and endpoints, and fills in u->children from the settings. */
int up_plan(struct up *u, struct error *e);

/* ---- a pool that runs (pool.c): open, tend until it is time, stop ---- */

/* Takes over the signals that end or concern a pool. ERR_IO. */
int up_open(struct up *u, struct error *e);

/* Reaps, starts what is due, and takes signals; *stop: somebody asked for the end. Returns 0, or
 * the exit code with which the pool has to end. */
int up_tend(struct up *u, bool *stop);
/* Waits for a signal, a child that is due, or at most longest_ms (-1: for ever). */
void up_wait(struct up *u, int longest_ms);

/* Asks the broker whether all our workers are there; sets u->announced when they are, and then
 * writes the model's name. */
bool up_ready(struct up *u, char *model, size_t capacity);

/* Stops all, workers first, and gives the signals back. */
void up_stop(struct up *u);

/* Starts c (fork and exec, in a process group of its own, to die with us). -1: errno says why. */
int child_start(struct child *c, int64_t now_ms);

/* Takes note that c ended with wait status `status`. True: it will be started again at
 * c->start_at_ms. False: starting it again would end the same way. */
bool child_ended(struct child *c, int status, int64_t now_ms);

/* c ended and is not to be started again. */
void child_rest(struct child *c);

#endif
