/* fuzz_gguf.c - any bytes either are a GGUF whose every tensor lies inside of them, or are refused
 * with a sentence. The bytes are copied to a buffer of exactly their size, where a sanitizer sees
 * what a map would hide. Links with libFuzzer as it is; gguf_mutation_test runs it on chosen
 * damage. */
#include "tests/fuzz_gguf.h"

#include <stdlib.h>
#include <string.h>

#include "common/must.h"
#include "worker/engine/gguf_inside.h"
#include "worker/engine/model.h"

static volatile uint32_t sink; /* keeps reads from being left out */

static void check_refusal(int code, const struct error *e) {
    MUST(code == ERR_BAD_MODEL || code == ERR_UNSUPPORTED);
    MUST(e->code == code && e->text[0] != 0);
    for (const char *c = e->text; *c != 0; c++)
        MUST(*c >= 0x20 && *c < 0x7f);
}

static void read_key(const struct gguf_key *k) {
    if (k->type == VALUE_ARRAY && k->element_type == VALUE_STRING) {
        const uint8_t *cursor = k->value;
        for (size_t i = 0; i < k->count; i++) {
            struct bytes s = gguf_next_string(&cursor);
            sink += s.size > 0 ? s.data[s.size - 1] : 0u;
        }
    } else if (k->type == VALUE_ARRAY && k->count > 0) {
        struct gguf_array a = {k->element_type, k->count, k->value};
        sink += (uint32_t)gguf_array_int(&a, k->count - 1);
    }
}

static void read_rows(struct bytes file, enum quant_type type, const void *data, size_t n,
                      size_t rows) {
    const uint8_t *at = data;
    size_t row = quant_row_bytes(type, n);
    MUST(at >= file.data && row > 0 && rows <= (size_t)(file.data + file.size - at) / row);
    float *values = malloc(n * sizeof *values);
    MUST(values != NULL);
    quant_expand_row(type, at, values, n);
    quant_expand_row(type, at + (rows - 1) * row, values, n);
    free(values);
}

static void read_all(struct bytes file, const struct gguf *g) {
    for (size_t i = 0; i < g->n_keys; i++)
        read_key(&g->keys[i]);
    for (size_t i = 0; i < gguf_tensor_count(g); i++) {
        const struct gguf_tensor *t = gguf_tensor_at(g, i);
        read_rows(file, t->type, t->data, (size_t)t->ne[0],
                  (size_t)t->ne[1] * (size_t)t->ne[2] * (size_t)t->ne[3]);
        MUST(gguf_find_tensor_bytes(g, t->name) == t);
    }
    uint8_t fingerprint[16];
    model_fingerprint(g, NULL, fingerprint);
    sink += fingerprint[0];
}

static void read_weight(struct bytes file, const struct weight *w) {
    MUST(w->n_in > 0 && w->n_out > 0 && w->data != NULL);
    MUST(w->row_bytes == quant_row_bytes(w->type, (size_t)w->n_in));
    read_rows(file, w->type, w->data, (size_t)w->n_in, (size_t)w->n_out);
}

static void read_floats(const float *f, int64_t n) {
    if (f != NULL)
        sink += f[0] == 0.5f || f[n - 1] == 0.5f;
}

static int try_text(struct bytes file, const struct gguf *g) {
    struct error e = {0};
    struct text_model m;
    int code = text_model_bind(&m, g, &e);
    if (code != 0) {
        check_refusal(code, &e);
        return code;
    }
    MUST(m.n_head % m.n_head_kv == 0 && m.head_dim % 2 == 0 && m.n_context > 0 && m.rms_eps > 0);
    read_weight(file, &m.token_embd);
    read_weight(file, &m.output);
    read_floats(m.output_norm, m.n_embd);
    read_floats(m.rope_divisors, m.head_dim / 2);
    for (int32_t i = 0; i < m.n_layer; i++) {
        const struct text_layer *l = &m.layers[i];
        const struct weight *all[] = {&l->q,    &l->k,  &l->v,   &l->attn_out,
                                      &l->gate, &l->up, &l->down};
        for (size_t k = 0; k < sizeof all / sizeof all[0]; k++)
            read_weight(file, all[k]);
        MUST(l->q.n_out == m.n_head * m.head_dim && l->k.n_out == m.n_head_kv * m.head_dim);
        read_floats(l->attn_norm, m.n_embd);
        read_floats(l->ffn_norm, m.n_embd);
        read_floats(l->q_bias, l->q.n_out);
        read_floats(l->down_bias, m.n_embd);
    }
    text_model_release(&m);
    return 0;
}

static int try_vision(struct bytes file, const struct gguf *g) {
    struct error e = {0};
    struct vision_model m;
    int code = vision_model_bind(&m, g, 0, &e);
    if (code != 0) {
        check_refusal(code, &e);
        return code;
    }
    MUST(m.grid > 0 && m.scale > 0 && m.grid % m.scale == 0 && m.n_embd % m.n_head == 0);
    MUST(m.n_out == m.grid / m.scale * (m.grid / m.scale) && m.longest_edge > 0);
    read_weight(file, &m.patch);
    read_weight(file, &m.fc);
    read_floats(m.positions, (int64_t)m.grid * m.grid * m.n_embd);
    for (int32_t i = 0; i < m.n_layer; i++) {
        const struct vision_layer *l = &m.layers[i];
        const struct weight *all[] = {&l->q, &l->k, &l->v, &l->out, &l->up, &l->down};
        for (size_t k = 0; k < sizeof all / sizeof all[0]; k++)
            read_weight(file, all[k]);
        read_floats(l->up_b, m.n_ff);
        read_floats(l->down_b, m.n_embd);
    }
    vision_model_release(&m);
    return 0;
}

struct gguf_trial try_gguf(const uint8_t *data, size_t size) {
    uint8_t *copy = malloc(size > 0 ? size : 1);
    MUST(copy != NULL);
    if (size > 0)
        memcpy(copy, data, size);
    struct bytes file = {copy, size};
    struct error e = {0};
    struct gguf *g;
    struct gguf_trial t = {0, 0, 0};
    t.opened = gguf_open_bytes(&g, "file", file, &e);
    if (t.opened != 0) {
        check_refusal(t.opened, &e);
        MUST(g == NULL);
        t.text = t.vision = t.opened;
    } else {
        read_all(file, g);
        t.text = try_text(file, g);
        t.vision = try_vision(file, g);
        gguf_close(g);
    }
    free(copy);
    return t;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    (void)try_gguf(data, size);
    return 0;
}
