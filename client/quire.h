/* quire.h - the client library of quire: ask a pool questions about text and pictures.
 *
 *     struct quire_client *client;
 *     struct quire_error error;
 *     quire_open(&client, NULL, 2000, &error);
 *     struct quire_request *request = quire_request_new();
 *     quire_request_message(request, QUIRE_USER);
 *     quire_request_picture_file(request, "photo.jpg", &error);
 *     quire_request_text(request, "What is this?", strlen("What is this?"));
 *     quire_send(client, request, id, &error);
 *     while (quire_next(client, -1, &event, &error) > 0 && !event.last) ...
 *
 * A client belongs to one thread at a time. Everything an event points to lives until the next call
 * of quire_next or quire_close on that client. Functions return 0 or a negative code (the numbers
 * of proto/SPEC.md, "Error codes"), with a sentence in `error`, which may be NULL. */
#ifndef QUIRE_H
#define QUIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define QUIRE_ID_BYTES 16

struct quire_error {
    int code;
    char text[512];
    uint32_t retry_ms; /* with "busy": when to try again */
};

struct quire_client;
struct quire_request;

/* Connects and shakes hands. endpoint NULL: QUIRE_ENDPOINT, else the local socket of this user.
 * Fails with "timeout" if no broker answers within timeout_ms. */
int quire_open(struct quire_client **out, const char *endpoint, int timeout_ms,
               struct quire_error *error);
/* As quire_open, without waiting, for programs with a loop of their own: the broker need not be
 * there, and is connected to in the background for as long as the client lives. Until then
 * quire_send fails with "io". */
int quire_open_later(struct quire_client **out, const char *endpoint, struct quire_error *error);
/* Whether the broker is there, as of the last quire_next or quire_send. */
bool quire_connected(const struct quire_client *client);
/* Cancels what is in flight, then disconnects. NULL is fine. */
void quire_close(struct quire_client *client);
const char *quire_endpoint(const struct quire_client *client);
/* A file descriptor that turns readable when quire_next may have something; for poll loops. After
 * it does, and after each quire_send and quire_cancel, call quire_next with timeout 0 until it
 * returns 0. */
int quire_fd(const struct quire_client *client);

/* ---- requests ---- */

/* QUIRE_RAW: its text is the prompt as it is, no template around it; only message, only text. */
enum quire_role { QUIRE_SYSTEM = 1, QUIRE_USER = 2, QUIRE_ASSISTANT = 3, QUIRE_RAW = 4 };

/* NULL when memory ran out. Freed by quire_request_free; may be sent several times. */
struct quire_request *quire_request_new(void);
void quire_request_free(struct quire_request *request); /* NULL is fine */

/* Starts a message; the parts that follow belong to it. */
int quire_request_message(struct quire_request *request, enum quire_role role);
/* Adds a part to the last message. Text and pictures are copied. */
int quire_request_text(struct quire_request *request, const char *text, size_t bytes);
int quire_request_picture(struct quire_request *request, const void *data, size_t bytes,
                          struct quire_error *error);
int quire_request_picture_file(struct quire_request *request, const char *path,
                               struct quire_error *error);

/* How closely a picture is looked at; low: the overview alone, where a model cuts tiles. */
enum quire_detail { QUIRE_DETAIL_HIGH = 1, QUIRE_DETAIL_LOW = 2 };
/* Says how the pictures added from now on are looked at: scaled down to hold at most max_pixels (0:
 * no bound), with that detail. */
int quire_request_look(struct quire_request *request, uint32_t max_pixels,
                       enum quire_detail detail);
int quire_request_stop(struct quire_request *request, const char *text, size_t bytes);
int quire_request_model(struct quire_request *request, const char *name);
int quire_request_tenant(struct quire_request *request, const char *name);
/* The answer will be JSON that fits this JSON Schema (proto/SPEC.md, "Schemas"). Copied. */
int quire_request_schema(struct quire_request *request, const char *json, size_t bytes);
/* Nothing is generated: DONE comes with usage.prompt_positions alone. */
void quire_request_count_only(struct quire_request *request, bool on);
enum quire_priority { QUIRE_PRIORITY_LOW = 0, QUIRE_PRIORITY_NORMAL = 1, QUIRE_PRIORITY_HIGH = 2 };
/* Which of the broker's waiting requests goes first. */
void quire_request_priority(struct quire_request *request, enum quire_priority priority);

/* How the pool cuts a request (proto/SPEC.md, section 9). */
struct quire_segment {
    bool picture;
    enum quire_role role;
    uint32_t bytes; /* of its text or of the encoded picture */
};
/* Writes the first `capacity` of them, returns how many there are: 0 for a request without
 * messages, and when memory ran out. */
size_t quire_request_segments(const struct quire_request *request, struct quire_segment *out,
                              size_t capacity);

/* What a request has when nothing is set; the comment of each field of sampling in proto/SPEC.md.
 */
struct quire_options {
    float temperature, top_p, min_p;
    float repeat_penalty, presence_penalty, frequency_penalty;
    int32_t top_k, repeat_last_n;
    bool has_seed;
    uint64_t seed;
    uint32_t max_tokens, logprobs, deadline_ms;
};
void quire_options_default(struct quire_options *options);
void quire_request_options(struct quire_request *request, const struct quire_options *options);

/* Sends a request under a new random id. "io" while the broker is away. */
int quire_send(struct quire_client *client, const struct quire_request *request,
               uint8_t id[QUIRE_ID_BYTES], struct quire_error *error);
int quire_cancel(struct quire_client *client, const uint8_t id[QUIRE_ID_BYTES]);

/* ---- events ---- */

enum quire_event_kind {
    QUIRE_PROGRESS = 1, /* queued, looking at a picture, reading the prompt */
    QUIRE_TOKENS = 2,   /* a piece of the answer */
    QUIRE_DONE = 3,     /* the last event of a request that went well */
    QUIRE_FAILED = 4,   /* the last event of one that did not */
};
enum quire_stage { QUIRE_STAGE_QUEUED = 1, QUIRE_STAGE_PICTURE = 2, QUIRE_STAGE_PREFILL = 3 };
enum quire_finish { QUIRE_FINISH_END = 1, QUIRE_FINISH_STOP = 2, QUIRE_FINISH_LENGTH = 3 };

struct quire_logprob {
    int32_t id;
    float logprob;
    const char *text; /* raw bytes, not terminated */
    size_t text_bytes;
};
struct quire_token {
    struct quire_logprob chosen;
    const struct quire_logprob *others;
    size_t n_others;
};
struct quire_usage {
    uint32_t prompt_positions; /* text tokens and picture embeddings */
    uint32_t reused_positions; /* of them, not computed again */
    uint32_t answer_tokens;
    uint32_t pictures, pictures_encoded, tiles_encoded;
    uint32_t picture_positions; /* of prompt_positions, the embeddings */
};
struct quire_timings { /* microseconds */
    uint64_t queue_us, wait_us, picture_us, prefill_us, first_token_us, decode_us, total_us;
    uint64_t predicted_us; /* first_token_us as the broker foresaw it; 0: it did not */
};
struct quire_event {
    enum quire_event_kind kind;
    bool last; /* DONE or FAILED */
    uint8_t id[QUIRE_ID_BYTES];
    /* PROGRESS */
    enum quire_stage stage;
    uint32_t done, total;
    /* TOKENS: whole UTF-8 characters, not terminated */
    const char *text;
    size_t text_bytes;
    uint32_t index, n_tokens;
    const struct quire_token *tokens; /* NULL, or n_tokens of them with logprobs */
    /* DONE */
    enum quire_finish finish;
    int32_t stop; /* with QUIRE_FINISH_STOP: index of the stop string; else -1 */
    struct quire_usage usage;
    struct quire_timings timings;
    uint64_t seed;
    uint32_t attempts;
    char worker[65], model[129];
    const uint32_t *segment_ends; /* positions of the prompt where its segments end (SPEC.md, 9) */
    size_t n_segment_ends;
    /* FAILED */
    struct quire_error error;
};

/* Waits up to timeout_ms (-1: for ever) for the next event of any request: 1 with *event filled, 0
 * when the time passed or a signal came, negative when the connection is of no more use. When the
 * broker goes away, each request in flight ends with a QUIRE_FAILED event; the client may go on,
 * and reaches the broker again once it is back. */
int quire_next(struct quire_client *client, int timeout_ms, struct quire_event *event,
               struct quire_error *error);

/* ---- operators' queries; each waits up to timeout_ms for its reply ---- */

enum quire_worker_state {
    QUIRE_WORKER_UP = 1,
    QUIRE_WORKER_DRAINING = 2,
    QUIRE_WORKER_DRAINED = 3
};
struct quire_worker {
    char name[65], model[129];
    char chat_template[65];
    char tools[17]; /* how it is told of tools: "hermes"; "" if it can't be */
    enum quire_worker_state state;
    uint64_t incarnation;
    uint32_t pid, credits, in_flight, silent_ms;
    uint32_t active, waiting, pages_total, pages_free, context;
    uint32_t prefill_us_per_position, decode_us_per_token, tile_us, step_us;
    uint64_t tokens_total, positions_total, rss_bytes, done, failed;
    uint64_t pages_evicted, feature_bytes; /* feature_bytes: embeddings of pictures it keeps */
};
enum quire_policy {
    QUIRE_POLICY_EARLIEST = 1,
    QUIRE_POLICY_LEAST_LOADED = 2,
    QUIRE_POLICY_ROUND_ROBIN = 3
};
enum quire_index_state {
    QUIRE_INDEX_OFF = 1,
    QUIRE_INDEX_OK = 2,
    QUIRE_INDEX_FULL = 3,
    QUIRE_INDEX_BROKEN = 4,
    QUIRE_INDEX_REBUILDING = 5
};
struct quire_stats {
    uint64_t uptime_ms;
    uint32_t workers, queued, in_flight, queue_limit;
    uint64_t requests, done, failed, cancelled, busy, expired;
    uint64_t resent, resumed; /* after a lost worker; resumed: in the middle of the answer */
    uint64_t prompt_positions, reused_positions, answer_tokens, pictures, pictures_encoded;
    uint64_t bad_messages;
    uint64_t first_token_ms_sum, first_token_count;
    enum quire_policy policy;
    uint64_t links;                     /* segments that the broker knows holders of */
    uint64_t predictions;               /* of first tokens, compared with what came */
    uint32_t prediction_error_permille; /* median of the last ones */
    enum quire_index_state index_state;
    char index_text[256]; /* a sentence when the index is not ok */
    uint64_t index_links, index_bytes, index_skipped;
};
enum quire_request_state {
    QUIRE_REQUEST_QUEUED = 1,
    QUIRE_REQUEST_SENT = 2,
    QUIRE_REQUEST_STREAMING = 3
};
struct quire_request_info {
    uint8_t id[QUIRE_ID_BYTES];
    enum quire_request_state state;
    uint32_t age_ms, attempt, tokens, pictures;
    char worker[65];
};

/* *workers is an array of *count, freed by the caller with free(). */
int quire_workers(struct quire_client *client, int timeout_ms, struct quire_worker **workers,
                  size_t *count, struct quire_error *error);
int quire_stats(struct quire_client *client, int timeout_ms, struct quire_stats *stats,
                struct quire_error *error);
int quire_requests(struct quire_client *client, int timeout_ms,
                   struct quire_request_info **requests, size_t *count, struct quire_error *error);
int quire_drain(struct quire_client *client, int timeout_ms, const char *worker, bool on,
                struct quire_error *error);

/* ---- why a worker was chosen ---- */

struct quire_explained_segment {
    bool picture;
    enum quire_role role;
    uint32_t bytes;        /* of its text or of the encoded picture */
    uint32_t positions;    /* where it ends in the prompt */
    bool known;            /* a worker told that; else it is estimated */
    uint8_t link[16];      /* hash of it and of all before it */
    const uint8_t *owners; /* n_owners indices into the explanation's workers */
    size_t n_owners;
};
struct quire_explained_worker {
    char name[65];
    bool fits;   /* serves the model and takes work */
    bool credit; /* can take a request now */
    bool chosen;
    uint32_t held_segments, held_positions;
    uint32_t missing_pictures; /* that it would have to encode */
    uint64_t wait_us, encode_us, prefill_us, total_us;
};
struct quire_explanation {
    bool past; /* of a request that was routed, as things were then; else as they are now */
    uint8_t id[QUIRE_ID_BYTES];
    enum quire_policy policy;
    uint32_t prompt_positions;             /* known or estimated */
    uint64_t predicted_us, first_token_us; /* of a past one; 0: not (yet) known */
    const struct quire_explained_segment *segments;
    size_t n_segments;
    const struct quire_explained_worker *workers;
    size_t n_workers;
};
/* Explains a request that is not run; or with request NULL a past one by its id; or with both NULL
 * the last one. "not-found" when the broker knows no such request (any more). *out is one block,
 * freed by the caller with free(). */
int quire_explain(struct quire_client *client, int timeout_ms, const struct quire_request *request,
                  const uint8_t *id, struct quire_explanation **out, struct quire_error *error);

/* What the pool would lose if a worker left now. */
struct quire_losses {
    uint32_t in_flight;        /* requests it is at */
    uint64_t links, positions; /* segments that no other worker holds, and their positions */
    uint64_t shared_links;     /* segments that another worker holds too */
    uint64_t pictures;         /* pictures whose embeddings no other worker has */
};
int quire_losses(struct quire_client *client, int timeout_ms, const char *worker,
                 struct quire_losses *losses, struct quire_error *error);

/* The stable name of an error code: "bad-picture". */
const char *quire_error_name(int code);

#endif
