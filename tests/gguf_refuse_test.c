/* gguf_refuse_test.c - hostile and damaged files: each field bent on its own, each refused with a
 * sentence that says which. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "tests/support/gguf_image.h"
#include "tests/support/temp.h"

/* Two keys and two tensors of 32 bytes, at offsets 0 and 32; every test bends one thing. */
static void start(struct gguf_writer *w) {
    int64_t ne[2] = {8, 1};
    gguf_writer_open(w);
    gguf_put_string(w, "general.architecture", "llama");
    gguf_put_u32(w, "n", 1);
    (void)gguf_put_tensor(w, "a", QUANT_F32, 2, ne, 32);
    (void)gguf_put_tensor(w, "b", QUANT_F32, 2, ne, 32);
}

static void test_the_file_that_the_others_bend_is_sound(void **state) {
    (void)state;
    struct gguf_writer w;
    struct gguf_image i;
    start(&w);
    gguf_image_open(&i, &w);
    assert_int_equal(i.code, 0);
    gguf_image_close(&i);
    gguf_writer_close(&w);
}

static void test_other_versions_are_refused(void **state) {
    (void)state;
    const struct {
        uint32_t version;
        int code;
        const char *part;
    } cases[] = {{0, ERR_BAD_MODEL, "version 0"},
                 {1, ERR_UNSUPPORTED, "version 1"},
                 {4, ERR_UNSUPPORTED, "version 4"},
                 {0x03000000, ERR_UNSUPPORTED, "big-endian"},
                 {UINT32_MAX, ERR_UNSUPPORTED, "version"}};
    for (size_t k = 0; k < sizeof cases / sizeof cases[0]; k++) {
        struct gguf_writer w;
        start(&w);
        w.version = cases[k].version;
        expect_refused(&w, cases[k].code, cases[k].part);
    }
}

static void test_counts_that_the_file_cannot_hold_are_refused(void **state) {
    (void)state;
    static const uint64_t counts[] = {
        1000,       (uint64_t)1 << 32,  (uint64_t)1 << 60, INT64_MAX, (uint64_t)INT64_MAX + 1,
        UINT64_MAX, UINT64_MAX / 48 + 2};
    for (size_t k = 0; k < sizeof counts / sizeof counts[0]; k++) {
        struct gguf_writer w;
        start(&w);
        w.n_keys = counts[k];
        expect_refused(&w, ERR_BAD_MODEL, "keys");
        start(&w);
        w.n_tensors = counts[k];
        expect_refused(&w, ERR_BAD_MODEL, "tensors");
    }
}

static void test_a_count_one_too_high_is_refused(void **state) {
    (void)state;
    struct gguf_writer w;
    start(&w);
    w.n_keys++;
    expect_refused(&w, ERR_BAD_MODEL, "tensor"); /* the first tensor was read as a key */
    start(&w);
    w.n_tensors++;
    expect_refused(&w, ERR_BAD_MODEL, "tensor 3 of 3");
}

static void put_list_head(uint8_t out[12], uint32_t element_type, uint64_t count) {
    memcpy(out, &element_type, 4);
    memcpy(out + 4, &count, 8);
}

static void test_string_lengths_are_held_against_what_is_left(void **state) {
    (void)state;
    static const uint64_t lengths[] = {
        4096, (uint64_t)1 << 30, (uint64_t)1 << 31, (uint64_t)1 << 63, UINT64_MAX, UINT64_MAX - 7};
    for (size_t k = 0; k < sizeof lengths / sizeof lengths[0]; k++) {
        struct gguf_writer w;
        start(&w);
        gguf_put_raw(&w, "text", GW_STRING, &lengths[k], 8);
        expect_refused(&w, ERR_BAD_MODEL, "key 'text'");
        /* The same inside an array of strings. */
        uint8_t array[20];
        put_list_head(array, GW_STRING, 1);
        memcpy(array + 12, &lengths[k], 8);
        start(&w);
        gguf_put_raw(&w, "list", GW_ARRAY, array, sizeof array);
        expect_refused(&w, ERR_BAD_MODEL, "key 'list': element 0");
        /* And for a key's own name, which is the first thing behind the header. */
        struct gguf_writer v;
        gguf_writer_open(&v);
        gguf_put_u32(&v, "aaaaaaaa", 0);
        memcpy(v.keys.data, &lengths[k], 8);
        expect_refused(&v, ERR_BAD_MODEL, "key 1 of 1");
    }
}

static void test_array_lengths_are_held_against_what_is_left(void **state) {
    (void)state;
    static const uint32_t types[] = {GW_U8, GW_I32, GW_F32, GW_STRING, GW_U64, GW_BOOL};
    static const uint64_t counts[] = {4096,
                                      (uint64_t)1 << 30,
                                      ((uint64_t)1 << 30) + 1,
                                      (uint64_t)1 << 61,
                                      ((uint64_t)1 << 62) + 1, /* times 4 it is 4 */
                                      UINT64_MAX};
    for (size_t t = 0; t < sizeof types / sizeof types[0]; t++)
        for (size_t k = 0; k < sizeof counts / sizeof counts[0]; k++) {
            struct gguf_writer w;
            uint8_t array[12];
            put_list_head(array, types[t], counts[k]);
            start(&w);
            gguf_put_raw(&w, "list", GW_ARRAY, array, sizeof array);
            expect_refused(&w, ERR_BAD_MODEL, "key 'list': an array claims");
        }
}

static void test_types_that_do_not_exist_are_refused(void **state) {
    (void)state;
    static const uint32_t types[] = {13, 255, UINT32_MAX};
    for (size_t k = 0; k < 3; k++) {
        struct gguf_writer w;
        uint8_t array[32] = {0};
        start(&w);
        gguf_put_raw(&w, "odd", types[k], array, 8);
        expect_refused(&w, ERR_BAD_MODEL, "key 'odd': value type");
        put_list_head(array, types[k], 1);
        start(&w);
        gguf_put_raw(&w, "odd", GW_ARRAY, array, sizeof array);
        expect_refused(&w, ERR_BAD_MODEL, "key 'odd': an array of element type");
        put_list_head(array, GW_ARRAY, 1); /* arrays of arrays */
        start(&w);
        gguf_put_raw(&w, "odd", GW_ARRAY, array, sizeof array);
        expect_refused(&w, ERR_BAD_MODEL, "key 'odd': an array of element type 9");
    }
}

static void test_names_must_be_there_once(void **state) {
    (void)state;
    int64_t ne[1] = {8};
    struct gguf_writer w;
    start(&w);
    gguf_put_u32(&w, "n", 2);
    expect_refused(&w, ERR_BAD_MODEL, "'n' occurs twice");
    start(&w);
    gguf_put_u32(&w, "", 2);
    expect_refused(&w, ERR_BAD_MODEL, "empty name");
    start(&w);
    (void)gguf_put_tensor(&w, "a", QUANT_F32, 1, ne, 32);
    expect_refused(&w, ERR_BAD_MODEL, "'a' occurs twice");
    start(&w);
    (void)gguf_put_tensor(&w, "", QUANT_F32, 1, ne, 32);
    expect_refused(&w, ERR_BAD_MODEL, "empty name");
}

static void test_a_name_from_a_file_cannot_forge_a_line(void **state) {
    (void)state;
    struct gguf_writer w;
    start(&w);
    gguf_put_raw(&w, "a\n\x1b[2Jb", 99, "", 0);
    expect_refused(&w, ERR_BAD_MODEL, "key 'a??[2Jb'");
}

/* Where these bytes last stand in front of the data. */
static uint8_t *find_last(struct gguf_image *i, const void *bytes, size_t n) {
    for (size_t at = i->data_start - n; at > 0; at--)
        if (memcmp(i->bytes + at, bytes, n) == 0)
            return i->bytes + at;
    fail();
    return NULL;
}

static void test_a_tensors_name_has_at_most_63_bytes(void **state) {
    (void)state;
    struct gguf_writer w;
    struct gguf_image i;
    start(&w);
    memset(w.tensors[1].name, 'x', 63);
    gguf_image_open(&i, &w);
    assert_int_equal(i.code, 0);
    uint8_t *length = find_last(&i, (uint8_t[]){63, 0, 0, 0, 0, 0, 0, 0, 'x'}, 9);
    length[0] = 64;
    gguf_image_reopen(&i);
    assert_int_equal(i.code, ERR_BAD_MODEL);
    assert_non_null(strstr(i.e.text, "claims 64 bytes"));
    gguf_image_close(&i);
    gguf_writer_close(&w);
}

static void test_shapes_that_make_no_sense_are_refused(void **state) {
    (void)state;
    const struct {
        int64_t ne[4];
        const char *part;
    } cases[] = {
        {{0, 1, 1, 1}, "dimension 0"},
        {{8, 0, 1, 1}, "dimension 1"},
        {{8, -1, 1, 1}, "dimension 1"},
        {{INT64_MIN, 1, 1, 1}, "dimension 0"},
        {{(int64_t)1 << 32, (int64_t)1 << 32, 1, 1}, "product"}, /* wraps to 0 */
        {{(int64_t)1 << 62, 2, 2, 1}, "product"},                /* wraps to 0 later */
        {{((int64_t)1 << 32) + 1, (int64_t)1 << 32, 1, 1}, "product"},
        {{INT64_MAX, 1, 1, 1}, "more bytes than the file has"}, /* bytes wrap, elements do not */
        {{(int64_t)1 << 62, 1, 1, 1}, "more bytes than the file has"},
        {{(int64_t)1 << 61, 2, 1, 1}, "more bytes than the file has"},
        {{8, 1000, 1, 1}, "more bytes than the file has"},
    };
    for (size_t k = 0; k < sizeof cases / sizeof cases[0]; k++) {
        struct gguf_writer w;
        start(&w);
        w.tensors[1].n_dims = 4;
        memcpy(w.tensors[1].ne, cases[k].ne, sizeof cases[k].ne);
        expect_refused(&w, ERR_BAD_MODEL, cases[k].part);
    }
}

static void test_more_than_four_dimensions_are_refused(void **state) {
    (void)state;
    static const uint32_t counts[] = {5, 0x7fffffff, UINT32_MAX};
    struct gguf_writer w;
    struct gguf_image i;
    start(&w);
    gguf_image_open(&i, &w);
    assert_int_equal(i.code, 0);
    uint8_t *n_dims = find_last(&i, (uint8_t[]){1, 0, 0, 0, 0, 0, 0, 0, 'b'}, 9) + 9;
    for (size_t k = 0; k < 3; k++) {
        memcpy(n_dims, &counts[k], 4);
        gguf_image_reopen(&i);
        assert_int_equal(i.code, ERR_BAD_MODEL);
        assert_non_null(strstr(i.e.text, "dimensions are more than 4"));
    }
    gguf_image_close(&i);
    gguf_writer_close(&w);
}

static void test_tensor_types_that_are_not_read_are_named(void **state) {
    (void)state;
    static const uint32_t types[] = {4,  5,  9,  15, 16,   19,         24,        28,
                                     31, 34, 39, 97, 1000, 0x80000000, UINT32_MAX};
    for (size_t k = 0; k < sizeof types / sizeof types[0]; k++) {
        struct gguf_writer w;
        char part[64];
        start(&w);
        w.tensors[1].type = types[k];
        (void)snprintf(part, sizeof part, "tensor 'b': its type %d ", (int)types[k]);
        expect_refused(&w, ERR_UNSUPPORTED, part);
    }
}

static void test_rows_must_be_whole_blocks(void **state) {
    (void)state;
    static const uint32_t types[] = {QUANT_Q4_0, QUANT_Q8_0, QUANT_Q4_K, QUANT_Q6_K, QUANT_IQ4_XS};
    for (size_t k = 0; k < sizeof types / sizeof types[0]; k++) {
        struct gguf_writer w;
        start(&w);
        w.tensors[1].type = types[k];
        w.tensors[1].ne[0] = k < 2 ? 33 : 224;
        expect_refused(&w, ERR_BAD_MODEL, "tensor 'b': rows of");
    }
}

static void test_offsets_must_be_aligned_and_inside(void **state) {
    (void)state;
    const struct {
        uint64_t offset;
        const char *part;
    } cases[] = {{1, "not a multiple"},
                 {33, "not a multiple"},
                 {40, "not a multiple"},
                 {64, "tensor 'b' needs 32 bytes at offset 64"},
                 {(uint64_t)1 << 40, "tensor 'b' needs"},
                 {(uint64_t)1 << 63, "tensor 'b' needs"},
                 {UINT64_MAX - 31, "tensor 'b' needs"}, /* wraps when the size is added */
                 {UINT64_MAX, "not a multiple"}};
    for (size_t k = 0; k < sizeof cases / sizeof cases[0]; k++) {
        struct gguf_writer w;
        start(&w);
        w.tensors[1].offset = cases[k].offset;
        expect_refused(&w, ERR_BAD_MODEL, cases[k].part);
    }
}

/* The offset is chosen so that the tensor would start 32 bytes before the end of all addresses. */
static void test_an_end_that_wraps_to_zero_is_refused(void **state) {
    (void)state;
    struct gguf_writer w;
    struct gguf_image i;
    start(&w);
    gguf_image_open(&i, &w);
    w.tensors[1].offset = UINT64_MAX - 31 - i.data_start;
    gguf_image_close(&i);
    expect_refused(&w, ERR_BAD_MODEL, "tensor 'b' needs 32 bytes");
}

static void test_overlapping_tensors_are_refused(void **state) {
    (void)state;
    struct gguf_writer w;
    start(&w);
    w.tensors[1].offset = 0; /* the same bytes twice */
    expect_refused(&w, ERR_BAD_MODEL, "'a' and 'b' overlap");
    start(&w);
    w.tensors[0].ne[0] = 9; /* one value into the next */
    expect_refused(&w, ERR_BAD_MODEL, "'a' and 'b' overlap");
}

static void test_alignments_must_be_powers_of_two_from_8_on(void **state) {
    (void)state;
    static const uint32_t bad[] = {0, 1, 4, 7, 12, 24, 33, 48, 0x80000001, UINT32_MAX};
    struct gguf_writer w;
    for (size_t k = 0; k < sizeof bad / sizeof bad[0]; k++) {
        start(&w);
        gguf_put_u32(&w, "general.alignment", bad[k]);
        expect_refused(&w, ERR_BAD_MODEL, "general.alignment is");
    }
    start(&w);
    gguf_put_string(&w, "general.alignment", "32");
    expect_refused(&w, ERR_BAD_MODEL, "general.alignment is of type string");
    start(&w);
    gguf_put_u32(&w, "general.alignment", 0x80000000u); /* allowed, but the file ends before */
    w.tensors[1].offset = 0x80000000u;
    expect_refused(&w, ERR_BAD_MODEL, "tensor 'a' needs");
}

static void test_parts_of_split_models_are_refused(void **state) {
    (void)state;
    struct gguf_writer w;
    start(&w);
    gguf_put_raw(&w, "split.count", GW_U16, (uint16_t[]){3}, 2);
    expect_refused(&w, ERR_UNSUPPORTED, "3 parts of a split model");
}

static void expect_path_refused(const char *path, int code, const char *part) {
    struct gguf *g = NULL;
    struct error e = {0};
    int rc = gguf_open(&g, path, &e);
    assert_null(g);
    if (rc != code || strstr(e.text, part) == NULL || strstr(e.text, path) == NULL)
        fail_msg("wanted code %d and '%s', got %d and '%s'", code, part, rc, e.text);
}

static void test_things_that_are_no_model_files_are_refused(void **state) {
    (void)state;
    struct temp_dir dir;
    char path[TEMP_PATH_BYTES * 2];
    temp_dir_open(&dir);
    expect_path_refused(dir.path, ERR_IO, "regular file");
    (void)snprintf(path, sizeof path, "%s/absent", dir.path);
    expect_path_refused(path, ERR_NOT_FOUND, "No such file");
    (void)snprintf(path, sizeof path, "%s/fifo", dir.path);
    assert_int_equal(mkfifo(path, 0600), 0);
    expect_path_refused(path, ERR_IO, "regular file");
    temp_file(&dir, "empty", "", 0, path, sizeof path);
    expect_path_refused(path, ERR_BAD_MODEL, "0 bytes");
    temp_file(&dir, "png", "\x89PNG\r\n\x1a\n0123456789abcdef0123456789", 34, path, sizeof path);
    expect_path_refused(path, ERR_BAD_MODEL, "not a GGUF file");
    temp_dir_close(&dir);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_file_that_the_others_bend_is_sound),
        cmocka_unit_test(test_other_versions_are_refused),
        cmocka_unit_test(test_counts_that_the_file_cannot_hold_are_refused),
        cmocka_unit_test(test_a_count_one_too_high_is_refused),
        cmocka_unit_test(test_string_lengths_are_held_against_what_is_left),
        cmocka_unit_test(test_array_lengths_are_held_against_what_is_left),
        cmocka_unit_test(test_types_that_do_not_exist_are_refused),
        cmocka_unit_test(test_names_must_be_there_once),
        cmocka_unit_test(test_a_name_from_a_file_cannot_forge_a_line),
        cmocka_unit_test(test_a_tensors_name_has_at_most_63_bytes),
        cmocka_unit_test(test_shapes_that_make_no_sense_are_refused),
        cmocka_unit_test(test_more_than_four_dimensions_are_refused),
        cmocka_unit_test(test_tensor_types_that_are_not_read_are_named),
        cmocka_unit_test(test_rows_must_be_whole_blocks),
        cmocka_unit_test(test_offsets_must_be_aligned_and_inside),
        cmocka_unit_test(test_an_end_that_wraps_to_zero_is_refused),
        cmocka_unit_test(test_overlapping_tensors_are_refused),
        cmocka_unit_test(test_alignments_must_be_powers_of_two_from_8_on),
        cmocka_unit_test(test_parts_of_split_models_are_refused),
        cmocka_unit_test(test_things_that_are_no_model_files_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
