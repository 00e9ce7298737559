/* broker_abuse_test.c - peers that break the protocol, or the limits. After each of them a good one
 * must be served as if nothing had been. */
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

static void test_junk_is_counted_and_answered_and_hurts_nobody(void **state) {
    (void)state;
    struct rig r;
    rig_open(&r, NULL);
    void *worker = rig_worker(&r, "w", 1);
    void *bad = rig_client(&r);
    uint8_t junk[300];
    srand(7);
    for (size_t i = 0; i < sizeof junk; i++)
        junk[i] = (uint8_t)rand();
    for (size_t size = 0; size < sizeof junk; size += 13) {
        assert_int_equal(zmq_send(bad, junk, size, 0), size);
        struct msg_error error = rig_expect_error(&r, bad);
        assert_true(error.code == ERR_BAD_MESSAGE || error.code == ERR_BAD_VERSION ||
                    error.code == ERR_LIMIT);
        assert_false(error.has_id);
        assert_int_equal(zmq_send(worker, junk, size, 0), size);
        (void)rig_expect_error(&r, worker);
    }
    struct msg_beat beat = {.known = true}; /* well formed, but no client may say it */
    struct wire_buffer b = {0};
    assert_int_equal(beat_encode(&beat, &b), 0);
    rig_send(bad, &b);
    assert_int_equal(rig_expect_error(&r, bad).code, ERR_BAD_MESSAGE);
    assert_int_equal(rig_stats(&r, bad).bad_messages, 2 * 24 + 1);
    rig_serve_one(&r, worker);
    rig_close(&r);
}

/* Some of these are still requests, and reach the worker; all that counts is that the one with id
 * 200 is served in the end. */
static void test_damaged_messages_hurt_nobody(void **state) {
    (void)state;
    struct rig r;
    rig_open(&r, NULL);
    void *worker = rig_worker(&r, "w", 200);
    void *bad = rig_client(&r);
    struct request_part part = {.kind = PART_TEXT, .text = {(const uint8_t *)"hello", 5}};
    struct request_message message = {.role = ROLE_USER, .parts = &part, .n_parts = 1};
    struct msg_heartbeat beat = {.incarnation = r.incarnation, .pages_free = 4};
    struct request q;
    struct wire_buffer whole[2] = {{0}, {0}};
    request_init(&q);
    q.messages = &message;
    q.n_messages = 1;
    assert_int_equal(request_encode(&q, &whole[0]), 0);
    assert_int_equal(heartbeat_encode(&beat, &whole[1]), 0);
    srand(11);
    for (int i = 0; i < 3000; i++) {
        const struct wire_buffer *from = &whole[i % 2];
        uint8_t copy[1024];
        size_t size = rand() % 8 == 0 ? (size_t)rand() % from->size : from->size;
        memcpy(copy, from->data, size);
        for (int k = rand() % 4; k >= 0 && size > 0; k--)
            copy[(size_t)rand() % size] ^= (uint8_t)(1 << rand() % 8);
        assert_int_equal(zmq_send(i % 2 ? worker : bad, copy, size, 0), size);
    }
    wire_buffer_clear(&whole[0]);
    wire_buffer_clear(&whole[1]);
    void *good = rig_client(&r);
    rig_ask(good, 200, 0, NULL, 0);
    struct error e;
    do {
        struct msg_work work = rig_expect_work(&r, worker);
        assert_int_equal(request_decode(&q, wire_frame(&r.message, 1), 0, &e), 0);
        request_clear(&q);
        rig_reply_done(&r, worker, &work, 200);
    } while (!rig_await(&r, good, MSG_DONE, 20));
    rig_close(&r);
}

static void test_a_request_that_can_t_be_read_is_refused_by_its_id(void **state) {
    (void)state;
    struct rig r;
    rig_open(&r, NULL);
    void *worker = rig_worker(&r, "w", 1);
    void *client = rig_client(&r);
    struct request_part part = {.kind = PART_PICTURE, .picture = 0};
    struct request_message message = {.role = ROLE_USER, .parts = &part, .n_parts = 1};
    struct request q;
    struct wire_buffer b = {0};
    request_init(&q);
    q.id = rig_id(42);
    q.messages = &message;
    q.n_messages = 1;
    assert_int_equal(request_encode(&q, &b), 0);
    rig_send(client, &b); /* without the picture's frame */
    struct msg_error error = rig_expect_error(&r, client);
    assert_true(error.has_id);
    assert_int_equal(error.id.bytes[0], 42);
    assert_int_equal(error.code, ERR_BAD_REQUEST);
    rig_serve_one(&r, worker);
    rig_close(&r);
}

static void test_messages_of_too_many_frames_are_refused(void **state) {
    (void)state;
    struct rig r;
    rig_open(&r, NULL);
    void *worker = rig_worker(&r, "w", 1);
    void *bad = rig_client(&r);
    struct wire_buffer b = {0};
    struct msg_cancel cancel = {.id = rig_id(1)};
    assert_int_equal(cancel_encode(&cancel, &b), 0);
    rig_send_frames(bad, &b, 20000, "frame", 5);
    assert_int_equal(rig_expect_error(&r, bad).code, ERR_LIMIT);
    for (int i = 0; i < 20000; i++) /* this one never ends: its sender goes away in the middle */
        assert_int_equal(zmq_send(bad, "frame", 5, ZMQ_SNDMORE), 5);
    rig_leave(&r, bad);
    rig_serve_one(&r, worker);
    rig_close(&r);
}

static void test_a_picture_over_the_limit_costs_its_sender_the_connection(void **state) {
    (void)state;
    struct rig r;
    rig_open(&r, NULL);
    void *worker = rig_worker(&r, "w", 1);
    void *bad = rig_client(&r);
    size_t size = LIMIT_PICTURE_BYTES + 1;
    void *picture = calloc(1, size);
    assert_non_null(picture);
    rig_ask(bad, 1, 1, picture, size);
    free(picture);
    rig_serve_one(&r, worker);
    assert_int_equal(rig_stats(&r, rig_client(&r)).requests, 1);
    rig_close(&r);
}

static void test_connections_that_speak_no_zmtp_hurt_nobody(void **state) {
    (void)state;
    struct rig r;
    rig_open(&r, NULL);
    void *worker = rig_worker(&r, "w", 1);
    rig_serve_one(&r, worker); /* the clients' socket is there */
    int fds[20];
    for (int i = 0; i < 20; i++) {
        struct sockaddr_un address = {.sun_family = AF_UNIX};
        (void)snprintf(address.sun_path, sizeof address.sun_path, "%s/c", r.dir.path);
        fds[i] = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        assert_int_equal(connect(fds[i], (struct sockaddr *)&address, sizeof address), 0);
        char junk[1000];
        memset(junk, i * 13, sizeof junk);
        (void)send(fds[i], junk, (size_t)i * 50, MSG_NOSIGNAL);
    }
    rig_serve_one(&r, worker);
    for (int i = 0; i < 20; i++)
        close(fds[i]);
    rig_serve_one(&r, worker);
    rig_close(&r);
}

static void test_without_file_descriptors_those_connected_are_served_and_it_recovers(void **state) {
    (void)state;
    struct rig r;
    rig_open(&r, NULL);
    void *worker = rig_worker(&r, "w", 1);
    void *early = rig_client(&r);
    (void)rig_stats(&r, early);
    struct rlimit few = {48, 48};
    assert_int_equal(prlimit(r.broker.pid, RLIMIT_NOFILE, &few, NULL), 0);
    void *crowd[80];
    for (size_t i = 0; i < 80; i++)
        crowd[i] = rig_client(&r);
    rig_ask(early, 1, 0, NULL, 0);
    struct msg_work work = rig_expect_work(&r, worker);
    rig_reply_done(&r, worker, &work, 1);
    rig_expect(&r, early, MSG_DONE);
    char *log = NULL;
    while (!log || !strstr(log, "out-of-descriptors")) { /* it really came to that */
        free(log);
        log = process_read_file(r.log);
    }
    free(log);
    for (size_t i = 0; i < 80; i++)
        rig_leave(&r, crowd[i]);
    rig_serve_one(&r, worker);
    rig_close(&r);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_junk_is_counted_and_answered_and_hurts_nobody),
        cmocka_unit_test(test_damaged_messages_hurt_nobody),
        cmocka_unit_test(test_a_request_that_can_t_be_read_is_refused_by_its_id),
        cmocka_unit_test(test_messages_of_too_many_frames_are_refused),
        cmocka_unit_test(test_a_picture_over_the_limit_costs_its_sender_the_connection),
        cmocka_unit_test(test_connections_that_speak_no_zmtp_hurt_nobody),
        cmocka_unit_test(test_without_file_descriptors_those_connected_are_served_and_it_recovers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
