/* token_trie.c - see token_trie.h. */
#include "worker/engine/token_trie.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

static int compare(const void *a, const void *b) {
    const struct token_word *x = a, *y = b;
    size_t least = x->text.size < y->text.size ? x->text.size : y->text.size;
    int order = least > 0 ? memcmp(x->text.data, y->text.data, least) : 0;
    if (order == 0)
        order = (x->text.size > y->text.size) - (x->text.size < y->text.size);
    return order != 0 ? order : (x->id > y->id) - (x->id < y->id);
}

static bool has_place(const struct token_word *w) {
    return w->text.size > 0 && w->text.size <= TOKEN_TRIE_BYTES;
}

static size_t common(struct bytes a, struct bytes b) {
    size_t n = 0;
    while (n < a.size && n < b.size && a.data[n] == b.data[n])
        n++;
    return n;
}

/* path: nodes of the text before, by depth - 1. */
static void add_word(struct token_trie *t, uint32_t *path, struct bytes before, struct bytes text,
                     uint32_t n_ids) {
    size_t shared = common(before, text);
    for (size_t depth = shared; depth < before.size; depth++)
        t->nodes[path[depth]].next = t->n_nodes;
    for (size_t depth = shared; depth < text.size; depth++) {
        path[depth] = t->n_nodes;
        t->nodes[t->n_nodes++] = (struct token_trie_node){
            .first = n_ids, .depth = (uint16_t)(depth + 1), .byte = text.data[depth]};
    }
}

int token_trie_open(struct token_trie *t, struct token_word *words, size_t n, struct error *e) {
    uint32_t path[TOKEN_TRIE_BYTES], n_ids = 0;
    struct bytes before = {NULL, 0};
    size_t room = 1;
    memset(t, 0, sizeof *t);
    qsort(words, n, sizeof *words, compare);
    for (size_t i = 0; i < n; i++)
        room += has_place(&words[i]) ? words[i].text.size : 0;
    if (room >= UINT32_MAX)
        return error_set(e, ERR_LIMIT, "the vocabulary has too much text");
    t->nodes = malloc(room * sizeof *t->nodes);
    t->ids = malloc((n + 1) * sizeof *t->ids);
    if (t->nodes == NULL || t->ids == NULL) {
        token_trie_close(t);
        return error_set(e, ERR_NOMEM, "no memory for the texts of %zu tokens", n);
    }
    for (size_t i = 0; i < n; i++) {
        if (!has_place(&words[i]))
            continue;
        add_word(t, path, before, words[i].text, n_ids);
        t->ids[n_ids++] = words[i].id;
        before = words[i].text;
    }
    for (size_t depth = 0; depth < before.size; depth++)
        t->nodes[path[depth]].next = t->n_nodes;
    t->nodes[t->n_nodes] = (struct token_trie_node){.next = t->n_nodes, .first = n_ids};
    struct token_trie_node *less = realloc(t->nodes, (t->n_nodes + 1) * sizeof *less);
    t->nodes = less != NULL ? less : t->nodes;
    return 0;
}

void token_trie_close(struct token_trie *t) {
    free(t->nodes);
    free(t->ids);
    memset(t, 0, sizeof *t);
}
