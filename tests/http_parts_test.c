/* http_parts_test.c - the parts of gateway/http that need no socket: targets, traces, addresses,
 * bodies, JSON, kept answers; and gateway/text.c. */
#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <sodium.h>

#include "common/must.h"
#include "gateway/http/aside.h"
#include "gateway/http/body.h"
#include "gateway/http/idempotency.h"
#include "gateway/http/input.h"
#include "gateway/http/proxies.h"
#include "gateway/http/target.h"
#include "gateway/http/trace.h"
#include "gateway/text.h"

/* ---- text ---- */

static void test_text_keeps_what_it_had_when_its_bound_is_passed(void **state) {
    (void)state;
    struct text t;
    text_init(&t, 10);
    text_add(&t, "12345", 5);
    text_print(&t, "%d", 678);
    assert_int_equal(t.size, 8);
    assert_false(t.failed);
    text_add(&t, "abc", 3);
    assert_true(t.failed);
    text_add(&t, "a", 1); /* although it would fit */
    assert_int_equal(t.size, 8);
    assert_memory_equal(t.data, "12345678", 8);
    text_close(&t);
    assert_null(t.data);
    assert_false(t.failed);
}

static void test_text_takes_json_and_events(void **state) {
    (void)state;
    struct text t;
    text_init(&t, 1000);
    text_event(&t, "delta", json_pack("{s:f, s:s}", "n", 0.059, "s", "a\nb"));
    text_event(&t, NULL, json_integer(3));
    static const char expected[] =
        "event: delta\ndata: {\"n\":0.059,\"s\":\"a\\nb\"}\n\ndata: 3\n\n";
    assert_int_equal(t.size, strlen(expected));
    assert_memory_equal(t.data, expected, t.size);
    text_drop(&t, 13);
    assert_memory_equal(t.data, "data: {", 7);
    text_drop(&t, 1000);
    assert_int_equal(t.size, 0);
    text_json(&t, NULL);
    assert_true(t.failed);
    text_close(&t);
}

/* ---- targets ---- */

static void test_a_target_is_cut_into_path_and_decoded_query(void **state) {
    (void)state;
    struct target t;
    struct fault f;
    assert_int_equal(target_read(&t, "/a%20b?x=%41+b&y&z=1=2", &f), 0);
    assert_string_equal(t.path, "/a%20b"); /* not decoded: routes are found by what was sent */
    assert_int_equal(t.n_query, 3);
    assert_string_equal(t.query[0].value, "A b");
    assert_string_equal(t.query[1].value, "");
    assert_string_equal(t.query[2].value, "1=2");
    assert_null(t.host);
    target_close(&t);
    assert_int_equal(target_read(&t, "HTTP://host:80/p?q", &f), 0);
    assert_string_equal(t.host, "host:80");
    assert_string_equal(t.path, "/p");
    target_close(&t);
}

static void test_wrong_targets_are_refused(void **state) {
    (void)state;
    static const char *const wrong[] = {"",        "a",     "http://host", "http://h?a",  "/a b",
                                        "/a#b",    "/a\\b", "/\x7f",       "/\xc3\xa4",   "/?a=%4",
                                        "/?a=%00", "/?%g1", "/?a=%",       "https://h/p", "/\x01"};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        struct target t;
        struct fault f = {0};
        assert_int_equal(target_read(&t, wrong[i], &f), -1);
        assert_int_equal(f.status, 400);
        target_close(&t);
    }
}

static void test_a_query_of_many_parameters_is_refused(void **state) {
    (void)state;
    char text[200] = "/?";
    for (int i = 0; i <= TARGET_PARAMETERS; i++)
        strcat(text, "a&");
    struct target t;
    struct fault f = {0};
    assert_int_equal(target_read(&t, text, &f), -1);
    assert_int_equal(f.status, 400);
    target_close(&t);
}

static void test_any_bytes_are_a_target_or_none(void **state) {
    (void)state;
    unsigned seed = 7;
    for (int i = 0; i < 20000; i++) {
        static const char alphabet[] = "/?&=%+:012abfhtp# ";
        char text[40];
        size_t n = (size_t)rand_r(&seed) % (sizeof text - 1);
        for (size_t k = 0; k < n; k++)
            text[k] = alphabet[(size_t)rand_r(&seed) % (sizeof alphabet - 1)];
        text[n] = '\0';
        struct target t;
        struct fault f = {0};
        int rc = target_read(&t, text, &f);
        assert_true(rc == 0 ? t.path[0] == '/' || strcmp(t.path, "*") == 0 : f.status == 400);
        target_close(&t);
    }
}

/* ---- traces ---- */

static void test_only_a_valid_trace_goes_on(void **state) {
    (void)state;
    struct trace t;
    static const char good[] = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    assert_true(trace_take(&t, good));
    assert_int_equal(strlen(t.parent), 55);
    assert_memory_equal(t.parent, good, 36);
    assert_string_equal(t.parent + 52, "-01");
    assert_true(memcmp(t.parent + 36, good + 36, 16) != 0);
    assert_true(trace_take(&t, "01-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more"));
    static const char *const bad[] = {
        NULL,
        "",
        "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-0",
        "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more",
        "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        "00-0AF7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        "00-00000000000000000000000000000000-b7ad6b7169203331-01",
        "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
        "00x0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-0g"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_false(trace_take(&t, bad[i]));
        assert_string_equal(t.parent, "");
    }
}

/* ---- addresses ---- */

static struct sockaddr_storage address(const char *text) {
    struct sockaddr_storage a = {0};
    struct sockaddr_in *four = (struct sockaddr_in *)&a;
    struct sockaddr_in6 *six = (struct sockaddr_in6 *)&a;
    a.ss_family = strchr(text, ':') ? AF_INET6 : AF_INET;
    void *to = a.ss_family == AF_INET6 ? (void *)&six->sin6_addr : (void *)&four->sin_addr;
    MUST(inet_pton(a.ss_family, text, to) == 1);
    return a;
}

static void client_is(const struct proxies *p, const char *peer, const char *forwarded,
                      const char *expected) {
    char out[PROXIES_TEXT_BYTES];
    struct sockaddr_storage a = address(peer);
    proxies_client(p, &a, forwarded, out);
    assert_string_equal(out, expected);
}

static void test_only_trusted_proxies_say_who_asks(void **state) {
    (void)state;
    struct proxies *p;
    assert_int_equal(proxies_open(&p, "10.0.0.0/8, 192.0.2.1,2001:db8::/32", NULL), 0);
    client_is(p, "10.1.2.3", "198.51.100.7", "198.51.100.7");
    client_is(p, "10.1.2.3", "1.1.1.1, 198.51.100.7, 10.9.9.9", "198.51.100.7");
    client_is(p, "10.1.2.3", "10.0.0.1,10.0.0.2", "10.0.0.1");
    client_is(p, "11.1.2.3", "198.51.100.7", "11.1.2.3");
    client_is(p, "::ffff:10.1.2.3", "198.51.100.7", "198.51.100.7");
    client_is(p, "2001:db8::5", "2001:db9::1", "2001:db9::1");
    client_is(p, "192.0.2.2", "198.51.100.7", "192.0.2.2");
    client_is(p, "10.1.2.3", "nonsense", "10.1.2.3");
    client_is(p, "10.1.2.3", "1.1.1.1, nonsense", "10.1.2.3");
    client_is(p, "10.1.2.3", ",,,", "10.1.2.3");
    client_is(p, "10.1.2.3", NULL, "10.1.2.3");
    proxies_close(p);
    static const char *const wrong[] = {"10.0.0.0/33", "10.0.0/8", "host", "10.0.0.0/x", "::/129"};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        assert_int_equal(proxies_open(&p, wrong[i], NULL), ERR_USAGE);
        assert_null(p);
    }
}

static void test_loopback_is_known_in_all_its_forms(void **state) {
    (void)state;
    assert_true(proxies_is_loopback("127.0.0.1") && proxies_is_loopback("127.9.9.9") &&
                proxies_is_loopback("::1") && proxies_is_loopback("::ffff:127.0.0.1"));
    assert_false(proxies_is_loopback("128.0.0.1") || proxies_is_loopback("::") ||
                 proxies_is_loopback("localhost") || proxies_is_loopback("127.0.0.1.evil.example"));
}

/* ---- bodies ---- */

static void test_bodies_are_counted_and_bounded(void **state) {
    (void)state;
    struct body a = {.declared = 40000}, b = {.chunked = true};
    struct fault f;
    size_t used = 0;
    char *bytes = calloc(1, 100000);
    MUST(bytes != NULL);
    assert_int_equal(body_add(&a, bytes, 30000, 50000, 100000, &used, &f), 0);
    assert_int_equal(body_add(&a, bytes, 10000, 50000, 100000, &used, &f), 0);
    assert_int_equal(used, 40000); /* no more than was promised */
    assert_int_equal(body_add(&b, bytes, 50001, 50000, 100000, &used, &f), -1);
    assert_int_equal(f.status, 413);
    assert_int_equal(body_add(&b, bytes, 50000, 50000, 80000, &used, &f), -1);
    assert_int_equal(f.status, 503);
    assert_true(f.retry_ms > 0);
    assert_int_equal(used, 40000);
    body_drop(&a, &used);
    body_drop(&b, &used);
    assert_int_equal(used, 0);
    free(bytes);
}

/* ---- JSON ---- */

static void test_json_is_bounded_in_depth_and_number(void **state) {
    (void)state;
    char text[2 * INPUT_DEPTH + 3];
    struct fault f = {0};
    memset(text, '[', INPUT_DEPTH);
    memset(text + INPUT_DEPTH, ']', INPUT_DEPTH);
    json_t *value = input_read(text, (size_t)2 * INPUT_DEPTH, &f);
    assert_non_null(value);
    json_decref(value);
    memset(text, '[', INPUT_DEPTH + 1);
    memset(text + INPUT_DEPTH + 1, ']', INPUT_DEPTH + 1);
    assert_null(input_read(text, (size_t)2 * INPUT_DEPTH + 2, &f));
    assert_int_equal(f.status, 400);
    /* Brackets in strings are text. */
    static const char quoted[] = "[\"[[[[\\\"[[[[{{{{,,,,\"]";
    value = input_read(quoted, strlen(quoted), &f);
    assert_non_null(value);
    json_decref(value);
}

static void test_cut_json_never_reads_past_its_end(void **state) {
    (void)state;
    static const char whole[] = "{\"a\":[1,\"b\\\\\\\"c\",{\"d\":null}],\"\\u00e4\":\"\xc3\xa4\"}";
    for (size_t n = 0; n < strlen(whole); n++) {
        char *exact = malloc(n ? n : 1); /* the sanitizer sees the end */
        struct fault f = {0};
        MUST(exact != NULL);
        memcpy(exact, whole, n);
        assert_null(input_read(exact, n, &f));
        assert_int_equal(f.status, 400);
        free(exact);
    }
}

/* Reads the text as we do and as jansson does alone; both must say the same. */
static void reads_as_jansson(const char *text, size_t n) {
    struct fault f = {0};
    json_t *ours = input_read(text, n, &f),
           *plain = json_loadb(text, n, JSON_REJECT_DUPLICATES, NULL);
    assert_int_equal(ours != NULL, plain != NULL);
    assert_true(ours == NULL || json_equal(ours, plain));
    json_decref(ours);
    json_decref(plain);
}

static void test_long_strings_come_through_unchanged(void **state) {
    (void)state;
    static const char *const shapes[] = {"{\"a\":\"%s\"}",
                                         "[\"%s\",\"short\",\"%s\"]",
                                         "{\"%s\":1}",
                                         "{\"%s\" \n:[\"%s\"]}",
                                         "{\"a\":{\"b\":[[\"%s\"],{\"c\":\"%s\"}]}}",
                                         "[\"%s]",
                                         "[\"%s\",]",
                                         "\"%s\"",
                                         "[\"\\\\%s\"]",
                                         "[\"\\%s\"]",
                                         "[\"%s\\\"\"]",
                                         "[\"%s\\\\\"]",
                                         "[\"a\"\"%s\"]"};
    static const char *const fills[] = {"A",  "\xc3\xa4", "\\n",  "\\\"",
                                        "\t", "\xff",     "\x7f", "\\\\"};
    char *text = malloc(40000), *fill = malloc(12000);
    MUST(text && fill);
    for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++)
        for (size_t k = 0; k < sizeof fills / sizeof fills[0]; k++)
            for (size_t bytes = ASIDE_BYTES - 2; bytes < ASIDE_BYTES + 3; bytes++) {
                size_t unit = strlen(fills[k]);
                for (size_t n = 0; n < bytes; n += unit)
                    memcpy(fill + n, fills[k], unit + 1);
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
                int n = snprintf(text, 40000, shapes[i], fill, fill);
#pragma GCC diagnostic pop
                reads_as_jansson(text, (size_t)n);
            }
    free(text);
    free(fill);
}

static void test_more_long_strings_than_are_set_aside_come_through_too(void **state) {
    (void)state;
    size_t room = (ASIDE_MAX + 10) * (ASIDE_BYTES + 8), n = 0;
    char *text = malloc(room);
    MUST(text != NULL);
    for (int i = 0; i < ASIDE_MAX + 5; i++) {
        text[n++] = i ? ',' : '[';
        text[n++] = '"';
        memset(text + n, 'a' + i % 26, ASIDE_BYTES);
        n += ASIDE_BYTES;
        text[n++] = '"';
    }
    text[n++] = ']';
    reads_as_jansson(text, n);
    free(text);
}

/* ---- answers that are kept ---- */

static struct run *kept_run(struct server *s, uint32_t number, bool ended) {
    struct run *run = calloc(1, sizeof *run);
    struct idempotency_name name = {.body = {0}};
    MUST(run != NULL);
    memcpy(name.name, &number, sizeof number);
    run->server = s;
    text_init(&run->output, 100);
    run->after = s->runs;
    if (run->after)
        run->after->before = run;
    s->runs = run;
    idempotency_keep(run, &name);
    run->ended = ended;
    if (ended)
        idempotency_done(run);
    return run;
}

static void test_an_answer_that_ends_in_a_full_table_is_not_the_one_to_go(void **state) {
    (void)state;
    struct server s = {.runs = NULL};
    MUST(idempotency_open(&s.idempotency, &s) == 0);
    struct run *first = kept_run(&s, 0, false), *second = kept_run(&s, 1, false);
    for (uint32_t i = 2; i < IDEMPOTENCY_MAX; i++)
        (void)kept_run(&s, i, true);
    struct run *last = kept_run(&s, IDEMPOTENCY_MAX, false);
    second->ended = true; /* nobody reads it, so that only the table holds it */
    idempotency_done(second);
    assert_true(second->kept);
    first->ended = last->ended = true;
    idempotency_clear(s.idempotency);
    assert_null(s.runs);
    idempotency_close(s.idempotency);
}

int main(void) {
    MUST(sodium_init() >= 0);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_text_keeps_what_it_had_when_its_bound_is_passed),
        cmocka_unit_test(test_text_takes_json_and_events),
        cmocka_unit_test(test_a_target_is_cut_into_path_and_decoded_query),
        cmocka_unit_test(test_wrong_targets_are_refused),
        cmocka_unit_test(test_a_query_of_many_parameters_is_refused),
        cmocka_unit_test(test_any_bytes_are_a_target_or_none),
        cmocka_unit_test(test_only_a_valid_trace_goes_on),
        cmocka_unit_test(test_only_trusted_proxies_say_who_asks),
        cmocka_unit_test(test_loopback_is_known_in_all_its_forms),
        cmocka_unit_test(test_bodies_are_counted_and_bounded),
        cmocka_unit_test(test_json_is_bounded_in_depth_and_number),
        cmocka_unit_test(test_cut_json_never_reads_past_its_end),
        cmocka_unit_test(test_long_strings_come_through_unchanged),
        cmocka_unit_test(test_more_long_strings_than_are_set_aside_come_through_too),
        cmocka_unit_test(test_an_answer_that_ends_in_a_full_table_is_not_the_one_to_go),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
