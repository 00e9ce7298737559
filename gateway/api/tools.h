/* tools.h - functions that a model may call: how it is told of them, and how a call is asked for.
 *
 * Two ways, chosen by tools_mode:
 *
 *     marked  the model's own format (Hermes, as Qwen2.5 has it): definitions inside <tools> in
 *             the system message, calls inside <tool_call> anywhere in the answer, results inside
 *             <tool_response> in a message of the user
 *     forced  any model: the whole answer is held to the JSON of one call by a schema
 *
 * Both write a call as {"name": .., "arguments": ..}. Reading calls back out of an answer is
 * tools_parse.h. */
#ifndef QUIRE_GATEWAY_TOOLS_H
#define QUIRE_GATEWAY_TOOLS_H

#include "gateway/api/dialect.h"
#include "gateway/api/json_read.h"

#define TOOLS_MAX 128      /* definitions in one request */
#define TOOLS_APART_MAX 16 /* whose parameters a forced call of any of them is held to */
#define TOOL_NAME_BYTES 64 /* letters, digits, _ and - */
#define TOOLS_TEXT_BYTES ((size_t)4 << 20) /* of definitions, of one call, of one result */

enum tools_choice {
    TOOLS_AUTO,  /* the model decides */
    TOOLS_NEVER, /* as if there were none */
    TOOLS_ANY,   /* one of them must be called */
    TOOLS_NAMED, /* this one must be called */
};
enum tools_mode { TOOLS_OFF, TOOLS_MARKED, TOOLS_FORCED };

struct tool {
    const char *name, *description; /* description: NULL without one */
    size_t description_bytes;
    const json_t *parameters; /* a JSON Schema; NULL: any object */
};

/* What a body says of tools, filled by its dialect; everything points into the body. */
struct tools {
    struct tool list[TOOLS_MAX];
    size_t n;
    enum tools_choice choice;
    const char *named; /* with TOOLS_NAMED */
};

/* Adds a definition, which stands at r's place: its name is checked, and that it is the first of
 * this name. parameters may be NULL. */
int tools_add(struct tools *t, const struct json_read *r, const char *name, const char *description,
              size_t description_bytes, const json_t *parameters);

/* The way that serves the choice with a model of this format, or -1: a named tool that is not
 * defined, a choice without definitions, TOOLS_AUTO with a model that has no tool format.
 * `choice_key` is the body's name for the choice ("tool_choice"), for the fault. */
int tools_mode(const struct tools *t, enum tool_format format, const struct json_read *r,
               const char *choice_key, enum tools_mode *out);

/* Adds the definitions, for the system message; an empty line between them and what stands before
 * is the caller's. Nothing with TOOLS_OFF. */
void tools_describe(const struct tools *t, enum tool_format format, enum tools_mode mode,
                    struct text *out);

/* With TOOLS_FORCED: holds the request's answer to a call. */
int tools_constrain(const struct tools *t, enum tools_mode mode, const struct json_read *r,
                    struct quire_request *request);

/* A call or a result of the conversation so far, as the model wrote or was given it. arguments:
 * JSON text, taken as it is (what the model wrote itself is then found among the computed pages);
 * empty: {}. A text that follows another one in its message begins with a line end of the caller's.
 */
void tools_write_call(struct text *out, const char *name, const char *arguments, size_t bytes);
void tools_write_result(struct text *out, const char *content, size_t bytes);

/* "call_0123..": the id of the index'th call of a reply. */
#define TOOLS_ID_BYTES 48
void tools_call_id(char out[TOOLS_ID_BYTES], const char *prefix, const char *reply_id,
                   size_t index);

#endif
