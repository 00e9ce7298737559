/* pool.h - requests at the broker, for the gateway's loop.
 *
 * A gateway has several connections to the broker, since a broker bounds what one client has under
 * way. Requests are spread over them; none blocks. Every request is sent with a seed, drawn here
 * when it has none: when the broker went away, or a worker was lost where the pool could not go on
 * by itself, the request is sent again (POOL_RESENDS times, as soon as the broker is back, at most
 * POOL_AWAY_MS after it went), and since the same seed gives the same answer, what was passed on
 * already is left out: the caller sees a pause. */
#ifndef QUIRE_GATEWAY_POOL_H
#define QUIRE_GATEWAY_POOL_H

#include <stdint.h>

#include "client/quire.h"
#include "gateway/api/fault.h"

#define POOL_RESENDS 2
#define POOL_AWAY_MS 10000

struct pool;
struct pool_request; /* one under way */

/* Exactly one of done and failed is called, last; never from inside pool_ask. Events live until the
 * call returns. A listener may call pool_ask and pool_cancel, of its own request too, but neither
 * pool_work nor pool_close. */
struct pool_listener {
    void (*progress)(void *arg, const struct quire_event *event);
    void (*tokens)(void *arg, const struct quire_event *event);
    void (*done)(void *arg, const struct quire_event *event);
    void (*failed)(void *arg, const struct fault *fault);
};

struct pool_counts {
    uint64_t sent_again;           /* by the gateway */
    uint32_t in_flight, connected; /* connected: of the connections */
    uint32_t connections;
};

/* The broker need not be there yet. `max_requests` at a time. */
int pool_open(struct pool **out, const char *endpoint, uint32_t max_requests, struct error *e);
/* Cancels what is under way; its listeners hear nothing more. May take CLIENT_LINGER_MS (200 ms)
 * for each connection to a broker that does not read. NULL is fine. */
void pool_close(struct pool *p);

/* Sends, or keeps the request until the broker is there. `request` is borrowed until done, failed
 * or pool_cancel; its options are set from `options`, each time with what is left of deadline_ms,
 * which the pool also keeps while the broker is away or hangs (504). -1 with *fault (429 when
 * max_requests are under way; 503 when the broker has been away for longer than POOL_AWAY_MS). */
int pool_ask(struct pool *p, struct quire_request *request, const struct quire_options *options,
             const struct pool_listener *listener, void *arg, struct pool_request **out,
             struct fault *fault);
/* The listener hears nothing more; *r is gone. The broker is told at once. */
void pool_cancel(struct pool *p, struct pool_request *r);
/* The id under which the broker knows it now; another one after each sending, zeros before the
 * first.
 */
const uint8_t *pool_request_id(const struct pool_request *r);

/* For the loop: poll pool_fd for reading (it is an epoll descriptor), call pool_work when it is
 * readable, after pool_ask and pool_cancel, and at pool_next_ms (clock_ms; INT64_MAX: never). */
int pool_fd(const struct pool *p);
void pool_work(struct pool *p);
int64_t pool_next_ms(const struct pool *p);
void pool_counts(const struct pool *p, struct pool_counts *out);

#endif
