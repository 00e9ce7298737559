/* broker_socket_test.c - the real broker at its sockets: the way of a request, peers that vanish,
 * start and end. */
#include "tests/broker_rig.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/clock.h"

/* ---- the ordinary way ---- */

static void test_a_request_travels_with_its_pictures_and_the_answer_comes_back(void **state) {
    (void)state;
    struct rig r;
    rig_open(&r, NULL);
    void *worker = rig_worker(&r, "w", 2);
    void *client = rig_client(&r);
    char picture[5000];
    for (size_t i = 0; i < sizeof picture; i++)
        picture[i] = (char)(i * 7);
    rig_ask(client, 1, 3, picture, sizeof picture);
    struct msg_work work = rig_expect_work(&r, worker);
    assert_int_equal(work.attempt, 1);
    assert_int_equal(r.message.n_frames, 5);
    for (size_t i = 2; i < 5; i++) {
        struct bytes frame = wire_frame(&r.message, i);
        assert_int_equal(frame.size, sizeof picture);
        assert_memory_equal(frame.data, picture, sizeof picture);
    }
    rig_reply_tokens(&r, worker, &work, 1, 0, "hello", 5);
    rig_reply_done(&r, worker, &work, 1);

    struct msg_tokens tokens;
    struct msg_done done;
    struct error e;
    rig_expect(&r, client, MSG_TOKENS);
    assert_int_equal(r.message.n_frames, 1);
    assert_int_equal(tokens_decode(&tokens, wire_frame(&r.message, 0), &e), 0);
    assert_int_equal(tokens.text.size, 5);
    tokens_clear(&tokens);
    rig_expect(&r, client, MSG_DONE);
    assert_int_equal(done_decode(&done, wire_frame(&r.message, 0), &e), 0);
    assert_int_equal(done.usage.prompt_positions, 30);
    assert_true(done.timings.total_us == 2000 + done.timings.queue_us);
    assert_true(done.timings.first_token_us == 1000 + done.timings.queue_us);
    rig_close(&r);
}

static void test_hello_is_answered_and_an_unknown_version_refused(void **state) {
    (void)state;
    struct rig r;
    struct wire_buffer b = {0};
    struct msg_hello hello = {.version_min = 1, .version_max = 9};
    rig_open(&r, NULL);
    void *client = rig_client(&r);
    assert_int_equal(hello_encode(&hello, &b), 0);
    rig_send(client, &b);
    struct msg_welcome welcome;
    struct error e;
    rig_expect(&r, client, MSG_WELCOME);
    assert_int_equal(welcome_decode(&welcome, wire_frame(&r.message, 0), &e), 0);
    assert_int_equal(welcome.version, PROTO_VERSION_MAX);
    assert_int_equal(welcome.dead_ms, 60000);
    hello = (struct msg_hello){.version_min = 50, .version_max = 60};
    assert_int_equal(hello_encode(&hello, &b), 0);
    rig_send(client, &b);
    assert_int_equal(rig_expect_error(&r, client).code, ERR_BAD_VERSION);
    rig_close(&r);
}

static void test_operators_get_their_answers(void **state) {
    (void)state;
    struct rig r;
    rig_open(&r, NULL);
    void *worker = rig_worker(&r, "w", 2);
    void *client = rig_client(&r);
    rig_ask(client, 1, 1, "x", 1);
    (void)rig_expect_work(&r, worker);
    struct msg_ops_reply reply;
    rig_query(&r, client, OPS_WORKERS, "", &reply);
    assert_int_equal(reply.n_workers, 1);
    assert_int_equal(reply.workers[0].in_flight, 1);
    assert_int_equal(reply.workers[0].credits, 2);
    ops_reply_clear(&reply);
    rig_query(&r, client, OPS_REQUESTS, "", &reply);
    assert_int_equal(reply.n_requests, 1);
    assert_int_equal(reply.requests[0].state, 2);
    assert_int_equal(reply.requests[0].pictures, 1);
    ops_reply_clear(&reply);
    rig_query(&r, client, OPS_DRAIN, "w", &reply);
    assert_int_equal(reply.n_workers, 1);
    assert_int_equal(reply.workers[0].state, WORKER_DRAINING);
    ops_reply_clear(&reply);
    rig_expect(&r, worker, MSG_DRAIN);
    rig_query(&r, client, OPS_UNDRAIN, "w", &reply);
    assert_int_equal(reply.workers[0].state, WORKER_UP);
    ops_reply_clear(&reply);
    struct wire_buffer b = {0};
    struct msg_ops ops = {.query = OPS_DRAIN, .worker = {(const uint8_t *)"nobody", 6}};
    assert_int_equal(ops_encode(&ops, &b), 0);
    rig_send(client, &b);
    struct msg_error error = rig_expect_error(&r, client);
    assert_int_equal(error.code, ERR_NOT_FOUND);
    assert_true(error.has_serial);
    rig_close(&r);
}

static void test_a_full_queue_answers_busy_at_once(void **state) {
    (void)state;
    struct rig r;
    rig_open(&r, (const char *[]){"--queue", "3", NULL});
    void *worker = rig_worker(&r, "w", 1);
    void *client = rig_client(&r);
    for (uint8_t id = 1; id <= 5; id++)
        rig_ask(client, id, 0, NULL, 0);
    struct msg_error error = rig_expect_error(&r, client);
    assert_int_equal(error.code, ERR_BUSY);
    assert_int_equal(error.id.bytes[0], 5);
    assert_true(error.retry_ms > 0);
    for (uint8_t id = 1; id <= 4; id++) { /* and the four are served */
        struct msg_work work = rig_expect_work(&r, worker);
        rig_reply_done(&r, worker, &work, id);
        rig_expect(&r, client, MSG_DONE);
    }
    rig_close(&r);
}

/* ---- workers that die or hang ---- */

static void test_a_worker_that_vanishes_loses_nothing(void **state) {
    (void)state;
    struct rig r;
    rig_open(&r, (const char *[]){"--dead-ms", "1000", NULL});
    void *first = rig_worker(&r, "first", 1);
    void *client = rig_client(&r);
    rig_ask(client, 1, 1, "picture", 7);
    (void)rig_expect_work(&r, first);
    rig_leave(&r, first);
    void *second = rig_worker(&r, "second", 1);
    struct msg_work work = rig_expect_work(&r, second);
    assert_int_equal(work.attempt, 2);
    assert_memory_equal(wire_frame(&r.message, 2).data, "picture", 7);
    rig_reply_done(&r, second, &work, 1);
    struct msg_done done;
    struct error e;
    rig_expect(&r, client, MSG_DONE);
    assert_int_equal(done_decode(&done, wire_frame(&r.message, 0), &e), 0);
    assert_int_equal(done.attempts, 2);
    rig_close(&r);
}

static void test_a_worker_that_was_given_up_is_asked_to_register_again(void **state) {
    (void)state;
    struct rig r;
    rig_open(&r, (const char *[]){"--dead-ms", "200", NULL});
    void *worker = rig_worker(&r, "w", 1);
    void *client = rig_client(&r);
    while (rig_stats(&r, client).workers > 0)
        ;
    struct msg_heartbeat beat = {.incarnation = r.incarnation};
    struct wire_buffer b = {0};
    assert_int_equal(heartbeat_encode(&beat, &b), 0);
    rig_send(worker, &b);
    struct msg_beat answer = {.known = true};
    struct error e;
    while (answer.known) { /* pokes came before */
        rig_expect(&r, worker, MSG_BEAT);
        assert_int_equal(beat_decode(&answer, wire_frame(&r.message, 0), &e), 0);
    }
    rig_close(&r);
}

/* ---- clients that vanish or do not read ---- */

static void test_a_vanished_client_s_work_is_cancelled(void **state) {
    (void)state;
    struct rig r;
    rig_open(&r, NULL);
    void *worker = rig_worker(&r, "w", 2);
    void *client = rig_client(&r);
    rig_ask(client, 1, 0, NULL, 0);
    struct msg_work work = rig_expect_work(&r, worker);
    rig_leave(&r, client);
    struct msg_cancel_work cancel;
    struct error e;
    rig_expect(&r, worker, MSG_CANCEL_WORK); /* found by the news it is sent while it waits */
    assert_int_equal(cancel_work_decode(&cancel, wire_frame(&r.message, 0), &e), 0);
    assert_true(cancel.ticket == work.ticket);
    rig_serve_one(&r, worker);
    rig_close(&r);
}

static void test_a_client_that_never_reads_is_cut_off_and_told_when_it_does(void **state) {
    (void)state;
    struct rig r;
    static char text[60000];
    memset(text, 'a', sizeof text);
    rig_open(&r, (const char *[]){"--client-backlog", "4", NULL});
    void *worker = rig_worker(&r, "w", 2);
    void *slow = rig_client_hwm(&r, 1);
    rig_ask(slow, 1, 0, NULL, 0);
    struct msg_work work = rig_expect_work(&r, worker);
    uint32_t index = 0;
    while (!rig_await(&r, worker, MSG_CANCEL_WORK, 5)) {
        assert_true(index < 1000);
        rig_reply_tokens(&r, worker, &work, 1, index++, text, sizeof text);
    }
    rig_serve_one(&r, worker);
    struct msg_error error = rig_expect_error(&r, slow); /* after all that was in its pipe */
    assert_int_equal(error.code, ERR_LIMIT);
    assert_true(error.has_id);
    rig_close(&r);
}

/* ---- start and end ---- */

static void test_a_second_broker_leaves_the_first_alone(void **state) {
    (void)state;
    struct rig r;
    rig_open(&r, NULL);
    void *worker = rig_worker(&r, "w", 1);
    char *said;
    int code = process_run((const char *[]){QUIRE_BIN_DIR "/quire-broker", "--clients", r.clients,
                                            "--workers", r.workers, "--log", "error", NULL},
                           NULL, true, &said);
    assert_int_equal(code, error_exit_code(ERR_IO));
    assert_non_null(strstr(said, "already served by a broker"));
    assert_non_null(strstr(said, r.workers));
    char pid[24];
    (void)snprintf(pid, sizeof pid, "process %d", (int)r.broker.pid);
    assert_non_null(strstr(said, pid));
    assert_ptr_equal(strchr(said, '\n'), said + strlen(said) - 1); /* one line */
    free(said);
    rig_serve_one(&r, worker);
    rig_close(&r);
}

static void test_the_signal_to_end_ends_requests_with_an_error_and_leaves_no_files(void **state) {
    (void)state;
    struct rig r;
    rig_open(&r, NULL);
    void *worker = rig_worker(&r, "w", 1);
    void *client = rig_client(&r);
    rig_ask(client, 1, 0, NULL, 0);
    (void)rig_expect_work(&r, worker);
    rig_ask(client, 2, 0, NULL, 0);
    (void)rig_stats(&r, client);
    process_signal(&r.broker, SIGTERM);
    for (int i = 0; i < 2; i++)
        assert_int_equal(rig_expect_error(&r, client).code, ERR_SHUTTING_DOWN);
    int status = process_wait(&r.broker, RIG_WAIT_MS);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
    struct stat st;
    assert_int_not_equal(stat(r.clients + 6, &st), 0);
    assert_int_not_equal(stat(r.workers + 6, &st), 0);
    rig_close(&r);
}

static void test_endpoints_that_can_t_be_served_are_one_sentence(void **state) {
    (void)state;
    static const struct {
        const char *endpoint, *says;
        int code;
    } cases[] = {
        {"tcp://127.0.0.1:22x", "port", ERR_USAGE},
        {"inproc://here", "neither", ERR_USAGE},
        {"ipc:///nowhere/at/all", "/nowhere/at/all", ERR_IO},
        {",", "names no endpoint", ERR_USAGE},
    };
    struct temp_dir dir;
    char workers[160];
    temp_dir_open(&dir);
    (void)snprintf(workers, sizeof workers, "ipc://%s/w", dir.path);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char *said;
        int code = process_run((const char *[]){QUIRE_BIN_DIR "/quire-broker", "--clients",
                                                cases[i].endpoint, "--workers", workers, "--log",
                                                "error", NULL},
                               NULL, true, &said);
        assert_int_equal(code, error_exit_code(cases[i].code));
        assert_non_null(strstr(said, cases[i].says));
        free(said);
    }
    temp_dir_close(&dir);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_request_travels_with_its_pictures_and_the_answer_comes_back),
        cmocka_unit_test(test_hello_is_answered_and_an_unknown_version_refused),
        cmocka_unit_test(test_operators_get_their_answers),
        cmocka_unit_test(test_a_full_queue_answers_busy_at_once),
        cmocka_unit_test(test_a_worker_that_vanishes_loses_nothing),
        cmocka_unit_test(test_a_worker_that_was_given_up_is_asked_to_register_again),
        cmocka_unit_test(test_a_vanished_client_s_work_is_cancelled),
        cmocka_unit_test(test_a_client_that_never_reads_is_cut_off_and_told_when_it_does),
        cmocka_unit_test(test_a_second_broker_leaves_the_first_alone),
        cmocka_unit_test(test_the_signal_to_end_ends_requests_with_an_error_and_leaves_no_files),
        cmocka_unit_test(test_endpoints_that_can_t_be_served_are_one_sentence),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
