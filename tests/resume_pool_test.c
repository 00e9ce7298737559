/* resume_pool_test.c - the real programs: workers are lost in the middle of answers, and clients
 * see the answers of a pool where nothing happens. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "common/clock.h"
#include "common/error.h"
#include "tests/support/pool.h"
#include "tests/support/relay.h"

#define LENGTH 12   /* tokens of an answer that is cut at each of them */
#define CROWD 9     /* answers at a time */
#define LONGER 600  /* tokens of each of those: long enough to be hit in the middle */

struct crowd {
    uint8_t ids[CROWD][QUIRE_ID_BYTES];
    struct pool_answer plain[CROWD], broken[CROWD];
};

/* Every second one is sampled, with a seed. */
static struct quire_request *question(int i, uint32_t max_tokens, uint32_t logprobs) {
    char text[64];
    (void)snprintf(text, sizeof text, "%d. What is %d times %d, and why?", i, i + 1, i + 2);
    struct quire_request *request = pool_question(text, i % 3 == 2 ? "p0.png" : NULL, max_tokens);
    struct quire_options options;
    quire_options_default(&options);
    options.temperature = i % 2 == 0 ? 0.0F : 1.5F;
    options.repeat_penalty = 1.25F;
    options.has_seed = true;
    options.seed = 1000 + (uint64_t)i;
    options.max_tokens = max_tokens;
    options.logprobs = logprobs;
    quire_request_options(request, &options);
    return request;
}

static void check_same(const struct pool_answer *plain, const struct pool_answer *broken) {
    assert_int_equal(plain->end.kind, QUIRE_DONE);
    if (broken->end.kind != QUIRE_DONE)
        fail_msg("%s", broken->end.error.text);
    assert_int_equal(broken->n_tokens, plain->n_tokens);
    assert_int_equal(broken->size, plain->size);
    assert_memory_equal(broken->text, plain->text, plain->size);
    assert_int_equal(broken->end.finish, plain->end.finish);
    assert_true(broken->end.seed == plain->end.seed);
    assert_int_equal(broken->end.usage.answer_tokens, plain->end.usage.answer_tokens);
    assert_int_equal(broken->end.usage.prompt_positions, plain->end.usage.prompt_positions);
    assert_true(broken->end.timings.first_token_us <= broken->end.timings.total_us);
}

/* ---- at every token ---- */

/* One answer that w0, behind a relay, begins, and w1 goes on with. */
static void break_off(struct pool *p, const struct quire_request *request, uint32_t tokens,
                      struct pool_answer *answer) {
    struct relay relay;
    char wire[TEMP_PATH_BYTES + 48], direct[sizeof p->workers_endpoint];
    uint8_t id[1][QUIRE_ID_BYTES];
    (void)snprintf(wire, sizeof wire, "ipc://%s/relay-%u", p->dir.path, tokens);
    (void)snprintf(direct, sizeof direct, "%s", p->workers_endpoint);
    relay_open(&relay, wire, direct, tokens);
    (void)snprintf(p->workers_endpoint, sizeof p->workers_endpoint, "%s", wire);
    pool_start_worker(p, 0);
    (void)snprintf(p->workers_endpoint, sizeof p->workers_endpoint, "%s", direct);
    pool_wait_up(p, 2);
    assert_int_equal(quire_drain(p->client, PROCESS_WAIT_MS, "w1", true, NULL), 0);
    memset(answer, 0, sizeof *answer);
    assert_int_equal(quire_send(p->client, request, id[0], NULL), 0);
    relay_wait_cut(&relay);
    assert_int_equal(relay.passed, tokens);
    process_kill(&p->workers[0]);
    assert_int_equal(quire_drain(p->client, PROCESS_WAIT_MS, "w1", false, NULL), 0);
    pool_collect(p->client, 1, id, answer, false);
    relay_close(&relay);
}

static void test_an_answer_cut_at_any_token_is_the_same(void **state) {
    (void)state;
    struct pool p;
    struct crowd *c = calloc(1, sizeof *c);
    assert_non_null(c);
    pool_open(&p, (struct pool_options){.workers = 2});
    for (int i = 0; i < 2; i++) {
        struct quire_request *request = question(i, LENGTH, 1);
        pool_ask(&p, request, &c->plain[i]);
        quire_request_free(request);
    }
    assert_int_equal(c->plain[0].n_tokens, LENGTH);
    assert_int_equal(c->plain[1].n_tokens, LENGTH);
    process_kill(&p.workers[0]);
    pool_wait_up(&p, 1);
    for (uint32_t tokens = 0; tokens <= LENGTH; tokens++) { /* LENGTH: DONE alone is lost */
        int i = (int)tokens % 2;
        struct quire_request *request = question(i, LENGTH, 1);
        break_off(&p, request, tokens, &c->broken[i]);
        check_same(&c->plain[i], &c->broken[i]);
        assert_string_equal(c->broken[i].end.worker, "w1");
        assert_int_equal(c->broken[i].end.attempts, 2);
        quire_request_free(request);
    }
    assert_int_equal(pool_stats(&p).resumed, LENGTH);
    assert_int_equal(pool_stats(&p).failed, 0);
    pool_close(&p);
    free(c);
}

/* ---- in a crowd ---- */

static void send_all(struct pool *p, struct crowd *c) {
    for (int i = 0; i < CROWD; i++) {
        struct quire_request *request = question(i, LONGER, 0);
        assert_int_equal(quire_send(p->client, request, c->ids[i], NULL), 0);
        quire_request_free(request);
    }
}

static struct crowd *crowd_open(struct pool *p) {
    struct crowd *c = calloc(1, sizeof *c);
    assert_non_null(c);
    send_all(p, c);
    pool_collect(p->client, CROWD, c->ids, c->plain, false);
    return c;
}

static void check_crowd(struct pool *p, struct crowd *c) {
    pool_collect(p->client, CROWD, c->ids, c->broken, false);
    for (int i = 0; i < CROWD; i++)
        check_same(&c->plain[i], &c->broken[i]);
    assert_true(pool_stats(p).resumed > 0);
    assert_int_equal(pool_stats(p).failed, 0);
    struct quire_event event;
    assert_int_equal(quire_next(p->client, 300, &event, NULL), 0); /* nothing comes after */
}

static void test_a_worker_killed_in_the_middle_is_not_noticed(void **state) {
    (void)state;
    struct pool p;
    pool_open(&p, (struct pool_options){.workers = 3});
    struct crowd *c = crowd_open(&p);
    send_all(&p, c);
    pool_collect(p.client, CROWD, c->ids, c->broken, true);
    process_kill(&p.workers[0]);
    check_crowd(&p, c);
    pool_close(&p);
    free(c);
}

static void test_a_worker_frozen_in_the_middle_is_not_noticed(void **state) {
    (void)state;
    struct pool p;
    pool_open(&p, (struct pool_options){.workers = 3});
    struct crowd *c = crowd_open(&p);
    send_all(&p, c);
    pool_collect(p.client, CROWD, c->ids, c->broken, true);
    process_signal(&p.workers[1], SIGSTOP);
    nanosleep(&(struct timespec){2, 300000000}, NULL); /* it is taken for dead */
    process_signal(&p.workers[1], SIGCONT);            /* and speaks again */
    check_crowd(&p, c);
    pool_wait_up(&p, 3);
    pool_close(&p);
    free(c);
}

static void test_the_only_worker_started_again_goes_on(void **state) {
    (void)state;
    struct pool p;
    struct crowd *c = calloc(1, sizeof *c);
    assert_non_null(c);
    pool_open(&p,
              (struct pool_options){.workers = 1, .broker_flags = {"--worker-wait-ms", "60000"}});
    struct quire_request *request = question(1, LONGER, 0);
    pool_ask(&p, request, &c->plain[0]);
    assert_int_equal(quire_send(p.client, request, c->ids[0], NULL), 0);
    pool_collect(p.client, 1, c->ids, c->broken, true);
    process_kill(&p.workers[0]);
    pool_start_worker(&p, 0);
    pool_collect(p.client, 1, c->ids, c->broken, false);
    check_same(&c->plain[0], &c->broken[0]);
    quire_request_free(request);
    pool_close(&p);
    free(c);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_an_answer_cut_at_any_token_is_the_same),
        cmocka_unit_test(test_a_worker_killed_in_the_middle_is_not_noticed),
        cmocka_unit_test(test_a_worker_frozen_in_the_middle_is_not_noticed),
        cmocka_unit_test(test_the_only_worker_started_again_goes_on),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
