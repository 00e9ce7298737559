/* limits.h - what the machine itself can do, measured beside the engine with the engine's threads.
 */
#ifndef QUIRE_TESTS_BENCH_LIMITS_H
#define QUIRE_TESTS_BENCH_LIMITS_H

#include "worker/engine/team.h"

/* Operations are multiplications and additions, each counted. All of the team's members work. */
struct machine_speed {
    double f32_gflops;  /* fused multiply-adds on registers alone */
    double int8_gops;   /* dot products of bytes on registers alone */
    double read_gbytes; /* memory that no cache holds, 10^9 bytes a second */
};

struct limits;
int limits_open(struct limits **out, struct team *t, struct error *e);
void limits_close(struct limits *l); /* NULL is fine */

/* All three, in about a tenth of a second. */
struct machine_speed limits_measure(struct limits *l);
/* OpenBLAS's sgemm of one large product for each member, GFLOP/s. */
double limits_sgemm_gflops(struct limits *l);

/* The instructions of the first two, for people: "AVX-512", "AVX-512 VNNI". */
const char *limits_f32_name(void);
const char *limits_int8_name(void);

#endif
