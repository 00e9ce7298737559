/* main.c - quire-worker: settings, the model, then two threads until a signal.
 *
 * Signals are blocked before the first thread exists, so that only the I/O thread sees them; after
 * its loop they are let through again, so that a second one also ends a worker whose engine is
 * still in its last step. */
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/cpus.h"
#include "worker/engine/quant_inside.h"
#include "worker/io.h"
#include "worker/settings.h"

#define DESCRIPTION_BYTES 1024

static void hold_signals(int how) {
    sigset_t set;
    (void)sigemptyset(&set);
    (void)sigaddset(&set, SIGTERM);
    (void)sigaddset(&set, SIGINT);
    (void)sigprocmask(how, &set, NULL);
}

/* The parent may have gone before the kernel was asked to tell; then its end is told by hand. */
static void die_with_parent(pid_t parent) {
    (void)prctl(PR_SET_PDEATHSIG, SIGTERM);
    if (getppid() != parent)
        (void)raise(SIGTERM);
}

static int open_engine(const struct settings *s, struct engine **out, struct error *e) {
    struct engine_options options = {
        .model = s->model,
        .mmproj = s->mmproj,
        .chat_template = s->chat_template,
        .threads = (int)s->threads,
        .cpus = s->has_cpus ? &s->cpus : NULL,
        .kv_bytes = (size_t)s->kv_bytes,
        .kv_type = s->kv_type,
        .feature_bytes = (size_t)s->feature_bytes,
        .context = (uint32_t)s->context,
        .max_sequences = (int32_t)s->credits,
        .pack_dir = s->packs != NULL && s->packs[0] != '\0' ? s->packs : NULL,
    };
    if (s->packs == NULL)
        log_warn("packs-private", "there is no cache directory; say --packs DIR to share weights");
    return engine_open(out, &options, e);
}

static int serve(const struct settings *s, struct engine *g, struct error *e) {
    struct io_options talking = {
        .endpoint = s->broker,
        .name = s->name,
        .drain_ms = (uint32_t)s->drain_seconds * 1000,
    };
    struct holdings *holdings = NULL;
    struct runner *runner = NULL;
    struct io *io = NULL;
    int rc = holdings_open(&holdings, HOLDINGS_RECORDS, e);
    if (rc == 0) {
        struct scheduler_options scheduling = {
            .max_pictures = (uint32_t)s->max_pictures,
            .max_step_ms = (uint32_t)s->max_step_ms,
            .holdings = holdings,
        };
        rc = runner_open(&runner, g, &scheduling, s->name, e);
    }
    if (rc == 0)
        rc = io_open(&io, g, runner, holdings, &talking, e);
    if (rc == 0)
        rc = io_run(io, e);
    hold_signals(SIG_UNBLOCK);
    runner_close(runner);
    io_close(io);
    holdings_close(holdings);
    return rc;
}

static int run(const struct settings *s, struct error *e) {
    int64_t begin_ms = clock_ms();
    struct engine *g;
    int rc = s->has_cpus ? cpus_keep_to(&s->cpus, e) : 0; /* and all threads to come */
    if (rc == 0)
        rc = open_engine(s, &g, e);
    if (rc < 0)
        return rc;
    char description[DESCRIPTION_BYTES];
    engine_describe(g, description, sizeof description);
    if (s->check) {
        if (printf("%s\n", description) < 0 || fflush(stdout) != 0)
            rc = error_set(e, ERR_IO, "can't write to standard output");
    } else {
        log_info("model", "ms=%lld pages=%u threads=%d %s", (long long)(clock_ms() - begin_ms),
                 pages_total(g->pages), team_size(g->team), description);
        if (quant_isa_chosen() == QUANT_ISA_PORTABLE)
            log_warn("slow-cpu", "isa=portable This CPU has no AVX2, or QUIRE_ISA says so: "
                                 "computing takes many times as long as it could.");
        rc = serve(s, g, e);
    }
    engine_close(g);
    return rc;
}

int main(int argc, char **argv) {
    pid_t parent = getppid();
    struct settings settings;
    enum config_outcome outcome;
    struct error e = {0};
    int rc = settings_load(&settings, argc, argv, &outcome, &e);
    if (rc == 0 && outcome == CONFIG_RUN) {
        (void)signal(SIGPIPE, SIG_IGN); /* a log that nobody reads any more must not end answers */
        log_set_level(settings.log_level);
        hold_signals(SIG_BLOCK);
        if (settings.die_with_parent)
            die_with_parent(parent);
        rc = run(&settings, &e);
    }
    if (rc < 0)
        fprintf(stderr, "quire-worker: %s\n", e.text);
    settings_close(&settings);
    return error_exit_code(rc);
}
