/* exact_isa_test.c - every set of instructions gives the bits of the portable one.
 *
 * The set is chosen once in a process, so each has a process of its own, forked before anything is
 * chosen, which writes all logits of a few prompts into a file. A set that this CPU lacks is its
 * best one there, and compared all the same. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/support/engine_run.h"
#include "tests/support/temp.h"

#define ANSWER 6 /* tokens computed after each prompt */
#define PATH_BYTES (TEMP_PATH_BYTES + 32)
#define RESULT_BYTES (16u << 20) /* more than all logits of a model take */

static const char *const isas[] = {"portable", "avx2", "avxvnni", "avx512", "avx512vnni"};
#define ISAS (sizeof isas / sizeof isas[0])

static const char text[] = "<|im_start|>User: Which pages does the broker keep, and which of them "
                           "does every worker have? A request goes to the worker that has the most "
                           "of it.<end_of_utterance>\nAssistant:";
static const char seen[] = "<|im_start|>User:<image>What is in the picture?<end_of_utterance>\n"
                           "Assistant:";

/* ---- in the child ---- */

static struct bytes read_picture(uint8_t *buffer, size_t capacity) {
    FILE *f = fopen(QUIRE_GOLDEN_DIR "/pictures/p1.png", "rb");
    size_t n = f != NULL ? fread(buffer, 1, capacity, f) : 0;
    if (f != NULL)
        (void)fclose(f);
    return (struct bytes){buffer, n};
}

static int answer(struct engine_run *r, const char *prompt, const struct bytes *pictures, size_t n,
                  FILE *out, struct error *e) {
    size_t bytes;
    int rc = engine_run_prompt(r, (struct bytes){(const uint8_t *)prompt, strlen(prompt)}, pictures,
                               n, e);
    bytes = (size_t)r->engine->text.n_vocab * sizeof(float);
    for (int i = 0; rc == 0 && i < ANSWER; i++) {
        int32_t next;
        if (fwrite(r->logits, 1, bytes, out) != bytes)
            return error_set(e, ERR_IO, "the result can't be written");
        engine_run_highest(r, 1, &next);
        rc = engine_run_token(r, next, e);
    }
    return rc;
}

static int write_results(const char *model, const char *mmproj, const char *path) {
    static uint8_t buffer[1 << 20];
    struct bytes picture = read_picture(buffer, sizeof buffer);
    struct engine_run r;
    struct error e = {0};
    FILE *out = fopen(path, "wb");
    if (out == NULL || engine_run_open(&r, model, mmproj, &e) != 0) {
        fprintf(stderr, "%s: %s\n", path, e.text);
        return 1;
    }
    int rc = answer(&r, text, NULL, 0, out, &e);
    if (rc == 0 && mmproj != NULL)
        rc = answer(&r, seen, &picture, 1, out, &e);
    if (rc != 0)
        fprintf(stderr, "%s: %s\n", model, e.text);
    engine_run_close(&r);
    return fclose(out) != 0 || rc != 0;
}

/* ---- in the parent ---- */

static void run_child(const char *isa, const char *model, const char *mmproj, const char *path) {
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        (void)setenv("QUIRE_ISA", isa, 1);
        _exit(write_results(model, mmproj, path));
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

static size_t read_results(const char *path, float *out) {
    FILE *f = fopen(path, "rb");
    assert_non_null(f);
    size_t n = fread(out, sizeof *out, RESULT_BYTES / sizeof *out, f);
    assert_true(n > 0 && n < RESULT_BYTES / sizeof *out);
    (void)fclose(f);
    return n;
}

static void compare(const char *model, const char *mmproj) {
    struct temp_dir dir;
    float *first = malloc(RESULT_BYTES), *other = malloc(RESULT_BYTES);
    size_t count = 0;
    assert_non_null(first);
    assert_non_null(other);
    temp_dir_open(&dir);
    for (size_t i = 0; i < ISAS; i++) {
        char path[PATH_BYTES];
        (void)snprintf(path, sizeof path, "%s/%s", dir.path, isas[i]);
        run_child(isas[i], model, mmproj, path);
        if (i == 0) {
            count = read_results(path, first);
            continue;
        }
        assert_int_equal(read_results(path, other), count);
        size_t differ = 0, at = 0;
        for (size_t k = count; k-- > 0;)
            if (memcmp(&first[k], &other[k], sizeof *first) != 0) {
                differ++;
                at = k;
            }
        if (differ > 0)
            fail_msg("%s, %s: %zu of %zu logits differ, the first is %.9g and should be %.9g",
                     strrchr(model, '/') + 1, isas[i], differ, count, (double)other[at],
                     (double)first[at]);
    }
    temp_dir_close(&dir);
    free(first);
    free(other);
}

static void test_mixed_weights_and_a_picture(void **state) {
    (void)state;
    compare(QUIRE_GOLDEN_DIR "/smolvlm/text.gguf", QUIRE_GOLDEN_DIR "/smolvlm/mmproj.gguf");
}

static void test_float_weights(void **state) {
    (void)state;
    compare(QUIRE_GOLDEN_DIR "/quant/f16.gguf", NULL);
}

static void test_weights_in_blocks_of_32(void **state) {
    (void)state;
    compare(QUIRE_GOLDEN_DIR "/quant/q8_0.gguf", NULL);
    compare(QUIRE_GOLDEN_DIR "/quant/q4_0.gguf", NULL);
    compare(QUIRE_GOLDEN_DIR "/quant/q4_1.gguf", NULL);
    compare(QUIRE_GOLDEN_DIR "/quant/q5_0.gguf", NULL);
    compare(QUIRE_GOLDEN_DIR "/quant/q5_1.gguf", NULL);
    compare(QUIRE_GOLDEN_DIR "/quant/iq4_nl.gguf", NULL);
}

static void test_weights_in_blocks_of_256(void **state) {
    (void)state;
    compare(QUIRE_GOLDEN_DIR "/quant/q4_k_s.gguf", NULL);
    compare(QUIRE_GOLDEN_DIR "/quant/q5_k_s.gguf", NULL);
    compare(QUIRE_GOLDEN_DIR "/quant/q6_k.gguf", NULL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_mixed_weights_and_a_picture),
        cmocka_unit_test(test_float_weights),
        cmocka_unit_test(test_weights_in_blocks_of_32),
        cmocka_unit_test(test_weights_in_blocks_of_256),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
