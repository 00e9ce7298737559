/* process.h - starting real programs from tests, and never leaving one behind. */
#ifndef QUIRE_TESTS_SUPPORT_PROCESS_H
#define QUIRE_TESTS_SUPPORT_PROCESS_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#define PROCESS_MAX_ARGUMENTS 48
#define PROCESS_WAIT_MS 60000 /* how long a test waits for a program to do what it must */

struct process {
    pid_t pid; /* 0: not running */
};

/* Starts argv[0] (a path) with standard output in `out` and standard error in `err`, files that are
 * appended to; NULL: nowhere. The child dies with the test. */
void process_start(struct process *p, const char *const *argv, const char *out, const char *err);

/* Waits for its end; returns the wait status, or -1 after wait_ms. */
int process_wait(struct process *p, int wait_ms);

void process_signal(const struct process *p, int number);

/* Kills it if it runs, and waits. */
void process_kill(struct process *p);

/* Runs a program to its end with `input` as its standard input (NULL: none), its output in *out
 * (malloc, NUL-terminated, freed by the caller; standard error too if `both`). Returns the exit
 * code, or -1 when it was killed or took longer than PROCESS_WAIT_MS. */
int process_run(const char *const *argv, const char *input, bool both, char **out);

/* The whole of a file, NUL-terminated; NULL when it can't be read. */
char *process_read_file(const char *path);

#endif
