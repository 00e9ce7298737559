/* decoder_test.c - how rows are put into steps changes no bit. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/support/text_run.h"

#define MODEL QUIRE_GOLDEN_DIR "/smolvlm/text.gguf"

#define PROMPT 300

/* ---- allocations, counted by the linker's --wrap ---- */

static int allocations;

void *__real_malloc(size_t n);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *p, size_t n);
void *__real_aligned_alloc(size_t alignment, size_t n);
void *__wrap_malloc(size_t n);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *p, size_t n);
void *__wrap_aligned_alloc(size_t alignment, size_t n);

void *__wrap_malloc(size_t n) {
    allocations++;
    return __real_malloc(n);
}
void *__wrap_calloc(size_t n, size_t size) {
    allocations++;
    return __real_calloc(n, size);
}
void *__wrap_realloc(void *p, size_t n) {
    allocations++;
    return __real_realloc(p, n);
}
void *__wrap_aligned_alloc(size_t alignment, size_t n) {
    allocations++;
    return __real_aligned_alloc(alignment, n);
}

/* ---- helpers ---- */

static int open_run(void **state) {
    static struct text_run run;
    text_run_open(&run, MODEL, 2);
    *state = &run;
    return 0;
}

static int close_run(void **state) {
    text_run_close(*state);
    return 0;
}

static void make_prompt(int32_t *tokens, int32_t n, int32_t seed) {
    for (int32_t i = 0; i < n; i++)
        tokens[i] = (seed * 131 + i * 37 + i * i % 53) % 1000;
}

/* The logits after a prompt computed alone, in one step if it fits; the caller frees them. */
static float *alone(struct text_run *r, const int32_t *tokens, int32_t n) {
    struct sequence s;
    size_t bytes = (size_t)r->model.n_vocab * sizeof(float);
    float *out = malloc(bytes);
    text_run_sequence(r, &s);
    memcpy(out, text_run_tokens(r, &s, tokens, n, TEXT_RUN_ROWS), bytes);
    sequence_close(&s, r->pages);
    return out;
}

static void check_same(const struct text_run *r, const float *logits, const float *expected) {
    assert_memory_equal(logits, expected, (size_t)r->model.n_vocab * sizeof *expected);
}

/* ---- tests ---- */

static void test_prompt_in_chunks_equals_prompt_at_once(void **state) {
    struct text_run *r = *state;
    static const int32_t chunks[] = {1, 3, 7, 16, 100, 256, 299};
    int32_t tokens[PROMPT];
    make_prompt(tokens, PROMPT, 1);
    float *whole = alone(r, tokens, PROMPT);
    for (size_t i = 0; i < sizeof chunks / sizeof chunks[0]; i++) {
        struct sequence s;
        text_run_sequence(r, &s);
        const float *logits = text_run_tokens(r, &s, tokens, PROMPT, chunks[i]);
        check_same(r, logits, whole);
        assert_int_equal(s.positions, PROMPT);
        sequence_close(&s, r->pages);
    }
    free(whole);
}

#define STREAMS 6

/* Streams that decode, and a prompt, all in one step. */
static void test_sequences_in_one_step_equal_each_alone(void **state) {
    struct text_run *r = *state;
    int32_t tokens[STREAMS][PROMPT];
    static const int32_t lengths[STREAMS] = {1, 17, 40, 255, 300, 120};
    struct sequence s[STREAMS];
    struct step_row rows[TEXT_RUN_ROWS];
    int32_t n = 0;
    for (int32_t i = 0; i < STREAMS; i++) {
        make_prompt(tokens[i], lengths[i], i);
        text_run_sequence(r, &s[i]);
        /* the last sequence has its whole prompt in the common step, the others one token */
        int32_t before = i == STREAMS - 1 ? 0 : lengths[i] - 1;
        text_run_tokens(r, &s[i], tokens[i], before, TEXT_RUN_ROWS);
        assert_int_equal(sequence_reserve(&s[i], r->pages, (uint32_t)lengths[i]), 0);
        for (int32_t t = before; t < lengths[i]; t++)
            rows[n++] = (struct step_row){.sequence = &s[i],
                                          .position = (uint32_t)t,
                                          .token = tokens[i][t],
                                          .want_logits = t == lengths[i] - 1};
    }
    size_t floats = STREAMS * (size_t)r->model.n_vocab;
    float *together = malloc(floats * sizeof *together);
    memcpy(together, decoder_step(r->decoder, rows, n), floats * sizeof *together);
    for (int32_t i = 0; i < STREAMS; i++) {
        float *single = alone(r, tokens[i], lengths[i]);
        check_same(r, together + i * r->model.n_vocab, single);
        assert_int_equal(s[i].positions, lengths[i]);
        free(single);
        sequence_close(&s[i], r->pages);
    }
    free(together);
}

static void test_every_row_may_want_logits(void **state) {
    struct text_run *r = *state;
    int32_t tokens[TEXT_RUN_LOGITS];
    make_prompt(tokens, TEXT_RUN_LOGITS, 4);
    struct sequence s;
    struct step_row rows[TEXT_RUN_LOGITS];
    text_run_sequence(r, &s);
    assert_int_equal(sequence_reserve(&s, r->pages, TEXT_RUN_LOGITS), 0);
    for (int32_t i = 0; i < TEXT_RUN_LOGITS; i++)
        rows[i] = (struct step_row){&s, (uint32_t)i, tokens[i], NULL, i % 3 == 0};
    size_t vocab = (size_t)r->model.n_vocab, wanted = (TEXT_RUN_LOGITS + 2) / 3;
    float *all = malloc(wanted * vocab * sizeof *all);
    memcpy(all, decoder_step(r->decoder, rows, TEXT_RUN_LOGITS), wanted * vocab * sizeof *all);
    for (size_t i = 0; i < wanted; i++) {
        float *single = alone(r, tokens, (int32_t)(3 * i + 1));
        check_same(r, all + i * vocab, single);
        free(single);
    }
    free(all);
    sequence_close(&s, r->pages);
}

static void test_embedding_of_a_token_equals_the_token(void **state) {
    struct text_run *r = *state;
    enum { N = 20 };
    int32_t tokens[N];
    make_prompt(tokens, N, 5);
    float *expected = alone(r, tokens, N);
    float *embeddings = malloc(N * (size_t)r->model.n_embd * sizeof *embeddings);
    struct sequence s;
    struct step_row rows[N];
    text_run_sequence(r, &s);
    assert_int_equal(sequence_reserve(&s, r->pages, N), 0);
    for (int32_t i = 0; i < N; i++) {
        float *e = embeddings + (size_t)i * (size_t)r->model.n_embd;
        quant_expand_row(r->model.token_embd.type,
                         (const uint8_t *)r->model.token_embd.data +
                             (size_t)tokens[i] * r->model.token_embd.row_bytes,
                         e, (size_t)r->model.n_embd);
        bool embedded = i > 4 && i < 15;
        rows[i] = (struct step_row){.sequence = &s,
                                    .position = (uint32_t)i,
                                    .token = embedded ? -1 : tokens[i],
                                    .embedding = embedded ? e : NULL,
                                    .want_logits = i == N - 1};
    }
    check_same(r, decoder_step(r->decoder, rows, N), expected);
    sequence_close(&s, r->pages);
    free(embeddings);
    free(expected);
}

static void test_pages_of_others_leave_no_trace(void **state) {
    struct text_run *r = *state;
    int32_t tokens[PROMPT];
    make_prompt(tokens, PROMPT, 6);
    float *first = alone(r, tokens, 20);
    free(alone(r, tokens, PROMPT)); /* writes the same pages and more */
    float *second = alone(r, tokens, 20);
    check_same(r, first, second);
    free(first);
    free(second);
}

static void test_prompt_matters_to_the_last_position(void **state) {
    struct text_run *r = *state;
    int32_t tokens[PROMPT];
    make_prompt(tokens, PROMPT, 7);
    float *first = alone(r, tokens, PROMPT);
    tokens[0]++; /* the furthest token from where the logits are taken */
    float *second = alone(r, tokens, PROMPT);
    double furthest = 0;
    for (int32_t i = 0; i < r->model.n_vocab; i++)
        furthest = fmax(furthest, fabs((double)first[i] - (double)second[i]));
    assert_true(furthest > 0.05);
    free(first);
    free(second);
}

static void test_steps_allocate_nothing(void **state) {
    struct text_run *r = *state;
    int32_t tokens[PROMPT];
    make_prompt(tokens, PROMPT, 8);
    struct sequence s;
    text_run_sequence(r, &s);
    assert_true(allocations > 0); /* they are counted */
    int before = allocations;
    text_run_tokens(r, &s, tokens, 200, 100);
    text_run_tokens(r, &s, tokens, 20, 1);
    text_run_tokens(r, &s, tokens, 30, 5);
    assert_int_equal(allocations, before);
    sequence_close(&s, r->pages);
}

static void test_gap_in_positions_stops_the_process(void **state) {
    (void)state;
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) { /* threads do not survive a fork, so this opens its own */
        struct text_run r;
        struct sequence s;
        (void)close(STDERR_FILENO);
        signal(SIGABRT, SIG_DFL);
        text_run_open(&r, MODEL, 1);
        text_run_sequence(&r, &s);
        if (sequence_reserve(&s, r.pages, 8) != 0)
            _exit(1);
        decoder_step(r.decoder, &(struct step_row){&s, 0, 1, NULL, false}, 1);
        decoder_step(r.decoder, &(struct step_row){&s, 2, 1, NULL, false}, 1);
        _exit(0);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_prompt_in_chunks_equals_prompt_at_once),
        cmocka_unit_test(test_sequences_in_one_step_equal_each_alone),
        cmocka_unit_test(test_every_row_may_want_logits),
        cmocka_unit_test(test_embedding_of_a_token_equals_the_token),
        cmocka_unit_test(test_pages_of_others_leave_no_trace),
        cmocka_unit_test(test_prompt_matters_to_the_last_position),
        cmocka_unit_test(test_steps_allocate_nothing),
        cmocka_unit_test(test_gap_in_positions_stops_the_process),
    };
    return cmocka_run_group_tests(tests, open_run, close_run);
}
