/* cpus.h - sets of CPUs: as texts like "0-7,9", and those that this process may use. */
#ifndef QUIRE_COMMON_CPUS_H
#define QUIRE_COMMON_CPUS_H

#include <sched.h>
#include <stdbool.h>
#include <stddef.h>

#include "common/error.h"

#define CPUS_TEXT_BYTES 4096 /* the longest that cpus_write makes: every second CPU of 1024 */

static inline void cpus_add(cpu_set_t *cpus, int cpu) { /* 0 .. CPU_SETSIZE - 1 */
    CPU_SET((size_t)cpu, cpus);
}
static inline bool cpus_has(const cpu_set_t *cpus, int cpu) {
    return CPU_ISSET((size_t)cpu, cpus);
}

/* At least one CPU. ERR_USAGE names what is wrong in `text`. */
int cpus_parse(const char *text, cpu_set_t *out, struct error *e);
/* Ascending, with ranges; always terminated. */
void cpus_write(const cpu_set_t *cpus, char out[CPUS_TEXT_BYTES]);
/* The CPU before which there are i others in the set; -1 when there are not that many. */
int cpus_nth(const cpu_set_t *cpus, int i);

void cpus_allowed(cpu_set_t *out); /* that this thread may run on; empty when nobody says */
/* How many threads can run at a time: those CPUs, or fewer where control groups grant less time;
 * at least 1. */
int cpus_usable(void);

/* The calling thread, and those that it starts from now on, run on these only. ERR_USAGE names one
 * that they may not run on. */
int cpus_keep_to(const cpu_set_t *cpus, struct error *e);

#endif
