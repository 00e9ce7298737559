/* constraint_pool_test.c - the real programs: answers held to a JSON Schema, also when their worker
 * is lost in the middle. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/error.h"
#include "tests/support/pool.h"
#include "tests/support/schema_check.h"

#define CROWD 6

static const char story[] =
    "{\"type\":\"object\",\"properties\":{\"title\":{\"type\":\"string\",\"minLength\":3},"
    "\"pages\":"
    "{\"type\":\"array\",\"items\":{\"type\":\"object\",\"properties\":{\"number\":{\"type\":"
    "\"integer\",\"minimum\":1,\"maximum\":999},\"text\":{\"type\":\"string\",\"maxLength\":200}},"
    "\"required\":[\"number\",\"text\"],\"additionalProperties\":false},\"minItems\":2},\"mood\":{"
    "\"enum\":[\"glad\",\"sad\",null]}},\"required\":[\"title\",\"pages\",\"mood\"],"
    "\"additionalProperties\":false}";

static struct quire_request *question(int i, uint32_t max_tokens) {
    char text[64];
    (void)snprintf(text, sizeof text, "%d. Tell a story.", i);
    struct quire_request *request = pool_question(text, NULL, max_tokens);
    struct quire_options options;
    quire_options_default(&options);
    options.temperature = i % 2 == 0 ? 0.0F : 2.0F;
    options.has_seed = true;
    options.seed = 70 + (uint64_t)i;
    options.max_tokens = max_tokens;
    quire_request_options(request, &options);
    assert_int_equal(quire_request_schema(request, story, strlen(story)), 0);
    return request;
}

static void check(const struct pool_answer *a) {
    json_t *schema = json_loads(story, 0, NULL);
    if (a->end.kind != QUIRE_DONE)
        fail_msg("%s", a->end.error.text);
    assert_int_equal(a->end.finish, QUIRE_FINISH_END);
    schema_check(schema, a->text, a->size);
    json_decref(schema);
}

struct crowd {
    uint8_t ids[CROWD][QUIRE_ID_BYTES];
    struct pool_answer plain[CROWD], broken[CROWD];
};

static void send_all(struct pool *p, struct crowd *c) {
    for (int i = 0; i < CROWD; i++) {
        struct quire_request *request = question(i, 400);
        assert_int_equal(quire_send(p->client, request, c->ids[i], NULL), 0);
        quire_request_free(request);
    }
}

static void test_answers_fit_also_when_a_worker_is_killed_in_the_middle(void **state) {
    (void)state;
    struct pool p;
    struct crowd *c = calloc(1, sizeof *c);
    assert_non_null(c);
    pool_open(&p, (struct pool_options){.workers = 2});
    send_all(&p, c);
    pool_collect(p.client, CROWD, c->ids, c->plain, false);
    send_all(&p, c);
    pool_collect(p.client, CROWD, c->ids, c->broken, true);
    process_kill(&p.workers[0]);
    pool_collect(p.client, CROWD, c->ids, c->broken, false);
    for (int i = 0; i < CROWD; i++) {
        check(&c->plain[i]);
        check(&c->broken[i]);
        assert_int_equal(c->broken[i].size, c->plain[i].size);
        assert_memory_equal(c->broken[i].text, c->plain[i].text, c->plain[i].size);
        assert_int_equal(c->broken[i].n_tokens, c->plain[i].n_tokens);
    }
    assert_true(pool_stats(&p).resumed > 0);
    pool_close(&p);
    free(c);
}

static void test_a_schema_beyond_the_subset_is_refused_by_the_worker(void **state) {
    (void)state;
    struct pool p;
    struct pool_answer *a = calloc(1, sizeof *a);
    assert_non_null(a);
    pool_open(&p, (struct pool_options){.workers = 1});
    struct quire_request *request = pool_question("Hi", NULL, 50);
    const char *schema = "{\"properties\":{\"a\":{\"pattern\":\"x\"}}}";
    assert_int_equal(quire_request_schema(request, schema, strlen(schema)), 0);
    pool_ask(&p, request, a);
    quire_request_free(request);
    assert_int_equal(a->end.kind, QUIRE_FAILED);
    assert_int_equal(a->end.error.code, ERR_BAD_REQUEST);
    assert_non_null(strstr(a->end.error.text, "/properties/a: the keyword 'pattern'"));
    request = question(1, 20);
    memset(a, 0, sizeof *a);
    pool_ask(&p, request, a);
    quire_request_free(request);
    assert_int_equal(a->end.error.code, ERR_BAD_REQUEST);
    assert_non_null(strstr(a->end.error.text, "max_tokens is 20"));
    pool_close(&p);
    free(a);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_answers_fit_also_when_a_worker_is_killed_in_the_middle),
        cmocka_unit_test(test_a_schema_beyond_the_subset_is_refused_by_the_worker),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
