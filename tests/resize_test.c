/* resize_test.c - resizing equals Pillow's, to the last bit, on any CPU. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/file.h"
#include "worker/image/image.h"
#include "worker/image/resize_kernels.h"

static struct image load(const char *name) {
    struct bytes file = file_read(QUIRE_GOLDEN_DIR "/resize", name);
    struct image i;
    struct error e = {0};
    if (image_decode(file, &i, &e))
        fail_msg("%s: %s", name, e.text);
    free((void *)(uintptr_t)file.data);
    return i;
}

static void check_against_pillow(const char *filter_name, enum resize_filter filter) {
    static const int32_t sizes[][2] = {{128, 128}, {256, 128}, {33, 61},
                                       {40, 25},   {512, 384}, {97, 30}};
    struct image in = load("in-97x61.png");
    for (size_t s = 0; s < sizeof sizes / sizeof sizes[0]; s++) {
        char name[64];
        snprintf(name, sizeof name, "%s-%dx%d.png", filter_name, sizes[s][0], sizes[s][1]);
        struct image want = load(name), got;
        assert_int_equal(image_resize(&in, sizes[s][0], sizes[s][1], filter, &got, NULL), 0);
        assert_int_equal(got.width, want.width);
        assert_int_equal(got.height, want.height);
        size_t n = (size_t)want.width * (size_t)want.height * 3;
        for (size_t i = 0; i < n; i++)
            if (got.rgb[i] != want.rgb[i])
                fail_msg("%s: byte %zu is %d, Pillow has %d", name, i, got.rgb[i], want.rgb[i]);
        image_clear(&got);
        image_clear(&want);
    }
    image_clear(&in);
}

static void test_bilinear_equals_pillow(void **state) {
    (void)state;
    check_against_pillow("bilinear", RESIZE_BILINEAR);
}

static void test_bicubic_equals_pillow(void **state) {
    (void)state;
    check_against_pillow("bicubic", RESIZE_BICUBIC);
}

static void test_lanczos_equals_pillow(void **state) {
    (void)state;
    check_against_pillow("lanczos", RESIZE_LANCZOS);
}

static struct image noise(int32_t width, int32_t height) {
    size_t n = (size_t)width * (size_t)height * 3;
    struct image i = {width, height, malloc(n)};
    assert_non_null(i.rgb);
    uint32_t x = 12345;
    for (size_t k = 0; k < n; k++) {
        x = x * 1664525u + 1013904223u;
        i.rgb[k] = (uint8_t)(x >> 24);
    }
    return i;
}

static void test_same_size_is_a_copy(void **state) {
    (void)state;
    struct image in = noise(31, 17), out;
    assert_int_equal(image_resize(&in, 31, 17, RESIZE_LANCZOS, &out, NULL), 0);
    assert_memory_equal(in.rgb, out.rgb, 31 * 17 * 3);
    assert_ptr_not_equal(in.rgb, out.rgb);
    image_clear(&in);
    image_clear(&out);
}

static void test_one_pixel_becomes_any_size(void **state) {
    (void)state;
    uint8_t pixel[3] = {12, 200, 255};
    struct image in = {1, 1, pixel}, out;
    for (int f = RESIZE_BILINEAR; f <= RESIZE_LANCZOS; f++) {
        assert_int_equal(image_resize(&in, 50, 19, (enum resize_filter)f, &out, NULL), 0);
        for (int i = 0; i < 50 * 19; i++)
            assert_memory_equal(out.rgb + 3 * i, pixel, 3);
        image_clear(&out);
    }
}

static void test_any_size_becomes_one_pixel(void **state) {
    (void)state;
    struct image in = noise(301, 211), out;
    for (int f = RESIZE_BILINEAR; f <= RESIZE_LANCZOS; f++) {
        assert_int_equal(image_resize(&in, 1, 1, (enum resize_filter)f, &out, NULL), 0);
        assert_in_range(out.rgb[0], 90, 165); /* about the mean of noise */
        image_clear(&out);
    }
    image_clear(&in);
}

static void test_sharp_edges_clip_and_do_not_wrap(void **state) {
    (void)state;
    struct image in = {64, 4, calloc(64 * 4, 3)}, out;
    assert_non_null(in.rgb);
    for (int y = 0; y < 4; y++)
        memset(in.rgb + y * 192 + 96, 255, 96); /* black left, white right */
    assert_int_equal(image_resize(&in, 200, 4, RESIZE_LANCZOS, &out, NULL), 0);
    for (int x = 0; x < 90; x++)
        assert_true(out.rgb[3 * x] < 40);
    for (int x = 110; x < 200; x++)
        assert_true(out.rgb[3 * x] > 215);
    image_clear(&in);
    image_clear(&out);
}

static void test_too_large_a_result_is_refused(void **state) {
    (void)state;
    struct image in = noise(8, 8), out;
    struct error e;
    assert_int_equal(image_resize(&in, IMAGE_MAX_SIDE + 1, 8, RESIZE_LANCZOS, &out, &e), ERR_LIMIT);
    assert_int_equal(image_resize(&in, 10000, 10000, RESIZE_LANCZOS, &out, &e), ERR_LIMIT);
    assert_int_equal(image_resize(&in, 0, 8, RESIZE_LANCZOS, &out, &e), ERR_LIMIT);
    assert_int_equal(image_resize(&in, 8, -1, RESIZE_LANCZOS, &out, &e), ERR_LIMIT);
    assert_null(out.rgb);
    image_clear(&in);
}

/* Whatever the CPU's kernels are, they give the portable ones' bits. */
static void test_every_kernel_gives_the_same_bytes(void **state) {
    (void)state;
    enum { TAPS = 9, ROW = 131 };
    static uint8_t src[TAPS * ROW], a[ROW], b[ROW];
    int32_t weights[TAPS] = {-900000, 12345, 2000000, 4100000, 2900000, -800000, 1, 0, -2500000};
    struct image seed = noise(TAPS * ROW, 1);
    memcpy(src, seed.rgb, sizeof src);
    const struct resize_kernels *best = resize_kernels_best();
    for (int32_t taps = 0; taps <= TAPS; taps++) {
        for (size_t n = 0; n <= ROW; n++) {
            resize_kernels_portable.mix_rows(src, ROW, weights, taps, a, n);
            best->mix_rows(src, ROW, weights, taps, b, n);
            assert_memory_equal(a, b, n);
        }
        resize_kernels_portable.mix_columns(src, weights, taps, a);
        best->mix_columns(src, weights, taps, b);
        assert_memory_equal(a, b, RESIZE_LANES);
    }
    image_clear(&seed);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bilinear_equals_pillow),
        cmocka_unit_test(test_bicubic_equals_pillow),
        cmocka_unit_test(test_lanczos_equals_pillow),
        cmocka_unit_test(test_same_size_is_a_copy),
        cmocka_unit_test(test_one_pixel_becomes_any_size),
        cmocka_unit_test(test_any_size_becomes_one_pixel),
        cmocka_unit_test(test_sharp_edges_clip_and_do_not_wrap),
        cmocka_unit_test(test_too_large_a_result_is_refused),
        cmocka_unit_test(test_every_kernel_gives_the_same_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
