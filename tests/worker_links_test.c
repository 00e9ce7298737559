/* worker_links_test.c - what the real quire-worker tells its broker of the links it holds. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/clock.h"
#include "proto/segments.h"
#include "tests/support/worker_stage.h"

#define SEED 99
#define MANY 65536 /* links in the broker's view */

/* What the broker knows, from LINKS alone. */
struct view {
    struct stage stage;
    struct msg_ready ready; /* its texts are gone */
    char template_id[LIMIT_TEMPLATE_BYTES + 1];
    struct link links[MANY];
    uint32_t positions[MANY];
    size_t count;
    uint32_t messages, resets, drops;
};

static size_t find(const struct view *v, const uint8_t *link) {
    size_t i = 0;
    while (i < v->count && memcmp(v->links[i].bytes, link, LINK_BYTES) != 0)
        i++;
    return i;
}

static void take_links(struct view *v) {
    struct msg_links m;
    struct error e;
    assert_int_equal(links_decode(&m, fake_frame(&v->stage.broker), &e), 0);
    assert_true(m.incarnation == v->ready.incarnation);
    v->messages++;
    if (m.reset) {
        v->resets++;
        v->count = 0;
    }
    for (size_t at = 0; at < m.held.size; at += LINK_HELD_BYTES) {
        const uint8_t *held = m.held.data + at;
        size_t i = find(v, held);
        assert_true(i < MANY);
        v->count += i == v->count;
        memcpy(v->links[i].bytes, held, LINK_BYTES);
        v->positions[i] = (uint32_t)held[16] | (uint32_t)held[17] << 8 | (uint32_t)held[18] << 16 |
                          (uint32_t)held[19] << 24;
    }
    for (size_t at = 0; at < m.dropped.size; at += LINK_BYTES) {
        size_t i = find(v, m.dropped.data + at);
        assert_true(i < v->count); /* nobody is told of the end of what they never knew */
        v->drops++;
        v->count--;
        v->links[i] = v->links[v->count];
        v->positions[i] = v->positions[v->count];
    }
}

/* The next message but LINKS, which are taken, and but PROGRESS and TOKENS. */
static enum message_type next(struct view *v) {
    enum message_type type;
    while ((type = fake_next(&v->stage.broker)) == MSG_LINKS || type == MSG_PROGRESS ||
           type == MSG_TOKENS)
        if (type == MSG_LINKS)
            take_links(v);
    return type;
}

static void wait_for_resets(struct view *v, uint32_t resets) {
    while (v->resets < resets) {
        assert_int_equal(fake_next(&v->stage.broker), MSG_LINKS);
        take_links(v);
    }
}

static void welcome(struct view *v) {
    assert_int_equal(next(v), MSG_READY);
    assert_int_equal(ready_decode(&v->ready, fake_frame(&v->stage.broker), NULL), 0);
    assert_true(v->ready.template_id.size <= LIMIT_TEMPLATE_BYTES);
    memcpy(v->template_id, v->ready.template_id.data, v->ready.template_id.size);
    v->template_id[v->ready.template_id.size] = '\0';
    fake_welcome(&v->stage.broker);
}

static struct view *open_view(const char *mmproj, const char *const *more) {
    struct view *v = calloc(1, sizeof *v);
    assert_non_null(v);
    stage_open(&v->stage, mmproj, more);
    v->stage.broker.seed = SEED;
    welcome(v);
    wait_for_resets(v, 1);
    assert_int_equal(v->count, 0);
    return v;
}

static void close_view(struct view *v) {
    stage_close(&v->stage);
    free(v);
}

static struct chain chain_of(const struct view *v, const struct request *r,
                             const struct bytes *pictures) {
    struct chain_root root = {
        .seed = v->stage.broker.seed,
        .fingerprint = v->ready.fingerprint,
        .template_id = {(const uint8_t *)v->template_id, strlen(v->template_id)},
        .tenant = r->tenant,
    };
    struct chain chain;
    struct error e;
    assert_int_equal(chain_make(&chain, &root, r, pictures, &e), 0);
    return chain;
}

/* Sends the question and takes all there is until its DONE. */
static void answer(struct view *v, uint64_t ticket, const struct question *q,
                   const struct bytes *pictures, struct msg_done *done) {
    fake_send_work(&v->stage.broker, ticket, &q->request, pictures, q->request.n_pictures);
    assert_int_equal(next(v), MSG_DONE);
    assert_int_equal(done_decode(done, fake_frame(&v->stage.broker), NULL), 0);
}

static uint32_t end_at(const struct msg_done *done, size_t i) {
    const uint8_t *at = done->segment_ends.data + 4 * i;
    return (uint32_t)at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24;
}

/* The broker knows every link of the chain, where the worker's DONE says it ends. */
static void expect_chain(const struct view *v, const struct chain *c, const struct msg_done *done) {
    assert_int_equal(done->segment_ends.size, 4 * c->count);
    for (size_t i = 0; i < c->count; i++) {
        size_t at = find(v, c->segments[i].link.bytes);
        assert_true(at < v->count);
        assert_int_equal(v->positions[at], end_at(done, i));
        assert_true(v->positions[at] > 0 && v->positions[at] <= done->usage.prompt_positions);
        assert_true(i == 0 || end_at(done, i) > end_at(done, i - 1));
    }
}

static void test_links_are_told_before_done(void **state) {
    (void)state;
    struct view *v = open_view(NULL, NULL);
    struct question q;
    struct msg_done done;
    question_make(&q, 1, false, 8);
    answer(v, 1, &q, NULL, &done);
    struct chain c = chain_of(v, &q.request, NULL);
    assert_int_equal(c.count, 1);
    expect_chain(v, &c, &done);
    assert_int_equal(v->count, 2); /* and the answer's */
    size_t own = find(v, c.segments[0].link.bytes);
    uint32_t held = v->positions[1 - own];
    assert_in_range(held, done.usage.prompt_positions + 7, done.usage.prompt_positions + 8);
    chain_clear(&c);
    close_view(v);
}

static size_t read_picture(uint8_t *data, size_t size) {
    FILE *f = fopen(STAGE_PICTURE, "rb");
    assert_non_null(f);
    size_t n = fread(data, 1, size, f);
    (void)fclose(f);
    return n;
}

/* Nothing can follow a raw prompt, so its answer has no link. */
static void test_of_a_raw_prompt_the_prompts_links_are_told(void **state) {
    (void)state;
    struct view *v = open_view(NULL, NULL);
    struct question q;
    struct msg_done done;
    question_make(&q, 1, false, 8);
    q.message.role = ROLE_RAW;
    answer(v, 1, &q, NULL, &done);
    struct chain c = chain_of(v, &q.request, NULL);
    assert_int_equal(c.count, 1);
    expect_chain(v, &c, &done);
    assert_int_equal(end_at(&done, 0), done.usage.prompt_positions);
    assert_int_equal(v->count, 1);
    chain_clear(&c);
    close_view(v);
}

static void test_what_is_only_counted_is_told_and_not_held(void **state) {
    (void)state;
    struct view *v = open_view(STAGE_MMPROJ, NULL);
    struct question q;
    struct msg_done counted, done;
    uint8_t data[4096];
    struct bytes picture = {data, read_picture(data, sizeof data)};
    question_make(&q, 1, true, 4);
    q.request.count_only = true;
    answer(v, 1, &q, &picture, &counted);
    assert_int_equal(v->count, 0);
    assert_int_equal(counted.segment_ends.size, 2 * SEGMENT_END_BYTES);
    uint32_t ends[] = {end_at(&counted, 0), end_at(&counted, 1)};
    uint32_t positions = counted.usage.prompt_positions;
    assert_int_equal(counted.usage.answer_tokens, 0);
    question_make(&q, 2, true, 4);
    answer(v, 2, &q, &picture, &done);
    assert_int_equal(done.usage.prompt_positions, positions);
    assert_int_equal(end_at(&done, 0), ends[0]);
    assert_int_equal(end_at(&done, 1), ends[1]);
    close_view(v);
}

static void test_embeddings_of_a_picture_are_told_too(void **state) {
    (void)state;
    struct view *v = open_view(STAGE_MMPROJ, NULL);
    struct question q;
    struct msg_done done;
    uint8_t data[4096];
    struct bytes picture = {data, read_picture(data, sizeof data)};
    question_make(&q, 1, true, 4);
    answer(v, 1, &q, &picture, &done);
    struct chain c = chain_of(v, &q.request, &picture);
    assert_int_equal(c.count, 2);
    expect_chain(v, &c, &done);
    size_t at = find(v, c.segments[0].picture.bytes);
    assert_true(at < v->count);
    assert_int_equal(v->positions[at], 0);
    fake_expect_beats(&v->stage.broker, 2);
    assert_true(v->stage.broker.beat.feature_bytes > 0);
    chain_clear(&c);
    close_view(v);
}

static void test_an_inventory_tells_everything_again(void **state) {
    (void)state;
    struct view *v = open_view(NULL, NULL);
    struct question q;
    struct msg_done done;
    question_make(&q, 1, false, 8);
    answer(v, 1, &q, NULL, &done);
    size_t known = v->count;
    assert_true(known > 0);
    fake_send_inventory(&v->stage.broker);
    wait_for_resets(v, 2);
    assert_int_equal(v->count, known);
    close_view(v);
}

static void test_a_broker_that_comes_back_is_told_everything(void **state) {
    (void)state;
    struct view *v = open_view(NULL, NULL);
    struct question q;
    struct msg_done done;
    question_make(&q, 1, false, 8);
    answer(v, 1, &q, NULL, &done);
    size_t known = v->count;
    fake_broker_restart(&v->stage.broker);
    welcome(v);
    wait_for_resets(v, 2);
    assert_int_equal(v->count, known);

    fake_broker_restart(&v->stage.broker);
    v->stage.broker.seed = SEED + 1; /* another deployment's: what was said is void */
    welcome(v);
    wait_for_resets(v, 3);
    assert_int_equal(v->count, 0);
    question_make(&q, 2, false, 8);
    answer(v, 2, &q, NULL, &done);
    struct chain c = chain_of(v, &q.request, NULL);
    expect_chain(v, &c, &done);
    chain_clear(&c);
    close_view(v);
}

/* A question of its own, with more text than one page holds. */
static void make_other(struct question *q, uint8_t id, char *text, size_t size) {
    question_make(q, id, false, 4);
    int n = snprintf(text, size, "%u is a number, and there is much to be said of %u:", id, id);
    for (unsigned i = 0; i < 40; i++)
        n += snprintf(text + n, size - (size_t)n, " %u", id * i);
    q->parts[0].text = (struct bytes){(const uint8_t *)text, (size_t)n};
}

static void test_what_gives_way_to_others_is_told(void **state) {
    (void)state;
    const char *const more[] = {"--kv-memory", "1M", NULL};
    struct view *v = open_view(NULL, more);
    struct question q;
    struct msg_done done;
    char text[1024];
    int64_t until_ms = clock_ms() + PROCESS_WAIT_MS;
    for (uint8_t i = 1; v->drops == 0 && i < 250; i++) {
        assert_true(clock_ms() < until_ms);
        make_other(&q, i, text, sizeof text);
        answer(v, i, &q, NULL, &done);
        struct chain c = chain_of(v, &q.request, NULL);
        expect_chain(v, &c, &done);
        chain_clear(&c);
    }
    assert_true(v->drops > 0);
    fake_expect_beats(&v->stage.broker, 2);
    assert_true(v->stage.broker.beat.pages_evicted > 0);
    close_view(v);
}

static void test_drops_alone_are_told_without_a_request(void **state) {
    (void)state;
    const char *const more[] = {"--kv-memory", "1M", NULL};
    struct view *v = open_view(NULL, more);
    struct question q;
    struct msg_done done;
    char text[1024];
    make_other(&q, 1, text, sizeof text);
    answer(v, 1, &q, NULL, &done);
    /* the whole memory is asked for, and filled slowly */
    question_make(&q, 2, false, 1000000);
    fake_send_work(&v->stage.broker, 2, &q.request, NULL, 0);
    while (v->drops == 0) {
        enum message_type type = fake_next(&v->stage.broker);
        assert_true(type != MSG_DONE && type != MSG_ERROR);
        if (type == MSG_LINKS)
            take_links(v);
    }
    close_view(v);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_links_are_told_before_done),
        cmocka_unit_test(test_of_a_raw_prompt_the_prompts_links_are_told),
        cmocka_unit_test(test_what_is_only_counted_is_told_and_not_held),
        cmocka_unit_test(test_embeddings_of_a_picture_are_told_too),
        cmocka_unit_test(test_an_inventory_tells_everything_again),
        cmocka_unit_test(test_a_broker_that_comes_back_is_told_everything),
        cmocka_unit_test(test_what_gives_way_to_others_is_told),
        cmocka_unit_test(test_drops_alone_are_told_without_a_request),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
