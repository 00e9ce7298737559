/* bench_broker.c - what the broker costs, beside a ZeroMQ proxy that only passes messages on.
 *
 * The real quire-broker and a zmq_proxy (ROUTER to DEALER) stand between the same client and the same
 * stub workers, all of them processes of their own, and are measured in turns, so that noise hits
 * both alike. Each request gets one TOKENS and one DONE. The broker knows the holders of as many
 * links as --links says before the first request. */
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zmq.h>

#include "common/clock.h"
#include "common/must.h"
#include "proto/wire/wire.h"
#include "tests/bench/broker_traffic.h"
#include "tests/support/process.h"
#include "tests/support/temp.h"

#define STUBS 2
#define WINDOW 32 /* requests under way while the rate is measured */
#define ROUNDS_MAX 15
#define SAMPLES 2000 /* requests one after another, for the latency */
#define WAIT_MS 120000

struct settings {
    const char *broker;
    uint32_t links;
    int rounds, seconds;
};

/* Something that stands between a client and workers. */
struct middle {
    const char *name;
    char front[160], back[160];
    struct process process, stubs[STUBS];
    void *socket;
    double rate[ROUNDS_MAX], latency_us[ROUNDS_MAX];
};

struct load {
    uint32_t n_messages, numbers; /* the requests of a run are drawn from so many */
    uint32_t next;
    struct wire_message in;
};

/* ---- processes ---- */

static int proxy_run(const char *front, const char *back) {
    void *context = zmq_ctx_new();
    void *router = zmq_socket(context, ZMQ_ROUTER), *dealer = zmq_socket(context, ZMQ_DEALER);
    MUST(zmq_bind(router, front) == 0 && zmq_bind(dealer, back) == 0);
    return zmq_proxy(router, dealer, NULL);
}

static void start_stubs(struct middle *m, const char *self, bool plain, uint32_t links) {
    for (int i = 0; i < STUBS; i++) {
        char number[16], count[16];
        (void)snprintf(number, sizeof number, "%d", i);
        (void)snprintf(count, sizeof count, "%u", links);
        const char *argv[] = {self, "--stub", m->back, number, plain ? "plain" : "quire", count,
                              NULL};
        process_start(&m->stubs[i], argv, NULL, "/dev/stderr");
    }
}

static void start_proxy(struct middle *m, const struct temp_dir *dir, const char *self) {
    m->name = "zmq_proxy";
    (void)snprintf(m->front, sizeof m->front, "ipc://%s/front", dir->path);
    (void)snprintf(m->back, sizeof m->back, "ipc://%s/back", dir->path);
    const char *argv[] = {self, "--proxy", m->front, m->back, NULL};
    process_start(&m->process, argv, NULL, "/dev/stderr");
    start_stubs(m, self, true, 0);
}

static void start_broker(struct middle *m, const struct temp_dir *dir, const char *self,
                         const struct settings *s) {
    m->name = "quire-broker";
    (void)snprintf(m->front, sizeof m->front, "ipc://%s/clients.ipc", dir->path);
    (void)snprintf(m->back, sizeof m->back, "ipc://%s/workers.ipc", dir->path);
    char index[160];
    (void)snprintf(index, sizeof index, "%s/index", dir->path);
    setenv("QUIRE_RUNTIME_DIR", dir->path, 1);
    const char *argv[] = {s->broker,  "--clients", m->front, "--workers", m->back, "--index",
                          index, NULL};
    process_start(&m->process, argv, NULL, "/dev/stderr");
    start_stubs(m, self, false, s->links);
}

static void stop(struct middle *m) {
    if (m->socket != NULL)
        MUST(zmq_close(m->socket) == 0);
    for (int i = 0; i < STUBS; i++)
        process_kill(&m->stubs[i]);
    process_kill(&m->process);
}

/* ---- the client ---- */

static void send_request(struct middle *m, struct load *l) {
    struct wire_buffer b = {0};
    struct error e;
    l->next = l->next * 1664525u + 1013904223u;
    traffic_request((l->next >> 8) % l->numbers, l->n_messages, &b);
    MUST(wire_send_buffer(m->socket, (struct bytes){0}, &b, &e) == 0);
}

/* Waits for the next message of that type; what else comes is passed over. */
static void receive(struct middle *m, struct load *l, enum message_type wanted) {
    int64_t until_ms = clock_ms() + WAIT_MS;
    while (clock_ms() < until_ms) {
        struct error e;
        enum message_type type;
        int rc = wire_recv_wait(m->socket, &l->in, 1000, &e);
        MUST(rc >= 0);
        if (rc == WIRE_AGAIN)
            continue;
        MUST(message_peek(wire_frame(&l->in, 0), &type, &e) == 0);
        MUST(type != MSG_ERROR);
        if (type == wanted)
            return;
    }
    fprintf(stderr, "bench-broker: no answer through %s for %d s\n", m->name, WAIT_MS / 1000);
    exit(1);
}

static double measure_rate(struct middle *m, struct load *l, int seconds) {
    for (int i = 0; i < WINDOW; i++)
        send_request(m, l);
    int64_t begin_us = clock_us(), end_us = begin_us + (int64_t)seconds * 1000000;
    uint64_t n = 0;
    while (clock_us() < end_us) {
        receive(m, l, MSG_DONE);
        send_request(m, l);
        n++;
    }
    double rate = (double)n * 1e6 / (double)(clock_us() - begin_us);
    for (int i = 0; i < WINDOW; i++)
        receive(m, l, MSG_DONE);
    return rate;
}

static int by_value(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

static double median(double *v, size_t n) {
    qsort(v, n, sizeof *v, by_value);
    return v[n / 2];
}

static double measure_latency(struct middle *m, struct load *l) {
    static double us[SAMPLES];
    for (int i = 0; i < SAMPLES; i++) {
        int64_t begin_us = clock_us();
        send_request(m, l);
        receive(m, l, MSG_TOKENS);
        us[i] = (double)(clock_us() - begin_us);
        receive(m, l, MSG_DONE);
    }
    return median(us, SAMPLES);
}

static struct pool_stats stats_of(struct middle *m, struct load *l) {
    struct wire_buffer b = {0};
    struct error e;
    MUST(ops_encode(&(struct msg_ops){.serial = 1, .query = OPS_STATS}, &b) == 0);
    MUST(wire_send_buffer(m->socket, (struct bytes){0}, &b, &e) == 0);
    receive(m, l, MSG_OPS_REPLY);
    struct msg_ops_reply reply;
    MUST(ops_reply_decode(&reply, wire_frame(&l->in, 0), &e) == 0);
    struct pool_stats stats = reply.stats;
    ops_reply_clear(&reply);
    return stats;
}

/* The stubs' links arrive for some seconds. */
static void wait_for_links(struct middle *m, struct load *l, uint32_t links) {
    uint64_t known = 0;
    for (int64_t until_ms = clock_ms() + WAIT_MS; clock_ms() < until_ms; usleep(200000)) {
        struct pool_stats stats = stats_of(m, l);
        if (stats.workers == STUBS && stats.links == known && known >= links / 2)
            break;
        known = stats.links;
    }
    printf("links known to the broker: %llu of %u told\n", (unsigned long long)known, links);
}

/* ---- the report ---- */

static void compare(struct middle *proxy, struct middle *broker, struct load *l,
                    const struct settings *s) {
    for (int i = 0; i < s->rounds; i++) {
        struct middle *both[] = {proxy, broker};
        for (int k = 0; k < 2; k++) {
            both[k]->rate[i] = measure_rate(both[k], l, s->seconds);
            both[k]->latency_us[i] = measure_latency(both[k], l);
        }
    }
    size_t n = (size_t)s->rounds;
    double rate[2] = {median(proxy->rate, n), median(broker->rate, n)};
    double us[2] = {median(proxy->latency_us, n), median(broker->latency_us, n)};
    printf("\n%u bytes of text in %u segment%s, medians of %d rounds\n", TRAFFIC_TEXT_BYTES,
           l->n_messages, l->n_messages == 1 ? "" : "s", s->rounds);
    printf("  %-14s %9s %18s\n", "", "requests/s", "first token, us");
    printf("  %-14s %10.0f %18.0f\n", proxy->name, rate[0], us[0]);
    printf("  %-14s %10.0f %18.0f\n", broker->name, rate[1], us[1]);
    printf("  %.1f %% of the proxy's rate, %.0f us more\n", 100 * rate[1] / rate[0], us[1] - us[0]);
    fflush(stdout);
}

static int run(const struct settings *s, const char *self) {
    struct temp_dir dir;
    struct middle proxy = {0}, broker = {0};
    struct load load = {.n_messages = 1, .numbers = s->links / TRAFFIC_SEGMENTS};
    temp_dir_open(&dir);
    start_proxy(&proxy, &dir, self);
    start_broker(&broker, &dir, self, s);
    void *context = zmq_ctx_new();
    struct middle *both[] = {&proxy, &broker};
    for (int i = 0; i < 2; i++) {
        both[i]->socket = zmq_socket(context, ZMQ_DEALER);
        MUST(zmq_connect(both[i]->socket, both[i]->front) == 0);
    }
    wire_message_init(&load.in);
    wait_for_links(&broker, &load, s->links);
    compare(&proxy, &broker, &load, s);
    load.n_messages = TRAFFIC_SEGMENTS;
    compare(&proxy, &broker, &load, s);
    wire_message_close(&load.in);
    stop(&proxy);
    stop(&broker);
    MUST(zmq_ctx_term(context) == 0);
    temp_dir_close(&dir);
    return 0;
}

static int usage(int code) {
    fputs("usage: bench-broker --broker PATH [--links N] [--rounds N] [--seconds N]\n",
          code == 0 ? stdout : stderr);
    return code;
}

int main(int argc, char **argv) {
    if (argc == 4 && strcmp(argv[1], "--proxy") == 0)
        return proxy_run(argv[2], argv[3]);
    if (argc == 6 && strcmp(argv[1], "--stub") == 0) {
        struct stub_options o = {.endpoint = argv[2],
                                 .number = atoi(argv[3]),
                                 .of = STUBS,
                                 .plain = strcmp(argv[4], "plain") == 0,
                                 .links = (uint32_t)strtoul(argv[5], NULL, 10)};
        return stub_run(&o);
    }
    static const struct option flags[] = {{"broker", required_argument, NULL, 'b'},
                                          {"links", required_argument, NULL, 'l'},
                                          {"rounds", required_argument, NULL, 'r'},
                                          {"seconds", required_argument, NULL, 's'},
                                          {"help", no_argument, NULL, 'h'},
                                          {0}};
    struct settings s = {.links = 1000000, .rounds = 5, .seconds = 2};
    int c;
    while ((c = getopt_long(argc, argv, "", flags, NULL)) != -1) {
        if (c == 'b')
            s.broker = optarg;
        else if (c == 'l')
            s.links = (uint32_t)strtoul(optarg, NULL, 10);
        else if (c == 'r')
            s.rounds = atoi(optarg);
        else if (c == 's')
            s.seconds = atoi(optarg);
        else
            return usage(c == 'h' ? 0 : 2);
    }
    if (s.broker == NULL || s.rounds < 1 || s.rounds > ROUNDS_MAX || s.seconds < 1 ||
        s.links < TRAFFIC_SEGMENTS)
        return usage(2);
    return run(&s, argv[0]);
}
