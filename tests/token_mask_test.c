/* token_mask_test.c - masks over real vocabularies: what they allow is what trying each token says,
 * and whatever is drawn under them becomes a valid answer in time. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/schema_check.h"
#include "tests/support/vocab.h"
#include "worker/engine/sampler.h"
#include "worker/engine/token_mask.h"

#define ROOM (JSON_SETTLED_FRAMES + 4 * JSON_BYTE_FRAMES)
#define TEXT_MAX 16384
#define PADDING 37 /* rows of logits that no token has */
#ifdef QUIRE_SANITIZED
#define SOME(n) ((n) / 10)
#else
#define SOME(n) (n)
#endif

struct rig {
    struct tokenizer *tokenizer;
    struct token_mask *mask;
    struct sampler *sampler;
    struct json_machine machine, trial;
    struct schema_random random;
    int32_t n_vocab;
    float *logits;
    char text[TEXT_MAX];
    size_t size;
};

static struct rig *rig_open(const char *name, uint64_t seed) {
    struct rig *r = calloc(1, sizeof *r);
    struct error e;
    assert_non_null(r);
    r->random.state = seed;
    r->tokenizer = vocab_open_golden("tokenizer", name);
    r->n_vocab = tokenizer_size(r->tokenizer) + PADDING;
    r->logits = malloc((size_t)r->n_vocab * sizeof *r->logits);
    if (token_mask_open(&r->mask, r->tokenizer, r->n_vocab, &e) != 0)
        fail_msg("%s", e.text);
    assert_int_equal(sampler_open(&r->sampler, r->n_vocab, &e), 0);
    assert_int_equal(json_machine_open(&r->machine, JSON_SETTLED_FRAMES, &e), 0);
    assert_int_equal(json_machine_open(&r->trial, ROOM, &e), 0);
    return r;
}

static void rig_close(struct rig *r) {
    json_machine_close(&r->machine);
    json_machine_close(&r->trial);
    sampler_close(r->sampler);
    token_mask_close(r->mask);
    tokenizer_close(r->tokenizer);
    free(r->logits);
    free(r);
}

static uint32_t below(struct rig *r, uint32_t n) {
    return schema_random_below(&r->random, n);
}

/* The next random schema that is compiled. */
static json_t *next_schema(struct rig *r, struct json_schema **out) {
    for (;;) {
        json_t *schema = schema_random_make(&r->random);
        char *text = json_dumps(schema, JSON_COMPACT);
        int rc = json_schema_open(out, (struct bytes){(uint8_t *)text, strlen(text)}, NULL);
        free(text);
        if (rc == 0)
            rc = token_mask_check(r->mask, *out, NULL);
        if (rc == 0 && (*out)->least < 500)
            return schema;
        json_schema_close(*out);
        json_decref(schema);
    }
}

static void begin(struct rig *r, const struct json_schema *s, bool leads) {
    json_machine_begin(&r->machine, s, leads);
    r->size = 0;
}

/* Draws a token under the mask; false: an end token came. */
static bool draw(struct rig *r, const uint64_t *mask, uint32_t index, uint32_t left) {
    struct sampler_options o = {.temperature = 2,
                                .top_p = 1,
                                .repeat_penalty = 1,
                                .seed = r->random.state,
                                .allowed = mask};
    for (int32_t i = 0; i < r->n_vocab; i++)
        r->logits[i] = (float)below(r, 1000) / 50;
    int32_t id = sampler_draw(r->sampler, &o, r->logits, NULL, 0, index).id;
    assert_true(id >= 0 && id < tokenizer_size(r->tokenizer) && token_mask_has(mask, id));
    if (tokenizer_ends(r->tokenizer, id))
        return false;
    struct bytes piece = tokenizer_piece(r->tokenizer, id);
    assert_true(token_mask_take(r->mask, &r->machine, id, piece, left));
    assert_true(r->size + piece.size <= TEXT_MAX);
    memcpy(r->text + r->size, piece.data, piece.size);
    r->size += piece.size;
    return true;
}

/* An answer of at most max_tokens tokens. */
static void answer(struct rig *r, uint32_t max_tokens) {
    uint32_t n = 0;
    while (n < max_tokens && !json_machine_complete(&r->machine)) {
        uint32_t left = max_tokens - n - 1;
        if (!draw(r, token_mask_fill(r->mask, &r->machine, left), n, left))
            break;
        n++;
    }
    assert_int_equal(json_machine_need(&r->machine), 0);
}

static void check_answers(const char *name, unsigned schemas) {
    struct rig *r = rig_open(name, 7);
    for (unsigned i = 0; i < schemas; i++) {
        struct json_schema *s;
        json_t *schema = next_schema(r, &s);
        for (unsigned k = 0; k < 3; k++) {
            bool leads = below(r, 2) == 0;
            begin(r, s, leads);
            answer(r, s->least + (k == 0 ? 0 : below(r, 60)));
            bool space = leads && r->size > 0 && r->text[0] == ' ';
            schema_check(schema, r->text + space, r->size - space);
        }
        json_schema_close(s);
        json_decref(schema);
    }
    rig_close(r);
}

static void test_answers_of_a_byte_level_vocabulary_are_valid(void **state) {
    (void)state;
    check_answers("ggml-vocab-starcoder.gguf", SOME(120));
}

static void test_answers_of_another_are_valid(void **state) {
    (void)state;
    check_answers("ggml-vocab-gpt-2.gguf", SOME(60));
}

static void test_answers_of_a_vocabulary_with_byte_tokens_are_valid(void **state) {
    (void)state;
    check_answers("ggml-vocab-llama-spm.gguf", SOME(120));
}

/* ---- exactness ---- */

static bool may_come(struct rig *r, int32_t id, uint32_t left) {
    struct bytes piece = tokenizer_piece(r->tokenizer, id);
    if (tokenizer_ends(r->tokenizer, id))
        return json_machine_need(&r->machine) == 0;
    if (piece.size == 0 || piece.size > 256 || tokenizer_guarded(r->tokenizer, id))
        return false;
    json_machine_copy(&r->trial, &r->machine);
    for (size_t i = 0; i < piece.size; i++)
        if (!json_machine_step(&r->trial, piece.data[i]))
            return false;
    return json_machine_need(&r->trial) <= left;
}

static void compare(struct rig *r, uint32_t left) {
    const uint64_t *mask = token_mask_fill(r->mask, &r->machine, left);
    for (int32_t id = 0; id < r->n_vocab; id++) {
        bool expected = id < tokenizer_size(r->tokenizer) && may_come(r, id, left);
        if (expected != token_mask_has(mask, id))
            fail_msg("token %d '%.*s' after '%.*s' with %u left: %d", id,
                     (int)tokenizer_piece(r->tokenizer, id).size,
                     (const char *)tokenizer_piece(r->tokenizer, id).data, (int)r->size, r->text,
                     left, expected);
    }
}

static void test_a_mask_allows_what_trying_each_token_allows(void **state) {
    (void)state;
    struct rig *r = rig_open("ggml-vocab-starcoder.gguf", 99);
    for (unsigned i = 0; i < SOME(60); i++) {
        struct json_schema *s;
        json_t *schema = next_schema(r, &s);
        uint32_t max_tokens = s->least + below(r, 30), n = 0;
        begin(r, s, below(r, 2) == 0);
        while (n < max_tokens && n < 12 && !json_machine_complete(&r->machine)) {
            uint32_t left = max_tokens - n - 1;
            if (below(r, 3) == 0)
                compare(r, left);
            if (!draw(r, token_mask_fill(r->mask, &r->machine, left), n, left))
                break;
            n++;
        }
        json_schema_close(s);
        json_decref(schema);
    }
    rig_close(r);
}

/* ---- what is never allowed ---- */

static void test_end_tokens_come_only_where_an_answer_may_end(void **state) {
    (void)state;
    struct rig *r = rig_open("ggml-vocab-starcoder.gguf", 1);
    const char *text = "{\"type\":\"integer\"}";
    struct json_schema *s;
    int32_t eos = tokenizer_eos(r->tokenizer);
    int32_t one = tokenizer_find_piece(r->tokenizer, (struct bytes){(const uint8_t *)"1", 1});
    assert_int_equal(json_schema_open(&s, bytes_of(text), NULL), 0);
    begin(r, s, false);
    assert_false(token_mask_has(token_mask_fill(r->mask, &r->machine, 10), eos));
    assert_true(token_mask_take(r->mask, &r->machine, one, bytes_of("1"), 10));
    const uint64_t *mask = token_mask_fill(r->mask, &r->machine, 10);
    assert_true(token_mask_has(mask, eos));
    assert_true(token_mask_has(mask, one));
    assert_false(token_mask_take(r->mask, &r->machine, one, bytes_of("x"), 10));
    assert_false(token_mask_has(mask, one)); /* it was tried in vain */
    assert_true(token_mask_take(r->mask, &r->machine, one, bytes_of("1"), 0)); /* m stayed */
    json_schema_close(s);
    rig_close(r);
}

static void test_a_vocabulary_without_a_byte_is_refused_by_its_name(void **state) {
    (void)state;
    struct vocab v = {0};
    struct error e;
    struct token_mask *k;
    vocab_add_bytes(&v);
    for (int i = 0; i < 256; i++)
        if (strcmp(v.tokens[i], "}") == 0)
            v.types[i] = 3; /* control */
        else
            v.types[i] = 1;
    struct tokenizer *t = vocab_make(&v);
    assert_int_equal(token_mask_open(&k, t, 256, &e), ERR_UNSUPPORTED);
    assert_non_null(strstr(e.text, "0x7d"));
    assert_null(k);
    tokenizer_close(t);
    vocab_clear(&v);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_answers_of_a_byte_level_vocabulary_are_valid),
        cmocka_unit_test(test_answers_of_another_are_valid),
        cmocka_unit_test(test_answers_of_a_vocabulary_with_byte_tokens_are_valid),
        cmocka_unit_test(test_a_mask_allows_what_trying_each_token_allows),
        cmocka_unit_test(test_end_tokens_come_only_where_an_answer_may_end),
        cmocka_unit_test(test_a_vocabulary_without_a_byte_is_refused_by_its_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
