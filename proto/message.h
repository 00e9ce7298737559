/* message.h - the messages of proto/SPEC.md as structs, and their encoding.
 *
 * A message is a ZeroMQ multipart message. Its first frame is a msgpack map with string keys; every
 * map holds "v" (protocol version) and "t" (type name). Unknown keys are skipped; a missing key has
 * the default that SPEC.md gives or is refused. Decoding is a cursor over the frame: each declared
 * length is checked against what is left and against limits.h before it is believed, and a decoded
 * struct borrows text from the frame, which must outlive it.
 *
 * Frames by direction (a bare name is the msgpack map):
 *     client -> broker   HELLO | REQUEST, picture... | CANCEL | OPS | OPS, REQUEST, picture...
 *     broker -> client   WELCOME | PROGRESS | TOKENS | DONE | ERROR | OPS_REPLY
 *     broker -> worker   WELCOME | WORK, REQUEST, picture... | CANCEL_WORK | DRAIN | BEAT | ERROR |
 *                        INVENTORY
 *     worker -> broker   READY | HEARTBEAT | GOODBYE | LINKS |
 *                        REPLY, (PROGRESS | TOKENS | DONE | ERROR)
 * REPLY carries the broker's own (ticket, attempt), so that the broker can drop what belongs to an
 * attempt it gave up and pass the second frame on to the client without touching it. Of DONE it
 * reads the second frame, and writes it again with the queue's share of the timings. */
#ifndef QUIRE_PROTO_MESSAGE_H
#define QUIRE_PROTO_MESSAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/bytes.h"
#include "common/error.h"
#include "proto/limits.h"

enum message_type {
    MSG_HELLO,
    MSG_WELCOME,
    MSG_REQUEST,
    MSG_CANCEL,
    MSG_OPS,
    MSG_OPS_REPLY,
    MSG_PROGRESS,
    MSG_TOKENS,
    MSG_DONE,
    MSG_ERROR,
    MSG_READY,
    MSG_HEARTBEAT,
    MSG_GOODBYE,
    MSG_REPLY,
    MSG_WORK,
    MSG_CANCEL_WORK,
    MSG_DRAIN,
    MSG_BEAT,
    MSG_LINKS,
    MSG_INVENTORY,
    MSG_TYPES
};

struct request_id {
    uint8_t bytes[REQUEST_ID_BYTES];
};

/* A message's type and version, read before anything else. ERR_BAD_VERSION for a version outside
 * PROTO_VERSION_MIN..MAX (then *type is still set if it could be read), ERR_BAD_MESSAGE otherwise.
 */
int message_peek(struct bytes frame, enum message_type *type, struct error *e);

/* "REQUEST", "TOKENS"...: the value of "t". Static storage. */
const char *message_name(enum message_type type);

/* The highest version that both a peer of min..max and this build speak; 0 when there is none. */
uint32_t version_choose(uint32_t min, uint32_t max);

/* ---- handshake ---- */

/* HELLO: who speaks, and which versions. Answered by WELCOME or ERROR bad-version. */
struct msg_hello {
    uint32_t version_min, version_max;
    struct bytes software; /* "quire 0.1.0"; for logs */
};
struct msg_welcome {
    uint32_t version; /* the one to use from now on */
    struct bytes software;
    uint32_t heartbeat_ms; /* how often a worker sends HEARTBEAT */
    uint32_t dead_ms;      /* silence after which the broker calls it dead */
    uint64_t seed;         /* of the chain of segments; told to workers only, 0: no links wanted */
};

/* ---- requests ---- */

/* ROLE_RAW: the text is the prompt as it is, without a template; alone in its request, text only.
 */
enum role { ROLE_SYSTEM = 1, ROLE_USER = 2, ROLE_ASSISTANT = 3, ROLE_RAW = 4 };
enum part_kind { PART_TEXT = 1, PART_PICTURE = 2 };
/* How closely a picture is looked at: low means the overview alone, where a model cuts tiles. */
enum detail { DETAIL_HIGH = 1, DETAIL_LOW = 2 };

struct request_part {
    enum part_kind kind;
    struct bytes text;   /* PART_TEXT: UTF-8, checked */
    uint32_t picture;    /* PART_PICTURE: index of its frame, 0 = first after the header */
    uint32_t max_pixels; /* PART_PICTURE: scaled down to hold no more than that; 0: no bound */
    enum detail detail;  /* PART_PICTURE */
};

struct request_message {
    enum role role;
    const struct request_part *parts;
    size_t n_parts;
};

/* A value that is off: temperature 0 (greedy), top_k 0, top_p 1, min_p 0, penalties 1/0/0. */
struct sampling_options {
    float temperature;       /* 0..10, default 0.8; 0 = greedy */
    int32_t top_k;           /* >= 0, default 40 */
    float top_p;             /* 0..1, default 0.95 */
    float min_p;             /* 0..1, default 0.05 */
    float repeat_penalty;    /* > 0, default 1 */
    float presence_penalty;  /* -10..10, default 0 */
    float frequency_penalty; /* -10..10, default 0 */
    int32_t repeat_last_n;   /* 0..4096 tokens the penalties look at, default 64 */
    bool has_seed;
    uint64_t seed; /* drawn by the pool when has_seed is false */
};

/* Which of the broker's waiting requests goes first. */
enum priority { PRIORITY_LOW = 0, PRIORITY_NORMAL = 1, PRIORITY_HIGH = 2 };

struct request {
    struct request_id id;
    uint32_t deadline_ms; /* from arrival at the broker; 1..LIMIT_DEADLINE_MS */
    struct bytes tenant;  /* may be empty */
    struct bytes model;   /* empty: any */
    struct sampling_options sampling;
    uint32_t max_tokens; /* 1..LIMIT_MAX_TOKENS, default 512 */
    uint32_t logprobs;   /* 0 = none, else alternatives per token + the token itself */
    struct bytes *stops;
    size_t n_stops;
    struct bytes schema; /* a JSON Schema that the answer fits; empty: none */
    bool count_only;     /* no answer: DONE says how long the prompt is */
    uint32_t priority;   /* enum priority, default PRIORITY_NORMAL */
    struct request_message *messages;
    size_t n_messages;
    uint32_t n_pictures; /* highest picture index + 1; equals the number of picture frames */
    void *block;         /* owns stops, messages and parts */
};

/* What a request has when its sender says nothing: zero id, defaults above. */
void request_init(struct request *r);

/* Decodes and checks one REQUEST frame; n_picture_frames is how many frames followed it. Text
 * borrows from `frame`; the arrays are one allocation that request_clear frees. */
int request_decode(struct request *out, struct bytes frame, size_t n_picture_frames,
                   struct error *e);
void request_clear(struct request *r); /* a zeroed or cleared one is fine */

struct msg_cancel {
    struct request_id id;
};

/* ---- what a client sees of its request ---- */

enum progress_stage {
    STAGE_QUEUED = 1,  /* done = requests before it */
    STAGE_PICTURE = 2, /* done of total picture tiles seen */
    STAGE_PREFILL = 3, /* done of total prompt positions computed */
};
struct msg_progress {
    struct request_id id;
    enum progress_stage stage;
    uint32_t done, total;
};

struct token_logprob {
    int32_t id;
    float logprob;     /* natural log */
    struct bytes text; /* the token's raw bytes (msgpack bin: may be part of a character) */
};
struct token_entry {
    int32_t id;
    struct token_logprob self;          /* only when logprobs were asked for */
    const struct token_logprob *others; /* n_others likeliest tokens, best first */
    size_t n_others;
};
struct msg_tokens {
    struct request_id id;
    uint32_t index; /* index of the first token of this message in the answer, from 0 */
    uint32_t
        n_tokens; /* tokens this message stands for; >= 0 text bytes, 0 tokens for a late flush */
    struct bytes
        text; /* valid UTF-8, whole characters; held-back stop prefixes come later or never */
    const struct token_entry *entries; /* NULL, or n_tokens of them when logprobs were asked for */
    void *block;                       /* decode: owns entries */
};
void tokens_clear(struct msg_tokens *m);

enum finish_reason { FINISH_END = 1, FINISH_STOP = 2, FINISH_LENGTH = 3 };
struct usage {
    uint32_t prompt_positions; /* text tokens and picture embeddings */
    uint32_t reused_positions; /* of them, taken from pages */
    uint32_t answer_tokens;
    uint32_t pictures;          /* in the request */
    uint32_t pictures_encoded;  /* that the vision tower had to run for */
    uint32_t tiles_encoded;     /* tower runs */
    uint32_t picture_positions; /* of prompt_positions, those that are embeddings */
};
struct timings {             /* microseconds */
    uint64_t queue_us;       /* in the broker, filled in there */
    uint64_t wait_us;        /* in the worker before its first work */
    uint64_t picture_us;     /* decoding, resizing, tower */
    uint64_t prefill_us;     /* first prompt position to first token's logits, less picture_us */
    uint64_t first_token_us; /* arrival at the broker to first token (worker's view + queue) */
    uint64_t decode_us;      /* first token to last token */
    uint64_t total_us;
    uint64_t
        predicted_us; /* first token as the broker foresaw it when it sent the request; 0: not */
};
struct msg_done {
    struct request_id id;
    enum finish_reason reason;
    int32_t stop; /* FINISH_STOP: index of the stop string that ended it; else -1 */
    struct usage usage;
    struct timings timings;
    uint64_t seed;             /* the seed that was used */
    struct bytes worker;       /* name of the worker that answered */
    struct bytes model;        /* model name */
    uint32_t attempts;         /* 1 = the first worker answered; filled in by the broker */
    struct bytes segment_ends; /* u32 LE each: where the request's segments (proto/segments.h) end
                                  in the prompt, the first LIMIT_SEGMENT_ENDS of them */
};
#define SEGMENT_END_BYTES 4
struct msg_error {
    bool has_id; /* false: about the message, not about a request */
    struct request_id id;
    bool has_serial; /* the answer to the OPS of that serial */
    uint32_t serial;
    int32_t code; /* enum error_code */
    struct bytes text;
    uint32_t retry_ms; /* 0, or when to try again */
};

/* ---- broker and worker ---- */

struct msg_ready {
    uint32_t version_min, version_max;
    struct bytes name;        /* unique in the pool; a second READY of a name replaces the first */
    uint64_t incarnation;     /* random, new at each start of the process */
    struct bytes model;       /* model name that requests may ask for */
    struct bytes template_id; /* key "template": the chat template's name */
    struct bytes tools;       /* the format in which its template tells of tools; empty: none */
    struct bytes software;
    uint8_t fingerprint[16]; /* of model and template; equal ones are interchangeable */
    uint32_t credits;        /* requests it will hold at a time */
    uint32_t pages_total;    /* 16-position pages in its arena */
    uint32_t context;        /* positions one request may have */
    uint32_t pid;
    bool vision;   /* it has a vision tower */
    bool resumes;  /* it takes up answers that another began, and tells the ids of its tokens */
    bool extended; /* it knows schema, count_only and raw messages of a REQUEST */
};
struct msg_heartbeat {
    uint64_t incarnation;
    uint32_t active;  /* requests with a sequence */
    uint32_t waiting; /* accepted and not yet begun */
    uint32_t pages_free;
    uint32_t prefill_us_per_position; /* moving averages; 0 = not measured yet */
    uint32_t decode_us_per_token;
    uint32_t tile_us;
    uint32_t step_us;         /* of a step's time, what does not depend on its positions */
    uint64_t tokens_total;    /* generated since start */
    uint64_t positions_total; /* prefilled since start */
    uint64_t rss_bytes;       /* resident memory of the process */
    uint64_t pages_evicted;   /* since start */
    uint64_t feature_bytes;   /* embeddings of pictures kept */
    bool draining;
};
struct msg_goodbye { /* the worker leaves; it has no requests left */
    uint64_t incarnation;
};
struct msg_reply {
    uint64_t incarnation;
    uint64_t ticket;
    uint32_t attempt;
    struct bytes ids; /* before TOKENS: TOKEN_ID_BYTES for each token it stands for, or none */
};
struct msg_work {
    uint64_t ticket;       /* the broker's name for the request; unique in this run of the broker */
    uint32_t attempt;      /* from 1 */
    uint32_t deadline_ms;  /* what is left */
    uint64_t seed;         /* drawn by the broker, for a request that has none; 0: draw one */
    struct bytes replay;   /* TOKEN_ID_BYTES for each token of the answer that the client has */
    uint64_t replay_bytes; /* of the answer's text that the client has */
};
#define TOKEN_ID_BYTES 4 /* an id on the wire: i32, little-endian */
struct msg_cancel_work {
    uint64_t ticket;
    uint32_t attempt;
};
struct msg_drain {
    bool on; /* false: take work again */
};
/* BEAT: the broker's answer to each HEARTBEAT; known = false asks the worker for READY again. */
struct msg_beat {
    bool known;
};

/* LINKS: what a worker holds now and what it holds no longer. Goes out before the DONE of the
 * request that computed it, with drops as they come, and as a whole after INVENTORY. A link with 0
 * positions stands for the embeddings of a picture (segments_picture_link). */
struct msg_links {
    uint64_t incarnation;
    bool reset;           /* all that this incarnation reported before is void */
    struct bytes held;    /* LINK_HELD_BYTES each: link, positions u32 LE; at most LIMIT_LINKS */
    struct bytes dropped; /* LINK_BYTES each; at most LIMIT_LINKS */
};
#define LINK_BYTES 16
#define LINK_HELD_BYTES 20
/* INVENTORY asks a worker for LINKS about all it holds, the first with reset. It has no keys. */

/* ---- operators ---- */

enum ops_query {
    OPS_WORKERS = 1,
    OPS_STATS = 2,
    OPS_REQUESTS = 3,
    OPS_DRAIN = 4,
    OPS_UNDRAIN = 5,
    OPS_EXPLAIN = 6, /* of a past request by id, or of the REQUEST that follows in the message */
    OPS_LOSSES = 7,  /* what the pool would lose with a worker */
};
struct msg_ops {
    uint32_t serial; /* echoed */
    enum ops_query query;
    struct bytes worker; /* DRAIN, UNDRAIN, LOSSES: its name */
    struct bytes id; /* EXPLAIN: 16 bytes, or none: the last request, unless a REQUEST follows */
};

enum worker_state { WORKER_UP = 1, WORKER_DRAINING = 2, WORKER_DRAINED = 3 };
struct worker_info {
    struct bytes name, model;
    struct bytes template_id, tools; /* as in READY; key "template" */
    enum worker_state state;
    uint64_t incarnation;
    uint32_t pid, credits, in_flight;
    uint32_t silent_ms; /* since its last message */
    struct msg_heartbeat load;
    uint32_t pages_total, context;
    uint64_t done, failed; /* requests of this incarnation */
};
struct request_info {
    struct request_id id;
    uint32_t state; /* 1 queued, 2 sent, 3 streaming */
    uint32_t age_ms, attempt, tokens, pictures;
    struct bytes worker;
};
enum routing_policy { POLICY_EARLIEST = 1, POLICY_LEAST_LOADED = 2, POLICY_ROUND_ROBIN = 3 };
enum index_state {
    INDEX_OFF = 1, /* not wanted */
    INDEX_OK = 2,
    INDEX_FULL = 3,       /* no room on the disk or in the map; nothing new is recorded */
    INDEX_BROKEN = 4,     /* damaged or not writable; not in use */
    INDEX_REBUILDING = 5, /* was damaged or lost; is being filled from the workers' inventories */
};
struct pool_stats {
    uint64_t uptime_ms;
    uint32_t workers, queued, in_flight, queue_limit;
    uint64_t requests, done, failed, cancelled, busy, expired; /* since start */
    uint64_t resent;                                           /* requests sent again */
    uint64_t resumed; /* answers that another worker took up */
    uint64_t prompt_positions, reused_positions, answer_tokens;
    uint64_t pictures, pictures_encoded;
    uint64_t bad_messages;
    uint64_t first_token_ms_sum, first_token_count; /* mean = sum / count */
    enum routing_policy policy;
    uint64_t links;                     /* that the broker knows holders of */
    uint64_t predictions;               /* compared with what came */
    uint32_t prediction_error_permille; /* median of the last ones */
    enum index_state index_state;
    struct bytes index_text; /* a sentence when it is not ok */
    uint64_t index_links, index_bytes;
    uint64_t
        index_skipped; /* records that were not written since the queue to the writer was full */
};

/* ---- explain: every worker's predicted first token for one request ---- */

struct explained_segment {
    enum part_kind kind;
    enum role role;
    uint32_t bytes;     /* of its text or of the encoded picture */
    uint32_t positions; /* where it ends in the prompt */
    bool known;         /* some worker told; else it is estimated */
    uint8_t link[LINK_BYTES];
    struct bytes owners; /* one byte each: index in the explanation's workers */
};
struct explained_worker {
    struct bytes name;
    bool fits;   /* serves the model and takes work */
    bool credit; /* can take a request now */
    bool chosen;
    uint32_t held_segments, held_positions;
    uint32_t missing_pictures; /* whose embeddings it lacks and needs */
    uint64_t wait_us, encode_us, prefill_us, total_us;
};
struct explanation {
    bool found;
    bool past; /* a request that was routed: what was known then; else as of now */
    struct request_id id;
    enum routing_policy policy;
    uint32_t prompt_positions;             /* known or estimated */
    uint64_t predicted_us, first_token_us; /* of a past one; 0: not (yet) known */
    const struct explained_segment *segments;
    size_t n_segments;
    const struct explained_worker *workers;
    size_t n_workers;
};
struct loss {
    uint32_t in_flight;
    uint64_t links, positions; /* that no other worker holds; positions are those of pages */
    uint64_t shared_links;     /* that another worker holds too */
    uint64_t pictures;         /* embeddings that no other worker has */
};
struct msg_ops_reply {
    uint32_t serial;
    enum ops_query query;
    const struct worker_info *workers;
    size_t n_workers;
    const struct request_info *requests;
    size_t n_requests;
    struct pool_stats stats;
    struct explanation explanation;
    struct loss loss;
    void *block; /* decode: owns the arrays */
};
void ops_reply_clear(struct msg_ops_reply *m);

/* ---- encoding ----
 *
 * Each appends one whole map to a buffer that grows by malloc and that the caller frees with
 * wire_buffer_clear, or sends with its ownership (see proto/wire/wire.h). ERR_NOMEM is the only
 * failure; contents within limits.h are the caller's promise. */
struct wire_buffer {
    uint8_t *data;
    size_t size, capacity;
};
void wire_buffer_clear(struct wire_buffer *b);
static inline struct bytes wire_bytes(const struct wire_buffer *b) {
    return (struct bytes){b->data, b->size};
}

int hello_encode(const struct msg_hello *m, struct wire_buffer *out);
int welcome_encode(const struct msg_welcome *m, struct wire_buffer *out);
int request_encode(const struct request *r, struct wire_buffer *out);
int cancel_encode(const struct msg_cancel *m, struct wire_buffer *out);
int ops_encode(const struct msg_ops *m, struct wire_buffer *out);
int ops_reply_encode(const struct msg_ops_reply *m, struct wire_buffer *out);
int progress_encode(const struct msg_progress *m, struct wire_buffer *out);
int tokens_encode(const struct msg_tokens *m, struct wire_buffer *out);
int done_encode(const struct msg_done *m, struct wire_buffer *out);
int error_encode(const struct msg_error *m, struct wire_buffer *out);
int ready_encode(const struct msg_ready *m, struct wire_buffer *out);
int heartbeat_encode(const struct msg_heartbeat *m, struct wire_buffer *out);
int goodbye_encode(const struct msg_goodbye *m, struct wire_buffer *out);
int reply_encode(const struct msg_reply *m, struct wire_buffer *out);
int work_encode(const struct msg_work *m, struct wire_buffer *out);
int cancel_work_encode(const struct msg_cancel_work *m, struct wire_buffer *out);
int drain_encode(const struct msg_drain *m, struct wire_buffer *out);
int beat_encode(const struct msg_beat *m, struct wire_buffer *out);
int links_encode(const struct msg_links *m, struct wire_buffer *out);
int inventory_encode(struct wire_buffer *out);

/* ---- decoding: 0, or ERR_BAD_MESSAGE / ERR_LIMIT / ERR_BAD_REQUEST / ERR_NOMEM with a sentence
 * ---- */
int hello_decode(struct msg_hello *out, struct bytes frame, struct error *e);
int welcome_decode(struct msg_welcome *out, struct bytes frame, struct error *e);
int cancel_decode(struct msg_cancel *out, struct bytes frame, struct error *e);
int ops_decode(struct msg_ops *out, struct bytes frame, struct error *e);
int ops_reply_decode(struct msg_ops_reply *out, struct bytes frame, struct error *e);
int progress_decode(struct msg_progress *out, struct bytes frame, struct error *e);
int tokens_decode(struct msg_tokens *out, struct bytes frame, struct error *e);
int done_decode(struct msg_done *out, struct bytes frame, struct error *e);
int error_decode(struct msg_error *out, struct bytes frame, struct error *e);
int ready_decode(struct msg_ready *out, struct bytes frame, struct error *e);
int heartbeat_decode(struct msg_heartbeat *out, struct bytes frame, struct error *e);
int goodbye_decode(struct msg_goodbye *out, struct bytes frame, struct error *e);
int reply_decode(struct msg_reply *out, struct bytes frame, struct error *e);
int work_decode(struct msg_work *out, struct bytes frame, struct error *e);
int cancel_work_decode(struct msg_cancel_work *out, struct bytes frame, struct error *e);
int drain_decode(struct msg_drain *out, struct bytes frame, struct error *e);
int beat_decode(struct msg_beat *out, struct bytes frame, struct error *e);
int links_decode(struct msg_links *out, struct bytes frame, struct error *e);
int inventory_decode(struct bytes frame, struct error *e);

#endif
