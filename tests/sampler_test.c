/* sampler_test.c - each filter, the draw, and what hostile logits may not do. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/random_weight.h"
#include "worker/engine/philox.h"
#include "worker/engine/sampler.h"

/* Everything off: plain softmax. */
static const struct sampler_options PLAIN = {
    .temperature = 1, .top_p = 1, .repeat_penalty = 1, .repeat_last_n = 64, .seed = 42};

static struct sampler *open_sampler(int32_t n) {
    struct sampler *s;
    assert_int_equal(sampler_open(&s, n, NULL), 0);
    return s;
}

/* ---- the mask ---- */

static void test_only_allowed_tokens_are_drawn(void **state) {
    (void)state;
    static float logits[130];
    uint64_t allowed[3] = {(uint64_t)1 << 7, (uint64_t)1 << 63, 2}; /* 7, 127 and 129 */
    struct sampler *s = open_sampler(130);
    struct sampler_options o = PLAIN;
    o.allowed = allowed;
    bool came[130] = {false};
    logits[0] = 50;
    for (uint32_t i = 0; i < 200; i++)
        came[sampler_draw(s, &o, logits, NULL, 0, i).id] = true;
    for (int i = 0; i < 130; i++)
        assert_int_equal(came[i], i == 7 || i == 127 || i == 129);
    o.temperature = 0;
    o.top_k = 1;
    assert_int_equal(sampler_draw(s, &o, logits, NULL, 0, 0).id, 7);
    logits[129] = 1;
    struct sampled best = sampler_draw(s, &o, logits, NULL, 0, 0);
    assert_int_equal(best.id, 129);
    assert_true(best.logprob < -48); /* of the raw logits, where token 0 leads */
    sampler_close(s);
}

static void test_without_a_finite_logit_the_first_allowed_token_comes(void **state) {
    (void)state;
    static float logits[130];
    uint64_t allowed[3] = {0, 0, 1};
    struct sampler *s = open_sampler(130);
    struct sampler_options o = PLAIN;
    for (int i = 0; i < 130; i++)
        logits[i] = NAN;
    assert_int_equal(sampler_draw(s, &o, logits, NULL, 0, 0).id, 0);
    o.allowed = allowed;
    assert_int_equal(sampler_draw(s, &o, logits, NULL, 0, 0).id, 128);
    sampler_close(s);
}

/* ---- random bits ---- */

static void test_philox_gives_the_published_vectors(void **state) {
    (void)state;
    static const struct {
        uint32_t counter[4], key[2], expected[4];
    } vectors[] = {
        {{0, 0, 0, 0}, {0, 0}, {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}},
        {{0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff},
         {0xffffffff, 0xffffffff},
         {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}},
        {{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344},
         {0xa4093822, 0x299f31d0},
         {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}},
    };
    for (size_t i = 0; i < sizeof vectors / sizeof vectors[0]; i++) {
        uint32_t out[4];
        philox4x32_10(vectors[i].counter, vectors[i].key, out);
        assert_memory_equal(out, vectors[i].expected, sizeof out);
    }
}

static void test_uniform_is_the_first_53_bits_for_seed_and_index(void **state) {
    (void)state;
    double expected = (double)(0x6627e8d5e169c58dULL >> 11) / 9007199254740992.0;
    assert_true(sampler_uniform(0, 0) == expected);
    assert_true(sampler_uniform(0, 1) != sampler_uniform(0, 0));
    assert_true(sampler_uniform(1ULL << 32, 0) !=
                sampler_uniform(0, 0)); /* all of the seed counts */
    for (uint32_t i = 0; i < 10000; i++) {
        double u = sampler_uniform(7, i);
        assert_true(u >= 0 && u < 1);
    }
}

/* ---- distributions ---- */

#define DRAWS 20000

/* Pearson's statistic of DRAWS draws against the expected probabilities; ids of probability 0 must
 * not come. */
static double chi_square(const struct sampler_options *o, const float *logits, const double *p,
                         int32_t n) {
    struct sampler *s = open_sampler(n);
    int *counts = calloc((size_t)n, sizeof *counts);
    for (uint32_t i = 0; i < DRAWS; i++)
        counts[sampler_draw(s, o, logits, NULL, 0, i).id]++;
    double sum = 0;
    for (int32_t i = 0; i < n; i++) {
        if (p[i] == 0) {
            assert_int_equal(counts[i], 0);
            continue;
        }
        double expected = p[i] * DRAWS, off = counts[i] - expected;
        sum += off * off / expected;
    }
    free(counts);
    sampler_close(s);
    return sum;
}

static void softmax(const float *logits, double temperature, int32_t n, double *p) {
    double total = 0;
    for (int32_t i = 0; i < n; i++)
        total += p[i] = exp((double)logits[i] / temperature);
    for (int32_t i = 0; i < n; i++)
        p[i] /= total;
}

/* The seed is fixed, so this never changes from run to run; the bound is the 99.9 % point. */
static void test_plain_draws_follow_softmax(void **state) {
    (void)state;
    const float logits[8] = {0.5F, -1, 2, 0, 1.5F, -2, 0.25F, 1};
    double p[8];
    softmax(logits, 1, 8, p);
    assert_true(chi_square(&PLAIN, logits, p, 8) < 24.3); /* 7 degrees of freedom */
    struct sampler_options cold = PLAIN;
    cold.temperature = 0.5F;
    softmax(logits, 0.5, 8, p);
    assert_true(chi_square(&cold, logits, p, 8) < 24.3);
    softmax(logits, 1, 8, p);
    assert_true(chi_square(&cold, logits, p, 8) > 1000); /* the test can tell */
}

static void test_filters_leave_their_part_of_the_distribution(void **state) {
    (void)state;
    const float logits[5] = {logf(0.1F), logf(0.4F), logf(0.05F), logf(0.3F), logf(0.15F)};
    struct sampler_options o = PLAIN;
    o.top_k = 3;
    assert_true(chi_square(&o, logits, (double[]){0, .4 / .85, 0, .3 / .85, .15 / .85}, 5) < 13.8);
    o = PLAIN;
    o.top_p = 0.69F; /* 0.4 + 0.3 reaches it */
    assert_true(chi_square(&o, logits, (double[]){0, .4 / .7, 0, .3 / .7, 0}, 5) < 10.8);
    o.top_p = 0.71F; /* one more is needed */
    assert_true(chi_square(&o, logits, (double[]){0, .4 / .85, 0, .3 / .85, .15 / .85}, 5) < 13.8);
    o = PLAIN;
    o.min_p = 0.3F; /* of 0.4: 0.12 */
    assert_true(chi_square(&o, logits, (double[]){0, .4 / .85, 0, .3 / .85, .15 / .85}, 5) < 13.8);
    o = PLAIN;
    o.top_k = 4; /* then 0.4 + 0.3 of 0.95 is 0.737 */
    o.top_p = 0.73F;
    assert_true(chi_square(&o, logits, (double[]){0, .4 / .7, 0, .3 / .7, 0}, 5) < 10.8);
}

static void test_filters_come_before_temperature(void **state) {
    (void)state;
    const float logits[3] = {logf(0.5F), logf(0.3F), logf(0.2F)};
    struct sampler_options o = PLAIN;
    o.temperature = 10; /* would make them nearly equal, and min_p keep all */
    o.min_p = 0.5F;
    double p[3] = {pow(0.5, 0.1), pow(0.3, 0.1), 0};
    double total = p[0] + p[1];
    p[0] /= total;
    p[1] /= total;
    assert_true(chi_square(&o, logits, p, 3) < 10.8);
}

/* Among thousands of candidates, with equal ones at the edge: the lower ids stay. */
static void test_top_k_keeps_exactly_k_of_many(void **state) {
    (void)state;
    enum { N = 5000 };
    struct random_source r = {9};
    float *logits = malloc(N * sizeof *logits);
    for (int i = 0; i < N; i++)
        logits[i] = (float)(int)(random_float(&r) * 50); /* many equal ones */
    struct sampler *s = open_sampler(N);
    struct sampler_options o = PLAIN;
    o.temperature = 1e6F; /* all kept ones are equally likely */
    for (o.top_k = 1; o.top_k <= 40; o.top_k += 13) {
        struct sampled_alternative best[SAMPLER_TOP_MAX];
        int32_t n = o.top_k < 20 ? o.top_k : 20;
        sampler_top(s, logits, n, best);
        uint8_t seen[N] = {0};
        int distinct = 0;
        for (uint32_t i = 0; i < 2000; i++) {
            int32_t id = sampler_draw(s, &o, logits, NULL, 0, i).id;
            distinct += !seen[id];
            seen[id] = 1;
        }
        assert_int_equal(distinct, o.top_k);
        for (int32_t i = 0; i < n; i++)
            assert_true(seen[best[i].id]);
    }
    sampler_close(s);
    free(logits);
}

/* ---- greedy, penalties ---- */

static void test_temperature_zero_takes_the_highest_and_the_lowest_id_on_ties(void **state) {
    (void)state;
    struct sampler *s = open_sampler(6);
    struct sampler_options o = PLAIN;
    o.temperature = 0;
    o.top_k = 1;
    const float logits[6] = {1, 3, 2, 3, -1, 3};
    for (uint32_t i = 0; i < 50; i++)
        assert_int_equal(sampler_draw(s, &o, logits, NULL, 0, i).id, 1);
    o.temperature = -1;
    assert_int_equal(sampler_draw(s, &o, logits, NULL, 0, 0).id, 1);
    sampler_close(s);
}

static int32_t greedy_after(const struct sampler_options *base, const float *logits, int32_t n,
                            const int32_t *history, int32_t n_history) {
    struct sampler *s = open_sampler(n);
    struct sampler_options o = *base;
    o.temperature = 0;
    int32_t first = sampler_draw(s, &o, logits, history, n_history, 0).id;
    assert_int_equal(sampler_draw(s, &o, logits, history, n_history, 0).id, first); /* no residue */
    sampler_close(s);
    return first;
}

static void test_repeat_penalty_divides_positive_and_multiplies_negative_logits(void **state) {
    (void)state;
    struct sampler_options o = PLAIN;
    o.repeat_penalty = 2;
    assert_int_equal(greedy_after(&o, (float[]){4, 2.1F, 0}, 3, (int32_t[]){0}, 1), 1);
    assert_int_equal(greedy_after(&o, (float[]){4, 1.9F, 0}, 3, (int32_t[]){0, 0, 0}, 3), 0);
    assert_int_equal(greedy_after(&o, (float[]){-1, -1.9F, -9}, 3, (int32_t[]){0}, 1), 1);
    assert_int_equal(greedy_after(&o, (float[]){-1, -2.1F, -9}, 3, (int32_t[]){0}, 1), 0);
}

static void test_presence_counts_once_and_frequency_each_time(void **state) {
    (void)state;
    const int32_t thrice[] = {0, 0, 0};
    struct sampler_options o = PLAIN;
    o.presence_penalty = 1;
    assert_int_equal(greedy_after(&o, (float[]){3, 1.9F}, 2, thrice, 3), 0);
    assert_int_equal(greedy_after(&o, (float[]){3, 2.1F}, 2, thrice, 3), 1);
    o = PLAIN;
    o.frequency_penalty = 1;
    assert_int_equal(greedy_after(&o, (float[]){3, -0.1F}, 2, thrice, 3), 0);
    assert_int_equal(greedy_after(&o, (float[]){3, 0.1F}, 2, thrice, 3), 1);
}

static void test_only_the_last_tokens_of_the_history_count(void **state) {
    (void)state;
    const int32_t history[] = {0, 1, 1};
    struct sampler_options o = PLAIN;
    o.presence_penalty = 5;
    o.repeat_last_n = 2;
    assert_int_equal(greedy_after(&o, (float[]){3, 4}, 2, history, 3), 0);
    assert_int_equal(greedy_after(&o, (float[]){3, 1}, 2, history, 3), 0);
    o.repeat_last_n = 3;
    assert_int_equal(greedy_after(&o, (float[]){3, 4}, 2, history, 3), 1);
    o.repeat_last_n = -1;
    assert_int_equal(greedy_after(&o, (float[]){3, 4, 1}, 3, history, 3), 2);
    o.repeat_last_n = 0;
    assert_int_equal(greedy_after(&o, (float[]){3, 4}, 2, history, 3), 1);
    o.repeat_last_n = 64; /* ids of no token are passed over */
    assert_int_equal(greedy_after(&o, (float[]){3, 4}, 2, (int32_t[]){-1, 2, INT32_MAX}, 3), 1);
}

/* ---- log-probabilities ---- */

static void test_logprob_is_that_of_raw_logits(void **state) {
    (void)state;
    struct sampler *s = open_sampler(4);
    const float logits[4] = {1, 2, 3, 4};
    struct sampler_options o = PLAIN;
    o.temperature = 0.1F;
    o.presence_penalty = 100;
    struct sampled got = sampler_draw(s, &o, logits, (int32_t[]){3}, 1, 0);
    double total = log(exp(1) + exp(2) + exp(3) + exp(4));
    assert_int_equal(got.id, 2);
    assert_true(fabs((double)got.logprob - (3 - total)) < 1e-5);
    sampler_close(s);
}

static void test_top_lists_the_likeliest_best_first(void **state) {
    (void)state;
    struct sampler *s = open_sampler(6);
    const float logits[6] = {0, 5, -INFINITY, 5, NAN, 1};
    struct sampled_alternative top[6];
    sampler_top(s, logits, 6, top);
    const int32_t ids[6] = {1, 3, 5, 0, -1, -1};
    double total = log(2 * exp(5) + exp(1) + 1);
    for (int i = 0; i < 6; i++) {
        assert_int_equal(top[i].id, ids[i]);
        if (ids[i] >= 0)
            assert_true(fabs((double)top[i].logprob - ((double)logits[ids[i]] - total)) < 1e-5);
        else
            assert_true(top[i].logprob == SAMPLER_LOGPROB_LEAST);
    }
    sampler_top(s, logits, 0, top);
    sampler_close(s);
}

/* ---- hostile logits ---- */

static void test_nan_and_infinite_logits_never_win(void **state) {
    (void)state;
    enum { N = 40 };
    float logits[N];
    for (int i = 0; i < N; i++)
        logits[i] = i % 3 == 0 ? NAN : i % 3 == 1 ? INFINITY : -INFINITY;
    logits[17] = -3;
    struct sampler *s = open_sampler(N);
    struct sampler_options o = PLAIN;
    for (int greedy = 0; greedy < 2; greedy++) {
        o.temperature = greedy ? 0 : 1;
        o.top_k = 5;
        o.top_p = 0.5F;
        o.min_p = 0.1F;
        o.repeat_penalty = 1.1F;
        struct sampled got = sampler_draw(s, &o, logits, NULL, 0, 3);
        assert_int_equal(got.id, 17);
        assert_true(got.logprob == 0);
    }
    logits[17] = NAN;
    struct sampled none = sampler_draw(s, &o, logits, NULL, 0, 3);
    assert_int_equal(none.id, 0);
    assert_true(none.logprob == SAMPLER_LOGPROB_LEAST);
    sampler_close(s);
}

static void test_huge_logits_and_odd_options_stay_in_range(void **state) {
    (void)state;
    static const float odd[] = {0,       1,       -1,       1e-30F,    1e30F,
                                FLT_MIN, FLT_MAX, INFINITY, -INFINITY, NAN};
    enum { ODD = sizeof odd / sizeof odd[0], N = 300 };
    struct random_source r = {3};
    struct sampler *s = open_sampler(N);
    float logits[N];
    int32_t history[20];
    for (uint32_t round = 0; round < 3000; round++) {
        for (int i = 0; i < N; i++)
            logits[i] = random_bits(&r) % 4 ? random_float(&r) * 3e38F : odd[random_bits(&r) % ODD];
        for (int i = 0; i < 20; i++)
            history[i] = (int32_t)(random_bits(&r) % (2 * N)) - N / 2;
        struct sampler_options o = {.temperature = odd[random_bits(&r) % ODD],
                                    .top_k = (int32_t)random_bits(&r) % 400,
                                    .top_p = odd[random_bits(&r) % ODD],
                                    .min_p = odd[random_bits(&r) % ODD],
                                    .repeat_penalty = odd[random_bits(&r) % ODD],
                                    .presence_penalty = odd[random_bits(&r) % ODD],
                                    .frequency_penalty = odd[random_bits(&r) % ODD],
                                    .repeat_last_n = (int32_t)random_bits(&r) % 30,
                                    .seed = round};
        struct sampled got = sampler_draw(s, &o, logits, history, 20, round);
        assert_true(got.id >= 0 && got.id < N);
        assert_true(isfinite(got.logprob) && got.logprob <= 0);
        assert_true(isfinite(logits[got.id]) || got.id == 0);
    }
    sampler_close(s);
}

static void test_vocabulary_of_one_token_works(void **state) {
    (void)state;
    struct sampler *s = open_sampler(1);
    struct sampler_options o = PLAIN;
    o.top_k = 40;
    o.top_p = 0.9F;
    o.min_p = 0.1F;
    struct sampled got = sampler_draw(s, &o, (float[]){-2}, NULL, 0, 0);
    assert_int_equal(got.id, 0);
    assert_true(got.logprob == 0);
    sampler_close(s);
}

static void test_same_seed_and_index_draw_the_same_whoever_draws(void **state) {
    (void)state;
    enum { N = 1000 };
    struct random_source r = {8};
    float logits[N];
    random_floats(&r, logits, N);
    struct sampler *a = open_sampler(N), *b = open_sampler(N);
    int different = 0;
    for (uint32_t i = 0; i < 100; i++) {
        int32_t id = sampler_draw(a, &PLAIN, logits, NULL, 0, i).id;
        struct sampler_options other = PLAIN;
        other.seed++;
        different += sampler_draw(b, &other, logits, NULL, 0, i).id != id;
        assert_int_equal(sampler_draw(b, &PLAIN, logits, NULL, 0, i).id, id);
    }
    assert_true(different > 90);
    sampler_close(a);
    sampler_close(b);
    sampler_close(NULL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_only_allowed_tokens_are_drawn),
        cmocka_unit_test(test_without_a_finite_logit_the_first_allowed_token_comes),
        cmocka_unit_test(test_philox_gives_the_published_vectors),
        cmocka_unit_test(test_uniform_is_the_first_53_bits_for_seed_and_index),
        cmocka_unit_test(test_plain_draws_follow_softmax),
        cmocka_unit_test(test_filters_leave_their_part_of_the_distribution),
        cmocka_unit_test(test_filters_come_before_temperature),
        cmocka_unit_test(test_top_k_keeps_exactly_k_of_many),
        cmocka_unit_test(test_temperature_zero_takes_the_highest_and_the_lowest_id_on_ties),
        cmocka_unit_test(test_repeat_penalty_divides_positive_and_multiplies_negative_logits),
        cmocka_unit_test(test_presence_counts_once_and_frequency_each_time),
        cmocka_unit_test(test_only_the_last_tokens_of_the_history_count),
        cmocka_unit_test(test_logprob_is_that_of_raw_logits),
        cmocka_unit_test(test_top_lists_the_likeliest_best_first),
        cmocka_unit_test(test_nan_and_infinite_logits_never_win),
        cmocka_unit_test(test_huge_logits_and_odd_options_stay_in_range),
        cmocka_unit_test(test_vocabulary_of_one_token_works),
        cmocka_unit_test(test_same_seed_and_index_draw_the_same_whoever_draws),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
