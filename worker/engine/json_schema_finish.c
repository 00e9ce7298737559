/* json_schema_finish.c - what is known only once all nodes are: alternatives, and least values.
 *
 * The least value of a node follows from those of others, which may follow from it: a tree whose
 * nodes hold trees ends because a list of them may be empty. All begin at "never" and are computed
 * again until nothing changes. Each least value is made of strictly smaller ones, so what comes out
 * is the least, and the nesting that goes with it is known, too. */
#include <stdlib.h>
#include <string.h>

#include "worker/engine/json_schema_inside.h"

/* ---- choices ---- */

struct walk {
    uint16_t *stack;   /* [n_nodes + JSON_SCHEMA_CHOICE] nodes still to be looked at */
    uint16_t *visited; /* [n_nodes]: the choice that came by last, plus one */
};

/* All alternatives of a choice that are none themselves. */
static int flatten(struct json_reader *r, struct walk *w, uint16_t node) {
    struct json_schema *s = r->s;
    uint16_t leaves[JSON_SCHEMA_CHOICE];
    size_t n = 0, depth = 0;
    w->visited[node] = (uint16_t)(node + 1);
    w->stack[depth++] = node;
    while (depth > 0) {
        const struct json_node *at = &s->nodes[w->stack[--depth]];
        if (at->kind != NODE_CHOICE) {
            if (n == JSON_SCHEMA_CHOICE)
                return json_refuse(r, "a choice has more than %d alternatives", JSON_SCHEMA_CHOICE);
            leaves[n++] = (uint16_t)(at - s->nodes);
            continue;
        }
        for (size_t i = at->choice.count; i-- > 0;) {
            uint16_t child = s->children[at->choice.first + i];
            if (child == node)
                return json_refuse(r, "a '$ref' leads back to itself with no value between");
            if (w->visited[child] == node + 1)
                continue;
            w->visited[child] = (uint16_t)(node + 1);
            w->stack[depth++] = child;
        }
    }
    return json_make_choice(r, node, leaves, n);
}

static int flatten_all(struct json_reader *r) {
    struct json_schema *s = r->s;
    struct walk w = {malloc((s->n_nodes + JSON_SCHEMA_CHOICE) * sizeof *w.stack),
                     calloc(s->n_nodes, sizeof *w.visited)};
    int rc = w.stack == NULL || w.visited == NULL ? json_no_memory(r) : 0;
    for (size_t i = 0; rc == 0 && i < s->n_nodes; i++)
        if (s->nodes[i].kind == NODE_CHOICE)
            rc = flatten(r, &w, (uint16_t)i);
    free(w.stack);
    free(w.visited);
    return rc;
}

/* ---- least values ---- */

struct least {
    uint64_t bytes; /* above JSON_LEAST_MAX: never */
    uint32_t height;
};

static void add(struct least *sum, const struct json_node *part, uint64_t bytes) {
    sum->bytes += bytes + part->least; /* JSON_NEVER is above JSON_LEAST_MAX */
    sum->height = part->height > sum->height ? part->height : sum->height;
}

static struct least least_choice(const struct json_schema *s, const struct json_node *n) {
    struct least best = {JSON_NEVER, 0};
    for (size_t i = 0; i < n->choice.count; i++) {
        const struct json_node *leaf = &s->nodes[s->children[n->choice.first + i]];
        if (leaf->least < best.bytes || (leaf->least == best.bytes && leaf->height < best.height))
            best = (struct least){leaf->least, leaf->height};
    }
    return best;
}

static struct least least_object(const struct json_schema *s, const struct json_node *n) {
    struct least sum = {2, 0};
    bool some = false;
    for (size_t i = 0; i < n->object.count; i++) {
        const struct json_property *p = &s->properties[n->object.first + i];
        if (p->required) {
            add(&sum, &s->nodes[p->node], p->size + 1u + some);
            some = true;
        }
    }
    sum.height++;
    return sum;
}

static struct least least_array(const struct json_schema *s, const struct json_node *n) {
    struct least sum = {2, 0};
    uint32_t count = n->array.least, k = 0;
    for (; k < count && k < n->array.count; k++)
        add(&sum, &s->nodes[s->children[n->array.first + k]], k > 0);
    if (k < count) {
        const struct json_node *item = &s->nodes[n->array.items];
        add(&sum, item, k > 0);
        sum.bytes += (uint64_t)(count - k - 1) * (item->least + (uint64_t)1);
    }
    sum.height++;
    return sum;
}

static struct least least_of(const struct json_schema *s, const struct json_node *n) {
    switch (n->kind) {
    case NODE_STRING:
        return (struct least){n->string.least + (uint64_t)2, 0};
    case NODE_NUMBER: {
        struct json_digits d = {0, NUMBER_START, 0, false};
        return (struct least){json_number_need(&n->number, &d), 0};
    }
    case NODE_LITERAL:
        return (struct least){s->letters[n->literal.root].need, 0};
    case NODE_OBJECT:
        return least_object(s, n);
    case NODE_ARRAY:
        return least_array(s, n);
    default:
        return least_choice(s, n);
    }
}

/* Whether it has changed. */
static bool set_least(const struct json_schema *s, struct json_node *n) {
    struct least l = least_of(s, n);
    if (l.bytes > JSON_LEAST_MAX)
        l = (struct least){JSON_NEVER, 0};
    bool changed = n->least != (uint32_t)l.bytes || n->height != l.height;
    n->least = (uint32_t)l.bytes;
    n->height = l.height;
    return changed;
}

static bool has_parts(const struct json_node *n) {
    return n->kind == NODE_CHOICE || n->kind == NODE_OBJECT || n->kind == NODE_ARRAY;
}

static void find_least(struct json_schema *s) {
    for (size_t i = 0; i < s->n_nodes; i++) {
        s->nodes[i].least = JSON_NEVER;
        if (!has_parts(&s->nodes[i]))
            (void)set_least(s, &s->nodes[i]);
    }
    bool changed = true;
    while (changed) {
        changed = false;
        for (size_t i = s->n_nodes; i-- > 0;) /* parts mostly come after what they are part of */
            if (has_parts(&s->nodes[i]))
                changed |= set_least(s, &s->nodes[i]);
    }
}

/* ---- what follows from them ---- */

static void measure_object(struct json_schema *s, const struct json_node *n) {
    struct json_property *p = s->properties + n->object.first;
    uint64_t rest = 0;
    for (size_t i = n->object.count; i-- > 0;) {
        uint64_t own = p[i].size + (uint64_t)1 + s->nodes[p[i].node].least;
        rest += p[i].required ? own + 1 : 0;
        p[i].rest = rest > JSON_LEAST_MAX ? JSON_NEVER : (uint32_t)rest;
    }
}

static int count_alike(struct json_reader *r, struct json_node *n) {
    struct json_schema *s = r->s;
    unsigned counts[8] = {0};
    n->first = 0;
    for (size_t i = 0; i < n->choice.count; i++) {
        const struct json_node *leaf = &s->nodes[s->children[n->choice.first + i]];
        if (leaf->least == JSON_NEVER)
            continue;
        n->first |= leaf->first;
        for (unsigned bit = 0; bit < 8; bit++)
            if ((leaf->first >> bit & 1) != 0 && ++counts[bit] > JSON_THREADS)
                return json_refuse(r,
                                   "a choice has more than %d alternatives that begin with the "
                                   "same byte",
                                   JSON_THREADS);
    }
    return 0;
}

int json_finish(struct json_reader *r) {
    struct json_schema *s = r->s;
    int rc = flatten_all(r);
    if (rc < 0)
        return rc;
    find_least(s);
    for (size_t i = 0; rc == 0 && i < s->n_nodes; i++) {
        if (s->nodes[i].kind == NODE_OBJECT)
            measure_object(s, &s->nodes[i]);
        if (s->nodes[i].kind == NODE_CHOICE)
            rc = count_alike(r, &s->nodes[i]);
    }
    if (rc == 0)
        rc = json_check_one_of(r);
    const struct json_node *root = &s->nodes[s->root];
    if (rc == 0 && (root->least == JSON_NEVER || root->height > JSON_DEPTH))
        return json_refuse(r, "no answer of up to %u bytes and %d levels fits it", JSON_LEAST_MAX,
                           JSON_DEPTH);
    return rc;
}
