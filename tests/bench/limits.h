/* limits.h - what the machine itself can do, measured beside the engine. */
#ifndef QUIRE_TESTS_BENCH_LIMITS_H
#define QUIRE_TESTS_BENCH_LIMITS_H

#include "worker/engine/team.h"

struct limits;
int limits_open(struct limits **out, struct team *t, struct error *e);
void limits_close(struct limits *l);

/* OpenBLAS's sgemm on all members, billions of floating-point operations a second. */
double limits_sgemm_gflops(struct limits *l);
/* Reading memory that no cache holds with all members, billions of bytes a second. */
double limits_read_gbytes(struct limits *l);

#endif
