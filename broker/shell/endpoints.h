/* endpoints.h - binding a socket to its endpoints, each served by one broker only. */
#ifndef QUIRE_BROKER_SHELL_ENDPOINTS_H
#define QUIRE_BROKER_SHELL_ENDPOINTS_H

#include <stddef.h>

#include "common/error.h"

#define ENDPOINTS_MAX 8         /* in one list */
#define ENDPOINT_PATH_BYTES 120 /* of a lock file; a unix socket's path is shorter */

/* What guards the ipc endpoints of one socket. */
struct endpoints {
    struct {
        int fd;
        char path[ENDPOINT_PATH_BYTES];
    } locks[ENDPOINTS_MAX];
    size_t n_locks;
};

/* Binds socket to every endpoint of the list ("," between them), locking ipc paths first. Keeps the
 * locks in *held, which endpoints_close gives back, also after a failure. `flag` names the setting
 * in sentences. ERR_USAGE, ERR_IO, ERR_LIMIT. */
int endpoints_bind(struct endpoints *held, void *socket, const char *list, const char *flag,
                   struct error *e);

/* After the socket is closed and its context is gone. A zeroed one is fine. */
void endpoints_close(struct endpoints *held);

#endif
