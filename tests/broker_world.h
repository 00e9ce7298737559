/* broker_world.h - the broker's core in a world of fake clients and workers, with a clock of its
 * own.
 *
 * Every action since the last world_forget is kept, in order, so that a test can say what must and
 * what must not have happened. */
#ifndef QUIRE_TESTS_BROKER_WORLD_H
#define QUIRE_TESTS_BROKER_WORLD_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "broker/core.h"

#define WORLD_WORKERS 8

struct world_worker {
    struct peer peer;
    char name[16];
    const char *model;
    uint64_t incarnation;
    uint32_t credits, pages_free;
    bool vision, beats; /* beats: sends heartbeats while time passes */
    bool draining;
};

struct world {
    struct broker *broker;
    struct broker_settings settings;
    int64_t now_us;
    struct world_worker workers[WORLD_WORKERS];
    struct action *log;
    size_t n_log, max_log;
};

/* Settings are the defaults; change w->settings between the two calls. */
void world_init(struct world *w);
void world_open(struct world *w);
void world_close(struct world *w);

void world_step(struct world *w, const struct event *ev);
void world_forget(struct world *w); /* the log */

/* Lets time pass: ticks when the core wants them, heartbeats of all workers that beat. */
void world_pass_ms(struct world *w, int64_t ms);

/* The first action of a type in the log; NULL. And how many there are. */
const struct action *world_find(const struct world *w, enum action_type type);
const struct action *world_last(const struct world *w, enum action_type type);
size_t world_count(const struct world *w, enum action_type type);
const struct action *world_note(const struct world *w, enum note note);

struct peer world_client(int i);
struct request_id world_id(uint32_t n);

/* Worker i (0..WORLD_WORKERS-1) says READY; it beats from now on. */
void world_ready(struct world *w, int i, const char *model, uint32_t credits);
void world_beat(struct world *w, int i);

/* A request of client c with id n. Returns its ticket, 0 when it was refused. */
uint64_t world_ask(struct world *w, int c, uint32_t n, const char *model);
/* The same with all that a request may have. */
uint64_t world_ask_event(struct world *w, const struct event *ev);
struct event world_request(int c, uint32_t n, const char *model);

void world_cancel(struct world *w, int c, uint32_t n);

/* Replies of worker i. */
void world_tokens(struct world *w, int i, uint64_t ticket, uint32_t attempt, uint32_t n,
                  uint32_t index, uint32_t n_tokens);
void world_done(struct world *w, int i, uint64_t ticket, uint32_t attempt, uint32_t n);
void world_fail(struct world *w, int i, uint64_t ticket, uint32_t attempt, uint32_t n, int code);
void world_progress(struct world *w, int i, uint64_t ticket, uint32_t attempt, uint32_t n);

/* Which worker the last WORK went to; -1: none was sent since world_forget. */
int world_worker_of(const struct world *w, const struct action *work);
int world_sent_to(const struct world *w);

struct pool_stats world_stats(struct world *w);

#endif
