/* json_machine_test.c - whatever bytes a machine takes, the answer parses and fits its schema, and
 * it is complete in as many bytes as the machine said. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/schema_check.h"
#include "worker/engine/json_machine.h"

#define ROOM (JSON_SETTLED_FRAMES + JSON_BYTE_FRAMES)
#define TEXT_MAX 2000

static struct bytes bytes_of(const char *s) {
    return (struct bytes){(const uint8_t *)s, strlen(s)};
}

static struct json_schema *compile(const char *text) {
    struct json_schema *s;
    struct error e;
    if (json_schema_open(&s, bytes_of(text), &e) != 0)
        fail_msg("%s", e.text);
    return s;
}

/* How far the machine takes a text; SIZE_MAX: all, and it may end there. */
static size_t taken(const char *schema, const char *text) {
    struct json_schema *s = compile(schema);
    struct json_machine m;
    assert_int_equal(json_machine_open(&m, ROOM, NULL), 0);
    json_machine_begin(&m, s, false);
    size_t i = 0;
    while (text[i] != '\0' && json_machine_step(&m, (uint8_t)text[i])) {
        json_machine_settle(&m);
        i++;
    }
    bool ends = text[i] == '\0' && json_machine_need(&m) == 0;
    json_machine_close(&m);
    json_schema_close(s);
    return ends ? SIZE_MAX : i;
}

static void takes(const char *schema, const char *text) {
    size_t n = taken(schema, text);
    if (n != SIZE_MAX)
        fail_msg("%s: '%s' is taken only to %zu", schema, text, n);
}

static void refuses(const char *schema, const char *text, size_t at) {
    size_t n = taken(schema, text);
    if (n != at)
        fail_msg("%s: '%s' is taken to %zd, not to %zu", schema, text, (ssize_t)n, at);
}

/* ---- scalars ---- */

static void test_strings_are_whole_characters_without_control_characters(void **state) {
    (void)state;
    const char *s = "{\"type\":\"string\"}";
    takes(s, "\"\"");
    takes(s, "\"a\xc3\xa4\xf0\x9f\x98\x80\\n\\\"\\/\\u00e4\\ud83d\\uDE00\"");
    refuses(s, "\"\n\"", 1);
    refuses(s, "\"\xc3\"", 2);
    refuses(s, "\"\xff", 1);
    refuses(s, "\"\xed\xa0", 2); /* a surrogate */
    refuses(s, "\"\xf4\x90", 2); /* above U+10FFFF */
    refuses(s, "\"\\x", 2);
    refuses(s, "\"\\u0000", 6);
    refuses(s, "\"\\udc00", 4);
    refuses(s, "\"\\ud800\"", 7);
    refuses(s, "\"\\ud800\\u0041", 9);
}

static void test_lengths_count_characters(void **state) {
    (void)state;
    const char *s = "{\"type\":\"string\",\"minLength\":2,\"maxLength\":3}";
    takes(s, "\"ab\"");
    takes(s, "\"\xf0\x9f\x98\x80\\ud83d\\ude00\\n\"");
    refuses(s, "\"a\"", 2);
    refuses(s, "\"\xf0\x9f\x98\x80\"", 5);
    refuses(s, "\"abcd", 4);
}

static void test_numbers_keep_to_their_bounds(void **state) {
    (void)state;
    takes("{\"type\":\"number\"}", "-0.5e+10");
    takes("{\"type\":\"number\"}", "1E9");
    refuses("{\"type\":\"number\"}", "01", 1);
    refuses("{\"type\":\"number\"}", "1.e", 2);
    refuses("{\"type\":\"number\"}", "1e999", 4);
    refuses("{\"type\":\"integer\"}", "1.0", 1);
    refuses("{\"type\":\"integer\"}", "-0", 1);
    const char *teens = "{\"type\":\"integer\",\"minimum\":13,\"maximum\":19}";
    takes(teens, "13");
    takes(teens, "19");
    refuses(teens, "2", 0);
    refuses(teens, "12", 1);
    refuses(teens, "1", 1);
    refuses(teens, "-", 0);
    const char *below = "{\"type\":\"integer\",\"exclusiveMaximum\":-5}";
    takes(below, "-6");
    takes(below, "-10");
    refuses(below, "-5", 2);
    refuses(below, "1", 0);
    const char *share = "{\"type\":\"number\",\"minimum\":0,\"maximum\":1}";
    takes(share, "0");
    takes(share, "1.000");
    takes(share, "0.333333");
    refuses(share, "1.01", 3);
    refuses(share, "10", 1);
    refuses(share, "-", 0);
    refuses("{\"type\":\"number\",\"exclusiveMinimum\":0,\"maximum\":1}", "0", 1);
    takes("{\"type\":\"number\",\"exclusiveMinimum\":0,\"maximum\":1}", "0.01");
}

static void test_literals_are_taken_as_they_stand(void **state) {
    (void)state;
    const char *s = "{\"enum\":[\"a\",\"ab\",1,12,0.1,null,{\"k\":[1,2]}]}";
    takes(s, "\"a\"");
    takes(s, "\"ab\"");
    takes(s, "1");
    takes(s, "12");
    takes(s, "0.1");
    takes(s, "null");
    takes(s, "{\"k\":[1,2]}");
    refuses(s, "\"abc", 3);
    refuses(s, "2", 0);
    takes("{\"type\":[\"boolean\",\"null\"]}", "false");
    takes("{\"type\":\"array\",\"items\":{\"enum\":[1,12]}}", "[1,12,1]");
}

/* ---- containers ---- */

static void test_members_come_in_the_schemas_order(void **state) {
    (void)state;
    const char *s = "{\"type\":\"object\",\"properties\":{\"b\":{\"const\":1},\"a\":{\"const\":2},"
                    "\"c\":{\"const\":3}},\"required\":[\"a\"]}";
    takes(s, "{\"a\":2}");
    takes(s, "{\"b\": 1, \"a\": 2, \"c\": 3}");
    takes(s, "{\"b\":1,\"a\":2}");
    refuses(s, "{}", 1);
    refuses(s, "{\"c\"", 2);
    refuses(s, "{\"b\":1}", 6);
    refuses(s, "{\"a\":2,\"b\"", 8);
    refuses(s, "{\"a\":2,}", 7);
    refuses(s, "{ \"a\"", 1);
    refuses(s, "{\"a\":  2", 6);
    refuses(s, "{\"a\":2 ", 6);
}

static void test_names_that_no_property_has_come_once(void **state) {
    (void)state;
    const char *s = "{\"type\":\"object\",\"properties\":{\"a\":{\"const\":1}},"
                    "\"additionalProperties\":{\"type\":\"boolean\"}}";
    takes(s, "{\"a\":1,\"b\":true,\"c\":false}");
    takes(s, "{\"\xc3\xa4\":true}");
    refuses(s, "{\"b\":true,\"a\":1", 12); /* declared ones come first, and keep their schema */
    refuses(s, "{\"b\":true,\"b\":", 12);
    refuses(s, "{\"\":", 2);
    refuses(s, "{\"\\u0062", 2);
    takes("{\"type\":\"object\"}", "{\"a\":{\"a\":{\"b\":[1,{}]}},\"b\":\"\"}");
    refuses("{\"type\":\"object\",\"additionalProperties\":false}", "{\"", 1);
}

static void test_keys_that_no_property_has_are_short(void **state) {
    (void)state;
    char text[200] = "{\"";
    memset(text + 2, 'k', JSON_FREE_KEY_BYTES - 1);
    strcat(text, "\":1}");
    takes("{\"type\":\"object\"}", text);
    memset(text + 2, 'k', JSON_FREE_KEY_BYTES + 2);
    refuses("{\"type\":\"object\"}", text, 2 + JSON_FREE_KEY_BYTES - 1);
    /* The same once more would be taken: it gets one byte more. */
    memset(text + 2, 'k', JSON_FREE_KEY_BYTES - 1);
    strcpy(text + 1 + JSON_FREE_KEY_BYTES, "\":1,\"");
    size_t n = strlen(text);
    memset(text + n, 'k', JSON_FREE_KEY_BYTES);
    strcpy(text + n + JSON_FREE_KEY_BYTES, "\":2}");
    takes("{\"type\":\"object\"}", text);
}

static void test_items_are_counted(void **state) {
    (void)state;
    const char *s = "{\"type\":\"array\",\"prefixItems\":[{\"const\":1}],\"items\":{\"const\":2},"
                    "\"minItems\":2,\"maxItems\":3}";
    takes(s, "[1,2]");
    takes(s, "[1, 2, 2]");
    refuses(s, "[1]", 2);
    refuses(s, "[2", 1);
    refuses(s, "[1,2,2,", 6);
    takes("{\"type\":\"array\",\"prefixItems\":[{\"const\":1}],\"items\":false}", "[1]");
    refuses("{\"type\":\"array\",\"prefixItems\":[{\"const\":1}],\"items\":false}", "[1,", 2);
}

static void test_alternatives_that_begin_alike_are_followed_together(void **state) {
    (void)state;
    const char *s =
        "{\"anyOf\":[{\"type\":\"object\",\"properties\":{\"x\":{\"type\":\"string\"},\"k\":{"
        "\"const\":1}},\"required\":[\"x\",\"k\"]},{\"type\":\"object\",\"properties\":{\"x\":{"
        "\"type\":[\"string\",\"null\"]},\"k\":{\"const\":2}},\"required\":[\"x\",\"k\"]}]}";
    takes(s, "{\"x\":\"hi\",\"k\":1}");
    takes(s, "{\"x\":\"hi\",\"k\":2}");
    takes(s, "{\"x\":null,\"k\":2}");
    refuses(s, "{\"x\":null,\"k\":1", 14);
}

static void test_nesting_ends(void **state) {
    (void)state;
    char deep[200] = "";
    const char *s = "{\"$defs\":{\"t\":{\"type\":\"array\",\"items\":{\"$ref\":\"#/$defs/t\"}}},"
                    "\"$ref\":\"#/$defs/t\"}";
    memset(deep, '[', JSON_DEPTH);
    memset(deep + JSON_DEPTH, ']', JSON_DEPTH);
    takes(s, deep);
    memset(deep, '[', JSON_DEPTH + 1);
    refuses(s, deep, JSON_DEPTH);
    refuses("{}", "[[[[[[[", JSON_FREE_DEPTH);
}

static void test_one_space_may_lead(void **state) {
    (void)state;
    struct json_schema *s = compile("{\"const\":true}");
    struct json_machine m;
    assert_int_equal(json_machine_open(&m, ROOM, NULL), 0);
    json_machine_begin(&m, s, true);
    struct json_mark begin = m.now;
    assert_int_equal(json_machine_need(&m), 4);
    assert_true(json_machine_step(&m, ' '));
    assert_false(json_machine_step(&m, ' '));
    json_machine_back(&m, &begin);
    assert_true(json_machine_step(&m, 't'));
    json_machine_close(&m);
    json_schema_close(s);
}

/* ---- the heart: random schemas, random ways ---- */

struct way {
    char text[TEXT_MAX];
    size_t size;
};

/* Bytes that the machine takes now with which an answer can still end in `left` bytes more. */
static size_t choices(struct json_machine *m, uint32_t left, uint8_t *out) {
    struct json_mark here = m->now;
    size_t n = 0;
    for (unsigned byte = 0; byte < 256; byte++) {
        json_machine_back(m, &here);
        if (json_machine_step(m, (uint8_t)byte) && json_machine_need(m) <= left)
            out[n++] = (uint8_t)byte;
    }
    json_machine_back(m, &here);
    return n;
}

/* Mostly structure: else most bytes are letters of strings. */
static uint8_t choose(struct schema_random *r, const uint8_t *bytes, size_t n) {
    for (int tries = 0; tries < 3; tries++) {
        uint8_t b = bytes[schema_random_below(r, (uint32_t)n)];
        if (strchr("\",:{}[]\\", b) != NULL || b < 'A')
            return b;
    }
    return bytes[schema_random_below(r, (uint32_t)n)];
}

static void wander(struct json_machine *m, struct schema_random *r, uint32_t room, struct way *w) {
    w->size = 0;
    while (!json_machine_complete(m)) {
        uint8_t bytes[256];
        uint32_t left = room - (uint32_t)w->size;
        if (json_machine_need(m) == 0 && (left == 0 || schema_random_below(r, 3) == 0))
            return;
        size_t n = left == 0 ? 0 : choices(m, left - 1, bytes);
        if (n == 0 && json_machine_need(m) == 0)
            return;
        if (n == 0)
            fail_msg("no way on after '%.*s' with %u left", (int)w->size, w->text, left);
        uint8_t byte = choose(r, bytes, n);
        assert_true(json_machine_step(m, byte));
        json_machine_settle(m);
        assert_true(m->now.n_frames <= JSON_SETTLED_FRAMES);
        w->text[w->size++] = (char)byte;
    }
}

/* Objects that differ in their last member, after strings that differ in their length. */
static json_t *alike(void) {
    json_t *objects = json_array();
    for (int i = 0; i < 12; i++) {
        json_t *strings = json_array();
        for (int k = 0; k < 12; k++)
            json_array_append_new(strings, json_pack("{s:s,s:i,s:i}", "type", "string", "minLength",
                                                     k, "maxLength", 40 - k - i));
        json_array_append_new(objects,
                              json_pack("{s:s,s:{s:{s:o},s:{s:[i]}},s:[s,s]}", "type", "object",
                                        "properties", "text", "anyOf", strings, "kind", "enum",
                                        i * 7, "required", "text", "kind"));
    }
    return json_pack("{s:o}", "anyOf", objects);
}

static void test_more_ways_than_can_be_followed_still_end(void **state) {
    (void)state;
    json_t *schema = alike();
    char *text = json_dumps(schema, JSON_COMPACT);
    struct schema_random r = {.state = 3};
    struct json_schema *s = compile(text);
    struct json_machine m;
    struct way *w = malloc(sizeof *w);
    bool full = false;
    assert_int_equal(json_machine_open(&m, ROOM, NULL), 0);
    for (const char *c = "{\"text\":\""; *c != '\0'; c++) {
        json_machine_begin(&m, s, false);
        for (const char *b = "{\"text\":\""; b <= c; b++)
            assert_true(json_machine_step(&m, (uint8_t)*b));
        full |= m.now.n_threads == JSON_THREADS;
    }
    assert_true(full);
    for (unsigned i = 0; i < 200; i++) {
        json_machine_begin(&m, s, false);
        wander(&m, &r, s->least + (i % 50), w);
        schema_check(schema, w->text, w->size);
    }
    json_machine_close(&m);
    json_schema_close(s);
    free(text);
    free(w);
    json_decref(schema);
}

#define SCHEMAS 3000
#define WAYS 4

static void test_random_ways_through_random_schemas_end_in_valid_answers(void **state) {
    (void)state;
    struct schema_random r = {.state = 2026};
    struct json_machine m;
    struct way *w = malloc(sizeof *w);
    unsigned compiled = 0;
    assert_int_equal(json_machine_open(&m, ROOM, NULL), 0);
    for (unsigned i = 0; i < SCHEMAS; i++) {
        json_t *schema = schema_random_make(&r);
        char *text = json_dumps(schema, JSON_COMPACT);
        struct json_schema *s;
        struct error e;
        int rc = json_schema_open(&s, bytes_of(text), &e);
        if (rc == 0) {
            compiled++;
            for (unsigned k = 0; k < WAYS && s->least < TEXT_MAX / 2; k++) {
                json_machine_begin(&m, s, false);
                uint32_t more = k == 0 ? 0 : schema_random_below(&r, 200); /* 0: the shortest */
                wander(&m, &r, s->least + more, w);
                schema_check(schema, w->text, w->size);
            }
        } else if (rc != ERR_BAD_REQUEST) {
            fail_msg("%s", e.text);
        }
        json_schema_close(s);
        free(text);
        json_decref(schema);
    }
    assert_true(compiled > SCHEMAS / 2);
    json_machine_close(&m);
    free(w);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_strings_are_whole_characters_without_control_characters),
        cmocka_unit_test(test_lengths_count_characters),
        cmocka_unit_test(test_numbers_keep_to_their_bounds),
        cmocka_unit_test(test_literals_are_taken_as_they_stand),
        cmocka_unit_test(test_members_come_in_the_schemas_order),
        cmocka_unit_test(test_names_that_no_property_has_come_once),
        cmocka_unit_test(test_keys_that_no_property_has_are_short),
        cmocka_unit_test(test_items_are_counted),
        cmocka_unit_test(test_alternatives_that_begin_alike_are_followed_together),
        cmocka_unit_test(test_nesting_ends),
        cmocka_unit_test(test_one_space_may_lead),
        cmocka_unit_test(test_more_ways_than_can_be_followed_still_end),
        cmocka_unit_test(test_random_ways_through_random_schemas_end_in_valid_answers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
