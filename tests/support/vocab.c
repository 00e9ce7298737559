/* vocab.c - small GGUFs that hold a vocabulary and nothing else. */
#include "tests/support/vocab.h"

#include <stdarg.h>
#include <setjmp.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/support/gguf_writer.h"
#include "worker/engine/gguf.h"
#include "worker/engine/tokenizer_inside.h"

struct tokenizer *vocab_open_golden(const char *folder, const char *name) {
    char path[4096];
    struct gguf *g;
    struct tokenizer *t;
    struct error e = {0};
    snprintf(path, sizeof path, "%s/%s/%s", QUIRE_GOLDEN_DIR, folder, name);
    if (gguf_open(&g, path, &e) != 0 || tokenizer_open(&t, g, &e) != 0) {
        fail_msg("%s: %s", path, e.text);
    }
    gguf_close(g); /* the tokenizer keeps nothing of it */
    return t;
}

static char *copy(const char *s) {
    char *c = strdup(s);
    assert_non_null(c);
    return c;
}

int32_t vocab_add(struct vocab *v, const char *text, int32_t type, float score) {
    assert_true(v->count < VOCAB_MAX);
    v->tokens[v->count] = copy(text);
    v->types[v->count] = type;
    v->scores[v->count] = score;
    return (int32_t)v->count++;
}

void vocab_add_bytes(struct vocab *v) {
    for (unsigned byte = 0; byte < 256; byte++) {
        uint8_t raw = (uint8_t)byte, text[UTF8_MAX_BYTES + 1];
        text[bpe_spell((struct bytes){&raw, 1}, text)] = '\0';
        vocab_add(v, (const char *)text, TOKEN_NORMAL, 0);
    }
}

void vocab_add_merge(struct vocab *v, const char *pair) {
    assert_true(v->n_merges < VOCAB_MAX);
    v->merges[v->n_merges++] = copy(pair);
}

void vocab_write(const struct vocab *v, struct gguf_writer *w) {
    bool typed = false;
    for (size_t i = 0; i < v->count; i++) {
        typed = typed || v->types[i] != 0;
    }
    gguf_put_string(w, "general.architecture", "llama");
    gguf_put_string(w, "tokenizer.ggml.model", v->model == NULL ? "gpt2" : v->model);
    gguf_put_strings(w, "tokenizer.ggml.tokens", v->tokens, v->count);
    gguf_put_f32s(w, "tokenizer.ggml.scores", v->scores, v->count);
    gguf_put_strings(w, "tokenizer.ggml.merges", v->merges, v->n_merges);
    if (v->pre != NULL) {
        gguf_put_string(w, "tokenizer.ggml.pre", v->pre);
    }
    if (typed) {
        gguf_put_i32s(w, "tokenizer.ggml.token_type", v->types, v->count);
    }
    if (v->bos != 0) {
        gguf_put_u32(w, "tokenizer.ggml.bos_token_id", (uint32_t)v->bos);
    }
    if (v->eos != 0) {
        gguf_put_u32(w, "tokenizer.ggml.eos_token_id", (uint32_t)v->eos);
    }
    if (v->add_bos != 0) {
        gguf_put_bool(w, "tokenizer.ggml.add_bos_token", v->add_bos == 1);
    }
}

int vocab_open_writer(const struct gguf_writer *w, struct tokenizer **out, struct error *e) {
    char path[] = "/tmp/quire-vocab-XXXXXX";
    size_t size;
    uint8_t *image = gguf_writer_image(w, &size, NULL);
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    close(fd);
    write_whole_file(path, image, size);
    free(image);
    struct gguf *g = NULL;
    int rc = gguf_open(&g, path, e);
    *out = NULL;
    rc = rc != 0 ? rc : tokenizer_open(out, g, e);
    gguf_close(g);
    unlink(path);
    return rc;
}

int vocab_try(const struct vocab *v, struct tokenizer **out, struct error *e) {
    struct gguf_writer w;
    gguf_writer_open(&w);
    vocab_write(v, &w);
    int rc = vocab_open_writer(&w, out, e);
    gguf_writer_close(&w);
    return rc;
}

struct tokenizer *vocab_make(const struct vocab *v) {
    struct tokenizer *t;
    struct error e = {0};
    if (vocab_try(v, &t, &e) != 0) {
        fail_msg("%s", e.text);
    }
    return t;
}

void vocab_clear(struct vocab *v) {
    for (size_t i = 0; i < v->count; i++) {
        free(v->tokens[i]);
    }
    for (size_t i = 0; i < v->n_merges; i++) {
        free(v->merges[i]);
    }
    *v = (struct vocab){0};
}

static void print_ids(const char *name, const int32_t *ids, size_t n) {
    print_error("%s", name);
    for (size_t i = 0; i < n; i++) {
        print_error(" %d", ids[i]);
    }
    print_error("\n");
}

void vocab_expect(const struct tokenizer *t, struct bytes text, int flags, const int32_t *ids,
                  size_t n) {
    struct token_list l = {0};
    struct error e = {0};
    assert_int_equal(tokenizer_encode(t, text, flags, &l, &e), 0);
    if (l.count != n || (n > 0 && memcmp(l.ids, ids, n * sizeof *ids) != 0)) {
        print_ids("wanted", ids, n);
        print_ids("got   ", l.ids, l.count);
        fail_msg("ids of '%.*s' differ", (int)text.size, (const char *)text.data);
    }
    token_list_clear(&l);
}
