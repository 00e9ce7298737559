/* broker_resume_test.c - answers whose worker is lost in the middle, and who goes on with them. */
#include "tests/broker_world.h"

#include <stdlib.h>
#include <string.h>

#include "broker/replay.h"

/* ---- ids in blocks ---- */

static void fill(uint8_t *ids, uint32_t from, uint32_t n) {
    for (uint32_t i = 0; i < n * TOKEN_ID_BYTES; i++)
        ids[i] = (uint8_t)((from * TOKEN_ID_BYTES + i) * 31 >> 3);
}

static bool add(struct replays *t, struct replay *r, uint32_t n) {
    uint8_t ids[LIMIT_TOKENS_PER_MESSAGE * TOKEN_ID_BYTES];
    fill(ids, r->count, n);
    return replays_add(t, r, (struct bytes){ids, n * TOKEN_ID_BYTES});
}

static void check(const struct replays *t, const struct replay *r) {
    uint8_t *expected = malloc(r->count * TOKEN_ID_BYTES + 1);
    uint8_t *found = malloc(r->count * TOKEN_ID_BYTES + 1);
    fill(expected, 0, r->count);
    replays_read(t, r, found);
    assert_memory_equal(expected, found, r->count * TOKEN_ID_BYTES);
    free(expected);
    free(found);
}

static void test_ids_come_back_as_they_were_added(void **state) {
    (void)state;
    struct replays *t;
    struct replay a = {0}, b = {0};
    assert_int_equal(replays_open(&t, 40), 0);
    for (int round = 0; round < 3; round++) {
        for (uint32_t i = 0; i < 24; i++) {
            assert_true(add(t, &a, i % LIMIT_TOKENS_PER_MESSAGE + 1));
            assert_true(add(t, &b, (i * 7) % LIMIT_TOKENS_PER_MESSAGE));
            check(t, &a);
            check(t, &b);
        }
        replays_drop(t, &a);
        check(t, &b);
        replays_drop(t, &b);
        assert_int_equal(replays_free(t), 40);
    }
    replays_close(t);
}

static void test_a_full_memory_refuses_whole_messages(void **state) {
    (void)state;
    struct replays *t;
    struct replay a = {0}, b = {0};
    assert_int_equal(replays_open(&t, 2), 0);
    assert_true(add(t, &a, REPLAY_BLOCK_TOKENS));
    assert_true(add(t, &b, 1));
    assert_false(add(t, &a, 1));
    assert_int_equal(a.count, REPLAY_BLOCK_TOKENS);
    assert_false(add(t, &b, LIMIT_TOKENS_PER_MESSAGE));
    assert_int_equal(b.count, 1);
    assert_true(add(t, &b, REPLAY_BLOCK_TOKENS - 1));
    check(t, &a);
    check(t, &b);
    replays_drop(t, &a);
    assert_true(add(t, &b, 3));
    check(t, &b);
    replays_drop(t, &b);
    assert_int_equal(replays_free(t), 2);
    replays_close(t);
}

/* ---- a broken answer ---- */

static void start(struct world *w, int workers) {
    world_init(w);
    world_open(w);
    for (int i = 0; i < workers; i++)
        world_ready(w, i, "m", 4);
}

static void kill_worker(struct world *w, int i) {
    w->workers[i].beats = false;
    world_step(w, &(struct event){.type = EVENT_WORKER_GONE, .peer = w->workers[i].peer});
}

/* Asks, lets the worker that gets it send n tokens, and forgets the log. */
static uint64_t begin(struct world *w, uint32_t id, uint32_t n, int *holder) {
    uint64_t t = world_ask(w, 0, id, "m");
    *holder = world_sent_to(w);
    assert_true(*holder >= 0);
    for (uint32_t i = 0; i < n; i += 2)
        world_tokens(w, *holder, t, 1, id, i, n - i < 2 ? 1 : 2);
    world_forget(w);
    return t;
}

static void test_another_worker_goes_on_behind_the_tokens_that_the_client_has(void **state) {
    (void)state;
    struct world w;
    int first;
    start(&w, 2);
    uint64_t t = begin(&w, 1, 101, &first);
    kill_worker(&w, first);
    const struct action *work = world_find(&w, ACTION_WORK);
    assert_int_equal(world_count(&w, ACTION_WORK), 1);
    assert_int_equal(world_worker_of(&w, work), 1 - first);
    assert_true(work->ticket == t);
    assert_int_equal(work->attempt, 2);
    world_check_replay(&w, work, 101);
    assert_int_equal(world_count(&w, ACTION_ERROR), 0);
    assert_int_equal(world_stats(&w).resumed, 0); /* it has said nothing yet */
    world_forget(&w);

    world_tokens(&w, 1 - first, t, 2, 1, 101, 2);
    world_tokens(&w, 1 - first, t, 2, 1, 103, 1);
    world_done(&w, 1 - first, t, 2, 1);
    assert_int_equal(world_count(&w, ACTION_PASS), 2);
    assert_int_equal(world_find(&w, ACTION_DONE)->attempt, 2);
    assert_int_equal(world_count(&w, ACTION_DROP), 1);
    assert_int_equal(world_stats(&w).resumed, 1);
    assert_int_equal(world_stats(&w).resent, 1);
    assert_int_equal(world_stats(&w).first_token_count, 1);
    assert_int_equal(world_stats(&w).answer_tokens, 5); /* as DONE says, once */
    world_close(&w);
}

static void test_tokens_that_the_client_has_are_not_taken_again(void **state) {
    (void)state;
    struct world w;
    int first;
    start(&w, 2);
    uint64_t t = begin(&w, 1, 5, &first);
    kill_worker(&w, first);
    world_forget(&w);
    world_tokens(&w, 1 - first, t, 2, 1, 0, 1);
    assert_int_equal(world_count(&w, ACTION_PASS), 0);
    assert_int_equal(world_find(&w, ACTION_ERROR)->code, ERR_INTERNAL);
    world_close(&w);
}

static void test_the_seed_stays_the_same(void **state) {
    (void)state;
    struct world w;
    start(&w, 2);
    struct event ev = world_request(0, 1, "m");
    ev.request.seed = 0xabcdef0123456789ULL;
    uint64_t t = world_ask_event(&w, &ev);
    int first = world_sent_to(&w);
    assert_true(world_find(&w, ACTION_WORK)->seed == ev.request.seed);
    world_tokens(&w, first, t, 1, 1, 0, 4);
    world_forget(&w);
    kill_worker(&w, first);
    assert_true(world_find(&w, ACTION_WORK)->seed == ev.request.seed);
    world_close(&w);
}

static void test_a_frozen_worker_is_replaced_and_not_listened_to_any_more(void **state) {
    (void)state;
    struct world w;
    int first;
    start(&w, 2);
    uint64_t t = begin(&w, 1, 3, &first);
    w.workers[first].beats = false;
    world_pass_ms(&w, w.settings.dead_ms + 1);
    world_check_replay(&w, world_find(&w, ACTION_WORK), 3);
    assert_int_equal(world_worker_of(&w, world_find(&w, ACTION_CANCEL_WORK)), first);
    world_forget(&w);
    world_tokens(&w, first, t, 1, 1, 3, 2); /* it thaws */
    assert_int_equal(world_count(&w, ACTION_PASS), 0);
    world_tokens(&w, 1 - first, t, 2, 1, 3, 2);
    world_tokens(&w, first, t, 1, 1, 5, 2);
    world_done(&w, first, t, 1, 1);
    assert_int_equal(world_count(&w, ACTION_PASS), 1);
    assert_int_equal(world_count(&w, ACTION_DONE), 0);
    assert_int_equal(world_count(&w, ACTION_ERROR), 0);
    world_done(&w, 1 - first, t, 2, 1);
    assert_int_equal(world_count(&w, ACTION_DONE), 1);
    world_close(&w);
}

static void test_it_waits_for_a_worker_and_ends_when_none_comes(void **state) {
    (void)state;
    struct world w;
    int first;
    start(&w, 1);
    uint64_t t = begin(&w, 1, 3, &first);
    kill_worker(&w, 0);
    assert_int_equal(world_count(&w, ACTION_ERROR), 0);
    world_pass_ms(&w, w.settings.worker_wait_ms / 2);
    assert_int_equal(world_count(&w, ACTION_PROGRESS), 0); /* that is for before the first token */
    w.workers[0].incarnation++;
    world_ready(&w, 0, "m", 4); /* started again */
    world_check_replay(&w, world_find(&w, ACTION_WORK), 3);
    world_tokens(&w, 0, t, 2, 1, 3, 1);
    world_done(&w, 0, t, 2, 1);
    assert_int_equal(world_count(&w, ACTION_DONE), 1);

    (void)begin(&w, 2, 7, &first);
    kill_worker(&w, 0);
    world_pass_ms(&w, w.settings.worker_wait_ms + 1);
    assert_int_equal(world_find(&w, ACTION_ERROR)->code, ERR_WORKER_LOST);
    assert_non_null(strstr(world_find(&w, ACTION_ERROR)->text, "after 7 tokens"));
    assert_int_equal(world_count(&w, ACTION_DROP), 1);
    world_close(&w);
}

static void test_only_a_worker_that_can_go_on_gets_it(void **state) {
    (void)state;
    struct world w;
    int first;
    start(&w, 1);
    w.workers[1].mute = true;   /* an older program */
    w.workers[2].context = 100; /* too small */
    world_ready(&w, 1, "m", 4);
    world_ready(&w, 2, "m", 4);
    uint64_t t = 0;
    do {
        t = begin(&w, (uint32_t)t + 1, 3, &first);
    } while (first != 0);
    kill_worker(&w, 0);
    assert_int_equal(world_count(&w, ACTION_WORK), 0);
    assert_int_equal(world_count(&w, ACTION_ERROR), 0);
    world_ready(&w, 3, "m", 4);
    assert_int_equal(world_sent_to(&w), 3);
    world_check_replay(&w, world_find(&w, ACTION_WORK), 3);
    world_close(&w);
}

static void test_what_an_older_worker_does_not_know_is_not_sent_to_it(void **state) {
    (void)state;
    struct world w;
    world_init(&w);
    world_open(&w);
    w.workers[0].mute = true; /* an older program */
    world_ready(&w, 0, "m", 4);
    world_forget(&w);
    struct event ev = world_request(0, 1, "m");
    ev.request.extended = true;
    (void)world_ask_event(&w, &ev);
    assert_int_equal(world_count(&w, ACTION_WORK), 0);
    assert_int_equal(world_find(&w, ACTION_ERROR)->code, ERR_UNSUPPORTED);
    world_ready(&w, 1, "m", 4);
    world_forget(&w);
    ev = world_request(0, 2, "m");
    ev.request.extended = true;
    (void)world_ask_event(&w, &ev);
    assert_int_equal(world_sent_to(&w), 1);
    world_close(&w);
}

static void test_the_answer_of_a_worker_that_tells_no_ids_is_lost_with_it(void **state) {
    (void)state;
    struct world w;
    int first;
    world_init(&w);
    world_open(&w);
    w.workers[0].mute = true;
    world_ready(&w, 0, "m", 1);
    uint64_t t = world_ask(&w, 0, 1, "m");
    world_ready(&w, 1, "m", 1);
    world_forget(&w);
    world_tokens(&w, 0, t, 1, 1, 0, 3);
    assert_int_equal(world_count(&w, ACTION_DROP), 1); /* its frames: it can't be sent again */
    kill_worker(&w, 0);
    assert_int_equal(world_count(&w, ACTION_WORK), 0);
    assert_int_equal(world_find(&w, ACTION_ERROR)->code, ERR_WORKER_LOST);
    assert_non_null(strstr(world_find(&w, ACTION_ERROR)->text, "w0"));

    /* the same for one that tells ids of some of its tokens only */
    t = begin(&w, 2, 4, &first);
    w.workers[1].mute = true;
    world_tokens(&w, 1, t, 1, 2, 4, 2);
    assert_int_equal(world_count(&w, ACTION_DROP), 1);
    world_close(&w);
}

static void test_an_answer_that_lost_two_workers_is_refused(void **state) {
    (void)state;
    struct world w;
    int first;
    start(&w, 3);
    uint64_t t = begin(&w, 1, 3, &first);
    kill_worker(&w, first);
    int second = world_sent_to(&w);
    world_tokens(&w, second, t, 2, 1, 3, 3);
    world_forget(&w);
    kill_worker(&w, second);
    assert_int_equal(world_count(&w, ACTION_WORK), 0);
    assert_int_equal(world_find(&w, ACTION_ERROR)->code, ERR_WORKER_LOST);
    assert_non_null(world_note(&w, NOTE_CONTENT_REFUSED));
    world_forget(&w);
    struct event again = world_request(5, 9, "m");
    again.request.content_hash = world_request(0, 1, "m").request.content_hash;
    assert_int_equal(world_ask_event(&w, &again), 0);
    assert_int_equal(world_find(&w, ACTION_ERROR)->code, ERR_WORKER_LOST);
    world_close(&w);
}

static void test_one_lost_before_and_after_its_first_token_is_refused_too(void **state) {
    (void)state;
    struct world w;
    start(&w, 3);
    uint64_t t = world_ask(&w, 0, 1, "m");
    int first = world_sent_to(&w);
    kill_worker(&w, first);
    int second = world_sent_to(&w);
    assert_int_not_equal(first, second);
    world_tokens(&w, second, t, 2, 1, 0, 3);
    world_forget(&w);
    kill_worker(&w, second);
    assert_int_equal(world_count(&w, ACTION_WORK), 0);
    assert_non_null(world_note(&w, NOTE_CONTENT_REFUSED));
    world_close(&w);
}

static void test_workers_that_leave_hand_it_on_unharmed(void **state) {
    (void)state;
    struct world w;
    int first;
    start(&w, 4);
    uint64_t t = begin(&w, 1, 2, &first);
    struct event ev = {.type = EVENT_GOODBYE, .peer = w.workers[first].peer};
    ev.goodbye.incarnation = w.workers[first].incarnation;
    w.workers[first].beats = false;
    world_step(&w, &ev);
    int second = world_sent_to(&w);
    assert_int_not_equal(first, second);
    world_tokens(&w, second, t, 2, 1, 2, 2);
    world_fail(&w, second, t, 2, 1, ERR_SHUTTING_DOWN); /* its time to finish is over */
    int third = world_sent_to(&w);
    assert_true(third != first && third != second);
    world_check_replay(&w, world_last(&w, ACTION_WORK), 4);
    world_fail(&w, third, t, 3, 1, ERR_BUSY); /* three attempts and no more */
    assert_int_equal(world_count(&w, ACTION_WORK), 2);
    assert_int_equal(world_count(&w, ACTION_ERROR), 1);
    /* not "busy", which says that nothing was begun and invites to ask again unseen */
    assert_int_equal(world_last(&w, ACTION_ERROR)->code, ERR_WORKER_LOST);
    assert_null(world_note(&w, NOTE_CONTENT_REFUSED));
    world_close(&w);
}

static void test_cancel_and_deadline_hold_while_it_waits_and_after(void **state) {
    (void)state;
    struct world w;
    int first;
    start(&w, 1);
    (void)begin(&w, 1, 3, &first);
    struct event ev = world_request(0, 2, "m");
    ev.request.deadline_ms = 1000;
    uint64_t t = world_ask_event(&w, &ev);
    world_tokens(&w, 0, t, 1, 2, 0, 1);
    (void)begin(&w, 3, 3, &first);
    kill_worker(&w, 0);
    world_cancel(&w, 0, 1);
    assert_int_equal(world_find(&w, ACTION_ERROR)->code, ERR_CANCELLED);
    world_forget(&w);
    world_pass_ms(&w, 1001);
    assert_int_equal(world_find(&w, ACTION_ERROR)->code, ERR_DEADLINE);
    assert_non_null(strstr(world_find(&w, ACTION_ERROR)->text, "in the middle of the answer"));
    world_forget(&w);
    world_ready(&w, 1, "m", 4);
    assert_int_equal(world_count(&w, ACTION_WORK), 1); /* the third is all that is left */
    world_cancel(&w, 0, 3);
    assert_int_equal(world_count(&w, ACTION_CANCEL_WORK), 1);
    assert_int_equal(world_count(&w, ACTION_DROP), 1);
    world_close(&w);
}

static void test_the_deadline_that_is_left_counts_from_arrival(void **state) {
    (void)state;
    struct world w;
    int first;
    start(&w, 2);
    (void)begin(&w, 1, 3, &first);
    world_pass_ms(&w, 5000);
    world_forget(&w);
    kill_worker(&w, first);
    assert_in_range(world_find(&w, ACTION_WORK)->deadline_ms, 594900, 595000);
    world_close(&w);
}

static void test_times_are_what_the_client_saw(void **state) {
    (void)state;
    struct world w;
    start(&w, 0);
    uint64_t t = world_ask(&w, 0, 1, "m");
    world_pass_ms(&w, 100);
    world_ready(&w, 0, "m", 1);
    world_pass_ms(&w, 50);
    world_tokens(&w, 0, t, 1, 1, 0, 1);
    world_ready(&w, 1, "m", 1);
    world_pass_ms(&w, 200);
    kill_worker(&w, 0);
    world_pass_ms(&w, 30);
    world_tokens(&w, 1, t, 2, 1, 1, 1);
    world_pass_ms(&w, 10);
    world_done(&w, 1, t, 2, 1);
    const struct action *done = world_find(&w, ACTION_DONE);
    assert_true(done->resumed);
    assert_int_equal(done->queue_us, 100000);
    assert_int_equal(done->first_token_us, 150000);
    assert_int_equal(done->total_us, 390000);
    assert_int_equal(world_stats(&w).first_token_ms_sum, 150);
    world_close(&w);
}

static void test_the_tokens_to_be_computed_again_count_for_the_choice(void **state) {
    (void)state;
    struct world w;
    int first;
    start(&w, 1);
    uint32_t numbers[] = {1, 2};
    struct world_chain chain = world_chain("", 2, numbers);
    uint64_t t = world_ask_chain(&w, 0, 1, "m", &chain);
    first = world_sent_to(&w);
    world_pass_ms(&w, 500); /* its rates are known */
    for (uint32_t i = 0; i < 640; i += LIMIT_TOKENS_PER_MESSAGE)
        world_tokens(&w, first, t, 1, 1, i, LIMIT_TOKENS_PER_MESSAGE);
    w.workers[1].position_us = 20000; /* slow, and holds the prompt */
    world_ready(&w, 1, "m", 4);
    world_hold(&w, 1, &chain, 0, 2);
    world_ready(&w, 2, "m", 4); /* quick, and holds nothing */
    world_pass_ms(&w, 500);
    world_forget(&w);
    kill_worker(&w, first);
    assert_int_equal(world_sent_to(&w), 2);
    world_close(&w);
}

/* ---- memory ---- */

static void test_frames_of_answers_make_room_for_new_requests(void **state) {
    (void)state;
    struct world w;
    world_init(&w);
    w.settings.queue_bytes = 5000;
    world_open(&w);
    world_ready(&w, 0, "m", 8);
    uint64_t tickets[3];
    for (uint32_t i = 0; i < 3; i++) {
        struct event ev = world_request(0, i + 1, "m");
        ev.request.held_bytes = 1000 + 500 * (i == 1);
        tickets[i] = world_ask_event(&w, &ev);
        world_tokens(&w, 0, tickets[i], 1, i + 1, 0, 1);
    }
    world_forget(&w);
    struct event large = world_request(0, 4, "m");
    large.request.held_bytes = 2500;
    assert_true(world_ask_event(&w, &large) != 0); /* with 3500 kept, one must go: the largest */
    assert_int_equal(world_count(&w, ACTION_DROP), 1);
    assert_true(world_find(&w, ACTION_DROP)->ticket == tickets[1]);
    large = world_request(0, 5, "m");
    large.request.held_bytes = 2501; /* the last has not begun: that one stays */
    world_forget(&w);
    assert_int_equal(world_ask_event(&w, &large), 0);
    assert_int_equal(world_find(&w, ACTION_ERROR)->code, ERR_BUSY);
    assert_int_equal(world_count(&w, ACTION_DROP), 0);
    world_ready(&w, 1, "m", 8);
    world_forget(&w);
    kill_worker(&w, 0);
    assert_int_equal(world_count(&w, ACTION_ERROR), 1); /* whose frames are gone */
    assert_int_equal(world_count(&w, ACTION_WORK), 3);
    world_close(&w);
}

static void test_an_answer_that_finds_no_memory_goes_on_without(void **state) {
    (void)state;
    enum { ANSWERS = 5 }; /* of a million tokens each: there is room for less than four */
    struct world w;
    uint64_t tickets[ANSWERS];
    world_init(&w);
    world_open(&w);
    world_ready(&w, 0, "m", ANSWERS);
    for (uint32_t i = 0; i < ANSWERS; i++)
        tickets[i] = world_ask(&w, 0, i + 1, "m");
    size_t dropped = 0;
    for (uint32_t n = 0; n < LIMIT_MAX_TOKENS; n += LIMIT_TOKENS_PER_MESSAGE)
        for (uint32_t i = 0; i < ANSWERS; i++) {
            world_forget(&w);
            world_tokens(&w, 0, tickets[i], 1, i + 1, n, LIMIT_TOKENS_PER_MESSAGE);
            assert_int_equal(world_count(&w, ACTION_PASS), 1);
            dropped += world_count(&w, ACTION_DROP);
        }
    assert_int_equal(dropped, 2);
    world_ready(&w, 1, "m", ANSWERS);
    world_forget(&w);
    kill_worker(&w, 0);
    assert_int_equal(world_count(&w, ACTION_ERROR), dropped);
    assert_int_equal(world_count(&w, ACTION_WORK), ANSWERS - dropped);
    world_check_replay(&w, world_find(&w, ACTION_WORK), LIMIT_MAX_TOKENS);
    world_close(&w);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ids_come_back_as_they_were_added),
        cmocka_unit_test(test_a_full_memory_refuses_whole_messages),
        cmocka_unit_test(test_another_worker_goes_on_behind_the_tokens_that_the_client_has),
        cmocka_unit_test(test_tokens_that_the_client_has_are_not_taken_again),
        cmocka_unit_test(test_the_seed_stays_the_same),
        cmocka_unit_test(test_a_frozen_worker_is_replaced_and_not_listened_to_any_more),
        cmocka_unit_test(test_it_waits_for_a_worker_and_ends_when_none_comes),
        cmocka_unit_test(test_only_a_worker_that_can_go_on_gets_it),
        cmocka_unit_test(test_what_an_older_worker_does_not_know_is_not_sent_to_it),
        cmocka_unit_test(test_the_answer_of_a_worker_that_tells_no_ids_is_lost_with_it),
        cmocka_unit_test(test_an_answer_that_lost_two_workers_is_refused),
        cmocka_unit_test(test_one_lost_before_and_after_its_first_token_is_refused_too),
        cmocka_unit_test(test_workers_that_leave_hand_it_on_unharmed),
        cmocka_unit_test(test_cancel_and_deadline_hold_while_it_waits_and_after),
        cmocka_unit_test(test_the_deadline_that_is_left_counts_from_arrival),
        cmocka_unit_test(test_times_are_what_the_client_saw),
        cmocka_unit_test(test_the_tokens_to_be_computed_again_count_for_the_choice),
        cmocka_unit_test(test_frames_of_answers_make_room_for_new_requests),
        cmocka_unit_test(test_an_answer_that_finds_no_memory_goes_on_without),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
