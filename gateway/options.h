/* options.h - the gateway's settings (common/config.h): section [gateway], QUIRE_* and flags. */
#ifndef QUIRE_GATEWAY_OPTIONS_H
#define QUIRE_GATEWAY_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

#include "common/config.h"

struct options {
    struct config config; /* owns the texts below */
    const char *endpoint; /* --endpoint: the broker's clients' socket; NULL: as all clients */
    const char *http;     /* --http ADDRESS:PORT, 127.0.0.1:8080; [::1]:8080; port 0: any */
    const char *keys;     /* --keys FILE; NULL: loopback only */
    const char *new_key;  /* --new-key NAME: print one and leave */
    const char *trusted_proxies; /* --trusted-proxies LIST of addresses and CIDRs; NULL: none */
    const char *cors_origins;    /* --cors-origins LIST, or *; NULL: off */
    const char *log_level;       /* --log-level */
    bool log_json;               /* --log-json */
    bool metrics_open;           /* --metrics-open: /metrics without a key */
    int64_t connections;         /* --connections: HTTP, at a time (1024) */
    int64_t requests;            /* --requests: at the broker, at a time (512) */
    int64_t body_bytes;          /* --body-bytes: one request's body (96 MiB) */
    int64_t body_memory;         /* --body-memory: all bodies together (512 MiB) */
    int64_t header_seconds;      /* --header-seconds: for a request's head (10) */
    int64_t body_seconds;        /* --body-seconds: for a request's body (60) */
    int64_t idle_seconds;        /* --idle-seconds: a kept connection without a request (75) */
    int64_t deadline_seconds;    /* --deadline-seconds: of a request at the pool (600) */
    int64_t ping_seconds;        /* --ping-seconds: silence before a ping in a stream (10) */
    bool exit_now;               /* --help or --version was answered */
};

/* Reads all sources; options_close is due whatever it returns. */
int options_load(struct options *o, int argc, char **argv, struct error *e);
void options_close(struct options *o);

#endif
