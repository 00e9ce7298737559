/* broker_pool_test.c - workers as they are chosen, come, go and are drained. */
#include "tests/broker_world.h"

#include <stdio.h>
#include <string.h>

static void start(struct world *w) {
    world_init(w);
    world_open(w);
}

static size_t sent_to(const struct world *w, int i) {
    size_t n = 0;
    for (size_t k = 0; k < w->n_log; k++)
        n += w->log[k].type == ACTION_WORK && world_worker_of(w, &w->log[k]) == i;
    return n;
}

/* ---- choice ---- */

static void test_the_least_loaded_worker_is_chosen(void **state) {
    (void)state;
    struct world w;
    start(&w);
    w.workers[0].pages_free = 500; /* which would win a tie */
    world_ready(&w, 0, "m", 8);
    world_ready(&w, 1, "m", 8);
    world_ask(&w, 0, 1, "m");
    assert_int_equal(world_sent_to(&w), 0);
    world_ask(&w, 0, 2, "m");
    assert_int_equal(world_sent_to(&w), 1);
    world_close(&w);
}

static void test_more_free_pages_win_a_tie(void **state) {
    (void)state;
    struct world w;
    start(&w);
    for (int i = 0; i < 3; i++)
        world_ready(&w, i, "m", 8);
    w.workers[1].pages_free = 101;
    world_beat(&w, 1);
    world_ask(&w, 0, 1, "m");
    assert_int_equal(world_sent_to(&w), 1);
    world_close(&w);
}

static void test_equal_workers_take_turns(void **state) {
    (void)state;
    struct world w;
    start(&w);
    for (int i = 0; i < 3; i++)
        world_ready(&w, i, "m", 8);
    for (uint32_t n = 1; n <= 9; n++) {
        uint64_t t = world_ask(&w, 0, n, "m");
        world_done(&w, world_sent_to(&w), t, 1, n);
    }
    for (int i = 0; i < 3; i++)
        assert_int_equal(sent_to(&w, i), 3);
    world_close(&w);
}

static void test_no_worker_gets_more_than_its_credit(void **state) {
    (void)state;
    struct world w;
    start(&w);
    world_ready(&w, 0, "m", 3);
    world_ready(&w, 1, "m", 1);
    for (uint32_t n = 1; n <= 10; n++)
        world_ask(&w, 0, n, "m");
    assert_int_equal(sent_to(&w, 0), 3);
    assert_int_equal(sent_to(&w, 1), 1);
    assert_int_equal(world_stats(&w).queued, 6);
    world_close(&w);
}

/* ---- names, incarnations, connections ---- */

static void test_a_restarted_worker_replaces_itself(void **state) {
    (void)state;
    struct world w;
    start(&w);
    world_ready(&w, 0, "m", 1);
    uint64_t t = world_ask(&w, 0, 1, "m");
    world_forget(&w);
    w.workers[0].incarnation++;
    w.workers[0].peer.id[4] = 99;
    world_ready(&w, 0, "m", 1);
    assert_non_null(world_note(&w, NOTE_WORKER_REPLACED));
    assert_int_equal(world_count(&w, ACTION_WELCOME), 1);
    assert_true(world_find(&w, ACTION_WORK)->ticket == t);
    assert_int_equal(world_find(&w, ACTION_WORK)->attempt, 2);
    assert_int_equal(world_stats(&w).workers, 1);
    world_close(&w);
}

static void test_of_two_processes_with_one_name_the_older_is_refused(void **state) {
    (void)state;
    struct world w;
    start(&w);
    world_ready(&w, 0, "m", 1);
    struct world_worker older = w.workers[0];
    w.workers[0].incarnation++;
    w.workers[0].peer.id[4] = 99;
    world_ready(&w, 0, "m", 1);
    struct world_worker newer = w.workers[0];
    world_forget(&w);
    w.workers[0] = older;
    world_beat(&w, 0);
    assert_false(world_find(&w, ACTION_BEAT)->known);
    world_ready(&w, 0, "m", 1);
    assert_int_equal(world_find(&w, ACTION_REFUSE)->code, ERR_BAD_REQUEST);
    assert_int_equal(world_count(&w, ACTION_WELCOME), 0);
    w.workers[0] = newer;
    world_forget(&w);
    world_beat(&w, 0);
    assert_true(world_find(&w, ACTION_BEAT)->known);
    world_close(&w);
}

static void test_ready_again_on_the_same_connection_changes_nothing(void **state) {
    (void)state;
    struct world w;
    start(&w);
    world_ready(&w, 0, "m", 1);
    uint64_t t = world_ask(&w, 0, 1, "m");
    world_forget(&w);
    world_ready(&w, 0, "m", 1);
    assert_int_equal(world_count(&w, ACTION_WELCOME), 1);
    assert_int_equal(world_count(&w, ACTION_WORK), 0);
    world_tokens(&w, 0, t, 1, 1, 0, 1);
    assert_int_equal(world_count(&w, ACTION_PASS), 1);
    world_close(&w);
}

static void test_a_new_connection_of_the_same_process_gives_its_work_up(void **state) {
    (void)state;
    struct world w;
    start(&w);
    world_ready(&w, 0, "m", 1);
    uint64_t t = world_ask(&w, 0, 1, "m");
    world_forget(&w);
    w.workers[0].peer.id[4] = 99;
    world_ready(&w, 0, "m", 1);
    assert_true(world_find(&w, ACTION_WORK)->ticket == t);
    assert_int_equal(world_find(&w, ACTION_WORK)->attempt, 2);
    assert_int_equal(world_find(&w, ACTION_WORK)->peer.id[4], 99);
    assert_int_equal(world_stats(&w).workers, 1);
    world_close(&w);
}

static void test_one_connection_is_one_worker(void **state) {
    (void)state;
    struct world w;
    start(&w);
    world_ready(&w, 0, "m", 1);
    uint64_t t = world_ask(&w, 0, 1, "m");
    world_forget(&w);
    w.workers[1].peer = w.workers[0].peer; /* it calls itself w1 now */
    world_ready(&w, 1, "m", 1);
    assert_int_equal(world_stats(&w).workers, 1);
    assert_true(world_find(&w, ACTION_WORK)->ticket == t);
    assert_int_equal(world_find(&w, ACTION_WORK)->attempt, 2);
    world_close(&w);
}

static void test_an_unknown_worker_s_heartbeat_asks_it_to_register(void **state) {
    (void)state;
    struct world w;
    start(&w);
    world_beat(&w, 3);
    assert_false(world_find(&w, ACTION_BEAT)->known);
    world_close(&w);
}

static void test_a_worker_that_leaves_is_gone_at_once(void **state) {
    (void)state;
    struct world w;
    start(&w);
    world_ready(&w, 0, "m", 1);
    struct event bye = {.type = EVENT_GOODBYE, .peer = w.workers[0].peer};
    bye.goodbye.incarnation = w.workers[0].incarnation;
    world_step(&w, &bye);
    assert_non_null(world_note(&w, NOTE_WORKER_LEFT));
    assert_int_equal(world_stats(&w).workers, 0);
    world_close(&w);
}

static void test_a_worker_of_other_versions_or_without_credit_is_refused(void **state) {
    (void)state;
    struct world w;
    start(&w);
    world_ready(&w, 0, "m", 0);
    assert_int_equal(world_find(&w, ACTION_REFUSE)->code, ERR_BAD_MESSAGE);
    world_forget(&w);
    struct event ev = {.type = EVENT_READY, .peer = w.workers[1].peer};
    ev.ready = (struct msg_ready){.version_min = 8, .version_max = 9, .credits = 1};
    world_step(&w, &ev);
    assert_int_equal(world_find(&w, ACTION_REFUSE)->code, ERR_BAD_VERSION);
    assert_int_equal(world_stats(&w).workers, 0);
    world_close(&w);
}

static void test_the_table_of_workers_is_bounded(void **state) {
    (void)state;
    struct world w;
    start(&w);
    for (int i = 0; i <= LIMIT_WORKERS; i++) {
        (void)snprintf(w.workers[0].name, sizeof w.workers[0].name, "n%d", i);
        w.workers[0].incarnation = 5000 + (uint64_t)i;
        w.workers[0].peer.id[3] = (uint8_t)(i >> 8);
        w.workers[0].peer.id[4] = (uint8_t)i;
        world_ready(&w, 0, "m", 1);
    }
    assert_int_equal(world_count(&w, ACTION_WELCOME), LIMIT_WORKERS);
    assert_int_equal(world_find(&w, ACTION_REFUSE)->code, ERR_LIMIT);
    assert_int_equal(world_stats(&w).workers, LIMIT_WORKERS);
    world_close(&w);
}

/* ---- draining ---- */

static void drain(struct world *w, const char *name, bool on) {
    struct event ev = {.type = EVENT_DRAIN, .peer = world_client(9)};
    ev.drain.worker = (struct bytes){(const uint8_t *)name, strlen(name)};
    ev.drain.on = on;
    ev.drain.serial = 4;
    world_step(w, &ev);
}

static enum worker_state state_of(struct world *w, int i) {
    struct worker_info infos[WORLD_WORKERS];
    size_t n = broker_workers(w->broker, w->now_us, infos, WORLD_WORKERS);
    for (size_t k = 0; k < n; k++)
        if (memcmp(infos[k].name.data, w->workers[i].name, infos[k].name.size) == 0)
            return infos[k].state;
    fail();
    return WORKER_UP;
}

static void test_a_drained_worker_finishes_and_gets_nothing_new(void **state) {
    (void)state;
    struct world w;
    start(&w);
    world_ready(&w, 0, "m", 4);
    uint64_t t = world_ask(&w, 0, 1, "m");
    world_forget(&w);
    drain(&w, "w0", true);
    assert_true(world_find(&w, ACTION_DRAIN)->on);
    assert_int_equal(world_find(&w, ACTION_DRAIN_OK)->serial, 4);
    assert_int_equal(state_of(&w, 0), WORKER_DRAINING);
    w.workers[0].draining = true; /* as it will say from now on */
    world_ask(&w, 0, 2, "m");
    assert_int_equal(world_count(&w, ACTION_WORK), 0);
    world_tokens(&w, 0, t, 1, 1, 0, 1);
    assert_null(world_note(&w, NOTE_WORKER_DRAINED));
    world_done(&w, 0, t, 1, 1);
    assert_int_equal(world_count(&w, ACTION_DONE), 1);
    assert_non_null(world_note(&w, NOTE_WORKER_DRAINED));
    assert_int_equal(state_of(&w, 0), WORKER_DRAINED);
    assert_int_equal(world_count(&w, ACTION_WORK), 0);
    world_pass_ms(&w, 1000);
    drain(&w, "w0", false);
    assert_int_equal(state_of(&w, 0), WORKER_UP);
    assert_int_equal(world_count(&w, ACTION_WORK), 1);
    world_close(&w);
}

static void test_draining_a_stranger_is_not_found(void **state) {
    (void)state;
    struct world w;
    start(&w);
    drain(&w, "nobody", true);
    assert_int_equal(world_find(&w, ACTION_ERROR)->code, ERR_NOT_FOUND);
    assert_false(world_find(&w, ACTION_ERROR)->has_id);
    world_close(&w);
}

static void test_what_waits_for_a_drained_pool_waits_within_a_bound(void **state) {
    (void)state;
    struct world w;
    start(&w);
    world_ready(&w, 0, "m", 4);
    drain(&w, "w0", true);
    w.workers[0].draining = true;
    assert_true(world_ask(&w, 0, 1, "m") != 0);
    world_pass_ms(&w, w.settings.worker_wait_ms + 10);
    assert_int_equal(world_find(&w, ACTION_ERROR)->code, ERR_NO_WORKERS);
    world_close(&w);
}

static void test_operators_see_workers_and_requests_as_they_are(void **state) {
    (void)state;
    struct world w;
    start(&w);
    world_ready(&w, 0, "m", 1);
    uint64_t t = world_ask(&w, 0, 1, "m");
    world_tokens(&w, 0, t, 1, 1, 0, 7);
    world_ask(&w, 0, 2, "m");
    world_pass_ms(&w, 250);
    struct request_info r[4];
    assert_int_equal(broker_requests(w.broker, w.now_us, r, 4), 2);
    size_t first = r[0].state == 3 ? 0 : 1;
    assert_int_equal(r[first].state, 3);
    assert_int_equal(r[first].tokens, 7);
    assert_int_equal(r[first].age_ms, 250);
    assert_int_equal(r[first].worker.size, 2);
    assert_int_equal(r[1 - first].state, 1);
    assert_int_equal(r[1 - first].worker.size, 0);
    struct worker_info infos[4];
    assert_int_equal(broker_workers(w.broker, w.now_us, infos, 4), 1);
    assert_int_equal(infos[0].in_flight, 1);
    assert_int_equal(infos[0].silent_ms, 250);
    assert_int_equal(infos[0].template_id.size, 6);
    assert_memory_equal(infos[0].template_id.data, "chatml", 6);
    assert_int_equal(infos[0].tools.size, 6);
    assert_memory_equal(infos[0].tools.data, "hermes", 6);
    assert_int_equal(world_stats(&w).queued, 1);
    assert_int_equal(world_stats(&w).in_flight, 1);
    world_close(&w);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_least_loaded_worker_is_chosen),
        cmocka_unit_test(test_more_free_pages_win_a_tie),
        cmocka_unit_test(test_equal_workers_take_turns),
        cmocka_unit_test(test_no_worker_gets_more_than_its_credit),
        cmocka_unit_test(test_a_restarted_worker_replaces_itself),
        cmocka_unit_test(test_of_two_processes_with_one_name_the_older_is_refused),
        cmocka_unit_test(test_ready_again_on_the_same_connection_changes_nothing),
        cmocka_unit_test(test_a_new_connection_of_the_same_process_gives_its_work_up),
        cmocka_unit_test(test_one_connection_is_one_worker),
        cmocka_unit_test(test_an_unknown_worker_s_heartbeat_asks_it_to_register),
        cmocka_unit_test(test_a_worker_that_leaves_is_gone_at_once),
        cmocka_unit_test(test_a_worker_of_other_versions_or_without_credit_is_refused),
        cmocka_unit_test(test_the_table_of_workers_is_bounded),
        cmocka_unit_test(test_a_drained_worker_finishes_and_gets_nothing_new),
        cmocka_unit_test(test_draining_a_stranger_is_not_found),
        cmocka_unit_test(test_what_waits_for_a_drained_pool_waits_within_a_bound),
        cmocka_unit_test(test_operators_see_workers_and_requests_as_they_are),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
