/* json_schema_object.c - objects and arrays of a schema.
 *
 * The members of an answer come in the order of `properties`, so that a machine that writes one
 * needs to remember only where it is; names that are required but no property come last. Members
 * that no property names come after these, and only where the schema asks for them: a model that
 * may always invent one more does. */
#include <stdlib.h>
#include <string.h>

#include "worker/engine/json_schema_inside.h"

/* ---- objects ---- */

/* The members that no property names: JSON_NO_NODE where none shall come. *closed: none may. */
static int read_others(struct json_reader *r, const json_t *json, uint16_t *others, bool *closed) {
    const json_t *more = json_object_get(json, "additionalProperties");
    const json_t *properties = json_object_get(json, "properties");
    *closed = json_is_false(more);
    *others = JSON_NO_NODE;
    if (*closed || (more == NULL && json_object_size(properties) > 0))
        return 0;
    if (more == NULL || json_is_true(more))
        return json_free_node(r, JSON_FREE_DEPTH - 1, others);
    return json_read_schema(r, more, "additionalProperties", 0, others);
}

/* Writes the name as it stands in an answer. */
static int put_name(struct json_reader *r, const char *name, struct json_property *out) {
    struct json_schema *s = r->s;
    json_t *string = json_string(name);
    char *text = string == NULL ? NULL : json_dumps(string, JSON_ENCODE_ANY);
    json_decref(string);
    if (text == NULL)
        return json_no_memory(r);
    size_t size = strlen(text);
    int rc = json_room(r, (void **)&s->texts, s->n_texts, &s->texts_room, size, 1);
    if (rc == 0) {
        memcpy(s->texts + s->n_texts, text, size);
        out->text = (uint32_t)s->n_texts;
        out->size = (uint32_t)size;
        s->n_texts += size;
        out->hash = JSON_HASH_BEGIN;
        for (const char *c = name; *c != '\0'; c++)
            out->hash = json_hash(out->hash, (uint8_t)*c);
    }
    free(text);
    return rc;
}

/* An object's properties while they are read: children that are read meanwhile bring their own to
 * the schema's array, so these are added when all are there. */
struct members {
    struct json_property *list;
    size_t count;
};

static int add_member(struct json_reader *r, struct members *m, const char *name, uint16_t node,
                      bool required) {
    if (m->count == JSON_SCHEMA_PROPERTIES)
        return json_refuse(r, "it has more than %d properties", JSON_SCHEMA_PROPERTIES);
    struct json_property *p = &m->list[m->count];
    *p = (struct json_property){.node = node, .required = required};
    m->count++;
    return put_name(r, name, p);
}

static bool is_required(const json_t *required, const char *name) {
    for (size_t i = 0; i < json_array_size(required); i++) {
        const char *other = json_string_value(json_array_get(required, i));
        if (other != NULL && strcmp(other, name) == 0)
            return true;
    }
    return false;
}

static int read_properties(struct json_reader *r, const json_t *properties, const json_t *required,
                           struct members *m) {
    if (properties != NULL && !json_is_object(properties))
        return json_refuse(r, "'properties' must be an object");
    size_t before = json_enter(r, "properties", 0);
    json_t *walked = (json_t *)(uintptr_t)properties;
    for (void *i = json_object_iter(walked); i != NULL; i = json_object_iter_next(walked, i)) {
        const char *name = json_object_iter_key(i);
        uint16_t node;
        int rc = json_read_schema(r, json_object_iter_value(i), name, 0, &node);
        if (rc == 0)
            rc = add_member(r, m, name, node, is_required(required, name));
        if (rc < 0)
            return rc;
    }
    json_leave(r, before);
    return 0;
}

/* Required names that no property has. */
static int read_required(struct json_reader *r, const json_t *properties, const json_t *required,
                         bool closed, uint16_t others, struct members *m) {
    if (required != NULL && !json_is_array(required))
        return json_refuse(r, "'required' must be a list of names");
    for (size_t i = 0; i < json_array_size(required); i++) {
        const char *name = json_string_value(json_array_get(required, i));
        if (name == NULL)
            return json_refuse(r, "'required' must be a list of names");
        if (json_object_get(properties, name) != NULL)
            continue;
        if (closed)
            return json_refuse(r, "'%.60s' is required, but no property, and others may not come",
                               name);
        for (size_t k = 0; k < i; k++)
            if (strcmp(json_string_value(json_array_get(required, k)), name) == 0)
                return json_refuse(r, "'required' has '%.60s' twice", name);
        int rc = others != JSON_NO_NODE ? 0 : json_free_node(r, JSON_FREE_DEPTH - 1, &others);
        if (rc == 0)
            rc = add_member(r, m, name, others, true);
        if (rc < 0)
            return rc;
    }
    return 0;
}

static int compare_texts(const void *a, const void *b, void *arg) {
    const struct json_schema *s = arg;
    const struct json_property *p = a, *q = b;
    size_t least = p->size < q->size ? p->size : q->size;
    int order = memcmp(s->texts + p->text, s->texts + q->text, least);
    return order != 0 ? order : (int)p->size - (int)q->size;
}

/* Fills `sorted` of each: a sorted copy tells by its `stop` where it was. */
static int sort_members(struct json_reader *r, struct members *m) {
    struct json_property *copy = malloc((m->count + 1) * sizeof *copy);
    if (copy == NULL)
        return json_no_memory(r);
    for (size_t i = 0; i < m->count; i++) {
        copy[i] = m->list[i];
        copy[i].stop = (uint16_t)i;
    }
    qsort_r(copy, m->count, sizeof *copy, compare_texts, r->s);
    for (size_t i = 0; i < m->count; i++)
        m->list[i].sorted = copy[i].stop;
    free(copy);
    uint16_t stop = (uint16_t)m->count;
    for (size_t i = m->count; i-- > 0;) {
        stop = m->list[i].required ? (uint16_t)i : stop;
        m->list[i].stop = stop;
    }
    return 0;
}

static int put_object(struct json_reader *r, struct members *m, uint16_t others, uint16_t node) {
    struct json_schema *s = r->s;
    int rc = sort_members(r, m);
    if (rc == 0)
        rc = json_room(r, (void **)&s->properties, s->n_properties, &s->properties_room,
                       m->count + 1, sizeof *s->properties);
    if (rc < 0)
        return rc;
    struct json_node *n = &s->nodes[node];
    n->kind = NODE_OBJECT;
    n->first = JSON_FIRST_BRACE;
    n->object.first = (uint32_t)s->n_properties;
    n->object.count = (uint16_t)m->count;
    n->object.others = m->count > JSON_FREE_PROPERTIES ? JSON_NO_NODE : others;
    memcpy(s->properties + s->n_properties, m->list, m->count * sizeof *m->list);
    s->n_properties += m->count;
    return 0;
}

int json_read_object(struct json_reader *r, const json_t *json, uint16_t node) {
    const json_t *properties = json_object_get(json, "properties");
    const json_t *required = json_object_get(json, "required");
    struct members m = {malloc(JSON_SCHEMA_PROPERTIES * sizeof *m.list), 0};
    if (m.list == NULL)
        return json_no_memory(r);
    uint16_t others;
    bool closed;
    int rc = read_others(r, json, &others, &closed);
    if (rc == 0)
        rc = read_properties(r, properties, required, &m);
    if (rc == 0)
        rc = read_required(r, properties, required, closed, others, &m);
    if (rc == 0)
        rc = put_object(r, &m, others, node);
    free(m.list);
    return rc;
}

/* ---- arrays ---- */

static int read_first_items(struct json_reader *r, const json_t *list, uint16_t *nodes) {
    size_t n = json_array_size(list);
    if (list != NULL && (!json_is_array(list) || n == 0 || n > JSON_SCHEMA_CHOICE))
        return json_refuse(r, "'prefixItems' must be a list of 1 to %d schemas",
                           JSON_SCHEMA_CHOICE);
    size_t before = json_enter(r, "prefixItems", 0);
    for (size_t i = 0; i < n; i++) {
        int rc = json_read_schema(r, json_array_get(list, i), NULL, i, &nodes[i]);
        if (rc < 0)
            return rc;
    }
    json_leave(r, before);
    return 0;
}

static int read_items(struct json_reader *r, const json_t *json, uint16_t *items) {
    const json_t *more = json_object_get(json, "items");
    *items = JSON_NO_NODE;
    if (json_is_false(more) || (more == NULL && json_object_get(json, "prefixItems") != NULL))
        return 0;
    if (more == NULL || json_is_true(more))
        return json_free_node(r, JSON_FREE_DEPTH - 1, items);
    return json_read_schema(r, more, "items", 0, items);
}

int json_read_array(struct json_reader *r, const json_t *json, uint16_t node) {
    struct json_schema *s = r->s;
    const json_t *list = json_object_get(json, "prefixItems");
    uint16_t nodes[JSON_SCHEMA_CHOICE], items;
    uint32_t least, most;
    size_t n = json_array_size(list);
    int rc = read_first_items(r, list, nodes);
    if (rc == 0)
        rc = read_items(r, json, &items);
    if (rc == 0)
        rc = json_read_count(r, json, "minItems", 0, &least);
    if (rc == 0)
        rc = json_read_count(r, json, "maxItems", JSON_NEVER, &most);
    if (rc == 0)
        rc = json_room(r, (void **)&s->children, s->n_children, &s->children_room, n + 1,
                       sizeof *s->children);
    if (rc < 0)
        return rc;
    if (items == JSON_NO_NODE && most > n)
        most = (uint32_t)n;
    if (least > most)
        return json_refuse(r, "'minItems' is %u, but there can be %u items at most", least, most);
    if (n > 0)
        memcpy(s->children + s->n_children, nodes, n * sizeof *nodes);
    struct json_node *a = &s->nodes[node];
    a->kind = NODE_ARRAY;
    a->first = JSON_FIRST_BRACKET;
    a->array.first = (uint32_t)s->n_children;
    a->array.count = (uint16_t)n;
    a->array.items = items;
    a->array.least = least;
    a->array.most = most;
    s->n_children += n;
    return 0;
}
