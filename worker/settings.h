/* settings.h - what an operator may set of a worker; quire-worker --help lists it. */
#ifndef QUIRE_WORKER_SETTINGS_H
#define QUIRE_WORKER_SETTINGS_H

#include <sched.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/config.h"
#include "common/error.h"
#include "common/log.h"
#include "common/paths.h"
#include "proto/limits.h"
#include "worker/engine/kv.h"
#include "worker/engine/pack_dir.h"

#define SETTINGS_CREDITS 4
#define SETTINGS_PICTURES 16
#define SETTINGS_DRAIN_SECONDS 30

struct settings {
    const char *model, *mmproj, *chat_template; /* NULL: not set */
    const char *kv_type_name;                   /* NULL: not set */
    enum kv_type kv_type;                       /* what it means */
    const char *broker;                         /* endpoint */
    const char *name;
    const char *packs; /* directory of shared packed weights; "": none */
    int64_t threads, credits, kv_bytes, feature_bytes, context; /* 0 = by default, but credits */
    int64_t max_pictures, drain_seconds, max_step_ms;
    bool has_cpus;
    cpu_set_t cpus; /* where it computes; when has_cpus */
    enum log_level log_level;
    bool check, die_with_parent;

    char default_name[LIMIT_NAME_BYTES + 1];
    char default_broker[PATHS_ENDPOINT_BYTES];
    char default_packs[PACK_DIR_PATH_BYTES];
    struct config config; /* owns texts from the file */
};

/* Reads all sources and fills in what nobody said. *outcome as in config.h. ERR_USAGE, ERR_IO. */
int settings_load(struct settings *s, int argc, char **argv, enum config_outcome *outcome,
                  struct error *e);
void settings_close(struct settings *s);

#endif
