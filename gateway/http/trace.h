/* trace.h - W3C trace context (traceparent, version 00): https://www.w3.org/TR/trace-context/ */
#ifndef QUIRE_GATEWAY_HTTP_TRACE_H
#define QUIRE_GATEWAY_HTTP_TRACE_H

#include <stdbool.h>

struct trace {
    char parent[56]; /* what the answer says: the caller's trace id, our span; "" without one */
};

/* Takes the caller's header (NULL: it has none) and draws a span id of our own. False: no valid one
 * came, and t is empty; a broken one is as none. */
bool trace_take(struct trace *t, const char *header);
/* 32 hex digits at random. */
void trace_new_id(char out[33]);

#endif
