/* event.h - what can happen to the broker, and what it may want done about it.
 *
 * Events carry what the core decides by and no frames; what they point to is borrowed for the call
 * of broker_step. Actions are complete by themselves, but for ACTION_PASS, which speaks of the
 * frame that the event came with. */
#ifndef QUIRE_BROKER_EVENT_H
#define QUIRE_BROKER_EVENT_H

#include "broker/names.h"
#include "proto/message.h"
#include "proto/segments.h"

/* A request's chain (proto/segments.h), borrowed for the call. One without segments is routed by
 * load alone. */
struct request_chain {
    uint8_t fingerprint[16]; /* that it was rooted in, as broker_fingerprint said */
    const struct segment *segments;
    size_t n_segments;
};

enum event_type {
    EVENT_TICK, /* nothing happened; time passed */

    /* from the clients' socket; peer is the client */
    EVENT_REQUEST,
    EVENT_CANCEL,
    EVENT_CLIENT_GONE,  /* a message to it found no connection */
    EVENT_CLIENT_STUCK, /* a token for it found its pipe full */
    EVENT_DRAIN,        /* an operator wants a worker drained, or not any more */

    /* from the workers' socket; peer is the worker */
    EVENT_READY,
    EVENT_HEARTBEAT,
    EVENT_REPLY,
    EVENT_GOODBYE,
    EVENT_LINKS,       /* what a worker holds; or what the index knew when the broker started */
    EVENT_WORKER_GONE, /* a message to it found no connection */
    EVENT_UNSENT,      /* this WORK did not get out; comes before what else follows from that */

    EVENT_INVENTORY,   /* the index was lost: every worker is asked for all it holds */
    EVENT_BAD_MESSAGE, /* either socket */
    EVENT_SHUTDOWN,    /* take no more, end all */
};

struct event {
    enum event_type type;
    struct peer peer;
    union {
        struct {
            struct request_id id;
            uint32_t deadline_ms;
            struct bytes model;
            struct bytes tenant; /* for the log only: the chain's root has it in it */
            uint32_t pictures;
            struct request_chain chain;
            size_t held_bytes;     /* of the frames that the shell will keep */
            uint64_t content_hash; /* equal for requests that ask the same */
            uint64_t seed;         /* drawn for it; 0: it has its own */
            uint32_t priority;     /* enum priority */
            bool count_only;       /* its prompt is counted and not computed */
            bool extended;         /* struct needs */
        } request;
        struct {
            struct request_id id;
        } cancel;
        struct {
            struct bytes worker; /* its name */
            bool on;
            uint32_t serial;
        } drain;
        struct msg_ready ready;
        struct msg_heartbeat heartbeat;
        struct {
            struct msg_reply reply;  /* ids are believed only if they are as many as n_tokens */
            enum message_type inner; /* PROGRESS, TOKENS, DONE, ERROR; MSG_TYPES: not readable */
            struct request_id id;    /* the inner message's */
            struct msg_progress progress;
            uint32_t index, n_tokens; /* TOKENS */
            size_t text_bytes;        /* TOKENS */
            struct usage usage;       /* DONE */
            struct timings timings;   /* DONE: the worker's */
            int32_t code;             /* ERROR */
        } reply;
        struct msg_goodbye goodbye;
        struct {
            struct msg_links told;
            /* From the index, about an incarnation that need not have come back yet: its name and
             * what it served. peer is empty then. */
            bool recorded;
            struct bytes worker, model, template_id;
            uint8_t fingerprint[16];
        } links;
        struct {
            uint64_t ticket;
            uint32_t attempt;
        } unsent;
    };
};

enum action_type {
    ACTION_KEEP, /* keep the request's frames under ticket, before anything else is done */
    ACTION_DROP, /* ticket's frames are not needed any more */

    /* to peer on the clients' socket */
    ACTION_PASS,     /* the reply's second frame, untouched */
    ACTION_DONE,     /* the reply's second frame with queue_us, predicted_us, attempt put in; when
                        resumed, with first_token_us and total_us too */
    ACTION_ERROR,    /* terminal for id when has_id; not about a request otherwise */
    ACTION_PROGRESS, /* progress */
    ACTION_DRAIN_OK, /* the answer to EVENT_DRAIN: serial, on, worker */

    /* to peer on the workers' socket */
    ACTION_WORK, /* ticket, attempt, deadline_ms, seed, given, text_bytes, and the kept frames
                    (which stay kept) */
    ACTION_CANCEL_WORK,
    ACTION_DRAIN, /* on */
    ACTION_BEAT,  /* known */
    ACTION_WELCOME,
    ACTION_REFUSE,    /* ERROR without id: code, text */
    ACTION_INVENTORY, /* asks for LINKS about all that the worker holds */

    /* to the index, if there is one */
    ACTION_RECORD, /* the links of this EVENT_LINKS were believed: incarnation, worker */
    ACTION_VOID,   /* nothing of this incarnation is believed any more: incarnation, worker */

    ACTION_NOTE, /* a line for the log */
};

enum note {
    NOTE_WORKER_UP,
    NOTE_WORKER_BACK, /* the same incarnation, on a new connection */
    NOTE_WORKER_REPLACED,
    NOTE_WORKER_LOST,
    NOTE_WORKER_LEFT,
    NOTE_WORKER_DRAINING,
    NOTE_WORKER_DRAINED,
    NOTE_WORKER_UNDRAINED,
    NOTE_WORKER_REFUSED,
    NOTE_REQUEST_RESENT,
    NOTE_REQUEST_FAILED,
    NOTE_CONTENT_REFUSED,
    NOTE_CLIENT_CUT,
    NOTE_CLIENT_GONE,
    NOTE_SLEPT, /* the broker itself stood still */
    NOTES
};

#define ACTION_TEXT_BYTES 320

struct action {
    enum action_type type;
    struct peer peer;
    struct request_id id;
    bool has_id;
    uint64_t ticket;
    uint32_t attempt, deadline_ms, retry_ms, serial;
    uint64_t seed, text_bytes;       /* WORK: text_bytes of the answer are with the client */
    uint32_t given;                  /* WORK: so many tokens are; broker_replay has their ids */
    uint64_t queue_us, predicted_us; /* DONE */
    bool resumed;                    /* DONE: the answer is of several workers */
    uint64_t first_token_us, total_us;
    uint64_t incarnation; /* RECORD, VOID */
    struct msg_progress progress;
    bool on, known;
    int32_t code;
    enum note note;
    int64_t number; /* NOTE: milliseconds of silence, requests held, ... as the text says */
    struct label worker;
    char text[ACTION_TEXT_BYTES]; /* one sentence (ERROR, REFUSE) or facts (NOTE) */
};

#endif
