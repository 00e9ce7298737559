/* cursor_test.c - msgpack values one by one, whole, cut and lying about their size. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "proto/cursor.h"
#include "proto/limits.h"

#define OVER(...)                                                                                  \
    cursor_over(                                                                                   \
        (struct bytes){(const uint8_t[]){__VA_ARGS__}, sizeof((const uint8_t[]){__VA_ARGS__})})

static struct value read_one(struct cursor c) {
    struct value v;
    struct error e;
    assert_int_equal(cursor_next(&c, &v, &e), 0);
    assert_int_equal(cursor_left(&c), 0);
    return v;
}

static void assert_uint(struct cursor c, uint64_t expected) {
    struct value v = read_one(c);
    assert_int_equal(v.kind, VALUE_UINT);
    assert_true(v.uint == expected);
}

static void assert_int(struct cursor c, int64_t expected) {
    struct value v = read_one(c);
    assert_int_equal(v.kind, VALUE_INT);
    assert_true(v.sint == expected);
}

static void assert_refused(struct cursor c) {
    struct value v;
    struct error e = {0};
    struct cursor again = c;
    assert_int_equal(cursor_next(&c, &v, &e), ERR_BAD_MESSAGE);
    assert_int_not_equal(e.text[0], '\0');
    assert_int_equal(cursor_skip(&again, &e), ERR_BAD_MESSAGE);
}

static void test_integers_of_every_encoding_are_read(void **state) {
    (void)state;
    assert_uint(OVER(0x00), 0);
    assert_uint(OVER(0x7f), 127);
    assert_uint(OVER(0xcc, 0xff), 255);
    assert_uint(OVER(0xcd, 0x01, 0x02), 0x102);
    assert_uint(OVER(0xce, 0xff, 0xff, 0xff, 0xff), UINT32_MAX);
    assert_uint(OVER(0xcf, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff), UINT64_MAX);
    assert_uint(OVER(0xd0, 0x7f), 127); /* signed forms of numbers that are not negative */
    assert_uint(OVER(0xd3, 0, 0, 0, 0, 0, 0, 0, 5), 5);
    assert_int(OVER(0xff), -1);
    assert_int(OVER(0xe0), -32);
    assert_int(OVER(0xd0, 0x80), -128);
    assert_int(OVER(0xd1, 0x80, 0x00), INT16_MIN);
    assert_int(OVER(0xd2, 0x80, 0, 0, 0), INT32_MIN);
    assert_int(OVER(0xd3, 0x80, 0, 0, 0, 0, 0, 0, 0), INT64_MIN);
}

static void test_other_scalars_are_read(void **state) {
    (void)state;
    assert_int_equal(read_one(OVER(0xc0)).kind, VALUE_NIL);
    assert_true(read_one(OVER(0xc3)).boolean);
    assert_false(read_one(OVER(0xc2)).boolean);
    assert_true(read_one(OVER(0xca, 0x3f, 0x80, 0, 0)).real == 1.0);
    assert_true(read_one(OVER(0xcb, 0xbf, 0xf0, 0, 0, 0, 0, 0, 0)).real == -1.0);
}

static void test_strings_binaries_and_extensions_borrow_their_bytes(void **state) {
    (void)state;
    struct value v = read_one(OVER(0xa2, 'h', 'i'));
    assert_int_equal(v.kind, VALUE_STR);
    assert_int_equal(v.bytes.size, 2);
    assert_memory_equal(v.bytes.data, "hi", 2);
    assert_int_equal(read_one(OVER(0xd9, 1, 'x')).bytes.size, 1);
    assert_int_equal(read_one(OVER(0xda, 0, 1, 'x')).bytes.size, 1);
    assert_int_equal(read_one(OVER(0xdb, 0, 0, 0, 1, 'x')).bytes.size, 1);
    assert_int_equal(read_one(OVER(0xc4, 0)).kind, VALUE_BIN);
    assert_int_equal(read_one(OVER(0xc5, 0, 1, 9)).bytes.size, 1);
    assert_int_equal(read_one(OVER(0xc6, 0, 0, 0, 1, 9)).bytes.size, 1);
    assert_int_equal(read_one(OVER(0xd4, 1, 2)).kind, VALUE_EXT);
    assert_int_equal(read_one(OVER(0xd6, 1, 2, 3, 4, 5)).kind, VALUE_EXT);
    assert_int_equal(read_one(OVER(0xc7, 2, 1, 8, 9)).kind, VALUE_EXT);
}

static void test_values_cut_short_are_refused(void **state) {
    (void)state;
    assert_refused(cursor_over((struct bytes){NULL, 0}));
    assert_refused(OVER(0xcc));
    assert_refused(OVER(0xcd, 1));
    assert_refused(OVER(0xce, 1, 2, 3));
    assert_refused(OVER(0xcf, 1, 2, 3, 4, 5, 6, 7));
    assert_refused(OVER(0xca, 1, 2, 3));
    assert_refused(OVER(0xa1));
    assert_refused(OVER(0xd9));
    assert_refused(OVER(0xd4, 1));
    assert_refused(OVER(0xc7, 1, 1));
}

static void test_declared_sizes_beyond_the_end_are_refused(void **state) {
    (void)state;
    assert_refused(OVER(0xdb, 0xff, 0xff, 0xff, 0xff, 'x'));
    assert_refused(OVER(0xc6, 0xff, 0xff, 0xff, 0xff, 'x'));
    assert_refused(OVER(0xc9, 0xff, 0xff, 0xff, 0xff, 'x'));
    assert_refused(OVER(0xdd, 0xff, 0xff, 0xff, 0xff, 'x'));
    assert_refused(OVER(0xdf, 0xff, 0xff, 0xff, 0xff, 'x'));
    assert_refused(OVER(0x92, 0x01));       /* two elements, one byte */
    assert_refused(OVER(0x82, 0xa0, 0, 0)); /* two pairs, three bytes */
}

static void test_the_unused_byte_is_refused(void **state) {
    (void)state;
    assert_refused(OVER(0xc1));
}

static void test_skip_passes_over_exactly_one_value(void **state) {
    (void)state;
    struct cursor c = OVER(0x82, 0xa1, 'a', 0x93, 1, 2, 0x80, 0xa1, 'b', 0x91, 0xc0, 0x07);
    struct error e;
    assert_int_equal(cursor_skip(&c, &e), 0);
    assert_int_equal(cursor_left(&c), 1);
    assert_int_equal(*c.at, 0x07);
}

static void test_skip_refuses_what_is_nested_too_deep(void **state) {
    (void)state;
    uint8_t deep[100000];
    struct error e;
    memset(deep, 0x91, sizeof deep);
    struct cursor c = cursor_over((struct bytes){deep, sizeof deep});
    assert_int_equal(cursor_skip(&c, &e), ERR_LIMIT);
    deep[LIMIT_DEPTH + 1] = 0xc0; /* one array too many around a nil */
    c = cursor_over((struct bytes){deep, LIMIT_DEPTH + 2});
    assert_int_equal(cursor_skip(&c, &e), ERR_LIMIT);
    deep[LIMIT_DEPTH] = 0xc0; /* LIMIT_DEPTH arrays around a nil */
    c = cursor_over((struct bytes){deep, LIMIT_DEPTH + 1});
    assert_int_equal(cursor_skip(&c, &e), 0);
    assert_int_equal(cursor_left(&c), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_integers_of_every_encoding_are_read),
        cmocka_unit_test(test_other_scalars_are_read),
        cmocka_unit_test(test_strings_binaries_and_extensions_borrow_their_bytes),
        cmocka_unit_test(test_values_cut_short_are_refused),
        cmocka_unit_test(test_declared_sizes_beyond_the_end_are_refused),
        cmocka_unit_test(test_the_unused_byte_is_refused),
        cmocka_unit_test(test_skip_passes_over_exactly_one_value),
        cmocka_unit_test(test_skip_refuses_what_is_nested_too_deep),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
