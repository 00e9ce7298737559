/* broker_routing_test.c - where requests go, by what workers hold and how long they need.
 *
 * Workers here need 1 ms for a position and 100 ms for a picture's tile; a text segment has 100
 * positions, so that its prompt takes 100 ms. */
#include "tests/broker_world.h"

#include <string.h>

static uint64_t noise = 0x853c49e6748fea9bULL;

static uint32_t draw(uint32_t below) {
    noise ^= noise << 13;
    noise ^= noise >> 7;
    noise ^= noise << 17;
    return (uint32_t)(noise >> 33) % below;
}

/* A pool of n workers that have told their pace. */
static void begin_with(struct world *w, int n, uint32_t credits) {
    world_open(w);
    for (int i = 0; i < n; i++)
        world_ready(w, i, "m", credits);
    for (int i = 0; i < n; i++)
        world_beat(w, i);
    w->now_us += 2000000; /* the wait for former owners is over */
    world_step(w, &(struct event){.type = EVENT_TICK});
    for (int i = 0; i < n; i++)
        world_beat(w, i);
}

static void begin(struct world *w, int n, uint32_t credits) {
    world_init(w);
    w->settings.dead_ms = 10000;
    begin_with(w, n, credits);
}

/* first, first + 1, ...: n numbers. */
static struct world_chain chain_from(uint32_t first, size_t n) {
    uint32_t numbers[WORLD_SEGMENTS];
    for (size_t i = 0; i < n; i++)
        numbers[i] = first + (uint32_t)i;
    return world_chain("", n, numbers);
}

/* The numbers 0..common-1, and then n of its own. */
static struct world_chain branch(size_t common, uint32_t own, size_t n) {
    uint32_t numbers[WORLD_SEGMENTS];
    for (size_t i = 0; i < common + n; i++)
        numbers[i] = i < common ? (uint32_t)i : own + (uint32_t)(i - common);
    return world_chain("", common + n, numbers);
}

static void test_a_conversation_stays_with_the_worker_that_holds_it(void **state) {
    (void)state;
    struct world w;
    begin(&w, 4, 4);
    struct world_chain c = chain_from(0, 10);
    world_hold(&w, 2, &c, 0, 10);
    for (uint32_t n = 0; n < 8; n++) {
        world_forget(&w);
        uint64_t ticket = world_ask_chain(&w, 1, n, "m", &c);
        assert_int_equal(world_sent_to(&w), 2);
        world_tokens(&w, 2, ticket, 1, n, 0, 1);
        world_done(&w, 2, ticket, 1, n);
    }
    world_close(&w);
}

static void test_the_longest_prefix_wins(void **state) {
    (void)state;
    struct world w;
    begin(&w, 3, 4);
    struct world_chain c = chain_from(0, 10);
    world_hold(&w, 0, &c, 0, 3);
    world_hold(&w, 1, &c, 0, 8);
    world_hold(&w, 2, &c, 0, 5);
    world_ask_chain(&w, 1, 1, "m", &c);
    assert_int_equal(world_sent_to(&w), 1);
    world_close(&w);
}

static void test_a_picture_goes_where_its_embeddings_are(void **state) {
    (void)state;
    struct world w;
    begin(&w, 3, 4);
    struct world_chain c = world_chain("", 2, (uint32_t[]){5, WORLD_PICTURE + 1});
    struct world_chain other = world_chain("", 2, (uint32_t[]){6, WORLD_PICTURE + 1});
    world_hold_pictures(&w, 1, &c);
    world_ask_chain(&w, 1, 1, "m", &other); /* not one position of it is known */
    assert_int_equal(world_sent_to(&w), 1);
    world_close(&w);
}

static void test_answers_under_way_do_not_drive_a_conversation_away(void **state) {
    (void)state;
    struct world w;
    begin(&w, 2, 8);
    struct world_chain c = chain_from(0, 10);
    world_hold(&w, 0, &c, 0, 10);
    for (uint32_t n = 0; n < 4; n++) {
        struct world_chain mine = branch(10, 100 * (n + 1), 1);
        uint64_t ticket = world_ask_chain(&w, 1, n, "m", &mine);
        assert_int_equal(world_sent_to(&w), 0);
        world_tokens(&w, 0, ticket, 1, n, 0, 1);
    }
    world_close(&w);
}

static void test_a_hot_prefix_spreads_when_waiting_costs_more(void **state) {
    (void)state;
    struct world w;
    begin(&w, 3, 64);
    struct world_chain trunk = chain_from(0, 3);
    world_hold(&w, 0, &trunk, 0, 3); /* 300 ms to compute elsewhere */
    int sent[3] = {0};
    for (uint32_t n = 0; n < 30; n++) {
        struct world_chain mine = branch(3, 1000 + 10 * n, 2); /* 200 ms of its own */
        world_ask_chain(&w, 1, n, "m", &mine);
        sent[world_sent_to(&w)]++;
    }
    assert_int_equal(sent[0] + sent[1] + sent[2], 30);
    for (int i = 0; i < 3; i++)
        assert_in_range(sent[i], 7, 16);
    world_close(&w);
}

static void test_identical_cold_prompts_follow_the_first(void **state) {
    (void)state;
    struct world w;
    begin(&w, 3, 16);
    struct world_chain c = world_chain("", 3, (uint32_t[]){1, WORLD_PICTURE, 2});
    world_ask_chain(&w, 1, 0, "m", &c);
    int first = world_sent_to(&w);
    for (uint32_t n = 1; n < 10; n++) {
        world_ask_chain(&w, 1, n, "m", &c);
        assert_int_equal(world_sent_to(&w), first);
    }
    world_close(&w);
}

static void test_prefixes_not_computed_yet_are_followed_too(void **state) {
    (void)state;
    struct world w;
    begin(&w, 3, 16);
    struct world_chain a = branch(10, 1000, 1), b = branch(10, 2000, 1);
    world_ask_chain(&w, 1, 0, "m", &a);
    int first = world_sent_to(&w);
    world_ask_chain(&w, 1, 1, "m", &b);
    assert_int_equal(world_sent_to(&w), first);
    struct world_chain stranger = chain_from(5000, 10);
    world_ask_chain(&w, 1, 2, "m", &stranger);
    assert_int_not_equal(world_sent_to(&w), first);
    world_close(&w);
}

static void test_nobody_follows_a_prompt_that_was_given_up(void **state) {
    (void)state;
    struct world w;
    begin(&w, 2, 4);
    struct world_chain c = chain_from(0, 10);
    uint64_t ticket = world_ask_chain(&w, 1, 0, "m", &c);
    int first = world_sent_to(&w);
    struct explanation e = world_explain(&w, "m", &c);
    assert_int_equal(world_explained(&w, &e, first)->held_segments, 10);
    world_cancel(&w, 1, 0);
    world_fail(&w, first, ticket, 1, 0, ERR_CANCELLED);
    e = world_explain(&w, "m", &c);
    assert_int_equal(world_explained(&w, &e, first)->held_segments, 0);
    world_close(&w);
}

static void test_another_tenants_links_never_match(void **state) {
    (void)state;
    struct world w;
    begin(&w, 2, 4);
    struct world_chain mine = world_chain("a", 3, (uint32_t[]){1, WORLD_PICTURE, 2});
    struct world_chain theirs = world_chain("b", 3, (uint32_t[]){1, WORLD_PICTURE, 2});
    world_hold(&w, 0, &mine, 0, 3);
    world_hold_pictures(&w, 0, &mine);
    struct explanation e = world_explain(&w, "m", &theirs);
    assert_int_equal(world_explained(&w, &e, 0)->held_segments, 0);
    assert_int_equal(world_explained(&w, &e, 0)->missing_pictures, 1);
    for (size_t i = 0; i < e.n_segments; i++)
        assert_int_equal(e.segments[i].owners.size, 0);
    world_close(&w);
}

static void test_a_worker_of_another_model_is_no_owner(void **state) {
    (void)state;
    struct world w;
    begin(&w, 2, 4);
    world_ready(&w, 2, "other", 4);
    struct world_chain c = chain_from(0, 10);
    world_hold(&w, 2, &c, 0, 10);
    world_ask_chain(&w, 1, 1, "m", &c);
    assert_in_range(world_sent_to(&w), 0, 1);
    world_close(&w);
}

static void test_what_was_dropped_is_not_counted_on(void **state) {
    (void)state;
    struct world w;
    begin(&w, 2, 4);
    struct world_chain c = chain_from(0, 10);
    world_hold(&w, 0, &c, 0, 10);
    world_drop(&w, 0, &c, 4, 10); /* a page in the middle went, and all that stood on it */
    struct explanation e = world_explain(&w, "m", &c);
    assert_int_equal(world_explained(&w, &e, 0)->held_segments, 4);
    assert_int_equal(world_explained(&w, &e, 0)->held_positions, 4 * WORLD_POSITIONS);
    world_close(&w);
}

static void test_a_forged_link_costs_a_route_and_nothing_else(void **state) {
    (void)state;
    struct world w;
    begin(&w, 2, 4);
    struct world_chain c = chain_from(0, 10);
    world_hold(&w, 1, &c, 0, 10); /* it holds no such thing */
    uint64_t ticket = world_ask_chain(&w, 1, 1, "m", &c);
    assert_int_equal(world_sent_to(&w), 1);
    world_tokens(&w, 1, ticket, 1, 1, 0, 5);
    world_done(&w, 1, ticket, 1, 1);
    assert_int_equal(world_count(&w, ACTION_DONE), 1);
    assert_int_equal(world_count(&w, ACTION_ERROR), 0);
    assert_int_equal(world_stats(&w).done, 1);
    world_close(&w);
}

static void test_links_of_strangers_are_not_believed(void **state) {
    (void)state;
    struct world w;
    begin(&w, 2, 4);
    struct world_chain c = chain_from(0, 10);
    world_hold(&w, 5, &c, 0, 10); /* never said READY */
    w.workers[1].incarnation++;
    world_hold(&w, 1, &c, 0, 10); /* an incarnation that is not this connection's */
    assert_int_equal(world_stats(&w).links, 0);
    assert_int_equal(world_count(&w, ACTION_RECORD), 0);
    world_close(&w);
}

/* ---- waiting for an owner ---- */

static void test_a_request_waits_for_an_owner_without_credit(void **state) {
    (void)state;
    struct world w;
    begin(&w, 2, 1);
    struct world_chain c = chain_from(0, 100), short_one = chain_from(9000, 1);
    world_hold(&w, 0, &c, 0, 100); /* ten seconds to compute elsewhere */
    uint64_t first = world_ask_chain(&w, 1, 0, "m", &c);
    assert_int_equal(world_sent_to(&w), 0);
    world_tokens(&w, 0, first, 1, 0, 0, 1);
    world_forget(&w);
    world_ask_chain(&w, 1, 1, "m", &c);
    assert_int_equal(world_count(&w, ACTION_WORK), 0);
    world_ask_chain(&w, 1, 2, "m", &short_one); /* not held up by the one before it */
    assert_int_equal(world_sent_to(&w), 1);
    world_done(&w, 0, first, 1, 0);
    assert_int_equal(world_sent_to(&w), 0);
    world_close(&w);
}

static void test_the_wait_for_an_owner_is_bounded(void **state) {
    (void)state;
    struct world w;
    begin(&w, 2, 1);
    struct world_chain c = chain_from(0, 30);
    world_hold(&w, 0, &c, 0, 30); /* three seconds to compute elsewhere */
    uint64_t first = world_ask_chain(&w, 1, 0, "m", &c);
    world_tokens(&w, 0, first, 1, 0, 0, 1);
    world_forget(&w);
    world_ask_chain(&w, 1, 1, "m", &c);
    assert_int_equal(world_count(&w, ACTION_WORK), 0);
    world_pass_ms(&w, 1000);
    assert_int_equal(world_count(&w, ACTION_WORK), 0);
    world_pass_ms(&w, 3000);
    assert_int_equal(world_sent_to(&w), 1);
    world_close(&w);
}

static void test_a_crowd_that_waits_for_one_owner_spreads(void **state) {
    (void)state;
    struct world w;
    begin(&w, 2, 4);
    struct world_chain c = chain_from(0, 30);
    world_hold(&w, 0, &c, 0, 30);
    for (uint32_t n = 0; n < 4; n++) {
        uint64_t ticket = world_ask_chain(&w, 1, n, "m", &c);
        world_tokens(&w, 0, ticket, 1, n, 0, 1);
    }
    world_forget(&w);
    for (uint32_t n = 4; n < 40; n++)
        world_ask_chain(&w, 1, n, "m", &c);
    assert_in_range(world_count(&w, ACTION_WORK), 1, 4);
    assert_int_equal(world_sent_to(&w), 1);
    world_close(&w);
}

/* Two at a time ask for one prefix, so one of them always waits a little: never long enough to go
 * elsewhere for its own sake, but all of them together are. */
static void test_a_prefix_that_is_waited_for_again_and_again_gets_a_second_owner(void **state) {
    (void)state;
    struct world w;
    begin(&w, 2, 1);
    struct world_chain c = chain_from(0, 30);
    world_hold(&w, 0, &c, 0, 30); /* three seconds to compute elsewhere */
    uint32_t n = 0, waits = 0;
    uint64_t ticket = world_ask_chain(&w, 1, n, "m", &c);
    for (; waits < 20; waits++) {
        assert_int_equal(world_sent_to(&w), 0);
        world_tokens(&w, 0, ticket, 1, n, 0, 1);
        world_forget(&w);
        world_ask_chain(&w, 1, ++n, "m", &c);
        world_pass_ms(&w, 400);
        if (world_count(&w, ACTION_WORK) > 0)
            break;
        world_beat(&w, 0);
        world_beat(&w, 1);
        world_done(&w, 0, ticket, 1, n - 1);
        ticket = world_last(&w, ACTION_WORK)->ticket;
    }
    assert_int_equal(world_sent_to(&w), 1);
    assert_in_range(waits, 2, 10);
    world_close(&w);
}

/* ---- nothing to reuse ---- */

static struct event done_event(const struct world *w, int i, uint64_t ticket, uint32_t n) {
    struct event ev = {.type = EVENT_REPLY, .peer = w->workers[i].peer};
    ev.reply.reply = (struct msg_reply){
        .incarnation = w->workers[i].incarnation, .ticket = ticket, .attempt = 1};
    ev.reply.inner = MSG_DONE;
    ev.reply.id = world_id(n);
    ev.reply.usage = (struct usage){.prompt_positions = 300, .answer_tokens = 9};
    return ev;
}

/* The same random events in two pools that differ in their policy alone: all choices are equal. */
static void test_with_nothing_to_reuse_it_is_exactly_least_loaded(void **state) {
    (void)state;
    enum { MOVES = 30000, HELD = 64, WORKERS = 5 };
    struct world w[2];
    struct {
        uint64_t ticket;
        uint32_t n;
        int worker;
        bool answers;
        int64_t answers_us; /* not before */
    } held[HELD];
    size_t n_held = 0;
    uint32_t asked = 0, works = 0;
    for (int k = 0; k < 2; k++) {
        world_init(&w[k]);
        w[k].settings.dead_ms = 100000;
        w[k].settings.queue_requests = 20;
        w[k].settings.policy = k == 0 ? POLICY_EARLIEST : POLICY_LEAST_LOADED;
        for (int i = 0; i < WORKERS; i++) {
            w[k].workers[i].position_us = 1000 + 80 * (uint32_t)i; /* alike, within the noise */
            w[k].workers[i].tile_us = 100000 + 8000 * (uint32_t)i;
        }
        begin_with(&w[k], WORKERS, 5);
    }
    for (uint32_t m = 0; m < MOVES; m++) {
        uint32_t what = draw(100), i = draw(WORKERS), pages = draw(40);
        size_t pick = n_held > 0 ? draw((uint32_t)n_held) : 0;
        uint32_t numbers[6];
        for (size_t s = 0; s < 6; s++)
            numbers[s] = draw(10) ? 10 * m + (uint32_t)s : WORLD_PICTURE + 10 * m + (uint32_t)s;
        struct world_chain c = world_chain("", 1 + draw(6), numbers);
        int64_t pass_us = draw(50000);
        bool due = pick < n_held && held[pick].answers_us <= w[0].now_us;
        for (int k = 0; k < 2; k++) {
            world_forget(&w[k]);
            w[k].now_us += pass_us;
            if (what < 20) {
                w[k].workers[i].pages_free = pages;
                world_beat(&w[k], (int)i);
            } else if (what < 60) {
                world_ask_chain(&w[k], 1, asked, "m", &c);
            } else if (what < 80 && due && !held[pick].answers) {
                world_tokens(&w[k], held[pick].worker, held[pick].ticket, 1, held[pick].n, 0, 1);
            } else if (what >= 80 && due && held[pick].answers) {
                struct event ev =
                    done_event(&w[k], held[pick].worker, held[pick].ticket, held[pick].n);
                world_step(&w[k], &ev);
            }
        }
        asked += what >= 20 && what < 60;
        if (what >= 80 && due && held[pick].answers)
            held[pick] = held[--n_held];
        else if (what >= 60 && what < 80 && due)
            held[pick].answers = true;
        const struct action *one = world_last(&w[0], ACTION_WORK);
        const struct action *two = world_last(&w[1], ACTION_WORK);
        assert_int_equal(world_count(&w[0], ACTION_WORK), world_count(&w[1], ACTION_WORK));
        assert_in_range(world_count(&w[0], ACTION_WORK), 0, 1);
        if (!one)
            continue;
        works++;
        assert_true(one->ticket == two->ticket);
        assert_true(peer_equal(&one->peer, &two->peer));
        held[n_held].ticket = one->ticket;
        held[n_held].worker = world_worker_of(&w[0], one);
        held[n_held].answers = false;
        held[n_held].answers_us = w[0].now_us + 100000 + draw(200000);
        struct request_info infos[100];
        size_t n = broker_requests(w[0].broker, w[0].now_us, infos, 100);
        uint32_t id = UINT32_MAX;
        for (size_t r = 0; r < n; r++)
            if (infos[r].state == 2) { /* told by its worker: the one sent now has no other holder */
                uint32_t candidate;
                memcpy(&candidate, infos[r].id.bytes, sizeof candidate);
                bool listed = false;
                for (size_t h = 0; h < n_held; h++)
                    listed |= held[h].n == candidate;
                if (!listed)
                    id = candidate;
            }
        assert_true(id != UINT32_MAX);
        held[n_held++].n = id;
        assert_true(n_held < HELD);
    }
    assert_in_range(works, 2000, MOVES);
    world_close(&w[0]);
    world_close(&w[1]);
}

static void test_a_much_quicker_worker_gets_more_of_what_is_new(void **state) {
    (void)state;
    struct world w;
    world_init(&w);
    w.settings.dead_ms = 10000;
    w.workers[0].position_us = 200; /* the other: 1000 */
    begin_with(&w, 2, 64);
    int sent[2] = {0};
    for (uint32_t n = 0; n < 24; n++) {
        struct world_chain c = chain_from(100 * n, 5);
        world_ask_chain(&w, 1, n, "m", &c);
        sent[world_sent_to(&w)]++;
    }
    assert_in_range(sent[0], 16, 23);
    world_close(&w);
}

/* ---- policies ---- */

static void test_round_robin_and_least_loaded_do_not_look_at_links(void **state) {
    (void)state;
    const enum routing_policy policies[2] = {POLICY_ROUND_ROBIN, POLICY_LEAST_LOADED};
    for (int p = 0; p < 2; p++) {
        struct world w;
        world_init(&w);
        w.settings.policy = policies[p];
        w.settings.dead_ms = 10000;
        begin_with(&w, 3, 8);
        struct world_chain c = chain_from(0, 10);
        world_hold(&w, 0, &c, 0, 10);
        int sent[3] = {0};
        for (uint32_t n = 0; n < 6; n++) {
            world_ask_chain(&w, 1, n, "m", &c);
            sent[world_sent_to(&w)]++;
        }
        for (int i = 0; i < 3; i++)
            assert_int_equal(sent[i], 2);
        assert_int_equal(world_stats(&w).policy, policies[p]);
        world_close(&w);
    }
}

/* ---- predictions ---- */

static void test_predictions_are_compared_with_what_came(void **state) {
    (void)state;
    struct world w;
    begin(&w, 1, 4);
    for (uint32_t n = 0; n < 60; n++) {
        struct world_chain c = chain_from(100 * n, 1 + n % 7);
        world_forget(&w);
        uint64_t ticket = world_ask_chain(&w, 1, n, "m", &c);
        w.now_us += 20000 + 150000 * (1 + n % 7); /* slower than it says, and a cost for each */
        world_tokens(&w, 0, ticket, 1, n, 0, 1);
        world_done(&w, 0, ticket, 1, n);
        world_beat(&w, 0);
        assert_true(world_find(&w, ACTION_DONE)->predicted_us > 0);
        assert_int_equal(world_stats(&w).predictions, n + 1);
    }
    assert_true(world_stats(&w).prediction_error_permille > 0);
    world_close(&w);
}

static void test_the_queue_of_prompts_is_part_of_the_prediction(void **state) {
    (void)state;
    struct world w;
    begin(&w, 1, 8);
    struct world_chain a = chain_from(0, 10), b = chain_from(1000, 10);
    struct explanation e = world_explain(&w, "m", &b);
    uint64_t alone_us = e.predicted_us;
    uint64_t ticket = world_ask_chain(&w, 1, 0, "m", &a);
    e = world_explain(&w, "m", &b);
    assert_in_range(e.predicted_us, alone_us * 19 / 10, alone_us * 21 / 10);
    w.now_us += 500000; /* half of it is done by now */
    e = world_explain(&w, "m", &b);
    assert_in_range(e.predicted_us, alone_us * 14 / 10, alone_us * 16 / 10);
    world_progress(&w, 0, ticket, 1, 0); /* a third, says the worker */
    e = world_explain(&w, "m", &b);
    assert_in_range(e.predicted_us, alone_us * 16 / 10, alone_us * 18 / 10);
    world_tokens(&w, 0, ticket, 1, 0, 0, 1);
    e = world_explain(&w, "m", &b);
    assert_in_range(e.predicted_us, alone_us, alone_us * 11 / 10); /* beside an answer */
    world_close(&w);
}

/* ---- explain ---- */

static void test_explain_says_what_the_schedule_then_does(void **state) {
    (void)state;
    struct world w;
    world_init(&w);
    w.settings.dead_ms = 100000;
    for (int i = 0; i < 4; i++)
        w.workers[i].position_us = 500 + 400 * (uint32_t)i;
    begin_with(&w, 4, 6);
    struct {
        uint64_t ticket;
        uint32_t n;
        int worker;
    } held[64];
    size_t n_held = 0;
    uint32_t checked = 0, waits = 0;
    for (uint32_t n = 0; n < 3000; n++) {
        uint32_t numbers[12];
        size_t common = draw(10), all = common + 1 + draw(3);
        for (size_t s = 0; s < all && s < 12; s++)
            numbers[s] = s < common ? (uint32_t)s + 100 * (n % 3) : 10000 + 20 * n + (uint32_t)s;
        struct world_chain c = world_chain("", all < 12 ? all : 12, numbers);
        w.now_us += draw(300000);
        while (n_held > draw(24)) {
            size_t at = draw((uint32_t)n_held);
            if (draw(2))
                world_tokens(&w, held[at].worker, held[at].ticket, 1, held[at].n, 0, 1);
            world_done(&w, held[at].worker, held[at].ticket, 1, held[at].n);
            held[at] = held[--n_held];
        }
        if (draw(8) == 0)
            world_beat(&w, (int)draw(4));
        if (world_stats(&w).queued > 0) { /* one that waits: its worker is free by and by */
            world_pass_ms(&w, 1);
            world_cancel(&w, 1, n - 1);
            continue;
        }
        struct explanation e = world_explain(&w, "m", &c);
        int chosen = world_chosen(&w, &e);
        bool credit = chosen >= 0 && world_explained(&w, &e, chosen)->credit;
        world_forget(&w);
        uint64_t ticket = world_ask_chain(&w, 1, n, "m", &c);
        checked++;
        if (!credit) {
            assert_int_equal(world_count(&w, ACTION_WORK), 0);
            waits++;
            continue;
        }
        assert_int_equal(world_sent_to(&w), chosen);
        held[n_held].ticket = ticket;
        held[n_held].n = n;
        held[n_held++].worker = chosen;
        if (draw(2))
            world_hold(&w, chosen, &c, 0, c.n);
    }
    assert_true(checked > 1500);
    (void)waits;
    world_close(&w);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_conversation_stays_with_the_worker_that_holds_it),
        cmocka_unit_test(test_the_longest_prefix_wins),
        cmocka_unit_test(test_a_picture_goes_where_its_embeddings_are),
        cmocka_unit_test(test_answers_under_way_do_not_drive_a_conversation_away),
        cmocka_unit_test(test_a_hot_prefix_spreads_when_waiting_costs_more),
        cmocka_unit_test(test_identical_cold_prompts_follow_the_first),
        cmocka_unit_test(test_prefixes_not_computed_yet_are_followed_too),
        cmocka_unit_test(test_nobody_follows_a_prompt_that_was_given_up),
        cmocka_unit_test(test_another_tenants_links_never_match),
        cmocka_unit_test(test_a_worker_of_another_model_is_no_owner),
        cmocka_unit_test(test_what_was_dropped_is_not_counted_on),
        cmocka_unit_test(test_a_forged_link_costs_a_route_and_nothing_else),
        cmocka_unit_test(test_links_of_strangers_are_not_believed),
        cmocka_unit_test(test_a_request_waits_for_an_owner_without_credit),
        cmocka_unit_test(test_the_wait_for_an_owner_is_bounded),
        cmocka_unit_test(test_a_crowd_that_waits_for_one_owner_spreads),
        cmocka_unit_test(test_a_prefix_that_is_waited_for_again_and_again_gets_a_second_owner),
        cmocka_unit_test(test_with_nothing_to_reuse_it_is_exactly_least_loaded),
        cmocka_unit_test(test_a_much_quicker_worker_gets_more_of_what_is_new),
        cmocka_unit_test(test_round_robin_and_least_loaded_do_not_look_at_links),
        cmocka_unit_test(test_predictions_are_compared_with_what_came),
        cmocka_unit_test(test_the_queue_of_prompts_is_part_of_the_prediction),
        cmocka_unit_test(test_explain_says_what_the_schedule_then_does),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
