/* ops.c - quire workers, stats, requests, top, drain, undrain: the flags, and the way to a view. */
#include <stdio.h>

#include "client/cli/cli.h"
#include "client/cli/explain_view.h"
#include "client/cli/views.h"

struct ops {
    const char *endpoint;
    bool json;
};

static struct config_item endpoint_into(const char **out) {
    return (struct config_item){
        "endpoint", 'e', CONFIG_TEXT, (void *)out,
        0,          0,   "ENDPOINT",  "the broker's address (the local one)"};
}

static int view_command(int argc, char **argv, const char *word, const char *summary,
                        int (*view)(struct quire_client *, bool json, struct quire_error *)) {
    struct ops o = {0};
    const struct config_item items[] = {
        endpoint_into(&o.endpoint),
        {"json", 0, CONFIG_SWITCH, &o.json, 0, 0, NULL, "print JSON"},
    };
    char program[32], usage[64];
    (void)snprintf(program, sizeof program, "quire %s", word);
    (void)snprintf(usage, sizeof usage, "%s [OPTION...]", program);
    struct config c = {.program = program,
                       .section = word,
                       .usage = usage,
                       .summary = summary,
                       .items = items,
                       .n_items = sizeof items / sizeof items[0]};
    struct quire_error qe = {0};
    struct quire_client *client = NULL;
    int code;
    if (cli_settings(&c, argc, argv, NULL, &code)) {
        int r = quire_open(&client, o.endpoint, CLI_CONNECT_MS, &qe);
        if (r == 0)
            r = view(client, o.json, &qe);
        code = r < 0 ? cli_fail(&qe) : 0;
    }
    quire_close(client);
    config_close(&c);
    return code;
}

int cli_workers(int argc, char **argv) {
    return view_command(argc, argv, "workers",
                        "Lists the workers: requests held of those they take, pages used, and the "
                        "rates they\nmeasured themselves (positions and tokens per second, "
                        "milliseconds per picture tile).",
                        view_workers);
}

int cli_stats(int argc, char **argv) {
    return view_command(argc, argv, "stats", "Prints the pool's counters.", view_stats);
}

int cli_requests(int argc, char **argv) {
    return view_command(argc, argv, "requests", "Lists the requests that wait or run.",
                        view_requests);
}

int cli_top(int argc, char **argv) {
    struct view_top top = {.interval_ms = 1000};
    const char *endpoint = NULL;
    const struct config_item items[] = {
        endpoint_into(&endpoint),
        {"interval-ms", 'd', CONFIG_INT, &top.interval_ms, 100, 60000, "MS",
         "time between two screens (1000)"},
        {"times", 'n', CONFIG_INT, &top.times, 0, 1e9, "N", "stop after N screens; 0: never (0)"},
    };
    struct config c = {.program = "quire top",
                       .section = "top",
                       .usage = "quire top [OPTION...]",
                       .summary = "Shows workers, requests and rates until Ctrl-C.",
                       .items = items,
                       .n_items = sizeof items / sizeof items[0]};
    struct quire_error qe = {0};
    struct quire_client *client = NULL;
    int code;
    if (cli_settings(&c, argc, argv, NULL, &code)) {
        int r = quire_open(&client, endpoint, CLI_CONNECT_MS, &qe);
        if (r == 0)
            r = view_top(client, &top, &qe);
        code = r < 0 ? cli_fail(&qe) : 0;
    }
    quire_close(client);
    config_close(&c);
    return code;
}

struct drain {
    const char *endpoint;
    bool on, dry_run, json;
};

static int drain_worker(const struct drain *d, const char *worker, struct quire_error *qe) {
    struct quire_client *client = NULL;
    struct quire_losses losses;
    int r = quire_open(&client, d->endpoint, CLI_CONNECT_MS, qe);
    if (r == 0 && d->dry_run)
        r = quire_losses(client, VIEW_QUERY_MS, worker, &losses, qe);
    else if (r == 0)
        r = quire_drain(client, VIEW_QUERY_MS, worker, d->on, qe);
    if (r == 0 && d->dry_run)
        view_losses(worker, &losses, d->json);
    quire_close(client);
    return r;
}

static int drain_command(int argc, char **argv, bool on) {
    struct drain d = {.on = on};
    const struct config_item items[] = {
        endpoint_into(&d.endpoint),
        {"dry-run", 0, CONFIG_SWITCH, &d.dry_run, 0, 0, NULL,
         "only say what the pool would lose with it"},
        {"json", 0, CONFIG_SWITCH, &d.json, 0, 0, NULL, "with --dry-run: print JSON"},
    };
    struct config c = {
        .program = on ? "quire drain" : "quire undrain",
        .section = on ? "drain" : "undrain",
        .usage = on ? "quire drain WORKER [OPTION...]" : "quire undrain WORKER [OPTION...]",
        .summary = on ? "The worker finishes what it has and gets nothing new; `quire workers` "
                        "says when it is\ndrained."
                      : "The worker gets work again.",
        .items = items,
        .n_items = on ? sizeof items / sizeof items[0] : 1};
    struct quire_error qe = {.code = ERR_USAGE,
                             .text = "name one worker; `quire workers` lists them"};
    int first, code;
    if (cli_settings(&c, argc, argv, &first, &code)) {
        int r = first + 1 == argc ? drain_worker(&d, argv[first], &qe) : ERR_USAGE;
        code = r < 0 ? cli_fail(&qe) : 0;
    }
    config_close(&c);
    return code;
}

int cli_drain(int argc, char **argv) {
    return drain_command(argc, argv, true);
}

int cli_undrain(int argc, char **argv) {
    return drain_command(argc, argv, false);
}
