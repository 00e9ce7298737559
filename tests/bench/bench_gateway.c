/* bench_gateway.c - what the gateway costs: time to the first token beside the same request over
 * ZeroMQ, tokens a second over many streams, and memory.
 *
 * The real broker and the real gateway; the worker is a stub that sends tokens by the clock. Both
 * ways of a request are measured in turns, so that noise hits both alike. */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "client/quire.h"
#include "common/clock.h"
#include "common/must.h"
#include "tests/bench/gateway_load.h"
#include "tests/support/process.h"
#include "tests/support/temp.h"

#define SAMPLES 1000 /* pairs of requests for the first token */
#define WAIT_MS 20000
#define SLOW_SHARE 10
#define SETTLE_US 1000000 /* after the streams were opened */
#define HOST "127.0.0.1"
#define STUBS 4 /* a broker gives one worker no more than 256 requests */

struct settings {
    const char *bin;
    uint32_t streams;
    int64_t rate, seconds; /* rate: tokens a second over all streams */
};

struct bench {
    const struct settings *settings;
    const char *self;
    struct temp_dir dir;
    char front[160], back[160], said[160];
    struct process broker, gateway, stubs[STUBS];
    uint16_t port;
};

/* ---- processes ---- */

static void start_broker(struct bench *b) {
    char program[1100];
    (void)snprintf(program, sizeof program, "%s/quire-broker", b->settings->bin);
    const char *argv[] = {program,   "--clients", b->front,      "--workers", b->back,
                          "--index", "off",       "--log-level", "error",     NULL};
    process_start(&b->broker, argv, NULL, "/dev/stderr");
}

static void start_stubs(struct bench *b, int64_t interval_us) {
    for (int i = 0; i < STUBS; i++) {
        char interval[24], name[24];
        (void)snprintf(interval, sizeof interval, "%lld", (long long)interval_us);
        (void)snprintf(name, sizeof name, "paced-%d", i);
        const char *argv[] = {b->self, "--stub", b->back, interval, name, NULL};
        process_kill(&b->stubs[i]);
        process_start(&b->stubs[i], argv, NULL, "/dev/stderr");
    }
}

/* The gateway says where it listens. */
static uint16_t read_port(const struct bench *b) {
    for (int64_t until_ms = clock_ms() + WAIT_MS; clock_ms() < until_ms; usleep(20000)) {
        char *said = process_read_file(b->said);
        const char *at = said != NULL ? strstr(said, "http://" HOST ":") : NULL;
        uint16_t port =
            at != NULL ? (uint16_t)strtoul(at + strlen("http://" HOST ":"), NULL, 10) : 0;
        bool whole = at != NULL && strchr(at, '\n') != NULL;
        free(said);
        if (whole && port != 0)
            return port;
    }
    fprintf(stderr, "bench-gateway: the gateway does not say where it listens\n");
    exit(1);
}

static void start_gateway(struct bench *b) {
    char program[1100];
    (void)snprintf(program, sizeof program, "%s/quire-gateway", b->settings->bin);
    (void)snprintf(b->said, sizeof b->said, "%s/said", b->dir.path);
    const char *argv[] = {program,       "--http", HOST ":0",    "--endpoint", b->front,
                          "--log-level", "warn",   "--requests", "1024",       NULL};
    process_start(&b->gateway, argv, b->said, "/dev/stderr");
    b->port = read_port(b);
}

/* A field of /proc/PID/status in KiB. */
static long memory_kib(const struct process *p, const char *field) {
    char path[64], line[256];
    long kib = 0;
    (void)snprintf(path, sizeof path, "/proc/%d/status", (int)p->pid);
    FILE *f = fopen(path, "r");
    MUST(f != NULL);
    while (fgets(line, sizeof line, f) != NULL)
        if (strncmp(line, field, strlen(field)) == 0)
            kib = strtol(line + strlen(field) + 1, NULL, 10);
    (void)fclose(f);
    return kib;
}

/* Processor time that a process used so far. */
static double processor_s(const struct process *p) {
    char path[64], text[1024];
    unsigned long user = 0, kernel = 0;
    (void)snprintf(path, sizeof path, "/proc/%d/stat", (int)p->pid);
    FILE *f = fopen(path, "r");
    MUST(f != NULL && fgets(text, sizeof text, f) != NULL);
    (void)fclose(f);
    const char *after = strrchr(text, ')');
    MUST(after != NULL && sscanf(after + 1, " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu",
                                 &user, &kernel) == 2);
    return (double)(user + kernel) / (double)sysconf(_SC_CLK_TCK);
}

/* ---- the first token ---- */

static int by_value(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

static double quantile(double *v, size_t n, double q) {
    qsort(v, n, sizeof *v, by_value);
    return v[(size_t)(q * (double)(n - 1))];
}

static struct quire_client *connect_client(const struct bench *b) {
    struct quire_client *client = NULL;
    struct quire_error error = {0};
    struct quire_stats stats = {0};
    for (int64_t until_ms = clock_ms() + WAIT_MS; clock_ms() < until_ms; usleep(50000)) {
        if (client == NULL && quire_open(&client, b->front, 1000, &error) != 0)
            continue;
        if (quire_stats(client, 1000, &stats, &error) == 0 && stats.workers == STUBS)
            return client;
    }
    fprintf(stderr, "bench-gateway: no worker at the broker: %s\n", error.text);
    exit(1);
}

static double zeromq_first_us(struct quire_client *client, const struct quire_request *request) {
    uint8_t id[QUIRE_ID_BYTES];
    struct quire_event event = {0};
    int64_t begin_us = clock_us(), first_us = 0;
    MUST(quire_send(client, request, id, NULL) == 0);
    while (quire_next(client, WAIT_MS, &event, NULL) > 0 && !event.last)
        if (event.kind == QUIRE_TOKENS && first_us == 0)
            first_us = clock_us();
    MUST(event.kind == QUIRE_DONE && first_us != 0);
    return (double)(first_us - begin_us);
}

static void measure_first_token(struct bench *b) {
    static double zeromq[SAMPLES], http[SAMPLES];
    struct quire_client *client = connect_client(b);
    struct quire_request *request = quire_request_new();
    struct quire_options options;
    quire_options_default(&options);
    options.max_tokens = 1;
    MUST(request != NULL && quire_request_message(request, QUIRE_USER) == 0 &&
         quire_request_text(request, "Go on.", 6) == 0);
    quire_request_options(request, &options);
    int fd = streams_connect(HOST, b->port);
    for (int i = 0; i < SAMPLES; i++) {
        zeromq[i] = zeromq_first_us(client, request);
        http[i] = (double)streams_first_token_us(fd, HOST);
    }
    (void)close(fd);
    quire_request_free(request);
    quire_close(client);
    double z50 = quantile(zeromq, SAMPLES, 0.5), h50 = quantile(http, SAMPLES, 0.5);
    double z99 = quantile(zeromq, SAMPLES, 0.99), h99 = quantile(http, SAMPLES, 0.99);
    printf("first token, us, %d requests each way in turns\n", SAMPLES);
    printf("  %-10s %10s %10s\n", "", "median", "p99");
    printf("  %-10s %10.0f %10.0f\n", "ZeroMQ", z50, z99);
    printf("  %-10s %10.0f %10.0f\n", "HTTP", h50, h99);
    printf("  the gateway adds %.0f us at the median\n\n", h50 - z50);
    fflush(stdout);
}

/* ---- many streams ---- */

static void measure_streams(struct bench *b) {
    const struct settings *s = b->settings;
    struct streams_totals begin, end;
    long before_kib = memory_kib(&b->gateway, "VmRSS:");
    uint32_t tokens = (uint32_t)(2 * s->rate * (s->seconds + 10) / s->streams);
    start_stubs(b, 1000000 * (int64_t)s->streams / s->rate);
    quire_close(connect_client(b));
    struct streams *all = streams_open(HOST, b->port, s->streams, tokens, true);
    streams_read(all, SETTLE_US, &begin);
    double cpu_s = processor_s(&b->gateway);
    int64_t begin_us = clock_us();
    streams_read(all, 1000000 * s->seconds, &end);
    double seconds = (double)(clock_us() - begin_us) / 1e6;
    cpu_s = processor_s(&b->gateway) - cpu_s;
    long during_kib = memory_kib(&b->gateway, "VmRSS:");
    streams_close(all);
    uint64_t got = end.tokens - begin.tokens;
    printf("%u open streams, %lld tokens/s offered, %lld s\n", s->streams, (long long)s->rate,
           (long long)s->seconds);
    printf("  %.0f tokens/s arrived (%u streams failed), %.0f bytes each\n", (double)got / seconds,
           end.failed, got > 0 ? (double)(end.bytes - begin.bytes) / (double)got : 0.0);
    printf("  gateway: %.0f %% of a processor, %.1f us a token\n", 100 * cpu_s / seconds,
           got > 0 ? 1e6 * cpu_s / (double)got : 0.0);
    printf("  gateway's memory: %.1f MiB before, %.1f MiB with the streams (%.1f KiB each)\n\n",
           (double)before_kib / 1024, (double)during_kib / 1024,
           (double)(during_kib - before_kib) / s->streams);
    fflush(stdout);
}

/* Readers that never read are cut off once their backlog is full; a tenth of the streams at ten
 * times the speed get there soon. */
static void measure_slow_readers(struct bench *b) {
    const struct settings *s = b->settings;
    struct streams_totals totals = {0};
    uint32_t n = (s->streams + SLOW_SHARE - 1) / SLOW_SHARE;
    long before_kib = memory_kib(&b->gateway, "VmRSS:");
    start_stubs(b, 1000000 * (int64_t)n / s->rate);
    quire_close(connect_client(b));
    struct streams *all = streams_open(HOST, b->port, n, UINT16_MAX, false);
    streams_read(all, 2000000 * s->seconds, &totals);
    double cut = streams_metric(HOST, b->port, "quire_gateway_slow_readers_cut_total");
    streams_close(all);
    printf("%u streams that nobody reads, %lld tokens/s offered, %lld s\n", n, (long long)s->rate,
           2 * (long long)s->seconds);
    printf("  %.0f cut off; gateway's memory: %.1f MiB before, %.1f MiB at most\n", cut,
           (double)before_kib / 1024, (double)memory_kib(&b->gateway, "VmHWM:") / 1024);
    fflush(stdout);
}

/* ---- the command ---- */

static int run(const struct settings *s, const char *self) {
    struct bench b = {.settings = s, .self = self};
    temp_dir_open(&b.dir);
    setenv("QUIRE_RUNTIME_DIR", b.dir.path, 1);
    setenv("QUIRE_CONFIG", "/dev/null", 1);
    (void)snprintf(b.front, sizeof b.front, "ipc://%s/clients.ipc", b.dir.path);
    (void)snprintf(b.back, sizeof b.back, "ipc://%s/workers.ipc", b.dir.path);
    start_broker(&b);
    start_stubs(&b, 0);
    start_gateway(&b);
    measure_first_token(&b);
    measure_streams(&b);
    measure_slow_readers(&b);
    process_kill(&b.gateway);
    for (int i = 0; i < STUBS; i++)
        process_kill(&b.stubs[i]);
    process_kill(&b.broker);
    temp_dir_close(&b.dir);
    return 0;
}

static int usage(int code) {
    fputs("usage: bench-gateway --bin DIR [--streams N] [--rate TOKENS] [--seconds N]\n",
          code == 0 ? stdout : stderr);
    return code;
}

int main(int argc, char **argv) {
    if (argc == 5 && strcmp(argv[1], "--stub") == 0)
        return paced_run(&(struct paced_options){argv[2], argv[4], strtoll(argv[3], NULL, 10)});
    static const struct option flags[] = {
        {"bin", required_argument, NULL, 'b'},  {"streams", required_argument, NULL, 'n'},
        {"rate", required_argument, NULL, 'r'}, {"seconds", required_argument, NULL, 's'},
        {"help", no_argument, NULL, 'h'},       {0}};
    struct settings s = {.streams = 500, .rate = 20000, .seconds = 10};
    int c;
    while ((c = getopt_long(argc, argv, "", flags, NULL)) != -1) {
        if (c == 'b')
            s.bin = optarg;
        else if (c == 'n')
            s.streams = (uint32_t)strtoul(optarg, NULL, 10);
        else if (c == 'r')
            s.rate = strtoll(optarg, NULL, 10);
        else if (c == 's')
            s.seconds = strtoll(optarg, NULL, 10);
        else
            return usage(c == 'h' ? 0 : 2);
    }
    if (s.bin == NULL || s.streams < 1 || s.streams > PACED_STREAMS / 2 || s.rate < 1 ||
        s.seconds < 1 || s.seconds > 3600)
        return usage(2);
    return run(&s, argv[0]);
}
