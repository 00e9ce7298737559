/* index_child.h - starting and ending quire-index. */
#ifndef QUIRE_BROKER_SHELL_INDEX_CHILD_H
#define QUIRE_BROKER_SHELL_INDEX_CHILD_H

#include <stdbool.h>
#include <sys/types.h>

#include "broker/shell/recorder.h"

struct index_child {
    pid_t pid; /* 0: none */
    int fd;    /* our end of the pair; -1: none */
};

/* Starts the program beside this one. tell: it is to tell what was recorded. anew: what lies there
 * is not to be trusted. ERR_IO with a sentence. */
int index_child_start(struct index_child *c, const struct recorder_settings *s, bool tell,
                      bool anew, struct error *e);

/* Whether it has ended; then *crashed says whether by its own fault, and text how. */
bool index_child_ended(struct index_child *c, bool *crashed, char *text, size_t capacity);

void index_child_kill(const struct index_child *c);

/* Waits for its end, at most wait_ms, and kills it then. */
void index_child_finish(struct index_child *c, int wait_ms);

#endif
