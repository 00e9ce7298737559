/* proto_routing_test.c - what is said of segments, links and routing comes whole and within limits.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "proto/limits.h"
#include "proto_samples.h"

/* LINKS of so many bytes of held and dropped, through encoder and decoder. */
static int send_links(size_t held, size_t dropped) {
    static uint8_t run[LIMIT_LINKS * LINK_HELD_BYTES + LINK_HELD_BYTES];
    struct msg_links m = {.held = {run, held}, .dropped = {run, dropped}}, out;
    struct wire_buffer frame = {0};
    assert_int_equal(links_encode(&m, &frame), 0);
    int rc = links_decode(&out, wire_bytes(&frame), NULL);
    wire_buffer_clear(&frame);
    return rc;
}

static void test_links_come_whole_and_up_to_their_limit(void **state) {
    (void)state;
    assert_int_equal(send_links(0, 0), 0);
    assert_int_equal(send_links(LINK_HELD_BYTES, LINK_BYTES), 0);
    assert_int_equal(send_links(LINK_HELD_BYTES - 1, 0), ERR_BAD_MESSAGE);
    assert_int_equal(send_links(LINK_BYTES, 0), ERR_BAD_MESSAGE);
    assert_int_equal(send_links(0, LINK_BYTES + 1), ERR_BAD_MESSAGE);
    assert_int_equal(send_links(0, LINK_HELD_BYTES), ERR_BAD_MESSAGE);
    assert_int_equal(send_links(LIMIT_LINKS * LINK_HELD_BYTES, LIMIT_LINKS * LINK_BYTES), 0);
    assert_int_equal(send_links((LIMIT_LINKS + 1) * LINK_HELD_BYTES, 0), ERR_LIMIT);
    assert_int_equal(send_links(0, (LIMIT_LINKS + 1) * LINK_BYTES), ERR_LIMIT);
}

static void test_ends_of_segments_come_whole_and_up_to_their_limit(void **state) {
    (void)state;
    static const uint8_t run[(LIMIT_SEGMENT_ENDS + 1) * SEGMENT_END_BYTES];
    static const struct {
        size_t size;
        int rc;
    } cases[] = {{0, 0},
                 {SEGMENT_END_BYTES, 0},
                 {SEGMENT_END_BYTES - 1, ERR_BAD_MESSAGE},
                 {LIMIT_SEGMENT_ENDS * SEGMENT_END_BYTES, 0},
                 {LIMIT_SEGMENT_ENDS * SEGMENT_END_BYTES + 1, ERR_LIMIT},
                 {(LIMIT_SEGMENT_ENDS + 1) * SEGMENT_END_BYTES, ERR_LIMIT}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct msg_done m = sample_done, out;
        struct wire_buffer frame = {0};
        m.segment_ends = (struct bytes){run, cases[i].size};
        assert_int_equal(done_encode(&m, &frame), 0);
        assert_int_equal(done_decode(&out, wire_bytes(&frame), NULL), cases[i].rc);
        wire_buffer_clear(&frame);
    }
}

static int send_ops(enum ops_query query, size_t id_bytes, size_t name_bytes) {
    struct msg_ops out, m = {.query = query,
                             .id = {(const uint8_t *)"0123456789abcdef0123456789abcdef", id_bytes},
                             .worker = {(const uint8_t *)"w1", name_bytes}};
    struct wire_buffer frame = {0};
    assert_int_equal(ops_encode(&m, &frame), 0);
    int rc = ops_decode(&out, wire_bytes(&frame), NULL);
    wire_buffer_clear(&frame);
    return rc;
}

static void test_explain_takes_a_whole_id_or_none(void **state) {
    (void)state;
    assert_int_equal(send_ops(OPS_EXPLAIN, 0, 0), 0);
    assert_int_equal(send_ops(OPS_EXPLAIN, 16, 0), 0);
    assert_int_equal(send_ops(OPS_EXPLAIN, 15, 0), ERR_BAD_MESSAGE);
    assert_int_equal(send_ops(OPS_EXPLAIN, 17, 0), ERR_LIMIT);
    assert_int_equal(send_ops(OPS_LOSSES, 0, 0), ERR_BAD_MESSAGE);
    assert_int_equal(send_ops(OPS_LOSSES, 0, 2), 0);
}

static int send_explanation(size_t segments, size_t workers, uint8_t owner) {
    static struct explained_segment shown[LIMIT_EXPLAINED_SEGMENTS + 1];
    static struct explained_worker asked[LIMIT_WORKERS + 1];
    struct msg_ops_reply out, m = {.query = OPS_EXPLAIN};
    struct wire_buffer frame = {0};
    for (size_t i = 0; i < segments; i++)
        shown[i] =
            (struct explained_segment){.kind = PART_TEXT, .role = ROLE_USER, .owners = {&owner, 1}};
    for (size_t i = 0; i < workers; i++)
        asked[i] = (struct explained_worker){.name = {(const uint8_t *)"w", 1}};
    m.explanation.segments = shown;
    m.explanation.n_segments = segments;
    m.explanation.workers = asked;
    m.explanation.n_workers = workers;
    assert_int_equal(ops_reply_encode(&m, &frame), 0);
    int rc = ops_reply_decode(&out, wire_bytes(&frame), NULL);
    if (rc != 0)
        assert_null(out.block);
    ops_reply_clear(&out);
    wire_buffer_clear(&frame);
    return rc;
}

static void test_an_explanation_has_limits_and_its_owners_exist(void **state) {
    (void)state;
    assert_int_equal(send_explanation(0, 0, 0), 0);
    assert_int_equal(send_explanation(1, 2, 1), 0);
    assert_int_equal(send_explanation(1, 2, 2), ERR_BAD_MESSAGE);
    assert_int_equal(send_explanation(1, 0, 0), ERR_BAD_MESSAGE);
    assert_int_equal(send_explanation(LIMIT_EXPLAINED_SEGMENTS, LIMIT_WORKERS, 255), 0);
    assert_int_equal(send_explanation(LIMIT_EXPLAINED_SEGMENTS + 1, 1, 0), ERR_LIMIT);
    assert_int_equal(send_explanation(1, LIMIT_WORKERS + 1, 0), ERR_LIMIT);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_links_come_whole_and_up_to_their_limit),
        cmocka_unit_test(test_ends_of_segments_come_whole_and_up_to_their_limit),
        cmocka_unit_test(test_explain_takes_a_whole_id_or_none),
        cmocka_unit_test(test_an_explanation_has_limits_and_its_owners_exist),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
