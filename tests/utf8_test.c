/* utf8_test.c - valid, broken and unfinished UTF-8. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "common/utf8.h"

static bool valid(const char *s) {
    return utf8_valid((const uint8_t *)s, strlen(s));
}

static size_t complete(const char *s) {
    return utf8_complete((const uint8_t *)s, strlen(s));
}

static void assert_repaired(const char *in, const char *expected) {
    uint8_t out[UTF8_REPAIRED_BYTES(64)];
    size_t n = utf8_repair(out, (const uint8_t *)in, strlen(in));
    assert_int_equal(n, strlen(expected));
    assert_memory_equal(out, expected, n);
    assert_true(utf8_valid(out, n));
}

static void test_well_formed_text_is_valid(void **state) {
    (void)state;
    assert_true(utf8_valid(NULL, 0));
    assert_true(valid("plain ascii that is longer than eight bytes"));
    assert_true(valid("12345678\xc3\xa9"));
    assert_true(valid("\xc2\x80 \xdf\xbf \xe0\xa0\x80 \xed\x9f\xbf \xee\x80\x80 \xef\xbf\xbf"));
    assert_true(valid("\xf0\x90\x80\x80 \xf4\x8f\xbf\xbf"));
    assert_true(utf8_valid((const uint8_t *)"a\0b", 3));
}

static void test_malformed_text_is_not_valid(void **state) {
    (void)state;
    assert_false(valid("\x80"));             /* a continuation alone */
    assert_false(valid("\xc0\x80"));         /* overlong NUL */
    assert_false(valid("\xc1\xbf"));         /* overlong */
    assert_false(valid("\xe0\x9f\xbf"));     /* overlong */
    assert_false(valid("\xf0\x8f\xbf\xbf")); /* overlong */
    assert_false(valid("\xed\xa0\x80"));     /* surrogate */
    assert_false(valid("\xf4\x90\x80\x80")); /* above U+10FFFF */
    assert_false(valid("\xf5\x80\x80\x80"));
    assert_false(valid("\xff"));
    assert_false(valid("\xc3"));
    assert_false(valid("\xe2\x82"));
    assert_false(valid("12345678\xf0\x9f\x98"));
    assert_false(valid("\xc3(12345678"));
}

static void test_an_unfinished_sequence_at_the_end_is_held_back(void **state) {
    (void)state;
    assert_int_equal(utf8_complete(NULL, 0), 0);
    assert_int_equal(complete("abc"), 3);
    assert_int_equal(complete("ab\xc3"), 2);
    assert_int_equal(complete("ab\xc3\xa9"), 4);
    assert_int_equal(complete("a\xe2"), 1);
    assert_int_equal(complete("a\xe2\x82"), 1);
    assert_int_equal(complete("a\xe2\x82\xac"), 4);
    assert_int_equal(complete("\xf0"), 0);
    assert_int_equal(complete("\xf0\x9f"), 0);
    assert_int_equal(complete("\xf0\x9f\x98"), 0);
    assert_int_equal(complete("\xf0\x9f\x98\x80"), 4);
}

static void test_bytes_that_can_never_be_valid_are_not_waited_for(void **state) {
    (void)state;
    assert_int_equal(complete("a\xff"), 2);
    assert_int_equal(complete("a\x80\x80\x80\x80"), 5);
    assert_int_equal(complete("a\xed\xa0"), 3); /* a surrogate, whatever follows */
    assert_int_equal(complete("a\xf4\x90"), 3);
    assert_int_equal(complete("a\xc3\x28"), 3);
}

static void test_repair_puts_one_mark_for_each_broken_run(void **state) {
    (void)state;
    assert_repaired("fine \xe2\x82\xac", "fine \xe2\x82\xac");
    assert_repaired("a\xff", "a\xef\xbf\xbd");
    assert_repaired("\xe2\x82", "\xef\xbf\xbd");
    assert_repaired("\xe2\x82(", "\xef\xbf\xbd(");
    assert_repaired("\x80\x80", "\xef\xbf\xbd\xef\xbf\xbd");
    assert_repaired("\xed\xa0\x80", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_well_formed_text_is_valid),
        cmocka_unit_test(test_malformed_text_is_not_valid),
        cmocka_unit_test(test_an_unfinished_sequence_at_the_end_is_held_back),
        cmocka_unit_test(test_bytes_that_can_never_be_valid_are_not_waited_for),
        cmocka_unit_test(test_repair_puts_one_mark_for_each_broken_run),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
