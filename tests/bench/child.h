/* child.h - runs another program and keeps what it says. */
#ifndef QUIRE_TESTS_BENCH_CHILD_H
#define QUIRE_TESTS_BENCH_CHILD_H

#include <stdbool.h>

/* Runs argv[0] (a path) to its end and returns its standard output (standard error too if `both`),
 * NUL-terminated, the caller's to free. It is killed, and what it has said so far is returned,
 * after wait_ms, or as soon as it has said `enough` so many times (enough: NULL for never). NULL:
 * it can't be started. */
char *child_run(const char *const *argv, bool both, int wait_ms, const char *enough, int times);

#endif
