/* constraint_test.c - requests with a JSON Schema, through a scheduler and a model of random
 * weights, which says anything: every answer is whole and fits. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/support/asker.h"
#include "tests/support/schema_check.h"
#include "worker/engine/json_schema.h"

void *__real_malloc(size_t size);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *p, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *p, size_t size);

static unsigned long allocations;
void *__wrap_malloc(size_t size) {
    allocations++;
    return __real_malloc(size);
}
void *__wrap_calloc(size_t n, size_t size) {
    allocations++;
    return __real_calloc(n, size);
}
void *__wrap_realloc(void *p, size_t size) {
    allocations++;
    return __real_realloc(p, size);
}

static const struct engine_options blind = {
    .model = QUIRE_GOLDEN_DIR "/smolvlm/text.gguf",
    .threads = 1,
    .kv_bytes = 64u << 20,
    .max_sequences = 4,
};
static const struct scheduler_options usual = {.max_pictures = 2};

#define PERSON                                                                                     \
    "{\"type\":\"object\",\"properties\":{\"name\":{\"type\":\"string\",\"maxLength\":20},"        \
    "\"age\":{\"type\":\"integer\",\"minimum\":0,\"maximum\":150},\"tags\":{\"type\":\"array\","   \
    "\"items\":{\"enum\":[\"a\",\"bc\",\"\xc3\xa4\"]},\"maxItems\":4},\"more\":{}},\"required\":[" \
    "\"name\",\"age\"],\"additionalProperties\":false}"

static struct asker *ask(const char *schema, uint32_t max_tokens, float temperature,
                         uint64_t seed) {
    struct asker *a = asker_make("Tell me all about it.", NULL, max_tokens);
    a->request.schema = (struct bytes){(const uint8_t *)schema, strlen(schema)};
    a->request.sampling.temperature = temperature;
    a->request.sampling.top_k = 0;
    a->request.sampling.top_p = 1;
    a->request.sampling.min_p = 0;
    a->request.sampling.has_seed = true;
    a->request.sampling.seed = seed;
    return a;
}

static void check(const struct asker *a, const json_t *schema) {
    if (!a->done)
        fail_msg("%s", a->why);
    assert_int_equal(a->end.reason, FINISH_END);
    assert_true(a->n_tokens <= a->request.max_tokens);
    schema_check(schema, a->text, a->text_size);
}

/* ---- the heart ---- */

#define ROUNDS 60
#define TOGETHER 4

/* The text of the next random schema that is compiled and has a short answer. */
static char *next_schema(struct schema_random *r, json_t **schema, uint32_t *least) {
    for (;;) {
        struct json_schema *s;
        *schema = schema_random_make(r);
        char *text = json_dumps(*schema, JSON_COMPACT);
        int rc = json_schema_open(&s, (struct bytes){(uint8_t *)text, strlen(text)}, NULL);
        *least = rc == 0 ? s->least : UINT32_MAX;
        json_schema_close(s);
        if (*least < 300)
            return text;
        free(text);
        json_decref(*schema);
    }
}

static void test_every_answer_parses_and_fits_its_schema(void **state) {
    (void)state;
    struct schema_random r = {.state = 11};
    struct asker_pool p;
    asker_pool_open(&p, &blind, &usual);
    for (int round = 0; round < ROUNDS; round++) {
        struct asker *a[TOGETHER];
        json_t *schemas[TOGETHER];
        char *texts[TOGETHER];
        for (uint32_t i = 0; i < TOGETHER; i++) {
            uint32_t least;
            texts[i] = next_schema(&r, &schemas[i], &least);
            uint32_t room = schema_random_below(&r, 3) == 0 ? 0 : schema_random_below(&r, 60);
            a[i] = ask(texts[i], least + room, i == 0 ? 0.0F : 2.0F, r.state);
            asker_add(&p, a[i]);
        }
        asker_run(&p);
        for (uint32_t i = 0; i < TOGETHER; i++) {
            check(a[i], schemas[i]);
            json_decref(schemas[i]);
            free(texts[i]);
            free(a[i]);
        }
    }
    asker_pool_close(&p);
}

static void test_the_seed_decides_and_neighbours_do_not(void **state) {
    (void)state;
    struct asker_pool p;
    asker_pool_open(&p, &blind, &usual);
    struct asker *alone = ask(PERSON, 80, 2, 4), *again = ask(PERSON, 80, 2, 4);
    struct asker *other = ask(PERSON, 80, 2, 5), *free_one = ask("", 80, 2, 4);
    alone->request.logprobs = again->request.logprobs = 1;
    asker_alone(&p, alone);
    asker_add(&p, other);
    asker_add(&p, free_one);
    asker_add(&p, again);
    asker_run(&p);
    asker_same(alone, again);
    assert_true(other->text_size != alone->text_size ||
                memcmp(other->text, alone->text, other->text_size) != 0);
    assert_true(free_one->done);
    for (uint32_t i = 0; i < again->n_entries; i++)
        assert_true(again->logprobs[i] <= again->others[i][0]); /* of raw logits */
    asker_pool_close(&p);
    free(alone);
    free(again);
    free(other);
    free(free_one);
}

static void test_an_answer_is_gone_on_with_at_every_token(void **state) {
    (void)state;
    json_t *schema = json_loads(PERSON, 0, NULL);
    struct asker_pool p;
    asker_pool_open(&p, &blind, &usual);
    for (uint64_t seed = 1; seed <= 3; seed++) {
        struct asker *whole = ask(PERSON, 60, 2, seed);
        asker_alone(&p, whole);
        check(whole, schema);
        for (uint32_t step = 0; step < whole->n_steps; step++) {
            struct asker *rest = ask(PERSON, 60, 2, seed);
            asker_resume(rest, whole, step);
            asker_alone(&p, rest);
            assert_int_equal(rest->n_tokens, whole->n_tokens);
            assert_memory_equal(rest->told, whole->told, whole->n_tokens * sizeof whole->told[0]);
            assert_int_equal(rest->text_size, whole->text_size);
            assert_memory_equal(rest->text, whole->text, whole->text_size);
            assert_int_equal(rest->end.reason, FINISH_END);
            free(rest);
        }
        free(whole);
    }
    asker_pool_close(&p);
    json_decref(schema);
}

static void test_the_least_room_is_enough(void **state) {
    (void)state;
    json_t *schema = json_loads(PERSON, 0, NULL);
    struct asker_pool p;
    asker_pool_open(&p, &blind, &usual);
    struct asker *a = ask(PERSON, 19, 2, 1), *b = ask(PERSON, 18, 2, 1);
    asker_add(&p, a);
    asker_add(&p, b);
    asker_run(&p);
    check(a, schema);
    assert_int_equal(b->error, ERR_BAD_REQUEST);
    assert_string_equal(b->why,
                        "max_tokens is 18; the shortest answer that fits the schema needs 19");
    asker_pool_close(&p);
    free(a);
    free(b);
    json_decref(schema);
}

/* ---- refused ---- */

static void test_what_cannot_be_held_to_is_refused(void **state) {
    (void)state;
    struct asker_pool p;
    asker_pool_open(&p, &blind, &usual);
    struct asker *pattern = ask("{\"type\":\"string\",\"pattern\":\"a\"}", 40, 0, 1);
    struct asker *broken = ask("{\"type\":", 40, 0, 1), *stops = ask("{}", 40, 0, 1);
    struct bytes stop = {(const uint8_t *)"}", 1};
    stops->request.stops = &stop;
    stops->request.n_stops = 1;
    struct asker *bad_replay = ask(PERSON, 40, 0, 1);
    static const uint8_t ids[4] = {200, 0, 0, 0};
    bad_replay->job.replay = (struct bytes){ids, 4};
    asker_add(&p, pattern);
    asker_add(&p, broken);
    asker_add(&p, stops);
    asker_add(&p, bad_replay);
    bad_replay->n_tokens = 1;
    asker_run(&p);
    assert_int_equal(pattern->error, ERR_BAD_REQUEST);
    assert_non_null(strstr(pattern->why, "'pattern'"));
    assert_int_equal(broken->error, ERR_BAD_REQUEST);
    assert_int_equal(stops->error, ERR_BAD_REQUEST);
    assert_non_null(strstr(stops->why, "stop string"));
    assert_int_equal(bad_replay->error, ERR_BAD_MESSAGE);
    assert_non_null(strstr(bad_replay->why, "schema"));
    asker_pool_close(&p);
    free(pattern);
    free(broken);
    free(stops);
    free(bad_replay);
}

static void test_a_context_without_room_is_told_apart(void **state) {
    (void)state;
    struct engine_options small = blind;
    struct asker_pool p;
    asker_pool_open(&p, &blind, &usual);
    struct asker *a = ask(PERSON, 40, 0, 1);
    asker_alone(&p, a);
    asker_pool_close(&p);
    small.context = a->end.usage.prompt_positions + 10;
    asker_pool_open(&p, &small, &usual);
    struct asker *b = ask(PERSON, 40, 0, 1);
    asker_add(&p, b);
    asker_run(&p);
    assert_int_equal(b->error, ERR_TOO_LONG);
    asker_pool_close(&p);
    free(a);
    free(b);
}

static void test_decoding_under_a_schema_allocates_nothing(void **state) {
    (void)state;
    struct asker_pool p;
    asker_pool_open(&p, &blind, &usual);
    const char *free_json = "{\"type\":\"object\",\"additionalProperties\":true}";
    struct asker *a = ask(PERSON, 60, 2, 3), *b = ask(free_json, 60, 2, 8);
    asker_add(&p, a);
    asker_add(&p, b);
    while (a->n_tokens == 0 || b->n_tokens == 0)
        scheduler_step(p.scheduler);
    int steps = 0;
    while (!asker_ended(a) && !asker_ended(b)) {
        unsigned long before = allocations;
        scheduler_step(p.scheduler);
        assert_int_equal(allocations, before);
        steps++;
    }
    assert_true(steps > 3);
    assert_true(allocations > 0); /* they are counted */
    asker_run(&p);
    free(a);
    free(b);
    asker_pool_close(&p);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_answer_parses_and_fits_its_schema),
        cmocka_unit_test(test_the_seed_decides_and_neighbours_do_not),
        cmocka_unit_test(test_an_answer_is_gone_on_with_at_every_token),
        cmocka_unit_test(test_the_least_room_is_enough),
        cmocka_unit_test(test_what_cannot_be_held_to_is_refused),
        cmocka_unit_test(test_a_context_without_room_is_told_apart),
        cmocka_unit_test(test_decoding_under_a_schema_allocates_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
