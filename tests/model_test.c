/* model_test.c - sound models: what is bound is what the files say. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/gguf_image.h"
#include "tests/support/quantize.h"
#include "tests/support/smolvlm_shape.h"
#include "worker/engine/model.h"

static struct gguf *open_golden(const char *name) {
    char path[512];
    struct gguf *g;
    struct error e = {0};
    (void)snprintf(path, sizeof path, "%s/%s", QUIRE_GOLDEN_DIR, name);
    if (gguf_open(&g, path, &e) != 0)
        fail_msg("%s", e.text);
    return g;
}

static void test_the_golden_text_model_is_bound(void **state) {
    (void)state;
    struct gguf *g = open_golden("smolvlm/text.gguf");
    struct text_model m;
    struct error e = {0};
    if (text_model_bind(&m, g, &e) != 0)
        fail_msg("%s", e.text);
    assert_int_equal(m.n_layer, 4);
    assert_int_equal(m.n_embd, 192);
    assert_int_equal(m.n_head, 6);
    assert_int_equal(m.n_head_kv, 2);
    assert_int_equal(m.head_dim, 32);
    assert_int_equal(m.n_ff, 512);
    assert_int_equal(m.n_vocab, 2048);
    assert_int_equal(m.n_context, 4096);
    assert_true(m.rope_base == 100000.0f && m.rope_scale == 1.0f && m.rms_eps == 1e-5f);
    assert_string_equal(m.name, "random-smolvlm-tiny1");
    assert_null(m.rope_divisors);
    assert_ptr_equal(m.layers[3].down.data, gguf_find_tensor(g, "blk.3.ffn_down.weight")->data);
    assert_int_equal(m.layers[3].down.n_in, 512);
    assert_int_equal(m.layers[3].down.n_out, 192);
    assert_int_equal(m.layers[3].down.row_bytes, 1024);
    assert_int_equal(m.layers[0].k.n_out, 64);
    assert_ptr_equal(m.output.data, gguf_find_tensor(g, "output.weight")->data);
    assert_ptr_equal(m.layers[2].ffn_norm, gguf_find_tensor(g, "blk.2.ffn_norm.weight")->data);
    assert_null(m.layers[0].q_bias);
    text_model_release(&m);
    gguf_close(g);
}

static void test_the_golden_tower_is_bound(void **state) {
    (void)state;
    struct gguf *g = open_golden("smolvlm/mmproj.gguf");
    struct vision_model m;
    struct error e = {0};
    if (vision_model_bind(&m, g, 192, &e) != 0)
        fail_msg("%s", e.text);
    assert_int_equal(m.image_size, 128);
    assert_int_equal(m.patch_size, 16);
    assert_int_equal(m.grid, 8);
    assert_int_equal(m.scale, 4);
    assert_int_equal(m.n_out, 4);
    assert_int_equal(m.n_embd, 128);
    assert_int_equal(m.n_ff, 384);
    assert_int_equal(m.n_head, 4);
    assert_int_equal(m.head_dim, 32);
    assert_int_equal(m.n_layer, 3);
    assert_int_equal(m.projection, 192);
    assert_int_equal(m.longest_edge, 128);
    assert_true(m.ln_eps == 1e-6f && m.mean[2] == 0.5f && m.std[0] == 0.5f);
    assert_int_equal(m.patch.n_in, 3 * 16 * 16);
    assert_int_equal(m.patch.n_out, 128);
    assert_int_equal(m.fc.n_in, 128 * 16);
    assert_int_equal(m.layers[2].up.n_out, 384);
    assert_non_null(m.patch_bias);
    vision_model_release(&m);
    gguf_close(g);
}

static void test_text_models_of_every_type_are_bound(void **state) {
    (void)state;
    static const char *const types[] = {"f16",  "q4_0",   "q4_1",   "q5_0", "q5_1",
                                        "q8_0", "q4_k_s", "q5_k_s", "q6_k", "iq4_nl"};
    uint8_t seen[sizeof types / sizeof types[0]][16];
    for (size_t k = 0; k < sizeof types / sizeof types[0]; k++) {
        char name[64];
        (void)snprintf(name, sizeof name, "quant/%s.gguf", types[k]);
        struct gguf *g = open_golden(name);
        struct text_model m;
        struct error e = {0};
        if (text_model_bind(&m, g, &e) != 0)
            fail_msg("%s", e.text);
        assert_int_equal(m.n_embd, 256);
        assert_int_equal(m.layers[0].gate.row_bytes, quant_row_bytes(m.layers[0].gate.type, 256));
        model_fingerprint(g, NULL, seen[k]);
        for (size_t i = 0; i < k; i++)
            assert_memory_not_equal(seen[i], seen[k], 16);
        text_model_release(&m);
        gguf_close(g);
    }
}

/* The quantised golden files were made from the F16 one, so expansions must lie close to it. */
static void test_quantised_tensors_are_close_to_what_they_were_made_of(void **state) {
    (void)state;
    const struct {
        const char *file;
        double limit; /* of squared difference over squared size */
    } cases[] = {{"q8_0", 1e-4},     {"q6_k", 1e-3},     {"q5_1", 2e-3},
                 {"q5_0", 2e-3},     {"q5_k_s", 2e-3},   {"q4_1", 1.2e-2},
                 {"q4_k_s", 1.2e-2}, {"iq4_nl", 1.2e-2}, {"q4_0", 1.2e-2}};
    struct gguf *f16 = open_golden("quant/f16.gguf");
    const struct gguf_tensor *a = gguf_find_tensor(f16, "blk.1.ffn_up.weight");
    for (size_t k = 0; k < sizeof cases / sizeof cases[0]; k++) {
        char name[64];
        (void)snprintf(name, sizeof name, "quant/%s.gguf", cases[k].file);
        struct gguf *g = open_golden(name);
        const struct gguf_tensor *b = gguf_find_tensor(g, "blk.1.ffn_up.weight");
        double difference = 0, size = 0;
        for (int64_t row = 0; row < a->ne[1]; row++) {
            float x[256], y[256];
            assert_int_equal(a->ne[0], 256);
            quant_expand_row(a->type, (const uint8_t *)a->data + (size_t)row * 512, x, 256);
            quant_expand_row(b->type,
                             (const uint8_t *)b->data + (size_t)row * quant_row_bytes(b->type, 256),
                             y, 256);
            for (int i = 0; i < 256; i++) {
                difference += (double)(x[i] - y[i]) * (double)(x[i] - y[i]);
                size += (double)x[i] * (double)x[i];
            }
        }
        if (difference > cases[k].limit * size)
            fail_msg("%s differs by %g", cases[k].file, difference / size);
        gguf_close(g);
    }
    gguf_close(f16);
}

static void fill(struct gguf_image *i, const struct gguf_writer *w) {
    smolvlm_fill(w, smolvlm_shape("micro"), 3, i->bytes + i->data_start);
}

static void open_micro(struct gguf_image *i, struct gguf_writer *w) {
    gguf_image_open(i, w);
    if (i->code != 0)
        fail_msg("%s", i->e.text);
    fill(i, w);
    gguf_writer_close(w);
}

static void bind_text(struct text_model *m, struct gguf_image *i) {
    if (text_model_bind(m, i->g, &i->e) != 0)
        fail_msg("%s", i->e.text);
}

static void test_without_an_output_matrix_the_embeddings_are_used(void **state) {
    (void)state;
    struct gguf_writer w;
    struct gguf_image i;
    struct text_model m;
    gguf_writer_open(&w);
    w.edit = (struct gguf_edit){.name = "output.weight", .what = EDIT_DROP};
    smolvlm_put_text(&w, smolvlm_shape("micro"), QUANT_Q8_0);
    assert_true(w.edit.used);
    open_micro(&i, &w);
    bind_text(&m, &i);
    assert_ptr_equal(m.output.data, m.token_embd.data);
    assert_int_equal(m.output.n_out, 384);
    text_model_release(&m);
    gguf_image_close(&i);
}

/* Rows past the vocabulary would let ids without a token be sampled. */
static void test_padding_rows_of_the_vocabulary_are_left_out(void **state) {
    (void)state;
    uint8_t tokens[12 + 300 * 9];
    memcpy(tokens, (uint32_t[]){GW_STRING}, 4);
    memcpy(tokens + 4, (uint64_t[]){300}, 8);
    for (size_t k = 0; k < 300; k++) {
        memcpy(tokens + 12 + 9 * k, (uint64_t[]){1}, 8);
        tokens[12 + 9 * k + 8] = 'x';
    }
    struct gguf_writer w;
    struct gguf_image i;
    struct text_model m;
    gguf_writer_open(&w);
    w.edit = (struct gguf_edit){.name = "tokenizer.ggml.tokens",
                                .what = EDIT_VALUE,
                                .type = GW_ARRAY,
                                .value = tokens,
                                .value_bytes = sizeof tokens};
    smolvlm_put_text(&w, smolvlm_shape("micro"), QUANT_F16);
    open_micro(&i, &w);
    bind_text(&m, &i);
    assert_int_equal(m.n_vocab, 300);
    assert_int_equal(m.token_embd.n_out, 300);
    assert_int_equal(m.output.n_out, 300);
    text_model_release(&m);
    gguf_image_close(&i);
}

static void put_vector(struct gguf_writer *w, const char *name, enum quant_type type, int64_t n) {
    (void)gguf_put_tensor(w, name, type, 1, &n, quant_row_bytes(type, (size_t)n));
}

static void test_biases_and_rope_divisors_are_bound_when_present(void **state) {
    (void)state;
    struct gguf_writer w;
    struct gguf_image i;
    struct text_model m;
    gguf_writer_open(&w);
    smolvlm_put_text(&w, smolvlm_shape("micro"), QUANT_F16);
    put_vector(&w, "blk.1.attn_q.bias", QUANT_F32, 64);
    put_vector(&w, "blk.1.attn_k.bias", QUANT_F16, 32);
    put_vector(&w, "blk.1.attn_v.bias", QUANT_F32, 32);
    put_vector(&w, "blk.1.attn_output.bias", QUANT_F32, 64);
    put_vector(&w, "blk.1.ffn_gate.bias", QUANT_F32, 96);
    put_vector(&w, "blk.1.ffn_up.bias", QUANT_F32, 96);
    put_vector(&w, "blk.1.ffn_down.bias", QUANT_F32, 64);
    put_vector(&w, "rope_freqs.weight", QUANT_F32, 16);
    size_t at = w.tensors[w.tensor_count - 1].offset;
    open_micro(&i, &w);
    float ones[16];
    for (int k = 0; k < 16; k++)
        ones[k] = 1.0f + (float)k;
    memcpy(i.bytes + i.data_start + at, ones, sizeof ones);
    bind_text(&m, &i);
    const struct text_layer *l = &m.layers[1];
    assert_true(l->q_bias && l->k_bias && l->v_bias && l->attn_out_bias && l->gate_bias &&
                l->up_bias && l->down_bias);
    assert_ptr_equal(l->k_bias, m.owned); /* expanded */
    assert_null(m.layers[0].q_bias);
    assert_true(m.rope_divisors[15] == 16.0f);
    text_model_release(&m);
    gguf_image_close(&i);
}

static void bind_with(struct text_model *m, struct gguf_image *i,
                      void (*add)(struct gguf_writer *)) {
    struct gguf_writer w;
    gguf_writer_open(&w);
    smolvlm_put_text(&w, smolvlm_shape("micro"), QUANT_F16);
    add(&w);
    open_micro(i, &w);
    bind_text(m, i);
}

static void add_linear(struct gguf_writer *w) {
    gguf_put_string(w, "llama.rope.scaling.type", "linear");
    gguf_put_f32(w, "llama.rope.scaling.factor", 4);
}

static void add_old_linear(struct gguf_writer *w) {
    gguf_put_f32(w, "llama.rope.scale_linear", 2);
}

static void add_none(struct gguf_writer *w) {
    gguf_put_string(w, "llama.rope.scaling.type", "none");
    gguf_put_f32(w, "llama.rope.scaling.factor", 4);
}

static void test_linear_scaling_divides_positions(void **state) {
    (void)state;
    struct text_model m;
    struct gguf_image i;
    void (*const adds[])(struct gguf_writer *) = {add_linear, add_old_linear, add_none};
    const float scales[] = {0.25f, 0.5f, 1};
    for (int k = 0; k < 3; k++) {
        bind_with(&m, &i, adds[k]);
        assert_true(m.rope_scale == scales[k]);
        text_model_release(&m);
        gguf_image_close(&i);
    }
}

static void test_equal_counts_per_layer_are_one_count(void **state) {
    (void)state;
    uint8_t list[12 + 8];
    memcpy(list, (uint32_t[]){GW_I32}, 4);
    memcpy(list + 4, (uint64_t[]){2}, 8);
    memcpy(list + 12, (int32_t[]){96, 96}, 8);
    struct gguf_writer w;
    struct gguf_image i;
    struct text_model m;
    gguf_writer_open(&w);
    w.edit = (struct gguf_edit){.name = "llama.feed_forward_length",
                                .what = EDIT_VALUE,
                                .type = GW_ARRAY,
                                .value = list,
                                .value_bytes = sizeof list};
    smolvlm_put_text(&w, smolvlm_shape("micro"), QUANT_F16);
    open_micro(&i, &w);
    bind_text(&m, &i);
    assert_int_equal(m.n_ff, 96);
    text_model_release(&m);
    gguf_image_close(&i);
}

/* SmolVLM2-2.2B: 384 / 14 leaves six pixels over, and the grid of 27 is cut in threes. */
static void test_a_grid_that_leaves_pixels_over_is_floored(void **state) {
    (void)state;
    struct smolvlm_shape s = *smolvlm_shape("micro");
    s.image = 384, s.patch = 14, s.scale = 3, s.longest_edge = 1536;
    struct gguf_writer w;
    struct gguf_image i;
    struct vision_model m;
    gguf_writer_open(&w);
    smolvlm_put_mmproj(&w, &s, QUANT_F16);
    gguf_image_open(&i, &w);
    assert_int_equal(i.code, 0);
    if (vision_model_bind(&m, i.g, 0, &i.e) != 0)
        fail_msg("%s", i.e.text);
    assert_int_equal(m.grid, 27);
    assert_int_equal(m.n_out, 81);
    vision_model_release(&m);
    gguf_image_close(&i);
    gguf_writer_close(&w);
}

/* Old converters: the wide matrix is called ffn_down; and no feed_forward_length. */
static void test_swapped_names_of_old_towers_are_set_right(void **state) {
    (void)state;
    struct gguf_writer w;
    struct gguf_image i;
    struct vision_model m;
    gguf_writer_open(&w);
    w.edit = (struct gguf_edit){.name = "clip.vision.feed_forward_length",
                                .what = EDIT_VALUE,
                                .type = GW_U32,
                                .value = "\0\0\0",
                                .value_bytes = 4};
    smolvlm_put_mmproj(&w, smolvlm_shape("micro"), QUANT_F16);
    for (size_t k = 0; k < w.tensor_count; k++) {
        char *at = strstr(w.tensors[k].name, "ffn_up"), rest[32];
        if (at != NULL) { /* both names to their places, one letter shorter or longer */
            (void)snprintf(rest, sizeof rest, "ffn_down%s", at + 6);
            (void)snprintf(at, sizeof rest, "%s", rest);
        } else if ((at = strstr(w.tensors[k].name, "ffn_down")) != NULL) {
            (void)snprintf(rest, sizeof rest, "ffn_up%s", at + 8);
            (void)snprintf(at, sizeof rest, "%s", rest);
        }
    }
    open_micro(&i, &w);
    if (vision_model_bind(&m, i.g, 64, &i.e) != 0)
        fail_msg("%s", i.e.text);
    assert_int_equal(m.n_ff, 64);
    assert_ptr_equal(m.layers[0].up.data, gguf_find_tensor(i.g, "v.blk.0.ffn_down.weight")->data);
    assert_int_equal(m.layers[0].up.n_out, 64);
    assert_int_equal(m.layers[0].down.n_out, 32);
    assert_ptr_equal(m.layers[1].up_b, gguf_find_tensor(i.g, "v.blk.1.ffn_down.bias")->data);
    vision_model_release(&m);
    gguf_image_close(&i);
}

static void test_halved_positions_and_norms_are_expanded(void **state) {
    (void)state;
    struct gguf_writer w;
    struct gguf_image i;
    struct vision_model m;
    gguf_writer_open(&w);
    w.edit =
        (struct gguf_edit){.name = "v.position_embd.weight", .what = EDIT_TYPE, .type = QUANT_F16};
    smolvlm_put_mmproj(&w, smolvlm_shape("micro"), QUANT_F16);
    size_t at = 0;
    for (size_t k = 0; k < w.tensor_count; k++)
        if (strcmp(w.tensors[k].name, "v.position_embd.weight") == 0)
            at = (size_t)w.tensors[k].offset;
    gguf_image_open(&i, &w);
    assert_int_equal(i.code, 0);
    i.bytes[i.data_start + at + 2 * (15 * 32 + 31) + 1] = 0x3c; /* the last of 16 x 32: 1.0 */
    if (vision_model_bind(&m, i.g, 64, &i.e) != 0)
        fail_msg("%s", i.e.text);
    assert_ptr_equal(m.positions, m.owned);
    assert_true(m.positions[15 * 32 + 31] == 1.0f && m.positions[15 * 32 + 30] == 0.0f);
    vision_model_release(&m);
    gguf_image_close(&i);
    gguf_writer_close(&w);
}

static void test_the_longest_edge_of_old_files_is_four_tiles(void **state) {
    (void)state;
    struct gguf_writer w;
    struct gguf_image i;
    struct vision_model m;
    gguf_writer_open(&w);
    w.edit = (struct gguf_edit){.name = "clip.vision.preproc_image_size", .what = EDIT_DROP};
    smolvlm_put_mmproj(&w, smolvlm_shape("micro"), QUANT_F16);
    open_micro(&i, &w);
    assert_int_equal(vision_model_bind(&m, i.g, 64, &i.e), 0);
    assert_int_equal(m.longest_edge, 64);
    vision_model_release(&m);
    gguf_image_close(&i);
}

static void fingerprint_of(uint8_t out[16], uint64_t seed, const char *name, uint32_t context) {
    struct gguf_writer w;
    struct gguf_image i;
    gguf_writer_open(&w);
    w.edit = (struct gguf_edit){.name = "general.name", .what = EDIT_DROP};
    smolvlm_put_text(&w, smolvlm_shape("micro"), QUANT_F16);
    gguf_put_string(&w, "general.name2", name);
    gguf_put_u32(&w, "llama.other", context);
    gguf_image_open(&i, &w);
    smolvlm_fill(&w, smolvlm_shape("micro"), seed, i.bytes + i.data_start);
    model_fingerprint(i.g, NULL, out);
    gguf_image_close(&i);
    gguf_writer_close(&w);
}

static void test_the_fingerprint_is_of_the_content(void **state) {
    (void)state;
    uint8_t a[16], b[16];
    fingerprint_of(a, 1, "name", 1);
    fingerprint_of(b, 1, "name", 1);
    assert_memory_equal(a, b, 16);
    fingerprint_of(b, 1, "eman", 1); /* names steer nothing */
    assert_memory_equal(a, b, 16);
    fingerprint_of(b, 2, "name", 1); /* other weights */
    assert_memory_not_equal(a, b, 16);
    fingerprint_of(b, 1, "name", 2); /* another key */
    assert_memory_not_equal(a, b, 16);
}

static void test_the_fingerprint_covers_the_tower(void **state) {
    (void)state;
    struct gguf *text = open_golden("smolvlm/text.gguf");
    struct gguf *one = open_golden("smolvlm/mmproj.gguf"), *two = open_golden("quant/mmproj.gguf");
    uint8_t a[16], b[16], c[16];
    model_fingerprint(text, NULL, a);
    model_fingerprint(text, one, b);
    model_fingerprint(text, two, c);
    assert_memory_not_equal(a, b, 16);
    assert_memory_not_equal(b, c, 16);
    gguf_close(text);
    gguf_close(one);
    gguf_close(two);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_golden_text_model_is_bound),
        cmocka_unit_test(test_the_golden_tower_is_bound),
        cmocka_unit_test(test_text_models_of_every_type_are_bound),
        cmocka_unit_test(test_quantised_tensors_are_close_to_what_they_were_made_of),
        cmocka_unit_test(test_without_an_output_matrix_the_embeddings_are_used),
        cmocka_unit_test(test_padding_rows_of_the_vocabulary_are_left_out),
        cmocka_unit_test(test_biases_and_rope_divisors_are_bound_when_present),
        cmocka_unit_test(test_linear_scaling_divides_positions),
        cmocka_unit_test(test_equal_counts_per_layer_are_one_count),
        cmocka_unit_test(test_a_grid_that_leaves_pixels_over_is_floored),
        cmocka_unit_test(test_swapped_names_of_old_towers_are_set_right),
        cmocka_unit_test(test_halved_positions_and_norms_are_expanded),
        cmocka_unit_test(test_the_longest_edge_of_old_files_is_four_tiles),
        cmocka_unit_test(test_the_fingerprint_is_of_the_content),
        cmocka_unit_test(test_the_fingerprint_covers_the_tower),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
