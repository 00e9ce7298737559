/* pretokenize_test.c - the matchers beside real regular expressions, and the names.
 *
 * The vectors come from tests/tools/make_pretokenize_vectors.py. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/vocab.h"
#include "worker/engine/pretokenize.h"

#define MAX_BYTES 4096

struct collected {
    const json_t *wanted;
    size_t count;
};

static int collect(void *context, const glyph *piece, size_t n) {
    struct collected *c = context;
    uint8_t text[MAX_BYTES];
    size_t size = 0;
    assert_true(n > 0 && n < MAX_BYTES / UTF8_MAX_BYTES);
    for (size_t i = 0; i < n; i++) {
        size += utf8_write(text + size, glyph_code(piece[i]));
    }
    text[size] = '\0';
    const char *wanted = json_string_value(json_array_get(c->wanted, c->count++));
    assert_non_null(wanted);
    assert_string_equal((const char *)text, wanted);
    return 0;
}

/* The text is its pieces, one behind the other. */
static size_t read_text(const json_t *pieces, glyph *out) {
    size_t n = 0, used;
    for (size_t i = 0; i < json_array_size(pieces); i++) {
        const uint8_t *s = (const uint8_t *)json_string_value(json_array_get(pieces, i));
        for (size_t left = strlen((const char *)s); left > 0; left -= used, s += used) {
            out[n++] = glyph_make(utf8_read(s, left, &used));
            assert_true(n < MAX_BYTES);
        }
    }
    return n;
}

static void test_pieces_are_those_of_the_regular_expressions(void **state) {
    (void)state;
    json_error_t problem;
    json_t *vectors = json_load_file(QUIRE_SOURCE_DIR "/tests/data/pretokenize.json", 0, &problem);
    assert_non_null(vectors);
    assert_true(json_array_size(vectors) > 1000);
    for (size_t i = 0; i < json_array_size(vectors); i++) {
        const json_t *v = json_array_get(vectors, i);
        const char *name = json_string_value(json_object_get(v, "name"));
        const struct pretokenizer *p = pretokenizer_find(bytes_of(name));
        struct collected c = {json_object_get(v, "pieces"), 0};
        glyph text[MAX_BYTES];
        assert_non_null(p);
        pretokenize(p, text, read_text(c.wanted, text), collect, &c);
        assert_int_equal(c.count, json_array_size(c.wanted));
    }
    json_decref(vectors);
}

static void test_names_of_one_family_share_their_passes(void **state) {
    (void)state;
    static const char *const families[][15] = {
        {"gpt-2", "phi-2", "mpt", "olmo", "jais", "trillion", "granite-docling"},
        {"starcoder", "smollm", "refact", "command-r", "codeshell", "exaone", "minerva-7b"},
        {"llama-bpe", "llama3", "llama-v3", "falcon3", "pixtral", "lfm2", "dbrx", "smaug-bpe",
         "chatglm-bpe", "glm4"},
        {"qwen2", "deepseek-r1-qwen", "stablelm2", "hunyuan"},
        {"qwen35"},
        {"tekken"},
        {"default"},
        {"falcon"},
    };
    for (size_t f = 0; f < sizeof families / sizeof families[0]; f++) {
        const struct pretokenizer *first = pretokenizer_find(bytes_of(families[f][0]));
        assert_non_null(first);
        for (size_t i = 0; families[f][i] != NULL; i++) {
            const struct pretokenizer *p = pretokenizer_find(bytes_of(families[f][i]));
            assert_non_null(p);
            assert_string_equal(p->name, families[f][i]);
            assert_memory_equal(p->passes, first->passes, sizeof p->passes);
        }
    }
}

static void test_some_names_force_flags(void **state) {
    (void)state;
    static const char *const forcing[] = {"llama3",  "llama-v3", "llama-bpe", "falcon3",
                                          "pixtral", "lfm2",     "tekken"};
    for (size_t i = 0; i < sizeof forcing / sizeof forcing[0]; i++) {
        const struct pretokenizer *p = pretokenizer_find(bytes_of(forcing[i]));
        assert_true(p->add_bos && p->ignore_merges);
    }
    static const char *const silent[] = {"dbrx", "smaug-bpe", "glm4", "gpt-2", "smollm", "default"};
    for (size_t i = 0; i < sizeof silent / sizeof silent[0]; i++) {
        const struct pretokenizer *p = pretokenizer_find(bytes_of(silent[i]));
        assert_false(p->add_bos || p->ignore_merges);
    }
}

static void test_unknown_names_are_not_found(void **state) {
    (void)state;
    assert_null(pretokenizer_find(bytes_of("gpt-")));
    assert_null(pretokenizer_find(bytes_of("gpt-22")));
    assert_null(pretokenizer_find(bytes_of("")));
}

static int stop_at_second(void *context, const glyph *piece, size_t n) {
    (void)piece;
    (void)n;
    return ++*(int *)context == 2 ? -7 : 0;
}

static void test_a_callers_error_ends_the_cutting(void **state) {
    (void)state;
    glyph text[] = {glyph_make('a'), glyph_make('1'), glyph_make('b')};
    int calls = 0;
    const struct pretokenizer *p = pretokenizer_find(bytes_of("default"));
    assert_int_equal(pretokenize(p, text, 3, stop_at_second, &calls), -7);
    assert_int_equal(calls, 2);
}

static void expect_reading(const char *bytes, size_t size, uint32_t code, size_t used) {
    size_t n;
    assert_int_equal(utf8_read((const uint8_t *)bytes, size, &n), code);
    assert_int_equal(n, used);
}

static void test_ill_formed_bytes_are_replaced_one_by_one(void **state) {
    (void)state;
    expect_reading("A", 1, 'A', 1);
    expect_reading("\xC3\xA9", 2, 0xE9, 2);
    expect_reading("\xE2\x96\x81", 3, 0x2581, 3);
    expect_reading("\xF4\x8F\xBF\xBF", 4, 0x10FFFF, 4);
    expect_reading("\x80", 1, UNICODE_REPLACEMENT, 1);
    expect_reading("\xC3", 1, UNICODE_REPLACEMENT, 1);             /* cut */
    expect_reading("\xE2\x96", 2, UNICODE_REPLACEMENT, 1);         /* cut */
    expect_reading("\xC0\xAF", 2, UNICODE_REPLACEMENT, 1);         /* overlong */
    expect_reading("\xE0\x80\xAF", 3, UNICODE_REPLACEMENT, 1);     /* overlong */
    expect_reading("\xED\xA0\x80", 3, UNICODE_REPLACEMENT, 1);     /* surrogate */
    expect_reading("\xF4\x90\x80\x80", 4, UNICODE_REPLACEMENT, 1); /* past the last */
    expect_reading("\xFF\xFF", 2, UNICODE_REPLACEMENT, 1);
}

static void test_the_quick_classes_of_ascii_are_the_tables(void **state) {
    (void)state;
    for (uint32_t code = 0; code < 128; code++) {
        size_t i = unicode_range_count;
        while (unicode_ranges[i - 1] >> 8 > code) {
            i--;
        }
        assert_int_equal(unicode_classes(code), unicode_ranges[i - 1] & 0xFF);
    }
    assert_int_equal(unicode_classes(0xE9), UNICODE_LETTER);
    assert_int_equal(unicode_classes(0x301), UNICODE_MARK);
    assert_int_equal(unicode_classes(0x4E2D), UNICODE_LETTER);
    assert_int_equal(unicode_classes(0x2028), UNICODE_SPACE);
    assert_int_equal(unicode_classes(0x378), 0);
    assert_int_equal(unicode_classes(0x10FFFF), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pieces_are_those_of_the_regular_expressions),
        cmocka_unit_test(test_names_of_one_family_share_their_passes),
        cmocka_unit_test(test_some_names_force_flags),
        cmocka_unit_test(test_unknown_names_are_not_found),
        cmocka_unit_test(test_a_callers_error_ends_the_cutting),
        cmocka_unit_test(test_ill_formed_bytes_are_replaced_one_by_one),
        cmocka_unit_test(test_the_quick_classes_of_ascii_are_the_tables),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
