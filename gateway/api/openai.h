/* openai.h - what the three dialects of OpenAI's API share. Private to gateway/api/openai_*.c.
 *
 * What a body leaves out has the pool's default (quire_options_default), temperature, top_p and the
 * length of an answer too: OpenAI's own defaults (temperature 1, all of the context) suit its own
 * models. Only /v1/completions keeps its 16 tokens. Keys that are not known are ignored, as servers
 * of this API do; known ones that would change the answer, and that are not done here, are refused.
 */
#ifndef QUIRE_GATEWAY_OPENAI_H
#define QUIRE_GATEWAY_OPENAI_H

#include "gateway/api/dialect.h"
#include "gateway/api/json_read.h"
#include "gateway/api/json_write.h"
#include "gateway/api/tools.h"
#include "gateway/api/tools_parse.h"

#define OPENAI_FINGERPRINT "quire-" QUIRE_VERSION

/* ---- answers (openai.c) ---- */

/* {"message", "type", "param", "code"}. */
json_t *openai_error(const struct fault *fault);
void openai_fault(const struct fault *fault, struct text *body);
void openai_broken(struct reply *reply, const struct fault *fault, struct text *events);
void openai_ping(struct reply *reply, struct text *events);
/* With the prefix of the dialect: "chatcmpl-0123..". */
#define OPENAI_ID_BYTES 64
void openai_id(const struct reply *reply, const char *prefix, char out[OPENAI_ID_BYTES]);
/* The model that answered, once that is known; else the one asked for. */
const char *openai_model_name(const struct reply *reply);
/* prompt_tokens and so on, as chat and completions have it. */
json_t *openai_usage(const struct quire_usage *usage);
/* Adds "quire" where the caller wants details. */
void openai_add_details(const struct reply *reply, json_t *object);

/* ---- token probabilities (openai_logprobs.c) ---- */

/* [{token, logprob, bytes, top_logprobs}]: of an event's tokens, or of all in reply->tokens. `top`:
 * how many alternatives each shows. */
json_t *openai_logprobs_event(const struct quire_event *event, uint32_t top);
json_t *openai_logprobs_all(const json_t *tokens, uint32_t top);
/* The form of /v1/completions: {tokens, token_logprobs, top_logprobs, text_offset}. *offset: of the
 * first of these tokens in the text, in bytes; moved behind the last. */
json_t *openai_logprobs_old(const json_t *entries, uint32_t top, size_t *offset);

/* ---- bodies (openai_read.c) ---- */

/* Makes the reply's request with default options, and zeroed memory for reply->own, which the
 * dialect frees; reads model, stream and user of the body. -1: nothing to close. */
int openai_open(struct reply *reply, struct json_read *r, const json_t *body,
                const struct dialect_world *world, size_t own_bytes);
/* Undoes openai_open after a later failure; returns -1. */
int openai_abandon(struct reply *reply);

enum openai_when { WHEN_SET, WHEN_FILLED, WHEN_TRUE, WHEN_NOT_ONE };
struct openai_refusal {
    const char *key;
    enum openai_when when;
    const char *sentence;
};
/* The table ends with a NULL key. */
int openai_refuse(const struct json_read *r, const json_t *body,
                  const struct openai_refusal *table);

/* temperature, top_p, and where they are there presence_penalty, frequency_penalty, seed. */
int openai_read_sampling(const struct json_read *r, const json_t *body,
                         struct quire_options *options);
int openai_read_stop(struct json_read *r, const json_t *body, struct quire_request *request);
/* A data: URL at `key` of `object`, with the word at "detail" of it. */
int openai_read_picture(const struct json_read *r, const json_t *object, const char *key,
                        struct quire_request *request);
/* {"type": "text" | "json_object" | "json_schema", ..} at `key` of object. schema_key: where inside
 * it the schema lies: "json_schema" (chat), or NULL for the object itself (responses). *bound says
 * whether the answer is held to a schema. */
int openai_read_format(struct json_read *r, const json_t *object, const char *key,
                       const char *schema_key, struct quire_request *request, bool *bound);
/* tools and tool_choice. `inner`: "function" where definitions lie a level deeper (chat), or NULL.
 */
int openai_read_tools(struct json_read *r, const json_t *body, const char *inner,
                      struct tools *tools);
/* A part of the last message; a new message. */
int openai_add_text(const struct json_read *r, struct quire_request *request, const char *text,
                    size_t bytes);
int openai_add_message(const struct json_read *r, struct quire_request *request,
                       enum quire_role role);
/* Adds what `text` holds as a part and closes it; a failed text is memory that ran out. */
int openai_add_written(const struct json_read *r, struct quire_request *request, struct text *text);

/* ---- tools in a conversation (openai_turns.c) ---- */

/* As a part of the last message, the system's, behind `before`. */
int openai_add_definitions(const struct json_read *r, struct quire_request *request,
                           const struct tools *tools, enum tool_format format, enum tools_mode mode,
                           const char *before);
/* As a part of the last message, the assistant's. follows: something stands before it there. */
int openai_add_call(const struct json_read *r, struct quire_request *request, bool follows,
                    const char *name, const char *arguments, size_t bytes);
/* A string or parts of text at `key`, in a message of the user; follows: in that of the result
 * before it. */
int openai_add_result(struct json_read *r, struct quire_request *request, bool follows,
                      const json_t *message, const char *key);

#endif
