/* broker_rig.h - the real quire-broker with fake clients and workers, which speak the protocol over
 * DEALER sockets as real ones do, or badly on purpose. */
#ifndef QUIRE_TESTS_BROKER_RIG_H
#define QUIRE_TESTS_BROKER_RIG_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "proto/wire/wire.h"
#include "tests/support/process.h"
#include "tests/support/temp.h"

#define RIG_FLAGS 8
#define RIG_WAIT_MS 20000 /* for anything that must happen */
#define RIG_PEERS 256

struct rig {
    struct temp_dir dir;
    struct process broker;
    const char *flags[RIG_FLAGS + 1];
    void *context;
    char clients[160], workers[160], log[160];
    void *sockets[RIG_PEERS];
    size_t n_sockets;
    struct wire_message message; /* the last one that rig_expect returned */
    uint64_t incarnation;
};

/* Starts a broker at endpoints in a directory of its own, where its index and secret are too; flags
 * end with NULL. It waits long for silent workers unless a flag says otherwise, since these fakes send
 * no heartbeats. */
void rig_open(struct rig *r, const char *const *flags);
/* Starts it again, with the same flags, after it ended. */
void rig_start_broker(struct rig *r);
void rig_close(struct rig *r); /* no process or file is left */

void *rig_client(struct rig *r); /* a connected DEALER; closed by rig_close or rig_leave */
void *rig_client_hwm(struct rig *r, int receive);
/* A worker that said READY and got WELCOME. */
void *rig_worker(struct rig *r, const char *name, uint32_t credits);
void rig_leave(struct rig *r, void *socket);

/* Sends one frame, or a map (given up) and n more frames of `size` bytes each. */
void rig_send(void *socket, struct wire_buffer *map);
void rig_send_frames(void *socket, struct wire_buffer *map, size_t n, const void *data,
                     size_t size);

/* Waits for a message of that type, which is then r->message; others are passed over. The frame
 * looked at is the first. */
void rig_expect(struct rig *r, void *socket, enum message_type type);
/* The same for a worker's WORK. */
struct msg_work rig_expect_work(struct rig *r, void *socket);
struct msg_error rig_expect_error(struct rig *r, void *socket);
/* True when a message of that type came within wait_ms. */
bool rig_await(struct rig *r, void *socket, enum message_type type, int wait_ms);

struct request_id rig_id(uint8_t n);
/* A request with one text and n pictures, of `size` bytes each. */
void rig_ask(void *socket, uint8_t id, size_t n, const void *picture, size_t size);

void rig_reply(struct rig *r, void *socket, const struct msg_work *work,
               struct wire_buffer *answer);
void rig_reply_tokens(struct rig *r, void *socket, const struct msg_work *work, uint8_t id,
                      uint32_t index, const char *text, size_t size);
void rig_reply_done(struct rig *r, void *socket, const struct msg_work *work, uint8_t id);

/* Asks as an operator, on a client's socket. The reply borrows from r->message. */
void rig_query(struct rig *r, void *socket, enum ops_query query, const char *worker,
               struct msg_ops_reply *out);
struct pool_stats rig_stats(struct rig *r, void *socket);

/* One request by a fresh client, which this worker gets. */
void rig_serve_one(struct rig *r, void *worker);

#endif
