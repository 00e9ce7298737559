/* proto_samples.h - one or more encoded messages of every type, with all keys set to different
 * values, for the tests of proto/. */
#ifndef QUIRE_TESTS_PROTO_SAMPLES_H
#define QUIRE_TESTS_PROTO_SAMPLES_H

#include "proto/message.h"

#define SAMPLES_MAX 32

struct sample {
    const char *name;
    enum message_type type;
    size_t pictures; /* frames that follow a REQUEST */
    struct wire_buffer frame;
};

/* The structs behind the samples; text is static. */
extern const struct msg_hello sample_hello;
extern const struct msg_welcome sample_welcome;
extern const struct msg_progress sample_progress;
extern const struct msg_tokens sample_tokens;          /* no entries */
extern const struct msg_tokens sample_tokens_logprobs; /* two tokens, with alternatives */
extern const struct msg_done sample_done;
extern const struct msg_error sample_error;
extern const struct msg_ready sample_ready;
extern const struct msg_heartbeat sample_heartbeat;
extern const struct msg_reply sample_reply;
extern const struct msg_work sample_work;
extern const struct msg_links sample_links;
extern const struct msg_ops_reply sample_ops_workers, sample_ops_stats, sample_ops_requests,
    sample_ops_explain, sample_ops_losses;

void sample_request(struct request *r); /* all keys; borrows static arrays, nothing to clear */
void sample_request_small(struct request *r); /* SPEC.md's example: one text, one picture */
void sample_request_raw(struct request *r);   /* a raw prompt of two parts, priority low */

/* Fills `out` and returns how many there are. */
size_t samples_make(struct sample out[SAMPLES_MAX]);
void samples_clear(struct sample *samples, size_t n);

#endif
