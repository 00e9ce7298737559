/* smolvlm_shape.c - see smolvlm_shape.h. */
#include "tests/support/smolvlm_shape.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/must.h"

static const struct smolvlm_shape shapes[] = {
    {"micro", 2, 64, 2, 1, 96, 384, 256, 10000, 2, 32, 2, 64, 4, 16, 2, 32},
    {"tiny", 4, 192, 6, 2, 512, 2048, 4096, 100000, 3, 128, 4, 384, 16, 128, 4, 512},
    {"256m", 30, 576, 9, 3, 1536, 49280, 8192, 100000, 12, 768, 12, 3072, 16, 512, 4, 2048},
    {"500m", 32, 960, 15, 5, 2560, 49280, 8192, 100000, 12, 768, 12, 3072, 16, 512, 4, 2048},
    {"wide", 22, 2048, 32, 8, 5632, 49280, 8192, 100000, 2, 384, 6, 1536, 16, 512, 4, 2048},
    {"2b", 24, 2048, 32, 32, 8192, 49280, 8192, 130000, 27, 1152, 16, 4304, 14, 384, 3, 1536},
};

const struct smolvlm_shape *smolvlm_shape(const char *name) {
    for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++)
        if (strcmp(shapes[i].name, name) == 0)
            return &shapes[i];
    return NULL;
}

/* ---- vocabulary ---- */

enum token_type { TOKEN_NORMAL = 1, TOKEN_CONTROL = 3, TOKEN_UNUSED = 5 };
#define TOKEN_BYTES 32
#define SPECIAL_TOKENS 43 /* seven names and 36 places of tiles */

struct vocabulary {
    char **tokens, **merges;
    int32_t *types;
    size_t n_tokens, n_merges, room; /* room: tokens before the special ones */
};

static char *copy_text(const char *s) {
    char *copy = strdup(s);
    MUST(copy != NULL);
    return copy;
}

static void add_token(struct vocabulary *v, const char *text, enum token_type type) {
    v->types[v->n_tokens] = (int32_t)type;
    v->tokens[v->n_tokens++] = copy_text(text);
}

/* A merge and its token; both halves must be tokens already. Nothing when there is no room. */
static void add_merge(struct vocabulary *v, const char *left, const char *right) {
    if (v->n_tokens >= v->room)
        return;
    char text[TOKEN_BYTES];
    (void)snprintf(text, sizeof text, "%s%s", left, right);
    add_token(v, text, TOKEN_NORMAL);
    (void)snprintf(text, sizeof text, "%s %s", left, right);
    v->merges[v->n_merges++] = copy_text(text);
}

/* The byte alphabet of byte-level BPE: printable Latin-1 as it is, the rest from U+0100 on. */
static void add_bytes_tokens(struct vocabulary *v) {
    unsigned next = 0x100;
    unsigned of_byte[256];
    for (unsigned b = 0; b < 256; b++)
        of_byte[b] = (b >= 33 && b < 127) || (b >= 161 && b != 173) ? b : next++;
    for (unsigned b = 0; b < 256; b++) {
        unsigned c = of_byte[b];
        char two[3] = {(char)(0xc0 | c >> 6), (char)(0x80 | (c & 63)), 0}, one[2] = {(char)c, 0};
        add_token(v, c < 0x80 ? one : two, TOKEN_NORMAL);
    }
}

#define SPACE "\xc4\xa0"   /* the byte alphabet's space */
#define NEWLINE "\xc4\x8a" /* and its newline */

/* Words of one to four letters, with a space before them or not, until there is no room. */
static void add_words(struct vocabulary *v) {
    char a[2] = "a", b[3] = "aa", c[3] = "aa", spaced[8];
    add_merge(v, NEWLINE, NEWLINE);
    for (a[0] = 'a'; a[0] <= 'z'; a[0]++)
        add_merge(v, SPACE, a);
    for (int i = 0; i < 26 * 26; i++) {
        char first[2] = {(char)('a' + i / 26), 0}, second[2] = {(char)('a' + i % 26), 0};
        add_merge(v, first, second);
        (void)snprintf(b, sizeof b, "%s%s", first, second);
        add_merge(v, SPACE, b);
    }
    for (int i = 0; i < 26 * 26 * 26; i++) {
        b[0] = (char)('a' + i / 676), b[1] = (char)('a' + i / 26 % 26), a[0] = (char)('a' + i % 26);
        add_merge(v, b, a);
        (void)snprintf(spaced, sizeof spaced, SPACE "%s", b);
        add_merge(v, spaced, a);
    }
    for (int i = 0; i < 26 * 26 * 26 * 26 && v->n_tokens < v->room; i++) {
        b[0] = (char)('a' + i / 17576), b[1] = (char)('a' + i / 676 % 26);
        c[0] = (char)('a' + i / 26 % 26), c[1] = (char)('a' + i % 26);
        add_merge(v, b, c);
    }
}

static void add_special(struct vocabulary *v) {
    static const char *const names[] = {"<|endoftext|>",
                                        "<|im_start|>",
                                        "<|im_end|>",
                                        "<end_of_utterance>",
                                        "<fake_token_around_image>",
                                        "<global-img>",
                                        "<image>"};
    char text[TOKEN_BYTES];
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        add_token(v, names[i], TOKEN_CONTROL);
    for (int place = 0; place < 36; place++) {
        (void)snprintf(text, sizeof text, "<row_%d_col_%d>", place / 6 + 1, place % 6 + 1);
        add_token(v, text, TOKEN_CONTROL);
    }
}

static void vocabulary_open(struct vocabulary *v, size_t n) {
    *v = (struct vocabulary){
        calloc(n, sizeof(char *)), calloc(n, sizeof(char *)), calloc(n, sizeof(int32_t)), 0, 0,
        n - SPECIAL_TOKENS};
    MUST(v->tokens && v->merges && v->types && n > 256 + SPECIAL_TOKENS);
    add_bytes_tokens(v);
    add_words(v);
    add_special(v);
    char text[TOKEN_BYTES];
    while (v->n_tokens < n) {
        (void)snprintf(text, sizeof text, "<unused_%zu>", v->n_tokens);
        add_token(v, text, TOKEN_UNUSED);
    }
}

static void vocabulary_close(struct vocabulary *v) {
    for (size_t i = 0; i < v->n_tokens; i++)
        free(v->tokens[i]);
    for (size_t i = 0; i < v->n_merges; i++)
        free(v->merges[i]);
    free(v->tokens);
    free(v->merges);
    free(v->types);
}

static uint32_t id_of(const struct vocabulary *v, const char *text) {
    for (size_t i = 0; i < v->n_tokens; i++)
        if (strcmp(v->tokens[i], text) == 0)
            return (uint32_t)i;
    MUST(!"a token of that text");
    return 0;
}

static const char chat_template[] =
    "<|im_start|>{% for message in messages %}{{message['role'] | capitalize}}"
    "{% if message['content'][0]['type'] == 'image' %}{{':'}}{% else %}{{': '}}{% endif %}"
    "{% for line in message['content'] %}{% if line['type'] == 'text' %}{{line['text']}}"
    "{% elif line['type'] == 'image' %}{{ '<image>' }}{% endif %}{% endfor %}"
    "<end_of_utterance>\n{% endfor %}{% if add_generation_prompt %}{{ 'Assistant:' }}{% endif %}";

static void put_vocabulary(struct gguf_writer *w, int32_t n_vocab) {
    struct vocabulary v;
    vocabulary_open(&v, (size_t)n_vocab);
    gguf_put_u32(w, "llama.vocab_size", (uint32_t)v.n_tokens);
    gguf_put_string(w, "tokenizer.ggml.model", "gpt2");
    gguf_put_string(w, "tokenizer.ggml.pre", "smollm");
    gguf_put_strings(w, "tokenizer.ggml.tokens", v.tokens, v.n_tokens);
    gguf_put_i32s(w, "tokenizer.ggml.token_type", v.types, v.n_tokens);
    gguf_put_strings(w, "tokenizer.ggml.merges", v.merges, v.n_merges);
    gguf_put_u32(w, "tokenizer.ggml.bos_token_id", id_of(&v, "<|im_start|>"));
    gguf_put_u32(w, "tokenizer.ggml.eos_token_id", id_of(&v, "<end_of_utterance>"));
    gguf_put_u32(w, "tokenizer.ggml.unknown_token_id", id_of(&v, "<|endoftext|>"));
    gguf_put_u32(w, "tokenizer.ggml.padding_token_id", id_of(&v, "<|im_end|>"));
    gguf_put_bool(w, "tokenizer.ggml.add_bos_token", false);
    gguf_put_string(w, "tokenizer.chat_template", chat_template);
    vocabulary_close(&v);
}

/* ---- tensors ---- */

static void put_matrix(struct gguf_writer *w, enum quant_type type, int64_t n_in, int64_t n_out,
                       const char *format, ...) __attribute__((format(printf, 5, 6)));
static void put_vector(struct gguf_writer *w, int64_t n, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static void put_matrix(struct gguf_writer *w, enum quant_type type, int64_t n_in, int64_t n_out,
                       const char *format, ...) {
    char name[64];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(name, sizeof name, format, args);
    va_end(args);
    if (n_in % quant_traits(type)->block != 0)
        type = QUANT_F16;
    int64_t ne[2] = {n_in, n_out};
    (void)gguf_put_tensor(w, name, type, 2, ne,
                          quant_row_bytes(type, (size_t)n_in) * (size_t)n_out);
}

static void put_vector(struct gguf_writer *w, int64_t n, const char *format, ...) {
    char name[64];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(name, sizeof name, format, args);
    va_end(args);
    (void)gguf_put_tensor(w, name, QUANT_F32, 1, &n, (size_t)n * 4);
}

void smolvlm_put_text(struct gguf_writer *w, const struct smolvlm_shape *s,
                      enum quant_type weights) {
    char name[64];
    (void)snprintf(name, sizeof name, "random-smolvlm-%s", s->name);
    int32_t hd = s->n_embd / s->n_head, kv = s->n_head_kv * hd;
    gguf_put_string(w, "general.architecture", "llama");
    gguf_put_string(w, "general.name", name);
    gguf_put_u32(w, "llama.block_count", (uint32_t)s->n_layer);
    gguf_put_u32(w, "llama.context_length", (uint32_t)s->n_context);
    gguf_put_u32(w, "llama.embedding_length", (uint32_t)s->n_embd);
    gguf_put_u32(w, "llama.feed_forward_length", (uint32_t)s->n_ff);
    gguf_put_u32(w, "llama.attention.head_count", (uint32_t)s->n_head);
    gguf_put_u32(w, "llama.attention.head_count_kv", (uint32_t)s->n_head_kv);
    gguf_put_f32(w, "llama.rope.freq_base", s->rope_base);
    gguf_put_f32(w, "llama.attention.layer_norm_rms_epsilon", 1e-5f);
    gguf_put_u32(w, "llama.rope.dimension_count", (uint32_t)hd);
    put_vocabulary(w, s->n_vocab);
    put_matrix(w, weights, s->n_embd, s->n_vocab, "token_embd.weight");
    for (int i = 0; i < s->n_layer; i++) {
        put_vector(w, s->n_embd, "blk.%d.attn_norm.weight", i);
        put_matrix(w, weights, s->n_embd, s->n_embd, "blk.%d.attn_q.weight", i);
        put_matrix(w, weights, s->n_embd, kv, "blk.%d.attn_k.weight", i);
        put_matrix(w, weights, s->n_embd, kv, "blk.%d.attn_v.weight", i);
        put_matrix(w, weights, s->n_embd, s->n_embd, "blk.%d.attn_output.weight", i);
        put_vector(w, s->n_embd, "blk.%d.ffn_norm.weight", i);
        put_matrix(w, weights, s->n_embd, s->n_ff, "blk.%d.ffn_gate.weight", i);
        put_matrix(w, weights, s->n_embd, s->n_ff, "blk.%d.ffn_up.weight", i);
        put_matrix(w, weights, s->n_ff, s->n_embd, "blk.%d.ffn_down.weight", i);
    }
    put_vector(w, s->n_embd, "output_norm.weight");
    enum quant_type output = weights == QUANT_Q4_0   ? QUANT_Q8_0
                             : weights == QUANT_Q4_K ? QUANT_Q6_K
                                                     : weights;
    put_matrix(w, output, s->n_embd, s->n_vocab, "output.weight");
}

static void put_vision_layer(struct gguf_writer *w, const struct smolvlm_shape *s,
                             enum quant_type weights, int i) {
    static const char *const squares[] = {"attn_q", "attn_k", "attn_v", "attn_out"};
    for (int n = 1; n <= 2; n++) {
        put_vector(w, s->v_embd, "v.blk.%d.ln%d.weight", i, n);
        put_vector(w, s->v_embd, "v.blk.%d.ln%d.bias", i, n);
    }
    for (int k = 0; k < 4; k++) {
        put_matrix(w, weights, s->v_embd, s->v_embd, "v.blk.%d.%s.weight", i, squares[k]);
        put_vector(w, s->v_embd, "v.blk.%d.%s.bias", i, squares[k]);
    }
    put_matrix(w, weights, s->v_embd, s->v_ff, "v.blk.%d.ffn_up.weight", i);
    put_vector(w, s->v_ff, "v.blk.%d.ffn_up.bias", i);
    put_matrix(w, weights, s->v_ff, s->v_embd, "v.blk.%d.ffn_down.weight", i);
    put_vector(w, s->v_embd, "v.blk.%d.ffn_down.bias", i);
}

void smolvlm_put_mmproj(struct gguf_writer *w, const struct smolvlm_shape *s,
                        enum quant_type weights) {
    static const float half[3] = {0.5f, 0.5f, 0.5f};
    int32_t grid = s->image / s->patch;
    gguf_put_string(w, "general.architecture", "clip");
    gguf_put_string(w, "general.type", "mmproj");
    gguf_put_bool(w, "clip.has_vision_encoder", true);
    gguf_put_string(w, "clip.projector_type", "idefics3");
    gguf_put_bool(w, "clip.use_gelu", true);
    gguf_put_u32(w, "clip.vision.image_size", (uint32_t)s->image);
    gguf_put_u32(w, "clip.vision.patch_size", (uint32_t)s->patch);
    gguf_put_u32(w, "clip.vision.embedding_length", (uint32_t)s->v_embd);
    gguf_put_u32(w, "clip.vision.feed_forward_length", (uint32_t)s->v_ff);
    gguf_put_u32(w, "clip.vision.projection_dim", (uint32_t)s->n_embd);
    gguf_put_u32(w, "clip.vision.block_count", (uint32_t)s->v_layer);
    gguf_put_u32(w, "clip.vision.attention.head_count", (uint32_t)s->v_head);
    gguf_put_f32(w, "clip.vision.attention.layer_norm_epsilon", 1e-6f);
    gguf_put_u32(w, "clip.vision.projector.scale_factor", (uint32_t)s->scale);
    gguf_put_u32(w, "clip.vision.preproc_image_size", (uint32_t)s->longest_edge);
    gguf_put_f32s(w, "clip.vision.image_mean", half, 3);
    gguf_put_f32s(w, "clip.vision.image_std", half, 3);
    int64_t kernel[4] = {s->patch, s->patch, 3, s->v_embd}, table[2] = {s->v_embd, grid * grid};
    (void)gguf_put_tensor(w, "v.patch_embd.weight", QUANT_F16, 4, kernel,
                          (size_t)(2 * 3 * s->patch * s->patch * s->v_embd));
    put_vector(w, s->v_embd, "v.patch_embd.bias");
    (void)gguf_put_tensor(w, "v.position_embd.weight", QUANT_F32, 2, table,
                          (size_t)(4 * s->v_embd * grid * grid));
    put_vector(w, s->v_embd, "v.post_ln.weight");
    put_vector(w, s->v_embd, "v.post_ln.bias");
    if (weights == QUANT_Q4_0 || weights == QUANT_Q4_K) /* a stock mmproj is never that coarse */
        weights = QUANT_F16;
    for (int i = 0; i < s->v_layer; i++)
        put_vision_layer(w, s, weights, i);
    put_matrix(w, weights, s->v_embd * s->scale * s->scale, s->n_embd, "mm.model.fc.weight");
}
