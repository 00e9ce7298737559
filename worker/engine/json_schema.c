/* json_schema.c - reading a schema: which kinds of value it allows, and the way to those that
 * follow.
 *
 * Every part of the document becomes one node, however often it is referred to; so a recursive
 * schema is a graph with a cycle, and reading ends because the document does. */
#include "worker/engine/json_schema_inside.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- errors, places, room ---- */

int json_refuse(struct json_reader *r, const char *format, ...) {
    char what[ERROR_TEXT_BYTES / 2];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(what, sizeof what, format, args);
    va_end(args);
    return error_set(r->e, ERR_BAD_REQUEST, "schema: at %s: %s",
                     r->place_size > 0 ? r->place : "its top", what);
}

int json_no_memory(struct json_reader *r) {
    return error_set(r->e, ERR_NOMEM, "no memory for the schema");
}

int json_room(struct json_reader *r, void **array, size_t count, size_t *room, size_t more,
              size_t element) {
    if (count + more <= *room)
        return 0;
    size_t wanted = *room * 2 > count + more ? *room * 2 : count + more + 16;
    void *bigger = realloc(*array, wanted * element);
    if (bigger == NULL)
        return json_no_memory(r);
    *array = bigger;
    *room = wanted;
    return 0;
}

size_t json_enter(struct json_reader *r, const char *name, size_t index) {
    size_t before = r->place_size, left = sizeof r->place - before;
    int n = name != NULL ? snprintf(r->place + before, left, "/%s", name)
                         : snprintf(r->place + before, left, "/%zu", index);
    r->place_size += n < 0 ? 0 : (size_t)n < left ? (size_t)n : left - 1;
    return before;
}

void json_leave(struct json_reader *r, size_t place_size) {
    r->place_size = place_size;
    r->place[place_size] = '\0';
}

/* ---- nodes ---- */

int json_new_node(struct json_reader *r, uint8_t kind, uint16_t *node) {
    struct json_schema *s = r->s;
    if (s->n_nodes == JSON_SCHEMA_NODES)
        return json_refuse(r, "the schema has more than %d parts", JSON_SCHEMA_NODES);
    int rc = json_room(r, (void **)&s->nodes, s->n_nodes, &s->nodes_room, 1, sizeof *s->nodes);
    if (rc < 0)
        return rc;
    memset(&s->nodes[s->n_nodes], 0, sizeof *s->nodes);
    s->nodes[s->n_nodes].kind = kind;
    *node = (uint16_t)s->n_nodes++;
    return 0;
}

int json_make_choice(struct json_reader *r, uint16_t node, const uint16_t *nodes, size_t n) {
    struct json_schema *s = r->s;
    if (n > JSON_SCHEMA_CHOICE)
        return json_refuse(r, "%zu alternatives; possible are %d", n, JSON_SCHEMA_CHOICE);
    int rc = json_room(r, (void **)&s->children, s->n_children, &s->children_room, n,
                       sizeof *s->children);
    if (rc < 0)
        return rc;
    if (n > 0)
        memcpy(s->children + s->n_children, nodes, n * sizeof *nodes);
    s->nodes[node].kind = NODE_CHOICE;
    s->nodes[node].choice.first = (uint32_t)s->n_children;
    s->nodes[node].choice.count = (uint16_t)n;
    s->n_children += n;
    return 0;
}

static int new_letter(struct json_reader *r, uint8_t byte, uint32_t *out) {
    struct json_schema *s = r->s;
    int rc =
        json_room(r, (void **)&s->letters, s->n_letters, &s->letters_room, 2, sizeof *s->letters);
    if (rc < 0)
        return rc;
    if (s->n_letters == 0)
        memset(&s->letters[s->n_letters++], 0, sizeof *s->letters); /* nobody */
    s->letters[s->n_letters] = (struct json_letter){.need = JSON_NEVER, .byte = byte};
    *out = (uint32_t)s->n_letters++;
    return 0;
}

int json_make_literal(struct json_reader *r, uint16_t node) {
    uint32_t root;
    int rc = new_letter(r, 0, &root);
    if (rc < 0)
        return rc;
    r->s->nodes[node].kind = NODE_LITERAL;
    r->s->nodes[node].literal.root = root;
    return 0;
}

int json_add_text(struct json_reader *r, uint16_t node, const char *text, size_t size) {
    struct json_schema *s = r->s;
    uint32_t at = s->nodes[node].literal.root;
    for (size_t i = 0; i < size; i++) {
        uint8_t byte = (uint8_t)text[i];
        uint32_t left = (uint32_t)(size - i), next = s->letters[at].child;
        s->letters[at].need = left < s->letters[at].need ? left : s->letters[at].need;
        while (next != 0 && s->letters[next].byte != byte)
            next = s->letters[next].sibling;
        if (next == 0) {
            int rc = new_letter(r, byte, &next);
            if (rc < 0)
                return rc;
            s->letters[next].sibling = s->letters[at].child;
            s->letters[at].child = next;
        }
        at = next;
    }
    s->letters[at].need = 0;
    s->nodes[node].first |= json_first_of((uint8_t)text[0]);
    return 0;
}

/* As short as it says the same: 0.1 and not 0.10000000000000001. */
static char *write_value(const json_t *value) {
    size_t flags = JSON_COMPACT | JSON_ENCODE_ANY;
    char *text = json_dumps(value, flags | JSON_REAL_PRECISION(15));
    json_t *back = text == NULL ? NULL : json_loads(text, JSON_DECODE_ANY, NULL);
    bool same = back != NULL && json_equal(back, value);
    json_decref(back);
    if (same)
        return text;
    free(text);
    return json_dumps(value, flags | JSON_REAL_PRECISION(17));
}

int json_add_value(struct json_reader *r, uint16_t node, const json_t *value) {
    char *text = write_value(value);
    if (text == NULL)
        return json_no_memory(r);
    r->s->nodes[node].literal.has_reals |= json_is_real(value);
    int rc = json_add_text(r, node, text, strlen(text));
    free(text);
    return rc;
}

uint8_t json_first_of(uint8_t byte) {
    switch (byte) {
    case '"':
        return JSON_FIRST_QUOTE;
    case '{':
        return JSON_FIRST_BRACE;
    case '[':
        return JSON_FIRST_BRACKET;
    case 't':
        return JSON_FIRST_T;
    case 'f':
        return JSON_FIRST_F;
    case 'n':
        return JSON_FIRST_N;
    default:
        return byte == '-' || (byte >= '0' && byte <= '9') ? JSON_FIRST_NUMBER : 0;
    }
}

/* ---- open and close ---- */

static int read_document(struct json_reader *r, struct bytes text) {
    json_error_t why = {.text = ""};
    r->document = json_loadb((const char *)text.data, text.size,
                             JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &why);
    bool no_memory = why.text[0] == '\0' || json_error_code(&why) == json_error_out_of_memory;
    if (r->document == NULL && no_memory) /* jansson does not always tell */
        return json_no_memory(r);
    if (r->document == NULL)
        return error_set(r->e, ERR_BAD_REQUEST, "the schema is not JSON: line %d: %s", why.line,
                         why.text);
    int rc = json_read_schema(r, r->document, "", SIZE_MAX, &r->s->root);
    if (rc == 0)
        rc = json_finish(r);
    if (rc == 0)
        r->s->least = r->s->nodes[r->s->root].least;
    return rc;
}

int json_schema_open(struct json_schema **out, struct bytes text, struct error *e) {
    *out = NULL;
    struct json_reader r = {.e = e, .s = calloc(1, sizeof *r.s)};
    if (r.s == NULL)
        return json_no_memory(&r);
    for (int i = 0; i <= JSON_FREE_DEPTH; i++)
        r.free_nodes[i] = JSON_NO_NODE;
    int rc = read_document(&r, text);
    json_decref(r.document);
    free(r.seen);
    free(r.one_of);
    if (rc < 0) {
        json_schema_close(r.s);
        return rc;
    }
    *out = r.s;
    return 0;
}

void json_schema_close(struct json_schema *s) {
    if (s == NULL)
        return;
    free(s->nodes);
    free(s->properties);
    free(s->letters);
    free(s->children);
    free(s->texts);
    free(s);
}
