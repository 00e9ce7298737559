/* pages_test.c - the arena, its counts, and the pages of a sequence. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "worker/engine/decoder.h"
#include "worker/engine/pages.h"

static const struct pages_shape SHAPE = {3, 2, 16, KV_F16}; /* layers, key/value heads, width */
#define HEAD_BYTES ((size_t)16 * 16 * 2 * 2)
#define PAGE_BYTES (3 * 2 * HEAD_BYTES)

static struct pages *open_pages(size_t count) {
    struct pages *p;
    assert_int_equal(pages_open(&p, SHAPE, count * PAGE_BYTES, NULL), 0);
    return p;
}

static void test_budget_is_rounded_down_to_whole_pages(void **state) {
    (void)state;
    struct pages *p;
    assert_int_equal(pages_bytes_per_page(SHAPE), PAGE_BYTES);
    assert_int_equal(pages_open(&p, SHAPE, 5 * PAGE_BYTES - 1, NULL), 0);
    assert_int_equal(pages_total(p), 4);
    assert_int_equal(pages_free(p), 4);
    pages_close(p);
    pages_close(NULL);
}

static void test_budget_without_room_for_a_page_is_refused(void **state) {
    (void)state;
    struct pages *p = (struct pages *)state;
    struct error e;
    assert_int_equal(pages_open(&p, SHAPE, PAGE_BYTES - 1, &e), ERR_LIMIT);
    assert_null(p);
    assert_non_null(strstr(e.text, "6144")); /* what a page takes */
}

static void test_budget_larger_than_memory_is_refused(void **state) {
    (void)state;
    struct pages *p;
    struct error e;
    assert_int_equal(pages_open(&p, SHAPE, (size_t)1 << 50, &e), ERR_NOMEM);
    assert_null(p);
    assert_non_null(strstr(e.text, "available"));
}

static void test_every_page_is_given_once(void **state) {
    (void)state;
    struct pages *p = open_pages(5);
    uint8_t seen[5] = {0};
    for (int i = 0; i < 5; i++) {
        page_id id = pages_take(p);
        assert_true(id < 5);
        seen[id]++;
    }
    for (int i = 0; i < 5; i++)
        assert_int_equal(seen[i], 1);
    assert_true(pages_take(p) == PAGE_NONE);
    assert_int_equal(pages_free(p), 0);
    pages_close(p);
}

static void test_page_returns_with_its_last_reference(void **state) {
    (void)state;
    struct pages *p = open_pages(2);
    page_id id = pages_take(p);
    pages_retain(p, id);
    pages_release(p, id);
    assert_int_equal(pages_free(p), 1);
    pages_release(p, id);
    assert_int_equal(pages_free(p), 2);
    assert_int_equal(pages_take(p), id); /* the one used last, its memory is there already */
    pages_close(p);
}

static void test_heads_of_a_page_do_not_overlap(void **state) {
    (void)state;
    struct pages *p = open_pages(2);
    uint8_t mark = 1;
    for (page_id id = 0; id < 2; id++)
        for (int32_t layer = 0; layer < 3; layer++)
            for (int32_t head = 0; head < 2; head++)
                memset(pages_head(p, id, layer, head), mark++, HEAD_BYTES);
    mark = 1;
    for (page_id id = 0; id < 2; id++)
        for (int32_t layer = 0; layer < 3; layer++)
            for (int32_t head = 0; head < 2; head++, mark++) {
                const uint8_t *at = pages_head(p, id, layer, head);
                assert_true(at[0] == mark && at[HEAD_BYTES - 1] == mark);
            }
    pages_close(p);
}

/* Sizes in bytes of keys, their scales, values and theirs, of 16 positions. */
static void test_parts_of_a_head_lie_one_after_the_other(void **state) {
    (void)state;
    static const struct {
        enum kv_type type;
        int32_t head_dim;
        size_t sizes[4];
    } cases[] = {
        {KV_F16, 64, {2048, 0, 2048, 0}},       {KV_F32, 64, {4096, 0, 4096, 0}},
        {KV_Q8_0, 64, {1024, 64, 1024, 64}},    {KV_Q8_0, 80, {1280, 128, 1280, 128}},
        {KV_Q8_0, 34, {576, 64, 768, 64}},      {KV_F16, 20, {640, 0, 1024, 0}},
        {KV_Q8_0, 128, {2048, 128, 2048, 128}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct kv_layout l = kv_layout_of(cases[i].type, cases[i].head_dim);
        const size_t *s = cases[i].sizes;
        assert_int_equal(l.key_scales, s[0]);
        assert_int_equal(l.values, s[0] + s[1]);
        assert_int_equal(l.value_scales, s[0] + s[1] + s[2]);
        assert_int_equal(l.bytes, s[0] + s[1] + s[2] + s[3]);
    }
}

/* Which position of its head a byte belongs to, by the definition in kv.h; -1: to none. */
static int position_of(const struct kv_layout *l, size_t at) {
    size_t scale = sizeof(uint16_t), row = (size_t)l->width * l->element_bytes;
    size_t blocks = (size_t)l->blocks;
    if (at < (size_t)l->head_dim * 16 * l->element_bytes)
        return (int)(at / l->element_bytes % 16);
    if (l->type == KV_Q8_0 && at >= l->key_scales && at < l->key_scales + blocks * 16 * scale)
        return (int)((at - l->key_scales) / scale % 16);
    if (at >= l->values && at < l->values + 16 * row)
        return (int)((at - l->values) / row);
    if (l->type == KV_Q8_0 && at >= l->value_scales && at < l->value_scales + blocks * 16 * scale)
        return (int)((at - l->value_scales) / (blocks * scale));
    return -1;
}

static void test_copied_positions_are_those_asked_for_in_every_layer_and_head(void **state) {
    (void)state;
    for (int type = 0; type < KV_TYPES; type++) {
        const struct pages_shape shape = {3, 2, 40, (enum kv_type)type};
        size_t bytes = pages_bytes_per_page(shape);
        struct pages *p;
        assert_int_equal(pages_open(&p, shape, 2 * bytes, NULL), 0);
        struct kv_layout l = pages_layout(p);
        page_id from = pages_take(p), to = pages_take(p);
        uint8_t *a = pages_head(p, from, 0, 0), *b = pages_head(p, to, 0, 0);
        for (size_t i = 0; i < bytes; i++)
            a[i] = (uint8_t)(i % 251 + 1);
        pages_copy(p, to, from, 3, 5);
        for (size_t i = 0; i < bytes; i++) {
            int position = position_of(&l, i % l.bytes);
            assert_int_equal(b[i], position >= 3 && position < 8 ? a[i] : 0);
        }
        pages_close(p);
    }
}

/* The signal that ends a child which does f; 0 when it lives. */
static int signal_of(void (*f)(struct pages *p)) {
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        (void)close(STDERR_FILENO);
        signal(SIGABRT, SIG_DFL);
        f(open_pages(2));
        _exit(0);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    return WIFSIGNALED(status) ? WTERMSIG(status) : 0;
}

static void release_twice(struct pages *p) {
    page_id id = pages_take(p);
    pages_release(p, id);
    pages_release(p, id);
}

static void retain_free(struct pages *p) {
    pages_retain(p, 1);
}

static void release_unknown(struct pages *p) {
    pages_release(p, 2);
}

static void take_and_release(struct pages *p) {
    pages_release(p, pages_take(p));
}

static void test_broken_counts_stop_the_process(void **state) {
    (void)state;
    assert_int_equal(signal_of(take_and_release), 0);
    assert_int_equal(signal_of(release_twice), SIGABRT);
    assert_int_equal(signal_of(retain_free), SIGABRT);
    assert_int_equal(signal_of(release_unknown), SIGABRT);
}

static void test_sequence_takes_pages_as_it_grows_and_gives_them_back(void **state) {
    (void)state;
    struct pages *p = open_pages(4);
    struct sequence s;
    assert_int_equal(sequence_open(&s, 100, NULL), 0);
    assert_int_equal(sequence_reserve(&s, p, 0), 0);
    assert_int_equal(s.n_pages, 0);
    assert_int_equal(sequence_reserve(&s, p, 16), 0);
    assert_int_equal(s.n_pages, 1);
    assert_int_equal(sequence_reserve(&s, p, 17), 0);
    assert_int_equal(s.n_pages, 2);
    assert_int_equal(sequence_reserve(&s, p, 5), 0); /* never shrinks */
    assert_int_equal(s.n_pages, 2);
    assert_int_equal(pages_free(p), 2);
    sequence_close(&s, p);
    assert_int_equal(pages_free(p), 4);
    assert_null(s.pages);
    pages_close(p);
}

static void test_sequence_counts_what_it_took_when_the_arena_runs_out(void **state) {
    (void)state;
    struct pages *p = open_pages(3);
    struct sequence s;
    assert_int_equal(sequence_open(&s, 1000, NULL), 0);
    assert_int_equal(sequence_reserve(&s, p, 16 * 3 + 1), ERR_LIMIT);
    assert_int_equal(s.n_pages, 3);
    assert_int_equal(pages_free(p), 0);
    sequence_close(&s, p);
    assert_int_equal(pages_free(p), 3);
    pages_close(p);
}

static void test_sequence_refuses_more_positions_than_it_has_room_for(void **state) {
    (void)state;
    struct pages *p = open_pages(4);
    struct sequence s;
    assert_int_equal(sequence_open(&s, 17, NULL), 0);
    assert_int_equal(sequence_reserve(&s, p, 32), 0);
    assert_int_equal(sequence_reserve(&s, p, 33), ERR_LIMIT);
    assert_int_equal(sequence_reserve(&s, p, UINT32_MAX), ERR_LIMIT);
    assert_int_equal(s.n_pages, 2);
    sequence_close(&s, p);
    pages_close(p);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_budget_is_rounded_down_to_whole_pages),
        cmocka_unit_test(test_budget_without_room_for_a_page_is_refused),
        cmocka_unit_test(test_budget_larger_than_memory_is_refused),
        cmocka_unit_test(test_every_page_is_given_once),
        cmocka_unit_test(test_page_returns_with_its_last_reference),
        cmocka_unit_test(test_heads_of_a_page_do_not_overlap),
        cmocka_unit_test(test_parts_of_a_head_lie_one_after_the_other),
        cmocka_unit_test(test_copied_positions_are_those_asked_for_in_every_layer_and_head),
        cmocka_unit_test(test_broken_counts_stop_the_process),
        cmocka_unit_test(test_sequence_takes_pages_as_it_grows_and_gives_them_back),
        cmocka_unit_test(test_sequence_counts_what_it_took_when_the_arena_runs_out),
        cmocka_unit_test(test_sequence_refuses_more_positions_than_it_has_room_for),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
