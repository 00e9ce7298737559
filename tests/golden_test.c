/* golden_test.c - the whole engine beside llama.cpp, for every reference answer there is.
 *
 * Tokens and layout must be equal; embeddings, logits and the greedy stream within the tolerances
 * of tests/golden/README.md. A greedy stream may part where the reference's two highest logits are
 * closer than twice the tolerance; from there on nothing is compared. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>

#include <dirent.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/engine_run.h"
#include "tests/support/file.h"
#include "tests/support/golden.h"

#define EMBEDDING_TOLERANCE 2e-3
#define LOGIT_TOLERANCE_F16 0.1
#define LOGIT_TOLERANCE_QUANTISED 0.35

static struct { /* the largest differences of all files */
    double embedding, f16, quantised;
    int files, steps, clear_steps;
} seen;

static double difference(double a, double b) {
    double d = fabs(a - b);
    return isnan(d) ? HUGE_VAL : d;
}

static void check_tokens(const struct engine_run *r, const struct golden_chunk *c, size_t at) {
    for (size_t i = 0; i < c->n_tokens; i++)
        if (r->prompt.units[at + i].token != c->tokens[i])
            fail_msg("position %zu is token %d, expected %d", at + i, r->prompt.units[at + i].token,
                     c->tokens[i]);
}

/* The sums are of n values, so they may be off by as much as those may, in their mean; the sum of
 * squares, by Cauchy and Schwarz, by 2 * tolerance * root(n * sum). */
static void check_embeddings(const struct engine_run *r, const struct golden_chunk *c, size_t at) {
    const struct position_unit *u = &r->prompt.units[at];
    for (int32_t i = 0; i < c->embeddings; i++) {
        assert_int_equal(u[i].token, -1);
        assert_int_equal(u[i].picture, u->picture);
        assert_int_equal(u[i].row, u->row + (uint32_t)i);
    }
    assert_int_equal(r->engine->vision_model.projection, c->dimensions);
    const float *got = features_row(&r->features, u->picture, u->row);
    size_t n = (size_t)c->embeddings * (size_t)c->dimensions;
    double sum = 0, squares = 0, worst = 0;
    for (size_t i = 0; i < n; i++) {
        sum += (double)got[i];
        squares += (double)got[i] * (double)got[i];
    }
    for (size_t i = 0; i < GOLDEN_EDGE; i++) {
        worst = fmax(worst, difference((double)got[i], (double)c->head[i]));
        worst = fmax(worst, difference((double)got[n - GOLDEN_EDGE + i], (double)c->tail[i]));
    }
    seen.embedding = fmax(seen.embedding, worst);
    assert_true(worst <= EMBEDDING_TOLERANCE);
    assert_true(difference(sum, c->sum) <= EMBEDDING_TOLERANCE * (double)n);
    assert_true(difference(squares, c->sum_of_squares) <=
                2 * EMBEDDING_TOLERANCE * sqrt((double)n * c->sum_of_squares));
}

static void check_layout(const struct engine_run *r, const struct golden *g) {
    size_t at = 0;
    assert_int_equal(r->prompt.count, g->n_past);
    for (size_t i = 0; i < g->n_chunks; i++) {
        const struct golden_chunk *c = &g->chunks[i];
        size_t n = c->tokens ? c->n_tokens : (size_t)c->embeddings;
        assert_true(at + n <= r->prompt.count);
        if (c->tokens)
            check_tokens(r, c, at);
        else
            check_embeddings(r, c, at);
        at += n;
    }
    assert_int_equal(at, r->prompt.count);
}

static void check_logits(const struct engine_run *r, const struct golden_logit *want, size_t n,
                         double tolerance, double *worst) {
    for (size_t i = 0; i < n; i++) {
        double d = difference((double)r->logits[want[i].id], (double)want[i].logit);
        *worst = fmax(*worst, d);
        if (d > tolerance)
            fail_msg("the logit of token %d is %.4f, expected %.4f", want[i].id,
                     (double)r->logits[want[i].id], (double)want[i].logit);
    }
}

/* F16 follows the reference's stream to its end, fed with its own ids, so that a near-tie does not
 * end the comparison. Quantised types stop at the first near-tie. */
static void check_greedy(struct engine_run *r, const struct golden *g, bool quantised,
                         double tolerance, double *worst) {
    for (size_t i = 0; i < g->n_greedy; i++) {
        const struct golden_step *step = &g->greedy[i];
        bool clear = (double)(step->top[0].logit - step->top[1].logit) >= 2 * tolerance;
        check_logits(r, step->top, step->n_top, tolerance, worst);
        seen.steps++;
        if (clear) {
            int32_t id;
            engine_run_highest(r, 1, &id);
            assert_int_equal(id, step->id);
            seen.clear_steps++;
        } else if (quantised) {
            return;
        }
        assert_int_equal(engine_run_token(r, step->id, NULL), 0);
    }
}

static void check_answer(struct engine_run *r, const char *folder, const char *name,
                         bool quantised) {
    struct golden g;
    struct error e = {0};
    struct bytes pictures[GOLDEN_MAX_PICTURES];
    double tolerance = quantised ? LOGIT_TOLERANCE_QUANTISED : LOGIT_TOLERANCE_F16;
    double *worst = quantised ? &seen.quantised : &seen.f16;
    golden_open(&g, folder, name);
    print_message("%s\n", name);
    for (size_t i = 0; i < g.n_pictures; i++)
        pictures[i] = file_read(QUIRE_GOLDEN_DIR "/pictures", g.pictures[i]);
    struct bytes prompt = {(const uint8_t *)g.prompt, strlen(g.prompt)};
    if (engine_run_prompt(r, prompt, pictures, g.n_pictures, &e))
        fail_msg("%s", e.text);
    assert_int_equal(r->engine->text.n_vocab, g.n_vocab);
    check_layout(r, &g);
    check_logits(r, g.logits, g.n_logits, tolerance, worst);
    check_greedy(r, &g, quantised, tolerance, worst);
    for (size_t i = 0; i < g.n_pictures; i++)
        free((void *)(uintptr_t)pictures[i].data);
    golden_close(&g);
    seen.files++;
}

/* Every answer of `folder` whose name begins with `prefix`, with model `name`. */
static void check_model(const char *subfolder, const char *name, const char *prefix,
                        bool quantised) {
    char folder[512], model[600], mmproj[600];
    snprintf(folder, sizeof folder, "%s/%s", QUIRE_GOLDEN_DIR, subfolder);
    snprintf(model, sizeof model, "%s/%s.gguf", folder, name);
    snprintf(mmproj, sizeof mmproj, "%s/mmproj.gguf", folder);
    struct engine_run r;
    struct error e = {0};
    if (engine_run_open(&r, model, mmproj, &e))
        fail_msg("%s", e.text);
    DIR *d = opendir(folder);
    assert_non_null(d);
    for (struct dirent *entry; (entry = readdir(d)) != NULL;) {
        const char *dot = strrchr(entry->d_name, '.');
        if (dot && strcmp(dot, ".json") == 0 && strncmp(entry->d_name, prefix, strlen(prefix)) == 0)
            check_answer(&r, folder, entry->d_name, quantised);
    }
    closedir(d);
    engine_run_close(&r);
}

static void test_smolvlm_in_f16_equals_the_reference(void **state) {
    (void)state;
    check_model("smolvlm", "text", "", false);
    assert_int_equal(seen.files, 6);
}

static void test_every_quantised_type_equals_the_reference(void **state) {
    (void)state;
    static const char *const types[] = {"f16",  "q8_0", "q4_0",   "q4_1",   "q5_0",
                                        "q5_1", "q6_k", "q4_k_s", "q5_k_s", "iq4_nl"};
    seen.files = 0;
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
        char prefix[32];
        snprintf(prefix, sizeof prefix, "%s.", types[i]);
        check_model("quant", types[i], prefix, i > 0);
    }
    assert_int_equal(seen.files, 20);
    print_message("largest differences: embeddings %.5f, logits %.4f (F16), %.4f (quantised) "
                  "over %d greedy steps, of which %d have a clear winner\n",
                  seen.embedding, seen.f16, seen.quantised, seen.steps, seen.clear_steps);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_smolvlm_in_f16_equals_the_reference),
        cmocka_unit_test(test_every_quantised_type_equals_the_reference),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
