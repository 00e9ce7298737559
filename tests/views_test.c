/* views_test.c - the handlers under /quire/: who may see what, answers that come later, live
 * streams. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/clock.h"
#include "common/error.h"
#include "gateway/views/gather.h"
#include "gateway/views/live.h"
#include "gateway/views/own.h"
#include "tests/support/views_stage.h"

static int setup(void **state) {
    (void)state;
    stage_open(false);
    return 0;
}

static int setup_keys(void **state) {
    (void)state;
    stage_open(true);
    return 0;
}

static int teardown(void **state) {
    (void)state;
    stage_close();
    return 0;
}

static struct caller with_key(const char *tenant, bool admin) {
    struct caller c = {.known = true, .admin = admin};
    strcpy(c.tenant, tenant);
    strcpy(c.key_name, "k");
    stage.has_key = true;
    stage.key = (struct key){.name = "k", .admin = admin};
    strcpy(stage.key.tenant, tenant);
    return c;
}

static void add_record(uint8_t number, const char *tenant) {
    struct record r = {.id = {number}, .n_segments = 1};
    strcpy(r.tenant, tenant);
    strcpy(r.outcome, "done");
    strcpy(r.worker, "w1");
    figures_add(stage.gateway.figures, &r);
    stage.n_questions = 0; /* the tree's are of no interest here; they stay without an answer */
}

static const char id_of_7[] = "07000000000000000000000000000000";

static struct quire_explanation *explanation(void) {
    struct quire_explanation *e = calloc(1, sizeof *e);
    assert_non_null(e);
    e->past = true;
    e->policy = QUIRE_POLICY_EARLIEST;
    e->predicted_us = 1500;
    return e;
}

static void expect_status(struct exchange *x, const char *method, const char *path, int status) {
    stage_handle(x, method, path);
    assert_int_equal(x->status, status);
    stage_leave(x);
}

/* ---- explain ---- */

static void test_a_tenant_is_told_of_its_own_requests_only(void **state) {
    (void)state;
    add_record(7, "a");
    struct exchange stranger = {.caller = with_key("b", false), .tail = id_of_7};
    expect_status(&stranger, "GET", "/quire/explain/*", 404);
    assert_int_equal(stage.n_questions, 0);
    struct exchange unknown = {.caller = with_key("a", false),
                               .tail = "09000000000000000000000000000000"};
    expect_status(&unknown, "GET", "/quire/explain/*", 404);
    assert_int_equal(stage.n_questions, 0);

    struct exchange own = {.caller = with_key("a", false), .tail = id_of_7};
    stage_handle(&own, "GET", "/quire/explain/*");
    assert_int_equal(stage.n_questions, 1);
    assert_int_equal(stage.questions[0].what, OBSERVER_EXPLAIN);
    assert_int_equal(stage.questions[0].id[0], 7);
    assert_int_equal(own.status, 0);
    stage_answer(0, "", explanation());
    assert_int_equal(own.status, 200);
    json_t *json = stage_json(&own);
    assert_true(json_number_value(json_object_get(json, "predicted_ms")) == 1.5);
    json_decref(json);
    stage_leave(&own);
}

static void test_an_admin_is_told_of_any_request(void **state) {
    (void)state;
    struct exchange x = {.caller = with_key("a", true), .tail = id_of_7};
    stage_handle(&x, "GET", "/quire/explain/*");
    assert_int_equal(stage.n_questions, 1);
    stage_answer(ERR_NOT_FOUND, "no such request", NULL);
    assert_int_equal(x.status, 404);
    stage_leave(&x);
}

static void test_an_id_that_is_none_is_not_asked_about(void **state) {
    (void)state;
    static const char *const tails[] = {"", "07", "0700000000000000000000000000000g",
                                        "0700000000000000000000000000000000", "../me"};
    for (size_t i = 0; i < sizeof tails / sizeof tails[0]; i++) {
        struct exchange x = {.caller = with_key("a", true), .tail = tails[i]};
        expect_status(&x, "GET", "/quire/explain/*", 404);
    }
    assert_int_equal(stage.n_questions, 0);
}

static void test_an_answer_for_a_reader_who_left_is_dropped(void **state) {
    (void)state;
    struct exchange left = {.caller = with_key("a", true), .tail = id_of_7};
    struct exchange stays = left;
    stage_handle(&left, "GET", "/quire/explain/*");
    stage_handle(&stays, "GET", "/quire/explain/*");
    stage_leave(&left);
    stage_answer(0, "", explanation());
    assert_int_equal(left.status, 0);
    stage_answer(0, "", explanation());
    assert_int_equal(stays.status, 200);
    assert_non_null(stage.gateway.views->asks);
    stage_leave(&stays);
    assert_null(stage.gateway.views->asks); /* nothing waits for those who left */
}

static void test_a_question_that_is_never_answered_is_freed_at_the_end(void **state) {
    (void)state;
    struct exchange x = {.caller = with_key("a", true), .tail = id_of_7};
    stage_handle(&x, "GET", "/quire/explain/*");
    stage_leave(&x);
    struct exchange full = {.caller = with_key("a", true), .tail = id_of_7};
    stage.full = true;
    expect_status(&full, "GET", "/quire/explain/*", 503);
}

/* ---- workers ---- */

static void test_workers_are_drained_when_the_broker_says_so(void **state) {
    (void)state;
    struct exchange x = {.caller = with_key("a", true), .tail = "w/1/drain", .body = " {} "};
    stage_handle(&x, "POST", "/quire/workers/*");
    assert_int_equal(x.status, 0);
    assert_int_equal(stage.questions[0].what, OBSERVER_DRAIN);
    assert_string_equal(stage.questions[0].worker, "w/1");
    stage_answer(0, "", NULL);
    assert_int_equal(x.status, 200);
    assert_int_equal(stage_count(&x, "{\"ok\":true}"), 1);
    stage_leave(&x);

    struct exchange back = {.caller = with_key("a", true), .tail = "w1/undrain"};
    stage_handle(&back, "POST", "/quire/workers/*");
    assert_int_equal(stage.questions[0].what, OBSERVER_UNDRAIN);
    stage_answer(ERR_NOT_FOUND, "no such worker", NULL);
    assert_int_equal(back.status, 404);
    stage_leave(&back);
}

static void test_losses_are_told(void **state) {
    (void)state;
    struct exchange x = {.caller = with_key("a", true), .tail = "w1/losses"};
    stage_handle(&x, "GET", "/quire/workers/*");
    stage_answer(0, "", NULL);
    assert_int_equal(stage_count(&x, "\"shared_links\":4"), 1);
    stage_leave(&x);
}

static void test_other_paths_and_bodies_are_refused(void **state) {
    (void)state;
    static const struct {
        const char *method, *tail, *body;
        int status;
    } rows[] = {
        {"POST", "w1/drain", "{\"now\": true}", 400},
        {"POST", "w1/drain", "[", 400},
        {"POST", "w1/drain", "[]", 400},
        {"POST", "w1/losses", "", 404},
        {"POST", "/drain", "", 404},
        {"POST", "drain", "", 404},
        {"POST", "", "", 404},
        {"GET", "w1/drain", "", 404},
        {"GET", "w1", "", 404},
        {"GET", "0123456789012345678901234567890123456789012345678901234567890123456789/losses", "",
         404},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct exchange x = {
            .caller = with_key("a", true), .tail = rows[i].tail, .body = rows[i].body};
        expect_status(&x, rows[i].method, "/quire/workers/*", rows[i].status);
    }
    assert_int_equal(stage.n_questions, 0);
}

/* ---- live ---- */

static void test_a_watcher_hears_of_the_pool_at_once_and_with_each_snapshot(void **state) {
    (void)state;
    stage.snapshot.n_requests = 1;
    strcpy(stage.snapshot.requests[0].worker, "w9");
    struct exchange x = {0};
    stage_handle(&x, "GET", "/quire/live");
    assert_int_equal(stage_count(&x, "event: pool\ndata: {"), 1);
    stage_snapshot();
    assert_int_equal(stage_count(&x, "event: pool\ndata: {"), 2);
    assert_int_equal(stage_count(&x, "\"worker\":\"w9\""), 2);
    stage_leave(&x);
    stage_snapshot();
}

static void test_requests_are_shown_to_their_tenant_and_to_admins(void **state) {
    (void)state;
    stage.snapshot.n_requests = 1;
    struct exchange a = {.caller = with_key("a", false)}, b = {.caller = with_key("b", false)};
    struct exchange admin = {.caller = with_key("c", true)};
    stage_handle(&a, "GET", "/quire/live");
    stage_handle(&b, "GET", "/quire/live");
    stage_handle(&admin, "GET", "/quire/live");
    add_record(1, "a");
    assert_int_equal(stage_count(&a, "event: request\n"), 1);
    assert_int_equal(stage_count(&b, "event: request\n"), 0);
    assert_int_equal(stage_count(&admin, "event: request\n"), 1);
    assert_int_equal(stage_count(&a, "\"tenant\""), 0);
    assert_int_equal(stage_count(&admin, "\"tenant\":\"a\""), 1);
    /* What is in flight may be anybody's. */
    assert_int_equal(stage_count(&a, "\"requests\":[]"), 1);
    assert_int_equal(stage_count(&admin, "\"requests\":[{"), 1);
    stage_leave(&a);
    stage_leave(&b);
    stage_leave(&admin);
}

static void test_a_key_that_was_taken_away_ends_the_stream(void **state) {
    (void)state;
    struct exchange x = {.caller = with_key("a", true)};
    stage_handle(&x, "GET", "/quire/live");
    stage_snapshot();
    assert_false(x.ended);
    stage.key.admin = false;
    stage_snapshot();
    assert_true(x.ended);
    add_record(1, "a"); /* nothing is pushed after the end */
    stage_snapshot();
    stage_leave(&x);
    struct exchange gone = {.caller = with_key("a", false)};
    stage_handle(&gone, "GET", "/quire/live");
    stage.has_key = false;
    stage_snapshot();
    assert_true(gone.ended);
    stage_leave(&gone);
}

static void test_a_slow_watcher_is_told_nothing_more(void **state) {
    (void)state;
    struct exchange x = {0};
    stage_handle(&x, "GET", "/quire/live");
    x.slow = true;
    stage_snapshot();
    stage_snapshot(); /* the stand-in fails when it is pushed to after the cut */
    stage_leave(&x);
}

static void test_watchers_are_bounded_and_their_places_used_again(void **state) {
    (void)state;
    struct exchange many[VIEWS_SUBSCRIBERS + 1] = {0}, *last = &many[VIEWS_SUBSCRIBERS];
    for (size_t i = 0; i <= VIEWS_SUBSCRIBERS; i++)
        stage_handle(&many[i], "GET", "/quire/live");
    assert_int_equal(many[VIEWS_SUBSCRIBERS - 1].status, 200);
    assert_int_equal(last->status, 503);
    stage_leave(last);
    stage_leave(&many[3]);
    *last = (struct exchange){0};
    stage_handle(last, "GET", "/quire/live");
    assert_int_equal(last->status, 200);
    stage.gateway.stopping(&stage.gateway);
    for (size_t i = 0; i <= VIEWS_SUBSCRIBERS; i++)
        if (i != 3) {
            assert_true(many[i].ended);
            stage_leave(&many[i]);
        }
}

/* ---- the tree's questions ---- */

static void finish(uint8_t number) {
    struct record r = {.id = {number}, .n_segments = 1};
    strcpy(r.outcome, "done");
    strcpy(r.tenant, "t");
    strcpy(r.worker, "w1");
    figures_add(stage.gateway.figures, &r);
}

static struct quire_explanation *one_segment(uint8_t link) {
    struct room {
        struct quire_explanation e;
        struct quire_explained_segment segment;
    } *room = calloc(1, sizeof *room);
    assert_non_null(room);
    room->segment = (struct quire_explained_segment){.role = QUIRE_USER, .link = {link}};
    room->e.segments = &room->segment;
    room->e.n_segments = 1;
    return &room->e;
}

static void test_the_tree_is_gathered_at_a_bounded_rate(void **state) {
    (void)state;
    for (uint8_t i = 0; i < 100; i++)
        finish(i);
    assert_int_equal(stage.n_questions, GATHER_PER_TICK);
    assert_int_equal(stage.questions[0].id[0], 0);
    for (uint8_t i = 0; i < GATHER_PER_TICK; i++)
        stage_answer(0, "", one_segment(i));
    assert_int_equal(stage.n_questions, 0);
    /* GATHER_QUEUE of them waited, the rest was dropped. */
    size_t asked = 0;
    for (int tick = 0; tick < 10; tick++) {
        stage_snapshot();
        assert_true(stage.n_questions <= GATHER_PER_TICK);
        asked += stage.n_questions;
        while (stage.n_questions > 0)
            stage_answer(ERR_NOT_FOUND, "it is forgotten", NULL);
    }
    assert_int_equal(asked, GATHER_QUEUE);

    struct exchange x = {.caller = with_key("t", false)}, other = {.caller = with_key("u", false)};
    stage_handle(&x, "GET", "/quire/tree");
    assert_int_equal(stage_count(&x, "\"owners\":[\"w1\"]"), GATHER_PER_TICK);
    stage_leave(&x);
    stage_handle(&other, "GET", "/quire/tree");
    assert_int_equal(stage_count(&other, "{\"nodes\":[]}"), 1);
    stage_leave(&other);
}

static void test_peoples_questions_go_before_the_trees(void **state) {
    (void)state;
    stage.full = true;
    for (uint8_t i = 0; i < 50; i++)
        finish(i);
    stage.full = false;
    stage_snapshot();
    assert_true(stage.n_questions <= GATHER_PER_TICK);
}

/* ---- me, requests, health ---- */

static void test_who_does_not_say_who_he_is_is_told_little(void **state) {
    (void)state;
    struct exchange unknown = {0}, known = {.caller = with_key("shop", true)};
    stage_handle(&unknown, "GET", "/quire/me");
    assert_int_equal(stage_count(&unknown, "{\"keys\":true,\"known\":false,\"name\":\"\","
                                           "\"tenant\":\"\",\"admin\":false,\"models\":[],"),
                     1);
    stage_leave(&unknown);
    stage_handle(&known, "GET", "/quire/me");
    assert_int_equal(stage_count(&known, "{\"keys\":true,\"known\":true,\"name\":\"k\","
                                         "\"tenant\":\"shop\",\"admin\":true,"
                                         "\"models\":[\"quire-demo\"],"),
                     1);
    stage_leave(&known);
}

static void test_requests_are_listed_by_tenant_and_limit(void **state) {
    (void)state;
    for (uint8_t i = 0; i < 10; i++)
        add_record(i, i < 4 ? "a" : "b");
    struct exchange a = {.caller = with_key("a", false)};
    stage_handle(&a, "GET", "/quire/requests");
    assert_int_equal(stage_count(&a, "\"request_id\""), 4);
    stage_leave(&a);
    struct exchange admin = {.caller = with_key("a", true), .limit = "7"};
    stage_handle(&admin, "GET", "/quire/requests");
    assert_int_equal(stage_count(&admin, "\"request_id\""), 7);
    assert_int_equal(stage_count(&admin, "\"tenant\":\"b\""), 6);
    stage_leave(&admin);
    static const char *const wrong[] = {"",   "0",  "257", "-1",
                                        "+1", "1x", " 1",  "99999999999999999999999"};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        struct exchange x = {.caller = with_key("a", false), .limit = wrong[i]};
        expect_status(&x, "GET", "/quire/requests", 400);
    }
}

static void test_figures_are_for_admins_and_the_machine_itself(void **state) {
    (void)state;
    struct exchange stranger = {0}, tenant = {.caller = with_key("a", false)};
    expect_status(&stranger, "GET", "/metrics", 401);
    expect_status(&tenant, "GET", "/metrics", 403);
    struct exchange local = {.caller.local = true}, admin = {.caller = with_key("a", true)};
    expect_status(&local, "GET", "/metrics", 200);
    expect_status(&admin, "GET", "/metrics", 200);
    stage.gateway.options.metrics_open = true;
    struct exchange anybody = {0};
    expect_status(&anybody, "GET", "/metrics", 200);
}

static void test_ready_means_that_a_worker_is_up(void **state) {
    (void)state;
    struct snapshot *s = &stage.snapshot;
    struct exchange x[6] = {0};
    expect_status(&x[0], "GET", "/healthz", 200);
    expect_status(&x[1], "GET", "/readyz", 503); /* never asked yet */
    s->taken_ms = clock_ms();
    expect_status(&x[2], "GET", "/readyz", 503); /* not connected */
    s->connected = true;
    s->n_workers = 1;
    s->workers[0].state = QUIRE_WORKER_DRAINING;
    stage_handle(&x[3], "GET", "/readyz");
    assert_int_equal(x[3].status, 503);
    assert_int_equal(stage_count(&x[3], "no worker is up\n"), 1);
    stage_leave(&x[3]);
    s->workers[0].state = QUIRE_WORKER_UP;
    expect_status(&x[4], "GET", "/readyz", 200);
    s->taken_ms = clock_ms() - 3600000;
    expect_status(&x[5], "GET", "/readyz", 503);
}

#define OPEN(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
#define KEYS(test) cmocka_unit_test_setup_teardown(test, setup_keys, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        KEYS(test_a_tenant_is_told_of_its_own_requests_only),
        KEYS(test_an_admin_is_told_of_any_request),
        KEYS(test_an_id_that_is_none_is_not_asked_about),
        KEYS(test_an_answer_for_a_reader_who_left_is_dropped),
        KEYS(test_a_question_that_is_never_answered_is_freed_at_the_end),
        KEYS(test_workers_are_drained_when_the_broker_says_so),
        KEYS(test_losses_are_told),
        KEYS(test_other_paths_and_bodies_are_refused),
        OPEN(test_a_watcher_hears_of_the_pool_at_once_and_with_each_snapshot),
        KEYS(test_requests_are_shown_to_their_tenant_and_to_admins),
        KEYS(test_a_key_that_was_taken_away_ends_the_stream),
        OPEN(test_a_slow_watcher_is_told_nothing_more),
        OPEN(test_watchers_are_bounded_and_their_places_used_again),
        KEYS(test_the_tree_is_gathered_at_a_bounded_rate),
        KEYS(test_peoples_questions_go_before_the_trees),
        KEYS(test_who_does_not_say_who_he_is_is_told_little),
        KEYS(test_requests_are_listed_by_tenant_and_limit),
        KEYS(test_figures_are_for_admins_and_the_machine_itself),
        KEYS(test_ready_means_that_a_worker_is_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
