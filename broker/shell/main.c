/* main.c - quire-broker: settings, limits of the process, then the loop. */
#include <stdio.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "broker/shell/accept.h"
#include "broker/shell/options.h"
#include "broker/shell/server.h"

/* Each connection is a file descriptor. The soft limit of 1024 that most systems start programs
 * with is far below what they allow. */
static void raise_file_limit(void) {
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur == limit.rlim_max)
        return;
    limit.rlim_cur = limit.rlim_max;
    if (setrlimit(RLIMIT_NOFILE, &limit) != 0)
        log_warn("file-limit", "soft limit can't be raised to %llu",
                 (unsigned long long)limit.rlim_max);
}

static int serve(const struct options *options, struct error *e) {
    struct server *server;
    int rc = server_open(&server, options, e);
    if (rc == 0)
        rc = server_run(server, e);
    server_close(server);
    return rc;
}

int main(int argc, char **argv) {
    struct options options;
    struct error e = {0};
    int rc = options_load(&options, argc, argv, &e);
    if (rc == 0 && !options.exit_now) {
        log_set_level(options.log_level);
        (void)umask(0077); /* sockets and locks are for this user only */
        raise_file_limit();
        accept_guard();
        rc = serve(&options, &e);
    }
    if (rc != 0)
        fprintf(stderr, "quire-broker: %s\n", e.text);
    options_close(&options);
    return error_exit_code(rc);
}
