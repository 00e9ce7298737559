/* features_room_test.c - embeddings come and go within the bound; what goes wrong leaves nothing.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "tests/support/feature_rig.h"

/* ---- room ---- */

static void test_fifty_sizes_in_a_row_stay_within_the_bound(void **state) {
    (void)state;
    for (uint32_t i = 0; i < 50; i++) {
        struct bytes png = rig_noise_png(12, 20 + i, 70 - i);
        rig_ask_alone("a", (struct shown){.encoded = png}, 2, 1); /* no room for pixels to wait */
        assert_true(feature_cache_bytes(rig_engine->feature_cache) <= RIG_SMALL_BYTES);
        rig_release(png);
    }
    assert_in_range(rig_kept(), 2, 3);
}

static void test_a_picture_in_use_survives_all_others(void **state) {
    (void)state;
    struct bytes png = rig_noise_png(13, 30, 20);
    struct shown shown = {.encoded = png};
    struct features f = rig_ask("a", &shown, 1);
    rig_make_all(&f);
    const float *row = features_row(&f, 0, 0);
    float *before = malloc(rig_picture_floats() * sizeof *before);
    assert_non_null(before);
    memcpy(before, row, rig_picture_floats() * sizeof *before);
    for (uint32_t i = 0; i < 20; i++) {
        struct bytes other = rig_noise_png(14 + i, 30, 20);
        rig_ask_alone("a", (struct shown){.encoded = other}, 2, 1);
        rig_release(other);
    }
    assert_ptr_equal(features_row(&f, 0, 0), row);
    assert_memory_equal(row, before, rig_picture_floats() * sizeof *before);
    features_close(&f);
    rig_ask_alone("a", shown, 0, 0); /* and was the newest when it was given back */
    free(before);
    rig_release(png);
}

static void test_embeddings_that_went_are_made_again_from_known_bytes(void **state) {
    (void)state;
    struct bytes png = rig_noise_png(40, 30, 20);
    struct shown shown = {.encoded = png};
    rig_ask_alone("a", shown, 2, 1);
    for (uint32_t i = 0; i < 5; i++) {
        struct bytes other = rig_noise_png(41 + i, 30, 20);
        rig_ask_alone("a", (struct shown){.encoded = other}, 2, 1);
        rig_release(other);
    }
    struct features f = rig_ask("a", &shown, 1);
    assert_true(features_known(&f, 0));
    rig_make_all(&f);
    rig_expect(&f, 1, 1);
    features_close(&f);
    rig_release(png);
}

static uint32_t dropped_tag;

static void on_drop(void *arg, uint32_t tag) {
    (void)arg;
    dropped_tag = tag;
}

static void test_a_tag_is_told_when_its_embeddings_go(void **state) {
    (void)state;
    struct bytes png = rig_noise_png(50, 30, 20);
    struct shown shown = {.encoded = png};
    feature_cache_on_drop(rig_engine->feature_cache, on_drop, NULL);
    struct features f = rig_ask("a", &shown, 1);
    rig_make_all(&f);
    assert_int_equal(*features_tag(&f, 0), 0);
    *features_tag(&f, 0) = 77;
    features_close(&f);
    f = rig_ask("a", &shown, 1);
    assert_true(features_complete(&f, 0));
    assert_int_equal(*features_tag(&f, 0), 77);
    features_close(&f);
    for (uint32_t i = 0; dropped_tag == 0 && i < 10; i++) {
        struct bytes other = rig_noise_png(51 + i, 30, 20);
        rig_ask_alone("a", (struct shown){.encoded = other}, 2, 1);
        rig_release(other);
    }
    assert_int_equal(dropped_tag, 77);
    rig_release(png);
}

/* ---- errors ---- */

static void test_a_damaged_picture_leaves_nothing_behind(void **state) {
    (void)state;
    struct bytes good = rig_noise_png(60, 30, 20), bad = rig_noise_png(61, 30, 20);
    ((uint8_t *)(uintptr_t)bad.data)[bad.size / 2] ^= 1;
    struct shown shown[] = {{.encoded = good}, {.encoded = bad}};
    for (int again = 0; again < 2; again++) {
        struct features f = rig_ask("a", shown, 2); /* its header is fine */
        struct error e = {0};
        struct features_done done;
        assert_false(features_complete(&f, 1));
        assert_int_equal(features_work(&f, 1, 0, &done, &e), ERR_BAD_PICTURE);
        assert_non_null(strstr(e.text, "picture 2"));
        assert_false(features_known(&f, 1));
        features_close(&f);
        assert_int_equal(rig_kept(), 0);
    }
    struct features f;
    struct error e = {0};
    shown[1].encoded.size = 20;
    assert_int_equal(features_open(&f, rig_engine, rig_named("a"), shown, 2, &e), ERR_BAD_PICTURE);
    assert_non_null(strstr(e.text, "picture 2"));
    assert_int_equal(rig_kept(), 0);
    rig_release(good);
    rig_release(bad);
}

/* ---- all of it at once ---- */

#define PICTURES 7
#define ASKERS 6
#define STEPS 9000

static uint32_t draw(uint32_t below) {
    static uint32_t state = 12345;
    state = state * 1664525u + 1013904223u;
    return (state >> 8) % below;
}

/* Requests of two tenants, each showing up to four of the pictures, some twice. */
struct asker {
    bool asking;
    struct features f;
    uint32_t numbers[4];
};

static void begin(struct asker *a, const struct bytes *files) {
    struct shown shown[4];
    size_t n = 1 + draw(4);
    for (size_t i = 0; i < n; i++) {
        a->numbers[i] = draw(PICTURES);
        shown[i] = (struct shown){.encoded = files[a->numbers[i]]};
    }
    a->f = rig_ask(draw(4) ? "a" : "b", shown, n);
    a->asking = true;
}

static void go_on(struct asker *a, float *const *truth) {
    uint32_t i = draw((uint32_t)a->f.count), chance = draw(20);
    if (chance == 0) {
        features_close(&a->f); /* cancelled, perhaps half way */
        a->asking = false;
    } else if (chance == 1) {
        features_drop(&a->f, i);
        a->numbers[i] = PICTURES;
    } else if (!features_complete(&a->f, i)) {
        (void)rig_work_for(&a->f, i, draw(2)); /* unbounded, or a microsecond */
    } else if (a->numbers[i] < PICTURES) {
        assert_memory_equal(features_row(&a->f, i, 0), truth[a->numbers[i]],
                            rig_picture_floats() * sizeof(float));
    }
}

static void test_requests_at_random_always_see_their_own_pictures(void **state) {
    (void)state;
    struct bytes files[PICTURES];
    float *truth[PICTURES];
    struct asker askers[ASKERS] = {{.asking = false}};
    for (uint32_t i = 0; i < PICTURES; i++) {
        files[i] = rig_noise_png(70 + i, 20 + 3 * i, 30);
        truth[i] = malloc(rig_picture_floats() * sizeof(float));
        assert_non_null(truth[i]);
        struct shown shown = {.encoded = files[i]};
        struct features f = rig_ask("truth", &shown, 1);
        rig_make_all(&f);
        memcpy(truth[i], features_row(&f, 0, 0), rig_picture_floats() * sizeof(float));
        features_close(&f);
    }
    for (int step = 0; step < STEPS; step++) {
        struct asker *a = &askers[draw(ASKERS)];
        if (a->asking)
            go_on(a, truth);
        else
            begin(a, files);
    }
    for (int i = 0; i < ASKERS; i++)
        if (askers[i].asking)
            features_close(&askers[i].f);
    assert_true(feature_cache_bytes(rig_engine->feature_cache) <= RIG_SMALL_BYTES);
    for (uint32_t i = 0; i < PICTURES; i++) {
        rig_release(files[i]);
        free(truth[i]);
    }
}

#define USUAL(test) cmocka_unit_test_setup_teardown(test, rig_open, rig_close)
#define SMALL(test) cmocka_unit_test_setup_teardown(test, rig_open_small, rig_close)

int main(void) {
    const struct CMUnitTest tests[] = {
        SMALL(test_fifty_sizes_in_a_row_stay_within_the_bound),
        SMALL(test_a_picture_in_use_survives_all_others),
        SMALL(test_embeddings_that_went_are_made_again_from_known_bytes),
        SMALL(test_a_tag_is_told_when_its_embeddings_go),
        USUAL(test_a_damaged_picture_leaves_nothing_behind),
        SMALL(test_requests_at_random_always_see_their_own_pictures),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
