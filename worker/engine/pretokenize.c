/* pretokenize.c - the pre-tokenizers' regular expressions as hand-written matchers.
 *
 * Every matcher answers one question: where does the piece that begins here end? It looks ahead
 * only over characters that the piece will take, or over one run that the next piece takes at once,
 * so a whole text costs linear time whatever it holds. */
#include "worker/engine/pretokenize.h"

#include <string.h>

static bool has(glyph g, unsigned classes) {
    return (g & classes) != 0;
}

static bool is_line_end(glyph g) {
    return glyph_code(g) == '\n' || glyph_code(g) == '\r';
}

/* How far the characters of `classes` (or, with negate, of none of them) reach from at. */
static size_t run_end(const glyph *g, size_t at, size_t end, unsigned classes, bool negate) {
    while (at < end && has(g[at], classes) != negate) {
        at++;
    }
    return at;
}

static uint32_t fold_ascii(uint32_t code, bool fold) {
    return fold && code >= 'A' && code <= 'Z' ? code + ('a' - 'A') : code;
}

/* Length of 's 't 'm 'd 're 've 'll at at, or 0. `fold` takes capitals too. */
static size_t contraction(const glyph *g, size_t at, size_t end, bool fold) {
    if (glyph_code(g[at]) != '\'' || end - at < 2) {
        return 0;
    }
    uint32_t a = fold_ascii(glyph_code(g[at + 1]), fold);
    if (a == 's' || a == 't' || a == 'm' || a == 'd') {
        return 2;
    }
    if (end - at < 3) {
        return 0;
    }
    uint32_t b = fold_ascii(glyph_code(g[at + 2]), fold);
    return ((a == 'r' || a == 'v') && b == 'e') || (a == 'l' && b == 'l') ? 3 : 0;
}

/* White space from at: \s*[\r\n]+ (when lines), else \s+(?!\S), else \s+. */
static size_t space_end(const glyph *g, size_t at, size_t end, bool lines) {
    size_t stop = at, after_line = at;
    for (; stop < end && has(g[stop], UNICODE_SPACE); stop++) {
        if (is_line_end(g[stop])) {
            after_line = stop + 1;
        }
    }
    if (lines && after_line > at) {
        return after_line;
    }
    return stop < end && stop - at > 1 ? stop - 1 : stop;
}

/* 's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+ */
static size_t pass_gpt2(const glyph *g, size_t at, size_t end) {
    size_t short_form = contraction(g, at, end, false);
    if (short_form > 0) {
        return at + short_form;
    }
    size_t word = at + (glyph_code(g[at]) == ' ' && at + 1 < end);
    if (has(g[word], UNICODE_LETTER)) {
        return run_end(g, word, end, UNICODE_LETTER, false);
    }
    if (has(g[word], UNICODE_NUMBER)) {
        return run_end(g, word, end, UNICODE_NUMBER, false);
    }
    if (!has(g[word], UNICODE_SPACE)) {
        return run_end(g, word, end, UNICODE_SPACE | UNICODE_LETTER | UNICODE_NUMBER, true);
    }
    return space_end(g, at, end, false);
}

/* What the newer expressions, all of one build, differ in. */
struct style {
    unsigned word;     /* classes that make up words */
    size_t max_digits; /* numbers in one piece */
    bool contractions;
    bool case_words; /* a word ends where capitals follow small letters */
    bool take_slash; /* after symbols, '/' is taken like line ends */
};

/* ASCII capitals are never small and small ones never capital; other letters are both. */
static bool can_be_capital(glyph g) {
    uint32_t code = glyph_code(g);
    return has(g, UNICODE_LETTER) && !(code >= 'a' && code <= 'z');
}
static bool can_be_small(glyph g) {
    uint32_t code = glyph_code(g);
    return has(g, UNICODE_LETTER) && !(code >= 'A' && code <= 'Z');
}

/* capital* small+ | capital+ small*, as a backtracking matcher finds it: if no small letter follows
 * the longest run of capitals, the run gives back letters until one of them can be a small one. */
static size_t case_word_end(const glyph *g, size_t at, size_t end) {
    size_t stop = at;
    while (stop < end && can_be_capital(g[stop])) {
        stop++;
    }
    if (stop < end && can_be_small(g[stop])) {
        while (stop < end && can_be_small(g[stop])) {
            stop++;
        }
        return stop;
    }
    for (size_t back = stop; back > at; back--) {
        if (can_be_small(g[back - 1])) {
            return back;
        }
    }
    return stop;
}

/* [^\r\n\p{L}\p{N}]?word+ at at, or at when there is none. */
static size_t word_end(const glyph *g, size_t at, size_t end, const struct style *s) {
    size_t word = at;
    if (!has(g[at], s->word)) {
        if (has(g[at], UNICODE_NUMBER) || is_line_end(g[at]) || at + 1 == end ||
            !has(g[at + 1], s->word)) {
            return at;
        }
        word = at + 1;
    }
    return s->case_words ? case_word_end(g, word, end) : run_end(g, word, end, s->word, false);
}

/* Symbols from word on, then the line ends (and slashes) behind them. */
static size_t symbols_end(const glyph *g, size_t word, size_t end, const struct style *s) {
    size_t stop = run_end(g, word, end, UNICODE_SPACE | UNICODE_NUMBER | s->word, true);
    while (stop < end && (is_line_end(g[stop]) || (s->take_slash && glyph_code(g[stop]) == '/'))) {
        stop++;
    }
    return stop;
}

/* contractions|[^\r\n\p{L}\p{N}]?word+|\p{N}{1,d}| ?symbols+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+ */
static size_t pass_styled(const glyph *g, size_t at, size_t end, const struct style *s) {
    size_t short_form = s->contractions ? contraction(g, at, end, true) : 0;
    if (short_form > 0) {
        return at + short_form;
    }
    size_t stop = word_end(g, at, end, s);
    if (stop > at) {
        return stop;
    }
    if (has(g[at], UNICODE_NUMBER)) {
        size_t most = end - at < s->max_digits ? end : at + s->max_digits;
        return run_end(g, at, most, UNICODE_NUMBER, false);
    }
    size_t symbol = at + (glyph_code(g[at]) == ' ' && at + 1 < end);
    if (!has(g[symbol], UNICODE_SPACE | UNICODE_NUMBER | s->word)) {
        return symbols_end(g, symbol, end, s);
    }
    return space_end(g, at, end, true);
}

static size_t pass_llama3(const glyph *g, size_t at, size_t end) {
    static const struct style s = {UNICODE_LETTER, 3, true, false, false};
    return pass_styled(g, at, end, &s);
}

static size_t pass_qwen2(const glyph *g, size_t at, size_t end) {
    static const struct style s = {UNICODE_LETTER, 1, true, false, false};
    return pass_styled(g, at, end, &s);
}

static size_t pass_qwen35(const glyph *g, size_t at, size_t end) {
    static const struct style s = {UNICODE_LETTER | UNICODE_MARK, 1, true, false, false};
    return pass_styled(g, at, end, &s);
}

static size_t pass_tekken(const glyph *g, size_t at, size_t end) {
    static const struct style s = {UNICODE_LETTER, 1, false, true, true};
    return pass_styled(g, at, end, &s);
}

/* \p{N}: every number on its own. */
static size_t pass_each_number(const glyph *g, size_t at, size_t end) {
    return has(g[at], UNICODE_NUMBER) ? at + 1 : run_end(g, at, end, UNICODE_NUMBER, true);
}

/* \p{N}+ */
static size_t pass_numbers(const glyph *g, size_t at, size_t end) {
    return run_end(g, at, end, UNICODE_NUMBER, !has(g[at], UNICODE_NUMBER));
}

static bool three_digits(const glyph *g, size_t at, size_t end) {
    if (end - at < 3) {
        return false;
    }
    for (size_t i = at; i < at + 3; i++) {
        if (glyph_code(g[i]) < '0' || glyph_code(g[i]) > '9') {
            return false;
        }
    }
    return true;
}

/* [0-9][0-9][0-9] */
static size_t pass_triples(const glyph *g, size_t at, size_t end) {
    if (three_digits(g, at, end)) {
        return at + 3;
    }
    do {
        at++;
    } while (at < end && !three_digits(g, at, end));
    return at;
}

static bool is_mark_of(glyph g, const char *symbols) {
    uint32_t code = glyph_code(g);
    return has(g, UNICODE_PUNCTUATION) ||
           (code > 0 && code < 128 && strchr(symbols, (int)code) != NULL);
}

static size_t marks_end(const glyph *g, size_t at, size_t end, const char *symbols) {
    bool first = is_mark_of(g[at], symbols);
    while (at < end && is_mark_of(g[at], symbols) == first) {
        at++;
    }
    return at;
}

/* [\p{P}\$\+<=>\^~\|]+ */
static size_t pass_marks(const glyph *g, size_t at, size_t end) {
    return marks_end(g, at, end, "$+<=>^~|");
}

/* [\p{P}\$\+<=>\^~\|`]+ */
static size_t pass_falcon_marks(const glyph *g, size_t at, size_t end) {
    return marks_end(g, at, end, "$+<=>^~|`");
}

/* name, add_bos, ignore_merges, passes */
static const struct pretokenizer known[] = {
    {"gpt-2", false, false, {pass_gpt2}},
    {"phi-2", false, false, {pass_gpt2}},
    {"mpt", false, false, {pass_gpt2}},
    {"olmo", false, false, {pass_gpt2}},
    {"jais", false, false, {pass_gpt2}},
    {"trillion", false, false, {pass_gpt2}},
    {"granite-docling", false, false, {pass_gpt2}},
    {"smollm", false, false, {pass_each_number, pass_gpt2}},
    {"starcoder", false, false, {pass_each_number, pass_gpt2}},
    {"refact", false, false, {pass_each_number, pass_gpt2}},
    {"command-r", false, false, {pass_each_number, pass_gpt2}},
    {"codeshell", false, false, {pass_each_number, pass_gpt2}},
    {"exaone", false, false, {pass_each_number, pass_gpt2}},
    {"minerva-7b", false, false, {pass_each_number, pass_gpt2}},
    {"llama3", true, true, {pass_llama3}},
    {"llama-v3", true, true, {pass_llama3}},
    {"llama-bpe", true, true, {pass_llama3}},
    {"falcon3", true, true, {pass_llama3}},
    {"pixtral", true, true, {pass_llama3}},
    {"lfm2", true, true, {pass_llama3}},
    {"dbrx", false, false, {pass_llama3}},
    {"smaug-bpe", false, false, {pass_llama3}},
    {"chatglm-bpe", false, false, {pass_llama3}},
    {"glm4", false, false, {pass_llama3}},
    {"qwen2", false, false, {pass_qwen2}},
    {"deepseek-r1-qwen", false, false, {pass_qwen2}},
    {"stablelm2", false, false, {pass_qwen2}},
    {"hunyuan", false, false, {pass_qwen2}},
    {"qwen35", false, false, {pass_qwen35}},
    {"tekken", true, true, {pass_tekken}},
    {"default", false, false, {pass_marks, pass_gpt2, pass_numbers, pass_triples}},
    {"falcon", false, false, {pass_falcon_marks, pass_gpt2, pass_triples}},
};

const struct pretokenizer *pretokenizer_find(struct bytes name) {
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        if (strlen(known[i].name) == name.size &&
            memcmp(known[i].name, name.data, name.size) == 0) {
            return &known[i];
        }
    }
    return NULL;
}

/* Cuts [at, end) with pass `depth` and hands each part to the next pass, the last ones to each. */
static int cut(const struct pretokenizer *p, int depth, const glyph *g, size_t at, size_t end,
               piece_function each, void *context) {
    bool last = depth + 1 == PRETOKENIZE_MAX_PASSES || p->passes[depth + 1] == NULL;
    while (at < end) {
        size_t stop = p->passes[depth](g, at, end);
        int rc =
            last ? each(context, g + at, stop - at) : cut(p, depth + 1, g, at, stop, each, context);
        if (rc != 0) {
            return rc;
        }
        at = stop;
    }
    return 0;
}

int pretokenize(const struct pretokenizer *p, const glyph *text, size_t n, piece_function each,
                void *context) {
    return cut(p, 0, text, 0, n, each, context);
}
