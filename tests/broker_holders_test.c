/* broker_holders_test.c - whose links are believed: restarts of workers and of the broker. */
#include "tests/broker_world.h"

#include <string.h>

static struct world_chain chain_from(uint32_t first, size_t n) {
    uint32_t numbers[WORLD_SEGMENTS];
    for (size_t i = 0; i < n; i++)
        numbers[i] = first + (uint32_t)i;
    return world_chain("", n, numbers);
}

static void begin(struct world *w, int n) {
    world_init(w);
    world_open(w);
    for (int i = 0; i < n; i++)
        world_ready(w, i, "m", 4);
    world_pass_ms(w, 1500); /* the wait for former owners is over */
    world_forget(w);
}

static uint32_t held_by(struct world *w, int i, const struct world_chain *c) {
    struct explanation e = world_explain(w, "m", c);
    return world_explained(w, &e, i)->held_segments;
}

static void lose(struct world *w, int i) {
    struct event ev = {.type = EVENT_WORKER_GONE, .peer = w->workers[i].peer};
    w->workers[i].beats = false;
    world_step(w, &ev);
}

static void test_every_worker_is_asked_for_its_inventory(void **state) {
    (void)state;
    struct world w;
    world_init(&w);
    world_open(&w);
    world_ready(&w, 0, "m", 4);
    world_ready(&w, 1, "m", 4);
    assert_int_equal(world_count(&w, ACTION_INVENTORY), 2);
    world_step(&w, &(struct event){.type = EVENT_INVENTORY});
    assert_int_equal(world_count(&w, ACTION_INVENTORY), 4);
    world_close(&w);
}

static void test_believed_links_are_recorded_once(void **state) {
    (void)state;
    struct world w;
    begin(&w, 2);
    struct world_chain c = chain_from(0, 5);
    world_hold(&w, 1, &c, 0, 5);
    assert_int_equal(world_count(&w, ACTION_RECORD), 1);
    assert_int_equal(world_find(&w, ACTION_RECORD)->incarnation, w.workers[1].incarnation);
    assert_int_equal(world_stats(&w).links, 5);
    world_close(&w);
}

static void test_a_dead_worker_is_not_preferred(void **state) {
    (void)state;
    struct world w;
    begin(&w, 2);
    struct world_chain c = chain_from(0, 10);
    world_hold(&w, 0, &c, 0, 10);
    lose(&w, 0);
    world_ask_chain(&w, 1, 1, "m", &c);
    assert_int_equal(world_sent_to(&w), 1);
    world_close(&w);
}

static void test_a_worker_that_comes_back_still_holds_what_it_held(void **state) {
    (void)state;
    struct world w;
    begin(&w, 2);
    struct world_chain c = chain_from(0, 10);
    world_hold(&w, 0, &c, 0, 10);
    lose(&w, 0);
    world_ready(&w, 0, "m", 4);
    assert_int_equal(held_by(&w, 0, &c), 10);
    assert_int_equal(world_count(&w, ACTION_VOID), 0);
    world_close(&w);
}

static void test_nothing_of_an_earlier_incarnation_is_believed(void **state) {
    (void)state;
    struct world w;
    begin(&w, 2);
    struct world_chain c = chain_from(0, 10);
    world_hold(&w, 0, &c, 0, 10);
    uint64_t old = w.workers[0].incarnation;
    w.workers[0].incarnation = 555;
    world_ready(&w, 0, "m", 4);
    assert_int_equal(held_by(&w, 0, &c), 0);
    assert_int_equal(world_find(&w, ACTION_VOID)->incarnation, old);
    uint64_t ticket = world_ask_chain(&w, 1, 1, "m", &c);
    int i = world_sent_to(&w);
    world_tokens(&w, i, ticket, 1, 1, 0, 1);
    world_done(&w, i, ticket, 1, 1);
    assert_int_equal(world_stats(&w).done, 1);
    world_close(&w);
}

static void test_a_goodbye_voids_what_was_held(void **state) {
    (void)state;
    struct world w;
    begin(&w, 2);
    struct world_chain c = chain_from(0, 10);
    world_hold(&w, 0, &c, 0, 10);
    struct event ev = {.type = EVENT_GOODBYE, .peer = w.workers[0].peer};
    ev.goodbye.incarnation = w.workers[0].incarnation;
    world_step(&w, &ev);
    w.workers[0].beats = false;
    assert_int_equal(world_find(&w, ACTION_VOID)->incarnation, w.workers[0].incarnation);
    world_pass_ms(&w, 5000);
    assert_int_equal(world_stats(&w).links, 0); /* a sweep took them away */
    world_close(&w);
}

static void test_one_that_stays_away_is_forgotten_in_the_end(void **state) {
    (void)state;
    struct world w;
    begin(&w, 2);
    struct world_chain c = chain_from(0, 10);
    world_hold(&w, 0, &c, 0, 10);
    lose(&w, 0);
    world_forget(&w);
    world_pass_ms(&w, 590000);
    assert_null(world_find(&w, ACTION_VOID));
    world_pass_ms(&w, 20000);
    assert_int_equal(world_find(&w, ACTION_VOID)->incarnation, w.workers[0].incarnation);
    world_close(&w);
}

static void test_a_reset_voids_what_was_told_before(void **state) {
    (void)state;
    struct world w;
    begin(&w, 2);
    struct world_chain c = chain_from(0, 10), d = chain_from(100, 3);
    world_hold(&w, 0, &c, 0, 10);
    struct event ev = {.type = EVENT_LINKS, .peer = w.workers[0].peer};
    ev.links.told.incarnation = w.workers[0].incarnation;
    ev.links.told.reset = true;
    world_step(&w, &ev);
    world_hold(&w, 0, &d, 0, 3);
    assert_int_equal(held_by(&w, 0, &c), 0);
    assert_int_equal(held_by(&w, 0, &d), 3);
    world_close(&w);
}

/* ---- after a restart of the broker ---- */

static void test_after_a_restart_the_first_request_finds_its_owner(void **state) {
    (void)state;
    struct world w;
    world_init(&w);
    world_open(&w);
    struct world_chain c = chain_from(0, 10);
    world_record(&w, 1, w.workers[1].incarnation, "m", &c, 0, 10);
    world_ask_chain(&w, 1, 1, "m", &c);
    world_ready(&w, 0, "m", 4);
    world_pass_ms(&w, 200);
    assert_int_equal(world_count(&w, ACTION_WORK), 0);
    world_ready(&w, 1, "m", 4);
    assert_int_equal(world_sent_to(&w), 1);
    world_close(&w);
}

static void test_an_owner_that_does_not_come_back_is_waited_for_a_second(void **state) {
    (void)state;
    struct world w;
    world_init(&w);
    world_open(&w);
    struct world_chain c = chain_from(0, 10), other = chain_from(500, 10);
    world_record(&w, 1, w.workers[1].incarnation, "m", &c, 0, 10);
    world_ready(&w, 0, "m", 4);
    world_ask_chain(&w, 1, 1, "m", &c);
    assert_int_equal(world_count(&w, ACTION_WORK), 0);
    world_ask_chain(&w, 1, 2, "m", &other); /* nobody's; not held up */
    assert_int_equal(world_count(&w, ACTION_WORK), 1);
    world_pass_ms(&w, BROKER_OWNER_WAIT_MS - 10);
    assert_int_equal(world_count(&w, ACTION_WORK), 1);
    world_pass_ms(&w, 20);
    assert_int_equal(world_count(&w, ACTION_WORK), 2);
    assert_int_equal(world_sent_to(&w), 0);
    world_close(&w);
}

static void test_a_record_of_a_process_that_was_restarted_is_void(void **state) {
    (void)state;
    struct world w;
    world_init(&w);
    world_open(&w);
    struct world_chain c = chain_from(0, 10);
    world_record(&w, 1, 42, "m", &c, 0, 5);
    world_ready(&w, 0, "m", 4);
    world_ready(&w, 1, "m", 4); /* not incarnation 42 */
    assert_int_equal(world_find(&w, ACTION_VOID)->incarnation, 42);
    world_record(&w, 1, 42, "m", &c, 5, 10); /* the index goes on telling */
    assert_int_equal(held_by(&w, 1, &c), 0);
    world_ask_chain(&w, 1, 1, "m", &c);
    assert_int_equal(world_count(&w, ACTION_WORK), 1);
    world_close(&w);
}

static void test_an_owner_is_not_waited_for_past_the_deadline(void **state) {
    (void)state;
    struct world w;
    world_init(&w);
    world_open(&w);
    struct world_chain c = chain_from(0, 10);
    world_record(&w, 1, w.workers[1].incarnation, "m", &c, 0, 10);
    world_ready(&w, 0, "m", 4);
    struct event ev = world_request(1, 1, "m");
    ev.request.chain.segments = c.segments;
    ev.request.chain.n_segments = c.n;
    ev.request.deadline_ms = BROKER_OWNER_WAIT_MS / 2;
    world_ask_event(&w, &ev);
    assert_int_equal(world_sent_to(&w), 0);
    world_close(&w);
}

/* The index may tell late what a worker has dropped since. */
static void test_a_worker_that_is_back_knows_better_than_the_index(void **state) {
    (void)state;
    struct world w;
    world_init(&w);
    world_open(&w);
    struct world_chain c = chain_from(0, 10);
    world_record(&w, 1, w.workers[1].incarnation, "m", &c, 0, 2);
    world_ready(&w, 1, "m", 4);
    world_record(&w, 1, w.workers[1].incarnation, "m", &c, 2, 10);
    assert_int_equal(held_by(&w, 1, &c), 2);
    world_close(&w);
}

static void test_the_root_of_a_chain_is_known_before_a_worker_comes_back(void **state) {
    (void)state;
    struct world w;
    world_init(&w);
    world_open(&w);
    uint8_t fingerprint[16];
    struct label template_id;
    struct bytes m = {(const uint8_t *)"m", 1}, any = {0}, x = {(const uint8_t *)"x", 1};
    assert_false(broker_fingerprint(w.broker, m, fingerprint, &template_id));
    struct event ev = {.type = EVENT_LINKS};
    ev.links.recorded = true;
    ev.links.worker = (struct bytes){(const uint8_t *)"w0", 2};
    ev.links.model = m;
    ev.links.template_id = (struct bytes){(const uint8_t *)"chatml", 6};
    ev.links.told.incarnation = 7;
    memset(ev.links.fingerprint, 9, sizeof ev.links.fingerprint);
    world_step(&w, &ev);
    assert_true(broker_fingerprint(w.broker, m, fingerprint, &template_id));
    assert_true(broker_fingerprint(w.broker, any, fingerprint, &template_id));
    assert_false(broker_fingerprint(w.broker, x, fingerprint, &template_id));
    assert_int_equal(fingerprint[15], 9);
    assert_string_equal(template_id.text, "chatml");
    world_ready(&w, 1, "m", 4); /* a connected one comes first: of zeros, here */
    assert_true(broker_fingerprint(w.broker, m, fingerprint, &template_id));
    assert_int_equal(fingerprint[15], 0);
    world_close(&w);
}

static void test_all_incarnations_of_a_long_life_stay_bounded(void **state) {
    (void)state;
    struct world w;
    begin(&w, 2);
    struct world_chain c = chain_from(0, 10);
    for (uint32_t n = 0; n < 1500; n++) {
        w.workers[0].incarnation = 5000 + n;
        world_forget(&w);
        world_ready(&w, 0, "m", 4);
        assert_int_equal(held_by(&w, 0, &c), 0);
        world_hold(&w, 0, &c, 0, 10);
        assert_int_equal(held_by(&w, 0, &c), 10);
    }
    assert_int_equal(held_by(&w, 1, &c), 0);
    world_close(&w);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_worker_is_asked_for_its_inventory),
        cmocka_unit_test(test_believed_links_are_recorded_once),
        cmocka_unit_test(test_a_dead_worker_is_not_preferred),
        cmocka_unit_test(test_a_worker_that_comes_back_still_holds_what_it_held),
        cmocka_unit_test(test_nothing_of_an_earlier_incarnation_is_believed),
        cmocka_unit_test(test_a_goodbye_voids_what_was_held),
        cmocka_unit_test(test_one_that_stays_away_is_forgotten_in_the_end),
        cmocka_unit_test(test_a_reset_voids_what_was_told_before),
        cmocka_unit_test(test_after_a_restart_the_first_request_finds_its_owner),
        cmocka_unit_test(test_an_owner_that_does_not_come_back_is_waited_for_a_second),
        cmocka_unit_test(test_a_record_of_a_process_that_was_restarted_is_void),
        cmocka_unit_test(test_an_owner_is_not_waited_for_past_the_deadline),
        cmocka_unit_test(test_a_worker_that_is_back_knows_better_than_the_index),
        cmocka_unit_test(test_the_root_of_a_chain_is_known_before_a_worker_comes_back),
        cmocka_unit_test(test_all_incarnations_of_a_long_life_stay_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
