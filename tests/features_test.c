/* features_test.c - requests share decoding and tower runs where the model sees the same, and only
 * there. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>

#include <string.h>

#include "tests/support/feature_rig.h"
#include "tests/support/file.h"

static uint16_t slope(uint32_t x, uint32_t y, int c) {
    return (uint16_t)((x * 5 + y * 3 + (uint32_t)c * 60) & 255);
}

static uint16_t slope_of_another_alpha(uint32_t x, uint32_t y, int c) {
    return c == 3 ? (uint16_t)(slope(x, y, c) ^ 255) : slope(x, y, c);
}

static uint16_t linear_4_wide(uint32_t x, uint32_t y, int c) {
    return (uint16_t)((y * 4 + x) * 7 + (uint32_t)c);
}

static uint16_t linear_8_wide(uint32_t x, uint32_t y, int c) {
    return (uint16_t)((y * 8 + x) * 7 + (uint32_t)c);
}

/* ---- shared ---- */

static void test_the_same_bytes_are_decoded_and_encoded_once(void **state) {
    (void)state;
    struct bytes png = rig_noise_png(1, 30, 20), copy = rig_noise_png(1, 30, 20);
    rig_ask_alone("a", (struct shown){.encoded = png}, 1, 1);
    rig_ask_alone("a", (struct shown){.encoded = png}, 0, 0);
    rig_ask_alone("a", (struct shown){.encoded = copy}, 0, 0);
    assert_int_equal(rig_kept(), 1);
    rig_release(png);
    rig_release(copy);
}

static void test_what_comes_from_the_cache_is_what_the_tower_makes(void **state) {
    (void)state;
    struct bytes png = rig_noise_png(2, 90, 61);
    struct shown shown = {.encoded = png};
    rig_ask_alone("a", shown, 1, 1);
    struct features cached = rig_ask("a", &shown, 1), made = rig_ask("b", &shown, 1);
    rig_make_all(&cached);
    rig_make_all(&made);
    rig_expect(&cached, 0, 0);
    rig_expect(&made, 1, 1);
    assert_memory_equal(features_row(&cached, 0, 0), features_row(&made, 0, 0),
                        rig_picture_floats() * sizeof(float));
    features_close(&cached);
    features_close(&made);
    rig_release(png);
}

static void test_the_same_pixels_in_another_file_are_encoded_once(void **state) {
    (void)state;
    struct bytes plain = rig_png(40, 33, 2, false, slope);
    struct bytes interlaced = rig_png(40, 33, 2, true, slope);
    assert_true(plain.size != interlaced.size);
    struct shown shown[] = {{.encoded = plain}, {.encoded = interlaced}};
    struct features f = rig_ask("a", shown, 2);
    rig_make_all(&f);
    rig_expect(&f, 2, 1);
    assert_true(rig_same_digest(&f, 0, &f, 1));
    assert_ptr_equal(features_row(&f, 0, 1), features_row(&f, 1, 1));
    features_close(&f);
    rig_ask_alone("a", shown[1], 0, 0);
    rig_release(plain);
    rig_release(interlaced);
}

static void test_one_picture_twice_in_a_request_is_made_once(void **state) {
    (void)state;
    struct bytes png = rig_noise_png(4, 30, 20), copy = rig_noise_png(4, 30, 20);
    struct shown shown[] = {{.encoded = png}, {.encoded = png}, {.encoded = copy}};
    struct features f = rig_ask("a", shown, 3);
    rig_work(&f, 1);
    for (uint32_t i = 0; i < 3; i++)
        assert_true(features_known(&f, i));
    rig_make_all(&f);
    rig_expect(&f, 1, 1);
    features_drop(&f, 0);
    (void)features_row(&f, 2, 0); /* the others are still there */
    features_close(&f);
    assert_int_equal(rig_kept(), 1);
    rig_release(png);
    rig_release(copy);
}

static void test_transparency_is_nothing_the_model_sees(void **state) {
    (void)state;
    struct bytes one = rig_png(30, 30, 6, false, slope);
    struct bytes other = rig_png(30, 30, 6, false, slope_of_another_alpha);
    assert_memory_not_equal(one.data, other.data, one.size);
    rig_ask_alone("a", (struct shown){.encoded = one}, 1, 1);
    rig_ask_alone("a", (struct shown){.encoded = other}, 1, 0);
    rig_release(one);
    rig_release(other);
}

/* ---- not shared ---- */

static void check_apart(const char *tenant_a, struct shown a, const char *tenant_b,
                        struct shown b) {
    rig_ask_alone(tenant_a, a, 1, 1);
    rig_ask_alone(tenant_b, b, 1, 1);
    rig_ask_alone(tenant_a, a, 0, 0);
    rig_ask_alone(tenant_b, b, 0, 0);
}

static void test_another_tenant_gains_nothing(void **state) {
    (void)state;
    struct bytes png = rig_noise_png(6, 30, 20);
    struct shown shown = {.encoded = png};
    check_apart("a", shown, "b", shown);
    check_apart("", shown, "ab", shown);
    struct features f = rig_ask("c", &shown, 1);
    assert_false(features_known(&f, 0));
    features_close(&f);
    rig_release(png);
}

static void test_pixels_that_differ_are_encoded_each(void **state) {
    (void)state;
    struct bytes narrow = rig_png(4, 8, 2, false, linear_4_wide),
                 wide = rig_png(8, 4, 2, false, linear_8_wide);
    check_apart("a", (struct shown){.encoded = narrow}, "a", (struct shown){.encoded = wide});
    struct bytes jpeg = file_read(QUIRE_GOLDEN_DIR "/formats", "colour-444.jpg");
    struct bytes again = file_read(QUIRE_GOLDEN_DIR "/formats", "colour-420.jpg");
    check_apart("a", (struct shown){.encoded = jpeg}, "a", (struct shown){.encoded = again});
    struct bytes turned = file_read(QUIRE_GOLDEN_DIR "/formats", "rotated-tag.jpg");
    rig_ask_alone("a", (struct shown){.encoded = turned}, 1, 1);
    rig_release(narrow);
    rig_release(wide);
    rig_release(jpeg);
    rig_release(again);
    rig_release(turned);
}

static void test_what_is_seen_of_a_picture_counts(void **state) {
    (void)state;
    struct bytes png = rig_noise_png(7, 60, 40);
    check_apart("a", (struct shown){.encoded = png}, "a",
                (struct shown){.encoded = png, .max_pixels = 600});
    struct shown low = {.encoded = png, .overview_only = true};
    struct features f = rig_ask("a", &low, 1);
    assert_int_equal(f.layouts[0].columns * f.layouts[0].rows, 0);
    rig_make_all(&f);
    assert_int_equal(f.tiles_encoded, 1);
    features_close(&f);
    rig_ask_alone("a", low, 0, 0);
    /* A bound that changes nothing: decoded to find that out, and encoded no more. */
    rig_ask_alone("a", (struct shown){.encoded = png, .max_pixels = 2400}, 1, 0);
    rig_release(png);
}

/* ---- at once ---- */

static void test_requests_that_wait_for_one_picture_take_turns(void **state) {
    (void)state;
    struct bytes png = rig_noise_png(8, 30, 20);
    struct shown shown = {.encoded = png};
    struct features f[10];
    uint32_t pieces = 0, decoded = 0, encoded = 0, tiles = 0, done, total;
    for (size_t i = 0; i < 10; i++)
        f[i] = rig_ask("a", &shown, 1);
    for (size_t i = 0; !features_complete(&f[i % 10], 0); i++, pieces++)
        rig_work(&f[i % 10], 0);
    for (size_t i = 0; i < 10; i++) {
        assert_true(features_complete(&f[i], 0));
        assert_ptr_equal(features_row(&f[i], 0, 0), features_row(&f[0], 0, 0));
        features_progress(&f[i], &done, &total);
        assert_int_equal(done, RIG_TILES);
        assert_int_equal(total, RIG_TILES);
        decoded += f[i].pictures_decoded;
        encoded += f[i].pictures_encoded;
        tiles += f[i].tiles_encoded;
    }
    assert_int_equal(pieces, 1 + RIG_TILES);
    assert_int_equal(decoded, 1);
    assert_int_equal(encoded, 1);
    assert_int_equal(tiles, RIG_TILES);
    for (size_t i = 0; i < 10; i++)
        features_close(&f[i]);
    rig_release(png);
}

static void test_a_request_goes_on_with_what_another_began(void **state) {
    (void)state;
    struct bytes png = rig_noise_png(9, 30, 20);
    struct shown shown = {.encoded = png};
    struct features first = rig_ask("a", &shown, 1), second = rig_ask("a", &shown, 1);
    rig_work(&first, 0);
    rig_work(&first, 0);
    assert_int_equal(first.tiles_encoded, 1);
    assert_false(features_complete(&second, 0)); /* it holds what there is */
    features_close(&first);
    assert_int_equal(rig_kept(), 1);
    rig_make_all(&second);
    assert_int_equal(second.pictures_decoded, 0);
    assert_int_equal(second.tiles_encoded, RIG_TILES - 1);
    assert_int_equal(second.pictures_encoded, 1);
    features_close(&second);
    rig_release(png);
}

static void test_what_is_half_made_for_nobody_goes(void **state) {
    (void)state;
    struct bytes png = rig_noise_png(10, 30, 20);
    struct shown shown = {.encoded = png};
    for (int pieces = 1; pieces <= RIG_TILES; pieces++) {
        struct features f = rig_ask("a", &shown, 1);
        for (int i = 0; i < pieces; i++)
            rig_work(&f, 0);
        assert_int_equal(rig_kept(), 1);
        features_close(&f);
        assert_int_equal(rig_kept(), 0);
        assert_int_equal(feature_cache_bytes(rig_engine->feature_cache), 0);
    }
    rig_release(png);
}

static void test_a_picture_known_by_digest_alone_need_not_be_encoded(void **state) {
    (void)state;
    struct bytes png = rig_noise_png(11, 30, 20);
    struct shown shown = {.encoded = png};
    struct features f = rig_ask("a", &shown, 1), later;
    uint32_t done, total;
    assert_false(features_known(&f, 0));
    rig_work(&f, 0);
    assert_true(features_known(&f, 0));
    features_drop(&f, 0); /* pages are there for all its positions */
    assert_true(features_complete(&f, 0));
    features_progress(&f, &done, &total);
    assert_int_equal(done, total);
    rig_expect(&f, 1, 0);
    later = rig_ask("a", &shown, 1);
    assert_true(features_known(&later, 0));
    assert_true(rig_same_digest(&f, 0, &later, 0));
    rig_expect(&later, 0, 0);
    features_close(&f);
    features_close(&later);
    rig_release(png);
}

/* ---- in pieces ---- */

/* Pieces of a microsecond until the picture is there; returns how many. */
static uint32_t make_in_pieces(struct features *f, uint32_t picture, int32_t *tiles) {
    uint32_t pieces = 0;
    for (*tiles = 0; !features_complete(f, picture); pieces++)
        *tiles += rig_work_for(f, picture, 1);
    return pieces;
}

static void test_small_pieces_make_the_same_embeddings(void **state) {
    (void)state;
    struct bytes png = rig_noise_png(12, 50, 40);
    struct shown shown = {.encoded = png};
    struct features whole = rig_ask("a", &shown, 1), cut = rig_ask("b", &shown, 1);
    int32_t tiles;
    rig_make_all(&whole);
    assert_true(make_in_pieces(&cut, 0, &tiles) > 10 * RIG_TILES);
    assert_int_equal(tiles, RIG_TILES);
    rig_expect(&cut, 1, 1);
    assert_memory_equal(features_row(&cut, 0, 0), features_row(&whole, 0, 0),
                        rig_picture_floats() * sizeof(float));
    features_close(&whole);
    features_close(&cut);
    rig_release(png);
}

static void test_whoever_has_a_turn_goes_on_with_the_tile_under_way(void **state) {
    (void)state;
    struct bytes one = rig_noise_png(13, 30, 20), other = rig_noise_png(14, 30, 20);
    struct shown shown_one = {.encoded = one}, shown_other = {.encoded = other};
    struct features first = rig_ask("a", &shown_one, 1), second = rig_ask("a", &shown_other, 1);
    int32_t tiles = 0;
    uint32_t done, total;
    rig_work(&first, 0); /* decoded */
    rig_work(&second, 0);
    assert_int_equal(rig_work_for(&first, 0, 1), 0); /* begun */
    while (tiles == 0)
        tiles = rig_work_for(&second, 0, 1);
    assert_int_equal(tiles, 1);
    features_progress(&first, &done, &total);
    assert_int_equal(done, 1);
    features_progress(&second, &done, &total);
    assert_int_equal(done, 0);
    rig_make_all(&second);
    rig_make_all(&first);
    rig_expect(&first, 1, 1);
    rig_expect(&second, 1, 1);
    features_close(&first);
    features_close(&second);
    rig_ask_alone("b", shown_one, 1, 1);
    rig_release(one);
    rig_release(other);
}

static void test_a_tile_under_way_for_nobody_is_given_up(void **state) {
    (void)state;
    struct bytes one = rig_noise_png(15, 30, 20), other = rig_noise_png(16, 30, 20);
    struct shown shown_one = {.encoded = one}, shown_other = {.encoded = other};
    for (int pieces = 1; pieces < 12; pieces++) {
        struct features gone = rig_ask("a", &shown_one, 1), next = rig_ask("a", &shown_other, 1);
        rig_work(&gone, 0);
        for (int i = 0; i < pieces; i++)
            assert_int_equal(rig_work_for(&gone, 0, 1), 0);
        features_close(&gone);
        assert_int_equal(rig_kept(), pieces > 1); /* the other picture */
        rig_make_all(&next);
        assert_int_equal(next.pictures_encoded, pieces == 1);
        features_close(&next);
    }
    rig_release(one);
    rig_release(other);
}

static void test_a_tile_under_way_stays_while_another_waits_for_it(void **state) {
    (void)state;
    struct bytes png = rig_noise_png(17, 30, 20);
    struct shown shown = {.encoded = png};
    struct features first = rig_ask("a", &shown, 1), second = rig_ask("a", &shown, 1);
    rig_work(&first, 0);
    assert_int_equal(rig_work_for(&first, 0, 1), 0);
    assert_false(features_complete(&second, 0)); /* it holds what there is */
    features_close(&first);
    rig_make_all(&second);
    assert_int_equal(second.tiles_encoded, RIG_TILES - 1);
    features_close(&second);
    rig_release(png);
}

#define CASE(test) cmocka_unit_test_setup_teardown(test, rig_open, rig_close)

int main(void) {
    const struct CMUnitTest tests[] = {
        CASE(test_the_same_bytes_are_decoded_and_encoded_once),
        CASE(test_what_comes_from_the_cache_is_what_the_tower_makes),
        CASE(test_the_same_pixels_in_another_file_are_encoded_once),
        CASE(test_one_picture_twice_in_a_request_is_made_once),
        CASE(test_transparency_is_nothing_the_model_sees),
        CASE(test_another_tenant_gains_nothing),
        CASE(test_pixels_that_differ_are_encoded_each),
        CASE(test_what_is_seen_of_a_picture_counts),
        CASE(test_requests_that_wait_for_one_picture_take_turns),
        CASE(test_a_request_goes_on_with_what_another_began),
        CASE(test_what_is_half_made_for_nobody_goes),
        CASE(test_a_picture_known_by_digest_alone_need_not_be_encoded),
        CASE(test_small_pieces_make_the_same_embeddings),
        CASE(test_whoever_has_a_turn_goes_on_with_the_tile_under_way),
        CASE(test_a_tile_under_way_for_nobody_is_given_up),
        CASE(test_a_tile_under_way_stays_while_another_waits_for_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
