/* tools_parse.h - calls of tools, read back out of an answer while it comes.
 *
 * The parser is fed pieces of the answer, cut anywhere, and tells what it found in order. How the
 * answer was cut changes how its text and arguments are cut, and nothing else. Arguments are passed
 * on as the model writes them: they are JSON as far as the model wrote JSON.
 *
 * What does not become a call (no name was found before it broke off) comes back as text, so
 * nothing that the model said is lost. Space between a text and a call is dropped. */
#ifndef QUIRE_GATEWAY_TOOLS_PARSE_H
#define QUIRE_GATEWAY_TOOLS_PARSE_H

#include "gateway/api/tools.h"

struct tools_parser;

struct tools_sink {
    void (*text)(void *arg, const char *data, size_t bytes);
    /* A call begins: index counts from 0. The name is terminated. */
    void (*call)(void *arg, size_t index, const char *name);
    void (*arguments)(void *arg, size_t index, const char *data, size_t bytes);
    void (*call_end)(void *arg, size_t index);
};

/* one_call: what comes after the first call is dropped. NULL when memory ran out. The sink is
 * copied. */
struct tools_parser *tools_parser_open(enum tools_mode mode, bool one_call,
                                       const struct tools_sink *sink);
void tools_parser_close(struct tools_parser *p); /* NULL is fine */
void tools_parser_feed(struct tools_parser *p, const char *data, size_t bytes, void *arg);
/* The answer has ended: what was held back is told. */
void tools_parser_finish(struct tools_parser *p, void *arg);
size_t tools_parser_calls(const struct tools_parser *p);
bool tools_parser_failed(const struct tools_parser *p); /* memory ran out */

#endif
