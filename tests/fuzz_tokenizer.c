/* fuzz_tokenizer.c - any bytes, cut anywhere, through the tokenizer and back.
 *
 * By hand:  clang -g -O1 -fsanitize=fuzzer,address,undefined -D_GNU_SOURCE -I.
 *           -DQUIRE_GOLDEN_DIR='"tests/golden"' tests/fuzz_tokenizer.c
 *           tests/support/{vocab,gguf_writer}.c
 * worker/engine/{tokenizer,tokenizer_bpe,tokenizer_spm,
 *           merge,least,queue,pretokenize,unicode,unicode_tables,vocabulary,text_table,special,gguf,
 *           gguf_walk,gguf_keys,quant,quant_k,quant_simd}.c common/{error,log,clock}.c
 *           -lcmocka -lxxhash -lm */
#include "tests/fuzz_tokenizer.h"

#include <stdlib.h>
#include <string.h>

#include "common/must.h"
#include "tests/support/vocab.h"
#include "worker/engine/unicode.h"
#include "worker/engine/vocabulary.h"

#define MAX_RUNS 8

/* Up to MAX_RUNS runs; lengths and kinds from the text itself. */
static size_t cut_runs(struct bytes text, struct tokenize_run *runs) {
    size_t n = 0, at = 0;
    while (at < text.size && n + 1 < MAX_RUNS) {
        uint8_t choice = text.data[at];
        size_t size = 1 + choice % 29u;
        size = size < text.size - at ? size : text.size - at;
        runs[n++] = (struct tokenize_run){{text.data + at, size}, choice % 3 == 0};
        at += size;
    }
    runs[n++] = (struct tokenize_run){{text.data + at, text.size - at}, text.size % 2 == 0};
    return n;
}

/* Text as the tokenizer reads it: ill-formed bytes replaced. */
static size_t read_back(struct bytes text, uint8_t *out) {
    size_t n = 0, used;
    for (size_t i = 0; i < text.size; i += used) {
        n += utf8_write(out + n, utf8_read(text.data + i, text.size - i, &used));
    }
    return n;
}

static void check_spelling(const struct tokenizer *t, const struct token_list *l,
                           struct bytes text) {
    uint8_t *wanted = malloc(3 * text.size + 1);
    MUST(wanted != NULL);
    size_t size = read_back(text, wanted), at = 0;
    for (size_t i = 0; i < l->count; i++) {
        struct bytes piece = tokenizer_piece(t, l->ids[i]);
        if (piece.size == 0) { /* a control token: its own text */
            piece = tokenizer_text(t, l->ids[i]);
        }
        MUST(at + piece.size <= size && memcmp(wanted + at, piece.data, piece.size) == 0);
        at += piece.size;
    }
    MUST(at == size);
    free(wanted);
}

static size_t count_empty(const struct tokenizer *t, const struct token_list *l) {
    size_t n = 0;
    for (size_t i = 0; i < l->count; i++) {
        MUST(l->ids[i] >= 0 && l->ids[i] < tokenizer_size(t));
        n += tokenizer_piece(t, l->ids[i]).size == 0;
    }
    return n;
}

void check_encoding(const struct tokenizer *t, bool byte_level, struct bytes text) {
    struct tokenize_run runs[MAX_RUNS];
    struct token_list l = {0};
    struct error e = {0};
    size_t n = cut_runs(text, runs);
    MUST(tokenizer_encode_runs(t, runs, n, TOKENIZE_BOS, &l, &e) == 0);
    (void)count_empty(t, &l);
    l.count = 0;
    MUST(tokenizer_encode_runs(t, runs, n, TOKENIZE_PLAIN, &l, &e) == 0);
    size_t marks = count_empty(t, &l);
    if (byte_level) {
        check_spelling(t, &l, text);
    }
    l.count = 0;
    MUST(tokenizer_encode(t, text, TOKENIZE_SPECIAL, &l, &e) == 0);
    MUST(!byte_level || count_empty(t, &l) >= marks);
    l.count = 0;
    MUST(tokenizer_encode(t, text, TOKENIZE_PLAIN, &l, &e) == 0);
    MUST(!byte_level || count_empty(t, &l) == 0);
    token_list_clear(&l);
}

static struct tokenizer *make_tokenizer(void) {
    struct vocab v = {.pre = "default"};
    vocab_add_bytes(&v);
    vocab_add(&v, "<|a|>", TOKEN_CONTROL, 0);
    vocab_add(&v, "<|a", TOKEN_CONTROL, 0);
    vocab_add(&v, "|>", TOKEN_USER_DEFINED, 0);
    vocab_add(&v, "aa", TOKEN_NORMAL, 0);
    vocab_add(&v, "aaa", TOKEN_NORMAL, 0);
    vocab_add_merge(&v, "a a");
    vocab_add_merge(&v, "aa a");
    struct tokenizer *t = vocab_make(&v);
    vocab_clear(&v);
    return t;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static struct tokenizer *t;
    if (t == NULL) {
        t = make_tokenizer();
    }
    check_encoding(t, true, (struct bytes){data, size});
    return 0;
}
