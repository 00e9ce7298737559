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
#define WORLD_LINKS 4096

struct world_worker {
    struct peer peer;
    char name[16];
    const char *model;
    uint64_t incarnation;
    uint32_t credits, pages_free;
    bool vision, beats; /* beats: sends heartbeats while time passes */
    bool draining;
    bool mute;                              /* neither tells ids nor resumes, like an older one */
    uint32_t context;                       /* world_init: 4096 */
    uint32_t position_us, step_us, tile_us; /* that its heartbeats tell; world_init: 1000, 0, 100000 */
};

/* A request's chain made of numbers: two chains share the links of the numbers they begin with, if
 * their tenants are equal too. A number from WORLD_PICTURE on is a picture, which has the same
 * embeddings wherever it stands; the others are WORLD_TEXT_BYTES of text. */
#define WORLD_SEGMENTS 300
#define WORLD_PICTURE 1000000
#define WORLD_TEXT_BYTES 400 /* 100 positions by the broker's first guess */
#define WORLD_POSITIONS 100  /* of each segment, as world_hold tells it */
struct world_chain {
    struct segment segments[WORLD_SEGMENTS];
    size_t n;
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

struct world_chain world_chain(const char *tenant, size_t n, const uint32_t *numbers);
/* A request with that chain, which is borrowed; its ticket. */
uint64_t world_ask_chain(struct world *w, int c, uint32_t n, const char *model,
                         const struct world_chain *chain);

/* Worker i tells that it holds, or not any more, the links of segments from..to-1. */
void world_hold(struct world *w, int i, const struct world_chain *chain, size_t from, size_t to);
void world_drop(struct world *w, int i, const struct world_chain *chain, size_t from, size_t to);
/* Worker i tells that it has the embeddings of the chain's pictures. */
void world_hold_pictures(struct world *w, int i, const struct world_chain *chain);
/* The index tells that an incarnation of worker i's name held them. */
void world_record(struct world *w, int i, uint64_t incarnation, const char *model,
                  const struct world_chain *chain, size_t from, size_t to);

/* What explain says of such a request now. Borrowed until the next step. */
struct explanation world_explain(struct world *w, const char *model,
                                 const struct world_chain *chain);
/* The worker that an explanation chose; -1. */
int world_chosen(const struct world *w, const struct explanation *e);
/* What it says of worker i; it must be there. */
const struct explained_worker *world_explained(const struct world *w, const struct explanation *e,
                                               int i);

void world_cancel(struct world *w, int c, uint32_t n);

/* Replies of worker i. */
/* TOKENS bring world_token_id(index) as the id of each token, and WORLD_TOKEN_TEXT bytes of text
 * for each. */
#define WORLD_TOKEN_TEXT 3
int32_t world_token_id(uint32_t index);
void world_put_ids(uint8_t *out, uint32_t index, uint32_t n); /* TOKEN_ID_BYTES each */
void world_tokens(struct world *w, int i, uint64_t ticket, uint32_t attempt, uint32_t n,
                  uint32_t index, uint32_t n_tokens);
void world_done(struct world *w, int i, uint64_t ticket, uint32_t attempt, uint32_t n);
void world_fail(struct world *w, int i, uint64_t ticket, uint32_t attempt, uint32_t n, int code);
void world_progress(struct world *w, int i, uint64_t ticket, uint32_t attempt, uint32_t n);

/* Fails unless the WORK brings the first n tokens, as world_tokens sent them. */
void world_check_replay(const struct world *w, const struct action *work, uint32_t n);

/* Which worker the last WORK went to; -1: none was sent since world_forget. */
int world_worker_of(const struct world *w, const struct action *work);
int world_sent_to(const struct world *w);

struct pool_stats world_stats(struct world *w);

#endif
