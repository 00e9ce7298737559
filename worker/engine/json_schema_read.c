/* json_schema_read.c - one schema object: its keywords, and what they make of its node.
 *
 * Every keyword is known here or refused: one that were passed over might be the one that an answer
 * breaks. Keywords about values of other types than the schema's do not count, as the standard has
 * it. */
#include <string.h>

#include "worker/engine/json_schema_inside.h"

enum group {
    GROUP_NOTE = 1, /* says nothing of values, or nothing that is asserted */
    GROUP_TYPE = 2,
    GROUP_VALUE = 4,
    GROUP_OTHER = 8, /* combines schemas or refers to them */
    GROUP_OBJECT = 16,
    GROUP_ARRAY = 32,
    GROUP_STRING = 64,
    GROUP_NUMBER = 128,
};

static const struct {
    const char *name;
    enum group group;
} keywords[] = {
    {"$schema", GROUP_NOTE},
    {"$id", GROUP_NOTE},
    {"$comment", GROUP_NOTE},
    {"$defs", GROUP_NOTE},
    {"definitions", GROUP_NOTE},
    {"title", GROUP_NOTE},
    {"description", GROUP_NOTE},
    {"default", GROUP_NOTE},
    {"examples", GROUP_NOTE},
    {"format", GROUP_NOTE},
    {"deprecated", GROUP_NOTE},
    {"readOnly", GROUP_NOTE},
    {"writeOnly", GROUP_NOTE},
    {"type", GROUP_TYPE},
    {"enum", GROUP_VALUE},
    {"const", GROUP_VALUE},
    {"anyOf", GROUP_OTHER},
    {"oneOf", GROUP_OTHER},
    {"allOf", GROUP_OTHER},
    {"$ref", GROUP_OTHER},
    {"properties", GROUP_OBJECT},
    {"required", GROUP_OBJECT},
    {"additionalProperties", GROUP_OBJECT},
    {"items", GROUP_ARRAY},
    {"prefixItems", GROUP_ARRAY},
    {"minItems", GROUP_ARRAY},
    {"maxItems", GROUP_ARRAY},
    {"minLength", GROUP_STRING},
    {"maxLength", GROUP_STRING},
    {"minimum", GROUP_NUMBER},
    {"maximum", GROUP_NUMBER},
    {"exclusiveMinimum", GROUP_NUMBER},
    {"exclusiveMaximum", GROUP_NUMBER},
};

/* Keywords that are known only where all values fit them. */
static bool says_nothing(const char *name, const json_t *value) {
    if (strcmp(name, "uniqueItems") == 0)
        return json_is_false(value);
    const char *type = json_string_value(json_object_get(value, "type"));
    return strcmp(name, "propertyNames") == 0 && json_object_size(value) == 1 && type != NULL &&
           strcmp(type, "string") == 0;
}

/* Which groups of keywords there are; *other: the last keyword of GROUP_OTHER. */
static int read_keywords(struct json_reader *r, const json_t *json, unsigned *groups,
                         const char **other) {
    const char *name;
    const json_t *value;
    *groups = 0;
    *other = NULL;
    unsigned n_other = 0;
    for (void *i = json_object_iter((json_t *)(uintptr_t)json); i != NULL;
         i = json_object_iter_next((json_t *)(uintptr_t)json, i)) {
        name = json_object_iter_key(i);
        value = json_object_iter_value(i);
        size_t k = 0, n = sizeof keywords / sizeof keywords[0];
        while (k < n && strcmp(name, keywords[k].name) != 0)
            k++;
        if (k == n && says_nothing(name, value))
            continue;
        if (k == n)
            return json_refuse(r, "the keyword '%.60s' is not supported", name);
        *groups |= keywords[k].group;
        n_other += keywords[k].group == GROUP_OTHER;
        *other = keywords[k].group == GROUP_OTHER ? name : *other;
    }
    if (n_other > 1 || (n_other == 1 && (*groups & ~(unsigned)(GROUP_NOTE | GROUP_OTHER)) != 0))
        return json_refuse(r, "'%s' is supported only without other keywords beside it", *other);
    return 0;
}

/* ---- combinations and references ---- */

static int note_one_of(struct json_reader *r, uint16_t node) {
    int rc = json_room(r, (void **)&r->one_of, r->n_one_of, &r->one_of_room, 1, sizeof *r->one_of);
    if (rc < 0)
        return rc;
    struct json_one_of *o = &r->one_of[r->n_one_of++];
    o->first = r->s->nodes[node].choice.first;
    o->count = r->s->nodes[node].choice.count;
    memcpy(o->place, r->place, sizeof o->place);
    return 0;
}

static int read_alternatives(struct json_reader *r, const json_t *list, const char *key,
                             uint16_t node) {
    uint16_t nodes[JSON_SCHEMA_CHOICE];
    size_t n = json_array_size(list);
    if (!json_is_array(list) || n == 0)
        return json_refuse(r, "'%s' must be a list of schemas", key);
    if (strcmp(key, "allOf") == 0 && n > 1)
        return json_refuse(r, "'allOf' is supported with one schema; it has %zu", n);
    if (n > JSON_SCHEMA_CHOICE)
        return json_refuse(r, "'%s' has %zu schemas; possible are %d", key, n, JSON_SCHEMA_CHOICE);
    size_t before = json_enter(r, key, 0);
    for (size_t i = 0; i < n; i++) {
        int rc = json_read_schema(r, json_array_get(list, i), NULL, i, &nodes[i]);
        if (rc < 0)
            return rc;
    }
    json_leave(r, before);
    int rc = json_make_choice(r, node, nodes, n);
    return rc == 0 && strcmp(key, "oneOf") == 0 ? note_one_of(r, node) : rc;
}

/* One name of a pointer, unescaped, and *at past it; false when it is too long. */
static bool next_name(const char **at, char *out, size_t capacity) {
    size_t n = 0;
    for (; **at != '\0' && **at != '/'; (*at)++) {
        char c = **at;
        if (c == '~' && ((*at)[1] == '0' || (*at)[1] == '1'))
            c = *++*at == '0' ? '~' : '/';
        if (n + 1 == capacity)
            return false;
        out[n++] = c;
    }
    out[n] = '\0';
    return true;
}

/* NULL: nothing is there. */
static const json_t *find(const struct json_reader *r, const char *pointer) {
    const json_t *at = r->document;
    while (at != NULL && *pointer == '/') {
        char name[256];
        pointer++;
        at = next_name(&pointer, name, sizeof name) ? json_object_get(at, name) : NULL;
    }
    return at;
}

static int read_reference(struct json_reader *r, const json_t *value, uint16_t node) {
    const char *text = json_string_value(value);
    if (text == NULL || text[0] != '#' || (text[1] != '\0' && text[1] != '/'))
        return json_refuse(r, "'$ref' must be '#' or begin with '#/'");
    const json_t *target = find(r, text + 1);
    if (target == NULL)
        return json_refuse(r, "'$ref': there is nothing at '%.100s'", text);
    char place[JSON_PLACE_BYTES];
    size_t place_size = r->place_size;
    memcpy(place, r->place, sizeof place);
    json_leave(r, 0);
    if (text[1] == '/')
        (void)json_enter(r, text + 2, 0);
    uint16_t found;
    int rc = json_read_schema(r, target, "", SIZE_MAX, &found);
    if (rc < 0)
        return rc;
    memcpy(r->place, place, sizeof place);
    json_leave(r, place_size);
    return json_make_choice(r, node, &found, 1);
}

static int read_other(struct json_reader *r, const json_t *json, const char *key, uint16_t node) {
    const json_t *value = json_object_get(json, key);
    if (strcmp(key, "$ref") == 0)
        return read_reference(r, value, node);
    return read_alternatives(r, value, key, node);
}

/* ---- types ---- */

enum type {
    TYPE_STRING = 1,
    TYPE_NUMBER = 2,
    TYPE_INTEGER = 4,
    TYPE_BOOLEAN = 8,
    TYPE_NULL = 16,
    TYPE_OBJECT = 32,
    TYPE_ARRAY = 64,
    TYPE_ALL = 127,
};
#define TYPES 7
static const char *const type_names[TYPES] = {"string", "number", "integer", "boolean",
                                              "null",   "object", "array"};

static int add_type(struct json_reader *r, const json_t *name, unsigned *types) {
    for (unsigned i = 0; json_is_string(name) && i < TYPES; i++)
        if (strcmp(json_string_value(name), type_names[i]) == 0) {
            *types |= 1u << i;
            return 0;
        }
    return json_refuse(r, "'type' must be string, number, integer, boolean, null, object or array, "
                          "or a list of these");
}

static int read_types(struct json_reader *r, const json_t *type, unsigned *types) {
    *types = 0;
    if (!json_is_array(type) || json_array_size(type) == 0)
        return add_type(r, type, types);
    for (size_t i = 0; i < json_array_size(type); i++) {
        int rc = add_type(r, json_array_get(type, i), types);
        if (rc < 0)
            return rc;
    }
    return 0;
}

static unsigned type_of(const json_t *v) {
    if (json_is_object(v))
        return TYPE_OBJECT;
    if (json_is_array(v))
        return TYPE_ARRAY;
    if (json_is_string(v))
        return TYPE_STRING;
    if (json_is_integer(v))
        return TYPE_INTEGER | TYPE_NUMBER;
    if (json_is_real(v)) {
        double d = json_real_value(v);
        return d >= -1e15 && d <= 1e15 && (double)(int64_t)d == d ? TYPE_INTEGER | TYPE_NUMBER
                                                                  : TYPE_NUMBER;
    }
    return json_is_null(v) ? TYPE_NULL : TYPE_BOOLEAN;
}

static int read_values(struct json_reader *r, const json_t *json, unsigned types, uint16_t node) {
    const json_t *list = json_object_get(json, "enum"), *one = json_object_get(json, "const");
    if (list != NULL && one != NULL)
        return json_refuse(r, "'enum' beside 'const' is not supported");
    if (one == NULL && (!json_is_array(list) || json_array_size(list) == 0))
        return json_refuse(r, "'enum' must be a list of values");
    size_t n = one != NULL ? 1 : json_array_size(list), added = 0;
    if (n > JSON_SCHEMA_VALUES)
        return json_refuse(r, "'enum' has %zu values; possible are %d", n, JSON_SCHEMA_VALUES);
    int rc = json_make_literal(r, node);
    for (size_t i = 0; rc == 0 && i < n; i++) {
        const json_t *value = one != NULL ? one : json_array_get(list, i);
        if ((type_of(value) & types) == 0)
            continue;
        rc = json_add_value(r, node, value);
        added++;
    }
    return rc == 0 && added == 0 ? json_refuse(r, "no value of it is of the type") : rc;
}

static int read_type(struct json_reader *r, const json_t *json, unsigned type, uint16_t node) {
    switch (type) {
    case TYPE_STRING:
        return json_read_string(r, json, node);
    case TYPE_NUMBER:
    case TYPE_INTEGER:
        return json_read_number(r, json, type == TYPE_INTEGER, node);
    case TYPE_OBJECT:
        return json_read_object(r, json, node);
    case TYPE_ARRAY:
        return json_read_array(r, json, node);
    default:
        break;
    }
    int rc = json_make_literal(r, node);
    if (rc == 0 && type == TYPE_NULL)
        return json_add_text(r, node, "null", 4);
    if (rc == 0)
        rc = json_add_text(r, node, "true", 4);
    return rc == 0 ? json_add_text(r, node, "false", 5) : rc;
}

static int read_each_type(struct json_reader *r, const json_t *json, unsigned types,
                          uint16_t node) {
    uint16_t nodes[TYPES];
    size_t n = 0;
    if ((types & TYPE_NUMBER) != 0)
        types &= ~(unsigned)TYPE_INTEGER;
    if ((types & (types - 1)) == 0)
        return read_type(r, json, types, node);
    for (unsigned type = 1; type < TYPE_ALL; type <<= 1) {
        if ((types & type) == 0)
            continue;
        int rc = json_new_node(r, NODE_CHOICE, &nodes[n]);
        if (rc == 0)
            rc = read_type(r, json, type, nodes[n++]);
        if (rc < 0)
            return rc;
    }
    return json_make_choice(r, node, nodes, n);
}

/* Of a schema without a type: what its keywords are about. 0: any. */
static unsigned infer(unsigned groups) {
    return ((groups & GROUP_OBJECT) != 0 ? TYPE_OBJECT : 0u) |
           ((groups & GROUP_ARRAY) != 0 ? TYPE_ARRAY : 0u) |
           ((groups & GROUP_STRING) != 0 ? TYPE_STRING : 0u) |
           ((groups & GROUP_NUMBER) != 0 ? TYPE_NUMBER : 0u);
}

/* ---- a schema ---- */

static int read_free(struct json_reader *r, uint16_t node) {
    uint16_t any;
    int rc = json_free_node(r, JSON_FREE_DEPTH, &any);
    return rc == 0 ? json_make_choice(r, node, &any, 1) : rc;
}

static int read_object_schema(struct json_reader *r, const json_t *json, uint16_t node) {
    unsigned groups, types = TYPE_ALL;
    const char *other;
    int rc = read_keywords(r, json, &groups, &other);
    if (rc < 0 || other != NULL)
        return rc < 0 ? rc : read_other(r, json, other, node);
    if ((groups & GROUP_TYPE) != 0)
        rc = read_types(r, json_object_get(json, "type"), &types);
    if (rc < 0)
        return rc;
    if ((groups & GROUP_VALUE) != 0) {
        if (infer(groups) != 0)
            return json_refuse(r, "'enum' and 'const' are supported only with 'type' beside them");
        return read_values(r, json, types, node);
    }
    if ((groups & GROUP_TYPE) != 0)
        return read_each_type(r, json, types, node);
    if (infer(groups) == 0)
        return read_free(r, node);
    rc = read_each_type(r, json, infer(groups), node);
    struct json_node *n = &r->s->nodes[node];
    n->inferred = true;
    for (size_t i = 0; rc == 0 && n->kind == NODE_CHOICE && i < n->choice.count; i++)
        r->s->nodes[r->s->children[n->choice.first + i]].inferred = true;
    return rc;
}

static int read_into(struct json_reader *r, const json_t *json, uint16_t node) {
    if (json_is_true(json))
        return read_free(r, node);
    if (json_is_false(json))
        return json_make_choice(r, node, NULL, 0);
    if (!json_is_object(json))
        return json_refuse(r, "a schema must be an object, true or false");
    return read_object_schema(r, json, node);
}

static int note_seen(struct json_reader *r, const json_t *json, uint16_t *node) {
    int rc = json_room(r, (void **)&r->seen, r->n_seen, &r->seen_room, 1, sizeof *r->seen);
    if (rc == 0)
        rc = json_new_node(r, NODE_CHOICE, node);
    if (rc == 0)
        r->seen[r->n_seen++] = (struct json_seen){json, *node};
    return rc;
}

int json_read_schema(struct json_reader *r, const json_t *json, const char *name, size_t index,
                     uint16_t *node) {
    /* true and false are one thing for jansson wherever they stand; they refer to nothing. */
    for (size_t i = 0; json_is_object(json) && i < r->n_seen; i++)
        if (r->seen[i].json == json) {
            *node = r->seen[i].node;
            return 0;
        }
    if (r->depth == JSON_SCHEMA_DEPTH)
        return json_refuse(r, "its parts are more than %d deep inside each other",
                           JSON_SCHEMA_DEPTH);
    bool refers = name != NULL && name[0] == '\0' && index == SIZE_MAX; /* the place is set */
    size_t before = refers ? r->place_size : json_enter(r, name, index);
    int rc = note_seen(r, json, node);
    r->depth++;
    if (rc == 0)
        rc = read_into(r, json, *node);
    r->depth--;
    if (rc == 0)
        json_leave(r, before);
    return rc;
}
