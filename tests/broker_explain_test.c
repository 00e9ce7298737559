/* broker_explain_test.c - what operators are told of a request's route, and of a worker's worth. */
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
    w->settings.dead_ms = 10000;
    world_open(w);
    for (int i = 0; i < n; i++)
        world_ready(w, i, "m", 4);
    for (int i = 0; i < n; i++)
        world_beat(w, i);
    world_pass_ms(w, 1500);
    world_forget(w);
}

static void test_every_segment_names_its_owners(void **state) {
    (void)state;
    struct world w;
    begin(&w, 3);
    struct world_chain c = chain_from(0, 4);
    world_hold(&w, 0, &c, 0, 1);
    world_hold(&w, 2, &c, 0, 3);
    struct explanation e = world_explain(&w, "m", &c);
    assert_false(e.past);
    assert_int_equal(e.n_segments, 4);
    assert_int_equal(e.n_workers, 3);
    assert_int_equal(e.segments[0].owners.size, 2);
    assert_int_equal(e.segments[2].owners.size, 1);
    assert_int_equal(e.segments[2].owners.data[0], 2);
    assert_true(e.segments[2].known);
    assert_int_equal(e.segments[2].positions, 3 * WORLD_POSITIONS);
    assert_false(e.segments[3].known);
    assert_in_range(e.segments[3].positions, 395, 405); /* guessed from its bytes */
    assert_int_equal(e.segments[3].bytes, WORLD_TEXT_BYTES);
    assert_memory_equal(e.segments[3].link, c.segments[3].link.bytes, LINK_BYTES);
    assert_int_equal(world_chosen(&w, &e), 2);
    world_close(&w);
}

/* What was only counted says nothing of how long prompts take, and nothing was reused. */
static void
test_a_request_that_is_counted_is_in_no_figure_but_the_number_of_requests(void **state) {
    (void)state;
    struct world w;
    begin(&w, 2);
    struct world_chain c = chain_from(0, 4), other = chain_from(900, 3);
    uint64_t real = world_ask_chain(&w, 1, 1, "m", &c);
    world_tokens(&w, world_sent_to(&w), real, 1, 1, 0, 1);
    struct pool_stats before = world_stats(&w);
    struct explanation untouched = world_explain(&w, "m", &c);
    uint64_t total_us[2];
    for (int i = 0; i < 2; i++)
        total_us[i] = world_explained(&w, &untouched, i)->total_us;
    world_forget(&w);

    struct event ev = world_request(1, 2, "m");
    ev.request.count_only = ev.request.extended = true;
    ev.request.chain = (struct request_chain){.segments = other.segments, .n_segments = other.n};
    uint64_t t = world_ask_event(&w, &ev);
    int at = world_sent_to(&w);
    assert_true(at >= 0);
    struct explanation now = world_explain(&w, "m", &c);
    for (int i = 0; i < 2; i++) /* nobody waits for its prompt, which would be 300 ms */
        assert_in_range(world_explained(&w, &now, i)->total_us, total_us[i], total_us[i] + 20000);
    world_pass_ms(&w, 20);
    world_done(&w, at, t, 1, 2);
    assert_int_equal(world_find(&w, ACTION_DONE)->predicted_us, 0);

    struct pool_stats after = world_stats(&w);
    assert_int_equal(after.requests, before.requests + 1);
    assert_int_equal(after.done, before.done + 1);
    assert_int_equal(after.predictions, before.predictions);
    assert_int_equal(after.first_token_count, before.first_token_count);
    assert_int_equal(after.prompt_positions, before.prompt_positions);
    assert_int_equal(after.reused_positions, before.reused_positions);
    assert_int_equal(after.links, before.links);
    struct explain_query last = {0};
    struct explanation x;
    broker_explain(w.broker, &last, w.now_us, &x);
    struct request_id id = world_id(1); /* the last one that was routed by its prompt */
    assert_memory_equal(x.id.bytes, id.bytes, sizeof id.bytes);
    world_close(&w);
}

static void test_the_parts_of_a_prediction_add_up(void **state) {
    (void)state;
    struct world w;
    begin(&w, 2);
    struct world_chain c = world_chain("", 2, (uint32_t[]){3, WORLD_PICTURE});
    struct world_chain busy = chain_from(900, 10);
    world_ask_chain(&w, 1, 1, "m", &busy);
    int at = world_sent_to(&w);
    struct explanation e = world_explain(&w, "m", &c);
    for (int i = 0; i < 2; i++) {
        const struct explained_worker *x = world_explained(&w, &e, i);
        assert_true(x->fits && x->credit);
        assert_int_equal(x->missing_pictures, 1);
        assert_in_range(x->encode_us, 100000, 120000);
        assert_in_range(x->prefill_us, 350000,
                        400000); /* 100 + a guessed 256 positions, 1 ms each */
        assert_true((x->wait_us > 0) == (i == at));
        assert_int_equal(x->total_us, x->wait_us + x->encode_us + x->prefill_us);
    }
    world_close(&w);
}

static void test_explaining_changes_nothing(void **state) {
    (void)state;
    struct world w;
    begin(&w, 3);
    struct world_chain c = chain_from(0, 4);
    struct explanation e = world_explain(&w, "m", &c);
    int chosen = world_chosen(&w, &e);
    for (int k = 0; k < 20; k++) {
        e = world_explain(&w, "m", &c);
        assert_int_equal(world_chosen(&w, &e), chosen);
    }
    assert_int_equal(world_stats(&w).requests, 0);
    assert_int_equal(world_stats(&w).queued, 0);
    world_ask_chain(&w, 1, 1, "m", &c);
    assert_int_equal(world_sent_to(&w), chosen);
    world_close(&w);
}

static void test_workers_that_do_not_fit_are_shown_as_such(void **state) {
    (void)state;
    struct world w;
    begin(&w, 1);
    world_ready(&w, 1, "other", 4);
    struct world_chain c = chain_from(0, 4);
    struct explanation e = world_explain(&w, "m", &c);
    assert_true(world_explained(&w, &e, 0)->fits);
    assert_false(world_explained(&w, &e, 1)->fits);
    world_close(&w);
}

static struct explanation past(struct world *w, const struct request_id *id) {
    struct explain_query q = {.id = id};
    struct explanation e;
    broker_explain(w->broker, &q, w->now_us, &e);
    return e;
}

static void test_a_past_request_is_shown_as_it_was_then(void **state) {
    (void)state;
    struct world w;
    begin(&w, 3);
    struct world_chain c = chain_from(0, 6), later = chain_from(50, 2);
    world_hold(&w, 1, &c, 0, 4);
    uint64_t ticket = world_ask_chain(&w, 1, 11, "m", &c);
    w.now_us += 210000;
    world_tokens(&w, 1, ticket, 1, 11, 0, 1);
    world_drop(&w, 1, &c, 0, 4);
    world_ask_chain(&w, 1, 12, "m", &later);
    struct request_id id = world_id(11), last = world_id(12);
    struct explanation e = past(&w, &id);
    assert_true(e.found && e.past);
    assert_int_equal(e.n_segments, 6);
    assert_int_equal(world_chosen(&w, &e), 1);
    assert_int_equal(world_explained(&w, &e, 1)->held_segments, 4);
    assert_int_equal(e.segments[3].owners.size, 1);
    assert_int_equal(e.segments[4].owners.size, 0);
    assert_int_equal(e.first_token_us, 210000);
    assert_in_range(e.predicted_us, 190000, 230000);
    e = past(&w, NULL);
    assert_memory_equal(&e.id, &last, sizeof last);
    assert_int_equal(e.first_token_us, 0);
    world_close(&w);
}

static void test_only_the_last_requests_are_remembered(void **state) {
    (void)state;
    struct world w;
    begin(&w, 1);
    struct explanation e = past(&w, NULL);
    assert_false(e.found);
    struct world_chain c = chain_from(0, 200);
    for (uint32_t n = 0; n < BROKER_PAST + 10; n++) {
        uint64_t ticket = world_ask_chain(&w, 1, n, "m", &c);
        world_tokens(&w, 0, ticket, 1, n, 0, 1);
        world_done(&w, 0, ticket, 1, n);
        world_forget(&w);
    }
    struct request_id first = world_id(9), kept = world_id(10);
    assert_false(past(&w, &first).found);
    e = past(&w, &kept);
    assert_true(e.found);
    assert_int_equal(e.n_segments, BROKER_PAST_SEGMENTS); /* the last ones */
    assert_memory_equal(e.segments[BROKER_PAST_SEGMENTS - 1].link, c.segments[199].link.bytes,
                        LINK_BYTES);
    world_close(&w);
}

static void test_a_very_long_chain_keeps_its_ends(void **state) {
    (void)state;
    struct world w;
    begin(&w, 2);
    struct world_chain c = chain_from(0, 300);
    world_hold(&w, 0, &c, 299, 300);
    world_hold(&w, 1, &c, 0, 100);
    struct explanation e = world_explain(&w, "m", &c);
    assert_int_equal(e.n_segments, 256);
    assert_int_equal(world_explained(&w, &e, 0)->held_segments, 300);
    assert_int_equal(world_explained(&w, &e, 1)->held_segments, 100);
    assert_int_equal(e.prompt_positions, 300 * WORLD_POSITIONS);
    assert_memory_equal(e.segments[255].link, c.segments[299].link.bytes, LINK_BYTES);
    assert_int_equal(world_chosen(&w, &e), 0);
    world_close(&w);
}

static void test_losses_are_what_no_other_worker_holds(void **state) {
    (void)state;
    struct world w;
    begin(&w, 2);
    struct world_chain c = world_chain("", 4, (uint32_t[]){1, 2, WORLD_PICTURE, 3});
    world_ask_chain(&w, 1, 1, "m", &c);
    int at = world_sent_to(&w);
    world_hold(&w, at, &c, 0, 4);
    world_hold_pictures(&w, at, &c);
    world_hold(&w, 1 - at, &c, 0, 2);
    struct loss loss;
    struct bytes name = {(const uint8_t *)w.workers[at].name, 2},
                 nobody = {(const uint8_t *)"x", 1};
    assert_true(broker_losses(w.broker, name, &loss));
    assert_int_equal(loss.in_flight, 1);
    assert_int_equal(loss.links, 2);
    assert_int_equal(loss.positions, 2 * WORLD_POSITIONS);
    assert_int_equal(loss.shared_links, 2);
    assert_int_equal(loss.pictures, 1);
    assert_false(broker_losses(w.broker, nobody, &loss));
    world_close(&w);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_segment_names_its_owners),
        cmocka_unit_test(test_a_request_that_is_counted_is_in_no_figure_but_the_number_of_requests),
        cmocka_unit_test(test_the_parts_of_a_prediction_add_up),
        cmocka_unit_test(test_explaining_changes_nothing),
        cmocka_unit_test(test_workers_that_do_not_fit_are_shown_as_such),
        cmocka_unit_test(test_a_past_request_is_shown_as_it_was_then),
        cmocka_unit_test(test_only_the_last_requests_are_remembered),
        cmocka_unit_test(test_a_very_long_chain_keeps_its_ends),
        cmocka_unit_test(test_losses_are_what_no_other_worker_holds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
