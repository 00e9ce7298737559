/* main.c - quire-index: the one writer of the index, a child of quire-broker.
 *
 * A process of its own, since LMDB maps its file: what a damaged one or a failing disk can do to a
 * program (a signal, a loop, a wait) happens here and not to the broker, which goes on without. It
 * ends when the broker does: at the end of the pipe it commits what it has. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "broker/index/writer.h"
#include "common/clock.h"
#include "common/log.h"

#define STATUS_MS 200     /* between two statuses when something changed */
#define PULSE_MS 2000     /* and when nothing did */
#define SEND_WAIT_MS 5000 /* for the broker to take what is told; longer, and the rest is not */
#define END_MS 2000   /* after a signal to end: the broker has it too and says more until it ends */
#define END_SECONDS 5 /* then this process ends, whatever it is doing */
#define PACKETS 64    /* taken in one turn */
#define NICENESS 10   /* the index may wait; requests may not */

struct process {
    struct writer writer;
    struct pipe_status told;
    int64_t told_ms;
    bool broker_gone;
    union {
        uint64_t align;
        uint8_t bytes[PIPE_PACKET_BYTES];
    } in, out;
};

static volatile sig_atomic_t asked_to_end;

/* A writer that hangs in a damaged file must end too. */
static void on_end(int number) {
    (void)number;
    asked_to_end = 1;
    (void)alarm(END_SECONDS);
}

static void set_signals(void) {
    struct sigaction end = {.sa_handler = on_end};
    (void)sigaction(SIGTERM, &end, NULL);
    (void)signal(SIGINT, SIG_IGN); /* a terminal's Ctrl-C is for the broker, which ends us */
    (void)signal(SIGPIPE, SIG_IGN);
    (void)signal(SIGXFSZ, SIG_IGN); /* EFBIG says it better */
    (void)prctl(PR_SET_PDEATHSIG, SIGTERM);
}

/* ---- to the broker ---- */

static void send_record(struct process *p, const void *record, size_t size) {
    int64_t end_ms = clock_ms() + SEND_WAIT_MS;
    while (!p->broker_gone) {
        if (send(PIPE_FD, record, size, MSG_NOSIGNAL | MSG_DONTWAIT) == (ssize_t)size)
            return;
        int64_t left_ms = end_ms - clock_ms();
        struct pollfd out = {.fd = PIPE_FD, .events = POLLOUT};
        if (errno == EAGAIN && left_ms > 0)
            (void)poll(&out, 1, (int)left_ms);
        else if (errno != EINTR)
            return;
    }
}

static void tell_worker(void *context, const struct index_worker *w) {
    struct pipe_worker record = {pipe_head_of(PIPE_WORKER, sizeof record), *w};
    send_record(context, &record, sizeof record);
}

static void tell_held(void *context, uint64_t incarnation, struct bytes held) {
    struct process *p = context;
    pipe_links_write(p->out.bytes, incarnation, false, held, (struct bytes){0});
    send_record(p, p->out.bytes, pipe_links_bytes(held.size / LINK_HELD_BYTES, 0));
}

/* A status that does not get out is told again soon. */
static void tell_status(struct process *p, int64_t now_ms) {
    struct pipe_status status = {.head = pipe_head_of(PIPE_STATUS, sizeof status)};
    writer_status(&p->writer, &status);
    bool changed = memcmp(&status, &p->told, sizeof status) != 0;
    bool state_changed = status.state != p->told.state || status.resync != p->told.resync;
    int64_t age_ms = now_ms - p->told_ms;
    if (!state_changed && age_ms < (changed ? STATUS_MS : PULSE_MS))
        return;
    if (send(PIPE_FD, &status, sizeof status, MSG_NOSIGNAL | MSG_DONTWAIT) != sizeof status)
        return;
    p->told = status;
    p->told_ms = now_ms;
}

/* ---- from the broker ---- */

static void take_packet(struct process *p, size_t size) {
    struct bytes packet = {p->in.bytes, size};
    struct pipe_record record;
    while (pipe_next(&packet, &record))
        writer_take(&p->writer, &record, clock_ms());
}

static void take_packets(struct process *p) {
    for (int i = 0; i < PACKETS; i++) {
        ssize_t n = recv(PIPE_FD, p->in.bytes, sizeof p->in.bytes, MSG_DONTWAIT);
        if (n > 0)
            take_packet(p, (size_t)n);
        else if (n == 0 || (errno != EAGAIN && errno != EINTR))
            p->broker_gone = true;
        if (n <= 0)
            return;
    }
}

/* Before anything else is told. What is opened only later is older than what the workers say. */
static void tell_recorded(struct process *p) {
    struct pipe_loaded loaded = {pipe_head_of(PIPE_LOADED, sizeof loaded)};
    writer_tell(&p->writer, &(struct store_listener){p, tell_worker, tell_held});
    send_record(p, &loaded, sizeof loaded);
}

static void run(struct process *p, bool tell) {
    bool first = true;
    int64_t end_ms = INT64_MAX;
    while (!p->broker_gone && clock_ms() < end_ms) {
        if (asked_to_end && end_ms == INT64_MAX)
            end_ms = clock_ms() + END_MS;
        int64_t due_ms = writer_turn(&p->writer, clock_ms());
        if (p->writer.tried && first) {
            first = false;
            if (tell)
                tell_recorded(p);
            (void)setpriority(PRIO_PROCESS, 0, NICENESS);
        }
        int64_t now_ms = clock_ms();
        if (p->writer.tried)
            tell_status(p, now_ms);
        int64_t wait_ms = due_ms - now_ms < STATUS_MS ? due_ms - now_ms : STATUS_MS;
        struct pollfd in = {.fd = PIPE_FD, .events = POLLIN};
        if (poll(&in, 1, wait_ms > 0 ? (int)wait_ms : 0) > 0)
            take_packets(p);
    }
    writer_close(&p->writer);
}

/* ---- start ---- */

static int by_hand(void) {
    fprintf(stderr, "quire-index: quire-broker starts this program; see quire-broker --index\n");
    return error_exit_code(ERR_USAGE);
}

/* DIR LINKS SEED-MARK tell|keep trust|anew LOG-LEVEL */
int main(int argc, char **argv) {
    struct process *p;
    enum log_level level;
    if (argc != 7 || fcntl(PIPE_FD, F_GETFD) < 0 || log_parse_level(argv[6], &level) != 0)
        return by_hand();
    struct store_settings settings = {.dir = argv[1],
                                      .max_links = strtoull(argv[2], NULL, 10),
                                      .seed_mark = strtoull(argv[3], NULL, 16)};
    p = calloc(1, sizeof *p);
    if (!p || settings.max_links == 0)
        return error_exit_code(p ? ERR_USAGE : ERR_NOMEM);
    log_set_level(level);
    set_signals();
    (void)umask(0077);
    writer_init(&p->writer, &settings, strcmp(argv[5], "anew") == 0, clock_ms());
    run(p, strcmp(argv[4], "tell") == 0);
    free(p);
    return 0;
}
