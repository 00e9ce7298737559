/* paths.h - where the local sockets live: a directory of mode 0700 that belongs to the user.
 *
 * QUIRE_RUNTIME_DIR, else $XDG_RUNTIME_DIR/quire, else /tmp/quire-<uid>. A directory that exists
 * with another owner, a wider mode, or as a link is refused. */
#ifndef QUIRE_COMMON_PATHS_H
#define QUIRE_COMMON_PATHS_H

#include <stddef.h>

#include "common/error.h"

/* The longest endpoint that fits a unix socket address, with "ipc://" and NUL. */
#define PATHS_ENDPOINT_BYTES 114

/* Writes the directory's path; creates it when missing. ERR_IO, ERR_LIMIT. */
int paths_runtime_dir(char *out, size_t capacity, struct error *e);

/* Writes "ipc://DIRECTORY/<which>.ipc"; which is "clients" or "workers". */
int paths_endpoint(char *out, size_t capacity, const char *which, struct error *e);

#endif
