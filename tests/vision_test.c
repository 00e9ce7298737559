/* vision_test.c - the tower beside a plain one in double precision, for odd shapes and every type.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/random_weight.h"
#include "tests/support/tower.h"
#include "worker/engine/kernels.h"
#include "worker/engine/vision.h"

static float *new_floats(size_t n) {
    float *p = calloc(n, sizeof *p);
    assert_non_null(p);
    return p;
}

static float *encode(const struct tower *t) {
    struct team *team;
    struct vision *v;
    struct error e = {0};
    assert_int_equal(team_open(&team, 2, &e), 0);
    if (vision_open(&v, &t->model, team, &e))
        fail_msg("%s", e.text);
    float *out = new_floats(tower_out_floats(t));
    vision_encode(v, t->pixels, out); /* what an encode leaves behind must not matter */
    vision_encode(v, t->pixels, out);
    vision_close(v);
    team_close(team);
    return out;
}

static void check_shape(struct tower_shape shape, double tolerance) {
    struct tower t;
    tower_open(&t, shape);
    size_t n = tower_out_floats(&t);
    float *got = encode(&t);
    double *want = calloc(n, sizeof *want);
    assert_non_null(want);
    tower_encode_plainly(&t, want);
    double largest = 0, worst = 0;
    for (size_t i = 0; i < n; i++) {
        largest = fmax(largest, fabs(want[i]));
        worst = fmax(worst, fabs((double)got[i] - want[i]));
    }
    assert_true(largest > 0.1);
    if (!(worst <= tolerance * largest))
        fail_msg("off by %g of %g", worst, largest);
    free(got);
    free(want);
    tower_close(&t);
}

static void test_a_small_tower_equals_a_plain_one(void **state) {
    (void)state;
    check_shape((struct tower_shape){QUANT_F32, 32, 8, 32, 64, 2, 2, 2, 24}, 1e-4);
}

static void test_pixels_past_the_last_whole_patch_are_unused(void **state) {
    (void)state;
    /* 45 pixels hold three patches of 14; heads of 24 values; nothing is a multiple of 16 */
    check_shape((struct tower_shape){QUANT_F32, 45, 14, 72, 100, 3, 2, 3, 40}, 1e-4);
    check_shape((struct tower_shape){QUANT_F16, 45, 14, 60, 52, 4, 1, 1, 17}, 1e-4);
}

static void test_more_patches_than_one_run_of_queries(void **state) {
    (void)state;
    check_shape((struct tower_shape){QUANT_F32, 68, 4, 32, 32, 2, 1, 1, 16}, 1e-4); /* 17 x 17 */
    check_shape((struct tower_shape){QUANT_F16, 96, 4, 32, 64, 1, 1, 4, 16}, 1e-4); /* 24 x 24 */
}

static void test_towers_of_quantised_weights(void **state) {
    (void)state;
    static const enum quant_type types[] = {QUANT_F16, QUANT_BF16, QUANT_Q8_0, QUANT_Q5_0};
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++)
        check_shape((struct tower_shape){types[i], 64, 16, 64, 96, 2, 2, 2, 32}, 1e-4);
    check_shape((struct tower_shape){QUANT_Q4_K, 32, 16, 256, 512, 4, 1, 1, 32}, 1e-4);
    check_shape((struct tower_shape){QUANT_Q6_K, 32, 16, 256, 256, 4, 1, 2, 32}, 1e-4);
}

/* ---- its kernels ---- */

static void test_gelu_is_the_tanh_form_within_a_millionth(void **state) {
    (void)state;
    const struct kernels *k = kernels_chosen();
    for (double start = -30; start < 30; start += 0.37) {
        float x[37];
        for (int i = 0; i < 37; i++)
            x[i] = (float)(start + i * 0.01);
        for (int32_t n = 1; n <= 37; n += 4) {
            float y[38];
            memcpy(y, x, sizeof x);
            y[n] = 7;
            k->gelu(y, n);
            assert_true(y[n] >= 7 && y[n] <= 7); /* no write past the end */
            for (int i = 0; i < n; i++) {
                double v = (double)x[i];
                double want = 0.5 * v * (1 + tanh(0.7978845608028654 * v * (1 + 0.044715 * v * v)));
                assert_true(fabs((double)y[i] - want) <= 1e-6 * fmax(1, fabs(v)));
            }
        }
    }
}

static void test_layer_norm_of_any_length(void **state) {
    (void)state;
    const struct kernels *k = kernels_chosen();
    struct random_source r = {3};
    for (int32_t n = 1; n <= 70; n++) {
        float x[70], w[70], b[70], y[71] = {0};
        random_floats(&r, x, 70);
        random_floats(&r, w, 70);
        random_floats(&r, b, 70);
        k->layer_norm(x, w, b, n, 1e-3F, y);
        double mean = 0, variance = 0;
        for (int32_t i = 0; i < n; i++)
            mean += (double)x[i] / n;
        for (int32_t i = 0; i < n; i++)
            variance += ((double)x[i] - mean) * ((double)x[i] - mean) / n;
        for (int32_t i = 0; i < n; i++) {
            double want =
                ((double)x[i] - mean) / sqrt(variance + 1e-3) * (double)w[i] + (double)b[i];
            assert_true(fabs((double)y[i] - want) < 2e-6);
        }
        for (int32_t i = n; i < 71; i++)
            assert_true(fabs((double)y[i]) <= 0);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_small_tower_equals_a_plain_one),
        cmocka_unit_test(test_pixels_past_the_last_whole_patch_are_unused),
        cmocka_unit_test(test_more_patches_than_one_run_of_queries),
        cmocka_unit_test(test_towers_of_quantised_weights),
        cmocka_unit_test(test_gelu_is_the_tanh_form_within_a_millionth),
        cmocka_unit_test(test_layer_norm_of_any_length),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
