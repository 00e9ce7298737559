/* client_later_test.c - a client that does not wait for its broker. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "client_peer.h"
#include "common/clock.h"

/* Turns the client until it is connected or not, as said. */
static void wait_connected(struct quire_client *client, bool connected) {
    struct quire_event event;
    struct quire_error error;
    int64_t deadline = clock_ms() + 2 * PEER_WAIT_MS;
    while (quire_connected(client) != connected) {
        assert_int_equal(quire_next(client, 20, &event, &error), 0);
        assert_true(clock_ms() < deadline);
    }
}

static int send_question(struct quire_client *client, struct quire_error *error) {
    uint8_t id[QUIRE_ID_BYTES];
    struct quire_request *r = quire_request_new();
    assert_int_equal(quire_request_message(r, QUIRE_USER), 0);
    assert_int_equal(quire_request_text(r, "Hello?", 6), 0);
    int rc = quire_send(client, r, id, error);
    quire_request_free(r);
    return rc;
}

static void test_a_client_opened_early_is_there_when_the_broker_comes(void **state) {
    (void)state;
    struct peer peer;
    struct quire_client *client;
    struct quire_error error;
    peer_open(&peer);
    peer_leave(&peer);
    assert_int_equal(quire_open_later(&client, peer.endpoint, &error), 0);
    assert_false(quire_connected(client));
    assert_int_equal(send_question(client, &error), ERR_IO);
    assert_non_null(strstr(error.text, peer.endpoint));
    peer_return(&peer);
    wait_connected(client, true);
    assert_int_equal(send_question(client, &error), 0);
    peer_expect(&peer, MSG_REQUEST); /* nothing before it */
    quire_close(client);
    peer_close(&peer);
}

static void test_a_client_notices_that_the_broker_goes_and_comes(void **state) {
    (void)state;
    struct peer peer;
    struct quire_client *client;
    struct quire_error error;
    peer_open(&peer);
    assert_int_equal(quire_open_later(&client, peer.endpoint, &error), 0);
    for (int i = 0; i < 3; i++) {
        wait_connected(client, true);
        peer_leave(&peer);
        wait_connected(client, false);
        peer_return(&peer);
    }
    wait_connected(client, true);
    quire_close(client);
    peer_close(&peer);
}

/* Whoever connects in a moment must not be missed. */
static void test_a_connection_is_noticed_however_quickly_it_is_made(void **state) {
    (void)state;
    struct peer peer;
    struct quire_error error;
    peer_open(&peer);
    for (int i = 0; i < 100; i++) {
        struct quire_client *client;
        assert_int_equal(quire_open_later(&client, peer.endpoint, &error), 0);
        wait_connected(client, true);
        quire_close(client);
    }
    peer_close(&peer);
}

static void test_an_early_client_of_no_endpoint_is_refused(void **state) {
    (void)state;
    struct quire_client *client;
    struct quire_error error;
    assert_int_equal(quire_open_later(&client, "nonsense", &error), ERR_USAGE);
    assert_null(client);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_client_opened_early_is_there_when_the_broker_comes),
        cmocka_unit_test(test_a_client_notices_that_the_broker_goes_and_comes),
        cmocka_unit_test(test_a_connection_is_noticed_however_quickly_it_is_made),
        cmocka_unit_test(test_an_early_client_of_no_endpoint_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
