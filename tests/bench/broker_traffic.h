/* broker_traffic.h - what goes through the broker in its benchmark: requests of a known size, and the
 * workers that answer them at once. */
#ifndef QUIRE_TESTS_BENCH_BROKER_TRAFFIC_H
#define QUIRE_TESTS_BENCH_BROKER_TRAFFIC_H

#include <stdbool.h>
#include <stdint.h>

#include "proto/message.h"

#define TRAFFIC_TEXT_BYTES 256 /* of a request, all its messages together */
#define TRAFFIC_SEGMENTS 20    /* messages of a long request, each a segment of its own */

/* Request `number` of `n_messages` messages. Equal numbers give equal chains, other numbers share no
 * segment. Appends the encoded REQUEST under a fresh id. */
void traffic_request(uint32_t number, uint32_t n_messages, struct wire_buffer *out);

struct stub_options {
    const char *endpoint;
    int number, of; /* this one among how many; it holds the requests with number % of == number */
    bool plain;     /* behind a proxy: no READY, no REPLY */
    uint32_t links; /* it tells the broker of so many, TRAFFIC_SEGMENTS for each request */
};
/* Answers each request with one token and DONE until it is killed. Returns an exit code. */
int stub_run(const struct stub_options *o);

#endif
