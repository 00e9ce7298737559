/* cors.h - pages of other origins (https://fetch.spec.whatwg.org/#http-cors-protocol). */
#ifndef QUIRE_GATEWAY_HTTP_CORS_H
#define QUIRE_GATEWAY_HTTP_CORS_H

#include <microhttpd.h>

#include "common/error.h"
#include "gateway/http/exchange.h"

struct cors;
/* list: origins, separated by commas or spaces, or *; NULL: none, and no header is ever sent. */
int cors_open(struct cors **out, const char *list, struct error *e);
void cors_close(struct cors *c);
/* Adds what an answer to a page of this origin (NULL: absent) must say. */
void cors_headers(const struct cors *c, const char *origin, struct MHD_Response *r);
/* OPTIONS, on every path: answers preflights. */
extern const struct route cors_route;

#endif
