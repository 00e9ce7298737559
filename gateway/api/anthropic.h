/* anthropic.h - what the files of the Anthropic dialects share.
 *
 *     anthropic_read.c     a body's fields
 *     anthropic_content.c  its messages and their blocks
 *     anthropic_tools.c    its tools and the choice among them
 *     anthropic_blocks.c   an answer's text to content blocks, whole or as events
 *     anthropic_write.c    the message and the events around the blocks; faults
 *
 * Sources: the types of the npm package @anthropic-ai/sdk, and the public API reference. */
#ifndef QUIRE_GATEWAY_ANTHROPIC_H
#define QUIRE_GATEWAY_ANTHROPIC_H

#include "gateway/api/dialect.h"
#include "gateway/api/tools.h"
#include "gateway/api/tools_parse.h"

/* A reply's `own`. */
struct anthropic_own {
    json_t *stops; /* the body's stop_sequences, a copy; NULL without */
    bool cached;   /* the body has a cache_control somewhere */
    enum tools_mode mode;
    struct tools_parser *parser; /* NULL with TOOLS_OFF: all of the answer is text */

    /* The answer as it is written (anthropic_blocks.c). */
    json_t *content;       /* whole: the blocks so far */
    struct text *events;   /* streamed: where events go, during a call only */
    struct text words;     /* whole: the text block under way */
    size_t blocks;         /* begun so far */
    bool in_text;          /* streamed: the last block is text and still open */
    size_t calls;          /* tool_use blocks so far */
    struct text call;      /* name of the call under way, terminated */
    struct text arguments; /* of it */
    bool failed;           /* memory ran out */
};

/* ---- reading ---- */

/* The request under construction, and where its conversation stands. */
struct anthropic_talk {
    struct quire_request *request;
    struct json_read *at;
    struct anthropic_own *own;
    bool any;             /* a message has begun */
    enum quire_role role; /* of the last one */
    size_t parts;         /* of it so far */
    bool after_text;      /* its last part is text */
    bool new_line;        /* the next text is to begin a line of its own */
};
/* "system", with the tools that the model is told of. */
int anthropic_read_system(struct anthropic_talk *t, const json_t *body, const struct tools *tools,
                          enum tool_format format);
/* "messages"; an answer that the assistant has begun (the last message is its own) is refused
 * unless `count`. */
int anthropic_read_messages(struct anthropic_talk *t, const json_t *body, bool count);
/* "tools" and "tool_choice". one_call: parallel calls are not wanted. */
int anthropic_read_tools(struct json_read *at, const json_t *body, enum tool_format format,
                         struct tools *tools, bool *one_call, struct anthropic_own *own);
/* Notes a cache_control of this object. */
void anthropic_note_cache(struct anthropic_own *own, const json_t *object);

int anthropic_read(struct reply *reply, const json_t *body, const struct dialect_world *world,
                   bool count, struct fault *fault);
void anthropic_close(struct reply *reply);

/* ---- writing ---- */

/* The parser's sink; arg is the reply. */
extern const struct tools_sink anthropic_sink;
/* A piece of the answer, and its end. Streamed: events are added to *events; whole (events NULL):
 * blocks to own->content. */
void anthropic_feed(struct reply *reply, const char *data, size_t bytes, struct text *events);
void anthropic_finish(struct reply *reply, struct text *events);

void anthropic_whole(struct reply *reply, struct text *body);
void anthropic_begin(struct reply *reply, struct text *events);
void anthropic_end(struct reply *reply, struct text *events);
void anthropic_broken(struct reply *reply, const struct fault *fault, struct text *events);
void anthropic_ping(struct reply *reply, struct text *events);
void anthropic_fault(const struct fault *fault, struct text *body);

#endif
