/* decoder_golden_test.c - the decoder alone beside llama.cpp, on token ids, for every type of
 * weights.
 *
 * The greedy stream is fed with the expected ids, so a near-tie decided otherwise does not spoil
 * what follows: logits are compared in all steps, and ids wherever there is no near-tie. Past the
 * first near-tie, where README of the reference no longer asks for anything, logits may be twice as
 * far off. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <stdio.h>

#include "tests/support/golden.h"
#include "tests/support/text_run.h"

#define F16_TOLERANCE 0.1
#define QUANT_TOLERANCE 0.35 /* the reference also rounds activations to 8 bits */

static int32_t likeliest(const float *logits, int32_t n) {
    int32_t best = 0;
    for (int32_t i = 1; i < n; i++)
        if (logits[i] > logits[best])
            best = i;
    return best;
}

static double furthest_off(const struct golden_logit *expected, size_t n, const float *logits) {
    double worst = 0;
    for (size_t i = 0; i < n; i++) {
        double off = fabs((double)logits[expected[i].id] - (double)expected[i].logit);
        worst = off <= worst ? worst : off; /* a NaN counts */
    }
    return worst;
}

/* Feeds the stream; returns the largest difference among all the logits it names. */
static double follow_greedy(struct text_run *r, struct sequence *s, const struct golden *g,
                            const float *logits, double tolerance) {
    double worst = 0, allowed = tolerance;
    for (size_t i = 0; i < g->n_greedy; i++) {
        const struct golden_step *step = &g->greedy[i];
        double off = furthest_off(step->top, step->n_top, logits);
        worst = off <= worst ? worst : off;
        assert_true(off <= allowed);
        if ((double)step->top[0].logit - (double)step->top[1].logit >= 2 * tolerance)
            assert_int_equal(likeliest(logits, r->model.n_vocab), step->id);
        else
            allowed = 2 * tolerance;
        logits = text_run_tokens(r, s, &step->id, 1, 1);
    }
    return worst;
}

static void check_golden(const char *folder, const char *model, const char *name,
                         double tolerance) {
    struct golden g;
    struct text_run r;
    struct sequence s;
    char path[512];
    snprintf(path, sizeof path, "%s/%s", QUIRE_GOLDEN_DIR, folder);
    golden_open(&g, path, name);
    assert_int_equal(g.n_chunks, 1); /* text only */
    snprintf(path, sizeof path, "%s/%s/%s", QUIRE_GOLDEN_DIR, folder, model);
    text_run_open(&r, path, 2);
    text_run_sequence(&r, &s);
    const float *logits =
        text_run_tokens(&r, &s, g.chunks[0].tokens, (int32_t)g.chunks[0].n_tokens, TEXT_RUN_ROWS);
    assert_int_equal(s.positions, g.n_past);
    double prompt_off = furthest_off(g.logits, g.n_logits, logits);
    double greedy_off = follow_greedy(&r, &s, &g, logits, tolerance);
    print_message("%s %s: logits within %.4f after the prompt, %.4f in %zu steps\n", folder, name,
                  prompt_off, greedy_off, g.n_greedy);
    assert_true(prompt_off <= tolerance);
    sequence_close(&s, r.pages);
    assert_int_equal(pages_free(r.pages), pages_total(r.pages));
    text_run_close(&r);
    golden_close(&g);
}

static void test_smolvlm_shape_in_f16_equals_the_reference(void **state) {
    (void)state;
    check_golden("smolvlm", "text.gguf", "text.json", F16_TOLERANCE);
    check_golden("smolvlm", "text.gguf", "unicode.json", F16_TOLERANCE);
    check_golden("quant", "f16.gguf", "f16.text.json", F16_TOLERANCE);
}

static void test_every_quantised_type_equals_the_reference(void **state) {
    (void)state;
    static const char *const types[] = {"q4_0", "q4_1",   "q4_k_s", "q5_0",  "q5_1",
                                        "q6_k", "q5_k_s", "q8_0",   "iq4_nl"};
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
        char model[64], json[64];
        snprintf(model, sizeof model, "%s.gguf", types[i]);
        snprintf(json, sizeof json, "%s.text.json", types[i]);
        check_golden("quant", model, json, QUANT_TOLERANCE);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_smolvlm_shape_in_f16_equals_the_reference),
        cmocka_unit_test(test_every_quantised_type_equals_the_reference),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
