/* segments_golden_test.c - the chain beside tests/golden/segments, which another implementation
 * (client/examples/chain.py) made from SPEC.md alone. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <dirent.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/segments.h"

#define PARTS_MAX 32
#define MESSAGES_MAX 8
#define PICTURES_MAX 16
#define PICTURE_BYTES_MAX 1024
#define ANSWER_LINKS_MAX 4
#define FILES 6

static json_t *files[FILES];
static size_t n_cases;

/* ---- a case read ---- */

struct golden_case {
    const char *name;
    struct chain_root root;
    uint8_t fingerprint[16];
    struct request request; /* as it comes out of the wire */
    struct wire_buffer frame;
    struct bytes pictures[PICTURES_MAX];
    uint8_t bytes[PICTURES_MAX][PICTURE_BYTES_MAX];
    json_t *segments, *answer;
};

static struct bytes text_of(json_t *object, const char *key) {
    json_t *text = json_object_get(object, key);
    assert_true(json_is_string(text));
    return (struct bytes){(const uint8_t *)json_string_value(text), json_string_length(text)};
}

static size_t unhex(uint8_t *out, size_t capacity, const char *digits) {
    size_t n = strlen(digits) / 2;
    assert_true(n <= capacity);
    for (size_t i = 0; i < n; i++) {
        const char pair[3] = {digits[2 * i], digits[2 * i + 1], '\0'};
        out[i] = (uint8_t)strtoul(pair, NULL, 16);
    }
    return n;
}

static void read_part(struct request_part *out, json_t *part) {
    json_t *picture = json_object_get(part, "picture"), *detail = json_object_get(part, "detail");
    *out = (struct request_part){.kind = PART_TEXT};
    if (picture == NULL) {
        out->text = text_of(part, "text");
        return;
    }
    out->kind = PART_PICTURE;
    out->picture = (uint32_t)json_integer_value(picture);
    out->max_pixels = (uint32_t)json_integer_value(json_object_get(part, "max_pixels"));
    if (detail != NULL)
        out->detail = strcmp(json_string_value(detail), "low") == 0 ? DETAIL_LOW : DETAIL_HIGH;
}

static enum role role_of(const char *name) {
    return name[0] == 's'   ? ROLE_SYSTEM
           : name[0] == 'u' ? ROLE_USER
           : name[0] == 'r' ? ROLE_RAW
                            : ROLE_ASSISTANT;
}

static void read_request(struct golden_case *c, json_t *messages) {
    struct request_part parts[PARTS_MAX];
    struct request_message list[MESSAGES_MAX];
    struct request r;
    size_t i, k, n = 0, n_pictures = 0;
    json_t *message, *part;
    request_init(&r);
    r.messages = list;
    json_array_foreach(messages, i, message) {
        assert_true(i < MESSAGES_MAX);
        list[i] = (struct request_message){
            .role = role_of(json_string_value(json_object_get(message, "role"))),
            .parts = parts + n};
        json_array_foreach(json_object_get(message, "parts"), k, part) {
            assert_true(n < PARTS_MAX);
            read_part(&parts[n++], part);
        }
        list[i].n_parts = k;
        r.n_messages++;
    }
    while (n_pictures < PICTURES_MAX && c->pictures[n_pictures].size > 0)
        n_pictures++;
    struct error e = {0};
    assert_int_equal(request_encode(&r, &c->frame), 0);
    if (request_decode(&c->request, wire_bytes(&c->frame), n_pictures, &e) != 0)
        fail_msg("%s: %s", c->name, e.text);
}

static void open_case(struct golden_case *c, json_t *from) {
    json_t *root = json_object_get(from, "root"), *picture;
    size_t i;
    memset(c, 0, sizeof *c);
    c->name = json_string_value(json_object_get(from, "name"));
    assert_int_equal(unhex(c->fingerprint, 16, (const char *)text_of(root, "fingerprint").data),
                     16);
    c->root = (struct chain_root){
        .seed = strtoull((const char *)text_of(root, "seed").data, NULL, 16),
        .fingerprint = c->fingerprint,
        .template_id = text_of(root, "template"),
        .tenant = text_of(root, "tenant"),
    };
    json_array_foreach(json_object_get(from, "pictures"), i, picture) {
        assert_true(i < PICTURES_MAX);
        size_t size = unhex(c->bytes[i], PICTURE_BYTES_MAX, json_string_value(picture));
        c->pictures[i] = (struct bytes){c->bytes[i], size};
    }
    read_request(c, json_object_get(from, "messages"));
    c->segments = json_object_get(from, "segments");
    c->answer = json_object_get(from, "answer");
}

static void close_case(struct golden_case *c) {
    request_clear(&c->request);
    wire_buffer_clear(&c->frame);
}

static void for_each_case(void (*check)(struct golden_case *)) {
    json_t *from;
    size_t i;
    struct golden_case *c = malloc(sizeof *c);
    assert_non_null(c);
    for (size_t f = 0; f < FILES; f++)
        json_array_foreach(json_object_get(files[f], "cases"), i, from) {
            open_case(c, from);
            check(c);
            close_case(c);
        }
    free(c);
}

static struct chain chain_of(const struct golden_case *c) {
    struct chain chain;
    assert_int_equal(chain_make(&chain, &c->root, &c->request, c->pictures, NULL), 0);
    return chain;
}

static void assert_link(const char *name, size_t at, const struct link *got, const char *digits) {
    struct link expected;
    assert_int_equal(unhex(expected.bytes, LINK_BYTES, digits), LINK_BYTES);
    if (memcmp(got->bytes, expected.bytes, LINK_BYTES) != 0)
        fail_msg("%s: link %zu is not %s", name, at, digits);
}

/* ---- tests ---- */

static void check_chain(struct golden_case *c) {
    struct chain chain = chain_of(c);
    json_t *expected;
    size_t i;
    assert_int_equal(chain.count, json_array_size(c->segments));
    json_array_foreach(c->segments, i, expected) {
        const struct segment *s = &chain.segments[i];
        const char *kind = json_string_value(json_object_get(expected, "kind"));
        assert_int_equal(s->kind, strcmp(kind, "text") == 0 ? PART_TEXT : PART_PICTURE);
        assert_int_equal(s->first, json_is_true(json_object_get(expected, "first")));
        assert_link(c->name, i, &s->link, (const char *)text_of(expected, "link").data);
    }
    chain_clear(&chain);
}

static void test_every_link_is_the_reference_one(void **state) {
    (void)state;
    for_each_case(check_chain);
}

static void check_pictures(struct golden_case *c) {
    struct chain chain = chain_of(c);
    json_t *expected;
    size_t i;
    json_array_foreach(c->segments, i, expected) {
        const struct segment *s = &chain.segments[i];
        if (s->kind != PART_PICTURE)
            continue;
        const struct request_part *part = &c->request.messages[s->message].parts[s->part];
        struct link link = segments_picture_link(&c->root, part, c->pictures[part->picture]);
        assert_memory_equal(&link, &s->picture, sizeof link);
        assert_link(c->name, i, &link, (const char *)text_of(expected, "picture").data);
    }
    chain_clear(&chain);
}

static void test_every_picture_link_is_the_reference_one(void **state) {
    (void)state;
    for_each_case(check_pictures);
}

static void check_answer(struct golden_case *c) {
    if (c->answer == NULL)
        return;
    struct chain chain = chain_of(c);
    struct link links[ANSWER_LINKS_MAX];
    json_t *expected = json_object_get(c->answer, "links");
    size_t n = chain_answer(c->root.seed, &chain.segments[chain.count - 1].link,
                            text_of(c->answer, "text"), links, ANSWER_LINKS_MAX);
    assert_int_equal(n, json_array_size(expected));
    for (size_t i = 0; i < n; i++)
        assert_link(c->name, i, &links[i], json_string_value(json_array_get(expected, i)));
    chain_clear(&chain);
}

static void test_an_answers_links_are_the_reference_ones(void **state) {
    (void)state;
    for_each_case(check_answer);
}

/* In answers.json each request is followed by the one of the next turn. */
static void test_the_next_turn_goes_on_from_the_answer(void **state) {
    (void)state;
    size_t i, k, pairs = 0;
    json_t *from, *link;
    for (size_t f = 0; f < FILES; f++) {
        json_t *cases = json_object_get(files[f], "cases");
        json_array_foreach(cases, i, from) {
            json_t *links = json_object_get(json_object_get(from, "answer"), "links");
            if (links == NULL)
                continue;
            json_t *next = json_object_get(json_array_get(cases, i + 1), "segments");
            size_t before = json_array_size(json_object_get(from, "segments"));
            json_array_foreach(links, k, link) {
                json_t *there = json_object_get(json_array_get(next, before + k), "link");
                assert_true(json_equal(link, there));
            }
            assert_int_equal(json_array_size(next), before + k + 1);
            pairs++;
        }
    }
    assert_int_equal(pairs, 6);
}

/* ---- the files ---- */

static bool is_json(const char *name) {
    const char *dot = strrchr(name, '.');
    return dot != NULL && strcmp(dot, ".json") == 0;
}

static int load(void **state) {
    (void)state;
    size_t n = 0;
    DIR *folder = opendir(QUIRE_GOLDEN_DIR "/segments");
    assert_non_null(folder);
    for (const struct dirent *d; (d = readdir(folder)) != NULL;) {
        char path[1024];
        json_error_t e;
        if (!is_json(d->d_name))
            continue;
        assert_true(n < FILES);
        (void)snprintf(path, sizeof path, QUIRE_GOLDEN_DIR "/segments/%s", d->d_name);
        files[n] = json_load_file(path, 0, &e);
        if (files[n] == NULL)
            fail_msg("%s: %s", path, e.text);
        n_cases += json_array_size(json_object_get(files[n++], "cases"));
    }
    assert_int_equal(closedir(folder), 0);
    assert_int_equal(n, FILES);
    assert_true(n_cases >= 25);
    return 0;
}

static int unload(void **state) {
    (void)state;
    for (size_t f = 0; f < FILES; f++)
        json_decref(files[f]);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_link_is_the_reference_one),
        cmocka_unit_test(test_every_picture_link_is_the_reference_one),
        cmocka_unit_test(test_an_answers_links_are_the_reference_ones),
        cmocka_unit_test(test_the_next_turn_goes_on_from_the_answer),
    };
    return cmocka_run_group_tests(tests, load, unload);
}
