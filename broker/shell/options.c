/* options.c - the table of settings, and the core's settings made from it. */
#include "broker/shell/options.h"

#include <stdio.h>
#include <string.h>

#define INDEX_LINKS_MAX (1 << 26)

/* What the table writes to, in the types that config.h knows. */
struct raw {
    int64_t dead_ms, queue, queue_bytes, client_requests, worker_wait_ms, client_backlog;
    int64_t index_links;
    const char *log, *policy;
};

static const char summary[] =
    "Takes requests from clients, gives each to one of its workers and passes the answer back.\n"
    "Workers and clients find it at two endpoints; by default these are local sockets in a\n"
    "directory that only you can enter. A tcp endpoint is open to everyone who can reach it.";

static const char epilogue[] =
    "An endpoint is ipc://PATH or tcp://ADDRESS:PORT; \",\" separates several.\n"
    "Stop it with SIGTERM or Ctrl-C: what is under way is ended with an error, within two seconds.";

static void settings_from(const struct raw *raw, struct options *o) {
    o->broker.dead_ms = (uint32_t)raw->dead_ms;
    o->broker.queue_requests = (uint32_t)raw->queue;
    o->broker.queue_bytes = (uint64_t)raw->queue_bytes;
    o->broker.client_requests = (uint32_t)raw->client_requests;
    o->broker.worker_wait_ms = (uint32_t)raw->worker_wait_ms;
    o->client_backlog = raw->client_backlog;
    o->index_links = (uint64_t)raw->index_links;
    o->broker.links = 1;
    /* Its buckets fill unevenly; with a third of them to spare few links are pushed out early. */
    while (o->broker.links < o->index_links + o->index_links / 2)
        o->broker.links *= 2;
}

static int parse_policy(const char *name, enum routing_policy *out, struct error *e) {
    static const struct {
        const char *name;
        enum routing_policy policy;
    } policies[] = {{"earliest", POLICY_EARLIEST},
                    {"least-loaded", POLICY_LEAST_LOADED},
                    {"round-robin", POLICY_ROUND_ROBIN}};
    for (size_t i = 0; i < sizeof policies / sizeof policies[0]; i++)
        if (strcmp(name, policies[i].name) == 0) {
            *out = policies[i].policy;
            return 0;
        }
    return error_set(e, ERR_USAGE, "policy: \"%s\" is not earliest, least-loaded or round-robin",
                     name);
}

/* In the runtime directory, which is made when it is missing. */
static int default_path(char *out, size_t capacity, const char *name, struct error *e) {
    char directory[PATHS_ENDPOINT_BYTES];
    int rc = paths_runtime_dir(directory, sizeof directory, e);
    if (rc != 0)
        return rc;
    int n = snprintf(out, capacity, "%s/%s", directory, name);
    return n > 0 && (size_t)n < capacity
               ? 0
               : error_set(e, ERR_LIMIT, "%s/%s is too long a path", directory, name);
}

static int place_files(struct options *o, struct error *e) {
    int rc = 0;
    if (o->index && strcmp(o->index, "off") == 0) {
        o->index = NULL;
    } else if (!o->index) {
        rc = default_path(o->default_index, sizeof o->default_index, "index", e);
        o->index = o->default_index;
    }
    if (rc == 0 && !o->secret) {
        rc = default_path(o->default_secret, sizeof o->default_secret, "secret", e);
        o->secret = o->default_secret;
    }
    return rc;
}

static int load_table(struct options *o, struct raw *raw, int argc, char **argv, struct error *e) {
    const struct config_item items[] = {
        {"clients", 0, CONFIG_TEXT, &o->clients, 0, 0, "ENDPOINTS",
         "where clients connect\n(default clients.ipc in the runtime directory)"},
        {"workers", 0, CONFIG_TEXT, &o->workers, 0, 0, "ENDPOINTS",
         "where workers connect\n(default workers.ipc in the runtime directory)"},
        {"queue", 0, CONFIG_INT, &raw->queue, 1, BROKER_QUEUE_MAX, "N",
         "requests that may wait for a worker (256)"},
        {"queue-bytes", 0, CONFIG_BYTES, &raw->queue_bytes, 1 << 20, 1e12, "SIZE",
         "memory for requests that wait, or may have to be\nsent again (1G)"},
        {"client-requests", 0, CONFIG_INT, &raw->client_requests, 1, BROKER_QUEUE_MAX, "N",
         "requests one client may have under way (128)"},
        {"client-backlog", 0, CONFIG_INT, &raw->client_backlog, 1, 1000000, "N",
         "messages kept for a client that reads slowly,\nbefore it is cut off (10000)"},
        {"dead-ms", 0, CONFIG_INT, &raw->dead_ms, 100, 600000, "MS",
         "silence after which a worker counts as dead (2000)"},
        {"worker-wait-ms", 0, CONFIG_INT, &raw->worker_wait_ms, 0, LIMIT_DEADLINE_MS, "MS",
         "how long a request waits for a worker that serves\nits model to appear (10000)"},
        {"policy", 0, CONFIG_TEXT, &raw->policy, 0, 0, "NAME",
         "how a worker is chosen: earliest (first token, as predicted),\nleast-loaded or "
         "round-robin "
         "(earliest)"},
        {"index", 0, CONFIG_TEXT, &o->index, 0, 0, "DIR",
         "where it is recorded who holds which part of which prompt, for a\nrestart and for others "
         "to read; \"off\": nowhere\n(default index in the runtime directory)"},
        {"index-links", 0, CONFIG_INT, &raw->index_links, 64, INDEX_LINKS_MAX, "N",
         "parts of prompts remembered, in memory (64 bytes each) and in\nthe index; the oldest go "
         "first (1048576)"},
        {"secret", 0, CONFIG_TEXT, &o->secret, 0, 0, "FILE",
         "32 random bytes that the names of these parts are made with;\nmade when it is not there "
         "(default secret in the runtime directory)"},
        {"log-level", 0, CONFIG_TEXT, &raw->log, 0, 0, "LEVEL",
         "debug, info, warn, error or off (info)"},
    };
    o->config = (struct config){
        .program = "quire-broker",
        .section = "broker",
        .usage = "quire-broker [OPTION...]",
        .summary = summary,
        .epilogue = epilogue,
        .items = items,
        .n_items = sizeof items / sizeof items[0],
    };
    int operands = argc;
    enum config_outcome outcome = CONFIG_RUN;
    int rc = config_load(&o->config, argc, argv, &operands, &outcome, e);
    o->config.items = NULL; /* this frame's */
    o->config.n_items = 0;
    o->exit_now = outcome == CONFIG_EXIT;
    if (rc == 0 && !o->exit_now && operands < argc)
        rc = error_set(e, ERR_USAGE, "\"%s\" is not understood; see quire-broker --help",
                       argv[operands]);
    return rc;
}

int options_load(struct options *o, int argc, char **argv, struct error *e) {
    memset(o, 0, sizeof *o);
    broker_settings_init(&o->broker);
    struct raw raw = {
        .dead_ms = o->broker.dead_ms,
        .queue = o->broker.queue_requests,
        .queue_bytes = (int64_t)o->broker.queue_bytes,
        .client_requests = o->broker.client_requests,
        .worker_wait_ms = o->broker.worker_wait_ms,
        .client_backlog = 10000,
        .index_links = BROKER_LINKS,
        .log = "info",
        .policy = "earliest",
    };
    int rc = load_table(o, &raw, argc, argv, e);
    if (rc != 0 || o->exit_now)
        return rc;
    settings_from(&raw, o);
    if (log_parse_level(raw.log, &o->log_level) != 0)
        return error_set(e, ERR_USAGE, "log-level: \"%s\" is not debug, info, warn, error or off",
                         raw.log);
    rc = parse_policy(raw.policy, &o->broker.policy, e);
    if (rc != 0)
        return rc;
    if (!o->clients) {
        rc = paths_endpoint(o->default_clients, sizeof o->default_clients, "clients", e);
        o->clients = o->default_clients;
    }
    if (rc == 0 && !o->workers) {
        rc = paths_endpoint(o->default_workers, sizeof o->default_workers, "workers", e);
        o->workers = o->default_workers;
    }
    return rc == 0 ? place_files(o, e) : rc;
}

void options_close(struct options *o) {
    config_close(&o->config);
}
