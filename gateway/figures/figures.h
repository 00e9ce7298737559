/* figures.h - what the gateway remembers of finished requests: histograms and counters since its
 * start, percentiles of the last five minutes, and the last FIGURES_RECORDS requests one by one. */
#ifndef QUIRE_GATEWAY_FIGURES_H
#define QUIRE_GATEWAY_FIGURES_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "client/quire.h"
#include "gateway/pool/observer.h"
#include "gateway/pool/pool.h"
#include "gateway/text.h"

#define FIGURES_RECORDS 256
#define FIGURES_SEGMENTS 128 /* of one record, the last ones */

struct record_segment {
    bool picture;
    uint8_t role;                    /* enum quire_role */
    uint32_t bytes, ends_at, reused; /* positions: where it ends; how many of its own were reused */
};
struct record {
    char request_id[33]; /* of the exchange */
    uint8_t id[16];      /* under which the broker knew it */
    char tenant[65], dialect[24], model[129], worker[65];
    char outcome[24]; /* "done", "cancelled", or an error's name: "busy", "deadline" */
    int status;       /* HTTP */
    bool stream;
    int64_t started_s;                      /* wall clock */
    int64_t arrived_us, first_us, ended_us; /* clock; first_us 0: no token */
    struct quire_usage usage;
    struct quire_timings timings;
    uint32_t attempts;
    struct record_segment segments[FIGURES_SEGMENTS];
    size_t n_segments;
};

struct figures;
int figures_open(struct figures **out);
void figures_close(struct figures *f);
void figures_add(struct figures *f, const struct record *r); /* keeps a copy */
/* Calls fn from figures_add, after the record was kept; FIGURES_LISTENERS at most, -1 beyond. */
#define FIGURES_LISTENERS 4
int figures_on_record(struct figures *f, void (*fn)(void *arg, const struct record *r), void *arg);
void figures_off_record(struct figures *f, void (*fn)(void *arg, const struct record *r),
                        void *arg);
/* The record of the request that the broker knew under this id; NULL when it is not (any more)
 * among the last ones. Lives until the next figures_add. */
const struct record *figures_find(const struct figures *f, const uint8_t id[QUIRE_ID_BYTES]);
/* Takes note of which incarnations of workers there are, to count those that were started again;
 * called with each snapshot. */
void figures_observe(struct figures *f, const struct snapshot *s);
/* The last records, newest first; of one tenant only when tenant is not NULL. Returns a new array.
 */
json_t *figures_records(struct figures *f, const char *tenant, size_t limit);
/* The same with each record's tenant in it, for admins. */
json_t *figures_records_all(struct figures *f, size_t limit);
json_t *figures_record_json(const struct record *r); /* without the tenant */
/* Three parts of it, for the "quire" object of an answer. New references; NULL: no memory. */
json_t *figures_usage_json(const struct quire_usage *u);
json_t *figures_timings_json(const struct quire_timings *t);
json_t *figures_segments_json(const struct record_segment *segments, size_t n);
/* first_token and per_token: p50, p90, p99 in ms over five minutes (sliding.h says how exactly),
 * counts; and FIGURES_PREDICTIONS pairs of prediction and outcome, newest first. */
#define FIGURES_PREDICTIONS 64
json_t *figures_percentiles(struct figures *f, int64_t now_us);

struct figures_http { /* of the HTTP side, filled by the server */
    uint64_t connections_total, requests_total, bytes_sent, slow_readers_cut, bad_requests;
    uint32_t connections, streams;
    uint64_t body_bytes;
};
/* The page of /metrics, in Prometheus' text format 0.0.4. */
void figures_metrics(struct figures *f, const struct snapshot *s, const struct pool_counts *p,
                     const struct figures_http *h, struct text *out);

#endif
