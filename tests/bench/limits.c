/* limits.c - loops of arithmetic, a large product for each member, and a large buffer read by all.
 */
#include "tests/bench/limits.h"

#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "common/clock.h"
#include "tests/bench/blas.h"
#include "tests/bench/peaks.h"

#define SIDE 1536                      /* of the square matrices */
#define READ_BYTES ((size_t)768 << 20) /* far more than any cache */
#define HUGE_PAGE ((size_t)2 << 20)
#define LOOP_US 8000.0 /* of arithmetic, in one measurement */

struct limits {
    struct team *team;
    float *matrices; /* three for each member */
    uint8_t *memory;
    uint64_t *found; /* [members]: so that reading cannot be left out */
    const struct peak *peak;
    uint64_t rounds; /* of peak */
    uint64_t f32_rounds, int8_rounds;
};

static void loop(void *arg, int member, int members) {
    (void)member, (void)members;
    const struct limits *l = arg;
    l->peak->run(l->rounds);
}

static double loop_us(struct limits *l, const struct peak *p, uint64_t rounds) {
    l->peak = p;
    l->rounds = rounds;
    int64_t start = clock_us();
    team_run(l->team, loop, l);
    return (double)(clock_us() - start) + 1;
}

/* How many rounds take LOOP_US. The fastest of some: the first may wait for a thread to wake up. */
static uint64_t rounds_of(struct limits *l, const struct peak *p) {
    uint64_t rounds = 1000;
    for (;; rounds *= 2) {
        double us = loop_us(l, p, rounds);
        for (int i = 0; i < 4; i++)
            us = fmin(us, loop_us(l, p, rounds));
        if (us >= LOOP_US / 4)
            return (uint64_t)((double)rounds * LOOP_US / us) + 1;
    }
}

int limits_open(struct limits **out, struct team *t, struct error *e) {
    *out = NULL;
    int rc = blas_open(e);
    struct limits *l = calloc(1, sizeof *l);
    if (rc != 0 || l == NULL) {
        free(l);
        return rc != 0 ? rc : error_set(e, ERR_NOMEM, "no memory to measure with");
    }
    size_t members = (size_t)team_size(t), floats = members * 3 * SIDE * SIDE;
    l->team = t;
    l->matrices = aligned_alloc(64, floats * sizeof(float));
    l->memory = aligned_alloc(HUGE_PAGE, READ_BYTES);
    l->found = calloc(members, sizeof *l->found);
    if (l->matrices == NULL || l->memory == NULL || l->found == NULL) {
        limits_close(l);
        return error_set(e, ERR_NOMEM, "no memory to measure with: %zu MiB are needed",
                         (READ_BYTES + floats * sizeof(float)) >> 20);
    }
    for (size_t i = 0; i < floats; i++)
        l->matrices[i] = (float)(i % 13) * 0.125F - 0.75F;
    (void)madvise(l->memory, READ_BYTES, MADV_HUGEPAGE);
    memset(l->memory, 1, READ_BYTES);
    l->f32_rounds = rounds_of(l, peak_f32());
    l->int8_rounds = rounds_of(l, peak_int8());
    *out = l;
    return 0;
}

void limits_close(struct limits *l) {
    if (l == NULL)
        return;
    free(l->matrices);
    free(l->memory);
    free(l->found);
    free(l);
}

static void read_part(void *arg, int member, int members) {
    struct limits *l = arg;
    size_t pages = READ_BYTES / HUGE_PAGE;
    size_t from = pages * (size_t)member / (size_t)members;
    size_t to = pages * (size_t)(member + 1) / (size_t)members;
    l->found[member] = peak_read(l->memory + from * HUGE_PAGE, (to - from) * HUGE_PAGE);
}

static double peak_gops(struct limits *l, const struct peak *p, uint64_t rounds) {
    return p->ops * (double)rounds * team_size(l->team) / loop_us(l, p, rounds) * 1e-3;
}

static struct machine_speed speed_now(struct limits *l) {
    struct machine_speed s;
    s.f32_gflops = peak_gops(l, peak_f32(), l->f32_rounds);
    s.int8_gops = peak_gops(l, peak_int8(), l->int8_rounds);
    int64_t start = clock_us();
    team_run(l->team, read_part, l);
    s.read_gbytes = (double)READ_BYTES / (double)(clock_us() - start) * 1e-3;
    return s;
}

/* The better of two: a moment in which another process had the CPU is no limit. */
struct machine_speed limits_measure(struct limits *l) {
    struct machine_speed a = speed_now(l), b = speed_now(l);
    return (struct machine_speed){fmax(a.f32_gflops, b.f32_gflops), fmax(a.int8_gops, b.int8_gops),
                                  fmax(a.read_gbytes, b.read_gbytes)};
}

static void multiply(void *arg, int member, int members) {
    struct limits *l = arg;
    (void)members;
    float *a = l->matrices + (size_t)member * 3 * SIDE * SIDE;
    blas_sgemm(true, SIDE, SIDE, SIDE, 1, a, SIDE, a + SIDE * SIDE, SIDE, 0, a + 2 * SIDE * SIDE,
               SIDE);
}

double limits_sgemm_gflops(struct limits *l) {
    int64_t start = clock_us();
    team_run(l->team, multiply, l);
    double us = (double)(clock_us() - start);
    return 2.0 * SIDE * SIDE * SIDE * team_size(l->team) / us * 1e-3;
}

const char *limits_f32_name(void) {
    return peak_f32()->name;
}

const char *limits_int8_name(void) {
    return peak_int8()->name;
}
