/* stream_test.c - text shown to clients: whole characters, and nothing of a stop string. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/utf8.h"
#include "worker/stream.h"

#define OUT_BYTES 4096

struct shown {
    char text[OUT_BYTES];
    size_t size;
};

static struct bytes text_bytes(const char *text) {
    return (struct bytes){(const uint8_t *)text, strlen(text)};
}

static void collect(struct stream *s, struct shown *out) {
    struct bytes ready = stream_ready(s);
    assert_true(utf8_valid(ready.data, ready.size));
    assert_true(out->size + ready.size < OUT_BYTES);
    if (ready.size > 0)
        memcpy(out->text + out->size, ready.data, ready.size);
    out->size += ready.size;
    out->text[out->size] = '\0';
    stream_take(s);
}

static void push(struct stream *s, const char *piece, struct shown *out) {
    assert_int_equal(stream_push(s, text_bytes(piece)), 0);
    collect(s, out);
}

static void open_with(struct stream *s, const char *const *stops, size_t n) {
    struct bytes list[LIMIT_STOPS] = {{NULL, 0}};
    for (size_t i = 0; i < n; i++)
        list[i] = text_bytes(stops[i]);
    assert_int_equal(stream_open(s, list, n), 0);
}

static void test_plain_text_is_shown_at_once(void **state) {
    (void)state;
    struct stream s;
    struct shown out = {.size = 0};
    open_with(&s, NULL, 0);
    push(&s, "Hello", &out);
    assert_string_equal(out.text, "Hello");
    push(&s, "", &out);
    push(&s, " world", &out);
    assert_string_equal(out.text, "Hello world");
    assert_int_equal(stream_finish(&s), 0);
    collect(&s, &out);
    assert_string_equal(out.text, "Hello world");
    stream_close(&s);
}

static void test_a_character_in_parts_is_shown_when_it_is_whole(void **state) {
    (void)state;
    struct stream s;
    struct shown out = {.size = 0};
    open_with(&s, NULL, 0);
    push(&s, "a\xf0\x9f", &out);
    assert_string_equal(out.text, "a");
    push(&s, "\x98", &out);
    assert_string_equal(out.text, "a");
    push(&s, "\x80z", &out);
    assert_string_equal(out.text, "a\xf0\x9f\x98\x80z");
    stream_close(&s);
}

static void test_bytes_that_can_be_no_character_show_as_replacement(void **state) {
    (void)state;
    struct stream s;
    struct shown out = {.size = 0};
    open_with(&s, NULL, 0);
    push(&s, "a\x80", &out);
    assert_string_equal(out.text, "a\xef\xbf\xbd");
    push(&s, "\xc3", &out);
    push(&s, "b", &out); /* the half character before it is hopeless now */
    assert_string_equal(out.text, "a\xef\xbf\xbd\xef\xbf\xbd"
                                  "b");
    stream_close(&s);
}

static void test_half_a_character_at_the_end_becomes_replacement(void **state) {
    (void)state;
    struct stream s;
    struct shown out = {.size = 0};
    open_with(&s, NULL, 0);
    push(&s, "x\xe2\x82", &out);
    assert_string_equal(out.text, "x");
    assert_int_equal(stream_finish(&s), 0);
    collect(&s, &out);
    assert_string_equal(out.text, "x\xef\xbf\xbd");
    stream_close(&s);
}

static void test_a_stop_string_ends_the_text_before_it(void **state) {
    (void)state;
    struct stream s;
    struct shown out = {.size = 0};
    const char *stops[] = {"STOP"};
    open_with(&s, stops, 1);
    push(&s, "one STOP two", &out);
    assert_true(s.stopped);
    assert_string_equal(out.text, "one ");
    push(&s, "more", &out);
    assert_int_equal(stream_finish(&s), 0);
    collect(&s, &out);
    assert_string_equal(out.text, "one ");
    stream_close(&s);
}

static void test_what_may_become_a_stop_string_is_held_back(void **state) {
    (void)state;
    struct stream s;
    struct shown out = {.size = 0};
    const char *stops[] = {"\nUser:"};
    open_with(&s, stops, 1);
    push(&s, "yes\n", &out);
    assert_string_equal(out.text, "yes");
    push(&s, "Us", &out);
    assert_string_equal(out.text, "yes");
    push(&s, "er", &out);
    assert_string_equal(out.text, "yes");
    push(&s, ":", &out);
    assert_string_equal(out.text, "yes");
    assert_true(s.stopped);
    stream_close(&s);
}

static void test_held_text_is_shown_when_it_becomes_none(void **state) {
    (void)state;
    struct stream s;
    struct shown out = {.size = 0};
    const char *stops[] = {"\nUser:"};
    open_with(&s, stops, 1);
    push(&s, "yes\nUs", &out);
    push(&s, "ed", &out);
    assert_string_equal(out.text, "yes\nUsed");
    push(&s, "\nU", &out);
    assert_string_equal(out.text, "yes\nUsed");
    assert_int_equal(stream_finish(&s), 0);
    collect(&s, &out);
    assert_string_equal(out.text, "yes\nUsed\nU");
    assert_false(s.stopped);
    stream_close(&s);
}

static void test_a_stop_string_that_overlaps_itself_is_found(void **state) {
    (void)state;
    struct stream s;
    struct shown out = {.size = 0};
    const char *stops[] = {"aab"};
    open_with(&s, stops, 1);
    push(&s, "caaa", &out);
    assert_string_equal(out.text, "ca");
    push(&s, "b", &out);
    assert_true(s.stopped);
    assert_string_equal(out.text, "ca");
    stream_close(&s);
}

static void test_of_stops_that_complete_together_the_longest_counts(void **state) {
    (void)state;
    struct stream s;
    struct shown out = {.size = 0};
    const char *stops[] = {"c", "abc"};
    open_with(&s, stops, 2);
    assert_int_equal(s.stop, -1);
    push(&s, "xabc", &out);
    assert_true(s.stopped);
    assert_int_equal(s.stop, 1);
    assert_string_equal(out.text, "x");
    stream_close(&s);
}

static void test_a_stop_string_of_long_characters_is_cut_at_a_character(void **state) {
    (void)state;
    struct stream s;
    struct shown out = {.size = 0};
    const char *stops[] = {"\xc3\xa9!"};
    open_with(&s, stops, 1);
    push(&s, "caf\xc3", &out);
    push(&s, "\xa9", &out);
    assert_string_equal(out.text, "caf");
    push(&s, "?", &out);
    assert_string_equal(out.text, "caf\xc3\xa9?");
    push(&s, "\xc3\xa9!", &out);
    assert_true(s.stopped);
    assert_string_equal(out.text, "caf\xc3\xa9?");
    stream_close(&s);
}

static void test_empty_stop_strings_never_match(void **state) {
    (void)state;
    struct stream s;
    struct shown out = {.size = 0};
    const char *stops[] = {"", "#"};
    open_with(&s, stops, 2);
    push(&s, "a", &out);
    assert_string_equal(out.text, "a");
    push(&s, "#", &out);
    assert_true(s.stopped);
    assert_int_equal(s.stop, 1); /* counted with the empty one */
    stream_close(&s);
}

static void test_of_equal_stop_strings_the_first_is_told(void **state) {
    (void)state;
    struct stream s;
    struct shown out = {.size = 0};
    const char *stops[] = {"z", "ab", "ab"};
    open_with(&s, stops, 3);
    push(&s, "a", &out);
    assert_int_equal(s.stop, -1);
    push(&s, "b", &out);
    assert_int_equal(s.stop, 1);
    stream_close(&s);
}

static void test_stops_past_the_limits_are_refused(void **state) {
    (void)state;
    struct stream s;
    char long_stop[LIMIT_STOP_BYTES + 2];
    memset(long_stop, 'a', sizeof long_stop);
    struct bytes one = {(const uint8_t *)long_stop, LIMIT_STOP_BYTES + 1};
    assert_int_equal(stream_open(&s, &one, 1), ERR_LIMIT);
    one.size = LIMIT_STOP_BYTES;
    assert_int_equal(stream_open(&s, &one, 1), 0);
    stream_close(&s);
    struct bytes many[LIMIT_STOPS + 1];
    for (size_t i = 0; i <= LIMIT_STOPS; i++)
        many[i] = text_bytes("x");
    assert_int_equal(stream_open(&s, many, LIMIT_STOPS + 1), ERR_LIMIT);
}

/* ---- against a plain definition, with random texts cut in random places ---- */

static uint32_t seed = 12345;
static uint32_t draw(uint32_t n) {
    seed = seed * 1664525u + 1013904223u;
    return (seed >> 16) % n;
}

/* The text up to the first byte at which a stop string completes, less the longest that does. */
static size_t expected_size(const char *text, char stops[][8], size_t n, bool *stopped) {
    size_t size = strlen(text);
    for (size_t end = 1; end <= size; end++) {
        size_t longest = 0;
        for (size_t i = 0; i < n; i++) {
            size_t length = strlen(stops[i]);
            if (length <= end && length > longest &&
                memcmp(text + end - length, stops[i], length) == 0)
                longest = length;
        }
        if (longest > 0) {
            *stopped = true;
            return end - longest;
        }
    }
    *stopped = false;
    return size;
}

static void test_where_tokens_end_makes_no_difference(void **state) {
    (void)state;
    int n_stopped = 0;
    for (int round = 0; round < 3000; round++) {
        char text[64], stops[3][8];
        size_t size = 1 + draw(60), n_stops = 1 + draw(3);
        for (size_t i = 0; i < size; i++)
            text[i] = (char)('a' + draw(2));
        text[size] = '\0';
        const char *list[3];
        for (size_t i = 0; i < n_stops; i++) {
            size_t length = 2 + draw(6);
            for (size_t j = 0; j < length; j++)
                stops[i][j] = (char)('a' + draw(2));
            stops[i][length < 8 ? length : 7] = '\0';
            list[i] = stops[i];
        }
        bool stopped;
        size_t expected = expected_size(text, stops, n_stops, &stopped);
        n_stopped += stopped;

        struct stream s;
        struct shown out = {.size = 0};
        open_with(&s, list, n_stops);
        for (size_t at = 0; at < size;) {
            size_t n = 1 + draw(4);
            n = n < size - at ? n : size - at;
            assert_int_equal(stream_push(&s, (struct bytes){(const uint8_t *)text + at, n}), 0);
            collect(&s, &out);
            assert_true(out.size <= expected);
            at += n;
        }
        assert_int_equal(stream_finish(&s), 0);
        collect(&s, &out);
        assert_int_equal(s.stopped, stopped);
        assert_int_equal(out.size, expected);
        assert_memory_equal(out.text, text, expected);
        stream_close(&s);
    }
    assert_true(n_stopped > 100 && n_stopped < 2990); /* both outcomes were tried */
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_plain_text_is_shown_at_once),
        cmocka_unit_test(test_a_character_in_parts_is_shown_when_it_is_whole),
        cmocka_unit_test(test_bytes_that_can_be_no_character_show_as_replacement),
        cmocka_unit_test(test_half_a_character_at_the_end_becomes_replacement),
        cmocka_unit_test(test_a_stop_string_ends_the_text_before_it),
        cmocka_unit_test(test_what_may_become_a_stop_string_is_held_back),
        cmocka_unit_test(test_held_text_is_shown_when_it_becomes_none),
        cmocka_unit_test(test_a_stop_string_that_overlaps_itself_is_found),
        cmocka_unit_test(test_of_stops_that_complete_together_the_longest_counts),
        cmocka_unit_test(test_a_stop_string_of_long_characters_is_cut_at_a_character),
        cmocka_unit_test(test_empty_stop_strings_never_match),
        cmocka_unit_test(test_of_equal_stop_strings_the_first_is_told),
        cmocka_unit_test(test_stops_past_the_limits_are_refused),
        cmocka_unit_test(test_where_tokens_end_makes_no_difference),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
