/* run.c - several conversations at once over one way.
 *
 * A conversation is open from its first turn's sending to its last turn's end; `concurrency` bounds
 * the open ones. They are opened in the trace's order, except that a fork has to wait for the turn
 * that it leaves. Since that turn stands earlier in the trace, somebody can always go on. */
#include "client/cli/replay/run.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "client/cli/replay/talk.h"
#include "common/clock.h"

#define BUSY_RETRIES 200  /* of one request, before "busy" is an error */
#define BUSY_LEAST_MS 20  /* between two tries */
#define SAY_EVERY_MS 5000 /* progress, where it is no terminal */

struct place { /* one open conversation */
    uint32_t turn;
    uint8_t id[QUIRE_ID_BYTES];
    int64_t not_before_us; /* after "busy" */
    uint32_t retries;
};

struct run {
    struct way *way;
    const struct trace *trace;
    const struct run_options *o;
    struct outcome *outcomes;
    uint32_t *next;       /* [n_turns] the turn after each in its conversation, or TRACE_NONE */
    uint32_t *first;      /* [n_conversations] first turn */
    bool *opened;         /* [n_conversations] */
    size_t unopened;      /* all conversations before this one were opened */
    struct place *places; /* [RUN_CONCURRENCY_MAX] */
    size_t n_places, limit;
    uint32_t order, ended;
    int64_t start_us, said_us;
};

static int no_memory(struct error *e) {
    return error_set(e, ERR_NOMEM, "memory ran out for the replay");
}

static int prepare(struct run *r, struct error *e) {
    const struct trace *t = r->trace;
    r->next = calloc(t->n_turns, sizeof *r->next);
    r->first = calloc(t->n_conversations, sizeof *r->first);
    r->opened = calloc(t->n_conversations, sizeof *r->opened);
    r->places = calloc(RUN_CONCURRENCY_MAX, sizeof *r->places);
    uint32_t *last = calloc(t->n_conversations, sizeof *last);
    if (r->next == NULL || r->first == NULL || r->opened == NULL || r->places == NULL ||
        last == NULL) {
        free(last);
        return no_memory(e);
    }
    for (uint32_t i = 0; i < t->n_turns; i++) {
        uint32_t c = t->turns[i].conversation;
        r->next[i] = TRACE_NONE;
        if (t->turns[i].turn == 1)
            r->first[c] = i;
        else
            r->next[last[c]] = i;
        last[c] = i;
    }
    free(last);
    r->limit = r->o->concurrency > 0 && r->o->concurrency < RUN_CONCURRENCY_MAX
                   ? r->o->concurrency
                   : RUN_CONCURRENCY_MAX;
    return 0;
}

static void give_back(struct run *r) {
    free(r->next);
    free(r->first);
    free(r->opened);
    free(r->places);
}

/* ---- when ---- */

/* When a turn has arrived, on our clock; 0 for one without an arrival time. */
static int64_t arrival_us(const struct run *r, uint32_t turn) {
    int64_t at_ms = r->trace->turns[turn].at_ms;
    if (at_ms < 0)
        return 0;
    return r->start_us + (int64_t)((double)at_ms * 1000 / r->o->speed);
}

/* Skips what follows a turn that failed, in its conversation. Forks see it when they are due. */
static void skip_rest(struct run *r, uint32_t turn) {
    for (; turn != TRACE_NONE; turn = r->next[turn]) {
        r->outcomes[turn].state = TURN_SKIPPED;
        r->ended++;
    }
}

/* Opens conversations while there is room. Returns when the next one arrives, or INT64_MAX. */
static int64_t open_places(struct run *r, int64_t now) {
    int64_t soonest = INT64_MAX;
    while (r->unopened < r->trace->n_conversations && r->opened[r->unopened])
        r->unopened++;
    for (size_t c = r->unopened; c < r->trace->n_conversations && r->n_places < r->limit; c++) {
        uint32_t turn = r->first[c], from = r->trace->turns[turn].from;
        enum turn_state before = from == TRACE_NONE ? TURN_DONE : r->outcomes[from].state;
        if (r->opened[c] || before == TURN_WAITING || before == TURN_SENT)
            continue;
        if (before != TURN_DONE) {
            r->opened[c] = true;
            skip_rest(r, turn);
            continue;
        }
        int64_t arrival = arrival_us(r, turn);
        if (arrival > now) {
            soonest = arrival < soonest ? arrival : soonest;
            continue;
        }
        r->opened[c] = true;
        r->places[r->n_places++] = (struct place){.turn = turn};
    }
    return soonest;
}

/* ---- sending ---- */

static void fail_turn(struct run *r, struct outcome *o, int code, const char *text) {
    o->state = TURN_FAILED;
    o->code = code;
    (void)snprintf(o->text, sizeof o->text, "%s", text);
    r->ended++;
}

static uint32_t max_tokens(const struct run *r, uint32_t turn) {
    return r->o->max_tokens > 0 ? r->o->max_tokens : r->trace->turns[turn].max_tokens;
}

/* Sends the place's turn. A request that can't be made or sent has failed; the run goes on. */
static void send_turn(struct run *r, struct place *p) {
    struct outcome *o = &r->outcomes[p->turn];
    struct talk talk;
    struct error e = {0};
    bool again = o->sent_us != 0;
    int rc = talk_build(&talk, r->trace, r->outcomes, p->turn, &e);
    if (rc == 0)
        rc = talk_link(&talk, o, &e);
    if (rc == 0 && !again) {
        o->sent_us = clock_us();
        o->order = r->order++;
    }
    if (rc == 0)
        rc = way_send(r->way, &talk, max_tokens(r, p->turn), p->id, &e);
    talk_clear(&talk);
    if (rc == 0)
        o->state = TURN_SENT;
    else
        fail_turn(r, o, rc, e.text);
}

/* Leaves a place whose turn ended: its conversation's next turn, or nobody. True: it is still open.
 */
static bool advance(struct run *r, struct place *p) {
    enum turn_state state = r->outcomes[p->turn].state;
    uint32_t next = r->next[p->turn];
    if (state != TURN_DONE)
        skip_rest(r, next);
    if (state != TURN_DONE || next == TRACE_NONE)
        return false;
    *p = (struct place){.turn = next};
    return true;
}

/* Moves every open conversation as far as it can go now. Returns when the next one is due. */
static int64_t send_due(struct run *r, int64_t now) {
    int64_t soonest = INT64_MAX;
    for (size_t i = 0; i < r->n_places;) {
        struct place *p = &r->places[i];
        enum turn_state state = r->outcomes[p->turn].state;
        if (state == TURN_SENT) {
            i++;
        } else if (state == TURN_WAITING) {
            int64_t due = arrival_us(r, p->turn);
            due = due > p->not_before_us ? due : p->not_before_us;
            if (due <= now) {
                send_turn(r, p);
            } else {
                soonest = due < soonest ? due : soonest;
                i++;
            }
        } else if (!advance(r, p)) {
            *p = r->places[--r->n_places];
        }
    }
    return soonest;
}

/* ---- events ---- */

static struct place *find_place(struct run *r, const uint8_t id[QUIRE_ID_BYTES]) {
    for (size_t i = 0; i < r->n_places; i++)
        if (r->outcomes[r->places[i].turn].state == TURN_SENT &&
            memcmp(r->places[i].id, id, QUIRE_ID_BYTES) == 0)
            return &r->places[i];
    return NULL;
}

static int finish_turn(struct run *r, struct outcome *o, const struct quire_event *event,
                       struct error *e) {
    o->state = TURN_DONE;
    o->ended_us = clock_us();
    o->usage = event->usage;
    o->timings = event->timings;
    o->finish = event->finish;
    o->ends = malloc((event->n_segment_ends + 1) * sizeof *o->ends);
    if (o->ends == NULL)
        return no_memory(e);
    o->n_ends = event->n_segment_ends;
    if (o->n_ends > 0)
        memcpy(o->ends, event->segment_ends, o->n_ends * sizeof *o->ends);
    r->ended++;
    return talk_link_answer(o, e);
}

/* "busy" is the pool's way to slow us down: the turn is sent again later. */
static void take_failure(struct run *r, struct place *p, const struct quire_error *qe) {
    struct outcome *o = &r->outcomes[p->turn];
    if (qe->code != ERR_BUSY || p->retries == BUSY_RETRIES) {
        fail_turn(r, o, qe->code, qe->text);
        return;
    }
    p->retries++;
    p->not_before_us =
        clock_us() + 1000 * (int64_t)(qe->retry_ms > BUSY_LEAST_MS ? qe->retry_ms : BUSY_LEAST_MS);
    o->state = TURN_WAITING;
}

static int take_event(struct run *r, const struct quire_event *event, struct error *e) {
    struct place *p = find_place(r, event->id);
    if (p == NULL)
        return 0;
    struct outcome *o = &r->outcomes[p->turn];
    switch (event->kind) {
    case QUIRE_TOKENS:
        if (o->first_us == 0)
            o->first_us = clock_us();
        return cli_text_add(&o->answer, event->text, event->text_bytes) ? 0 : no_memory(e);
    case QUIRE_DONE:
        return finish_turn(r, o, event, e);
    case QUIRE_FAILED:
        take_failure(r, p, &event->error);
        return 0;
    default:
        return 0;
    }
}

static int take_events(struct run *r, int wait_ms, struct error *e) {
    struct quire_event event;
    int rc;
    while ((rc = way_next(r->way, wait_ms, &event, e)) > 0) {
        rc = take_event(r, &event, e);
        if (rc != 0)
            return rc;
        wait_ms = 0;
    }
    return rc;
}

/* ---- the loop ---- */

static void say_progress(struct run *r, int64_t now, bool end) {
    bool terminal = isatty(STDERR_FILENO) != 0;
    int64_t every_us = 1000 * (int64_t)(terminal ? RUN_TICK_MS : SAY_EVERY_MS);
    if (!r->o->progress || (!end && now - r->said_us < every_us))
        return;
    r->said_us = now;
    if (terminal && end)
        fprintf(stderr, "\r\033[K");
    else if (!end)
        fprintf(stderr, "%s%" PRIu32 " of %zu requests after %.1f s%s", terminal ? "\r\033[K" : "",
                r->ended, r->trace->n_turns, (double)(now - r->start_us) / 1e6,
                terminal ? "" : "\n");
    fflush(stderr);
}

static int wait_ms(int64_t now, int64_t soonest) {
    int64_t wait = soonest == INT64_MAX ? RUN_TICK_MS : (soonest - now + 999) / 1000;
    return (int)(wait < 0 ? 0 : wait > RUN_TICK_MS ? RUN_TICK_MS : wait);
}

static int loop(struct run *r, struct error *e) {
    int rc = 0;
    while (rc == 0) {
        int64_t now = clock_us();
        (void)send_due(r, now); /* those that ended make room */
        int64_t arrival = open_places(r, now);
        int64_t due = send_due(r, now);
        if (r->ended == r->trace->n_turns)
            return 0;
        rc = take_events(r, wait_ms(now, arrival < due ? arrival : due), e);
        if (rc == 0 && r->o->tend != NULL)
            rc = r->o->tend(r->o->context, e);
        say_progress(r, clock_us(), false);
    }
    return rc;
}

int run_trace(struct way *way, const struct trace *t, const struct run_options *o,
              struct outcome *outcomes, int64_t *wall_us, struct error *e) {
    struct run r = {.way = way, .trace = t, .o = o, .outcomes = outcomes};
    int rc = prepare(&r, e);
    r.start_us = r.said_us = clock_us();
    if (rc == 0)
        rc = loop(&r, e);
    *wall_us = clock_us() - r.start_us;
    say_progress(&r, r.start_us + *wall_us, true);
    give_back(&r);
    return rc;
}
