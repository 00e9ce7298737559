/* team.h - a fixed set of threads that run one function together.
 *
 * team_run(f) calls f(arg, i, n) once for each i in 0..n-1, the caller being member 0, and returns
 * when all are done. Members spin for a moment, then sleep. Work is split by output, never by
 * reduction, so that results do not depend on n (design: exactness). One user at a time. OpenBLAS
 * runs single-threaded inside members; the team is the only source of threads. */
#ifndef QUIRE_ENGINE_TEAM_H
#define QUIRE_ENGINE_TEAM_H

#include "common/error.h"

#define TEAM_MAX 256

struct team;
int team_open(struct team **out, int n, struct error *e); /* 1..TEAM_MAX */
void team_close(struct team *t);
int team_size(const struct team *t);
void team_run(struct team *t, void (*f)(void *arg, int member, int members), void *arg);

#endif
