/* golden.c - reading reference answers with jansson. */
#include "tests/support/golden.h"

#include <stdarg.h>
#include <setjmp.h>
#include <cmocka.h>

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static json_t *child(const json_t *object, const char *key) {
    json_t *value = json_object_get(object, key);
    if (value == NULL) {
        fail_msg("the key %s is missing", key);
    }
    return value;
}

static size_t count_of(const json_t *array, size_t most) {
    size_t n = json_array_size(array);
    assert_true(json_is_array(array) && n <= most);
    return n;
}

static int32_t integer(const json_t *value) {
    assert_true(json_is_integer(value));
    return (int32_t)json_integer_value(value);
}

static size_t read_logits(const json_t *array, struct golden_logit *out, size_t most) {
    size_t n = count_of(array, most);
    for (size_t i = 0; i < n; i++) {
        const json_t *pair = json_array_get(array, i);
        out[i].id = integer(json_array_get(pair, 0));
        out[i].logit = (float)json_number_value(json_array_get(pair, 1));
    }
    return n;
}

static void read_edge(const json_t *array, float *out) {
    assert_int_equal(count_of(array, GOLDEN_EDGE), GOLDEN_EDGE);
    for (size_t i = 0; i < GOLDEN_EDGE; i++) {
        out[i] = (float)json_number_value(json_array_get(array, i));
    }
}

static void read_chunk(const json_t *object, struct golden_chunk *out) {
    const json_t *text = json_object_get(object, "text");
    if (text != NULL) {
        out->n_tokens = count_of(text, SIZE_MAX);
        out->tokens = calloc(out->n_tokens + 1, sizeof *out->tokens);
        assert_non_null(out->tokens);
        for (size_t i = 0; i < out->n_tokens; i++) {
            out->tokens[i] = integer(json_array_get(text, i));
        }
        return;
    }
    out->embeddings = integer(child(object, "image"));
    out->dimensions = integer(child(object, "dim"));
    out->sum = json_number_value(child(object, "sum"));
    out->sum_of_squares = json_number_value(child(object, "sumsq"));
    read_edge(child(object, "head"), out->head);
    read_edge(child(object, "tail"), out->tail);
}

static void read_greedy(const json_t *array, struct golden *g) {
    g->n_greedy = count_of(array, SIZE_MAX);
    g->greedy = calloc(g->n_greedy + 1, sizeof *g->greedy);
    assert_non_null(g->greedy);
    for (size_t i = 0; i < g->n_greedy; i++) {
        const json_t *step = json_array_get(array, i);
        g->greedy[i].id = integer(child(step, "id"));
        g->greedy[i].n_top = read_logits(child(step, "top"), g->greedy[i].top, GOLDEN_STEP_TOP);
    }
}

void golden_open(struct golden *g, const char *folder, const char *name) {
    char path[4096];
    json_error_t problem;
    *g = (struct golden){0};
    assert_true(snprintf(path, sizeof path, "%s/%s", folder, name) < (int)sizeof path);
    json_t *root = json_load_file(path, 0, &problem);
    if (root == NULL) {
        fail_msg("%s: %s", path, problem.text);
    }
    g->prompt = strdup(json_string_value(child(root, "prompt")));
    assert_non_null(g->prompt);
    const json_t *pictures = child(root, "pictures"), *chunks = child(root, "chunks");
    g->n_pictures = count_of(pictures, GOLDEN_MAX_PICTURES);
    for (size_t i = 0; i < g->n_pictures; i++) {
        g->pictures[i] = strdup(json_string_value(json_array_get(pictures, i)));
        assert_non_null(g->pictures[i]);
    }
    g->n_chunks = count_of(chunks, GOLDEN_MAX_CHUNKS);
    for (size_t i = 0; i < g->n_chunks; i++) {
        read_chunk(json_array_get(chunks, i), &g->chunks[i]);
    }
    g->n_past = integer(child(root, "n_past"));
    g->n_vocab = integer(child(root, "n_vocab"));
    g->n_logits = read_logits(child(root, "logits"), g->logits, GOLDEN_TOP);
    read_greedy(child(root, "greedy"), g);
    json_decref(root);
}

void golden_close(struct golden *g) {
    for (size_t i = 0; i < g->n_pictures; i++) {
        free(g->pictures[i]);
    }
    for (size_t i = 0; i < g->n_chunks; i++) {
        free(g->chunks[i].tokens);
    }
    free(g->prompt);
    free(g->greedy);
    *g = (struct golden){0};
}
