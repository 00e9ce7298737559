/* top.c - quire top: workers, requests and rates, live. */
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "client/cli/views.h"
#include "common/error.h"

static volatile sig_atomic_t interrupted;

static void on_interrupt(int number) {
    (void)number;
    interrupted = 1;
}

static int show_screen(struct quire_client *client, struct quire_error *qe,
                       const struct quire_stats *before, struct quire_stats *now) {
    int r = quire_stats(client, VIEW_QUERY_MS, now, qe);
    if (r < 0)
        return r;
    double seconds = (double)(now->uptime_ms - before->uptime_ms) / 1e3;
    if (before->uptime_ms == 0 || now->uptime_ms <= before->uptime_ms)
        seconds = 0;
    if (isatty(STDOUT_FILENO))
        printf("\033[H\033[2J");
    printf("quire: %" PRIu32 " workers, %" PRIu32 " in flight, %" PRIu32 " queued of %" PRIu32
           ", up %.0f s\n",
           now->workers, now->in_flight, now->queued, now->queue_limit,
           (double)now->uptime_ms / 1e3);
    printf("answered %" PRIu64 ", failed %" PRIu64 ", busy %" PRIu64, now->done, now->failed,
           now->busy);
    if (seconds > 0)
        printf("; %.1f tokens/s, %.1f prompt positions/s, %.2f answers/s",
               (double)(now->answer_tokens - before->answer_tokens) / seconds,
               (double)(now->prompt_positions - before->prompt_positions) / seconds,
               (double)(now->done - before->done) / seconds);
    printf("\n%s: %.1f %% of prompt positions reused", view_policy(now->policy),
           now->prompt_positions > 0
               ? 100.0 * (double)now->reused_positions / (double)now->prompt_positions
               : 0.0);
    if (now->predictions > 0)
        printf(", first tokens predicted to %.1f %%", now->prediction_error_permille / 10.0);
    printf("; index %s, %" PRIu64 " segments known\n\n", view_index_state(now->index_state),
           now->links);
    r = view_workers(client, false, qe);
    printf("\n");
    return r < 0 ? r : view_requests(client, false, qe);
}

int view_top(struct quire_client *client, const struct view_top *o, struct quire_error *qe) {
    struct sigaction act = {.sa_handler = on_interrupt};
    sigaction(SIGINT, &act, NULL);
    sigaction(SIGTERM, &act, NULL);
    struct quire_stats before = {0}, now;
    int r = 0;
    for (int64_t shown = 0; !interrupted && r == 0 && (o->times == 0 || shown < o->times);
         shown++) {
        if (shown > 0) {
            struct timespec pause = {o->interval_ms / 1000, o->interval_ms % 1000 * 1000000};
            nanosleep(&pause, NULL);
            if (interrupted)
                break;
        }
        r = show_screen(client, qe, &before, &now);
        if (r == 0) {
            before = now;
        } else if (r == ERR_TIMEOUT && shown > 0 && o->times == 0) {
            /* A broker that is started again counts from zero. */
            before = (struct quire_stats){0};
            r = 0;
            printf("%s; trying again\n", qe->text);
        }
        fflush(stdout);
    }
    return r;
}
