/* gguf_test.c - sound files: every kind of key and tensor is read back as it was written. */
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

static bool same(struct bytes b, const char *text) {
    return b.size == strlen(text) && memcmp(b.data, text, b.size) == 0;
}

static void open_sound(struct gguf_image *i, struct gguf_writer *w) {
    gguf_image_open(i, w);
    if (i->code != 0)
        fail_msg("refused: %s", i->e.text);
    gguf_writer_close(w);
}

static void test_integers_of_every_width_are_taken_where_they_fit(void **state) {
    (void)state;
    struct gguf_writer w;
    struct gguf_image i;
    gguf_writer_open(&w);
    gguf_put_raw(&w, "u8", GW_U8, (uint8_t[]){200}, 1);
    gguf_put_raw(&w, "i8", GW_I8, (int8_t[]){-3}, 1);
    gguf_put_raw(&w, "u16", GW_U16, (uint16_t[]){60000}, 2);
    gguf_put_raw(&w, "i16", GW_I16, (int16_t[]){300}, 2);
    gguf_put_u32(&w, "u32", UINT32_MAX);
    gguf_put_raw(&w, "i32", GW_I32, (int32_t[]){-1}, 4);
    gguf_put_raw(&w, "u64", GW_U64, (uint64_t[]){7}, 8);
    gguf_put_raw(&w, "huge", GW_U64, (uint64_t[]){UINT64_MAX}, 8);
    gguf_put_raw(&w, "i64", GW_I64, (int64_t[]){9}, 8);
    open_sound(&i, &w);
    const struct {
        const char *key;
        uint32_t value;
    } good[] = {{"u8", 200},         {"u16", 60000}, {"i16", 300},
                {"u32", UINT32_MAX}, {"u64", 7},     {"i64", 9}};
    for (size_t k = 0; k < sizeof good / sizeof good[0]; k++) {
        uint32_t v = 0;
        assert_int_equal(gguf_get_u32(i.g, good[k].key, 0, UINT32_MAX, &v, NULL, &i.e), 0);
        assert_int_equal(v, good[k].value);
    }
    static const char *const bad[] = {"i8", "i32", "huge"};
    for (size_t k = 0; k < 3; k++) {
        uint32_t v = 77;
        assert_int_equal(gguf_get_u32(i.g, bad[k], 0, UINT32_MAX, &v, NULL, &i.e), ERR_BAD_MODEL);
        assert_int_equal(v, 77);
        assert_non_null(strstr(i.e.text, bad[k]));
    }
    gguf_image_close(&i);
}

static void test_a_range_is_told_in_the_sentence(void **state) {
    (void)state;
    struct gguf_writer w;
    struct gguf_image i;
    gguf_writer_open(&w);
    gguf_put_u32(&w, "layers", 7);
    open_sound(&i, &w);
    uint32_t v;
    assert_int_equal(gguf_get_u32(i.g, "layers", 7, 7, &v, NULL, &i.e), 0);
    assert_int_equal(gguf_get_u32(i.g, "layers", 8, 99, &v, NULL, &i.e), ERR_BAD_MODEL);
    assert_non_null(strstr(i.e.text, "the key layers is 7, outside of 8 to 99"));
    assert_int_equal(gguf_get_u32(i.g, "layers", 1, 6, &v, NULL, &i.e), ERR_BAD_MODEL);
    gguf_image_close(&i);
}

static void test_floats_flags_and_strings_are_read(void **state) {
    (void)state;
    struct gguf_writer w;
    struct gguf_image i;
    gguf_writer_open(&w);
    gguf_put_f32(&w, "f", 1.5f);
    gguf_put_raw(&w, "d", GW_F64, (double[]){-0.25}, 8);
    gguf_put_bool(&w, "yes", true);
    gguf_put_bool(&w, "no", false);
    gguf_put_string(&w, "s", "a word");
    gguf_put_string(&w, "empty", "");
    open_sound(&i, &w);
    float f = 0;
    bool b = false;
    struct bytes s;
    assert_int_equal(gguf_get_f32(i.g, "f", &f, NULL, &i.e), 0);
    assert_true(f == 1.5f);
    assert_int_equal(gguf_get_f32(i.g, "d", &f, NULL, &i.e), 0);
    assert_true(f == -0.25f);
    assert_int_equal(gguf_get_bool(i.g, "yes", &b, NULL, &i.e), 0);
    assert_true(b);
    assert_int_equal(gguf_get_bool(i.g, "no", &b, NULL, &i.e), 0);
    assert_false(b);
    assert_int_equal(gguf_get_string(i.g, "s", &s, NULL, &i.e), 0);
    assert_true(same(s, "a word"));
    assert_int_equal(gguf_get_string(i.g, "empty", &s, NULL, &i.e), 0);
    assert_int_equal(s.size, 0);
    gguf_image_close(&i);
}

static void test_a_key_of_the_wrong_type_is_named(void **state) {
    (void)state;
    struct gguf_writer w;
    struct gguf_image i;
    gguf_writer_open(&w);
    gguf_put_string(&w, "s", "1");
    gguf_put_u32(&w, "n", 1);
    open_sound(&i, &w);
    uint32_t v;
    float f;
    bool b;
    struct bytes s;
    struct gguf_array a;
    assert_int_equal(gguf_get_u32(i.g, "s", 0, 9, &v, NULL, &i.e), ERR_BAD_MODEL);
    assert_non_null(strstr(i.e.text, "the key s is of type string"));
    assert_int_equal(gguf_get_f32(i.g, "n", &f, NULL, &i.e), ERR_BAD_MODEL);
    assert_int_equal(gguf_get_bool(i.g, "n", &b, NULL, &i.e), ERR_BAD_MODEL);
    assert_int_equal(gguf_get_string(i.g, "n", &s, NULL, &i.e), ERR_BAD_MODEL);
    assert_int_equal(gguf_get_array(i.g, "n", &a, NULL, &i.e), ERR_BAD_MODEL);
    assert_non_null(strstr(i.e.text, "the key n is of type u32"));
    gguf_image_close(&i);
}

static void test_a_missing_key_is_an_error_only_when_it_must_be_there(void **state) {
    (void)state;
    struct gguf_writer w;
    struct gguf_image i;
    gguf_writer_open(&w);
    open_sound(&i, &w);
    uint32_t v = 5;
    bool found = true;
    assert_int_equal(gguf_get_u32(i.g, "absent", 0, 9, &v, &found, &i.e), 0);
    assert_false(found);
    assert_int_equal(v, 5);
    assert_int_equal(gguf_get_u32(i.g, "absent", 0, 9, &v, NULL, &i.e), ERR_BAD_MODEL);
    assert_non_null(strstr(i.e.text, "the key absent is missing"));
    gguf_image_close(&i);
}

static void test_arrays_are_read_in_order(void **state) {
    (void)state;
    char one[] = "one", none[] = "", three[] = "three";
    char *const words[] = {one, none, three};
    struct gguf_writer w;
    struct gguf_image i;
    gguf_writer_open(&w);
    gguf_put_strings(&w, "words", words, 3);
    gguf_put_i32s(&w, "ints", (int32_t[]){5, -6}, 2);
    gguf_put_f32s(&w, "floats", (float[]){0.5f, -2}, 2);
    gguf_put_strings(&w, "none", words, 0);
    open_sound(&i, &w);
    struct gguf_array a;
    assert_int_equal(gguf_get_array(i.g, "words", &a, NULL, &i.e), 0);
    assert_int_equal(a.element_type, GGUF_TYPE_STRING);
    assert_int_equal(a.count, 3);
    const uint8_t *cursor = a.data;
    for (int k = 0; k < 3; k++)
        assert_true(same(gguf_next_string(&cursor), words[k]));
    assert_int_equal(gguf_get_array(i.g, "ints", &a, NULL, &i.e), 0);
    assert_int_equal(gguf_array_int(&a, 0), 5);
    assert_int_equal(gguf_array_int(&a, 1), -6);
    assert_int_equal(gguf_get_array(i.g, "floats", &a, NULL, &i.e), 0);
    assert_true(gguf_array_f32(&a, 1) == -2);
    assert_int_equal(gguf_get_array(i.g, "none", &a, NULL, &i.e), 0);
    assert_int_equal(a.count, 0);
    gguf_image_close(&i);
}

static void put_matrix(struct gguf_writer *w, const char *name, enum quant_type type, int64_t n,
                       int64_t rows) {
    int64_t ne[2] = {n, rows};
    (void)gguf_put_tensor(w, name, type, 2, ne, quant_row_bytes(type, (size_t)n) * (size_t)rows);
}

static void test_tensors_are_found_by_name_with_shape_and_data(void **state) {
    (void)state;
    for (uint32_t alignment = 8; alignment <= 4096; alignment *= 8) {
        struct gguf_writer w;
        struct gguf_image i;
        gguf_writer_open(&w);
        w.alignment = alignment;
        gguf_put_u32(&w, "general.alignment", alignment);
        put_matrix(&w, "first", QUANT_F32, 3, 5);
        put_matrix(&w, "second", QUANT_Q8_0, 64, 2);
        (void)gguf_put_tensor(&w, "scalar", QUANT_F16, 0, NULL, 2);
        uint64_t offset = w.tensors[1].offset;
        open_sound(&i, &w);
        assert_int_equal(gguf_tensor_count(i.g), 3);
        const struct gguf_tensor *t = gguf_find_tensor(i.g, "second");
        assert_non_null(t);
        assert_ptr_equal(t, gguf_tensor_at(i.g, 1));
        assert_int_equal(t->type, QUANT_Q8_0);
        assert_int_equal(t->n_dims, 2);
        assert_int_equal(t->ne[0], 64);
        assert_int_equal(t->ne[1], 2);
        assert_int_equal(t->ne[2] * t->ne[3], 1);
        assert_int_equal(t->bytes, 4 * 34);
        assert_ptr_equal(t->data, i.bytes + i.data_start + offset);
        assert_int_equal(gguf_find_tensor(i.g, "scalar")->bytes, 2);
        assert_null(gguf_find_tensor(i.g, "secon"));
        assert_null(gguf_find_tensor(i.g, ""));
        gguf_image_close(&i);
    }
}

static void test_version_2_is_read(void **state) {
    (void)state;
    struct gguf_writer w;
    struct gguf_image i;
    gguf_writer_open(&w);
    w.version = 2;
    gguf_put_u32(&w, "n", 1);
    open_sound(&i, &w);
    gguf_image_close(&i);
}

static void test_gaps_and_any_order_of_tensors_are_allowed(void **state) {
    (void)state;
    struct gguf_writer w;
    struct gguf_image i;
    gguf_writer_open(&w);
    put_matrix(&w, "a", QUANT_F32, 8, 1);
    put_matrix(&w, "b", QUANT_F32, 8, 1);
    w.tensors[0].offset = 96, w.tensors[1].offset = 0;
    w.data_bytes = 128;
    open_sound(&i, &w);
    gguf_image_close(&i);
}

static void test_many_names_are_all_found(void **state) {
    (void)state;
    struct gguf_writer w;
    struct gguf_image i;
    char name[32];
    gguf_writer_open(&w);
    for (int k = 0; k < 3000; k++) {
        (void)snprintf(name, sizeof name, "t%d", k);
        put_matrix(&w, name, QUANT_F32, 1, 1);
        gguf_put_u32(&w, name, (uint32_t)k);
    }
    open_sound(&i, &w);
    for (int k = 0; k < 3000; k++) {
        uint32_t v = 0;
        (void)snprintf(name, sizeof name, "t%d", k);
        assert_ptr_equal(gguf_find_tensor(i.g, name), gguf_tensor_at(i.g, (size_t)k));
        assert_int_equal(gguf_get_u32(i.g, name, 0, 3000, &v, NULL, &i.e), 0);
        assert_int_equal(v, k);
    }
    gguf_image_close(&i);
}

static void test_files_from_elsewhere_are_mapped(void **state) {
    (void)state;
    static const char *const files[] = {"smolvlm/text.gguf",
                                        "smolvlm/mmproj.gguf",
                                        "quant/mmproj.gguf",
                                        "quant/f16.gguf",
                                        "quant/q4_0.gguf",
                                        "quant/q4_1.gguf",
                                        "quant/q5_0.gguf",
                                        "quant/q5_1.gguf",
                                        "quant/q8_0.gguf",
                                        "quant/q4_k_s.gguf",
                                        "quant/q5_k_s.gguf",
                                        "quant/q6_k.gguf",
                                        "quant/iq4_nl.gguf",
                                        "tokenizer/ggml-vocab-gpt-2.gguf",
                                        "tokenizer/ggml-vocab-starcoder.gguf",
                                        "tokenizer/ggml-vocab-llama-spm.gguf"};
    for (size_t k = 0; k < sizeof files / sizeof files[0]; k++) {
        char path[512];
        struct gguf *g;
        struct error e = {0};
        struct bytes arch;
        (void)snprintf(path, sizeof path, "%s/%s", QUIRE_GOLDEN_DIR, files[k]);
        if (gguf_open(&g, path, &e) != 0)
            fail_msg("%s", e.text);
        assert_string_equal(gguf_path(g), path);
        assert_true(gguf_map_bytes(g) > 100000);
        assert_int_equal(gguf_get_string(g, "general.architecture", &arch, NULL, &e), 0);
        gguf_close(g);
    }
    gguf_close(NULL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_integers_of_every_width_are_taken_where_they_fit),
        cmocka_unit_test(test_a_range_is_told_in_the_sentence),
        cmocka_unit_test(test_floats_flags_and_strings_are_read),
        cmocka_unit_test(test_a_key_of_the_wrong_type_is_named),
        cmocka_unit_test(test_a_missing_key_is_an_error_only_when_it_must_be_there),
        cmocka_unit_test(test_arrays_are_read_in_order),
        cmocka_unit_test(test_tensors_are_found_by_name_with_shape_and_data),
        cmocka_unit_test(test_version_2_is_read),
        cmocka_unit_test(test_gaps_and_any_order_of_tensors_are_allowed),
        cmocka_unit_test(test_many_names_are_all_found),
        cmocka_unit_test(test_files_from_elsewhere_are_mapped),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
