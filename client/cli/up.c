/* up.c - quire up: a broker and workers on this machine, kept running until Ctrl-C. */
#include "client/cli/up.h"

#include <stdio.h>
#include <stdlib.h>

#include "client/cli/cli.h"

#define READY_POLL_MS 200 /* how often the broker is asked who is there, until all are */

/* Says once that all workers are there. */
static void announce(struct up *u) {
    char model[129];
    if (!up_ready(u, model, sizeof model))
        return;
    cli_make_plain(model);
    printf("quire is up: %d worker%s with %s at %s\n"
           "Ask with: quire ask -i photo.jpg \"What is in the picture?\"    Ctrl-C stops it.\n",
           (int)u->workers, u->workers == 1 ? "" : "s", model, u->reach_clients);
    fflush(stdout);
}

static int watch(struct up *u) {
    bool stop = false;
    for (;;) {
        int code = up_tend(u, &stop);
        if (code != 0 || stop)
            return code;
        if (!u->announced)
            announce(u);
        up_wait(u, u->announced ? -1 : READY_POLL_MS);
    }
}

static int run(struct up *u) {
    struct error e;
    if (up_open(u, &e) != 0)
        return cli_fail_error(&e);
    int code = watch(u);
    if (u->announced)
        fprintf(stderr, "quire: stopping\n");
    up_stop(u);
    return code;
}

int cli_up(int argc, char **argv) {
    struct up *u = calloc(1, sizeof *u);
    if (u == NULL)
        return cli_fail_error(&(struct error){ERR_NOMEM, "memory ran out"});
    up_defaults(u);
    struct config_item items[6 + UP_POOL_ITEMS] = {
        {"workers", 'w', CONFIG_INT, &u->workers, 1, UP_MAX_WORKERS, "N",
         "how many worker processes (2)"},
        {"drain-seconds", 0, CONFIG_INT, &u->drain_seconds, 1, 3600, "S",
         "how long workers may finish their work at the end (5)"},
        {"clients", 0, CONFIG_TEXT, &u->clients_flag, 0, 0, "ENDPOINT",
         "where clients connect (the local socket)"},
        {"worker-endpoint", 0, CONFIG_TEXT, &u->endpoint_flag, 0, 0, "ENDPOINT",
         "where workers connect (the local socket)"},
        {"http", 0, CONFIG_TEXT, &u->http, 0, 0, "ADDRESS:PORT",
         "where HTTP is served, or off (" UP_HTTP ")"},
        {"keys", 0, CONFIG_TEXT, &u->keys, 0, 0, "FILE",
         "who may ask over HTTP; without it only this machine.\nThe gateway's other settings: "
         "[gateway] in the file"},
    };
    up_pool_items(u, items + 6);
    struct config c = {
        .program = "quire up",
        .section = "up",
        .usage = "quire up [--workers N] [--model FILE --mmproj FILE] [OPTION...]",
        .summary =
            "Starts a broker, workers and an HTTP gateway on this machine "
            "and restarts what dies,\nuntil Ctrl-C.\nWithout a model it serves the small demo "
            "model that comes with quire.",
        .items = items,
        .n_items = sizeof items / sizeof items[0]};
    int code;
    struct error e = {0};
    if (cli_settings(&c, argc, argv, NULL, &code)) {
        u->http_usual = u->http == NULL;
        if (u->http_usual)
            u->http = UP_HTTP;
        code = up_plan(u, &e) < 0 ? cli_fail_error(&e) : run(u);
    }
    config_close(&c);
    free(u);
    return code;
}
