/* settings.h - what an operator may set of a worker; quire-worker --help lists it. */
#ifndef QUIRE_WORKER_SETTINGS_H
#define QUIRE_WORKER_SETTINGS_H

#include <stdbool.h>
#include <stdint.h>

#include "common/config.h"
#include "common/error.h"
#include "common/log.h"
#include "common/paths.h"
#include "proto/limits.h"

#define SETTINGS_CREDITS 4
#define SETTINGS_PICTURES 16
#define SETTINGS_DRAIN_SECONDS 30

struct settings {
    const char *model, *mmproj, *chat_template; /* NULL: not set */
    const char *broker;                         /* endpoint */
    const char *name;
    int64_t threads, credits, kv_bytes, feature_bytes, context; /* 0 = by default, but credits */
    int64_t max_pictures, drain_seconds;
    enum log_level log_level;
    bool check, die_with_parent;

    char default_name[LIMIT_NAME_BYTES + 1];
    char default_broker[PATHS_ENDPOINT_BYTES];
    struct config config; /* owns texts from the file */
};

/* Reads all sources and fills in what nobody said. *outcome as in config.h. ERR_USAGE, ERR_IO. */
int settings_load(struct settings *s, int argc, char **argv, enum config_outcome *outcome,
                  struct error *e);
void settings_close(struct settings *s);

#endif
