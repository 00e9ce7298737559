/* token_mask.c - see token_mask.h.
 *
 * Threads of a machine are looked at one by one only inside of strings, where a token makes no new
 * ones. Should a token that was allowed still not be taken (threads were let go on the way), the
 * caller draws again without it; single bytes on the shortest way are always taken. */
#include "worker/engine/token_mask.h"

#include <stdlib.h>
#include <string.h>

#include "common/must.h"
#include "worker/engine/json_text.h"
#include "worker/engine/token_trie.h"

#define TRIAL_FRAMES (JSON_SETTLED_FRAMES + 4 * JSON_BYTE_FRAMES)
#define NOT_INSIDE 255     /* in `characters` */
#define CHARACTERS_MAX 254 /* longer tokens are walked */

struct token_mask {
    int32_t n_vocab;
    size_t n_words;
    struct token_trie all;
    struct token_trie closing; /* tokens that close a string in which they begin */
    uint8_t *characters;       /* [64 * n_words]: of a token that stays inside of a string */
    uint8_t *sizes;            /* [64 * n_words]: its bytes */
    uint8_t *tails;            /* [64 * n_words]: bytes that its last character still needs */
    uint64_t *inside;          /* [n_words]: tokens that stay inside */
    uint64_t *plain;           /* [n_words]: of them, those without a backslash */
    uint64_t *ends;            /* [n_words]: tokens that end an answer */
    uint64_t *allowed;         /* [n_words]: the last mask */
    bool single[256];          /* bytes that are a token alone */
    struct json_machine trial;
    struct json_mark marks[TOKEN_TRIE_BYTES + 1]; /* by depth in a trie */
};

static void set(uint64_t *mask, int32_t id) {
    mask[id / 64] |= (uint64_t)1 << (id % 64);
}

/* ---- the vocabulary ---- */

/* Whether the text, begun between two characters of a string, closes it. Notes what it is if it
 * stays inside. */
static bool classify(struct token_mask *k, struct bytes text, int32_t id) {
    uint8_t state = JSON_TEXT_BETWEEN;
    uint32_t characters = 0;
    bool plain = true;
    for (size_t i = 0; i < text.size; i++) {
        if (state == JSON_TEXT_BETWEEN && text.data[i] == '"')
            return true;
        characters += state == JSON_TEXT_BETWEEN;
        plain &= text.data[i] != '\\';
        state = json_text_step(state, text.data[i]);
        if (state == JSON_TEXT_BAD)
            return false;
    }
    if (characters > CHARACTERS_MAX)
        return true; /* to be walked, as those that close */
    k->characters[id] = (uint8_t)characters;
    k->sizes[id] = (uint8_t)(text.size < UINT8_MAX ? text.size : UINT8_MAX);
    k->tails[id] = (uint8_t)json_text_tail(state);
    set(k->inside, id);
    if (plain)
        set(k->plain, id);
    return false;
}

/* All of ASCII that text is made of must be there, and one byte for each place inside of a
 * character that has begun. Of other bytes real vocabularies lack some; a schema's own texts are
 * checked by token_mask_check. */
static int check_bytes(const struct token_mask *k, struct error *e) {
    static const struct {
        unsigned from, to;
    } places[] = {{0x80, 0x8f}, {0x80, 0x9f}, {0x90, 0xbf}, {0xa0, 0xbf}}; /* as in json_text.c */
    for (unsigned byte = 0x20; byte < 0x7f; byte++)
        if (!k->single[byte])
            return error_set(e, ERR_UNSUPPORTED,
                             "the model's vocabulary has no token for the byte 0x%02x alone; so "
                             "its answers can't be held to a schema",
                             byte);
    for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) {
        bool some = false;
        for (unsigned byte = places[i].from; byte <= places[i].to; byte++)
            some |= k->single[byte];
        if (!some)
            return error_set(e, ERR_UNSUPPORTED,
                             "the model's vocabulary has no token for a byte from 0x%02x to 0x%02x "
                             "alone; so its answers can't be held to a schema",
                             places[i].from, places[i].to);
    }
    return 0;
}

static int refuse_byte(unsigned byte, struct error *e) {
    return error_set(e, ERR_UNSUPPORTED,
                     "a name or value of the schema has the byte 0x%02x, for which the model's "
                     "vocabulary has no token alone",
                     byte);
}

int token_mask_check(const struct token_mask *k, const struct json_schema *s, struct error *e) {
    for (size_t i = 0; i < s->n_texts; i++)
        if (!k->single[(uint8_t)s->texts[i]])
            return refuse_byte((uint8_t)s->texts[i], e);
    for (size_t i = 0; i < s->n_letters; i++) /* byte 0: the begin of a tree */
        if (s->letters[i].byte != 0 && !k->single[s->letters[i].byte])
            return refuse_byte(s->letters[i].byte, e);
    return 0;
}

static int read_tokens(struct token_mask *k, const struct tokenizer *t, struct token_word *words,
                       struct token_word *closing, struct error *e) {
    size_t n = 0, n_closing = 0;
    int32_t count = tokenizer_size(t) < k->n_vocab ? tokenizer_size(t) : k->n_vocab;
    for (int32_t id = 0; id < count; id++) {
        struct bytes text = tokenizer_piece(t, id);
        if (tokenizer_ends(t, id)) {
            set(k->ends, id);
            continue;
        }
        if (text.size == 0 || text.size > TOKEN_TRIE_BYTES || tokenizer_guarded(t, id))
            continue;
        if (text.size == 1)
            k->single[text.data[0]] = true;
        words[n++] = (struct token_word){text, id};
        if (classify(k, text, id))
            closing[n_closing++] = (struct token_word){text, id};
    }
    int rc = check_bytes(k, e);
    if (rc == 0)
        rc = token_trie_open(&k->all, words, n, e);
    return rc == 0 ? token_trie_open(&k->closing, closing, n_closing, e) : rc;
}

static int take_memory(struct token_mask *k, struct error *e) {
    k->n_words = ((size_t)k->n_vocab + 63) / 64;
    size_t n = k->n_words * 64; /* in whole words */
    k->characters = malloc(n);
    k->sizes = calloc(n, 1);
    k->tails = calloc(n, 1);
    k->inside = calloc(k->n_words, sizeof *k->inside);
    k->plain = calloc(k->n_words, sizeof *k->plain);
    k->ends = calloc(k->n_words, sizeof *k->ends);
    k->allowed = calloc(k->n_words, sizeof *k->allowed);
    if (!k->characters || !k->sizes || !k->tails || !k->inside || !k->plain || !k->ends ||
        !k->allowed)
        return error_set(e, ERR_NOMEM, "no memory for masks of %d tokens", k->n_vocab);
    memset(k->characters, NOT_INSIDE, n);
    return json_machine_open(&k->trial, TRIAL_FRAMES, e);
}

int token_mask_open(struct token_mask **out, const struct tokenizer *t, int32_t n_vocab,
                    struct error *e) {
    *out = NULL;
    struct token_mask *k = calloc(1, sizeof *k);
    if (k == NULL)
        return error_set(e, ERR_NOMEM, "no memory for masks of tokens");
    k->n_vocab = n_vocab;
    int rc = take_memory(k, e);
    struct token_word *words = malloc((size_t)n_vocab * sizeof *words);
    struct token_word *closing = malloc((size_t)n_vocab * sizeof *closing);
    if (rc == 0 && (words == NULL || closing == NULL))
        rc = error_set(e, ERR_NOMEM, "no memory for masks of %d tokens", n_vocab);
    if (rc == 0)
        rc = read_tokens(k, t, words, closing, e);
    free(words);
    free(closing);
    if (rc < 0) {
        token_mask_close(k);
        return rc;
    }
    *out = k;
    return 0;
}

void token_mask_close(struct token_mask *k) {
    if (k == NULL)
        return;
    token_trie_close(&k->all);
    token_trie_close(&k->closing);
    free(k->characters);
    free(k->sizes);
    free(k->tails);
    free(k->inside);
    free(k->plain);
    free(k->ends);
    free(k->allowed);
    json_machine_close(&k->trial);
    free(k);
}

/* ---- masks ---- */

static void add(struct token_mask *k, const uint64_t *mask) {
    for (size_t i = 0; i < k->n_words; i++)
        k->allowed[i] |= mask[i];
}

/* Tries all texts of a trie from where the trial machine is. */
static void walk(struct token_mask *k, const struct token_trie *t, uint32_t left) {
    struct json_machine *m = &k->trial;
    k->marks[0] = m->now;
    for (uint32_t i = 0; i < t->n_nodes;) {
        const struct token_trie_node *n = &t->nodes[i];
        json_machine_back(m, &k->marks[n->depth - 1]);
        if (!json_machine_step(m, n->byte)) {
            i = n->next;
            continue;
        }
        k->marks[n->depth] = m->now;
        if (n[1].first > n->first && json_machine_need(m) <= left)
            for (uint32_t id = n->first; id < n[1].first; id++)
                set(k->allowed, t->ids[id]);
        i++;
    }
    json_machine_back(m, &k->marks[0]);
}

/* Tokens that stay inside of a string, which leave as many characters and bytes as it needs. */
static void add_counted(struct token_mask *k, struct json_room_inside room, uint32_t left) {
    uint8_t most = (uint8_t)(room.most < CHARACTERS_MAX ? room.most : CHARACTERS_MAX);
    for (size_t word = 0; word < k->n_words; word++) {
        const uint8_t *characters = k->characters + word * 64, *tails = k->tails + word * 64;
        uint64_t some = k->inside[word];
        if (some == 0)
            continue;
        uint64_t bits = 0;
        for (unsigned i = 0; i < 64; i++) {
            uint32_t fewer = characters[i] < room.least ? characters[i] : room.least;
            bool fits = characters[i] <= most && (uint64_t)room.need - fewer + tails[i] <= left;
            bits |= (uint64_t)fits << i;
        }
        k->allowed[word] |= bits & some;
    }
}

/* Tokens that stay inside of a key, without escapes, of which so many bytes may come. */
static void add_short(struct token_mask *k, uint32_t bytes) {
    for (size_t word = 0; word < k->n_words; word++) {
        uint64_t some = k->plain[word];
        for (; some != 0; some &= some - 1) {
            size_t id = word * 64 + (size_t)__builtin_ctzll(some);
            if (k->sizes[id] + (uint32_t)k->tails[id] <= bytes)
                k->allowed[word] |= some & -some;
        }
    }
}

/* The same for one thread of the trial machine; false when it has to be walked. */
static bool add_inside(struct token_mask *k, uint32_t thread, uint32_t left) {
    struct json_room_inside room;
    enum json_inside inside = json_machine_inside(&k->trial, thread, &room);
    if (inside == JSON_OUTSIDE)
        return false;
    bool ample = (uint64_t)room.need + JSON_TEXT_TAIL_MAX + 2 <= left;
    if (inside == JSON_INSIDE_KEY) {
        if (ample)
            add_short(k, room.bytes);
        return ample;
    }
    if (ample && room.most >= CHARACTERS_MAX)
        add(k, k->inside);
    else
        add_counted(k, room, left);
    return true;
}

const uint64_t *token_mask_fill(struct token_mask *k, const struct json_machine *m, uint32_t left) {
    struct json_mark others = m->now;
    memset(k->allowed, 0, k->n_words * sizeof *k->allowed);
    json_machine_copy(&k->trial, m);
    if (json_machine_need(m) == 0)
        add(k, k->ends);
    others.n_threads = 0;
    for (uint32_t i = 0; i < m->now.n_threads; i++)
        if (!add_inside(k, i, left))
            others.tops[others.n_threads++] = m->now.tops[i];
    if (others.n_threads < m->now.n_threads)
        walk(k, &k->closing, left);
    if (others.n_threads > 0) {
        json_machine_back(&k->trial, &others);
        walk(k, &k->all, left);
    }
    return k->allowed;
}

bool token_mask_take(struct token_mask *k, struct json_machine *m, int32_t id, struct bytes text,
                     uint32_t left) {
    struct json_machine *t = &k->trial;
    bool taken = text.size > 0 && !(id >= 0 && id < k->n_vocab && token_mask_has(k->ends, id));
    json_machine_copy(t, m);
    for (size_t i = 0; taken && i < text.size; i++) {
        taken = json_machine_step(t, text.data[i]);
        if (t->now.n_frames + JSON_BYTE_FRAMES > t->room)
            json_machine_settle(t);
    }
    if (taken && json_machine_need(t) <= left) {
        json_machine_settle(t);
        json_machine_copy(m, t);
        return true;
    }
    if (id >= 0 && id < k->n_vocab)
        k->allowed[id / 64] &= ~((uint64_t)1 << (id % 64));
    return false;
}
