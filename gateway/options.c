/* options.c - the table of settings. */
#include "gateway/options.h"

#include <string.h>

static const char summary[] =
    "Answers HTTP: the APIs of OpenAI and Anthropic, a page for people, figures for operators.\n"
    "It asks a broker like any other client. Without a key file it listens on a loopback address\n"
    "only, and everybody there may ask.";

static const char epilogue[] =
    "SIGHUP reads the key file again. Stop it with SIGTERM or Ctrl-C: what is under way gets some\n"
    "seconds to end.";

static void set_defaults(struct options *o) {
    memset(o, 0, sizeof *o);
    o->http = "127.0.0.1:8080";
    o->log_level = "info";
    o->connections = 1024;
    o->requests = 512;
    o->body_bytes = (int64_t)96 << 20;
    o->body_memory = (int64_t)512 << 20;
    o->header_seconds = 10;
    o->body_seconds = 60;
    o->idle_seconds = 75;
    o->deadline_seconds = 600;
    o->ping_seconds = 10;
}

int options_load(struct options *o, int argc, char **argv, struct error *e) {
    set_defaults(o);
    const struct config_item items[] = {
        {"http", 0, CONFIG_TEXT, &o->http, 0, 0, "ADDRESS:PORT",
         "where it listens; [::1]:8080 for IPv6; port 0: any that is\nfree (127.0.0.1:8080)"},
        {"endpoint", 0, CONFIG_TEXT, &o->endpoint, 0, 0, "ENDPOINT",
         "the broker's endpoint for clients\n(default clients.ipc in the runtime directory)"},
        {"keys", 0, CONFIG_TEXT, &o->keys, 0, 0, "FILE",
         "who may ask; without it everybody on this machine"},
        {"new-key", 0, CONFIG_TEXT, &o->new_key, 0, 0, "NAME",
         "prints a new key and its section for the key file; no more"},
        {"trusted-proxies", 0, CONFIG_TEXT, &o->trusted_proxies, 0, 0, "LIST",
         "addresses and networks (10.0.0.0/8) whose X-Forwarded-For is\nbelieved (none)"},
        {"cors-origins", 0, CONFIG_TEXT, &o->cors_origins, 0, 0, "LIST",
         "pages of other origins that may ask from a browser, or *\n(none)"},
        {"log-level", 0, CONFIG_TEXT, &o->log_level, 0, 0, "LEVEL",
         "debug, info, warn, error or off (info)"},
        {"log-json", 0, CONFIG_SWITCH, &o->log_json, 0, 0, NULL, "log lines are JSON objects"},
        {"metrics-open", 0, CONFIG_SWITCH, &o->metrics_open, 0, 0, NULL, "/metrics needs no key"},
        {"connections", 0, CONFIG_INT, &o->connections, 1, 100000, "N",
         "HTTP connections at a time (1024)"},
        {"requests", 0, CONFIG_INT, &o->requests, 1, 100000, "N",
         "requests at the broker at a time (512)"},
        {"body-bytes", 0, CONFIG_BYTES, &o->body_bytes, 1024, 1e10, "SIZE",
         "the largest body of a request (96M)"},
        {"body-memory", 0, CONFIG_BYTES, &o->body_memory, 1024, 1e12, "SIZE",
         "memory for the bodies of all requests together (512M)"},
        {"header-seconds", 0, CONFIG_INT, &o->header_seconds, 1, 3600, "S",
         "time for the head of a request to arrive (10)"},
        {"body-seconds", 0, CONFIG_INT, &o->body_seconds, 1, 3600, "S",
         "time for its body to arrive (60)"},
        {"idle-seconds", 0, CONFIG_INT, &o->idle_seconds, 1, 3600, "S",
         "how long a connection without a request is kept (75)"},
        {"deadline-seconds", 0, CONFIG_INT, &o->deadline_seconds, 1, 3600, "S",
         "time for an answer, waiting included (600)"},
        {"ping-seconds", 0, CONFIG_INT, &o->ping_seconds, 1, 3600, "S",
         "silence in a stream before something harmless is sent (10)"},
    };
    o->config = (struct config){
        .program = "quire-gateway",
        .section = "gateway",
        .usage = "quire-gateway [OPTION...]",
        .summary = summary,
        .epilogue = epilogue,
        .items = items,
        .n_items = sizeof items / sizeof items[0],
    };
    int operands;
    enum config_outcome outcome;
    int rc = config_load(&o->config, argc, argv, &operands, &outcome, e);
    if (rc != 0)
        return rc;
    o->exit_now = outcome == CONFIG_EXIT;
    if (!o->exit_now && operands < argc)
        return error_set(e, ERR_USAGE, "%s: the gateway takes no operands", argv[operands]);
    return 0;
}

void options_close(struct options *o) {
    config_close(&o->config);
}
