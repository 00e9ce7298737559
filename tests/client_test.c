/* client_test.c - the client library against a peer that behaves, misbehaves and goes away. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "client_peer.h"

static struct peer peer;
static struct quire_client *client;
static struct quire_event event;
static struct quire_error error;

static int open_peer(void **state) {
    (void)state;
    peer_open(&peer);
    return 0;
}

static int open_both(void **state) {
    (void)open_peer(state);
    client = peer_client(&peer);
    return 0;
}

static int close_both(void **state) {
    (void)state;
    quire_close(client);
    client = NULL;
    peer_close(&peer);
    return 0;
}

static struct bytes text(const char *s) {
    return (struct bytes){(const uint8_t *)s, strlen(s)};
}

static struct quire_request *question(const char *words) {
    struct quire_request *r = quire_request_new();
    assert_non_null(r);
    assert_int_equal(quire_request_message(r, QUIRE_USER), 0);
    assert_int_equal(quire_request_text(r, words, strlen(words)), 0);
    return r;
}

/* Sends a question, and has the peer read it; its id. */
static struct request_id ask(const char *words) {
    struct quire_request *r = question(words);
    struct request_id id;
    assert_int_equal(quire_send(client, r, id.bytes, &error), 0);
    quire_request_free(r);
    peer_expect(&peer, MSG_REQUEST);
    return id;
}

static void say_tokens(struct request_id id, uint32_t index, const char *words) {
    struct msg_tokens m = {.id = id, .index = index, .n_tokens = 1, .text = text(words)};
    struct wire_buffer b = {0};
    assert_int_equal(tokens_encode(&m, &b), 0);
    peer_answer(&peer, &b);
}

static void say_done(struct request_id id) {
    struct msg_done m = {.id = id,
                         .reason = FINISH_STOP,
                         .stop = 1,
                         .usage = {.prompt_positions = 7, .tiles_encoded = 3},
                         .timings = {.queue_us = 5, .total_us = 9},
                         .seed = 4,
                         .worker = text("w1"),
                         .model = text("demo"),
                         .attempts = 2};
    struct wire_buffer b = {0};
    assert_int_equal(done_encode(&m, &b), 0);
    peer_answer(&peer, &b);
}

static void next_event(enum quire_event_kind kind, const struct request_id *id) {
    if (quire_next(client, PEER_WAIT_MS, &event, &error) != 1)
        fail_msg("no event came: %s", error.text);
    assert_int_equal(event.kind, kind);
    assert_memory_equal(event.id, id->bytes, QUIRE_ID_BYTES);
    assert_int_equal(event.last, kind == QUIRE_DONE || kind == QUIRE_FAILED);
}

static void assert_event_text(const char *expected) {
    assert_int_equal(event.text_bytes, strlen(expected));
    assert_memory_equal(event.text, expected, event.text_bytes);
}

/* ---- opening and closing ---- */

static void test_no_broker_is_said_with_the_remedy(void **state) {
    (void)state;
    char endpoint[TEMP_PATH_BYTES + 32];
    (void)snprintf(endpoint, sizeof endpoint, "ipc://%s/nobody.ipc", peer.dir.path);
    assert_int_equal(quire_open(&client, endpoint, 50, &error), ERR_TIMEOUT);
    assert_null(client);
    assert_int_equal(error.code, ERR_TIMEOUT);
    assert_non_null(strstr(error.text, endpoint));
    assert_non_null(strstr(error.text, "quire up"));
}

static void test_a_string_that_is_no_endpoint_is_refused(void **state) {
    (void)state;
    assert_int_equal(quire_open(&client, "nonsense", 50, &error), ERR_USAGE);
    assert_non_null(strstr(error.text, "nonsense"));
    assert_null(client);
}

static void test_the_environment_names_the_endpoint(void **state) {
    (void)state;
    assert_int_equal(setenv("QUIRE_ENDPOINT", peer.endpoint, 1), 0);
    peer_begin(&peer, peer_welcome);
    assert_int_equal(quire_open(&client, NULL, PEER_WAIT_MS, &error), 0);
    peer_end(&peer);
    assert_string_equal(quire_endpoint(client), peer.endpoint);
    assert_int_equal(unsetenv("QUIRE_ENDPOINT"), 0);
}

static void test_the_runtime_directory_holds_the_default_endpoint(void **state) {
    (void)state;
    assert_int_equal(setenv("QUIRE_RUNTIME_DIR", peer.dir.path, 1), 0);
    assert_int_equal(unsetenv("QUIRE_ENDPOINT"), 0);
    peer_begin(&peer, peer_welcome);
    assert_int_equal(quire_open(&client, NULL, PEER_WAIT_MS, &error), 0);
    peer_end(&peer);
    assert_string_equal(quire_endpoint(client), peer.endpoint);
    assert_int_equal(unsetenv("QUIRE_RUNTIME_DIR"), 0);
}

static void refuse_hello(struct peer *p) {
    struct msg_error m = {.code = ERR_BAD_VERSION, .text = text("versions 7..9 are spoken here")};
    struct wire_buffer b = {0};
    peer_expect(p, MSG_HELLO);
    if (error_encode(&m, &b) == 0)
        peer_answer(p, &b);
}

static void test_a_refused_version_is_passed_on(void **state) {
    (void)state;
    peer_begin(&peer, refuse_hello);
    assert_int_equal(quire_open(&client, peer.endpoint, PEER_WAIT_MS, &error), ERR_BAD_VERSION);
    peer_end(&peer);
    assert_non_null(strstr(error.text, "7..9"));
    assert_null(client);
}

static void test_closing_cancels_what_is_in_flight(void **state) {
    (void)state;
    struct request_id ids[2];
    bool cancelled[2] = {false, false};
    ids[0] = ask("one");
    ids[1] = ask("two");
    quire_close(client);
    client = NULL;
    for (int i = 0; i < 2; i++) {
        struct msg_cancel m;
        peer_expect(&peer, MSG_CANCEL);
        assert_int_equal(cancel_decode(&m, wire_frame(&peer.m, 1), NULL), 0);
        for (int k = 0; k < 2; k++)
            cancelled[k] |= memcmp(&m.id, &ids[k], sizeof m.id) == 0;
    }
    assert_true(cancelled[0] && cancelled[1]);
}

/* ---- requests ---- */

static void test_a_request_arrives_as_it_was_built(void **state) {
    (void)state;
    struct quire_request *r = quire_request_new();
    struct quire_options options;
    char path[TEMP_PATH_BYTES + 16];
    uint8_t id[QUIRE_ID_BYTES];
    temp_file(&peer.dir, "b.png", "second picture", 14, path, sizeof path);
    quire_options_default(&options);
    options.has_seed = true;
    options.seed = 77;
    options.top_k = 3;
    options.max_tokens = 9;
    quire_request_options(r, &options);
    assert_int_equal(quire_request_model(r, "demo"), 0);
    assert_int_equal(quire_request_tenant(r, "shop"), 0);
    assert_int_equal(quire_request_stop(r, "END", 3), 0);
    assert_int_equal(quire_request_schema(r, "{}", 2), 0);
    quire_request_count_only(r, true);
    quire_request_priority(r, QUIRE_PRIORITY_HIGH);
    assert_int_equal(quire_request_message(r, QUIRE_SYSTEM), 0);
    assert_int_equal(quire_request_text(r, "Be brief.", 9), 0);
    assert_int_equal(quire_request_message(r, QUIRE_USER), 0);
    assert_int_equal(quire_request_picture(r, "first", 5, &error), 0);
    assert_int_equal(quire_request_text(r, "and", 3), 0);
    assert_int_equal(quire_request_picture_file(r, path, &error), 0);
    for (int i = 0; i < 2; i++) { /* a request may be sent again, under another id */
        struct request got;
        assert_int_equal(quire_send(client, r, id, &error), 0);
        peer_expect(&peer, MSG_REQUEST);
        assert_int_equal(peer.m.n_frames, 4);
        assert_int_equal(request_decode(&got, wire_frame(&peer.m, 1), 2, NULL), 0);
        assert_memory_equal(got.id.bytes, id, sizeof id);
        assert_true(got.sampling.has_seed && got.sampling.seed == 77 && got.sampling.top_k == 3);
        assert_int_equal(got.max_tokens, 9);
        assert_memory_equal(got.model.data, "demo", 4);
        assert_memory_equal(got.tenant.data, "shop", 4);
        assert_int_equal(got.n_stops, 1);
        assert_int_equal(got.schema.size, 2);
        assert_memory_equal(got.schema.data, "{}", 2);
        assert_true(got.count_only);
        assert_int_equal(got.priority, PRIORITY_HIGH);
        assert_int_equal(got.n_messages, 2);
        assert_int_equal(got.messages[0].role, ROLE_SYSTEM);
        assert_int_equal(got.messages[1].n_parts, 3);
        assert_int_equal(got.messages[1].parts[0].kind, PART_PICTURE);
        assert_int_equal(got.messages[1].parts[2].picture, 1);
        assert_memory_equal(wire_frame(&peer.m, 2).data, "first", 5);
        assert_memory_equal(wire_frame(&peer.m, 3).data, "second picture", 14);
        request_clear(&got);
    }
    quire_request_free(r);
}

static void test_builders_refuse_what_the_broker_would(void **state) {
    (void)state;
    struct quire_request *r = quire_request_new();
    struct quire_options options;
    char name[200], path[TEMP_PATH_BYTES + 16];
    uint8_t id[QUIRE_ID_BYTES];
    memset(name, 'n', sizeof name);
    name[sizeof name - 1] = '\0';
    assert_int_equal(quire_request_text(r, "x", 1), ERR_USAGE); /* no message yet */
    assert_int_equal(quire_request_picture(r, "x", 1, &error), ERR_USAGE);
    assert_int_equal(quire_send(client, r, id, &error), ERR_BAD_REQUEST);
    assert_int_equal(quire_request_model(r, name), ERR_LIMIT);
    assert_int_equal(quire_request_message(r, (enum quire_role)9), ERR_USAGE);
    assert_int_equal(quire_request_message(r, QUIRE_USER), 0);
    assert_int_equal(quire_request_text(r, "\xff", 1), ERR_BAD_REQUEST);
    assert_int_equal(quire_request_schema(r, "\xff", 1), ERR_BAD_REQUEST);
    assert_int_equal(quire_request_text(r, "x", 1), 0);
    assert_int_equal(quire_request_picture_file(r, "/nowhere/x.png", &error), ERR_NOT_FOUND);
    assert_non_null(strstr(error.text, "/nowhere/x.png"));
    assert_int_equal(quire_request_picture_file(r, peer.dir.path, &error), ERR_IO);
    temp_file(&peer.dir, "large", "", 0, path, sizeof path);
    assert_int_equal(truncate(path, (off_t)LIMIT_PICTURE_BYTES + 1), 0);
    assert_int_equal(quire_request_picture_file(r, path, &error), ERR_LIMIT);
    for (int i = 0; i < LIMIT_PICTURES; i++)
        assert_int_equal(quire_request_picture(r, "x", 1, &error), 0);
    assert_int_equal(quire_request_picture(r, "x", 1, &error), ERR_LIMIT);
    quire_options_default(&options);
    options.temperature = -1;
    quire_request_options(r, &options);
    assert_int_equal(quire_send(client, r, id, &error), ERR_BAD_REQUEST);
    assert_non_null(strstr(error.text, "temperature"));
    quire_request_free(r);
}

static void test_a_raw_prompt_is_sent_and_nothing_beside_it(void **state) {
    (void)state;
    struct quire_request *r = quire_request_new();
    uint8_t id[QUIRE_ID_BYTES];
    struct request got;
    assert_int_equal(quire_request_message(r, QUIRE_RAW), 0);
    assert_int_equal(quire_request_text(r, "Once", 4), 0);
    assert_int_equal(quire_send(client, r, id, &error), 0);
    peer_expect(&peer, MSG_REQUEST);
    assert_int_equal(request_decode(&got, wire_frame(&peer.m, 1), 0, NULL), 0);
    assert_int_equal(got.messages[0].role, ROLE_RAW);
    assert_int_equal(got.priority, PRIORITY_NORMAL);
    assert_false(got.count_only);
    request_clear(&got);
    assert_int_equal(quire_request_message(r, QUIRE_USER), 0);
    assert_int_equal(quire_request_text(r, "and", 3), 0);
    assert_int_equal(quire_send(client, r, id, &error), ERR_BAD_REQUEST);
    assert_non_null(strstr(error.text, "raw"));
    quire_request_free(r);
}

static void test_a_request_says_how_it_will_be_cut(void **state) {
    (void)state;
    static char words[SEGMENT_TEXT_BYTES + 10];
    struct quire_request *r = quire_request_new();
    struct quire_segment cuts[5];
    memset(words, 'w', sizeof words);
    assert_int_equal(quire_request_segments(r, cuts, 5), 0);
    assert_int_equal(quire_request_message(r, QUIRE_SYSTEM), 0);
    assert_int_equal(quire_request_text(r, "Be brief.", 9), 0);
    assert_int_equal(quire_request_message(r, QUIRE_USER), 0);
    assert_int_equal(quire_request_picture(r, "picture", 7, &error), 0);
    assert_int_equal(quire_request_text(r, words, 6), 0);
    assert_int_equal(quire_request_text(r, words, sizeof words - 6), 0);
    assert_int_equal(quire_request_segments(r, NULL, 0), 4);
    cuts[2].bytes = 77;
    assert_int_equal(quire_request_segments(r, cuts, 2), 4);
    assert_int_equal(cuts[2].bytes, 77); /* not written */
    assert_int_equal(quire_request_segments(r, cuts, 5), 4);
    assert_int_equal(cuts[0].role, QUIRE_SYSTEM);
    assert_int_equal(cuts[0].bytes, 9);
    assert_true(cuts[1].picture && !cuts[0].picture && !cuts[2].picture);
    assert_int_equal(cuts[1].role, QUIRE_USER);
    assert_int_equal(cuts[1].bytes, 7);
    assert_int_equal(cuts[2].bytes, SEGMENT_TEXT_BYTES);
    assert_int_equal(cuts[3].bytes, 10);
    quire_request_free(r);
}

/* ---- events ---- */

static void test_an_answer_comes_as_events_up_to_its_last(void **state) {
    (void)state;
    struct request_id id = ask("what?");
    struct msg_progress progress = {id, STAGE_PREFILL, 10, 20};
    struct wire_buffer b = {0};
    assert_int_equal(progress_encode(&progress, &b), 0);
    peer_answer(&peer, &b);
    say_tokens(id, 0, "caf\xc3\xa9");
    say_tokens(id, 1, "!");
    say_done(id);
    next_event(QUIRE_PROGRESS, &id);
    assert_int_equal(event.stage, QUIRE_STAGE_PREFILL);
    assert_int_equal(event.done, 10);
    assert_int_equal(event.total, 20);
    next_event(QUIRE_TOKENS, &id);
    assert_event_text("caf\xc3\xa9");
    assert_int_equal(event.index, 0);
    assert_int_equal(event.n_tokens, 1);
    assert_null(event.tokens);
    next_event(QUIRE_TOKENS, &id);
    assert_event_text("!");
    next_event(QUIRE_DONE, &id);
    assert_int_equal(event.finish, QUIRE_FINISH_STOP);
    assert_int_equal(event.stop, 1);
    assert_int_equal(event.usage.prompt_positions, 7);
    assert_int_equal(event.usage.tiles_encoded, 3);
    assert_int_equal(event.timings.queue_us, 5);
    assert_int_equal(event.timings.total_us, 9);
    assert_int_equal(event.seed, 4);
    assert_int_equal(event.attempts, 2);
    assert_string_equal(event.worker, "w1");
    assert_string_equal(event.model, "demo");
    assert_int_equal(quire_next(client, 0, &event, &error), 0);
}

static void test_logprobs_come_with_their_alternatives(void **state) {
    (void)state;
    struct request_id id = ask("what?");
    struct token_logprob others[2] = {{5, -0.5F, text("a")}, {6, -2.0F, text("\xff")}};
    struct token_entry entries[2] = {{5, {5, -0.5F, text("a")}, others, 2},
                                     {8, {8, -4.0F, text("b")}, NULL, 0}};
    struct msg_tokens m = {.id = id, .n_tokens = 2, .text = text("ab"), .entries = entries};
    struct wire_buffer b = {0};
    assert_int_equal(tokens_encode(&m, &b), 0);
    peer_answer(&peer, &b);
    next_event(QUIRE_TOKENS, &id);
    assert_int_equal(event.n_tokens, 2);
    assert_int_equal(event.tokens[0].chosen.id, 5);
    assert_int_equal(event.tokens[0].n_others, 2);
    assert_true(event.tokens[0].others[1].logprob == -2.0F);
    assert_int_equal(event.tokens[0].others[1].text_bytes, 1);
    assert_memory_equal(event.tokens[0].others[1].text, "\xff", 1);
    assert_int_equal(event.tokens[1].chosen.id, 8);
    assert_int_equal(event.tokens[1].n_others, 0);
}

static void test_several_requests_run_side_by_side(void **state) {
    (void)state;
    struct request_id a = ask("a"), b = ask("b");
    say_tokens(b, 0, "B0");
    say_tokens(a, 0, "A0");
    say_done(b);
    say_tokens(a, 1, "A1");
    say_done(a);
    next_event(QUIRE_TOKENS, &b);
    next_event(QUIRE_TOKENS, &a);
    next_event(QUIRE_DONE, &b);
    next_event(QUIRE_TOKENS, &a);
    assert_event_text("A1");
    next_event(QUIRE_DONE, &a);
}

static void test_an_error_ends_its_request(void **state) {
    (void)state;
    struct request_id id = ask("what?");
    struct msg_error m = {
        .has_id = true, .id = id, .code = ERR_BUSY, .text = text("full"), .retry_ms = 250};
    struct wire_buffer b = {0};
    assert_int_equal(error_encode(&m, &b), 0);
    peer_answer(&peer, &b);
    next_event(QUIRE_FAILED, &id);
    assert_int_equal(event.error.code, ERR_BUSY);
    assert_string_equal(event.error.text, "full");
    assert_int_equal(event.error.retry_ms, 250);
    assert_string_equal(quire_error_name(event.error.code), "busy");
}

static void test_what_comes_after_the_end_is_dropped(void **state) {
    (void)state;
    struct request_id a = ask("a"), b = ask("b");
    say_done(a);
    say_tokens(a, 0, "late");
    say_done(a);
    say_done(b);
    next_event(QUIRE_DONE, &a);
    next_event(QUIRE_DONE, &b);
}

static void test_missing_tokens_end_the_request(void **state) {
    (void)state;
    struct request_id id = ask("what?");
    struct msg_cancel cancel;
    say_tokens(id, 0, "a");
    say_tokens(id, 2, "c");
    say_done(id);
    next_event(QUIRE_TOKENS, &id);
    next_event(QUIRE_FAILED, &id);
    assert_int_equal(event.error.code, ERR_BAD_MESSAGE);
    assert_int_equal(quire_next(client, 0, &event, &error), 0);
    peer_expect(&peer, MSG_CANCEL);
    assert_int_equal(cancel_decode(&cancel, wire_frame(&peer.m, 1), NULL), 0);
    assert_memory_equal(&cancel.id, &id, sizeof id);
}

static void test_repeated_tokens_end_the_request_too(void **state) {
    (void)state;
    struct request_id id = ask("what?");
    say_tokens(id, 0, "a");
    say_tokens(id, 0, "a");
    next_event(QUIRE_TOKENS, &id);
    next_event(QUIRE_FAILED, &id);
}

static void test_a_cancelled_request_ends_with_the_brokers_word(void **state) {
    (void)state;
    struct request_id id = ask("what?");
    struct wire_buffer b = {0};
    struct msg_error m = {.has_id = true, .id = id, .code = ERR_CANCELLED};
    assert_int_equal(quire_cancel(client, id.bytes), 0);
    peer_expect(&peer, MSG_CANCEL);
    assert_int_equal(error_encode(&m, &b), 0);
    peer_answer(&peer, &b);
    next_event(QUIRE_FAILED, &id);
    assert_int_equal(event.error.code, ERR_CANCELLED);
}

static void test_noise_from_the_broker_is_an_error(void **state) {
    (void)state;
    struct wire_buffer b = {malloc(3), 3, 3};
    (void)ask("what?");
    memcpy(b.data, "\xc1\xc1\xc1", 3);
    peer_answer(&peer, &b);
    assert_int_equal(quire_next(client, PEER_WAIT_MS, &event, &error), ERR_BAD_MESSAGE);
    assert_int_not_equal(error.text[0], '\0');
}

/* ---- the connection ---- */

static void test_a_broker_that_goes_away_ends_all_requests_once(void **state) {
    (void)state;
    struct request_id a = ask("a"), b = ask("b");
    say_tokens(a, 0, "A0");
    next_event(QUIRE_TOKENS, &a);
    peer_leave(&peer);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(quire_next(client, PEER_WAIT_MS, &event, &error), 1);
        assert_int_equal(event.kind, QUIRE_FAILED);
        assert_int_equal(event.error.code, ERR_IO);
        assert_non_null(strstr(event.error.text, peer.endpoint));
        bool is_a = memcmp(event.id, a.bytes, sizeof a) == 0;
        assert_true(is_a || memcmp(event.id, b.bytes, sizeof b) == 0);
    }
    assert_int_equal(quire_next(client, 0, &event, &error), 0);
}

static void test_a_client_goes_on_when_the_broker_is_back(void **state) {
    (void)state;
    struct request_id id = ask("before");
    struct quire_request *r = question("between");
    peer_leave(&peer);
    next_event(QUIRE_FAILED, &id);
    assert_int_equal(quire_send(client, r, id.bytes, &error), ERR_IO);
    peer_return(&peer);
    while (quire_send(client, r, id.bytes, &error) != 0) /* libzmq connects in its own time */
        assert_int_equal(quire_next(client, 1, &event, &error), 0);
    quire_request_free(r);
    peer_expect(&peer, MSG_REQUEST);
    say_done(id);
    next_event(QUIRE_DONE, &id);
}

static void test_the_descriptor_tells_of_events(void **state) {
    (void)state;
    struct request_id id = ask("what?");
    struct pollfd fd = {.fd = quire_fd(client), .events = POLLIN};
    while (quire_next(client, 0, &event, &error) > 0)
        continue;
    say_done(id);
    int rc = 0;
    for (int i = 0; i < 100 && rc == 0; i++) { /* it may wake for libzmq's own business */
        assert_int_equal(poll(&fd, 1, PEER_WAIT_MS), 1);
        rc = quire_next(client, 0, &event, &error);
    }
    assert_int_equal(rc, 1);
    assert_int_equal(event.kind, QUIRE_DONE);
}

/* ---- operators' queries ---- */

static void answer_query(struct peer *p, struct msg_ops_reply reply) {
    struct msg_ops query;
    struct wire_buffer b = {0};
    peer_expect(p, MSG_OPS);
    if (ops_decode(&query, wire_frame(&p->m, 1), NULL) != 0)
        abort();
    reply.serial = query.serial;
    reply.query = query.query;
    if (ops_reply_encode(&reply, &b) != 0)
        abort();
    peer_answer(p, &b);
}

static void serve_workers(struct peer *p) {
    struct worker_info workers[2] = {
        {.name = text("w1"),
         .model = text("demo"),
         .template_id = text("chatml"),
         .tools = text("hermes"),
         .state = WORKER_UP,
         .pid = 12,
         .load = {.incarnation = 1, .active = 3, .pages_free = 40},
         .pages_total = 50,
         .done = 6},
        {.name = text("w2"), .state = WORKER_DRAINING},
    };
    answer_query(p, (struct msg_ops_reply){.workers = workers, .n_workers = 2});
}

static void test_workers_are_listed(void **state) {
    (void)state;
    struct quire_worker *workers;
    size_t n;
    peer_begin(&peer, serve_workers);
    int rc = quire_workers(client, PEER_WAIT_MS, &workers, &n, &error);
    peer_end(&peer);
    assert_int_equal(rc, 0);
    assert_int_equal(n, 2);
    assert_string_equal(workers[0].name, "w1");
    assert_string_equal(workers[0].model, "demo");
    assert_string_equal(workers[0].chat_template, "chatml");
    assert_string_equal(workers[0].tools, "hermes");
    assert_string_equal(workers[1].tools, "");
    assert_int_equal(workers[0].pid, 12);
    assert_int_equal(workers[0].active, 3);
    assert_int_equal(workers[0].pages_free, 40);
    assert_int_equal(workers[0].pages_total, 50);
    assert_int_equal(workers[0].done, 6);
    assert_int_equal(workers[1].state, QUIRE_WORKER_DRAINING);
    free(workers);
}

static void serve_stats(struct peer *p) {
    answer_query(
        p, (struct msg_ops_reply){.stats = {.uptime_ms = 1, .workers = 2, .first_token_count = 3}});
}

static void test_stats_are_passed_on(void **state) {
    (void)state;
    struct quire_stats stats;
    peer_begin(&peer, serve_stats);
    int rc = quire_stats(client, PEER_WAIT_MS, &stats, &error);
    peer_end(&peer);
    assert_int_equal(rc, 0);
    assert_int_equal(stats.uptime_ms, 1);
    assert_int_equal(stats.workers, 2);
    assert_int_equal(stats.first_token_count, 3);
}

static void serve_requests(struct peer *p) {
    struct request_info r = {.state = 3, .tokens = 8, .worker = text("w1")};
    memset(r.id.bytes, 0xab, sizeof r.id.bytes);
    answer_query(p, (struct msg_ops_reply){.requests = &r, .n_requests = 1});
}

static void test_requests_are_listed(void **state) {
    (void)state;
    struct quire_request_info *requests;
    size_t n;
    peer_begin(&peer, serve_requests);
    int rc = quire_requests(client, PEER_WAIT_MS, &requests, &n, &error);
    peer_end(&peer);
    assert_int_equal(rc, 0);
    assert_int_equal(n, 1);
    assert_int_equal(requests[0].state, QUIRE_REQUEST_STREAMING);
    assert_int_equal(requests[0].tokens, 8);
    assert_int_equal(requests[0].id[15], 0xab);
    assert_string_equal(requests[0].worker, "w1");
    free(requests);
}

static void refuse_query(struct peer *p) {
    struct msg_ops query;
    struct wire_buffer b = {0};
    peer_expect(p, MSG_OPS);
    if (ops_decode(&query, wire_frame(&p->m, 1), NULL) != 0)
        abort();
    struct msg_error m = {.has_serial = true,
                          .serial = query.serial,
                          .code = ERR_NOT_FOUND,
                          .text = text("no worker is called nobody")};
    if (error_encode(&m, &b) != 0)
        abort();
    peer_answer(p, &b);
}

static void test_a_refused_query_says_why(void **state) {
    (void)state;
    peer_begin(&peer, refuse_query);
    int rc = quire_drain(client, PEER_WAIT_MS, "nobody", true, &error);
    peer_end(&peer);
    assert_int_equal(rc, ERR_NOT_FOUND);
    assert_string_equal(error.text, "no worker is called nobody");
    assert_int_equal(quire_drain(client, PEER_WAIT_MS, "", true, &error), ERR_USAGE);
}

static void test_a_query_without_an_answer_ends_in_time(void **state) {
    (void)state;
    struct quire_stats stats;
    assert_int_equal(quire_stats(client, 50, &stats, &error), ERR_TIMEOUT);
    serve_stats(&peer); /* too late: nobody reads this one */
    peer_begin(&peer, serve_stats);
    int rc = quire_stats(client, PEER_WAIT_MS, &stats, &error);
    peer_end(&peer);
    assert_int_equal(rc, 0);
}

static void test_a_query_leaves_events_alone(void **state) {
    (void)state;
    struct request_id id = ask("what?");
    struct quire_stats stats;
    say_tokens(id, 0, "before");
    say_done(id);
    peer_begin(&peer, serve_stats);
    int rc = quire_stats(client, PEER_WAIT_MS, &stats, &error);
    peer_end(&peer);
    assert_int_equal(rc, 0);
    next_event(QUIRE_TOKENS, &id);
    next_event(QUIRE_DONE, &id);
}

#define PEER(f) cmocka_unit_test_setup_teardown(f, open_peer, close_both)
#define BOTH(f) cmocka_unit_test_setup_teardown(f, open_both, close_both)

int main(void) {
    const struct CMUnitTest tests[] = {
        PEER(test_no_broker_is_said_with_the_remedy),
        PEER(test_a_string_that_is_no_endpoint_is_refused),
        PEER(test_the_environment_names_the_endpoint),
        PEER(test_the_runtime_directory_holds_the_default_endpoint),
        PEER(test_a_refused_version_is_passed_on),
        BOTH(test_closing_cancels_what_is_in_flight),
        BOTH(test_a_request_arrives_as_it_was_built),
        BOTH(test_builders_refuse_what_the_broker_would),
        BOTH(test_a_raw_prompt_is_sent_and_nothing_beside_it),
        BOTH(test_a_request_says_how_it_will_be_cut),
        BOTH(test_an_answer_comes_as_events_up_to_its_last),
        BOTH(test_logprobs_come_with_their_alternatives),
        BOTH(test_several_requests_run_side_by_side),
        BOTH(test_an_error_ends_its_request),
        BOTH(test_what_comes_after_the_end_is_dropped),
        BOTH(test_missing_tokens_end_the_request),
        BOTH(test_repeated_tokens_end_the_request_too),
        BOTH(test_a_cancelled_request_ends_with_the_brokers_word),
        BOTH(test_noise_from_the_broker_is_an_error),
        BOTH(test_a_broker_that_goes_away_ends_all_requests_once),
        BOTH(test_a_client_goes_on_when_the_broker_is_back),
        BOTH(test_the_descriptor_tells_of_events),
        BOTH(test_workers_are_listed),
        BOTH(test_stats_are_passed_on),
        BOTH(test_requests_are_listed),
        BOTH(test_a_refused_query_says_why),
        BOTH(test_a_query_without_an_answer_ends_in_time),
        BOTH(test_a_query_leaves_events_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
