/* model_refuse_test.c - files that are GGUF but no model this engine can run: each missing or bent
 * key and tensor is named in the sentence. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/gguf_image.h"
#include "tests/support/smolvlm_shape.h"
#include "worker/engine/model.h"

enum kind { TEXT, VISION };

/* Writes the small model of that kind with one edit and an addition, binds it, and gives the code
 * back; *e holds the sentence. */
static int bind_bent(enum kind kind, struct gguf_edit edit, void (*add)(struct gguf_writer *),
                     struct error *e) {
    struct gguf_writer w;
    struct gguf_image i;
    const struct smolvlm_shape *s = smolvlm_shape("micro");
    gguf_writer_open(&w);
    w.edit = edit;
    (kind == TEXT ? smolvlm_put_text : smolvlm_put_mmproj)(&w, s, QUANT_F16);
    if (edit.name != NULL && !w.edit.used)
        fail_msg("%s is not in the file", edit.name);
    w.edit.name = NULL;
    if (add != NULL)
        add(&w);
    gguf_image_open(&i, &w);
    if (i.code != 0)
        fail_msg("%s", i.e.text);
    union {
        struct text_model text;
        struct vision_model vision;
    } m;
    int code;
    if (kind == TEXT) {
        if ((code = text_model_bind(&m.text, i.g, e)) == 0)
            text_model_release(&m.text);
    } else if ((code = vision_model_bind(&m.vision, i.g, 64, e)) == 0) {
        vision_model_release(&m.vision);
    }
    gguf_image_close(&i);
    gguf_writer_close(&w);
    return code;
}

static void expect(enum kind kind, struct gguf_edit edit, void (*add)(struct gguf_writer *),
                   int code, const char *part) {
    struct error e = {0};
    int rc = bind_bent(kind, edit, add, &e);
    if (rc != code || strstr(e.text, part) == NULL || strncmp(e.text, "image: ", 7) != 0)
        fail_msg("wanted code %d and '%s', got %d and '%s'", code, part, rc, e.text);
}

static struct gguf_edit drop(const char *name) {
    return (struct gguf_edit){.name = name, .what = EDIT_DROP};
}

static void test_each_missing_key_is_named(void **state) {
    (void)state;
    static const char *const text[] = {"general.architecture",
                                       "llama.block_count",
                                       "llama.context_length",
                                       "llama.embedding_length",
                                       "llama.feed_forward_length",
                                       "llama.attention.head_count",
                                       "llama.attention.layer_norm_rms_epsilon",
                                       "tokenizer.ggml.tokens"};
    static const char *const vision[] = {"general.architecture",
                                         "clip.has_vision_encoder",
                                         "clip.projector_type",
                                         "clip.vision.image_size",
                                         "clip.vision.patch_size",
                                         "clip.vision.embedding_length",
                                         "clip.vision.projection_dim",
                                         "clip.vision.block_count",
                                         "clip.vision.attention.head_count",
                                         "clip.vision.attention.layer_norm_epsilon",
                                         "clip.vision.projector.scale_factor",
                                         "clip.vision.image_mean",
                                         "clip.vision.image_std"};
    for (size_t k = 0; k < sizeof text / sizeof text[0]; k++)
        expect(TEXT, drop(text[k]), NULL, ERR_BAD_MODEL, text[k]);
    for (size_t k = 0; k < sizeof vision / sizeof vision[0]; k++)
        expect(VISION, drop(vision[k]), NULL, ERR_BAD_MODEL, vision[k]);
}

static void expect_each_tensor_named(enum kind kind) {
    struct gguf_writer w;
    gguf_writer_open(&w);
    (kind == TEXT ? smolvlm_put_text : smolvlm_put_mmproj)(&w, smolvlm_shape("micro"), QUANT_F16);
    for (size_t k = 0; k < w.tensor_count; k++) {
        const struct gguf_writer_tensor *t = &w.tensors[k];
        if (strcmp(t->name, "output.weight") != 0 && strcmp(t->name, "v.patch_embd.bias") != 0)
            expect(kind, drop(t->name), NULL, ERR_BAD_MODEL, t->name);
        /* One row less is inside of the data, and must still be refused. */
        struct gguf_edit edit = {.name = t->name, .what = EDIT_SHAPE};
        memcpy(edit.ne, t->ne, sizeof edit.ne);
        edit.ne[t->n_dims - 1] -= 1;
        expect(kind, edit, NULL, ERR_BAD_MODEL, t->name);
        if (t->n_dims == 2 && t->ne[0] != t->ne[1]) { /* the same bytes, turned */
            bool names_both = kind == VISION && strstr(t->name, "ffn_down") != NULL;
            edit.ne[0] = t->ne[1], edit.ne[1] = t->ne[0];
            expect(kind, edit, NULL, ERR_BAD_MODEL, names_both ? "ffn_up" : t->name);
        }
    }
    gguf_writer_close(&w);
}

static void test_each_missing_or_misshapen_tensor_is_named(void **state) {
    (void)state;
    expect_each_tensor_named(TEXT);
    expect_each_tensor_named(VISION);
}

struct bent_u32 {
    enum kind kind;
    const char *key;
    uint32_t value;
    int code;
};

static void test_numbers_that_formulas_cannot_use_are_refused(void **state) {
    (void)state;
    static const struct bent_u32 cases[] = {
        {TEXT, "llama.block_count", 0, ERR_BAD_MODEL},
        {TEXT, "llama.block_count", MODEL_MAX_LAYERS + 1, ERR_BAD_MODEL},
        {TEXT, "llama.block_count", UINT32_MAX, ERR_BAD_MODEL},
        {TEXT, "llama.context_length", 0, ERR_BAD_MODEL},
        {TEXT, "llama.context_length", UINT32_MAX, ERR_BAD_MODEL},
        {TEXT, "llama.embedding_length", 0, ERR_BAD_MODEL},
        {TEXT, "llama.embedding_length", 65, ERR_BAD_MODEL},
        {TEXT, "llama.embedding_length", UINT32_MAX, ERR_BAD_MODEL},
        {TEXT, "llama.feed_forward_length", 0, ERR_BAD_MODEL},
        {TEXT, "llama.feed_forward_length", UINT32_MAX, ERR_BAD_MODEL},
        {TEXT, "llama.attention.head_count", 0, ERR_BAD_MODEL},
        {TEXT, "llama.attention.head_count", 3, ERR_BAD_MODEL},
        {TEXT, "llama.attention.head_count", UINT32_MAX, ERR_BAD_MODEL},
        {TEXT, "llama.attention.head_count_kv", 0, ERR_BAD_MODEL},
        {TEXT, "llama.attention.head_count_kv", 3, ERR_BAD_MODEL},
        {TEXT, "llama.attention.head_count_kv", 4, ERR_BAD_MODEL},
        {TEXT, "llama.rope.dimension_count", 0, ERR_BAD_MODEL},
        {TEXT, "llama.rope.dimension_count", 16, ERR_UNSUPPORTED},
        {VISION, "clip.vision.image_size", 0, ERR_BAD_MODEL},
        {VISION, "clip.vision.image_size", UINT32_MAX, ERR_BAD_MODEL},
        {VISION, "clip.vision.patch_size", 0, ERR_BAD_MODEL},
        {VISION, "clip.vision.patch_size", 17, ERR_BAD_MODEL},
        {VISION, "clip.vision.embedding_length", 0, ERR_BAD_MODEL},
        {VISION, "clip.vision.embedding_length", UINT32_MAX, ERR_BAD_MODEL},
        {VISION, "clip.vision.projection_dim", 0, ERR_BAD_MODEL},
        {VISION, "clip.vision.projection_dim", 63, ERR_BAD_MODEL},
        {VISION, "clip.vision.block_count", 0, ERR_BAD_MODEL},
        {VISION, "clip.vision.block_count", UINT32_MAX, ERR_BAD_MODEL},
        {VISION, "clip.vision.attention.head_count", 0, ERR_BAD_MODEL},
        {VISION, "clip.vision.attention.head_count", 3, ERR_BAD_MODEL},
        {VISION, "clip.vision.feed_forward_length", UINT32_MAX, ERR_BAD_MODEL},
        {VISION, "clip.vision.projector.scale_factor", 0, ERR_BAD_MODEL},
        {VISION, "clip.vision.projector.scale_factor", 3, ERR_BAD_MODEL},
        {VISION, "clip.vision.projector.scale_factor", UINT32_MAX, ERR_BAD_MODEL},
        {VISION, "clip.vision.preproc_image_size", 0, ERR_BAD_MODEL},
        {VISION, "clip.vision.preproc_image_size", UINT32_MAX, ERR_BAD_MODEL},
    };
    for (size_t k = 0; k < sizeof cases / sizeof cases[0]; k++) {
        struct gguf_edit edit = {.name = cases[k].key,
                                 .what = EDIT_VALUE,
                                 .type = GW_U32,
                                 .value = &cases[k].value,
                                 .value_bytes = 4};
        expect(cases[k].kind, edit, NULL, cases[k].code, cases[k].key);
    }
}

static void test_floats_that_formulas_cannot_use_are_refused(void **state) {
    (void)state;
    static const float values[] = {0, -1, INFINITY, -INFINITY, NAN};
    const struct {
        enum kind kind;
        const char *key;
    } cases[] = {{TEXT, "llama.attention.layer_norm_rms_epsilon"},
                 {TEXT, "llama.rope.freq_base"},
                 {VISION, "clip.vision.attention.layer_norm_epsilon"}};
    for (size_t k = 0; k < 3; k++)
        for (size_t v = 0; v < sizeof values / sizeof values[0]; v++) {
            struct gguf_edit edit = {.name = cases[k].key,
                                     .what = EDIT_VALUE,
                                     .type = GW_F32,
                                     .value = &values[v],
                                     .value_bytes = 4};
            expect(cases[k].kind, edit, NULL, ERR_BAD_MODEL, cases[k].key);
        }
}

static void test_colours_must_be_three_finite_floats(void **state) {
    (void)state;
    static const char *const keys[] = {"clip.vision.image_mean", "clip.vision.image_std"};
    const struct {
        uint32_t type, count;
        float values[4];
    } cases[] = {{GW_F32, 0, {0}},       {GW_F32, 2, {1, 1}},      {GW_F32, 4, {1, 1, 1, 1}},
                 {GW_I32, 3, {1, 1, 1}}, {GW_F32, 3, {1, NAN, 1}}, {GW_F32, 3, {1, 1, INFINITY}}};
    for (size_t k = 0; k < 2; k++)
        for (size_t c = 0; c < sizeof cases / sizeof cases[0]; c++) {
            uint8_t value[12 + 16] = {0};
            memcpy(value, &cases[c].type, 4);
            memcpy(value + 4, &cases[c].count, 4);
            memcpy(value + 12, cases[c].values, 16);
            struct gguf_edit edit = {.name = keys[k],
                                     .what = EDIT_VALUE,
                                     .type = GW_ARRAY,
                                     .value = value,
                                     .value_bytes = 12 + 4 * cases[c].count};
            expect(VISION, edit, NULL, ERR_BAD_MODEL, keys[k]);
        }
    for (int c = 0; c < 2; c++) { /* a standard deviation must be above zero */
        uint8_t value[12 + 12];
        memcpy(value, (uint32_t[]){GW_F32, 3, 0}, 12);
        memcpy(value + 12, (float[]){0.5f, c == 0 ? 0.0f : -0.5f, 0.5f}, 12);
        struct gguf_edit edit = {.name = keys[1],
                                 .what = EDIT_VALUE,
                                 .type = GW_ARRAY,
                                 .value = value,
                                 .value_bytes = sizeof value};
        expect(VISION, edit, NULL, ERR_BAD_MODEL, keys[1]);
    }
}

static struct gguf_edit text_value(const char *key, const char *text, uint8_t out[64]) {
    uint64_t n = strlen(text);
    memcpy(out, &n, 8);
    memcpy(out + 8, text, n);
    return (struct gguf_edit){
        .name = key, .what = EDIT_VALUE, .type = GW_STRING, .value = out, .value_bytes = 8 + n};
}

static void test_other_architectures_and_projectors_are_named(void **state) {
    (void)state;
    uint8_t v[64];
    expect(TEXT, text_value("general.architecture", "qwen2vl", v), NULL, ERR_UNSUPPORTED,
           "'qwen2vl'");
    expect(TEXT, text_value("general.architecture", "clip", v), NULL, ERR_UNSUPPORTED, "mmproj");
    expect(TEXT, text_value("general.architecture", "", v), NULL, ERR_UNSUPPORTED, "''");
    expect(VISION, text_value("general.architecture", "llama", v), NULL, ERR_UNSUPPORTED,
           "'llama'");
    expect(VISION, text_value("clip.projector_type", "qwen2vl_merger", v), NULL, ERR_UNSUPPORTED,
           "'qwen2vl_merger'");
    expect(VISION, text_value("clip.projector_type", "idefics3\n", v), NULL, ERR_UNSUPPORTED,
           "'idefics3?'");
}

static void add_yarn(struct gguf_writer *w) {
    gguf_put_string(w, "llama.rope.scaling.type", "yarn");
}

static void add_longrope(struct gguf_writer *w) {
    gguf_put_string(w, "llama.rope.scaling.type", "longrope");
}

static void add_bad_factor(struct gguf_writer *w) {
    gguf_put_f32(w, "llama.rope.scaling.factor", -2);
}

static void add_experts(struct gguf_writer *w) {
    gguf_put_u32(w, "llama.expert_count", 8);
}

static void add_odd_heads(struct gguf_writer *w) {
    gguf_put_u32(w, "llama.attention.key_length", 33);
}

static void add_other_values(struct gguf_writer *w) {
    gguf_put_u32(w, "llama.attention.value_length", 16);
}

static void add_zero_divisors(struct gguf_writer *w) {
    int64_t n = 16; /* the image's data is all zero */
    (void)gguf_put_tensor(w, "rope_freqs.weight", QUANT_F32, 1, &n, 64);
}

static void add_short_divisors(struct gguf_writer *w) {
    int64_t n = 15;
    (void)gguf_put_tensor(w, "rope_freqs.weight", QUANT_F32, 1, &n, 60);
}

static void add_short_bias(struct gguf_writer *w) {
    int64_t n = 31;
    (void)gguf_put_tensor(w, "blk.1.attn_k.bias", QUANT_F32, 1, &n, 124);
}

static void test_text_models_that_are_computed_otherwise_are_refused(void **state) {
    (void)state;
    const struct {
        void (*add)(struct gguf_writer *);
        int code;
        const char *part;
    } cases[] = {{add_yarn, ERR_UNSUPPORTED, "'yarn'"},
                 {add_longrope, ERR_UNSUPPORTED, "'longrope'"},
                 {add_bad_factor, ERR_BAD_MODEL, "llama.rope.scaling.factor"},
                 {add_experts, ERR_UNSUPPORTED, "llama.expert_count"},
                 {add_odd_heads, ERR_UNSUPPORTED, "heads of 33"},
                 {add_other_values, ERR_UNSUPPORTED, "llama.attention.value_length"},
                 {add_zero_divisors, ERR_BAD_MODEL, "rope_freqs.weight"},
                 {add_short_divisors, ERR_BAD_MODEL, "rope_freqs.weight"},
                 {add_short_bias, ERR_BAD_MODEL, "blk.1.attn_k.bias"}};
    for (size_t k = 0; k < sizeof cases / sizeof cases[0]; k++)
        expect(TEXT, (struct gguf_edit){0}, cases[k].add, cases[k].code, cases[k].part);
}

static void add_silu(struct gguf_writer *w) {
    gguf_put_bool(w, "clip.use_silu", true);
}

static void add_class_token(struct gguf_writer *w) {
    int64_t n = 32;
    (void)gguf_put_tensor(w, "v.class_embd", QUANT_F32, 1, &n, 128);
}

static void test_towers_that_are_computed_otherwise_are_refused(void **state) {
    (void)state;
    expect(VISION, drop("clip.use_gelu"), NULL, ERR_UNSUPPORTED, "quick-GELU");
    expect(VISION, (struct gguf_edit){0}, add_silu, ERR_UNSUPPORTED, "SiLU");
    expect(VISION, (struct gguf_edit){0}, add_class_token, ERR_UNSUPPORTED, "v.class_embd");
    struct gguf_edit blind = {.name = "clip.has_vision_encoder",
                              .what = EDIT_VALUE,
                              .type = GW_BOOL,
                              .value = "\0",
                              .value_bytes = 1};
    expect(VISION, blind, NULL, ERR_UNSUPPORTED, "clip.has_vision_encoder");
}

static void test_keys_of_the_wrong_type_are_named(void **state) {
    (void)state;
    static const char *const text[] = {"llama.block_count", "llama.attention.head_count_kv",
                                       "llama.rope.freq_base", "tokenizer.ggml.tokens"};
    static const char *const vision[] = {"clip.use_gelu", "clip.vision.image_size",
                                         "clip.vision.image_mean",
                                         "clip.vision.preproc_image_size"};
    uint8_t v[64];
    for (size_t k = 0; k < 4; k++) {
        expect(TEXT, text_value(text[k], "7", v), NULL, ERR_BAD_MODEL, text[k]);
        expect(VISION, text_value(vision[k], "7", v), NULL, ERR_BAD_MODEL, vision[k]);
    }
}

static void test_counts_that_differ_between_layers_are_refused(void **state) {
    (void)state;
    static const char *const keys[] = {"llama.feed_forward_length", "llama.attention.head_count",
                                       "llama.attention.head_count_kv"};
    uint8_t list[12 + 8];
    memcpy(list, (uint32_t[]){GW_U32, 2, 0}, 12);
    memcpy(list + 12, (uint32_t[]){2, 4}, 8);
    for (size_t k = 0; k < 3; k++) {
        struct gguf_edit edit = {.name = keys[k],
                                 .what = EDIT_VALUE,
                                 .type = GW_ARRAY,
                                 .value = list,
                                 .value_bytes = sizeof list};
        expect(TEXT, edit, NULL, ERR_UNSUPPORTED, keys[k]);
        struct gguf_edit empty = edit;
        uint8_t none[12] = {GW_U32};
        empty.value = none, empty.value_bytes = sizeof none;
        expect(TEXT, empty, NULL, ERR_BAD_MODEL, keys[k]);
        uint8_t negative[16];
        memcpy(negative, (uint32_t[]){GW_I32, 1, 0, UINT32_MAX}, 16);
        empty.value = negative, empty.value_bytes = sizeof negative;
        expect(TEXT, empty, NULL, ERR_BAD_MODEL, keys[k]);
    }
}

static void test_more_tokens_than_embeddings_are_refused(void **state) {
    (void)state;
    uint8_t tokens[12 + 385 * 8] = {0}; /* 385 empty strings for 384 rows */
    memcpy(tokens, (uint32_t[]){GW_STRING, 385, 0}, 12);
    struct gguf_edit edit = {.name = "tokenizer.ggml.tokens",
                             .what = EDIT_VALUE,
                             .type = GW_ARRAY,
                             .value = tokens,
                             .value_bytes = sizeof tokens};
    expect(TEXT, edit, NULL, ERR_BAD_MODEL, "tokenizer.ggml.tokens has 385");
    memcpy(tokens + 4, (uint64_t[]){0}, 8);
    edit.value_bytes = 12;
    expect(TEXT, edit, NULL, ERR_BAD_MODEL, "tokenizer.ggml.tokens has 0");
}

static void test_vectors_hold_finite_floats(void **state) {
    (void)state;
    struct gguf_edit quantised = {
        .name = "v.position_embd.weight", .what = EDIT_TYPE, .type = QUANT_Q8_0};
    expect(VISION, quantised, NULL, ERR_UNSUPPORTED, "v.position_embd.weight is of type Q8_0");
    struct gguf_writer w;
    struct gguf_image i;
    struct text_model m;
    gguf_writer_open(&w);
    smolvlm_put_text(&w, smolvlm_shape("micro"), QUANT_F16);
    gguf_image_open(&i, &w);
    const struct gguf_tensor *t = gguf_find_tensor(i.g, "blk.1.ffn_norm.weight");
    float nan = NAN;
    memcpy(i.bytes + ((const uint8_t *)t->data - i.bytes) + 4 * 63, &nan, 4);
    assert_int_equal(text_model_bind(&m, i.g, &i.e), ERR_BAD_MODEL);
    assert_non_null(strstr(i.e.text, "blk.1.ffn_norm.weight holds nan at position 63"));
    gguf_image_close(&i);
    gguf_writer_close(&w);
}

static void test_files_that_do_not_belong_together_are_refused(void **state) {
    (void)state;
    struct gguf_writer w;
    struct gguf_image i;
    struct vision_model m;
    gguf_writer_open(&w);
    smolvlm_put_mmproj(&w, smolvlm_shape("micro"), QUANT_F16);
    gguf_image_open(&i, &w);
    assert_int_equal(vision_model_bind(&m, i.g, 960, &i.e), ERR_BAD_MODEL);
    assert_non_null(strstr(i.e.text, "do not belong together"));
    gguf_image_close(&i);
    gguf_writer_close(&w);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_missing_key_is_named),
        cmocka_unit_test(test_each_missing_or_misshapen_tensor_is_named),
        cmocka_unit_test(test_numbers_that_formulas_cannot_use_are_refused),
        cmocka_unit_test(test_floats_that_formulas_cannot_use_are_refused),
        cmocka_unit_test(test_colours_must_be_three_finite_floats),
        cmocka_unit_test(test_other_architectures_and_projectors_are_named),
        cmocka_unit_test(test_text_models_that_are_computed_otherwise_are_refused),
        cmocka_unit_test(test_towers_that_are_computed_otherwise_are_refused),
        cmocka_unit_test(test_keys_of_the_wrong_type_are_named),
        cmocka_unit_test(test_counts_that_differ_between_layers_are_refused),
        cmocka_unit_test(test_more_tokens_than_embeddings_are_refused),
        cmocka_unit_test(test_vectors_hold_finite_floats),
        cmocka_unit_test(test_files_that_do_not_belong_together_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
