/* server.h - the broker's one thread: sockets in, core, sockets out. */
#ifndef QUIRE_BROKER_SHELL_SERVER_H
#define QUIRE_BROKER_SHELL_SERVER_H

#include "broker/shell/options.h"

struct server;

/* Binds the endpoints. ERR_IO, ERR_USAGE, ERR_LIMIT, ERR_NOMEM with a sentence leave *out NULL. */
int server_open(struct server **out, const struct options *options, struct error *e);

/* Serves until SIGINT or SIGTERM, then ends every request with an ERROR. 0, or ERR_IO. */
int server_run(struct server *s, struct error *e);

/* Gives what was sent last half a second to leave. NULL is fine. */
void server_close(struct server *s);

#endif
