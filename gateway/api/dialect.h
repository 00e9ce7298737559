/* dialect.h - an API that people's clients speak: JSON in, JSON or server-sent events out.
 *
 * A dialect is pure: it sees no socket, no clock and no pool. It turns a body into a request of the
 * client library, and the events of that request into text. The exchange (gateway/http) owns all
 * memory here and calls, in this order:
 *
 *     read -> whole                                          not streamed
 *     read -> begin -> (piece | ping)* -> end | broken       streamed
 *     read -> fault                                          nothing was written yet
 *     close, always, once after a read that returned 0
 *
 * Before each piece the exchange has added the event's text to reply->answer. */
#ifndef QUIRE_GATEWAY_DIALECT_H
#define QUIRE_GATEWAY_DIALECT_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "client/quire.h"
#include "gateway/api/fault.h"
#include "gateway/text.h"

#define DIALECT_ANSWER_BYTES ((size_t)4 << 20) /* of one answer's text */

enum tool_format { TOOLS_NONE, TOOLS_HERMES };

/* What is known about the pool when a body is read. */
struct dialect_world {
    const char *default_model; /* "" when no worker is there */
    enum tool_format tools;    /* of the workers that serve the model asked for */
    const char *tenant;        /* of the caller; "" without keys */
    int64_t now_s;             /* wall clock, for "created" */
};

/* A reply under way: what was asked, what came so far. */
struct reply {
    /* filled by read */
    struct quire_request *request; /* owned; the exchange sets tenant and priority */
    struct quire_options options;  /* not yet in the request: seed and deadline are added later */
    bool stream, usage_wanted;     /* usage_wanted: OpenAI's stream_options.include_usage */
    bool count_only; /* set in the request too: no answer, only usage.prompt_positions */
    bool logprobs;
    uint32_t max_tokens;
    char model[129]; /* as asked for, or the default one; shown until `done` says which it was */
    void *own;       /* the dialect's; freed by close */

    /* filled by the exchange before `read` */
    char id[33]; /* 32 hex digits, unique; dialects put their prefix before it: "chatcmpl-..." */
    int64_t created_s;

    /* kept up to date by the exchange */
    struct text answer; /* so far */
    json_t *tokens;     /* with logprobs: array of {id, text (base64 of raw bytes), logprob, top:
                           [the same without top]} for all tokens so far; else NULL */
    uint32_t n_tokens;
    bool details;           /* the caller wants a "quire" object at the end */
    json_t *details_object; /* with details, at whole and end: borrowed; add it as "quire" */
    const struct quire_event *done; /* at whole and end */
};

struct dialect {
    const char *name;      /* "openai-chat": in logs and figures */
    const char *id_prefix; /* "chatcmpl-" */
    /* -1 with *fault filled; then nothing is left to close. */
    int (*read)(struct reply *reply, const json_t *body, const struct dialect_world *world,
                struct fault *fault);
    void (*whole)(struct reply *reply, struct text *body);
    void (*begin)(struct reply *reply, struct text *events);
    /* event is a QUIRE_TOKENS; its text may be empty. */
    void (*piece)(struct reply *reply, const struct quire_event *event, struct text *events);
    void (*end)(struct reply *reply, struct text *events);
    /* An error event; never the normal end mark. */
    void (*broken)(struct reply *reply, const struct fault *fault, struct text *events);
    /* Something harmless, for connections that would time out. */
    void (*ping)(struct reply *reply, struct text *events);
    /* The body of an answer that failed before anything was written; also for faults before `read`
     * (no key, no JSON), so it has no reply. */
    void (*fault)(const struct fault *fault, struct text *body);
    void (*close)(struct reply *reply);
};

extern const struct dialect openai_chat, openai_completions, openai_responses;
extern const struct dialect anthropic_messages, anthropic_count_tokens;

/* GET /v1/models and /v1/models/{id}: models is an array of names, newest first. */
void openai_models(const char *const *models, size_t n, int64_t created_s, struct text *body);
void openai_model(const char *model, int64_t created_s, struct text *body);

/* Shared by dialects: a "data:image/png;base64,..." URL, or bare base64 with its media type, to a
 * picture of the last message. 413/422/400 with `param`; remote URLs: "send the picture itself as a
 * data: URL". JPEG and PNG only, told by their first bytes, not by what the type claims. */
int dialect_data_url(struct quire_request *request, const char *url, size_t bytes,
                     const char *param, struct fault *fault);
int dialect_base64(struct quire_request *request, const char *media_type, const char *data,
                   size_t bytes, const char *param, struct fault *fault);

#endif
