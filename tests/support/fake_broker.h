/* fake_broker.h - the broker's side of one worker's connection, played by a test.
 *
 * It answers heartbeats by itself and hands everything else to the test. A wait that takes longer
 * than PROCESS_WAIT_MS fails the test. */
#ifndef QUIRE_TESTS_SUPPORT_FAKE_BROKER_H
#define QUIRE_TESTS_SUPPORT_FAKE_BROKER_H

#include <stdbool.h>
#include <stdint.h>

#include "proto/wire/wire.h"
#include "tests/support/temp.h"

#define FAKE_HEARTBEAT_MS 50
#define FAKE_IDENTITY_BYTES 64
#define FAKE_BACKLOG 10 /* messages kept for a test that does not read them */

struct fake_broker {
    void *context, *socket;
    char endpoint[TEMP_PATH_BYTES + 32];
    bool known;  /* what BEAT says; false until fake_welcome */
    bool silent; /* no BEAT at all */
    uint32_t dead_ms;
    uint64_t seed;                         /* of links; 0: it wants none */
    uint8_t identity[FAKE_IDENTITY_BYTES]; /* of the last message's sender */
    size_t identity_bytes;
    struct msg_heartbeat beat; /* the last one */
    uint32_t n_beats;
    struct wire_message message; /* the last one: identity, frames */
    struct msg_reply reply;      /* of the last REPLY */
};

void fake_broker_open(struct fake_broker *b, const struct temp_dir *dir);
void fake_broker_close(struct fake_broker *b);
/* As a broker that was killed and started again: the same endpoint, knowing nobody. */
void fake_broker_restart(struct fake_broker *b);

/* The next message that is no heartbeat, nor READY from a worker that is known; its type, for a
 * REPLY that of what it carries. The decoded frame is fake_frame. */
enum message_type fake_next(struct fake_broker *b);
/* The same, and PROGRESS is skipped. */
enum message_type fake_next_answer(struct fake_broker *b);
struct bytes fake_frame(struct fake_broker *b);
/* Nothing but heartbeats comes, until `beats` more of them did. */
void fake_expect_beats(struct fake_broker *b, uint32_t beats);
/* Waits for a heartbeat with this much, dropping all else. */
void fake_wait_draining(struct fake_broker *b, bool draining);

void fake_welcome(struct fake_broker *b);
void fake_send_work(struct fake_broker *b, uint64_t ticket, const struct request *r,
                    const struct bytes *pictures, size_t n_pictures);
/* Any message: takes `head`; then come `frames`. */
void fake_send(struct fake_broker *b, struct wire_buffer *head, const struct bytes *frames,
               size_t n_frames);
void fake_send_cancel(struct fake_broker *b, uint64_t ticket);
void fake_send_drain(struct fake_broker *b, bool on);
void fake_send_inventory(struct fake_broker *b);
void fake_send_error(struct fake_broker *b, int code, const char *text);

#endif
