/* prompt_golden_test.c - rendered prompts of the reference become its tokens and its layout. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/golden.h"
#include "tests/support/vocab.h"
#include "worker/engine/prompt.h"

/* Every picture of the goldens is one tile and the overview. */
#define EMBEDDINGS 4
static const struct picture_layout one_tile = {1, 1, EMBEDDINGS};

static void build(const struct tokenizer *t, const struct golden *g, struct prompt *out) {
    struct prompt_markers *m;
    struct rendering r;
    struct error e = {0};
    struct picture_layout layouts[GOLDEN_MAX_PICTURES];
    for (size_t i = 0; i < GOLDEN_MAX_PICTURES; i++) {
        layouts[i] = one_tile;
    }
    assert_int_equal(prompt_markers_open(&m, t, &e), 0);
    assert_int_equal(rendering_from_marked(bytes_of(g->prompt), bytes_of("<image>"), &r, &e), 0);
    assert_int_equal(prompt_build(out, t, m, &r, layouts, g->n_pictures, 4096, &e), 0);
    rendering_clear(&r);
    prompt_markers_close(m);
}

/* The reference's chunks, one behind the other, are the units. */
static void expect_chunks(const struct golden *g, const struct prompt *p) {
    size_t at = 0;
    uint32_t tiles = 0;
    assert_int_equal(p->count, (size_t)g->n_past);
    for (size_t i = 0; i < g->n_chunks; i++) {
        const struct golden_chunk *c = &g->chunks[i];
        for (size_t k = 0; k < c->n_tokens; k++, at++) {
            assert_int_equal(p->units[at].token, c->tokens[k]);
        }
        for (int32_t k = 0; c->tokens == NULL && k < c->embeddings; k++, at++) {
            assert_int_equal(p->units[at].token, -1);
            assert_int_equal(p->units[at].picture, tiles / 2);
            assert_int_equal(p->units[at].row, tiles % 2 * EMBEDDINGS + (uint32_t)k);
        }
        tiles += c->tokens == NULL;
    }
    assert_int_equal(at, p->count);
    assert_int_equal(tiles, 2 * g->n_pictures);
}

static size_t check_folder(const char *folder, const char *model) {
    struct tokenizer *t = vocab_open_golden(folder, model);
    char path[1024];
    snprintf(path, sizeof path, "%s/%s", QUIRE_GOLDEN_DIR, folder);
    DIR *d = opendir(path);
    assert_non_null(d);
    size_t checked = 0;
    for (struct dirent *entry = readdir(d); entry != NULL; entry = readdir(d)) {
        size_t length = strlen(entry->d_name);
        if (length < 5 || strcmp(entry->d_name + length - 5, ".json") != 0) {
            continue;
        }
        struct golden g;
        struct prompt p;
        golden_open(&g, path, entry->d_name);
        build(t, &g, &p);
        expect_chunks(&g, &p);
        prompt_clear(&p);
        golden_close(&g);
        checked++;
    }
    closedir(d);
    tokenizer_close(t);
    return checked;
}

static void test_smolvlm_prompts_have_the_references_tokens(void **state) {
    (void)state;
    assert_int_equal(check_folder("smolvlm", "text.gguf"), 6);
}

static void test_prompts_of_quantised_models_have_the_references_tokens(void **state) {
    (void)state;
    assert_int_equal(check_folder("quant", "q4_0.gguf"), 20);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_smolvlm_prompts_have_the_references_tokens),
        cmocka_unit_test(test_prompts_of_quantised_models_have_the_references_tokens),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
