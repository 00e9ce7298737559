/* json_schema_apart.c - whether the alternatives of a oneOf can be told apart.
 *
 * An answer is made along one alternative. That it fits no other one must be clear from the schema:
 * by the types, by the values of an enum or const, or by such a value of a property that both
 * require (a tag). What is not clear in these ways is refused. */
#include <string.h>

#include "worker/engine/json_schema_inside.h"

/* The alternatives that a node stands for. */
static const uint16_t *leaves_of(const struct json_schema *s, const uint16_t *node, size_t *n) {
    const struct json_node *at = &s->nodes[*node];
    *n = at->kind == NODE_CHOICE ? at->choice.count : 1;
    return at->kind == NODE_CHOICE ? s->children + at->choice.first : node;
}

/* Whether two trees of texts have a text in common. Goes into itself only where more than one
 * letter is shared, which is less often than there are texts. */
static bool share_text(const struct json_letter *l, uint32_t a, uint32_t b) {
    for (;;) {
        uint32_t next_a = 0, next_b = 0;
        if (l[a].need == 0 && l[b].need == 0)
            return true;
        for (uint32_t i = l[a].child; i != 0; i = l[i].sibling)
            for (uint32_t k = l[b].child; k != 0; k = l[k].sibling) {
                if (l[i].byte != l[k].byte)
                    continue;
                if (next_a != 0 && share_text(l, next_a, next_b))
                    return true;
                next_a = i;
                next_b = k;
            }
        if (next_a == 0)
            return false;
        a = next_a;
        b = next_b;
    }
}

/* 1 and 1.0 are equal, and so are objects in any order: only other values are known by their text.
 */
static bool literals_apart(const struct json_schema *s, const struct json_node *a,
                           const struct json_node *b) {
    uint8_t both = a->first & b->first;
    if ((both & (JSON_FIRST_BRACE | JSON_FIRST_BRACKET)) != 0)
        return false;
    if ((both & JSON_FIRST_NUMBER) != 0 && (a->literal.has_reals || b->literal.has_reals))
        return false;
    return !share_text(s->letters, a->literal.root, b->literal.root);
}

static const struct json_property *find_property(const struct json_schema *s,
                                                 const struct json_node *object,
                                                 const struct json_property *like) {
    for (size_t i = 0; i < object->object.count; i++) {
        const struct json_property *p = &s->properties[object->object.first + i];
        if (p->size == like->size &&
            memcmp(s->texts + p->text, s->texts + like->text, p->size) == 0)
            return p;
    }
    return NULL;
}

static bool values_apart(const struct json_schema *s, uint16_t a, uint16_t b) {
    size_t n_a, n_b;
    const uint16_t *of_a = leaves_of(s, &a, &n_a), *of_b = leaves_of(s, &b, &n_b);
    for (size_t i = 0; i < n_a; i++)
        for (size_t k = 0; k < n_b; k++) {
            const struct json_node *x = &s->nodes[of_a[i]], *y = &s->nodes[of_b[k]];
            if (x->kind != NODE_LITERAL || y->kind != NODE_LITERAL || !literals_apart(s, x, y))
                return false;
        }
    return true;
}

static bool have_tag(const struct json_schema *s, const struct json_node *a,
                     const struct json_node *b) {
    for (size_t i = 0; i < a->object.count; i++) {
        const struct json_property *p = &s->properties[a->object.first + i];
        const struct json_property *q = p->required ? find_property(s, b, p) : NULL;
        if (q != NULL && q->required && values_apart(s, p->node, q->node))
            return true;
    }
    return false;
}

static bool leaves_apart(const struct json_schema *s, const struct json_node *a,
                         const struct json_node *b) {
    if (a->kind == NODE_OBJECT && b->kind == NODE_OBJECT && have_tag(s, a, b))
        return true;
    if (a->inferred || b->inferred)
        return false;
    if (a->kind == NODE_LITERAL && b->kind == NODE_LITERAL)
        return literals_apart(s, a, b);
    return (a->first & b->first) == 0;
}

static bool told_apart(const struct json_schema *s, uint16_t a, uint16_t b) {
    size_t n_a, n_b;
    const uint16_t *of_a = leaves_of(s, &a, &n_a), *of_b = leaves_of(s, &b, &n_b);
    for (size_t i = 0; i < n_a; i++)
        for (size_t k = 0; k < n_b; k++)
            if (!leaves_apart(s, &s->nodes[of_a[i]], &s->nodes[of_b[k]]))
                return false;
    return true;
}

int json_check_one_of(struct json_reader *r) {
    const struct json_schema *s = r->s;
    for (size_t i = 0; i < r->n_one_of; i++) {
        const struct json_one_of *o = &r->one_of[i];
        memcpy(r->place, o->place, sizeof r->place);
        r->place_size = strlen(r->place);
        for (size_t a = 0; a < o->count; a++)
            for (size_t b = 0; b < a; b++)
                if (!told_apart(s, s->children[o->first + a], s->children[o->first + b]))
                    return json_refuse(r,
                                       "'oneOf': alternatives %zu and %zu (from 0) are not clearly "
                                       "apart; 'anyOf' takes them",
                                       b, a);
    }
    json_leave(r, 0);
    return 0;
}
