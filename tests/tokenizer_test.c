/* tokenizer_test.c - special tokens, who may write them, and what tokens stand for. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "tests/support/vocab.h"
#include "worker/engine/vocabulary.h"

/* Ids of small_bpe, after the bytes. */
enum {
    IM_START = 256,
    IM_END,
    TILE,
    UTTERANCE,
    THINK,
    THINKING,
    NEWLINES,
    HELLO,
    UNUSED,
    SMALL_END
};

static void fill_small_bpe(struct vocab *v) {
    *v = (struct vocab){.pre = "smollm"};
    vocab_add_bytes(v);
    vocab_add(v, "<|im_start|>", TOKEN_CONTROL, 0);
    vocab_add(v, "<|im_end|>", TOKEN_CONTROL, 0);
    vocab_add(v, "<row_1_col_1>", TOKEN_USER_DEFINED, 0); /* as some converters mark it */
    vocab_add(v, "<end_of_utterance>", TOKEN_USER_DEFINED, 0);
    vocab_add(v, "<think", TOKEN_USER_DEFINED, 0);
    vocab_add(v, "<think>ing", TOKEN_USER_DEFINED, 0);
    vocab_add(v, "\xC4\x8A\xC4\x8A", TOKEN_NORMAL, 0);
    vocab_add(v, "\xC4\xA0Hello", TOKEN_NORMAL, 0);
    vocab_add(v, "<unused_1>", TOKEN_UNUSED, 0);
    vocab_add_merge(v, "\xC4\x8A \xC4\x8A");
    vocab_add_merge(v, "nowhere tobefound");
    vocab_add_merge(v, "nospace");
}

static struct tokenizer *small_bpe(void) {
    struct vocab v;
    fill_small_bpe(&v);
    struct tokenizer *t = vocab_make(&v);
    vocab_clear(&v);
    return t;
}

static void expect(const struct tokenizer *t, const char *text, int flags, const int32_t *ids,
                   size_t n) {
    vocab_expect(t, bytes_of(text), flags, ids, n);
}

/* Ids of text's bytes: what it becomes when nothing in it is a token. */
static void expect_bytes(const struct tokenizer *t, const char *text, int flags) {
    int32_t ids[256];
    size_t n = strlen(text);
    for (size_t i = 0; i < n; i++) {
        ids[i] = (uint8_t)text[i];
    }
    expect(t, text, flags, ids, n);
}

static void test_control_tokens_count_only_where_they_may(void **state) {
    (void)state;
    struct tokenizer *t = small_bpe();
    const int32_t ids[] = {IM_START, 'h', 'i', IM_END, '\n'};
    expect(t, "<|im_start|>hi<|im_end|>\n", TOKENIZE_SPECIAL, ids, 5);
    expect_bytes(t, "<|im_start|>hi<|im_end|>\n", TOKENIZE_PLAIN);
    tokenizer_close(t);
}

static void test_user_defined_tokens_count_everywhere(void **state) {
    (void)state;
    struct tokenizer *t = small_bpe();
    const int32_t ids[] = {'a', THINK, '>', 'b'}, longer[] = {THINKING, THINK};
    expect(t, "a<think>b", TOKENIZE_PLAIN, ids, 4);
    expect(t, "a<think>b", TOKENIZE_SPECIAL, ids, 4);
    expect(t, "<think>ing<think", TOKENIZE_PLAIN, longer, 2);
    tokenizer_close(t);
}

static void test_marks_that_steer_stay_text_even_when_user_defined(void **state) {
    (void)state;
    struct tokenizer *t = small_bpe();
    const int32_t ids[] = {TILE, UTTERANCE};
    expect_bytes(t, "<row_1_col_1>", TOKENIZE_PLAIN);
    expect_bytes(t, "<end_of_utterance>", TOKENIZE_PLAIN);
    expect(t, "<row_1_col_1><end_of_utterance>", TOKENIZE_SPECIAL, ids, 2);
    tokenizer_close(t);
}

static void encode_runs(const struct tokenizer *t, const struct tokenize_run *runs, size_t n,
                        struct token_list *out) {
    struct error e = {0};
    out->count = 0;
    assert_int_equal(tokenizer_encode_runs(t, runs, n, TOKENIZE_PLAIN, out, &e), 0);
}

static void test_runs_of_harmless_text_are_one_text(void **state) {
    (void)state;
    static const char *const names[] = {"ggml-vocab-gpt-2.gguf", "ggml-vocab-llama-spm.gguf"};
    const char *text = "User: What's  in\n\n the picture, 1234?  Caf\xC3\xA9";
    for (size_t i = 0; i < 2; i++) {
        struct tokenizer *t = vocab_open_golden("tokenizer", names[i]);
        struct token_list whole = {0}, parts = {0};
        struct error e = {0};
        assert_int_equal(tokenizer_encode(t, bytes_of(text), TOKENIZE_SPECIAL, &whole, &e), 0);
        for (size_t cut = 0; cut <= strlen(text); cut++) {
            struct tokenize_run runs[] = {
                {{(const uint8_t *)text, cut}, true},
                {{(const uint8_t *)text + cut, strlen(text) - cut}, false},
            };
            encode_runs(t, runs, 2, &parts);
            assert_int_equal(parts.count, whole.count);
            assert_memory_equal(parts.ids, whole.ids, whole.count * sizeof *whole.ids);
        }
        token_list_clear(&whole);
        token_list_clear(&parts);
        tokenizer_close(t);
    }
}

static void test_a_user_cannot_complete_a_control_token(void **state) {
    (void)state;
    struct tokenizer *t = small_bpe();
    struct token_list l = {0};
    const char *mark = "<|im_end|>";
    for (size_t cut = 0; cut <= strlen(mark); cut++) {
        struct bytes left = {(const uint8_t *)mark, cut};
        struct bytes right = {(const uint8_t *)mark + cut, strlen(mark) - cut};
        struct tokenize_run runs[] = {{left, true}, {right, false}};
        encode_runs(t, runs, 2, &l);
        assert_int_equal(l.count, cut == strlen(mark) ? 1 : strlen(mark));
        struct tokenize_run other[] = {{left, false}, {right, true}};
        encode_runs(t, other, 2, &l);
        assert_int_equal(l.count, cut == 0 ? 1 : strlen(mark));
        struct tokenize_run both[] = {{left, true}, {bytes_of(""), false}, {right, true}};
        encode_runs(t, both, 3, &l); /* all of it is the template's */
        assert_int_equal(l.count, 1);
    }
    token_list_clear(&l);
    tokenizer_close(t);
}

static void
test_plain_text_never_makes_a_control_token_of_a_sentencepiece_vocabulary(void **state) {
    (void)state;
    struct tokenizer *t = vocab_open_golden("tokenizer", "ggml-vocab-llama-spm.gguf");
    static const char *const texts[] = {"</s>", "<s>", "<unk>", "a</s>b", "<0x0A>"};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        struct token_list l = {0};
        struct error e = {0};
        assert_int_equal(tokenizer_encode(t, bytes_of(texts[i]), TOKENIZE_PLAIN, &l, &e), 0);
        for (size_t k = 0; k < l.count; k++) {
            assert_true(l.ids[k] > 258); /* unknown, control and bytes come first */
        }
        token_list_clear(&l);
    }
    const int32_t special[] = {2};
    expect(t, "</s>", TOKENIZE_SPECIAL, special, 1);
    tokenizer_close(t);
}

static void test_an_answer_ends_at_the_tokens_known_by_key_or_text(void **state) {
    (void)state;
    struct vocab v;
    fill_small_bpe(&v);
    v.eos = THINKING;
    struct tokenizer *t = vocab_make(&v);
    for (int32_t id = -1; id <= SMALL_END; id++) {
        bool ends = id == IM_END || id == UTTERANCE || id == THINKING;
        assert_int_equal(tokenizer_ends(t, id), ends);
    }
    assert_int_equal(tokenizer_eos(t), THINKING);
    assert_int_equal(tokenizer_bos(t), -1);
    vocab_clear(&v);
    tokenizer_close(t);
}

static void expect_piece(const struct tokenizer *t, int32_t id, const char *wanted) {
    struct bytes piece = tokenizer_piece(t, id);
    assert_int_equal(piece.size, strlen(wanted));
    assert_memory_equal(piece.data, wanted, piece.size);
}

static void test_pieces_of_a_byte_level_vocabulary(void **state) {
    (void)state;
    struct tokenizer *t = small_bpe();
    for (int32_t byte = 0; byte < 256; byte++) {
        struct bytes piece = tokenizer_piece(t, byte);
        assert_int_equal(piece.size, 1);
        assert_int_equal(piece.data[0], byte);
        assert_int_equal(tokenizer_find_piece(t, piece), byte);
    }
    expect_piece(t, HELLO, " Hello");
    expect_piece(t, NEWLINES, "\n\n");
    expect_piece(t, THINK, "<think");
    expect_piece(t, IM_END, "");
    expect_piece(t, UTTERANCE, ""); /* control, whatever the file says */
    expect_piece(t, UNUSED, "");
    expect_piece(t, -1, "");
    expect_piece(t, SMALL_END, "");
    assert_int_equal(tokenizer_find_piece(t, bytes_of("\n\n")), NEWLINES);
    assert_int_equal(tokenizer_find_piece(t, bytes_of(" Hello")), HELLO);
    assert_int_equal(tokenizer_find_piece(t, bytes_of("<|im_end|>")), -1);
    assert_int_equal(tokenizer_find_piece(t, bytes_of("")), -1);
    assert_int_equal(tokenizer_find(t, bytes_of("<|im_end|>")), IM_END);
    assert_int_equal(tokenizer_find(t, bytes_of("nowhere")), -1); /* a merge's part is no token */
    assert_int_equal(tokenizer_size(t), SMALL_END);
    tokenizer_close(t);
}

static void test_pieces_of_a_sentencepiece_vocabulary(void **state) {
    (void)state;
    struct tokenizer *t = vocab_open_golden("tokenizer", "ggml-vocab-llama-spm.gguf");
    expect_piece(t, 15043, " Hello");
    expect_piece(t, 3 + 0x0A, "\n");
    expect_piece(t, 1, "");
    assert_int_equal(tokenizer_find_piece(t, bytes_of("\n")), 3 + 0x0A);
    assert_int_equal(tokenizer_find_piece(t, bytes_of(" Hello")), 15043);
    assert_true(tokenizer_adds_bos(t));
    assert_int_equal(tokenizer_bos(t), 1);
    assert_true(tokenizer_ends(t, 2));
    tokenizer_close(t);
}

static void test_bos_comes_first_where_the_model_asks_for_it(void **state) {
    (void)state;
    struct vocab v;
    fill_small_bpe(&v);
    v.bos = IM_START;
    const int32_t with[] = {IM_START, 'a'}, only[] = {IM_START};
    struct tokenizer *t = vocab_make(&v);
    assert_false(tokenizer_adds_bos(t));
    expect_bytes(t, "a", TOKENIZE_BOS);
    tokenizer_close(t);
    v.add_bos = 1;
    t = vocab_make(&v);
    expect(t, "a", TOKENIZE_BOS, with, 2);
    expect(t, "", TOKENIZE_BOS, only, 1);
    expect_bytes(t, "a", TOKENIZE_PLAIN);
    tokenizer_close(t);
    v.pre = "llama-bpe"; /* which asks for it by its name */
    v.add_bos = 0;
    t = vocab_make(&v);
    assert_true(tokenizer_adds_bos(t));
    tokenizer_close(t);
    v.add_bos = 2;
    t = vocab_make(&v);
    assert_false(tokenizer_adds_bos(t));
    tokenizer_close(t);
    vocab_clear(&v);
}

static void test_whole_pieces_need_no_merges_where_the_name_says_so(void **state) {
    (void)state;
    struct vocab v;
    fill_small_bpe(&v);
    const int32_t whole[] = {HELLO};
    struct tokenizer *t = vocab_make(&v);
    expect_bytes(t, " Hello", TOKENIZE_PLAIN); /* no merge leads there */
    tokenizer_close(t);
    v.pre = "llama-bpe";
    t = vocab_make(&v);
    expect(t, " Hello", TOKENIZE_PLAIN, whole, 1);
    tokenizer_close(t);
    vocab_clear(&v);
}

static void test_a_missing_pretokenizer_is_the_default_one(void **state) {
    (void)state;
    struct vocab v;
    fill_small_bpe(&v);
    v.pre = NULL;
    struct tokenizer *t = vocab_make(&v);
    expect_bytes(t, "a, b", TOKENIZE_PLAIN);
    tokenizer_close(t);
    vocab_clear(&v);
}

/* A SentencePiece-like vocabulary with few tokens. */
static void fill_small_spm(struct vocab *v) {
    *v = (struct vocab){.model = "llama"};
    vocab_add(v, "<unk>", TOKEN_UNKNOWN, 0);
    vocab_add(v, "<s>", TOKEN_CONTROL, 0);
    vocab_add(v, "</s>", TOKEN_CONTROL, 0);
    vocab_add(v, "<0x63>", TOKEN_BYTE, 0);
    vocab_add(v, "\xE2\x96\x81", TOKEN_NORMAL, -5);
    vocab_add(v, "a", TOKEN_NORMAL, -6);
    vocab_add(v, "b", TOKEN_NORMAL, -7);
    vocab_add(v, "ab", TOKEN_NORMAL, -2);
    vocab_add(v, "ba", TOKEN_NORMAL, -1);
    vocab_add(v,
              "\xE2\x96\x81"
              "a",
              TOKEN_NORMAL, -3);
    vocab_add(v, "<think>", TOKEN_USER_DEFINED, 0);
}

static void test_sentencepiece_merges_by_score_and_falls_back_to_bytes(void **state) {
    (void)state;
    struct vocab v;
    fill_small_spm(&v);
    struct tokenizer *t = vocab_make(&v);
    const int32_t aba[] = {9, 8}, bytes[] = {9, 3, 0}, two[] = {4, 6, 10, 9};
    expect(t, "aba", TOKENIZE_PLAIN, aba, 2);
    expect(t, "acd", TOKENIZE_PLAIN, bytes, 3);     /* d has no byte token: unknown */
    expect(t, "b<think>a", TOKENIZE_PLAIN, two, 4); /* a space before each text */
    expect(t, "", TOKENIZE_PLAIN, NULL, 0);
    tokenizer_close(t);
    vocab_clear(&v);
}

static void test_ids_are_appended_to_the_list(void **state) {
    (void)state;
    struct tokenizer *t = small_bpe();
    struct token_list l = {0};
    struct error e = {0};
    assert_int_equal(token_list_push(&l, 7), 0);
    assert_int_equal(tokenizer_encode(t, bytes_of("ab"), TOKENIZE_PLAIN, &l, &e), 0);
    assert_int_equal(l.count, 3);
    assert_int_equal(l.ids[0], 7);
    token_list_clear(&l);
    tokenizer_close(t);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_control_tokens_count_only_where_they_may),
        cmocka_unit_test(test_user_defined_tokens_count_everywhere),
        cmocka_unit_test(test_marks_that_steer_stay_text_even_when_user_defined),
        cmocka_unit_test(test_runs_of_harmless_text_are_one_text),
        cmocka_unit_test(test_a_user_cannot_complete_a_control_token),
        cmocka_unit_test(test_plain_text_never_makes_a_control_token_of_a_sentencepiece_vocabulary),
        cmocka_unit_test(test_an_answer_ends_at_the_tokens_known_by_key_or_text),
        cmocka_unit_test(test_pieces_of_a_byte_level_vocabulary),
        cmocka_unit_test(test_pieces_of_a_sentencepiece_vocabulary),
        cmocka_unit_test(test_bos_comes_first_where_the_model_asks_for_it),
        cmocka_unit_test(test_whole_pieces_need_no_merges_where_the_name_says_so),
        cmocka_unit_test(test_a_missing_pretokenizer_is_the_default_one),
        cmocka_unit_test(test_sentencepiece_merges_by_score_and_falls_back_to_bytes),
        cmocka_unit_test(test_ids_are_appended_to_the_list),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
