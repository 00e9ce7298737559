/* pool_test.c - the real broker with real workers: work is shared, and what dies costs nothing that
 * was not yet seen. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/clock.h"
#include "common/error.h"
#include "tests/support/pool.h"

#define ENDLESS 3500 /* tokens; far more than a test waits for */
#define LONG 1500    /* tokens that take longer than it takes to find who computes them */

struct crowd {
    uint8_t ids[16][QUIRE_ID_BYTES];
    struct pool_answer answers[16];
};

static struct crowd *crowd_open(void) {
    struct crowd *c = calloc(1, sizeof *c);
    assert_non_null(c);
    return c;
}

static void send_n(struct pool *p, struct crowd *c, size_t n, const char *text, const char *picture,
                   uint32_t max_tokens) {
    struct quire_request *request = pool_question(text, picture, max_tokens);
    for (size_t i = 0; i < n; i++)
        assert_int_equal(quire_send(p->client, request, c->ids[i], NULL), 0);
    quire_request_free(request);
}

/* Questions that have nothing in common: alike ones would follow the first to its worker. */
static void send_different(struct pool *p, struct crowd *c, size_t n, uint32_t max_tokens) {
    for (size_t i = 0; i < n; i++) {
        char text[48];
        (void)snprintf(text, sizeof text, "%zu. What comes after %zu?", i + 1, i + 1);
        struct quire_request *request = pool_question(text, NULL, max_tokens);
        assert_int_equal(quire_send(p->client, request, c->ids[i], NULL), 0);
        quire_request_free(request);
    }
}

/* Which of w0, w1 holds work now; -1 for none. */
static int busy_worker(struct pool *p) {
    int64_t deadline = clock_ms() + PROCESS_WAIT_MS;
    while (clock_ms() < deadline) {
        struct quire_worker w;
        for (int i = 0; i < 2; i++)
            if (pool_worker(p, i, &w) && w.in_flight > 0)
                return i;
    }
    return -1;
}

static void wait_for_idle(struct pool *p) {
    int64_t deadline = clock_ms() + PROCESS_WAIT_MS;
    while (clock_ms() < deadline) {
        struct quire_stats s = pool_stats(p);
        struct quire_worker w;
        bool idle = s.in_flight == 0 && s.queued == 0;
        for (int i = 0; i < p->options.workers; i++)
            idle = idle && pool_worker(p, i, &w) && w.active == 0 && w.waiting == 0;
        if (idle)
            return;
        nanosleep(&(struct timespec){0, 50000000}, NULL);
    }
    fail_msg("work goes on after %d ms", PROCESS_WAIT_MS);
}

static void test_two_workers_share_the_load(void **state) {
    (void)state;
    struct pool p;
    struct crowd *c = crowd_open();
    pool_open(&p, (struct pool_options){.workers = 2});
    send_different(&p, c, 8, 24);
    pool_collect(p.client, 8, c->ids, c->answers, false);
    int by_worker[2] = {0, 0};
    for (int i = 0; i < 8; i++) {
        assert_int_equal(c->answers[i].end.kind, QUIRE_DONE);
        assert_int_equal(c->answers[i].n_tokens, 24);
        by_worker[c->answers[i].end.worker[1] - '0']++;
    }
    /* Four each, unless one finished before the last was sent. */
    assert_true(by_worker[0] >= 2);
    assert_true(by_worker[1] >= 2);
    pool_close(&p);
    free(c);
}

static void test_an_answer_tells_what_it_cost(void **state) {
    (void)state;
    struct pool p;
    struct pool_answer *a = calloc(1, sizeof *a);
    pool_open(&p, (struct pool_options){.workers = 1});
    struct quire_request *request = pool_question("And this?", "p1.png", 8);
    pool_ask(&p, request, a);
    assert_int_equal(a->end.kind, QUIRE_DONE);
    assert_int_equal(a->end.usage.answer_tokens, 8);
    assert_int_equal(a->end.usage.pictures, 1);
    assert_int_equal(a->end.usage.pictures_encoded, 1);
    assert_int_equal(a->end.usage.tiles_encoded, 2);
    assert_true(a->end.usage.prompt_positions > 8);
    assert_int_equal(a->end.finish, QUIRE_FINISH_LENGTH);
    assert_int_equal(a->end.attempts, 1);
    assert_true(a->end.timings.first_token_us <= a->end.timings.total_us);
    assert_true(a->end.timings.picture_us > 0);
    quire_request_free(request);
    pool_close(&p);
    free(a);
}

static void test_a_worker_killed_before_its_first_token_loses_nothing(void **state) {
    (void)state;
    struct pool p;
    struct crowd *c = crowd_open();
    pool_open(&p, (struct pool_options){.workers = 2});
    /* Stopped, it takes the work and never begins it; then it dies. */
    process_signal(&p.workers[0], SIGSTOP);
    send_different(&p, c, 2, 12);
    nanosleep(&(struct timespec){0, 100000000}, NULL);
    process_kill(&p.workers[0]);
    pool_collect(p.client, 2, c->ids, c->answers, false);
    uint32_t attempts = 0;
    for (int i = 0; i < 2; i++) {
        assert_int_equal(c->answers[i].end.kind, QUIRE_DONE);
        assert_int_equal(c->answers[i].n_tokens, 12);
        assert_string_equal(c->answers[i].end.worker, "w1");
        attempts += c->answers[i].end.attempts;
    }
    assert_int_equal(attempts, 3);
    assert_int_equal(pool_stats(&p).resent, 1);
    pool_close(&p);
    free(c);
}

static void test_a_worker_killed_in_the_middle_is_followed_by_the_other(void **state) {
    (void)state;
    struct pool p;
    struct crowd *c = crowd_open();
    struct pool_answer *plain = calloc(1, sizeof *plain);
    struct quire_request *request = pool_question("Go on", NULL, LONG);
    assert_non_null(plain);
    pool_open(&p, (struct pool_options){.workers = 2});
    pool_ask(&p, request, plain);
    assert_int_equal(quire_send(p.client, request, c->ids[0], NULL), 0);
    pool_collect(p.client, 1, c->ids, c->answers, true);
    int killed = busy_worker(&p);
    assert_in_range(killed, 0, 1);
    process_kill(&p.workers[killed]);
    pool_collect(p.client, 1, c->ids, c->answers, false);
    assert_int_equal(c->answers[0].end.kind, QUIRE_DONE);
    assert_int_equal(c->answers[0].n_tokens, LONG);
    assert_int_equal(c->answers[0].size, plain->size);
    assert_memory_equal(c->answers[0].text, plain->text, plain->size);
    assert_string_equal(c->answers[0].end.worker, killed == 0 ? "w1" : "w0");
    assert_int_equal(c->answers[0].end.attempts, 2);
    assert_int_equal(pool_stats(&p).resumed, 1);
    quire_request_free(request);
    pool_close(&p);
    free(plain);
    free(c);
}

static void test_an_answer_that_nobody_can_go_on_with_is_an_error(void **state) {
    (void)state;
    struct pool p;
    struct crowd *c = crowd_open();
    pool_open(&p, (struct pool_options){.workers = 1, .broker_flags = {"--worker-wait-ms", "500"}});
    send_n(&p, c, 1, "Go on", NULL, ENDLESS);
    pool_collect(p.client, 1, c->ids, c->answers, true);
    process_kill(&p.workers[0]);
    pool_collect(p.client, 1, c->ids, c->answers, false);
    assert_int_equal(c->answers[0].end.kind, QUIRE_FAILED);
    assert_int_equal(c->answers[0].end.error.code, ERR_WORKER_LOST);
    pool_close(&p);
    free(c);
}

static void test_a_thawed_worker_comes_back_and_its_late_words_are_dropped(void **state) {
    (void)state;
    struct pool p;
    struct crowd *c = crowd_open();
    pool_open(&p, (struct pool_options){.workers = 2});
    process_signal(&p.workers[1], SIGSTOP);
    send_n(&p, c, 2, "What is this?", "p2.png", 12);
    pool_collect(p.client, 2, c->ids, c->answers, false);
    assert_string_equal(c->answers[0].text, c->answers[1].text);
    process_signal(&p.workers[1], SIGCONT);
    pool_wait_up(&p, 2);
    wait_for_idle(&p);
    struct quire_event event;
    assert_int_equal(quire_next(p.client, 300, &event, NULL), 0);
    pool_close(&p);
    free(c);
}

static void test_a_drained_worker_finishes_and_gets_nothing_new(void **state) {
    (void)state;
    struct pool p;
    struct crowd *c = crowd_open();
    pool_open(&p, (struct pool_options){.workers = 2});
    send_n(&p, c, 1, "Go on", NULL, LONG);
    pool_collect(p.client, 1, c->ids, c->answers, true);
    int drained = busy_worker(&p);
    assert_in_range(drained, 0, 1);
    char name[3] = {'w', (char)('0' + drained), '\0'};
    assert_int_equal(quire_drain(p.client, 2000, name, true, NULL), 0);
    struct quire_client *other = NULL;
    assert_int_equal(quire_open(&other, p.clients, 2000, NULL), 0);
    struct quire_request *request = pool_question("And now?", NULL, 4);
    struct crowd *new_ones = crowd_open();
    for (int i = 0; i < 4; i++) {
        assert_int_equal(quire_send(other, request, new_ones->ids[i], NULL), 0);
        pool_collect(other, 1, &new_ones->ids[i], &new_ones->answers[i], false);
        assert_string_not_equal(new_ones->answers[i].end.worker, name);
    }
    quire_close(other);
    free(new_ones);
    pool_collect(p.client, 1, c->ids, c->answers, false);
    assert_int_equal(c->answers[0].end.kind, QUIRE_DONE);
    assert_int_equal(c->answers[0].n_tokens, LONG);
    assert_string_equal(c->answers[0].end.worker, name);
    struct quire_worker w;
    assert_true(pool_worker(&p, drained, &w));
    assert_int_equal(w.state, QUIRE_WORKER_DRAINED);
    assert_int_equal(quire_drain(p.client, 2000, name, false, NULL), 0);
    pool_wait_up(&p, 2);
    quire_request_free(request);
    pool_close(&p);
    free(c);
}

static void test_a_full_queue_answers_busy_with_a_time(void **state) {
    (void)state;
    struct pool p;
    struct crowd *c = crowd_open();
    pool_open(
        &p, (struct pool_options){.workers = 1, .credits = "1", .broker_flags = {"--queue", "4"}});
    send_n(&p, c, 16, "Go on", NULL, 80);
    pool_collect(p.client, 16, c->ids, c->answers, false);
    int busy = 0, done = 0;
    for (int i = 0; i < 16; i++) {
        const struct quire_event *end = &c->answers[i].end;
        done += end->kind == QUIRE_DONE;
        if (end->kind == QUIRE_FAILED) {
            assert_int_equal(end->error.code, ERR_BUSY);
            assert_true(end->error.retry_ms > 0);
            busy++;
        }
    }
    assert_true(done >= 4);
    assert_true(busy >= 8);
    assert_int_equal(busy + done, 16);
    assert_int_equal(pool_stats(&p).busy, busy);
    pool_close(&p);
    free(c);
}

static void test_the_work_of_a_client_that_vanished_stops(void **state) {
    (void)state;
    struct pool p;
    pool_open(&p, (struct pool_options){.workers = 1});
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        struct quire_client *client;
        uint8_t id[QUIRE_ID_BYTES];
        struct quire_event event;
        if (quire_open(&client, p.clients, 5000, NULL) < 0 ||
            quire_send(client, pool_question("Go on", NULL, ENDLESS), id, NULL) < 0)
            _exit(1);
        while (quire_next(client, 5000, &event, NULL) > 0)
            if (event.kind == QUIRE_TOKENS)
                kill(getpid(), SIGKILL);
        _exit(2);
    }
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status));
    wait_for_idle(&p);
    assert_int_equal(pool_stats(&p).cancelled, 1);
    pool_close(&p);
}

static void test_a_cancelled_request_ends_once_and_frees_its_worker(void **state) {
    (void)state;
    struct pool p;
    struct crowd *c = crowd_open();
    pool_open(&p, (struct pool_options){.workers = 1});
    send_n(&p, c, 1, "Go on", NULL, ENDLESS);
    pool_collect(p.client, 1, c->ids, c->answers, true);
    assert_int_equal(quire_cancel(p.client, c->ids[0]), 0);
    pool_collect(p.client, 1, c->ids, c->answers, false);
    assert_int_equal(c->answers[0].end.error.code, ERR_CANCELLED);
    wait_for_idle(&p);
    struct quire_event event;
    assert_int_equal(quire_next(p.client, 200, &event, NULL), 0);
    pool_close(&p);
    free(c);
}

static void test_a_deadline_ends_a_running_request(void **state) {
    (void)state;
    struct pool p;
    struct pool_answer *a = calloc(1, sizeof *a);
    pool_open(&p, (struct pool_options){.workers = 1});
    struct quire_request *request = pool_question("Go on", NULL, ENDLESS);
    struct quire_options options;
    quire_options_default(&options);
    options.temperature = 0;
    options.max_tokens = ENDLESS;
    options.deadline_ms = 300;
    quire_request_options(request, &options);
    pool_ask(&p, request, a);
    assert_int_equal(a->end.kind, QUIRE_FAILED);
    assert_int_equal(a->end.error.code, ERR_DEADLINE);
    wait_for_idle(&p);
    quire_request_free(request);
    pool_close(&p);
    free(a);
}

static void test_a_damaged_picture_fails_its_own_request_only(void **state) {
    (void)state;
    struct pool p;
    struct crowd *c = crowd_open();
    pool_open(&p, (struct pool_options){.workers = 1});
    struct quire_request *bad = pool_question("What is this?", NULL, 4);
    assert_int_equal(quire_request_picture(bad, "\x89PNG\r\n\x1a\nnothing", 15, NULL), 0);
    struct quire_request *good = pool_question("What is this?", "p0.png", 4);
    assert_int_equal(quire_send(p.client, bad, c->ids[0], NULL), 0);
    assert_int_equal(quire_send(p.client, good, c->ids[1], NULL), 0);
    pool_collect(p.client, 2, c->ids, c->answers, false);
    assert_int_equal(c->answers[0].end.kind, QUIRE_FAILED);
    assert_int_equal(c->answers[0].end.error.code, ERR_BAD_PICTURE);
    assert_int_equal(c->answers[1].end.kind, QUIRE_DONE);
    quire_request_free(bad);
    quire_request_free(good);
    pool_close(&p);
    free(c);
}

static void test_a_prompt_longer_than_the_context_is_refused(void **state) {
    (void)state;
    struct pool p;
    struct pool_answer *a = calloc(1, sizeof *a);
    pool_open(&p, (struct pool_options){.workers = 1});
    char *text = malloc(60001);
    for (int i = 0; i < 60000; i++)
        text[i] = "abcd "[i % 5];
    text[60000] = '\0';
    struct quire_request *request = pool_question(text, NULL, 4);
    pool_ask(&p, request, a);
    assert_int_equal(a->end.kind, QUIRE_FAILED);
    assert_int_equal(a->end.error.code, ERR_TOO_LONG);
    quire_request_free(request);
    free(text);
    free(a);
    pool_close(&p);
}

static void test_requests_wait_for_a_worker_that_is_still_starting(void **state) {
    (void)state;
    struct pool p;
    struct crowd *c = crowd_open();
    pool_open(&p, (struct pool_options){.workers = 0});
    send_n(&p, c, 2, "Hello", NULL, 4);
    pool_start_worker(&p, 0);
    pool_collect(p.client, 2, c->ids, c->answers, false);
    assert_int_equal(c->answers[0].end.kind, QUIRE_DONE);
    assert_int_equal(c->answers[1].end.kind, QUIRE_DONE);
    pool_close(&p);
    free(c);
}

static void test_workers_register_again_with_a_restarted_broker(void **state) {
    (void)state;
    struct pool p;
    struct pool_answer *a = calloc(1, sizeof *a);
    pool_open(&p, (struct pool_options){.workers = 2});
    process_kill(&p.broker);
    quire_close(p.client);
    pool_start_broker(&p);
    assert_int_equal(quire_open(&p.client, p.clients, PROCESS_WAIT_MS, NULL), 0);
    pool_wait_up(&p, 2);
    struct quire_request *request = pool_question("Hello", NULL, 4);
    pool_ask(&p, request, a);
    assert_int_equal(a->end.kind, QUIRE_DONE);
    quire_request_free(request);
    pool_close(&p);
    free(a);
}

static void test_a_worker_told_to_stop_finishes_its_answer(void **state) {
    (void)state;
    struct pool p;
    struct crowd *c = crowd_open();
    pool_open(&p, (struct pool_options){.workers = 1});
    send_n(&p, c, 1, "Go on", NULL, LONG);
    pool_collect(p.client, 1, c->ids, c->answers, true);
    process_signal(&p.workers[0], SIGTERM);
    pool_collect(p.client, 1, c->ids, c->answers, false);
    assert_int_equal(c->answers[0].end.kind, QUIRE_DONE);
    assert_int_equal(c->answers[0].n_tokens, LONG);
    int status = process_wait(&p.workers[0], PROCESS_WAIT_MS);
    assert_true(status >= 0 && WIFEXITED(status) && WEXITSTATUS(status) == 0);
    pool_close(&p);
    free(c);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_two_workers_share_the_load),
        cmocka_unit_test(test_an_answer_tells_what_it_cost),
        cmocka_unit_test(test_a_worker_killed_before_its_first_token_loses_nothing),
        cmocka_unit_test(test_a_worker_killed_in_the_middle_is_followed_by_the_other),
        cmocka_unit_test(test_an_answer_that_nobody_can_go_on_with_is_an_error),
        cmocka_unit_test(test_a_thawed_worker_comes_back_and_its_late_words_are_dropped),
        cmocka_unit_test(test_a_drained_worker_finishes_and_gets_nothing_new),
        cmocka_unit_test(test_a_full_queue_answers_busy_with_a_time),
        cmocka_unit_test(test_the_work_of_a_client_that_vanished_stops),
        cmocka_unit_test(test_a_cancelled_request_ends_once_and_frees_its_worker),
        cmocka_unit_test(test_a_deadline_ends_a_running_request),
        cmocka_unit_test(test_a_damaged_picture_fails_its_own_request_only),
        cmocka_unit_test(test_a_prompt_longer_than_the_context_is_refused),
        cmocka_unit_test(test_requests_wait_for_a_worker_that_is_still_starting),
        cmocka_unit_test(test_workers_register_again_with_a_restarted_broker),
        cmocka_unit_test(test_a_worker_told_to_stop_finishes_its_answer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
