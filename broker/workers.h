/* workers.h - the table of live workers. A worker that is lost or leaves is no longer in it. */
#ifndef QUIRE_BROKER_WORKERS_H
#define QUIRE_BROKER_WORKERS_H

#include "broker/names.h"
#include "broker/prompts.h"
#include "proto/message.h"

/* More credit than this is not believed: it bounds what one worker can pull out of the queue. */
#define WORKER_CREDITS_MAX PROMPTS_MAX

struct worker {
    bool used;
    struct peer peer;
    struct label name, model, template_id, tools;
    uint64_t incarnation;
    uint64_t replaced; /* the incarnation whose place it took; 0 = none */
    uint8_t fingerprint[16];
    uint32_t credits, in_flight; /* in_flight <= credits, always */
    uint32_t pages_total, context, pid;
    bool vision, resumes, extended;
    bool gone;               /* on its way out of the table in this very step */
    bool drain_asked;        /* by an operator */
    bool drain_self;         /* the worker says so itself */
    int64_t heard_us;        /* its last message */
    int64_t probed_us;       /* when it was last poked for being late */
    int64_t paused_until_us; /* it refused work or did not read; none is sent before */
    uint64_t chosen;         /* the router's count when it was last chosen */
    struct msg_heartbeat load;
    uint64_t done, failed;

    /* for the router */
    int holder;         /* its number in broker/affinity.h */
    struct rates rates; /* settled among workers alike */
    struct rates seen;  /* in what it did; until it tells its own */
    struct prompts prompts;
    uint32_t claims;    /* requests in the queue that wait for this worker */
    int64_t claim_us;   /* their prompt work */
    int64_t service_us; /* moving average from sending to the end; 0 = none seen */
};

struct workers {
    struct worker slots[LIMIT_WORKERS];
    int end;   /* no slot at or past it is used */
    int count; /* used slots */
};

/* NULL when all LIMIT_WORKERS slots are taken; else a zeroed one, marked used. */
struct worker *workers_add(struct workers *t);
void workers_remove(struct workers *t, struct worker *w);

struct worker *workers_find_peer(struct workers *t, const struct peer *peer);
struct worker *workers_find_name(struct workers *t, struct bytes name);

int workers_slot(const struct workers *t, const struct worker *w);

/* What a request needs of a worker. */
struct needs {
    struct bytes model; /* empty: any */
    bool pictures;
    bool extended;  /* only a worker that says so knows what the request asks */
    uint64_t avoid; /* an incarnation that gave the request back; taken only if no other will do */
    bool resumes;   /* it must go on with an answer, of which it is given the first tokens; then */
    uint32_t given, context; /*   so many, that a worker with this context at least */
    uint8_t fingerprint[16]; /*   and this fingerprint began */
};

bool worker_takes_new(const struct worker *w); /* not draining, whoever asked for that */
bool worker_fits(const struct worker *w, const struct needs *n); /* all but credit */
enum worker_state worker_state_of(const struct worker *w);

#endif
