/* replay.c - quire replay: conversation traces against a pool, and what of them was reused. */
#include <errno.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "client/cli/cli.h"
#include "client/cli/replay/report.h"
#include "client/cli/replay/run.h"
#include "client/cli/replay/shapes.h"
#include "client/cli/up.h"

#define USUAL_CONCURRENCY 4 /* of built-in shapes */
#define READY_POLL_MS 100   /* how often a pool is asked whether it is up */
#define POLICIES 3

static const char *const policies[] = {"?", "earliest", "least-loaded", "round-robin"};

struct replay {
    int64_t workers, conversations, seed, concurrency, max_tokens;
    double speed;
    const char *endpoint, *http, *key, *json, *plot, *write;
    bool compare, keying;
    struct trace trace;
    struct report_facts facts;
    struct report reports[POLICIES];
    size_t n_reports;
};

/* ---- the trace ---- */

static int load(struct replay *r, const char *what, struct error *e) {
    int rc = shapes_known(what)
                 ? shapes_make(&r->trace, what, (uint32_t)r->conversations, (uint64_t)r->seed, e)
                 : trace_read(&r->trace, what, e);
    if (rc == ERR_NOT_FOUND && strchr(what, '/') == NULL && strchr(what, '.') == NULL)
        return error_set(e, rc, "\"%s\" is neither a shape (%s) nor a file", what, shapes_names());
    if (rc != 0)
        return rc;
    if (r->concurrency == 0 && shapes_known(what))
        r->concurrency = USUAL_CONCURRENCY;
    r->facts = (struct report_facts){.trace = what,
                                     .seed = (uint64_t)r->seed,
                                     .conversations = r->trace.n_conversations,
                                     .concurrency = (uint32_t)r->concurrency};
    return trace_load_pictures(&r->trace, e);
}

/* ---- one run ---- */

/* The policy and the workers are the broker's to tell, so over HTTP they are not known: "" and 0.
 */
static int open_way(const struct replay *r, const char *endpoint, struct way **way,
                    struct quire_stats *stats, struct error *e) {
    return r->http != NULL ? way_open_http(way, r->http, r->key, e)
                           : way_open_broker(way, endpoint, stats, e);
}

static int run_once(struct replay *r, const char *endpoint, struct run_options *o,
                    struct error *e) {
    struct way *way = NULL;
    struct quire_stats stats = {0};
    struct report *report = &r->reports[r->n_reports];
    int64_t wall_us = 0;
    struct outcome *outcomes = outcomes_new(r->trace.n_turns);
    if (outcomes == NULL)
        return error_set(e, ERR_NOMEM, "memory ran out for the replay");
    int rc = open_way(r, endpoint, &way, &stats, e);
    o->concurrency = (uint32_t)r->concurrency;
    o->speed = r->speed;
    o->max_tokens = (uint32_t)r->max_tokens;
    o->progress = true;
    if (rc == 0)
        rc = run_trace(way, &r->trace, o, outcomes, &wall_us, e);
    if (rc == 0)
        rc = measure_all(report, &r->trace, outcomes, wall_us, e);
    if (rc == 0) {
        report->workers = stats.workers;
        (void)snprintf(report->policy, sizeof report->policy, "%s",
                       r->http != NULL ? ""
                                       : policies[stats.policy <= POLICIES ? stats.policy : 0]);
        r->n_reports++;
    }
    way_close(way);
    outcomes_free(outcomes, r->trace.n_turns);
    return rc;
}

/* ---- a pool of its own ---- */

static int remove_one(const char *path, const struct stat *status, int kind, struct FTW *walk) {
    (void)status;
    (void)kind;
    (void)walk;
    return remove(path);
}

static int tend(void *context, struct error *e) {
    bool stop = false;
    if (up_tend(context, &stop) != 0)
        return error_set(e, ERR_IO, "the pool can't run");
    return stop ? error_set(e, ERR_CANCELLED, "stopped") : 0;
}

static int wait_until_ready(struct up *u, struct error *e) {
    char model[129];
    int rc = tend(u, e);
    while (rc == 0 && !up_ready(u, model, sizeof model)) {
        up_wait(u, READY_POLL_MS);
        rc = tend(u, e);
    }
    return rc;
}

/* Runs the trace on a new pool with these settings, whose sockets and index are in a directory that
 * is removed afterwards. */
static int run_on_new_pool(struct replay *r, const struct up *settings, const char *policy,
                           struct error *e) {
    char folder[512];
    const char *tmp = getenv("TMPDIR");
    (void)snprintf(folder, sizeof folder, "%s/quire-replay-XXXXXX",
                   tmp != NULL && tmp[0] != '\0' ? tmp : "/tmp");
    if (mkdtemp(folder) == NULL)
        return error_set(e, ERR_IO, "%s can't be made: %s", folder, strerror(errno));
    struct up *u = malloc(sizeof *u);
    int rc = u != NULL ? 0 : error_set(e, ERR_NOMEM, "memory ran out for the pool");
    if (rc == 0) {
        *u = *settings;
        u->policy = policy;
        (void)setenv("QUIRE_RUNTIME_DIR", folder, 1);
        rc = up_plan(u, e);
    }
    if (rc == 0)
        rc = up_open(u, e);
    if (rc == 0) {
        struct run_options o = {.tend = tend, .context = u};
        rc = wait_until_ready(u, e);
        if (rc == 0)
            rc = run_once(r, u->reach_clients, &o, e);
        up_stop(u);
    }
    free(u);
    (void)nftw(folder, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    return rc;
}

static int run_all(struct replay *r, const struct up *settings, struct error *e) {
    struct run_options o = {0};
    int rc = 0;
    if (r->workers == 0)
        return run_once(r, r->endpoint, &o, e);
    if (!r->compare)
        return run_on_new_pool(r, settings, settings->policy, e);
    for (int i = 1; i <= POLICIES && rc == 0; i++) {
        fprintf(stderr, "policy %s\n", policies[i]);
        rc = run_on_new_pool(r, settings, policies[i], e);
    }
    return rc;
}

/* ---- the command ---- */

static int check(const struct replay *r, int operands, struct error *e) {
    if (operands != 1)
        return error_set(e, ERR_USAGE, "name one shape (%s) or a trace's file", shapes_names());
    if (r->compare && r->workers == 0)
        return error_set(e, ERR_USAGE, "--compare starts a pool for each policy: say --workers N");
    if (r->http != NULL && r->workers > 0)
        return error_set(e, ERR_USAGE,
                         "--http asks a gateway that is there; --workers starts a "
                         "pool that has none");
    if (r->plot != NULL && !report_chart_known(r->plot))
        return error_set(e, ERR_USAGE, "--plot: \"%s\" ends neither in .svg nor in .png", r->plot);
    return 0;
}

static int replay(struct replay *r, struct up *settings, const char *what, struct error *e) {
    int rc = load(r, what, e);
    if (rc == 0 && r->write != NULL)
        return trace_write(&r->trace, r->write, e);
    settings->workers = r->workers;
    if (rc == 0)
        rc = run_all(r, settings, e);
    if (rc != 0)
        return rc;
    bool json_only = r->json != NULL && strcmp(r->json, "-") == 0;
    if (!json_only)
        report_print(r->reports, r->n_reports, &r->facts, r->keying);
    if (r->json != NULL)
        rc = report_json(r->reports, r->n_reports, &r->facts, r->json, e);
    if (rc == 0 && r->plot != NULL)
        rc = report_chart(r->reports, r->n_reports, &r->facts, r->plot, e);
    return rc;
}

static int run(struct replay *r, struct up *settings, int argc, char **argv, int first) {
    struct error e = {0};
    if (r->http != NULL && strcmp(r->http, "off") == 0) /* QUIRE_HTTP=off is for `quire up` too */
        r->http = NULL;
    int rc = check(r, argc - first, &e);
    if (rc == 0)
        rc = replay(r, settings, argv[first], &e);
    trace_close(&r->trace);
    if (rc != 0)
        return cli_fail_error(&e);
    /* Answers that did not come are a failure of what was asked for. */
    return r->n_reports > 0 && r->reports[0].total.errors > 0 ? error_exit_code(ERR_IO) : 0;
}

static const char summary[] =
    "Runs conversations against a pool and tells how much of their prompts was reused, how much\n"
    "a cache without bounds would have reused, and how long the first token took.\n\n"
    "Shapes, drawn from a seed:\n"
    "  agent   a long session on a screen: one system prompt, 30 turns, screenshots in between\n"
    "  photos  one system prompt, every picture new\n"
    "  pages   many questions about the same three pages\n"
    "  forks   conversations that branch, some with an edited turn\n"
    "  mixed   all of these, interleaved\n"
    "  none    a control: nothing can be reused\n"
    "  hot     a control: one long prefix, short questions\n"
    "A file holds a recorded trace, a turn in each line: arrival time, conversation, turn, texts\n"
    "or their lengths, pictures; client/cli/replay/FORMAT.md describes it, --write makes one.\n\n"
    "On a pool that saw the same trace before, all of it is warm: say another --seed.";

int cli_replay(int argc, char **argv) {
    struct replay *r = calloc(1, sizeof *r);
    struct up *u = calloc(1, sizeof *u);
    if (r == NULL || u == NULL) {
        free(r);
        free(u);
        return cli_fail_error(&(struct error){ERR_NOMEM, "memory ran out"});
    }
    up_defaults(u);
    r->seed = 1;
    r->speed = 1;
    struct config_item items[14 + UP_POOL_ITEMS] = {
        {"workers", 'w', CONFIG_INT, &r->workers, 1, UP_MAX_WORKERS, "N",
         "start a pool of N workers for it (use the running pool);\nthe flags of `quire up` say "
         "how that pool is"},
        {"conversations", 'c', CONFIG_INT, &r->conversations, 1, SHAPES_MAX_CONVERSATIONS, "N",
         "how many (as suits the shape)"},
        {"seed", 0, CONFIG_INT, &r->seed, 0, 1e18, "S", "what a shape is drawn from (1)"},
        {"concurrency", 0, CONFIG_INT, &r->concurrency, 1, RUN_CONCURRENCY_MAX, "N",
         "conversations at a time (4; those of a file: no bound)"},
        {"speed", 0, CONFIG_REAL, &r->speed, 0.001, 1e6, "X",
         "arrival times X times as fast as recorded (1)"},
        {"max-tokens", 'n', CONFIG_INT, &r->max_tokens, 1, LIMIT_MAX_TOKENS, "N",
         "the longest answer (16, or what the file says)"},
        {"compare", 0, CONFIG_SWITCH, &r->compare, 0, 0, NULL,
         "run it once with each policy, each on a new pool"},
        {"keying", 0, CONFIG_SWITCH, &r->keying, 0, 0, NULL,
         "tell for every shape what one key for all pictures of a\nrequest would have reused"},
        {"json", 0, CONFIG_TEXT, &r->json, 0, 0, "FILE", "write the measures as JSON; - prints it"},
        {"plot", 0, CONFIG_TEXT, &r->plot, 0, 0, "FILE", "draw them, as .svg or .png"},
        {"write", 0, CONFIG_TEXT, &r->write, 0, 0, "FILE", "write the trace and run nothing"},
        {"endpoint", 'e', CONFIG_TEXT, &r->endpoint, 0, 0, "ENDPOINT",
         "the broker's address (the local one)"},
        {"http", 0, CONFIG_TEXT, &r->http, 0, 0, "URL",
         "send the requests over HTTP to the gateway there (off)"},
        {"key", 0, CONFIG_TEXT, &r->key, 0, 0, "KEY", "with --http: the key to show"},
    };
    up_pool_items(u, items + 14);
    struct config c = {.program = "quire replay",
                       .section = "replay",
                       .usage = "quire replay SHAPE|FILE [--workers N] [--conversations N] "
                                "[--seed S] [OPTION...]",
                       .summary = summary,
                       .items = items,
                       .n_items = sizeof items / sizeof items[0]};
    int first, code;
    if (cli_settings(&c, argc, argv, &first, &code))
        code = run(r, u, argc, argv, first);
    config_close(&c);
    free(r);
    free(u);
    return code;
}
