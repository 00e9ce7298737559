/* schema_check.c - see schema_check.h. */
#include "tests/support/schema_check.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/utf8.h"

/* ---- random schemas ---- */

uint32_t schema_random_below(struct schema_random *r, uint32_t n) {
    r->state = r->state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)((r->state >> 33) % n);
}

static bool chance(struct schema_random *r, uint32_t percent) {
    return schema_random_below(r, 100) < percent;
}

static json_t *make(struct schema_random *r, int depth);

static const char *const names[] = {"a",     "b", "ab", "abc", "name", "name2", "na\"me",
                                    "n\\o",  "ä", "äö", "😀",   "x y",  "type",  "kind",
                                    "value", "",  "é",  "\n",  "zz",   "next",  "items"};
#define NAMES (sizeof names / sizeof names[0])

static json_t *scalar(struct schema_random *r) {
    switch (schema_random_below(r, 7)) {
    case 0:
        return json_integer((json_int_t)schema_random_below(r, 2000) - 1000);
    case 1:
        return json_real((schema_random_below(r, 2000) - 1000.0) / 8);
    case 2:
        return json_boolean(chance(r, 50));
    case 3:
        return json_null();
    case 4:
        return json_real(0.1 * schema_random_below(r, 40));
    default:
        return json_string(names[schema_random_below(r, NAMES)]);
    }
}

static json_t *literal(struct schema_random *r) {
    json_t *v = scalar(r);
    if (chance(r, 8)) {
        json_t *o = json_object();
        json_object_set_new(o, names[schema_random_below(r, NAMES)], v);
        json_object_set_new(o, "l", json_pack("[i,b]", 3, 1));
        return o;
    }
    return v;
}

static json_t *enumeration(struct schema_random *r) {
    json_t *s = json_object();
    if (chance(r, 30)) {
        json_object_set_new(s, "const", literal(r));
        return s;
    }
    json_t *list = json_array();
    for (uint32_t n = 1 + schema_random_below(r, 6); n > 0; n--)
        json_array_append_new(list, literal(r));
    json_object_set_new(s, "enum", list);
    return s;
}

static json_t *string(struct schema_random *r) {
    json_t *s = json_pack("{s:s}", "type", "string");
    uint32_t least = schema_random_below(r, 5);
    if (chance(r, 30))
        json_object_set_new(s, "minLength", json_integer(least));
    if (chance(r, 40))
        json_object_set_new(s, "maxLength", json_integer(least + schema_random_below(r, 12)));
    if (chance(r, 10))
        json_object_set_new(s, "format", json_string("email"));
    return s;
}

static json_t *number(struct schema_random *r) {
    static const double bounds[] = {-1e9, -100, -7.25, -1,  -0.001, 0,
                                    0.1,  0.5,  1,     3.3, 99,     12345.6};
    json_t *s = json_pack("{s:s}", "type", chance(r, 50) ? "integer" : "number");
    uint32_t a = schema_random_below(r, 12);
    if (chance(r, 40))
        json_object_set_new(s, chance(r, 70) ? "minimum" : "exclusiveMinimum",
                            json_real(bounds[a]));
    a += schema_random_below(r, 12 - a);
    if (chance(r, 40))
        json_object_set_new(s, chance(r, 70) ? "maximum" : "exclusiveMaximum",
                            json_real(bounds[a]));
    return s;
}

static json_t *object(struct schema_random *r, int depth) {
    json_t *s = json_pack("{s:s}", "type", "object"), *properties = json_object();
    json_t *required = json_array();
    for (uint32_t n = schema_random_below(r, 5); n > 0; n--) {
        const char *name = names[schema_random_below(r, NAMES)];
        if (json_object_get(properties, name) != NULL)
            continue;
        json_object_set_new(properties, name, make(r, depth + 1));
        if (chance(r, 60))
            json_array_append_new(required, json_string(name));
    }
    if (chance(r, 10))
        json_array_append_new(required, json_string("extra"));
    if (json_object_size(properties) > 0 || chance(r, 50))
        json_object_set(s, "properties", properties);
    if (json_array_size(required) > 0)
        json_object_set(s, "required", required);
    if (chance(r, 30))
        json_object_set_new(s, "additionalProperties", json_false());
    else if (chance(r, 40))
        json_object_set_new(s, "additionalProperties",
                            chance(r, 40) ? json_true() : make(r, depth + 1));
    if (chance(r, 10))
        json_object_del(s, "type");
    json_decref(properties);
    json_decref(required);
    return s;
}

static json_t *array(struct schema_random *r, int depth) {
    json_t *s = json_pack("{s:s}", "type", "array");
    uint32_t least = schema_random_below(r, 4);
    if (chance(r, 85))
        json_object_set_new(s, "items", make(r, depth + 1));
    if (chance(r, 20)) {
        json_t *list = json_array();
        for (uint32_t n = 1 + schema_random_below(r, 3); n > 0; n--)
            json_array_append_new(list, make(r, depth + 1));
        json_object_set_new(s, "prefixItems", list);
    }
    if (chance(r, 40))
        json_object_set_new(s, "minItems", json_integer(least));
    if (chance(r, 50))
        json_object_set_new(s, "maxItems", json_integer(least + schema_random_below(r, 4)));
    return s;
}

static json_t *combination(struct schema_random *r, int depth) {
    const char *key = chance(r, 60) ? "anyOf" : chance(r, 70) ? "oneOf" : "allOf";
    json_t *s = json_object(), *list = json_array();
    uint32_t n = strcmp(key, "allOf") == 0 ? 1 : 1 + schema_random_below(r, 4);
    while (n-- > 0)
        json_array_append_new(list, make(r, depth + 1));
    json_object_set_new(s, key, list);
    json_object_set_new(s, "description", json_string("one of several"));
    return s;
}

static json_t *types(struct schema_random *r) {
    static const char *const all[] = {"string", "number", "integer", "boolean",
                                      "null",   "object", "array"};
    json_t *s = json_object(), *list = json_array();
    for (uint32_t n = 1 + schema_random_below(r, 3); n > 0; n--)
        json_array_append_new(list, json_string(all[schema_random_below(r, 7)]));
    json_object_set_new(s, "type", list);
    return s;
}

/* A tagged union: what oneOf is for. */
static json_t *tagged(struct schema_random *r, int depth) {
    json_t *list = json_array(), *s = json_object();
    for (uint32_t i = 0, n = 2 + schema_random_below(r, 3); i < n; i++) {
        char tag[8];
        (void)snprintf(tag, sizeof tag, "t%u", i);
        json_array_append_new(list, json_pack("{s:s,s:{s:o,s:{s:s}},s:[s,s]}", "type", "object",
                                              "properties", "value", make(r, depth + 1), "kind",
                                              "const", tag, "required", "kind", "value"));
    }
    json_object_set_new(s, "oneOf", list);
    return s;
}

static json_t *make(struct schema_random *r, int depth) {
    if (r->budget-- <= 0 || depth > 5)
        return chance(r, 50) ? json_pack("{s:s}", "type", "boolean") : string(r);
    switch (schema_random_below(r, 16)) {
    case 0:
    case 1:
        return string(r);
    case 2:
    case 3:
        return number(r);
    case 4:
        return enumeration(r);
    case 5:
        return types(r);
    case 6:
    case 7:
    case 8:
        return array(r, depth);
    case 9:
    case 10:
        return combination(r, depth);
    case 11:
        return tagged(r, depth);
    case 12:
        return json_pack("{s:s}", "$ref", chance(r, 50) ? "#" : "#/$defs/part");
    case 13:
        return chance(r, 30) ? json_true() : json_object();
    default:
        return object(r, depth);
    }
}

json_t *schema_random_make(struct schema_random *r) {
    r->budget = 24;
    json_t *s = chance(r, 60) ? object(r, 0) : make(r, 0);
    json_t *part = make(r, 2);
    if (!json_is_object(s)) {
        json_decref(s);
        s = json_object();
    }
    json_object_set_new(s, "$defs", json_pack("{s:o}", "part", part));
    return s;
}

/* ---- the validator ---- */

static bool same(const json_t *a, const json_t *b) {
    if (json_is_number(a) && json_is_number(b))
        return json_number_value(a) == json_number_value(b);
    if (json_typeof(a) != json_typeof(b))
        return false;
    if (json_is_array(a)) {
        bool equal = json_array_size(a) == json_array_size(b);
        for (size_t i = 0; equal && i < json_array_size(a); i++)
            equal = same(json_array_get(a, i), json_array_get(b, i));
        return equal;
    }
    if (json_is_object(a)) {
        bool equal = json_object_size(a) == json_object_size(b);
        const char *key;
        json_t *value;
        json_object_foreach((json_t *)(uintptr_t)a, key, value) equal =
            equal && json_object_get(b, key) != NULL && same(value, json_object_get(b, key));
        return equal;
    }
    return json_equal(a, b) != 0;
}

static bool is_type(const json_t *v, const char *type) {
    if (strcmp(type, "integer") == 0)
        return json_is_number(v) && floor(json_number_value(v)) == json_number_value(v);
    return strcmp(type, json_is_string(v)    ? "string"
                        : json_is_number(v)  ? "number"
                        : json_is_boolean(v) ? "boolean"
                        : json_is_null(v)    ? "null"
                        : json_is_object(v)  ? "object"
                                             : "array") == 0;
}

static bool type_fits(const json_t *type, const json_t *v) {
    if (json_is_string(type))
        return is_type(v, json_string_value(type));
    for (size_t i = 0; i < json_array_size(type); i++)
        if (is_type(v, json_string_value(json_array_get(type, i))))
            return true;
    return type == NULL;
}

static double at(const json_t *schema, const char *key, double otherwise) {
    const json_t *v = json_object_get(schema, key);
    return v != NULL ? json_number_value(v) : otherwise;
}

static bool scalar_fits(const json_t *s, const json_t *v) {
    const double inf = (double)INFINITY;
    if (json_is_string(v)) {
        double n = 0;
        for (const char *c = json_string_value(v); *c != '\0'; c++)
            n += ((unsigned char)*c & 0xc0) != 0x80;
        return n >= at(s, "minLength", 0) && n <= at(s, "maxLength", inf);
    }
    if (!json_is_number(v))
        return true;
    double d = json_number_value(v);
    return d >= at(s, "minimum", -inf) && d <= at(s, "maximum", inf) &&
           d > at(s, "exclusiveMinimum", -inf) && d < at(s, "exclusiveMaximum", inf);
}

static bool array_fits(const json_t *root, const json_t *s, const json_t *v) {
    const json_t *first = json_object_get(s, "prefixItems"), *items = json_object_get(s, "items");
    double n = (double)json_array_size(v);
    bool fits = n >= at(s, "minItems", 0) && n <= at(s, "maxItems", (double)INFINITY);
    for (size_t i = 0; fits && i < json_array_size(v); i++) {
        const json_t *own = i < json_array_size(first) ? json_array_get(first, i) : items;
        fits = own == NULL || schema_fits(root, own, json_array_get(v, i));
    }
    return fits;
}

static bool object_fits(const json_t *root, const json_t *s, const json_t *v) {
    const json_t *required = json_object_get(s, "required");
    const json_t *properties = json_object_get(s, "properties");
    const json_t *more = json_object_get(s, "additionalProperties");
    const char *key;
    json_t *value;
    for (size_t i = 0; i < json_array_size(required); i++)
        if (json_object_get(v, json_string_value(json_array_get(required, i))) == NULL)
            return false;
    json_object_foreach((json_t *)(uintptr_t)v, key, value) {
        const json_t *own = json_object_get(properties, key);
        own = own != NULL ? own : more;
        if (own != NULL && !schema_fits(root, own, value))
            return false;
    }
    return true;
}

static const json_t *target(const json_t *root, const char *pointer) {
    return strcmp(pointer, "#") == 0
               ? root
               : json_object_get(json_object_get(root, "$defs"), strrchr(pointer, '/') + 1);
}

static size_t count_fits(const json_t *root, const json_t *list, const json_t *v) {
    size_t n = 0;
    for (size_t i = 0; i < json_array_size(list); i++)
        n += schema_fits(root, json_array_get(list, i), v);
    return n;
}

bool schema_fits(const json_t *root, const json_t *s, const json_t *v) {
    if (json_is_boolean(s))
        return json_is_true(s);
    const json_t *list = json_object_get(s, "enum"), *one = json_object_get(s, "const");
    bool fits = type_fits(json_object_get(s, "type"), v) && scalar_fits(s, v);
    fits = fits && (one == NULL || same(one, v));
    bool listed = list == NULL;
    for (size_t i = 0; i < json_array_size(list); i++)
        listed |= same(json_array_get(list, i), v);
    fits = fits && listed;
    if (json_is_array(v))
        fits = fits && array_fits(root, s, v);
    if (json_is_object(v))
        fits = fits && object_fits(root, s, v);
    const json_t *ref = json_object_get(s, "$ref"), *any = json_object_get(s, "anyOf");
    const json_t *only = json_object_get(s, "oneOf"), *all = json_object_get(s, "allOf");
    if (ref != NULL)
        fits = fits && schema_fits(root, target(root, json_string_value(ref)), v);
    fits = fits && (any == NULL || count_fits(root, any, v) > 0);
    fits = fits && (only == NULL || count_fits(root, only, v) == 1);
    return fits && (all == NULL || count_fits(root, all, v) == json_array_size(all));
}

void schema_check(const json_t *schema, const char *text, size_t size) {
    json_error_t why;
    json_t *v = json_loadb(text, size, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &why);
    bool parsed = v != NULL && utf8_valid((const uint8_t *)text, size);
    bool fits = parsed && schema_fits(schema, schema, v);
    json_decref(v);
    if (fits)
        return;
    char *shown = json_dumps(schema, JSON_COMPACT | JSON_ENCODE_ANY);
    fail_msg("%s: '%.*s' for %s", parsed ? "does not fit" : why.text, (int)size, text, shown);
    free(shown);
}
