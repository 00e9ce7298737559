/* broker_random_test.c - thousands of random moves of clients and workers, and what must always
 * hold.
 *
 * The fakes keep books of their own, from nothing but the actions they get, and every action is
 * checked against them:
 *   - a request that was kept gets exactly one last word, and nothing after it, unless its client
 *     went away; at the end of every run nothing is left over;
 *   - tokens reach a client in order, each once, and from the attempt under way only: nothing of a
 *     dead worker passes;
 *   - WORK never exceeds the credit of its worker, as the worker itself counts;
 *   - WORK is for kept frames, with attempts that count up by one, three at most, and brings just
 *     the tokens that the client has, to a worker that can go on behind them;
 *   - queue and bytes stay within their bounds;
 *   - at the end nobody is thought to have a prompt to compute, or to be about to hold anything.
 *
 * Workers tell of links they hold or do not, under every policy: none of the above depends on it.
 */
#include "tests/broker_world.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define RUNS 60
#define MOVES 1500
#define CLIENTS 5
#define REQUESTS 4096 /* asked in one run, at most */
#define HELD 64
#define INBOX 512

static uint64_t noise = 0x9e3779b97f4a7c15ULL;

static uint32_t draw(uint32_t below) {
    noise ^= noise << 13;
    noise ^= noise >> 7;
    noise ^= noise << 17;
    return (uint32_t)(noise >> 33) % below;
}

enum fate { UNKNOWN, OPEN, ENDED, ABANDONED };

struct book { /* of one request */
    int client;
    uint32_t n, attempt, tokens;
    uint64_t ticket;
    enum fate fate;
    bool frames_kept;
};

struct held { /* a worker's view of one WORK */
    uint64_t ticket;
    uint32_t attempt, n, tokens;
    bool cancelled;
};

struct actor {
    enum { AWAKE, FROZEN, DEAD } state;
    bool registered; /* it believes so */
    struct held held[HELD];
    size_t n_held;
    struct action inbox[INBOX]; /* arrived while it was frozen */
    size_t n_inbox;
};

struct sim {
    struct world w;
    struct actor actors[WORLD_WORKERS];
    struct book books[REQUESTS];
    uint32_t n_books;
    size_t seen; /* of the world's log */
    bool sleeps; /* moves include the broker standing still */
    bool quiet;  /* workers tell of no links, so that only promises can make an owner */
    size_t terminals, passes, resumed;
    struct event caused[128]; /* UNSENT; before those of `gone` */
    unsigned gone;            /* workers that sending has found dead */
    size_t n_caused;
};

static struct book *book_of_ticket(struct sim *s, uint64_t ticket) {
    for (uint32_t i = s->n_books; i > 0; i--)
        if (s->books[i - 1].ticket == ticket)
            return &s->books[i - 1];
    fail_msg("an action names a ticket that was never kept");
    return NULL;
}

static struct book *book_of_client(struct sim *s, const struct action *a,
                                   const struct request_id *id) {
    uint32_t n;
    memcpy(&n, id->bytes, sizeof n);
    assert_true(n < s->n_books);
    struct peer client = world_client(s->books[n].client);
    assert_true(peer_equal(&client, &a->peer));
    return &s->books[n];
}

static int actor_of(const struct sim *s, const struct peer *peer) {
    for (int i = 0; i < WORLD_WORKERS; i++)
        if (peer_equal(&s->w.workers[i].peer, peer))
            return i;
    return -1; /* an earlier connection */
}

/* ---- what workers do with what they get ---- */

static void forget(struct actor *k, size_t at) {
    k->held[at] = k->held[--k->n_held];
}

static void deliver(struct sim *s, int i, const struct action *a) {
    struct actor *k = &s->actors[i];
    if (a->type == ACTION_WORK) {
        assert_true(k->n_held < HELD);
        struct book *b = book_of_ticket(s, a->ticket);
        k->held[k->n_held++] = (struct held){a->ticket, a->attempt, b->n, a->given, false};
    } else if (a->type == ACTION_CANCEL_WORK) {
        for (size_t h = 0; h < k->n_held; h++)
            if (k->held[h].ticket == a->ticket && k->held[h].attempt == a->attempt)
                k->held[h].cancelled = true;
    } else if (a->type == ACTION_BEAT && !a->known) {
        k->registered = false;
        k->n_held = 0;
    } else if (a->type == ACTION_WELCOME) {
        k->registered = true;
    } else if (a->type == ACTION_DRAIN) {
        s->w.workers[i].draining = a->on;
    }
}

/* ---- checking actions ---- */

/* What the worker would hold if it did all that is on its way to it. */
static void check_credit(struct sim *s, int i) {
    const struct actor *k = &s->actors[i];
    size_t live = 0, all = k->n_held;
    for (size_t h = 0; h < k->n_held; h++)
        live += !k->held[h].cancelled;
    for (size_t m = 0; m < k->n_inbox; m++) {
        const struct action *a = &k->inbox[m];
        all += a->type == ACTION_WORK;
        live += a->type == ACTION_WORK;
        for (size_t h = 0; a->type == ACTION_CANCEL_WORK && h < k->n_held; h++)
            live -= k->held[h].ticket == a->ticket && k->held[h].attempt == a->attempt &&
                    !k->held[h].cancelled;
        for (size_t h = 0; a->type == ACTION_CANCEL_WORK && h < m; h++)
            live -= k->inbox[h].type == ACTION_WORK && k->inbox[h].ticket == a->ticket &&
                    k->inbox[h].attempt == a->attempt;
        if (a->type == ACTION_BEAT && !a->known)
            return; /* it will drop everything */
    }
    assert_true(live <= s->w.workers[i].credits);
    if (!s->sleeps)
        assert_true(all <= s->w.workers[i].credits);
}

static void take_last_word(struct sim *s, struct book *b) {
    assert_int_equal(b->fate, OPEN);
    b->fate = ENDED;
    s->terminals++;
}

static void check_work(struct sim *s, const struct action *a) {
    struct book *b = book_of_ticket(s, a->ticket);
    assert_int_equal(b->fate, OPEN);
    assert_true(b->frames_kept);
    world_check_replay(&s->w, a, b->tokens);
    s->resumed += a->given > 0;
    assert_int_equal(a->attempt, b->attempt + 1);
    assert_in_range(a->attempt, 1, 1 + BROKER_RESENDS);
    b->attempt = a->attempt;
    int i = actor_of(s, &a->peer);
    assert_true(i >= 0); /* never to a connection that is no worker's any more */
    assert_true(a->given == 0 || !s->w.workers[i].mute);
    struct actor *k = &s->actors[i];
    bool lost = k->state == DEAD;
    if (lost || draw(40) == 0) { /* the shell could not send it */
        struct event *ev = &s->caused[s->n_caused++];
        assert_true(s->n_caused < 128);
        *ev = (struct event){.type = EVENT_UNSENT, .peer = a->peer};
        ev->unsent.ticket = a->ticket;
        ev->unsent.attempt = a->attempt;
        if (lost)
            s->gone |= 1U << i;
        b->attempt--;
        return;
    }
    if (k->state == FROZEN) {
        assert_true(k->n_inbox < INBOX);
        k->inbox[k->n_inbox++] = *a;
    } else {
        deliver(s, i, a);
    }
    check_credit(s, i);
}

static void check_pass(struct sim *s, const struct action *a, const struct event *ev) {
    struct book *b = book_of_client(s, a, &ev->reply.id);
    assert_int_equal(b->fate, OPEN);
    assert_true(b->ticket == ev->reply.reply.ticket);
    assert_int_equal(b->attempt, ev->reply.reply.attempt);
    int i = actor_of(s, &ev->peer);
    assert_true(i >= 0 && s->w.workers[i].incarnation == ev->reply.reply.incarnation);
    s->passes++;
    if (ev->reply.inner == MSG_TOKENS) {
        assert_int_equal(ev->reply.index, b->tokens);
        b->tokens += ev->reply.n_tokens;
    } else if (ev->reply.inner == MSG_ERROR) {
        take_last_word(s, b);
    }
}

static void check_action(struct sim *s, const struct action *a, const struct event *ev) {
    int i;
    switch (a->type) {
    case ACTION_KEEP:
        s->books[s->n_books - 1].ticket = a->ticket;
        s->books[s->n_books - 1].frames_kept = true;
        s->books[s->n_books - 1].fate = OPEN;
        return;
    case ACTION_DROP:
        assert_true(book_of_ticket(s, a->ticket)->frames_kept);
        book_of_ticket(s, a->ticket)->frames_kept = false;
        return;
    case ACTION_PASS:
        check_pass(s, a, ev);
        return;
    case ACTION_DONE:
        assert_int_equal(book_of_ticket(s, a->ticket)->attempt, a->attempt);
        take_last_word(s, book_of_client(s, a, &a->id));
        return;
    case ACTION_ERROR:
        if (a->has_id && book_of_client(s, a, &a->id)->fate != UNKNOWN)
            take_last_word(s, book_of_client(s, a, &a->id));
        return;
    case ACTION_PROGRESS:
        assert_int_equal(book_of_client(s, a, &a->progress.id)->fate, OPEN);
        return;
    case ACTION_WORK:
        check_work(s, a);
        return;
    default:
        i = actor_of(s, &a->peer);
        if (i < 0)
            return;
        if (s->actors[i].state == FROZEN && s->actors[i].n_inbox < INBOX)
            s->actors[i].inbox[s->actors[i].n_inbox++] = *a;
        else if (s->actors[i].state == AWAKE)
            deliver(s, i, a);
    }
}

/* Checks what the last step of the world did. */
static void review(struct sim *s, const struct event *ev) {
    for (; s->seen < s->w.n_log; s->seen++)
        check_action(s, &s->w.log[s->seen], ev);
    world_forget(&s->w);
    s->seen = 0;
    struct pool_stats stats = world_stats(&s->w);
    assert_true(stats.queued <= s->w.settings.queue_requests + BROKER_RUNNING);
}

static void step(struct sim *s, const struct event *ev) {
    world_step(&s->w, ev);
    review(s, ev);
    while (s->n_caused > 0) {
        struct event caused = s->caused[0];
        memmove(s->caused, s->caused + 1, --s->n_caused * sizeof caused);
        world_step(&s->w, &caused);
        review(s, &caused);
    }
    for (int i = 0; s->gone != 0 && i < WORLD_WORKERS; i++) {
        if ((s->gone >> i & 1) == 0)
            continue;
        s->gone &= ~(1U << i);
        step(s, &(struct event){.type = EVENT_WORKER_GONE, .peer = s->w.workers[i].peer});
    }
}

/* ---- moves ---- */

static const char *const models[] = {"a", "b", "c"};

/* One of a few, so that they share beginnings and pictures. */
static struct world_chain some_chain(void) {
    uint32_t numbers[12];
    size_t n = 1 + draw(12);
    for (size_t i = 0; i < n; i++)
        numbers[i] = draw(5) == 0 ? WORLD_PICTURE + draw(3) : draw(2);
    return world_chain("", n, numbers);
}

/* Links of any worker: true or not, of its present life or of an earlier one, or of the index. */
static void tell_links(struct sim *s) {
    int i = (int)draw(WORLD_WORKERS);
    const struct world_worker *w = &s->w.workers[i];
    struct world_chain chain = some_chain();
    uint8_t held[12 * LINK_HELD_BYTES], dropped[12 * LINK_BYTES];
    if (s->quiet || s->actors[i].state != AWAKE)
        return;
    for (size_t k = 0; k < chain.n; k++) {
        memset(held + k * LINK_HELD_BYTES, 0, LINK_HELD_BYTES);
        memcpy(held + k * LINK_HELD_BYTES, chain.segments[k].link.bytes, LINK_BYTES);
        held[k * LINK_HELD_BYTES + LINK_BYTES] = (uint8_t)draw(200);
        memcpy(dropped + k * LINK_BYTES, chain.segments[k].link.bytes, LINK_BYTES);
    }
    struct event ev = {.type = EVENT_LINKS, .peer = w->peer};
    ev.links.told.incarnation = w->incarnation - (draw(10) == 0);
    ev.links.told.reset = draw(10) == 0;
    if (draw(3) > 0)
        ev.links.told.held = (struct bytes){held, chain.n * LINK_HELD_BYTES};
    else
        ev.links.told.dropped = (struct bytes){dropped, chain.n * LINK_BYTES};
    ev.links.recorded = draw(10) == 0;
    ev.links.worker = (struct bytes){(const uint8_t *)w->name, strlen(w->name)};
    ev.links.model = (struct bytes){(const uint8_t *)w->model, strlen(w->model)};
    step(s, &ev);
    if (draw(20) == 0)
        step(s, &(struct event){.type = EVENT_INVENTORY});
    (void)world_explain(&s->w, w->model, &chain);
}

static void ask(struct sim *s) {
    if (s->n_books == REQUESTS)
        return;
    uint32_t n = s->n_books++;
    s->books[n] = (struct book){.client = (int)draw(CLIENTS), .n = n};
    static const char *const wanted[] = {"a", "b", "", "nobody's"};
    struct event ev = world_request(s->books[n].client, n, wanted[draw(100) < 2 ? 3 : draw(3)]);
    ev.request.priority = draw(PRIORITY_HIGH + 1);
    ev.request.count_only = draw(8) == 0;
    ev.request.extended = ev.request.count_only;
    ev.request.deadline_ms = draw(4) == 0 ? 50 + draw(4000) : 60000;
    ev.request.pictures = draw(3) == 0;
    ev.request.held_bytes = 1 + draw(5000);
    ev.request.content_hash = draw(5) == 0 ? 7 : n + 1000;
    struct world_chain chain = some_chain();
    if (draw(4) > 0) {
        ev.request.chain.segments = chain.segments;
        ev.request.chain.n_segments = chain.n;
    }
    step(s, &ev);
}

static void lose_client(struct sim *s, enum event_type type) {
    int client = (int)draw(CLIENTS);
    struct event ev = {.type = type, .peer = world_client(client)};
    if (type == EVENT_CLIENT_GONE)
        for (uint32_t i = 0; i < s->n_books; i++)
            if (s->books[i].client == client && s->books[i].fate == OPEN)
                s->books[i].fate = ABANDONED;
    step(s, &ev);
}

static void cancel(struct sim *s) {
    if (s->n_books == 0)
        return;
    struct event ev = {.type = EVENT_CANCEL};
    uint32_t n = s->n_books - 1 - draw(s->n_books < 50 ? s->n_books : 50);
    ev.peer = world_client(s->books[n].client);
    ev.cancel.id = world_id(n);
    step(s, &ev);
}

static struct event reply_event(const struct sim *s, int i, const struct held *h,
                                enum message_type inner) {
    struct event ev = {.type = EVENT_REPLY, .peer = s->w.workers[i].peer};
    ev.reply.reply = (struct msg_reply){
        .incarnation = s->w.workers[i].incarnation, .ticket = h->ticket, .attempt = h->attempt};
    ev.reply.inner = inner;
    ev.reply.id = world_id(h->n);
    ev.reply.index = h->tokens;
    ev.reply.progress = (struct msg_progress){ev.reply.id, STAGE_PREFILL, 1, 2};
    return ev;
}

static void work(struct sim *s, int i) {
    struct actor *k = &s->actors[i];
    if (k->state != AWAKE || k->n_held == 0)
        return;
    size_t at = draw((uint32_t)k->n_held);
    struct held *h = &k->held[at];
    static const enum message_type kinds[] = {MSG_TOKENS, MSG_TOKENS,   MSG_TOKENS,
                                              MSG_DONE,   MSG_PROGRESS, MSG_ERROR};
    static const int codes[] = {ERR_BUSY, ERR_BAD_PICTURE, ERR_SHUTTING_DOWN};
    struct event ev = reply_event(s, i, h, kinds[draw(6)]);
    uint8_t ids[4 * TOKEN_ID_BYTES];
    if (ev.reply.inner == MSG_ERROR && h->tokens > 0)
        ev.reply.inner = MSG_TOKENS;
    if (ev.reply.inner == MSG_TOKENS) {
        ev.reply.n_tokens = draw(4);
        world_put_ids(ids, h->tokens, ev.reply.n_tokens);
        ev.reply.text_bytes = (size_t)WORLD_TOKEN_TEXT * ev.reply.n_tokens;
        if (!s->w.workers[i].mute)
            ev.reply.reply.ids = (struct bytes){ids, ev.reply.n_tokens * TOKEN_ID_BYTES};
        h->tokens += ev.reply.n_tokens;
    }
    if (ev.reply.inner == MSG_ERROR)
        ev.reply.code = codes[draw(3)];
    if (ev.reply.inner == MSG_DONE || ev.reply.inner == MSG_ERROR)
        forget(k, at);
    step(s, &ev);
}

/* Replies about anything from anyone: strangers, tickets long gone, attempts never made. */
static void talk_nonsense(struct sim *s) {
    int i = (int)draw(WORLD_WORKERS);
    struct held h = {.ticket = (uint64_t)draw(100) << 12 | draw(64),
                     .attempt = 7 + draw(9),
                     .n = draw(s->n_books + 1)};
    struct event ev = reply_event(s, i, &h, (enum message_type)(MSG_PROGRESS + (int)draw(4)));
    ev.reply.reply.incarnation += draw(2);
    if (draw(3) == 0 || s->actors[i].state != AWAKE) /* a frozen one says nothing */
        ev.peer.id[1] = 'x';
    step(s, &ev);
}

static void act(struct sim *s, int i) { /* an awake worker's I/O thread */
    struct actor *k = &s->actors[i];
    for (size_t m = 0; m < k->n_inbox; m++)
        deliver(s, i, &k->inbox[m]);
    k->n_inbox = 0;
    for (size_t h = k->n_held; h > 0; h--) {
        if (!k->held[h - 1].cancelled)
            continue;
        struct event ev = reply_event(s, i, &k->held[h - 1], MSG_ERROR);
        ev.reply.code = ERR_CANCELLED;
        forget(k, h - 1);
        step(s, &ev);
    }
    struct world_worker *w = &s->w.workers[i];
    struct event ev = {.type = EVENT_HEARTBEAT, .peer = w->peer};
    ev.heartbeat.incarnation = w->incarnation;
    ev.heartbeat.pages_free = draw(3);
    ev.heartbeat.prefill_us_per_position = 1000 * draw(3);
    ev.heartbeat.draining = w->draining;
    if (!k->registered) {
        ev = (struct event){.type = EVENT_READY, .peer = w->peer};
        ev.ready = (struct msg_ready){.version_min = 1,
                                      .version_max = 1,
                                      .incarnation = w->incarnation,
                                      .name = {(const uint8_t *)w->name, strlen(w->name)},
                                      .model = {(const uint8_t *)w->model, strlen(w->model)},
                                      .credits = w->credits,
                                      .vision = w->vision,
                                      .resumes = !w->mute,
                                      .extended = !w->mute};
    }
    step(s, &ev);
}

static void restart(struct sim *s, int i) {
    struct world_worker *w = &s->w.workers[i];
    s->actors[i] = (struct actor){.state = AWAKE};
    w->incarnation += 100;
    w->peer.id[3]++;
    w->model = models[draw(3)];
    w->credits = 1 + draw(6);
    w->vision = draw(3) > 0;
    w->mute = draw(4) == 0;
    w->draining = false;
    act(s, i);
}

static void trouble(struct sim *s, int i) {
    struct actor *k = &s->actors[i];
    struct world_worker *w = &s->w.workers[i];
    switch (draw(6)) {
    case 0:
        if (k->state == AWAKE)
            k->state = FROZEN;
        return;
    case 1: /* killed; sometimes the shell notices */
        k->state = DEAD;
        k->n_held = k->n_inbox = 0;
        if (draw(2))
            step(s, &(struct event){.type = EVENT_WORKER_GONE, .peer = w->peer});
        return;
    case 2: { /* the connection breaks; what it held is to be dropped */
        if (k->state != AWAKE)
            return;
        w->peer.id[3]++;
        k->registered = false;
        k->n_held = 0;
        act(s, i);
        return;
    }
    case 3:
        if (k->state == AWAKE && k->registered && k->n_held == 0) {
            struct event ev = {.type = EVENT_GOODBYE, .peer = w->peer};
            ev.goodbye.incarnation = w->incarnation;
            k->state = DEAD;
            step(s, &ev);
        }
        return;
    default: {
        struct event ev = {.type = EVENT_DRAIN, .peer = world_client(0)};
        ev.drain.worker = (struct bytes){(const uint8_t *)w->name, strlen(w->name)};
        ev.drain.on = draw(3) == 0;
        step(s, &ev);
    }
    }
}

static void recover(struct sim *s, int i) {
    if (s->actors[i].state == FROZEN) {
        s->actors[i].state = AWAKE;
        act(s, i);
    } else if (s->actors[i].state == DEAD) {
        restart(s, i);
    }
}

static void pass_time(struct sim *s, int64_t ms) {
    int64_t end_us = s->w.now_us + ms * 1000;
    for (int i = 0; i < WORLD_WORKERS; i++)
        if (s->actors[i].state == AWAKE)
            act(s, i);
    for (;;) {
        int64_t due_us = broker_next_us(s->w.broker);
        if (due_us > end_us)
            break;
        s->w.now_us = due_us > s->w.now_us ? due_us : s->w.now_us + 1000;
        step(s, &(struct event){.type = EVENT_TICK});
    }
    s->w.now_us = end_us > s->w.now_us ? end_us : s->w.now_us;
}

static void stand_still(struct sim *s) {
    s->w.now_us += 5000000;
    for (int i = 0; i < WORLD_WORKERS; i++)
        if (s->actors[i].state == AWAKE)
            act(s, i);
}

static void move(struct sim *s) {
    uint32_t what = draw(100);
    int i = (int)draw(WORLD_WORKERS);
    if (what < 24)
        ask(s);
    else if (what < 30)
        tell_links(s);
    else if (what < 75)
        work(s, i);
    else if (what < 80)
        cancel(s);
    else if (what < 90)
        pass_time(s, 1 + draw(300));
    else if (what < 92)
        trouble(s, i);
    else if (what < 95)
        recover(s, i);
    else if (what < 98)
        talk_nonsense(s);
    else if (what == 98)
        lose_client(s, draw(2) ? EVENT_CLIENT_GONE : EVENT_CLIENT_STUCK);
    else if (s->sleeps && draw(4) == 0)
        stand_still(s);
}

static void check_nothing_is_left(struct sim *s) {
    pass_time(s, 200000); /* longer than every deadline */
    for (uint32_t i = 0; i < s->n_books; i++) {
        assert_int_not_equal(s->books[i].fate, OPEN);
        assert_false(s->books[i].frames_kept);
    }
    struct pool_stats t = world_stats(&s->w);
    assert_int_equal(t.queued, 0);
    assert_int_equal(t.in_flight, 0);
    assert_int_equal(t.requests, s->n_books);
    assert_int_equal(t.done + t.failed + t.cancelled + t.busy + t.expired, t.requests);
    pass_time(s, 1); /* those that were given up for their silence come back */
    pass_time(s, 1);
    for (int n = 0; n < 100; n++) {
        struct world_chain chain = some_chain();
        struct explanation e = world_explain(&s->w, models[draw(3)], &chain);
        for (size_t i = 0; i < e.n_workers; i++)
            assert_int_equal(e.workers[i].wait_us, 0);
        for (size_t i = 0; s->quiet && i < e.n_segments; i++)
            assert_int_equal(e.segments[i].owners.size, 0);
    }
}

static void run(uint64_t seed, bool sleeps, size_t *terminals, size_t *passes, size_t *resumed) {
    struct sim *s = calloc(1, sizeof *s);
    assert_non_null(s);
    noise = seed;
    s->sleeps = sleeps;
    world_init(&s->w);
    s->w.settings.queue_requests = 20;
    s->w.settings.queue_bytes = 60000;
    s->w.settings.client_requests = 12;
    s->w.settings.policy = draw(3) > 0   ? POLICY_EARLIEST
                           : draw(2) > 0 ? POLICY_LEAST_LOADED
                                         : POLICY_ROUND_ROBIN;
    s->quiet = draw(4) == 0;
    s->w.settings.links = s->quiet ? WORLD_LINKS : 64; /* the latter forgets a lot */
    world_open(&s->w);
    for (int i = 0; i < WORLD_WORKERS; i++)
        restart(s, i);
    for (int m = 0; m < MOVES; m++)
        move(s);
    check_nothing_is_left(s);
    *terminals += s->terminals;
    *resumed += s->resumed;
    *passes += s->passes;
    world_close(&s->w);
    free(s);
}

static void test_whatever_happens_every_request_ends_once(void **state) {
    (void)state;
    size_t terminals = 0, passes = 0, resumed = 0;
    for (uint64_t i = 0; i < RUNS; i++)
        run(i * 0x9e3779b97f4a7c15ULL + 88172645463325252ULL, false, &terminals, &passes, &resumed);
    assert_true(terminals > 5000); /* the runs really did something */
    assert_true(passes > 5000);
    assert_in_range(resumed, 100, SIZE_MAX);
}

static void test_it_holds_too_when_the_broker_itself_stands_still(void **state) {
    (void)state;
    size_t terminals = 0, passes = 0, resumed = 0;
    for (uint64_t i = 0; i < RUNS; i++)
        run(i * 0xd1342543de82ef95ULL + 1442695040888963407ULL, true, &terminals, &passes,
            &resumed);
    assert_true(terminals > 5000);
    assert_in_range(resumed, 100, SIZE_MAX);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_whatever_happens_every_request_ends_once),
        cmocka_unit_test(test_it_holds_too_when_the_broker_itself_stands_still),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
