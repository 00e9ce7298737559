/* team.h - a fixed set of threads that run one function together.
 *
 * team_run(f) calls f(arg, i, n) once for each i in 0..n-1, the caller being member 0, and returns
 * when all are done. Members spin for a moment, then sleep. Work is split by output, never by
 * reduction, so that results do not depend on n (design: exactness). One user at a time. The team
 * is the engine's only source of threads. */
#ifndef QUIRE_ENGINE_TEAM_H
#define QUIRE_ENGINE_TEAM_H

#include <sched.h>

#include "common/error.h"

#define TEAM_MAX 256

struct team;
int team_open(struct team **out, int n, struct error *e); /* 1..TEAM_MAX */
void team_close(struct team *t);

/* Every member stays on a CPU of its own from now on, member i on the i-th of these: so none is
 * moved away from its cache and its node's memory, and no two meet on one CPU. Member 0 is the
 * thread that calls team_run; it takes its place itself, by team_take_place, if it is to stay
 * there. ERR_USAGE when there are fewer CPUs than members or one can't be used. */
int team_pin(struct team *t, const cpu_set_t *cpus, struct error *e);
/* The calling thread takes member 0's place. Nothing when the team is not pinned. ERR_USAGE. */
int team_take_place(const struct team *t, struct error *e);

int team_size(const struct team *t);
void team_run(struct team *t, void (*f)(void *arg, int member, int members), void *arg);

#endif
