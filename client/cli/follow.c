/* follow.c - one request from its sending to its end, for people who watch.
 *
 * The answer goes to standard output as it comes; what is being computed goes to standard error, on
 * one line that is wiped before the answer begins. */
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "client/cli/cli.h"
#include "common/clock.h"

#define POLL_MS 100 /* how soon Ctrl-C is noticed */

static volatile sig_atomic_t interrupted;

static void on_interrupt(int number) {
    (void)number;
    interrupted = 1;
}

static void show_progress(const struct quire_event *event) {
    switch (event->stage) {
    case QUIRE_STAGE_QUEUED:
        fprintf(stderr, "\r\033[Kwaiting for a worker, %" PRIu32 " before this one", event->done);
        break;
    case QUIRE_STAGE_PICTURE:
        fprintf(stderr, "\r\033[Klooking at pictures: %" PRIu32 " of %" PRIu32 " tiles",
                event->done, event->total);
        break;
    case QUIRE_STAGE_PREFILL:
        fprintf(stderr, "\r\033[Kreading: %" PRIu32 " of %" PRIu32 " positions", event->done,
                event->total);
        break;
    }
    fflush(stderr);
}

static void write_answer(const char *text, size_t size, bool terminal) {
    if (terminal)
        cli_write_plain(stdout, text, size);
    else
        fwrite(text, 1, size, stdout);
    fflush(stdout);
}

struct follow {
    struct quire_client *client;
    struct cli_stream_options options;
    struct cli_answer *answer;
    uint8_t id[QUIRE_ID_BYTES];
    bool progress_shown, terminal, no_memory;
};

static void clear_progress(struct follow *f) {
    if (f->progress_shown)
        fprintf(stderr, "\r\033[K");
    f->progress_shown = false;
}

/* Takes one event of this request; true when it was the last. */
static bool take_event(struct follow *f, const struct quire_event *event) {
    if (event->kind == QUIRE_PROGRESS && f->options.progress && f->answer->text.size == 0) {
        show_progress(event);
        f->progress_shown = true;
    } else if (event->kind == QUIRE_TOKENS) {
        size_t size = event->text_bytes;
        if (size > 0)
            clear_progress(f);
        f->no_memory = f->no_memory || !cli_text_add(&f->answer->text, event->text, size);
        if (f->options.print && size > 0)
            write_answer(event->text, size, f->terminal);
    }
    if (event->last) {
        f->answer->end = *event;
        clear_progress(f);
    }
    return event->last;
}

static int give_up(struct quire_error *error, int code, const char *why) {
    *error = (struct quire_error){.code = code};
    (void)snprintf(error->text, sizeof error->text, "%s", why);
    return code;
}

static int watch(struct follow *f, struct quire_error *error) {
    int64_t cancelled_ms = 0;
    for (;;) {
        struct quire_event event;
        int r = quire_next(f->client, POLL_MS, &event, error);
        if (r < 0)
            return r;
        if (r > 0 && memcmp(event.id, f->id, sizeof f->id) == 0 && take_event(f, &event))
            break;
        if (f->no_memory)
            return give_up(error, ERR_NOMEM, "memory ran out for the answer");
        if (!interrupted)
            continue;
        if (cancelled_ms == 0) {
            quire_cancel(f->client, f->id);
            cancelled_ms = clock_ms();
        } else if (clock_ms() - cancelled_ms >= CLI_CANCEL_MS) {
            return give_up(error, ERR_CANCELLED, "stopped; the broker did not answer any more");
        }
    }
    if (f->answer->end.kind != QUIRE_FAILED)
        return 0;
    *error = f->answer->end.error;
    return error->code;
}

int cli_follow(struct quire_client *client, const struct quire_request *request,
               struct cli_stream_options options, struct cli_answer *answer,
               struct quire_error *error) {
    struct follow f = {.client = client, .options = options, .answer = answer};
    f.options.progress = options.progress && isatty(STDERR_FILENO);
    f.terminal = isatty(STDOUT_FILENO) != 0;
    interrupted = 0;
    struct sigaction act = {.sa_handler = on_interrupt, .sa_flags = SA_RESTART}, old;
    sigaction(SIGINT, &act, &old);
    int r = quire_send(client, request, f.id, error);
    if (r == 0)
        r = watch(&f, error);
    clear_progress(&f);
    sigaction(SIGINT, &old, NULL);
    return r;
}

void cli_print_summary(const struct quire_event *done) {
    const struct quire_usage *u = &done->usage;
    const struct quire_timings *t = &done->timings;
    fprintf(stderr, "[%s: %" PRIu32 " tokens", done->worker, u->answer_tokens);
    if (u->answer_tokens > 1 && t->decode_us > 0)
        fprintf(stderr, ", %.1f tokens/s", (u->answer_tokens - 1) * 1e6 / (double)t->decode_us);
    fprintf(stderr, "; first token after %.2f s; prompt of %" PRIu32 " positions",
            (double)t->first_token_us / 1e6, u->prompt_positions);
    if (u->reused_positions > 0)
        fprintf(stderr, ", %" PRIu32 " reused", u->reused_positions);
    if (u->pictures > 0)
        fprintf(stderr, ", %" PRIu32 " picture%s", u->pictures, u->pictures == 1 ? "" : "s");
    if (done->finish == QUIRE_FINISH_LENGTH)
        fprintf(stderr, "; cut at the longest answer allowed");
    fprintf(stderr, "]\n");
}
