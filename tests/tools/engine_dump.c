/* engine_dump.c - what this engine makes of a rendered prompt, in the form of tests/golden, so that
 * it can be held beside another engine.
 *
 *     engine-dump MODEL MMPROJ|- STEPS PROMPT [PICTURE...]
 *
 * One JSON object: prompt, pictures, chunks (the tokens of each run of text; of each picture tile
 * the number and width of its embeddings, sum, sum of squares, first and last eight values),
 * n_past, n_vocab, logits (the 20 highest after the prompt) and greedy (STEPS ids, each with the
 * five highest logits it was chosen from). */
#include <jansson.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/engine_run.h"

#define MAX_PICTURES 64
#define MAX_FILE_BYTES (64L << 20)
#define TOP 20     /* logits after the prompt */
#define STEP_TOP 5 /* logits of each greedy step */
#define EDGE 8     /* first and last values of embeddings */
#define DECIMALS 1e5
#define DIGITS 12 /* of a number, in print */

static json_t *rounded(double value) {
    return json_real(round(value * DECIMALS) / DECIMALS);
}

static json_t *token_chunk(const struct engine_run *r, size_t *at) {
    json_t *ids = json_array();
    for (; *at < r->prompt.count && r->prompt.units[*at].token >= 0; ++*at)
        json_array_append_new(ids, json_integer(r->prompt.units[*at].token));
    return json_pack("{s:o}", "text", ids);
}

static json_t *values(const float *v, size_t n) {
    json_t *list = json_array();
    for (size_t i = 0; i < n; i++)
        json_array_append_new(list, rounded((double)v[i]));
    return list;
}

static json_t *tile_chunk(const struct engine_run *r, size_t *at) {
    const struct position_unit *u = &r->prompt.units[*at];
    int32_t embeddings = r->engine->vision_model.n_out;
    int32_t width = r->engine->vision_model.projection;
    size_t n = (size_t)embeddings * (size_t)width;
    const float *v = features_row(&r->features, u->picture, u->row);
    size_t edge = n < EDGE ? n : EDGE;
    double sum = 0, squares = 0;
    for (size_t i = 0; i < n; i++) {
        sum += (double)v[i];
        squares += (double)v[i] * (double)v[i];
    }
    *at += (size_t)embeddings;
    return json_pack("{s:i, s:i, s:i, s:i, s:i, s:o, s:o, s:o, s:o}", "image", embeddings, "nx",
                     embeddings, "ny", 1, "n_pos", embeddings, "dim", width, "sum", rounded(sum),
                     "sumsq", rounded(squares), "head", values(v, edge), "tail",
                     values(v + n - edge, edge));
}

static json_t *chunks(const struct engine_run *r) {
    json_t *list = json_array();
    for (size_t at = 0; at < r->prompt.count;)
        json_array_append_new(list, r->prompt.units[at].token >= 0 ? token_chunk(r, &at)
                                                                   : tile_chunk(r, &at));
    return list;
}

/* [[id, logit], ...], highest first. */
static json_t *highest(const struct engine_run *r, int32_t n) {
    int32_t ids[TOP], n_vocab = r->engine->text.n_vocab;
    json_t *list = json_array();
    n = n < n_vocab ? n : n_vocab;
    engine_run_highest(r, n, ids);
    for (int32_t i = 0; i < n; i++)
        json_array_append_new(list,
                              json_pack("[i, o]", ids[i], rounded((double)r->logits[ids[i]])));
    return list;
}

static int greedy(struct engine_run *r, long steps, json_t *list, struct error *e) {
    int code = 0;
    for (long i = 0; i < steps && code == 0; i++) {
        int32_t id;
        engine_run_highest(r, 1, &id);
        json_array_append_new(list, json_pack("{s:i, s:o}", "id", id, "top", highest(r, STEP_TOP)));
        if (i + 1 < steps)
            code = engine_run_token(r, id, e);
    }
    return code;
}

static int read_file(const char *path, struct bytes *out, struct error *e) {
    FILE *f = fopen(path, "rb");
    long size = -1;
    if (f != NULL && fseek(f, 0, SEEK_END) == 0)
        size = ftell(f);
    uint8_t *data = size >= 0 && size <= MAX_FILE_BYTES ? malloc((size_t)size + 1) : NULL;
    if (data != NULL) {
        rewind(f);
        *out = (struct bytes){data, fread(data, 1, (size_t)size, f)};
    }
    if (f != NULL)
        fclose(f);
    if (data == NULL || out->size != (size_t)size)
        return error_set(e, ERR_IO, "cannot read the picture %s", path);
    return 0;
}

struct arguments {
    const char *model, *mmproj, *prompt;
    long steps;
    char **pictures;
    size_t n_pictures;
};

static int parse(int argc, char **argv, struct arguments *a, struct error *e) {
    char *end;
    if (argc < 5 || argc - 5 > MAX_PICTURES)
        return error_set(e, ERR_USAGE,
                         "usage: engine-dump MODEL MMPROJ|- STEPS PROMPT [PICTURE...] (at most %d "
                         "pictures)",
                         MAX_PICTURES);
    *a = (struct arguments){.model = argv[1], .prompt = argv[4], .pictures = argv + 5};
    a->mmproj = strcmp(argv[2], "-") == 0 ? NULL : argv[2];
    a->steps = strtol(argv[3], &end, 10);
    a->n_pictures = (size_t)(argc - 5);
    if (*end != 0 || end == argv[3] || a->steps < 0 || a->steps > INT_MAX)
        return error_set(e, ERR_USAGE, "STEPS must be a number, not '%s'", argv[3]);
    return 0;
}

static int print(struct engine_run *r, const struct arguments *a, struct error *e) {
    json_t *names = json_array(), *stream = json_array();
    for (size_t i = 0; i < a->n_pictures; i++) {
        const char *slash = strrchr(a->pictures[i], '/');
        json_array_append_new(names, json_string(slash ? slash + 1 : a->pictures[i]));
    }
    json_t *answer = json_pack("{s:s, s:o, s:o, s:i, s:i, s:o}", "prompt", a->prompt, "pictures",
                               names, "chunks", chunks(r), "n_past", (int)r->prompt.count,
                               "n_vocab", r->engine->text.n_vocab, "logits", highest(r, TOP));
    int code = greedy(r, a->steps, stream, e);
    json_object_set_new(answer, "greedy", stream);
    if (code == 0 && answer == NULL)
        code = error_set(e, ERR_USAGE, "the prompt is not UTF-8");
    if (code == 0 && json_dumpf(answer, stdout, JSON_REAL_PRECISION(DIGITS)) != 0)
        code = error_set(e, ERR_IO, "cannot write the answer");
    if (code == 0)
        puts("");
    json_decref(answer);
    return code;
}

int main(int argc, char **argv) {
    struct error e = {0};
    struct arguments a = {0};
    struct engine_run r = {0};
    struct bytes pictures[MAX_PICTURES] = {{0}};
    int code = parse(argc, argv, &a, &e);
    for (size_t i = 0; i < a.n_pictures && code == 0; i++)
        code = read_file(a.pictures[i], &pictures[i], &e);
    if (code == 0)
        code = engine_run_open(&r, a.model, a.mmproj, &e);
    if (code == 0)
        code = engine_run_prompt(&r, (struct bytes){(const uint8_t *)a.prompt, strlen(a.prompt)},
                                 pictures, a.n_pictures, &e);
    if (code == 0)
        code = print(&r, &a, &e);
    if (code)
        fprintf(stderr, "engine-dump: %s\n", e.text);
    engine_run_close(&r);
    for (size_t i = 0; i < a.n_pictures; i++)
        free((void *)(uintptr_t)pictures[i].data);
    return error_exit_code(code);
}
