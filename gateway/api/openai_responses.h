/* openai_responses.h - the parts of /v1/responses. Private to gateway/api/openai_responses*.c. */
#ifndef QUIRE_GATEWAY_OPENAI_RESPONSES_H
#define QUIRE_GATEWAY_OPENAI_RESPONSES_H

#include "gateway/api/openai.h"

/* What an answer is made of: items, one after the other, each a message or a call of a function.
 * The same steps make the events of a stream and the items of a whole answer. */
struct output {
    struct reply *reply;
    struct text *events; /* where events go now; NULL: nowhere */
    uint64_t sequence;   /* of the next event */
    json_t *items;       /* those that are complete */
    enum { OPEN_NOTHING, OPEN_MESSAGE, OPEN_CALL } open;
    bool ending;       /* the answer has ended; what is closed now may be cut */
    struct text words; /* of the open item: its text or its arguments */
    char item_id[TOOLS_ID_BYTES], call_id[TOOLS_ID_BYTES];
    json_t *name;         /* of the open call */
    json_t *logprobs;     /* of the open message; NULL: not wanted */
    json_t *new_logprobs; /* of them, those that no event told yet */
};

int output_open(struct output *o, struct reply *reply, bool logprobs);
void output_close(struct output *o);
void output_text(struct output *o, const char *data, size_t bytes);
void output_call(struct output *o, size_t index, const char *name);
void output_arguments(struct output *o, const char *data, size_t bytes);
/* Completes the open item. */
void output_item_end(struct output *o);
void output_logprobs(struct output *o, json_t *entries); /* takes the reference */
/* An event with its type and number; takes the reference. */
void output_event(struct output *o, const char *type, json_t *event);

struct responses {
    struct output output;
    struct tools_parser *parser; /* NULL: the answer is text */
    uint32_t top_logprobs;
    json_t *echo; /* what an answer repeats of its request */
};

/* Reads "instructions" and "input" into the request. */
int openai_responses_input(struct json_read *r, const json_t *body, const struct tools *tools,
                           enum tool_format format, enum tools_mode mode,
                           struct quire_request *request);

#endif
