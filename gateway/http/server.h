/* server.h - the HTTP side: a libmicrohttpd daemon driven by our loop, its connections and routes.
 */
#ifndef QUIRE_GATEWAY_SERVER_H
#define QUIRE_GATEWAY_SERVER_H

#include <stddef.h>

#include "common/error.h"
#include "gateway/figures/figures.h"
#include "gateway/gateway.h"

struct server;
/* Listens. Refuses an address that is not loopback when there is no key file. */
int server_open(struct server **out, struct gateway *g, struct error *e);
void server_close(struct server *s);
/* "http://127.0.0.1:8080": where it listens really. */
const char *server_address(const struct server *s);
void server_figures(const struct server *s, struct figures_http *out);
/* Runs until *stop, which a signal sets: all descriptors in one epoll, all on this thread. On stop
 * it takes no more requests and gives those under way STOP_SECONDS. */
int server_run(struct server *s, struct error *e);

#endif
