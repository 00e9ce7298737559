/* options.h - the settings of quire-broker. */
#ifndef QUIRE_BROKER_SHELL_OPTIONS_H
#define QUIRE_BROKER_SHELL_OPTIONS_H

#include <stdbool.h>

#include "broker/core.h"
#include "common/config.h"
#include "common/log.h"
#include "common/paths.h"

struct options {
    const char *clients, *workers; /* endpoints, "," between several */
    int64_t client_backlog;        /* messages kept for a client that does not read */
    enum log_level log_level;
    struct broker_settings broker;
    const char *index; /* directory; NULL: off */
    uint64_t index_links;
    const char *secret; /* file */
    bool exit_now;      /* --help or --version was answered */

    char default_clients[PATHS_ENDPOINT_BYTES], default_workers[PATHS_ENDPOINT_BYTES];
    char default_index[PATHS_ENDPOINT_BYTES], default_secret[PATHS_ENDPOINT_BYTES];
    struct config config; /* owns texts that came from the file */
};

/* Reads file, environment and flags. *o must not move afterwards. ERR_USAGE, ERR_IO, ERR_LIMIT with
 * a sentence. */
int options_load(struct options *o, int argc, char **argv, struct error *e);
void options_close(struct options *o);

#endif
