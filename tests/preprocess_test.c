/* preprocess_test.c - grids, tiles and their order. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "worker/engine/preprocess.h"

static const struct picture_options closely = {0, false};

static struct vision_model model_of(int32_t image_size, int32_t longest_edge) {
    return (struct vision_model){.image_size = image_size,
                                 .longest_edge = longest_edge,
                                 .n_out = 64,
                                 .mean = {0.5F, 0.25F, 0.0F},
                                 .std = {0.5F, 0.5F, 2.0F}};
}

static void check_grid(const struct vision_model *m, int32_t width, int32_t height, int32_t columns,
                       int32_t rows) {
    struct picture_layout l;
    assert_int_equal(preprocess_plan(m, width, height, &closely, &l, NULL), 0);
    if (l.columns != columns || l.rows != rows)
        fail_msg("%d x %d gives %d x %d tiles, expected %d x %d", width, height, l.columns, l.rows,
                 columns, rows);
    assert_int_equal(l.embeddings_per_tile, 64);
}

static void test_the_longer_side_fills_the_grid(void **state) {
    (void)state;
    struct vision_model m = model_of(512, 2048);
    check_grid(&m, 640, 480, 4, 3);
    check_grid(&m, 480, 640, 3, 4);
    check_grid(&m, 1000, 1000, 4, 4);
    check_grid(&m, 2048, 512, 4, 1);
    check_grid(&m, 2048, 513, 4, 2);
    check_grid(&m, 16384, 1, 4, 1);
    check_grid(&m, 1, 1, 4, 4); /* small pictures grow */
    struct vision_model larger = model_of(384, 1536);
    check_grid(&larger, 1920, 1080, 4, 3);
    struct vision_model single = model_of(128, 128);
    check_grid(&single, 128, 128, 1, 1);
    check_grid(&single, 5000, 3, 1, 1);
}

static void test_rounding_adds_no_row_of_tiles(void **state) {
    (void)state;
    struct vision_model m = model_of(512, 2048);
    check_grid(&m, 960, 720, 4, 3); /* 720 * (2048 / 960) is above 1536 in single precision */
    for (int32_t k = 1; k <= 1000; k++) {
        check_grid(&m, 4 * k, 4 * k, 4, 4);
        check_grid(&m, 4 * k, 2 * k, 4, 2);
    }
}

static void test_too_many_tiles_are_refused(void **state) {
    (void)state;
    struct vision_model m = model_of(128, 128 * 13);
    struct picture_layout l;
    struct error e = {0};
    assert_int_equal(preprocess_plan(&m, 100, 100, &closely, &l, &e), ERR_LIMIT);
    assert_non_null(strstr(e.text, "13 x 13 tiles"));
    check_grid(&m, 130, 10, 13, 1);
    assert_int_equal(preprocess_plan(&m, 0, 100, &closely, &l, &e), ERR_BAD_PICTURE);
}

/* Each pixel says where it is. */
static struct image picture(int32_t width, int32_t height) {
    struct image i = {width, height, malloc((size_t)(width * height) * 3)};
    assert_non_null(i.rgb);
    for (int32_t y = 0; y < height; y++)
        for (int32_t x = 0; x < width; x++) {
            uint8_t *p = i.rgb + 3 * (y * width + x);
            p[0] = (uint8_t)(x * 3);
            p[1] = (uint8_t)(y * 5);
            p[2] = (uint8_t)(x + y);
        }
    return i;
}

/* Tile t, and the part of `from` at (x, y) that it must be. */
static void check_tile(const struct vision_model *m, const struct prepared *p, int32_t t,
                       const struct image *from, int32_t x, int32_t y) {
    int32_t side = m->image_size;
    float *dst = malloc((size_t)(3 * side * side) * sizeof *dst);
    assert_non_null(dst);
    preprocess_tile(m, p, t, dst);
    for (int32_t c = 0; c < 3; c++)
        for (int32_t i = 0; i < side * side; i++) {
            int32_t at = (y + i / side) * from->width + x + i % side;
            double want =
                ((double)from->rgb[3 * at + c] / 255 - (double)m->mean[c]) / (double)m->std[c];
            assert_true(fabs((double)dst[c * side * side + i] - want) < 1e-6);
        }
    free(dst);
}

static void test_tiles_go_row_by_row_and_the_overview_last(void **state) {
    (void)state;
    struct vision_model m = model_of(16, 48);
    struct image in = picture(48, 32), small; /* just the refined size: no resizing */
    struct prepared p;
    assert_int_equal(preprocess_picture(&m, &in, &closely, &p, NULL), 0);
    assert_int_equal(p.layout.columns, 3);
    assert_int_equal(p.layout.rows, 2);
    for (int32_t t = 0; t < 6; t++)
        check_tile(&m, &p, t, &in, t % 3 * 16, t / 3 * 16);
    assert_int_equal(image_resize(&in, 16, 16, RESIZE_LANCZOS, &small, NULL), 0);
    check_tile(&m, &p, 6, &small, 0, 0);
    prepared_clear(&p);
    image_clear(&in);
    image_clear(&small);
}

static void test_one_tile_is_also_seen_as_the_overview(void **state) {
    (void)state;
    struct vision_model m = model_of(32, 32);
    struct image in = picture(32, 32);
    struct prepared p;
    assert_int_equal(preprocess_picture(&m, &in, &closely, &p, NULL), 0);
    assert_int_equal(p.layout.columns * p.layout.rows, 1);
    check_tile(&m, &p, 0, &in, 0, 0);
    check_tile(&m, &p, 1, &in, 0, 0);
    prepared_clear(&p);
    image_clear(&in);
}

static void test_refined_pictures_are_stretched_with_lanczos(void **state) {
    (void)state;
    struct vision_model m = model_of(16, 64);
    struct image in = picture(50, 30), want;
    struct prepared p;
    assert_int_equal(preprocess_picture(&m, &in, &closely, &p, NULL), 0);
    assert_int_equal(image_resize(&in, 64, 48, RESIZE_LANCZOS, &want, NULL), 0);
    assert_int_equal(p.refined.width, 64);
    assert_int_equal(p.refined.height, 48);
    assert_memory_equal(p.refined.rgb, want.rgb, 64 * 48 * 3);
    prepared_clear(&p);
    image_clear(&in);
    image_clear(&want);
}

static void check_bound(int32_t width, int32_t height, uint32_t max_pixels, int32_t to_width,
                        int32_t to_height) {
    int32_t w = width, h = height;
    preprocess_bound(&w, &h, max_pixels);
    if (w != to_width || h != to_height)
        fail_msg("%d x %d within %u pixels is %d x %d, expected %d x %d", width, height, max_pixels,
                 w, h, to_width, to_height);
}

static void test_a_bound_on_pixels_keeps_the_shape(void **state) {
    (void)state;
    check_bound(640, 480, 0, 640, 480);
    check_bound(640, 480, 640 * 480, 640, 480);
    check_bound(640, 480, UINT32_MAX, 640, 480); /* never larger */
    check_bound(640, 480, 640 * 480 / 4, 320, 240);
    check_bound(640, 480, 640 * 480 - 1, 639, 479);
    check_bound(16384, 1, 100, 100, 1); /* a side keeps a pixel */
    check_bound(1, 16384, 100, 1, 100);
    check_bound(3, 2, 1, 1, 1);
    for (uint32_t bound = 1; bound < 3000; bound++)
        for (int32_t height = 1; height < 90; height += 7) {
            int32_t w = 97, h = height;
            preprocess_bound(&w, &h, bound);
            assert_true(w >= 1 && h >= 1 && w <= 97 && h <= height);
            assert_true((uint32_t)(w * h) <= bound || (w == 97 && h == height));
        }
}

static void test_a_bounded_picture_is_scaled_before_all_else(void **state) {
    (void)state;
    struct vision_model m = model_of(16, 64);
    struct picture_options options = {.max_pixels = 24 * 16};
    struct image in = picture(48, 32), small, want;
    struct prepared p;
    assert_int_equal(preprocess_picture(&m, &in, &options, &p, NULL), 0);
    assert_int_equal(image_resize(&in, 24, 16, RESIZE_LANCZOS, &small, NULL), 0);
    assert_int_equal(image_resize(&small, 64, 48, RESIZE_LANCZOS, &want, NULL), 0);
    assert_int_equal(p.refined.width, 64);
    assert_memory_equal(p.refined.rgb, want.rgb, 64 * 48 * 3);
    image_clear(&want);
    assert_int_equal(image_resize(&small, 16, 16, RESIZE_LANCZOS, &want, NULL), 0);
    assert_memory_equal(p.overview.rgb, want.rgb, 16 * 16 * 3);
    prepared_clear(&p);
    image_clear(&in);
    image_clear(&small);
    image_clear(&want);
}

static void test_an_overview_alone_is_one_tile(void **state) {
    (void)state;
    struct vision_model m = model_of(16, 64);
    struct picture_options options = {.overview_only = true};
    struct image in = picture(48, 32), small;
    struct prepared p;
    assert_int_equal(preprocess_picture(&m, &in, &options, &p, NULL), 0);
    assert_int_equal(p.layout.columns, 0);
    assert_int_equal(p.layout.rows, 0);
    assert_int_equal(p.layout.embeddings_per_tile, 64);
    assert_null(p.refined.rgb);
    assert_int_equal(image_resize(&in, 16, 16, RESIZE_LANCZOS, &small, NULL), 0);
    check_tile(&m, &p, 0, &small, 0, 0);
    prepared_clear(&p);
    image_clear(&in);
    image_clear(&small);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_longer_side_fills_the_grid),
        cmocka_unit_test(test_rounding_adds_no_row_of_tiles),
        cmocka_unit_test(test_too_many_tiles_are_refused),
        cmocka_unit_test(test_tiles_go_row_by_row_and_the_overview_last),
        cmocka_unit_test(test_one_tile_is_also_seen_as_the_overview),
        cmocka_unit_test(test_refined_pictures_are_stretched_with_lanczos),
        cmocka_unit_test(test_a_bound_on_pixels_keeps_the_shape),
        cmocka_unit_test(test_a_bounded_picture_is_scaled_before_all_else),
        cmocka_unit_test(test_an_overview_alone_is_one_tile),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
