/* json_schema_test.c - what of JSON Schema is compiled, and what is refused by its name and place.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/schema_check.h"
#include "worker/engine/json_schema.h"

void *__real_malloc(size_t size);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *p, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *p, size_t size);

static long allowed = -1; /* allocations that still succeed; negative: all */

static bool fails(void) {
    if (allowed == 0)
        return true;
    allowed -= allowed > 0;
    return false;
}
void *__wrap_malloc(size_t size) {
    return fails() ? NULL : __real_malloc(size);
}
void *__wrap_calloc(size_t n, size_t size) {
    return fails() ? NULL : __real_calloc(n, size);
}
void *__wrap_realloc(void *p, size_t size) {
    return fails() ? NULL : __real_realloc(p, size);
}

static int open_text(const char *text, size_t size, struct json_schema **s, struct error *e) {
    return json_schema_open(s, (struct bytes){(const uint8_t *)text, size}, e);
}

static void least_is(const char *text, uint32_t least) {
    struct json_schema *s;
    struct error e;
    if (open_text(text, strlen(text), &s, &e) != 0)
        fail_msg("%s: %s", text, e.text);
    if (s->least != least)
        fail_msg("%s: %u", text, s->least);
    json_schema_close(s);
}

static void refused(const char *text, const char *place, const char *what) {
    struct json_schema *s;
    struct error e;
    assert_int_equal(open_text(text, strlen(text), &s, &e), ERR_BAD_REQUEST);
    assert_null(s);
    if (strstr(e.text, place) == NULL || strstr(e.text, what) == NULL)
        fail_msg("%s", e.text);
}

static void test_the_shortest_answer_is_known(void **state) {
    (void)state;
    least_is("{}", 1); /* 0 */
    least_is("true", 1);
    least_is("{\"type\":\"string\"}", 2);
    least_is("{\"type\":\"string\",\"minLength\":5}", 7);
    least_is("{\"type\":\"integer\",\"minimum\":100}", 3);
    least_is("{\"type\":\"integer\",\"maximum\":-100}", 4);
    least_is("{\"type\":\"number\",\"minimum\":0.25,\"maximum\":0.3}", 3); /* 0.3 */
    least_is("{\"type\":\"boolean\"}", 4);
    least_is("{\"enum\":[\"long\",\"a\"]}", 3);
    least_is("{\"const\":{\"a\":[1,2]}}", 11);
    least_is("{\"type\":\"array\",\"items\":{\"type\":\"null\"},\"minItems\":3}", 16);
    least_is("{\"type\":\"array\",\"prefixItems\":[{\"const\":1},{\"const\":23}],\"minItems\":3,"
             "\"items\":{\"const\":456}}",
             10);
    least_is("{\"type\":\"object\"}", 2);
    least_is("{\"type\":\"object\",\"properties\":{\"a\":{\"const\":1},\"b\":{\"const\":2},\"c\":{"
             "\"const\":3}},\"required\":[\"a\",\"c\"]}",
             13);
    least_is("{\"type\":\"object\",\"required\":[\"x\"]}", 7);
    least_is("{\"anyOf\":[{\"type\":\"boolean\"},{\"type\":\"array\"}]}", 2);
    least_is("{\"type\":[\"boolean\",\"null\",\"integer\"]}", 1);
}

static void test_a_recursive_schema_ends(void **state) {
    (void)state;
    least_is("{\"type\":\"object\",\"properties\":{\"v\":{\"type\":\"null\"},\"next\":{\"anyOf\":[{"
             "\"$ref\":\"#\"},{\"type\":\"null\"}]}},\"required\":[\"v\",\"next\"]}",
             22);
    least_is("{\"$defs\":{\"t\":{\"type\":\"array\",\"items\":{\"$ref\":\"#/$defs/t\"}}},\"$ref\":"
             "\"#/$defs/t\"}",
             2);
    refused("{\"type\":\"object\",\"properties\":{\"n\":{\"$ref\":\"#\"}},\"required\":[\"n\"]}",
            "", "no answer");
    refused("{\"$ref\":\"#\"}", "", "back to itself");
    refused("{\"anyOf\":[{\"type\":\"null\"},{\"$ref\":\"#\"}]}", "", "back to itself");
}

static void test_notes_say_nothing(void **state) {
    (void)state;
    least_is(
        "{\"$schema\":\"https://json-schema.org/draft/2020-12/schema\",\"title\":\"T\","
        "\"description\":\"d\",\"default\":7,\"examples\":[1],\"type\":\"string\",\"format\":"
        "\"email\",\"minimum\":9,\"uniqueItems\":false,\"propertyNames\":{\"type\":\"string\"}}",
        2);
}

static void test_unknown_keywords_are_refused_by_name_and_place(void **state) {
    (void)state;
    refused("{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"array\",\"items\":{\"type\":"
            "\"string\",\"pattern\":\"x\"}}}}",
            "/properties/a/items", "'pattern'");
    refused("{\"not\":{}}", "its top", "'not'");
    refused("{\"anyOf\":[{},{\"multipleOf\":2}]}", "/anyOf/1", "'multipleOf'");
    refused("{\"$defs\":{\"a\":{\"if\":{}}},\"$ref\":\"#/$defs/a\"}", "/$defs/a", "'if'");
    refused("{\"type\":\"array\",\"uniqueItems\":true}", "its top", "'uniqueItems'");
    refused("{\"type\":\"object\",\"propertyNames\":{\"maxLength\":2}}", "", "'propertyNames'");
    refused("{\"type\":\"object\",\"patternProperties\":{}}", "its top", "'patternProperties'");
    refused("{\"type\":\"array\",\"items\":[{}]}", "/items", "an object, true or false");
}

static void test_keywords_of_a_wrong_form_are_refused(void **state) {
    (void)state;
    refused("{\"type\":\"strin\"}", "its top", "'type'");
    refused("{\"type\":[]}", "its top", "'type'");
    refused("{\"type\":[1]}", "its top", "'type'");
    refused("{\"enum\":[]}", "its top", "'enum'");
    refused("{\"enum\":[1],\"type\":\"string\"}", "its top", "of the type");
    refused("{\"type\":\"string\",\"minLength\":-1}", "its top", "'minLength'");
    refused("{\"type\":\"string\",\"minLength\":3,\"maxLength\":2}", "its top", "'minLength'");
    refused("{\"type\":\"array\",\"minItems\":1.5}", "its top", "'minItems'");
    refused("{\"type\":\"array\",\"minItems\":3,\"prefixItems\":[{}],\"items\":false}", "its top",
            "'minItems'");
    refused("{\"type\":\"integer\",\"minimum\":2,\"maximum\":1}", "its top", "bounds");
    refused("{\"type\":\"integer\",\"minimum\":0.25,\"maximum\":0.75}", "its top", "bounds");
    refused("{\"type\":\"integer\",\"minimum\":1e300}", "its top", "bounds");
    refused("{\"type\":\"object\",\"required\":[1]}", "its top", "'required'");
    refused("{\"type\":\"object\",\"required\":[\"a\"],\"additionalProperties\":false}", "its top",
            "'a'");
    refused("{\"type\":\"object\",\"required\":[\"a\",\"a\"]}", "its top", "twice");
    refused("{\"$ref\":\"http://x/y\"}", "its top", "'$ref'");
    refused("{\"$ref\":\"#/$defs/x\"}", "its top", "#/$defs/x");
    refused("{\"anyOf\":[]}", "its top", "'anyOf'");
    refused("{\"allOf\":[{},{}]}", "its top", "'allOf'");
    refused("{\"type\":\"string\",\"anyOf\":[{}]}", "its top", "'anyOf'");
    refused("[]", "its top", "an object");
    refused("{", "", "not JSON");
    refused("{\"type\":\"null\",\"type\":\"null\"}", "", "not JSON");
    refused("false", "its top", "no answer");
    refused("", "", "not JSON");
}

static void test_one_of_must_be_clear(void **state) {
    (void)state;
    least_is("{\"oneOf\":[{\"type\":\"string\"},{\"type\":\"integer\"}]}", 1);
    least_is("{\"oneOf\":[{\"const\":\"a\"},{\"const\":\"b\"}]}", 3);
    least_is(
        "{\"oneOf\":[{\"type\":\"object\",\"properties\":{\"k\":{\"const\":\"a\"}},\"required\":"
        "[\"k\"]},{\"type\":\"object\",\"properties\":{\"k\":{\"enum\":[\"b\",\"c\"]}},"
        "\"required\":[\"k\"]}]}",
        9);
    least_is("{\"oneOf\":[{\"const\":10},{\"enum\":[2,30]}]}", 1);
    refused("{\"oneOf\":[{\"const\":10},{\"enum\":[2,10]}]}", "its top", "'oneOf'");
    refused("{\"oneOf\":[{\"type\":\"number\"},{\"type\":\"integer\"}]}", "its top", "0 and 1");
    refused("{\"oneOf\":[{\"const\":1},{\"const\":1.0}]}", "its top", "'oneOf'");
    refused("{\"oneOf\":[{\"type\":\"string\"},{\"properties\":{\"a\":{}}}]}", "its top",
            "'oneOf'");
    refused("{\"properties\":{\"p\":{\"oneOf\":[{\"type\":\"object\",\"properties\":{\"k\":{"
            "\"const\":\"a\"}}},{\"type\":\"object\",\"properties\":{\"k\":{\"const\":\"b\"}},"
            "\"required\":[\"k\"]}]}}}",
            "/properties/p", "'oneOf'");
}

/* ---- bounds ---- */

/* Parts are before, their number, after. */
static char *repeated(const char *begin, const char *before, int n, const char *after,
                      const char *end) {
    size_t each = strlen(before) + strlen(after) + 16;
    size_t room = strlen(begin) + each * (size_t)n + strlen(end) + 1, at;
    char *text = malloc(room);
    assert_non_null(text);
    at = (size_t)snprintf(text, room, "%s", begin);
    for (int i = 0; i < n; i++)
        at +=
            (size_t)snprintf(text + at, room - at, "%s%s%d%s", i > 0 ? "," : "", before, i, after);
    (void)snprintf(text + at, room - at, "%s", end);
    return text;
}

static void test_every_size_is_bounded(void **state) {
    (void)state;
    char *many = repeated("{\"type\":\"object\",\"properties\":{", "\"p", 513, "\":{}", "}}");
    refused(many, "", "512 properties");
    free(many);
    many = repeated("{\"enum\":[", "", 1025, "", "]}");
    refused(many, "", "1024");
    free(many);
    many = repeated("{\"anyOf\":[", "{\"const\":", 65, "}", "]}");
    refused(many, "", "64");
    free(many);
    many = repeated("{\"anyOf\":[", "{\"type\":\"string\",\"minLength\":", 17, "}", "]}");
    refused(many, "", "same byte");
    free(many);
    char deep[2048] = "";
    for (int i = 0; i < 140; i++)
        strcat(deep, "{\"items\":");
    strcat(deep, "{}");
    for (int i = 0; i < 140; i++)
        strcat(deep, "}");
    refused(deep, "/items/items", "deep");
    refused(
        "{\"type\":\"array\",\"minItems\":9000,\"items\":{\"type\":\"string\",\"minLength\":9000}}",
        "its top", "no answer");
}

/* ---- anything may come ---- */

static void test_damaged_schemas_never_do_harm(void **state) {
    (void)state;
    struct schema_random r = {.state = 5};
    for (int i = 0; i < 4000; i++) {
        json_t *schema = schema_random_make(&r);
        char *text = json_dumps(schema, JSON_COMPACT);
        size_t size = strlen(text);
        for (uint32_t n = 1 + schema_random_below(&r, 3); n > 0; n--) {
            uint32_t at = schema_random_below(&r, (uint32_t)size);
            if (schema_random_below(&r, 2) == 0)
                text[at] = "\"{}[],:01$#/ aez\\"[schema_random_below(&r, 17)];
            else
                memmove(text + at, text + size / 2, size - size / 2 > at ? 0 : size - at - 1);
        }
        if (schema_random_below(&r, 10) == 0)
            size = schema_random_below(&r, (uint32_t)size);
        struct json_schema *s;
        struct error e;
        int rc = open_text(text, size, &s, &e);
        assert_true(rc == 0 || rc == ERR_BAD_REQUEST);
        assert_true((rc == 0) == (s != NULL));
        json_schema_close(s);
        free(text);
        json_decref(schema);
    }
}

static void test_without_memory_nothing_is_lost(void **state) {
    (void)state;
    const char *text =
        "{\"$defs\":{\"t\":{\"enum\":[1,0.5,\"a\"]}},\"type\":\"object\","
        "\"properties\":{\"a\":{\"oneOf\":[{\"$ref\":\"#/$defs/t\"},{\"type\":"
        "\"object\"}]},\"b\":{\"type\":\"array\",\"items\":{}}},\"required\":[\"a\"]}";
    json_set_alloc_funcs(__wrap_malloc, free);
    for (long n = 0;; n++) {
        struct json_schema *s;
        struct error e;
        allowed = n;
        int rc = open_text(text, strlen(text), &s, &e);
        allowed = -1;
        json_schema_close(s);
        if (rc == 0) {
            assert_true(n > 20);
            break;
        }
        /* jansson takes a lack of memory for a mistake in the text now and then. */
        if (rc != ERR_NOMEM && strstr(e.text, "not JSON") == NULL)
            fail_msg("%ld: %s", n, e.text);
    }
    json_set_alloc_funcs(malloc, free);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_shortest_answer_is_known),
        cmocka_unit_test(test_a_recursive_schema_ends),
        cmocka_unit_test(test_notes_say_nothing),
        cmocka_unit_test(test_unknown_keywords_are_refused_by_name_and_place),
        cmocka_unit_test(test_keywords_of_a_wrong_form_are_refused),
        cmocka_unit_test(test_one_of_must_be_clear),
        cmocka_unit_test(test_every_size_is_bounded),
        cmocka_unit_test(test_without_memory_nothing_is_lost),
        cmocka_unit_test(test_damaged_schemas_never_do_harm),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
