/* vocabulary.c - reading and judging the tokens of a GGUF.
 *
 * A file's token types can't be trusted to tell which texts steer a conversation: converters mark
 * some of them user-defined. So those that end an answer are control tokens here whatever the file
 * says, as in the reference, and the marks of templates and pictures are guarded, so that a user
 * who writes one gets text. */
#include "worker/engine/vocabulary.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const ending_texts[] = {
    "<|eot_id|>",
    "<|im_end|>",
    "<|end|>",
    "<|return|>",
    "<|call|>",
    "<|flush|>",
    "<|calls|>",
    "<end_of_turn>",
    "<|endoftext|>",
    "</s>",
    "<|eom_id|>",
    "<EOT>",
    "_<EOT>",
    "[EOT]",
    "[EOS]",
    "<|end_of_text|>",
    "<end_of_utterance>",
    "<eos>",
    "<turn|>",
    "<|tool_response>",
    "<\uFF5Cend\u2581of\u2581sentence\uFF5C>",
    "<|fim_pad|>",
    "<fim-pad>",
    "<fim_pad>",
    "<PAD>",
    "<|fim_repo|>",
    "<|repo_name|>",
    "<fim-repo>",
    "<REPO>",
    "<reponame>",
    "<|file_sep|>",
};

static const char *const ending_keys[] = {
    "tokenizer.ggml.eos_token_id",     "tokenizer.ggml.eot_token_id",
    "tokenizer.ggml.eom_token_id",     "tokenizer.ggml.fim_pad_token_id",
    "tokenizer.ggml.fim_rep_token_id", "tokenizer.ggml.fim_sep_token_id",
};

static const char *const guarded_texts[] = {
    "<s>",
    "<bos>",
    "<pad>",
    "<unk>",
    "<|im_start|>",
    "<|startoftext|>",
    "<|begin_of_text|>",
    "<|start_header_id|>",
    "<|end_header_id|>",
    "<start_of_turn>",
    "<image>",
    "<fake_token_around_image>",
    "<global-img>",
    "<start_of_image>",
    "<end_of_image>",
    "<image_soft_token>",
    "<|vision_start|>",
    "<|vision_end|>",
    "<|image_pad|>",
    "<|video_pad|>",
};

static bool text_is(struct bytes text, const char *s) {
    return strlen(s) == text.size && memcmp(s, text.data, text.size) == 0;
}

static bool text_is_one_of(struct bytes text, const char *const *list, size_t n) {
    for (size_t i = 0; i < n; i++) {
        if (text_is(text, list[i])) {
            return true;
        }
    }
    return false;
}

/* <row_1_col_2> and the like: a tile's mark. */
static bool is_tile_mark(struct bytes text) {
    char copy[40];
    int row, column, used = 0;
    if (text.size >= sizeof copy || text.size < 13) {
        return false;
    }
    memcpy(copy, text.data, text.size);
    copy[text.size] = '\0';
    return sscanf(copy, "<row_%6d_col_%6d>%n", &row, &column, &used) == 2 &&
           (size_t)used == text.size;
}

static int read_tokens(struct vocabulary *v, const struct gguf *g, struct error *e) {
    const char *key = "tokenizer.ggml.tokens";
    struct gguf_array a;
    int rc = gguf_get_array(g, key, &a, NULL, e);
    if (rc != 0) {
        return rc;
    }
    if (a.element_type != GGUF_TYPE_STRING) {
        return error_set(e, ERR_BAD_MODEL, "%s: its elements must be strings", key);
    }
    if (a.count == 0 || a.count > VOCABULARY_MAX_TOKENS) {
        return error_set(e, ERR_BAD_MODEL, "%s: %zu tokens, outside of 1 to %u", key, a.count,
                         VOCABULARY_MAX_TOKENS);
    }
    v->count = (int32_t)a.count;
    rc = text_table_reserve(&v->texts, a.count, 0);
    const uint8_t *cursor = a.data;
    for (size_t i = 0; rc == 0 && i < a.count; i++) {
        struct bytes text = gguf_next_string(&cursor);
        char empty[32];
        uint32_t number;
        if (text.size > VOCABULARY_MAX_TOKEN_BYTES) {
            return error_set(e, ERR_BAD_MODEL, "%s: token %zu has %zu bytes, more than %u", key, i,
                             text.size, VOCABULARY_MAX_TOKEN_BYTES);
        }
        if (text.size == 0) {
            int n = snprintf(empty, sizeof empty, "[EMPTY_%zu]", i);
            text = (struct bytes){(const uint8_t *)empty, (size_t)n};
        }
        v->longest = text.size > v->longest ? text.size : v->longest;
        rc = text_table_append(&v->texts, text, &number);
    }
    return rc == 0 ? 0 : error_set(e, rc, "%s: no room for its texts", key);
}

/* The array `key`, which has at least one entry per token, or *found false. */
static int read_parallel(const struct vocabulary *v, const struct gguf *g, const char *key,
                         struct gguf_array *a, bool *found, struct error *e) {
    int rc = gguf_get_array(g, key, a, found, e);
    if (rc != 0 || !*found) {
        return rc;
    }
    if (a->count < (size_t)v->count) {
        return error_set(e, ERR_BAD_MODEL, "%s: %zu entries for %d tokens", key, a->count,
                         v->count);
    }
    return 0;
}

static int read_types(struct vocabulary *v, const struct gguf *g, struct error *e) {
    const char *key = "tokenizer.ggml.token_type";
    struct gguf_array a;
    bool found;
    int rc = read_parallel(v, g, key, &a, &found, e);
    if (rc != 0) {
        return rc;
    }
    if (found && a.element_type != GGUF_TYPE_I32 && a.element_type != GGUF_TYPE_U32) {
        return error_set(e, ERR_BAD_MODEL, "%s: its elements must be 32-bit integers", key);
    }
    v->types = calloc((size_t)v->count, sizeof *v->types);
    v->flags = calloc((size_t)v->count, sizeof *v->flags);
    if (v->types == NULL || v->flags == NULL) {
        return error_set(e, ERR_NOMEM, "no memory for the types of %d tokens", v->count);
    }
    for (int32_t i = 0; i < v->count; i++) {
        int64_t type = found ? gguf_array_int(&a, (size_t)i) : TOKEN_NORMAL;
        if (type < 0 || type > TOKEN_BYTE) {
            return error_set(e, ERR_BAD_MODEL, "%s: token %d is of type %lld, outside of 0 to %d",
                             key, i, (long long)type, TOKEN_BYTE);
        }
        v->types[i] = type == 0 ? TOKEN_NORMAL : (uint8_t)type;
    }
    return 0;
}

static int read_scores(struct vocabulary *v, const struct gguf *g, struct error *e) {
    const char *key = "tokenizer.ggml.scores";
    struct gguf_array a;
    bool found;
    int rc = read_parallel(v, g, key, &a, &found, e);
    if (rc != 0 || !found) {
        return rc;
    }
    if (a.element_type != GGUF_TYPE_F32) {
        return error_set(e, ERR_BAD_MODEL, "%s: its elements must be f32", key);
    }
    v->scores = malloc((size_t)v->count * sizeof *v->scores);
    if (v->scores == NULL) {
        return error_set(e, ERR_NOMEM, "no memory for the scores of %d tokens", v->count);
    }
    for (int32_t i = 0; i < v->count; i++) {
        v->scores[i] = gguf_array_f32(&a, (size_t)i);
        if (isnan(v->scores[i])) {
            return error_set(e, ERR_BAD_MODEL, "%s: the score of token %d is not a number", key, i);
        }
    }
    return 0;
}

/* Leaves *out as it is when the file lacks the key. */
static int read_id(const struct vocabulary *v, const struct gguf *g, const char *key, int32_t *out,
                   struct error *e) {
    uint32_t id;
    bool found;
    int rc = gguf_get_u32(g, key, 0, (uint32_t)v->count - 1, &id, &found, e);
    if (rc == 0 && found) {
        *out = (int32_t)id;
    }
    return rc;
}

static int read_flag(const struct gguf *g, const char *key, bool *out, struct error *e) {
    bool found;
    return gguf_get_bool(g, key, out, &found, e);
}

/* A default id counts only where the vocabulary has a special token there. */
static int32_t default_id(const struct vocabulary *v, int32_t id) {
    bool special = id >= 0 && id < v->count && v->types[id] != TOKEN_NORMAL;
    return special ? id : -1;
}

static int read_ids(struct vocabulary *v, const struct gguf *g, const struct vocabulary_defaults *d,
                    struct error *e) {
    v->bos = default_id(v, d->bos);
    v->eos = default_id(v, d->eos);
    v->unknown = default_id(v, d->unknown);
    v->add_bos = d->add_bos;
    v->add_space_prefix = d->add_space_prefix;
    int rc = read_id(v, g, "tokenizer.ggml.bos_token_id", &v->bos, e);
    rc = rc != 0 ? rc : read_id(v, g, "tokenizer.ggml.eos_token_id", &v->eos, e);
    rc = rc != 0 ? rc : read_id(v, g, "tokenizer.ggml.unknown_token_id", &v->unknown, e);
    rc = rc != 0 ? rc : read_flag(g, "tokenizer.ggml.add_bos_token", &v->add_bos, e);
    rc = rc != 0 ? rc : read_flag(g, "tokenizer.ggml.add_eos_token", &v->add_eos, e);
    rc = rc != 0 ? rc : read_flag(g, "tokenizer.ggml.add_space_prefix", &v->add_space_prefix, e);
    v->add_bos = v->add_bos && v->bos >= 0;
    v->add_eos = v->add_eos && v->eos >= 0;
    return rc;
}

#define LENGTH(list) (sizeof(list) / sizeof(list)[0])

/* An answer ends at the ids that keys name and at tokens of certain texts. */
static int mark_endings(struct vocabulary *v, const struct gguf *g, struct error *e) {
    if (v->eos >= 0) {
        v->flags[v->eos] |= TOKEN_ENDS;
    }
    for (size_t i = 0; i < LENGTH(ending_keys); i++) {
        int32_t id = -1;
        int rc = read_id(v, g, ending_keys[i], &id, e);
        if (rc != 0) {
            return rc;
        }
        if (id >= 0) {
            v->flags[id] |= TOKEN_ENDS;
        }
    }
    for (size_t i = 0; i < LENGTH(ending_texts); i++) {
        const char *text = ending_texts[i];
        int32_t id = vocabulary_find(v, (struct bytes){(const uint8_t *)text, strlen(text)});
        if (id >= 0) {
            v->flags[id] |= TOKEN_ENDS;
            v->types[id] = TOKEN_CONTROL;
        }
    }
    return 0;
}

static void mark_guarded(struct vocabulary *v) {
    for (int32_t id = 0; id < v->count; id++) {
        uint8_t type = v->types[id];
        struct bytes text = text_table_at(&v->texts, (uint32_t)id);
        bool steers = type == TOKEN_CONTROL || type == TOKEN_UNKNOWN;
        if (!steers && type == TOKEN_USER_DEFINED) {
            steers = id == v->bos || (v->flags[id] & TOKEN_ENDS) != 0 || is_tile_mark(text) ||
                     text_is_one_of(text, guarded_texts, LENGTH(guarded_texts));
        }
        v->flags[id] |= steers ? TOKEN_GUARDED : 0;
    }
}

int vocabulary_load(struct vocabulary *v, const struct gguf *g,
                    const struct vocabulary_defaults *defaults, struct error *e) {
    *v = (struct vocabulary){.bos = -1, .eos = -1, .unknown = -1};
    int rc = read_tokens(v, g, e);
    rc = rc != 0 ? rc : read_types(v, g, e);
    rc = rc != 0 ? rc : read_scores(v, g, e);
    rc = rc != 0 ? rc : read_ids(v, g, defaults, e);
    rc = rc != 0 ? rc : mark_endings(v, g, e);
    if (rc == 0) {
        mark_guarded(v);
    }
    return rc;
}

void vocabulary_clear(struct vocabulary *v) {
    text_table_clear(&v->texts);
    free(v->types);
    free(v->flags);
    free(v->scores);
    *v = (struct vocabulary){0};
}

int32_t vocabulary_find(const struct vocabulary *v, struct bytes text) {
    uint32_t number = text_table_find(&v->texts, text);
    return number < (uint32_t)v->count ? (int32_t)number : -1;
}

static int hex_digit(uint8_t c) {
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    if (c >= 'A' && c <= 'F') {
        return c - 'A' + 10;
    }
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

int vocabulary_byte(struct bytes text) {
    if (text.size != 6 || memcmp(text.data, "<0x", 3) != 0 || text.data[5] != '>') {
        return -1;
    }
    int high = hex_digit(text.data[3]), low = hex_digit(text.data[4]);
    return high < 0 || low < 0 ? -1 : high * 16 + low;
}
