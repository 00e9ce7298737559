/* linger.h - closing a connection whose peer is still sending.
 *
 * A socket that is closed with bytes unread resets the connection, and the reset can overtake the
 * answer. So the sending side is closed first, and what still comes is read and thrown away, for
 * LINGER_MS at most; LINGER_MAX connections at a time, more are simply closed. */
#ifndef QUIRE_GATEWAY_HTTP_LINGER_H
#define QUIRE_GATEWAY_HTTP_LINGER_H

#include <stdint.h>

#include "gateway/api/fault.h"

#define LINGER_MS 5000
#define LINGER_MAX 128

struct server;
struct connection;
struct lingering;

int lingering_open(struct lingering **out, struct server *s);
void lingering_close(struct lingering *l); /* closes all */

/* Takes the descriptor, which is closed later or now. */
void linger_add(struct lingering *l, int fd);
void linger_event(struct lingering *l, void *watch);
void linger_tick(struct lingering *l, int64_t now_ms);

/* Writes a fault as a whole HTTP answer to the descriptor, without MHD; for moments when that can't
 * be asked. Nothing else may have been sent. */
void linger_write(int fd, const struct fault *f);
/* The same for a connection of MHD's, which then has to be closed through MHD. */
void linger_refuse(struct connection *c, const struct fault *f);

#endif
