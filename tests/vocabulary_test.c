/* vocabulary_test.c - damaged and hostile vocabularies are refused with a sentence, or put right.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "tests/support/gguf_writer.h"
#include "tests/support/vocab.h"
#include "worker/engine/vocabulary.h"

enum { TOKENS = 6 };
static char *const texts[TOKENS] = {"a", "b", "ab", "<|im_end|>", "", "a"};

/* A small vocabulary, written key by key so that a test can bend one. */
static void write_vocabulary(struct gguf_writer *w) {
    static const int32_t types[TOKENS] = {1, 1, 1, 3, 1, 1};
    static const float scores[TOKENS] = {0};
    static char *const merges[] = {"a b", "nospace", " x", "x ", "c d", "a b"};
    gguf_put_string(w, "general.architecture", "llama");
    gguf_put_string(w, "tokenizer.ggml.model", "gpt2");
    gguf_put_string(w, "tokenizer.ggml.pre", "gpt-2");
    gguf_put_strings(w, "tokenizer.ggml.tokens", texts, TOKENS);
    gguf_put_i32s(w, "tokenizer.ggml.token_type", types, TOKENS);
    gguf_put_f32s(w, "tokenizer.ggml.scores", scores, TOKENS);
    gguf_put_strings(w, "tokenizer.ggml.merges", merges, 6);
    gguf_put_u32(w, "tokenizer.ggml.eos_token_id", 3);
    gguf_put_u32(w, "tokenizer.ggml.bos_token_id", 3);
    gguf_put_u32(w, "tokenizer.ggml.unknown_token_id", 0);
    gguf_put_u32(w, "tokenizer.ggml.eot_token_id", 3);
    gguf_put_bool(w, "tokenizer.ggml.add_bos_token", false);
}

/* Bytes of a value as they stand in the file. */
struct value {
    uint8_t bytes[256];
    size_t size;
};

static void put(struct value *v, const void *data, size_t size) {
    assert_true(v->size + size <= sizeof v->bytes);
    memcpy(v->bytes + v->size, data, size);
    v->size += size;
}

static void put_array(struct value *v, uint32_t type, uint64_t count) {
    put(v, &type, sizeof type);
    put(v, &count, sizeof count);
}

static int try_edit(struct gguf_edit edit, struct error *e) {
    struct gguf_writer w;
    struct tokenizer *t;
    gguf_writer_open(&w);
    w.edit = edit;
    write_vocabulary(&w);
    int rc = vocab_open_writer(&w, &t, e);
    tokenizer_close(t);
    gguf_writer_close(&w);
    return rc;
}

/* With another value for key, opening fails with code and a sentence that names it. */
static void expect_refusal(const char *key, uint32_t type, const struct value *v, int code) {
    struct error e = {0};
    struct gguf_edit edit = {
        .name = key, .what = EDIT_VALUE, .type = type, .value = v->bytes, .value_bytes = v->size};
    assert_int_equal(try_edit(edit, &e), code);
    assert_int_equal(e.code, code);
    if (strstr(e.text, key) == NULL) {
        fail_msg("'%s' does not name %s", e.text, key);
    }
}

static void test_a_sound_vocabulary_opens(void **state) {
    (void)state;
    struct error e = {0};
    assert_int_equal(try_edit((struct gguf_edit){0}, &e), 0);
}

static void test_missing_keys_are_named(void **state) {
    (void)state;
    static const char *const needed[] = {"tokenizer.ggml.model", "tokenizer.ggml.tokens",
                                         "tokenizer.ggml.merges"};
    for (size_t i = 0; i < 3; i++) {
        struct error e = {0};
        struct gguf_edit edit = {.name = needed[i], .what = EDIT_DROP};
        assert_int_equal(try_edit(edit, &e), ERR_BAD_MODEL);
        assert_non_null(strstr(e.text, needed[i]));
    }
    static const char *const spare[] = {"tokenizer.ggml.token_type", "tokenizer.ggml.scores",
                                        "tokenizer.ggml.eos_token_id", "tokenizer.ggml.pre"};
    for (size_t i = 0; i < 4; i++) {
        struct error e = {0};
        struct gguf_edit edit = {.name = spare[i], .what = EDIT_DROP};
        assert_int_equal(try_edit(edit, &e), 0);
    }
}

static void test_unknown_kinds_are_named(void **state) {
    (void)state;
    struct value v = {0};
    uint64_t size = 4;
    put(&v, &size, 8);
    put(&v, "bert", 4);
    expect_refusal("tokenizer.ggml.model", GW_STRING, &v, ERR_UNSUPPORTED);
    expect_refusal("tokenizer.ggml.pre", GW_STRING, &v, ERR_UNSUPPORTED);
    struct error e = {0};
    struct gguf_edit edit = {"tokenizer.ggml.pre", EDIT_VALUE, GW_STRING, v.bytes, v.size, {0}, 0};
    assert_int_equal(try_edit(edit, &e), ERR_UNSUPPORTED);
    assert_non_null(strstr(e.text, "bert"));
}

static void test_arrays_that_are_too_short_are_refused(void **state) {
    (void)state;
    struct value types = {0}, scores = {0};
    put_array(&types, GW_I32, TOKENS - 1);
    put(&types, (const int32_t[TOKENS]){1, 1, 1, 1, 1}, 4 * (TOKENS - 1));
    expect_refusal("tokenizer.ggml.token_type", GW_ARRAY, &types, ERR_BAD_MODEL);
    put_array(&scores, GW_F32, 0);
    expect_refusal("tokenizer.ggml.scores", GW_ARRAY, &scores, ERR_BAD_MODEL);
}

static void test_arrays_of_other_types_are_refused(void **state) {
    (void)state;
    struct value bytes = {0};
    put_array(&bytes, GW_U8, 2 * TOKENS);
    put(&bytes, texts, 2 * TOKENS);
    static const char *const keys[] = {"tokenizer.ggml.token_type", "tokenizer.ggml.scores",
                                       "tokenizer.ggml.tokens", "tokenizer.ggml.merges"};
    for (size_t i = 0; i < 4; i++) {
        expect_refusal(keys[i], GW_ARRAY, &bytes, ERR_BAD_MODEL);
    }
}

static void test_an_empty_vocabulary_is_refused(void **state) {
    (void)state;
    struct value none = {0};
    put_array(&none, GW_STRING, 0);
    expect_refusal("tokenizer.ggml.tokens", GW_ARRAY, &none, ERR_BAD_MODEL);
}

static void test_types_and_scores_out_of_range_are_refused(void **state) {
    (void)state;
    struct value types = {0}, scores = {0};
    put_array(&types, GW_I32, TOKENS);
    put(&types, (const int32_t[TOKENS]){1, 1, -1, 1, 1, 1}, 4 * TOKENS);
    expect_refusal("tokenizer.ggml.token_type", GW_ARRAY, &types, ERR_BAD_MODEL);
    put_array(&scores, GW_F32, TOKENS);
    put(&scores, (const uint32_t[TOKENS]){0, 0x7FC00000}, 4 * TOKENS);
    expect_refusal("tokenizer.ggml.scores", GW_ARRAY, &scores, ERR_BAD_MODEL);
}

static void test_ids_past_the_vocabulary_are_refused(void **state) {
    (void)state;
    static const char *const keys[] = {"tokenizer.ggml.bos_token_id", "tokenizer.ggml.eos_token_id",
                                       "tokenizer.ggml.unknown_token_id",
                                       "tokenizer.ggml.eot_token_id"};
    for (size_t i = 0; i < 4; i++) {
        struct value v = {0};
        put(&v, (const uint32_t[]){TOKENS}, 4);
        expect_refusal(keys[i], GW_U32, &v, ERR_BAD_MODEL);
        struct value negative = {0};
        put(&negative, (const int32_t[]){-1}, 4);
        expect_refusal(keys[i], GW_I32, &negative, ERR_BAD_MODEL);
    }
}

static void test_a_token_of_absurd_length_is_refused(void **state) {
    (void)state;
    struct vocab v = {.pre = "gpt-2"};
    struct tokenizer *t;
    struct error e = {0};
    char *text = malloc(VOCABULARY_MAX_TOKEN_BYTES + 2);
    assert_non_null(text);
    memset(text, 'x', VOCABULARY_MAX_TOKEN_BYTES + 1);
    text[VOCABULARY_MAX_TOKEN_BYTES + 1] = '\0';
    vocab_add(&v, text, TOKEN_NORMAL, 0);
    vocab_add_merge(&v, "a b");
    assert_int_equal(vocab_try(&v, &t, &e), ERR_BAD_MODEL);
    assert_non_null(strstr(e.text, "tokenizer.ggml.tokens"));
    assert_null(t);
    free(text);
    vocab_clear(&v);
}

static void test_empty_and_repeated_tokens_are_put_right(void **state) {
    (void)state;
    struct gguf_writer w;
    struct tokenizer *t;
    struct error e = {0};
    gguf_writer_open(&w);
    write_vocabulary(&w);
    assert_int_equal(vocab_open_writer(&w, &t, &e), 0);
    struct bytes named = tokenizer_text(t, 4);
    assert_int_equal(named.size, strlen("[EMPTY_4]"));
    assert_memory_equal(named.data, "[EMPTY_4]", named.size);
    assert_int_equal(tokenizer_find(t, bytes_of("a")), 5); /* the later one */
    const int32_t ids[] = {2, 1};                          /* and what has no token is left out */
    vocab_expect(t, bytes_of("abczb"), TOKENIZE_PLAIN, ids, 2);
    tokenizer_close(t);
    gguf_writer_close(&w);
}

static void test_no_special_token_is_known_by_default_where_there_is_none(void **state) {
    (void)state;
    struct vocab v = {.pre = "gpt-2"};
    vocab_add_bytes(&v); /* id 11 is a byte like any other */
    vocab_add_merge(&v, "a b");
    struct tokenizer *t = vocab_make(&v);
    assert_int_equal(tokenizer_bos(t), -1);
    assert_int_equal(tokenizer_eos(t), -1);
    assert_false(tokenizer_ends(t, 11));
    tokenizer_close(t);
    vocab_clear(&v);
}

static void test_texts_are_found_by_their_bytes(void **state) {
    (void)state;
    struct text_table t = {0};
    for (uint32_t i = 0; i < 5000; i++) {
        uint32_t number;
        struct bytes text = {(const uint8_t *)&i, i % 5 == 0 ? 3 : 4};
        assert_int_equal(text_table_append(&t, text, &number), 0);
        assert_int_equal(number, i);
    }
    for (uint32_t i = 0; i < 5000; i++) {
        struct bytes text = {(const uint8_t *)&i, i % 5 == 0 ? 3 : 4};
        assert_int_equal(text_table_find(&t, text), i);
        assert_memory_equal(text_table_at(&t, i).data, &i, text.size);
    }
    uint32_t unknown = 77777, number;
    struct bytes text = {(const uint8_t *)&unknown, 4};
    assert_int_equal(text_table_find(&t, text), TEXT_NONE);
    assert_int_equal(text_table_intern(&t, text, &number), 0);
    assert_int_equal(number, 5000);
    assert_int_equal(text_table_intern(&t, text, &number), 0);
    assert_int_equal(number, 5000);
    text_table_clear(&t);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_sound_vocabulary_opens),
        cmocka_unit_test(test_missing_keys_are_named),
        cmocka_unit_test(test_unknown_kinds_are_named),
        cmocka_unit_test(test_arrays_that_are_too_short_are_refused),
        cmocka_unit_test(test_arrays_of_other_types_are_refused),
        cmocka_unit_test(test_an_empty_vocabulary_is_refused),
        cmocka_unit_test(test_types_and_scores_out_of_range_are_refused),
        cmocka_unit_test(test_ids_past_the_vocabulary_are_refused),
        cmocka_unit_test(test_a_token_of_absurd_length_is_refused),
        cmocka_unit_test(test_empty_and_repeated_tokens_are_put_right),
        cmocka_unit_test(test_no_special_token_is_known_by_default_where_there_is_none),
        cmocka_unit_test(test_texts_are_found_by_their_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
