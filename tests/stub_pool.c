/* stub_pool.c - see stub_pool.h. */
#include "tests/stub_pool.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/clock.h"
#include "proto/segments.h"

#define POSITIONS 500 /* of each segment */

static const uint8_t fingerprint[16] = {1, 2, 3};

static struct bytes text_bytes(const char *text) {
    return (struct bytes){(const uint8_t *)text, strlen(text)};
}

static void stub_beat(const struct stub *s) {
    struct msg_heartbeat beat = {.incarnation = s->incarnation,
                                 .pages_free = 1000,
                                 .prefill_us_per_position = 1000,
                                 .decode_us_per_token = 1000,
                                 .tile_us = 10000};
    struct wire_buffer b = {0};
    assert_int_equal(heartbeat_encode(&beat, &b), 0);
    rig_send(s->socket, &b);
}

void stub_ready(struct rig *r, struct stub *s) {
    struct msg_ready ready = {
        .version_min = PROTO_VERSION_MIN,
        .version_max = PROTO_VERSION_MAX,
        .name = text_bytes(s->name),
        .incarnation = s->incarnation,
        .model = text_bytes("fake"),
        .template_id = text_bytes("plain"),
        .credits = 4,
        .pages_total = 1000,
        .context = 100000,
        .vision = true,
    };
    struct wire_buffer b = {0};
    struct msg_welcome welcome;
    struct error e;
    memcpy(ready.fingerprint, fingerprint, sizeof fingerprint);
    assert_int_equal(ready_encode(&ready, &b), 0);
    rig_send(s->socket, &b);
    rig_expect(r, s->socket, MSG_WELCOME);
    assert_int_equal(welcome_decode(&welcome, wire_frame(&r->message, 0), &e), 0);
    s->seed = welcome.seed;
    assert_true(s->seed != 0);
    stub_beat(s);
}

static struct stub stub_open(struct rig *r, const char *name) {
    struct stub s = {.socket = rig_client(r), .name = name, .incarnation = ++r->incarnation};
    assert_int_equal(zmq_disconnect(s.socket, r->clients), 0);
    assert_int_equal(zmq_connect(s.socket, r->workers), 0);
    stub_ready(r, &s);
    return s;
}

/* A question about one of STUB_POOL_TOPICS, which has a long system prompt. */
void stub_ask(void *socket, uint8_t id, int topic) {
    char system[3000], question[64];
    memset(system, 'a' + topic, sizeof system);
    (void)snprintf(question, sizeof question, "question %u about %d", id, topic);
    struct request_part parts[] = {
        {.kind = PART_TEXT, .text = {(const uint8_t *)system, sizeof system}},
        {.kind = PART_TEXT, .text = text_bytes(question)}};
    struct request_message messages[] = {{.role = ROLE_SYSTEM, .parts = parts, .n_parts = 1},
                                         {.role = ROLE_USER, .parts = parts + 1, .n_parts = 1}};
    struct request q;
    struct wire_buffer b = {0};
    request_init(&q);
    q.id = rig_id(id);
    q.messages = messages;
    q.n_messages = 2;
    assert_int_equal(request_encode(&q, &b), 0);
    rig_send(socket, &b);
}

static void stub_tell_links(const struct stub *s, const struct chain *chain, bool reset) {
    uint8_t held[16 * LINK_HELD_BYTES];
    struct msg_links links = {.incarnation = s->incarnation, .reset = reset, .held = {held, 0}};
    struct wire_buffer b = {0};
    for (size_t i = 0; chain && i < chain->count && i < 16; i++) {
        uint32_t positions = POSITIONS * (uint32_t)(i + 1);
        memcpy(held + links.held.size, chain->segments[i].link.bytes, LINK_BYTES);
        for (int k = 0; k < 4; k++)
            held[links.held.size + LINK_BYTES + (size_t)k] = (uint8_t)(positions >> (8 * k));
        links.held.size += LINK_HELD_BYTES;
    }
    assert_int_equal(links_encode(&links, &b), 0);
    rig_send(s->socket, &b);
}

void stub_holds_nothing(const struct stub *s) {
    stub_tell_links(s, NULL, true);
}

void stub_serve(struct rig *r, const struct stub *s, uint8_t id) {
    struct msg_work work;
    struct request q;
    struct chain chain;
    struct error e = {0};
    const struct chain_root root = {
        .seed = s->seed, .fingerprint = fingerprint, .template_id = text_bytes("plain")};
    assert_int_equal(work_decode(&work, wire_frame(&r->message, 0), &e), 0);
    assert_int_equal(request_decode(&q, wire_frame(&r->message, 1), 0, &e), 0);
    assert_int_equal(chain_make(&chain, &root, &q, NULL, &e), 0);
    uint64_t mine = r->incarnation;
    r->incarnation = s->incarnation;
    stub_tell_links(s, &chain, false);
    rig_reply_tokens(r, s->socket, &work, id, 0, "yes", 3);
    rig_reply_done(r, s->socket, &work, id);
    r->incarnation = mine;
    chain_clear(&chain);
    request_clear(&q);
}

int stub_pool_ask(struct rig *r, struct stub *stubs, int n, void *client, uint8_t id, int topic) {
    int64_t end_ms = clock_ms() + RIG_WAIT_MS;
    stub_ask(client, id, topic);
    for (int i = 0; clock_ms() < end_ms; i = (i + 1) % n) {
        if (!rig_await(r, stubs[i].socket, MSG_WORK, 10))
            continue;
        stub_serve(r, &stubs[i], id);
        rig_expect(r, client, MSG_TOKENS);
        rig_expect(r, client, MSG_DONE);
        return i;
    }
    fail_msg("no worker got the request");
    return -1;
}

static struct pool_stats stats_with_text(struct rig *r, void *client, char text[400]) {
    struct msg_ops_reply reply;
    rig_query(r, client, OPS_STATS, "", &reply);
    struct pool_stats stats = reply.stats;
    (void)snprintf(text, 400, "%.*s", (int)stats.index_text.size,
                   (const char *)stats.index_text.data);
    ops_reply_clear(&reply);
    return stats;
}

void stub_pool_expect_index(struct rig *r, void *client, enum index_state a, enum index_state b,
                            const char *word) {
    char text[400] = "";
    int64_t end_ms = clock_ms() + RIG_WAIT_MS;
    struct pool_stats stats = {0};
    while (clock_ms() < end_ms) {
        stats = stats_with_text(r, client, text);
        if ((stats.index_state == a || stats.index_state == b) && strstr(text, word))
            return;
        (void)nanosleep(&(struct timespec){0, 20000000}, NULL);
    }
    fail_msg("the index is in state %d: %s", (int)stats.index_state, text);
}

void stub_pool_wait_recorded(struct rig *r, void *client, uint64_t links) {
    char text[400];
    int64_t end_ms = clock_ms() + RIG_WAIT_MS;
    while (stats_with_text(r, client, text).index_links < links && clock_ms() < end_ms)
        (void)nanosleep(&(struct timespec){0, 20000000}, NULL);
    assert_true(stats_with_text(r, client, text).index_links >= links);
}

void stub_pool_restart_broker(struct rig *r, int how) {
    process_signal(&r->broker, how);
    assert_true(process_wait(&r->broker, RIG_WAIT_MS) >= 0);
    rig_start_broker(r);
}

void stub_pool_open(struct stub_pool *p, const char *const *flags) {
    memset(p, 0, sizeof *p);
    rig_open(&p->r, flags);
    p->stubs[0] = stub_open(&p->r, "w0");
    p->stubs[1] = stub_open(&p->r, "w1");
    p->stubs[2] = stub_open(&p->r, "w2");
    p->client = rig_client(&p->r);
    for (int t = 0; t < STUB_POOL_TOPICS; t++)
        p->owner[t] = stub_pool_ask(&p->r, p->stubs, 3, p->client, ++p->id, t);
}

void stub_pool_check(struct stub_pool *p) {
    for (int t = STUB_POOL_TOPICS - 1; t >= 0; t--) {
        int who = stub_pool_ask(&p->r, p->stubs, 3, p->client, ++p->id, t);
        if (who != p->owner[t])
            fail_msg("topic %d went to w%d, not to w%d", t, who, p->owner[t]);
    }
}
