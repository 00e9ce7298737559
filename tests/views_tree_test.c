/* views_tree_test.c - the tree of segments, and what the page is told of pool and explanations. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "gateway/views/explain_view.h"
#include "gateway/views/names.h"
#include "gateway/views/pool_view.h"
#include "gateway/views/tree.h"

#define PATH_MAX_SEGMENTS 700

static struct tree *tree;

static int setup(void **state) {
    (void)state;
    return tree_open(&tree);
}

static int teardown(void **state) {
    (void)state;
    tree_close(tree);
    return 0;
}

/* A path of n links numbered from..., each held by workers w0 and w1 as told by `owners`. */
static void merge(const uint32_t *numbers, size_t n, const char *owners, const char *tenant,
                  const char *by) {
    static struct quire_explained_segment segments[PATH_MAX_SEGMENTS];
    static const struct quire_explained_worker workers[2] = {{.name = "w0"}, {.name = "w1"}};
    static const uint8_t both[] = {0, 1};
    assert_true(n <= PATH_MAX_SEGMENTS);
    for (size_t i = 0; i < n; i++) {
        segments[i] = (struct quire_explained_segment){
            .role = QUIRE_USER, .bytes = numbers[i], .positions = (uint32_t)(i + 1) * 10};
        memcpy(segments[i].link, &numbers[i], 4);
        if (owners[0] == '0')
            segments[i].owners = both, segments[i].n_owners = owners[1] == '1' ? 2 : 1;
        else if (owners[0] == '1')
            segments[i].owners = both + 1, segments[i].n_owners = 1;
    }
    struct quire_explanation e = {
        .segments = segments, .n_segments = n, .workers = workers, .n_workers = 2};
    tree_merge(tree, &e, tenant, by, 1700000000);
}

static json_t *nodes_of(const char *tenant, json_t **whole) {
    *whole = tree_json(tree, tenant);
    assert_non_null(*whole);
    return json_object_get(*whole, "nodes");
}

static uint32_t number_of(const json_t *node) {
    return (uint32_t)json_integer_value(json_object_get(node, "bytes"));
}

static const json_t *find(const json_t *nodes, uint32_t number) {
    for (size_t i = 0; i < json_array_size(nodes); i++)
        if (number_of(json_array_get(nodes, i)) == number)
            return json_array_get(nodes, i);
    return NULL;
}

static void expect_owners(const json_t *nodes, uint32_t number, const char *owners) {
    const json_t *node = find(nodes, number);
    assert_non_null(node);
    char *text = json_dumps(json_object_get(node, "owners"), JSON_COMPACT);
    assert_string_equal(text, owners);
    free(text);
}

static void test_requests_with_one_beginning_share_its_nodes(void **state) {
    (void)state;
    merge((const uint32_t[]){1, 2, 3}, 3, "0", "t", "");
    merge((const uint32_t[]){1, 2, 4}, 3, "0", "t", "");
    json_t *whole, *nodes = nodes_of(NULL, &whole);
    assert_int_equal(json_array_size(nodes), 4);
    const json_t *two = find(nodes, 2), *four = find(nodes, 4);
    assert_int_equal(json_integer_value(json_object_get(two, "requests")), 2);
    assert_int_equal(json_integer_value(json_object_get(four, "requests")), 1);
    assert_string_equal(json_string_value(json_object_get(four, "parent")),
                        json_string_value(json_object_get(two, "link")));
    assert_true(json_is_null(json_object_get(find(nodes, 1), "parent")));
    assert_int_equal(json_integer_value(json_object_get(four, "ends_at")), 30);
    json_decref(whole);
}

static void test_the_last_word_on_owners_counts_and_who_answered_is_one(void **state) {
    (void)state;
    merge((const uint32_t[]){1, 2}, 2, "01", "t", "");
    json_t *whole, *nodes = nodes_of(NULL, &whole);
    expect_owners(nodes, 2, "[\"w0\",\"w1\"]");
    json_decref(whole);
    merge((const uint32_t[]){1, 3}, 2, "1", "t", "w7");
    nodes = nodes_of(NULL, &whole);
    expect_owners(nodes, 1, "[\"w1\",\"w7\"]");
    expect_owners(nodes, 2, "[\"w0\",\"w1\"]");
    expect_owners(nodes, 3, "[\"w1\",\"w7\"]");
    json_decref(whole);
}

static void test_tenants_see_their_own_nodes_only(void **state) {
    (void)state;
    merge((const uint32_t[]){1, 2}, 2, "", "a", "w");
    merge((const uint32_t[]){5}, 1, "", "b", "w");
    json_t *whole, *nodes = nodes_of("b", &whole);
    assert_int_equal(json_array_size(nodes), 1);
    assert_non_null(find(nodes, 5));
    json_decref(whole);
    nodes = nodes_of("c", &whole);
    assert_int_equal(json_array_size(nodes), 0);
    json_decref(whole);
}

static void test_names_of_workers_that_nobody_has_any_more_make_room(void **state) {
    (void)state;
    char name[16];
    for (uint32_t i = 0; i < TREE_OWNERS + 30; i++) {
        (void)snprintf(name, sizeof name, "worker-%u", i);
        merge((const uint32_t[]){1}, 1, "", "t", name);
    }
    json_t *whole, *nodes = nodes_of(NULL, &whole);
    expect_owners(nodes, 1, "[\"worker-93\"]");
    json_decref(whole);
}

/* What has to hold of any tree that is shown. */
static void expect_in_order(const json_t *nodes) {
    assert_true(json_array_size(nodes) <= TREE_NODES);
    json_t *seen = json_object();
    for (size_t i = 0; i < json_array_size(nodes); i++) {
        const json_t *node = json_array_get(nodes, i);
        const char *link = json_string_value(json_object_get(node, "link"));
        const char *parent = json_string_value(json_object_get(node, "parent"));
        assert_null(json_object_get(seen, link));
        if (parent)
            assert_non_null(json_object_get(seen, parent));
        (void)json_object_set_new(seen, link, json_true());
    }
    json_decref(seen);
}

static uint32_t random_state = 77;

static uint32_t random_below(uint32_t n) {
    random_state = random_state * 1664525 + 1013904223;
    return (random_state >> 8) % n;
}

/* Paths in an endless tree: a node's number comes from its parent's and the branch taken. */
static size_t random_path(uint32_t *numbers) {
    size_t n = 1 + random_below(40);
    uint32_t number = 1 + random_below(5);
    for (size_t i = 0; i < n; i++) {
        numbers[i] = number;
        number = number * 31 + random_below(4) + 7;
    }
    return n;
}

static void test_the_tree_is_bounded_and_keeps_what_was_used_last(void **state) {
    (void)state;
    uint32_t numbers[4][PATH_MAX_SEGMENTS];
    size_t n[4] = {0};
    for (size_t round = 0; round < 600; round++) {
        uint32_t *last = numbers[round % 4];
        n[round % 4] = random_path(last);
        merge(last, n[round % 4], "0", "t", "w1");
        if (round % 50 != 49)
            continue;
        json_t *whole, *nodes = nodes_of(NULL, &whole);
        expect_in_order(nodes);
        for (size_t k = 0; k < 4; k++)
            for (size_t i = 0; i < n[k]; i++)
                assert_non_null(find(nodes, numbers[k][i]));
        json_decref(whole);
    }
    json_t *whole, *nodes = nodes_of(NULL, &whole);
    assert_int_equal(json_array_size(nodes), TREE_NODES);
    json_decref(whole);
}

static void test_a_path_longer_than_the_tree_leaves_its_end(void **state) {
    (void)state;
    uint32_t numbers[PATH_MAX_SEGMENTS];
    for (uint32_t round = 0; round < 3; round++) {
        for (uint32_t i = 0; i < PATH_MAX_SEGMENTS; i++)
            numbers[i] = 1 + round * 10000 + i;
        merge(numbers, PATH_MAX_SEGMENTS, "0", "t", "");
    }
    /* Only the end of a path that is there: its first node keeps the parent it has. */
    merge(numbers + 600, 100, "0", "t", "");
    json_t *whole, *nodes = nodes_of(NULL, &whole);
    expect_in_order(nodes);
    assert_non_null(find(nodes, numbers[699]));
    assert_string_equal(json_string_value(json_object_get(find(nodes, numbers[600]), "parent")),
                        json_string_value(json_object_get(find(nodes, numbers[599]), "link")));
    json_decref(whole);
    for (uint32_t i = 0; i < TREE_NODES - 100; i++)
        merge((const uint32_t[]){900000 + i}, 1, "", "t", "");
    nodes = nodes_of(NULL, &whole);
    expect_in_order(nodes);
    assert_true(json_is_null(json_object_get(find(nodes, numbers[600]), "parent")));
    json_decref(whole);
}

/* ---- views ---- */

static void expect_keys(const json_t *object, const char *const *keys) {
    assert_true(json_is_object(object));
    size_t n = 0;
    for (; keys[n]; n++)
        if (json_object_get(object, keys[n]) == NULL)
            fail_msg("%s is missing", keys[n]);
    assert_int_equal(json_object_size(object), n);
}
#define KEYS(object, ...) expect_keys(object, (const char *const[]){__VA_ARGS__, NULL})

static void test_the_pools_event_has_all_that_the_page_reads(void **state) {
    (void)state;
    struct snapshot *s = calloc(1, sizeof *s);
    assert_non_null(s);
    s->stats.index_state = QUIRE_INDEX_REBUILDING;
    s->stats.first_token_ms_sum = 30;
    s->stats.first_token_count = 4;
    s->n_workers = s->n_requests = 1;
    s->workers[0].state = QUIRE_WORKER_DRAINED;
    s->workers[0].incarnation = UINT64_MAX;
    s->requests[0].state = QUIRE_REQUEST_STREAMING;
    const struct pool_counts counts = {.sent_again = 3};
    const struct figures_http http = {.streams = 2};
    json_t *v = pool_view(s, json_object(), &counts, &http, true, 1700000000);
    KEYS(v, "connected", "trouble", "time", "stats", "workers", "requests", "windows",
         "percentiles", "gateway");
    const json_t *stats = json_object_get(v, "stats");
    KEYS(stats, "uptime_ms", "queued", "in_flight", "queue_limit", "requests", "done", "failed",
         "cancelled", "busy", "expired", "resent", "resumed", "prompt_positions",
         "reused_positions", "answer_tokens", "pictures", "pictures_encoded", "first_token_ms",
         "policy", "links", "predictions", "prediction_error", "index");
    assert_true(json_number_value(json_object_get(stats, "first_token_ms")) == 7.5);
    const json_t *index = json_object_get(stats, "index");
    KEYS(index, "state", "text", "links", "bytes", "skipped");
    assert_string_equal(json_string_value(json_object_get(index, "state")), "rebuilding");
    const json_t *worker = json_array_get(json_object_get(v, "workers"), 0);
    KEYS(worker, "name", "model", "state", "incarnation", "pid", "credits", "in_flight",
         "silent_ms", "active", "waiting", "pages_total", "pages_free", "context",
         "prefill_us_per_position", "decode_us_per_token", "tile_us", "step_us", "tokens_total",
         "positions_total", "rss_bytes", "done", "failed", "pages_evicted", "feature_bytes",
         "template", "tools");
    assert_string_equal(json_string_value(json_object_get(worker, "incarnation")),
                        "ffffffffffffffff");
    KEYS(json_array_get(json_object_get(v, "requests"), 0), "id", "state", "age_ms", "attempt",
         "tokens", "pictures", "worker");
    assert_int_equal(json_array_size(json_object_get(v, "windows")), 3);
    KEYS(json_array_get(json_object_get(v, "windows"), 2), "minutes", "requests",
         "prompt_positions", "reused_positions", "pictures", "pictures_encoded");
    KEYS(json_object_get(v, "gateway"), "in_flight", "streams", "connections", "sent_again");
    json_decref(v);
    free(s);
}

static void test_an_explanation_names_the_owners(void **state) {
    (void)state;
    static const struct quire_explained_worker workers[2] = {{.name = "w0", .total_us = 2500},
                                                             {.name = "w1", .chosen = true}};
    static const uint8_t owners[] = {1, 200}; /* the second is nobody */
    static const struct quire_explained_segment segment = {
        .picture = true, .role = QUIRE_USER, .link = {0xab}, .owners = owners, .n_owners = 2};
    struct quire_explanation e = {.policy = QUIRE_POLICY_EARLIEST,
                                  .segments = &segment,
                                  .n_segments = 1,
                                  .workers = workers,
                                  .n_workers = 2};
    json_t *v = explain_view(&e);
    KEYS(v, "past", "id", "policy", "prompt_positions", "predicted_ms", "first_token_ms",
         "segments", "workers");
    const json_t *s = json_array_get(json_object_get(v, "segments"), 0);
    KEYS(s, "kind", "role", "bytes", "ends_at", "known", "link", "owners");
    assert_string_equal(json_string_value(json_object_get(s, "kind")), "picture");
    assert_int_equal(json_array_size(json_object_get(s, "owners")), 1);
    const json_t *w = json_array_get(json_object_get(v, "workers"), 0);
    KEYS(w, "name", "fits", "credit", "chosen", "held_segments", "held_positions",
         "missing_pictures", "wait_ms", "encode_ms", "prefill_ms", "total_ms");
    assert_true(json_number_value(json_object_get(w, "total_ms")) == 2.5);
    json_decref(v);
}

static void test_hex_is_read_as_it_is_written(void **state) {
    (void)state;
    const uint8_t bytes[3] = {0, 0x9f, 0xa0};
    uint8_t read[3];
    char text[7];
    name_hex(bytes, 3, text);
    assert_string_equal(text, "009fa0");
    assert_true(name_unhex("009FA0", read, 3));
    assert_memory_equal(read, bytes, 3);
    assert_false(name_unhex("009fa", read, 3));
    assert_false(name_unhex("009fa00", read, 3));
    assert_false(name_unhex("009fg0", read, 3));
}

#define WITH_TREE(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        WITH_TREE(test_requests_with_one_beginning_share_its_nodes),
        WITH_TREE(test_the_last_word_on_owners_counts_and_who_answered_is_one),
        WITH_TREE(test_tenants_see_their_own_nodes_only),
        WITH_TREE(test_names_of_workers_that_nobody_has_any_more_make_room),
        WITH_TREE(test_the_tree_is_bounded_and_keeps_what_was_used_last),
        WITH_TREE(test_a_path_longer_than_the_tree_leaves_its_end),
        cmocka_unit_test(test_the_pools_event_has_all_that_the_page_reads),
        cmocka_unit_test(test_an_explanation_names_the_owners),
        cmocka_unit_test(test_hex_is_read_as_it_is_written),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
