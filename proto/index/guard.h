/* guard.h - work on a file that may be damaged, in a process that may die of it.
 *
 * LMDB maps its file and follows what it finds there: a damaged one can end in a signal or in a
 * loop. Whoever reads the index and must live reads it in here. */
#ifndef QUIRE_PROTO_INDEX_GUARD_H
#define QUIRE_PROTO_INDEX_GUARD_H

#include "common/error.h"

/* Forks, runs work(arg) in the child and waits for it, at most limit_ms. Returns what it returned,
 * with its sentence; ERR_IO with a sentence when it crashed, hung or could not be started. The
 * child's standard output is ours; nothing that it changes in memory is. Not for a process with
 * threads or with an LMDB environment open. */
int guard_run(int (*work)(void *arg, struct error *e), void *arg, int limit_ms, struct error *e);

#endif
