/* outbox.h - actions done: frames built and sent, requests' frames kept as long as the core wants.
 *
 * Nothing here waits for a peer. A message that can't be sent becomes an event for the core, to be
 * fetched with outbox_failure once the list of actions is done. */
#ifndef QUIRE_BROKER_SHELL_OUTBOX_H
#define QUIRE_BROKER_SHELL_OUTBOX_H

#include "broker/core.h"
#include "broker/shell/inbox.h"

#define OWED_MAX 256       /* last words that wait for room in their client's pipe */
#define OWED_KEEP_MS 60000 /* then they are given up */
#define OWED_RETRY_MS 250

struct outbox;

/* seed: of the chain of segments, for the workers. Borrows the sockets and b until outbox_close.
 * ERR_NOMEM leaves *out NULL. */
int outbox_open(struct outbox **out, void *clients, void *workers, const struct broker *b,
                const struct broker_settings *s, uint64_t seed);
void outbox_close(struct outbox *o); /* NULL is fine */

/* Does one action. `in` is what the core's event came from; NULL when it came from no message.
 * ACTION_KEEP takes the message's frames out of `in`. */
void outbox_do(struct outbox *o, const struct action *a, struct incoming *in, int64_t now_us);

/* The next event that sending has caused; false when there is none. */
bool outbox_failure(struct outbox *o, struct event *out);

/* Answers that need no core. */
void outbox_welcome_client(struct outbox *o, const struct incoming *in);
void outbox_ops_reply(struct outbox *o, const struct peer *client, const struct msg_ops_reply *r);
void outbox_ops_error(struct outbox *o, const struct incoming *in, int code, const char *text);
void outbox_refuse(struct outbox *o, const struct incoming *in, bool from_worker);

/* Tries to send what is owed. Returns when to call again; INT64_MAX when nothing is owed. */
int64_t outbox_settle(struct outbox *o, int64_t now_us);

#endif
