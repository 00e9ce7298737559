/* gateway_load.h - what the gateway's benchmark puts before and behind it: streams over HTTP that
 * one thread reads, and a worker that sends tokens by the clock. */
#ifndef QUIRE_TESTS_BENCH_GATEWAY_LOAD_H
#define QUIRE_TESTS_BENCH_GATEWAY_LOAD_H

#include <stdbool.h>
#include <stdint.h>

#define PACED_STREAMS 1024 /* that the stub works on at a time */

/* A worker that computes nothing: each request gets max_tokens tokens of TOKEN_TEXT, the first one
 * at once and then one every interval. Runs until it is killed. */
struct paced_options {
    const char *endpoint; /* of workers, at the broker */
    const char *name;
    int64_t interval_us;
};
int paced_run(const struct paced_options *o);

/* Streams of chat completions, all on one thread. */
struct streams;
struct streams_totals {
    uint64_t tokens, bytes;       /* that came; tokens: events with content */
    uint32_t open, ended, failed; /* ended: with "[DONE]" */
};
/* Opens n streams of `tokens` tokens each at a numeric address. Readers that do not read: `read`
 * false. */
struct streams *streams_open(const char *host, uint16_t port, uint32_t n, uint32_t tokens,
                             bool read);
/* Reads what comes for so long, or until all ended. */
void streams_read(struct streams *s, int64_t microseconds, struct streams_totals *out);
void streams_close(struct streams *s);

/* One request of one token over a kept connection: microseconds to its first token's last byte. */
int64_t streams_first_token_us(int fd, const char *host);
/* The value of a series in the gateway's /metrics. */
double streams_metric(const char *host, uint16_t port, const char *series);
int streams_connect(const char *host, uint16_t port);

#endif
