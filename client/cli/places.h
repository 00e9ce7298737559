/* places.h - which CPUs each worker of a machine gets. */
#ifndef QUIRE_CLI_PLACES_H
#define QUIRE_CLI_PLACES_H

#include <sched.h>

struct place {
    int cpu;
    int node; /* NUMA node: whose memory is near */
    int core; /* lowest CPU of the core that it is a part of */
};

/* The CPUs of a set in the order of node, core, CPU; returns how many. sys: "/sys", or a test's
 * own. What it does not tell: one node, and each CPU a core. */
int places_read(const char *sys, const cpu_set_t *cpus, struct place out[CPU_SETSIZE]);

/* Divides n such places among `workers` (1..n) into sets that share no CPU and are about equally
 * large: several workers on a node, or several whole nodes for a worker, and CPUs of one core
 * together; only where nodes are too uneven for that, somebody's CPUs are on two of them. */
void places_divide(const struct place *places, int n, int workers, cpu_set_t *out);

#endif
