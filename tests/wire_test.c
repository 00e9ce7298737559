/* wire_test.c - whole messages over real sockets: bounds, ownership, and the two kinds of "no". */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/wire/wire.h"
#include "support/temp.h"

#define WAIT_MS 5000 /* for what must come; never waited out when the code is right */

struct pair {
    void *context, *router, *dealer;
    struct wire_message m; /* for receiving */
};

static void *open_socket(void *context, int type) {
    struct error e;
    void *socket = zmq_socket(context, type);
    assert_non_null(socket);
    assert_int_equal(wire_socket_setup(socket, &e), 0);
    return socket;
}

static int open_pair(void **state) {
    static struct pair p;
    int on = 1, few = 2;
    p.context = zmq_ctx_new();
    p.router = open_socket(p.context, ZMQ_ROUTER);
    p.dealer = open_socket(p.context, ZMQ_DEALER);
    wire_message_init(&p.m);
    assert_int_equal(zmq_setsockopt(p.router, ZMQ_ROUTER_MANDATORY, &on, sizeof on), 0);
    assert_int_equal(zmq_setsockopt(p.router, ZMQ_SNDHWM, &few, sizeof few), 0);
    assert_int_equal(zmq_setsockopt(p.dealer, ZMQ_RCVHWM, &few, sizeof few), 0);
    assert_int_equal(zmq_setsockopt(p.dealer, ZMQ_ROUTING_ID, "d", 1), 0);
    assert_int_equal(zmq_bind(p.router, "inproc://wire"), 0);
    assert_int_equal(zmq_connect(p.dealer, "inproc://wire"), 0);
    *state = &p;
    return 0;
}

static int close_pair(void **state) {
    struct pair *p = *state;
    wire_message_close(&p->m);
    assert_int_equal(zmq_close(p->router), 0);
    assert_int_equal(zmq_close(p->dealer), 0);
    assert_int_equal(zmq_ctx_term(p->context), 0);
    return 0;
}

static struct bytes text(const char *s) {
    return (struct bytes){(const uint8_t *)s, strlen(s)};
}

static void assert_frame(struct wire_message *m, size_t i, const char *expected) {
    struct bytes got = wire_frame(m, i);
    assert_int_equal(got.size, strlen(expected));
    assert_memory_equal(got.data, expected, got.size);
}

static struct wire_buffer buffer_of(const char *s) {
    struct wire_buffer b = {malloc(strlen(s)), strlen(s), strlen(s)};
    assert_non_null(b.data);
    memcpy(b.data, s, b.size);
    return b;
}

/* Sends from the dealer and receives at the router. */
static void pass(struct pair *p, struct wire_message *m) {
    assert_int_equal(wire_send(p->dealer, m, NULL), 0);
    assert_int_equal(wire_recv_wait(p->router, &p->m, WAIT_MS, NULL), 0);
}

static void test_frames_arrive_whole_and_in_order(void **state) {
    struct pair *p = *state;
    struct wire_message m;
    struct wire_buffer b = buffer_of("second");
    wire_message_init(&m);
    assert_int_equal(wire_add_copy(&m, text("first")), 0);
    assert_int_equal(wire_add_buffer(&m, &b), 0);
    assert_null(b.data);
    assert_int_equal(wire_add_copy(&m, text("")), 0);
    assert_int_equal(m.n_bytes, 11);
    pass(p, &m);
    assert_int_equal(m.n_frames, 0);
    assert_int_equal(p->m.n_frames, 4);
    assert_frame(&p->m, 0, "d");
    assert_frame(&p->m, 1, "first");
    assert_frame(&p->m, 2, "second");
    assert_frame(&p->m, 3, "");
    assert_int_equal(p->m.n_bytes, 12);
}

static void test_nothing_to_receive_is_said_at_once(void **state) {
    struct pair *p = *state;
    assert_int_equal(wire_recv(p->router, &p->m, NULL), WIRE_AGAIN);
    assert_int_equal(wire_recv_wait(p->router, &p->m, 1, NULL), WIRE_AGAIN);
    assert_int_equal(p->m.n_frames, 0);
}

/* zmq_send directly, since wire_message would refuse to hold what is sent here. */
static void send_frames(void *socket, size_t n, void *data, size_t size) {
    for (size_t i = 0; i < n; i++) {
        zmq_msg_t frame;
        assert_int_equal(zmq_msg_init_data(&frame, data, size, NULL, NULL), 0);
        assert_true(zmq_msg_send(&frame, socket, i + 1 < n ? ZMQ_SNDMORE : 0) >= 0);
    }
}

static void test_too_many_frames_are_dropped_up_to_the_next_message(void **state) {
    struct pair *p = *state;
    struct error e;
    char x = 'x', y = 'y';
    send_frames(p->dealer, WIRE_FRAMES_MAX - 1, &x, 1); /* and the identity */
    send_frames(p->dealer, WIRE_FRAMES_MAX, &x, 1);
    send_frames(p->dealer, 1, &y, 1);
    assert_int_equal(wire_recv_wait(p->router, &p->m, WAIT_MS, &e), 0);
    assert_int_equal(p->m.n_frames, WIRE_FRAMES_MAX);
    assert_int_equal(wire_recv_wait(p->router, &p->m, WAIT_MS, &e), ERR_LIMIT);
    assert_int_not_equal(e.text[0], '\0');
    assert_frame(&p->m, 0, "d"); /* whom to answer */
    assert_int_equal(wire_recv_wait(p->router, &p->m, WAIT_MS, &e), 0);
    assert_frame(&p->m, 1, "y");
}

static void test_too_many_bytes_are_dropped_up_to_the_next_message(void **state) {
    struct pair *p = *state;
    static uint8_t zeros[LIMIT_PICTURE_BYTES]; /* never touched, so it takes no memory */
    char y = 'y';
    send_frames(p->dealer, 3, zeros, sizeof zeros);
    send_frames(p->dealer, 1, &y, 1);
    assert_int_equal(wire_recv_wait(p->router, &p->m, WAIT_MS, NULL), ERR_LIMIT);
    assert_frame(&p->m, 0, "d");
    assert_int_equal(wire_recv_wait(p->router, &p->m, WAIT_MS, NULL), 0);
    assert_frame(&p->m, 1, "y");
}

static void test_a_peer_that_is_not_there_is_told_apart(void **state) {
    struct pair *p = *state;
    struct wire_message m;
    wire_message_init(&m);
    assert_int_equal(wire_add_copy(&m, text("nobody")), 0);
    assert_int_equal(wire_add_copy(&m, text("hello")), 0);
    assert_int_equal(wire_send(p->router, &m, NULL), WIRE_GONE);
    assert_int_equal(m.n_frames, 2); /* kept */
    assert_frame(&m, 1, "hello");
    wire_message_close(&m);
}

static void test_a_full_pipe_says_again_and_keeps_the_message(void **state) {
    struct pair *p = *state;
    struct wire_message m;
    int rc = 0, sent = 0;
    wire_message_init(&m);
    assert_int_equal(wire_add_copy(&m, text("hi")), 0);
    pass(p, &m);
    while (rc == 0 && sent <= 100) {
        assert_int_equal(wire_add_copy(&m, text("d")), 0);
        assert_int_equal(wire_add_copy(&m, text("news")), 0);
        rc = wire_send(p->router, &m, NULL);
        sent += rc == 0;
    }
    assert_int_equal(rc, WIRE_AGAIN);
    assert_int_equal(m.n_frames, 2);
    for (int i = 0; i < sent; i++)
        assert_int_equal(wire_recv_wait(p->dealer, &p->m, WAIT_MS, NULL), 0);
    while ((rc = wire_send(p->router, &m, NULL)) == WIRE_AGAIN)
        (void)zmq_poll(NULL, 0, 1); /* until the router has heard that there is room */
    assert_int_equal(rc, 0);
    assert_int_equal(wire_recv_wait(p->dealer, &p->m, WAIT_MS, NULL), 0);
    assert_frame(&p->m, 0, "news");
}

static void test_a_shared_frame_can_be_sent_twice(void **state) {
    struct pair *p = *state;
    zmq_msg_t picture;
    struct wire_message m;
    char data[100];
    memset(data, 'p', sizeof data);
    assert_int_equal(zmq_msg_init_size(&picture, sizeof data), 0);
    memcpy(zmq_msg_data(&picture), data, sizeof data);
    wire_message_init(&m);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(wire_add_shared(&m, &picture), 0);
        pass(p, &m);
        assert_int_equal(wire_frame(&p->m, 1).size, sizeof data);
        assert_memory_equal(wire_frame(&p->m, 1).data, data, sizeof data);
    }
    assert_int_equal(wire_add_taken(&m, &picture), 0);
    assert_int_equal(zmq_msg_size(&picture), 0);
    pass(p, &m);
    assert_memory_equal(wire_frame(&p->m, 1).data, data, sizeof data);
    assert_int_equal(zmq_msg_close(&picture), 0);
}

static void test_frames_move_between_messages(void **state) {
    struct pair *p = *state;
    struct wire_message m, kept;
    wire_message_init(&m);
    wire_message_init(&kept);
    assert_int_equal(wire_add_copy(&kept, text("old")), 0);
    assert_int_equal(wire_add_copy(&m, text("one")), 0);
    pass(p, &m);
    wire_message_move(&kept, &p->m);
    assert_int_equal(p->m.n_frames, 0);
    assert_int_equal(kept.n_frames, 2);
    assert_int_equal(kept.n_bytes, 4);
    assert_frame(&kept, 1, "one");
    wire_message_close(&kept);
}

static void test_a_message_has_room_for_its_limit_of_frames(void **state) {
    (void)state;
    struct wire_message m;
    struct wire_buffer b = buffer_of("x");
    wire_message_init(&m);
    for (size_t i = 0; i < WIRE_FRAMES_MAX; i++)
        assert_int_equal(wire_add_copy(&m, text("x")), 0);
    assert_int_equal(wire_add_copy(&m, text("x")), ERR_LIMIT);
    assert_int_equal(wire_add_buffer(&m, &b), ERR_LIMIT);
    assert_null(b.data); /* taken, and freed */
    wire_message_close(&m);
}

static void test_one_buffer_is_sent_and_taken(void **state) {
    struct pair *p = *state;
    struct wire_buffer b = buffer_of("hello");
    assert_int_equal(wire_send_buffer(p->dealer, (struct bytes){NULL, 0}, &b, NULL), 0);
    assert_null(b.data);
    assert_int_equal(wire_recv_wait(p->router, &p->m, WAIT_MS, NULL), 0);
    assert_frame(&p->m, 1, "hello");
    b = buffer_of("answer");
    assert_int_equal(wire_send_buffer(p->router, wire_frame(&p->m, 0), &b, NULL), 0);
    assert_int_equal(wire_recv_wait(p->dealer, &p->m, WAIT_MS, NULL), 0);
    assert_frame(&p->m, 0, "answer");
    b = buffer_of("nobody");
    assert_int_equal(wire_send_buffer(p->router, text("x"), &b, NULL), WIRE_GONE);
    assert_null(b.data);
}

/* Over ipc, where libzmq sees sizes on the wire. The small message can only arrive after the large
 * one was refused, since both go the same way. */
static void test_a_frame_above_the_limit_is_never_read(void **state) {
    struct pair *p = *state;
    struct temp_dir dir;
    char endpoint[TEMP_PATH_BYTES + 16];
    size_t size = (size_t)LIMIT_PICTURE_BYTES + 1;
    uint8_t *large = calloc(1, size);
    char y = 'y';
    temp_dir_open(&dir);
    (void)snprintf(endpoint, sizeof endpoint, "ipc://%s/s", dir.path);
    assert_int_equal(zmq_bind(p->router, endpoint), 0);
    void *dealer = open_socket(p->context, ZMQ_DEALER);
    assert_int_equal(zmq_connect(dealer, endpoint), 0);
    send_frames(dealer, 1, large, size);
    send_frames(dealer, 1, &y, 1);
    assert_int_equal(wire_recv_wait(p->router, &p->m, WAIT_MS, NULL), 0);
    assert_frame(&p->m, 1, "y");
    assert_int_equal(zmq_close(dealer), 0);
    assert_int_equal(zmq_unbind(p->router, endpoint), 0);
    temp_dir_close(&dir);
    free(large);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, open_pair, close_pair)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_frames_arrive_whole_and_in_order),
        TEST(test_nothing_to_receive_is_said_at_once),
        TEST(test_too_many_frames_are_dropped_up_to_the_next_message),
        TEST(test_too_many_bytes_are_dropped_up_to_the_next_message),
        TEST(test_a_peer_that_is_not_there_is_told_apart),
        TEST(test_a_full_pipe_says_again_and_keeps_the_message),
        TEST(test_a_shared_frame_can_be_sent_twice),
        TEST(test_frames_move_between_messages),
        TEST(test_a_message_has_room_for_its_limit_of_frames),
        TEST(test_one_buffer_is_sent_and_taken),
        TEST(test_a_frame_above_the_limit_is_never_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
