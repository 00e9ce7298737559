/* replay_trace_test.c - traces: drawn from a seed, read from files, and turned into requests. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "client/cli/replay/shapes.h"
#include "client/cli/replay/talk.h"
#include "client/cli/replay/trace.h"
#include "tests/support/process.h"
#include "tests/support/temp.h"

static void assert_equal_parts(const struct trace_part *a, const struct trace_part *b) {
    assert_int_equal(a->picture, b->picture);
    assert_int_equal(a->bytes, b->bytes);
    assert_memory_equal(a->data, b->data, a->bytes);
}

static void assert_equal_traces(const struct trace *a, const struct trace *b) {
    assert_int_equal(a->n_turns, b->n_turns);
    assert_int_equal(a->n_conversations, b->n_conversations);
    for (size_t i = 0; i < a->n_turns; i++) {
        const struct trace_turn *x = &a->turns[i], *y = &b->turns[i];
        assert_int_equal(x->at_ms, y->at_ms);
        assert_int_equal(x->conversation, y->conversation);
        assert_int_equal(x->turn, y->turn);
        assert_int_equal(x->from, y->from);
        assert_int_equal(x->keep, y->keep);
        assert_int_equal(x->max_tokens, y->max_tokens);
        assert_string_equal(a->shapes[x->shape], b->shapes[y->shape]);
        assert_int_equal(x->has_system, y->has_system);
        if (x->has_system)
            assert_equal_parts(&x->system, &y->system);
        assert_int_equal(x->n_parts, y->n_parts);
        for (size_t k = 0; k < x->n_parts; k++)
            assert_equal_parts(&x->parts[k], &y->parts[k]);
    }
}

static void draw(struct trace *t, const char *name, uint32_t conversations, uint64_t seed) {
    struct error e;
    if (shapes_make(t, name, conversations, seed, &e) != 0 || trace_load_pictures(t, &e) != 0)
        fail_msg("%s: %s", name, e.text);
}

static void read_text(struct trace *t, const char *text) {
    struct temp_dir dir;
    struct error e;
    char path[TEMP_PATH_BYTES + 32];
    temp_dir_open(&dir);
    temp_file(&dir, "t.jsonl", text, strlen(text), path, sizeof path);
    if (trace_read(t, path, &e) != 0)
        fail_msg("%s", e.text);
    temp_dir_close(&dir);
}

/* ---- shapes ---- */

static const char *const all_shapes[] = {"agent", "photos", "pages", "forks",
                                         "mixed", "none",   "hot"};

static void test_the_same_seed_draws_the_same_trace(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof all_shapes / sizeof all_shapes[0]; i++) {
        struct trace a, b;
        draw(&a, all_shapes[i], 10, 7);
        draw(&b, all_shapes[i], 10, 7);
        assert_equal_traces(&a, &b);
        trace_close(&a);
        trace_close(&b);
    }
}

static void test_another_seed_draws_other_texts_and_pictures(void **state) {
    (void)state;
    struct trace a, b;
    draw(&a, "photos", 2, 1);
    draw(&b, "photos", 2, 2);
    const struct trace_part *p = &a.turns[0].parts[0], *q = &b.turns[0].parts[0];
    assert_true(p->bytes != q->bytes || memcmp(p->data, q->data, p->bytes) != 0);
    assert_memory_not_equal(a.turns[0].system.data, b.turns[0].system.data, PHOTOS_SYSTEM_BYTES);
    trace_close(&a);
    trace_close(&b);
}

static void test_a_longer_trace_begins_with_the_shorter_one(void **state) {
    (void)state;
    struct trace a, b;
    draw(&a, "mixed", 10, 3);
    draw(&b, "mixed", 20, 3);
    b.n_conversations = a.n_conversations;
    size_t all = b.n_turns;
    b.n_turns = a.n_turns;
    assert_equal_traces(&a, &b);
    b.n_turns = all;
    trace_close(&a);
    trace_close(&b);
}

static void test_photos_are_all_different_under_one_system_prompt(void **state) {
    (void)state;
    struct trace t;
    draw(&t, "photos", 12, 1);
    for (size_t i = 0; i < t.n_turns; i++) {
        assert_memory_equal(t.turns[i].system.data, t.turns[0].system.data, PHOTOS_SYSTEM_BYTES);
        for (size_t k = 0; k < i; k++) {
            const struct trace_part *p = &t.turns[i].parts[0], *q = &t.turns[k].parts[0];
            assert_true(p->bytes != q->bytes || memcmp(p->data, q->data, p->bytes) != 0);
        }
    }
    trace_close(&t);
}

static void test_the_control_without_reuse_never_begins_alike(void **state) {
    (void)state;
    struct trace t;
    draw(&t, "none", 12, 1);
    for (size_t i = 0; i < t.n_turns; i++)
        for (size_t k = 0; k < i; k++)
            assert_memory_not_equal(t.turns[i].system.data, t.turns[k].system.data, 12);
    trace_close(&t);
}

static void test_an_agent_sees_its_screen_in_most_turns(void **state) {
    (void)state;
    struct trace t;
    size_t pictures = 0;
    draw(&t, "agent", 1, 1);
    assert_int_equal(t.n_turns, AGENT_TURNS);
    for (size_t i = 0; i < t.n_turns; i++)
        for (size_t k = 0; k < t.turns[i].n_parts; k++)
            pictures += t.turns[i].parts[k].picture;
    assert_int_equal(pictures, AGENT_TURNS - AGENT_TURNS / AGENT_TEXT_EVERY);
    assert_int_equal(t.turns[AGENT_COMPACT - 1].keep, AGENT_KEEP);
    trace_close(&t);
}

static void test_a_shape_that_is_not_there_is_named(void **state) {
    (void)state;
    struct trace t;
    struct error e;
    assert_int_equal(shapes_make(&t, "spiral", 0, 1, &e), ERR_NOT_FOUND);
    assert_non_null(strstr(e.text, "spiral"));
    assert_non_null(strstr(e.text, "agent"));
}

/* ---- files ---- */

static void test_every_shape_survives_its_file(void **state) {
    (void)state;
    struct temp_dir dir;
    char path[TEMP_PATH_BYTES + 32];
    temp_dir_open(&dir);
    (void)snprintf(path, sizeof path, "%s/trace.jsonl", dir.path);
    for (size_t i = 0; i < sizeof all_shapes / sizeof all_shapes[0]; i++) {
        struct trace a, b;
        struct error e;
        draw(&a, all_shapes[i], 10, 11);
        assert_int_equal(trace_write(&a, path, &e), 0);
        if (trace_read(&b, path, &e) != 0 || trace_load_pictures(&b, &e) != 0)
            fail_msg("%s: %s", all_shapes[i], e.text);
        assert_equal_traces(&a, &b);
        trace_close(&a);
        trace_close(&b);
    }
    temp_dir_close(&dir);
}

static void test_a_recorded_line_is_read_as_it_stands(void **state) {
    (void)state;
    struct trace t;
    read_text(&t, "{\"conversation\":\"a\",\"turn\":1,\"at_ms\":5,\"system\":{\"text\":\"Hé\"},"
                  "\"parts\":[{\"text\":\"one\"},{\"picture\":{\"seed\":\"18446744073709551615\","
                  "\"width\":8,\"height\":9}},{\"picture\":{\"file\":\"x.png\"}}]}\n\n"
                  "{\"conversation\":\"b\",\"turn\":1,\"from\":{\"conversation\":\"a\",\"turn\":1},"
                  "\"parts\":[{\"text_bytes\":20}],\"max_tokens\":3,\"shape\":\"own\"}\n"
                  "{\"conversation\":\"a\",\"turn\":2,\"parts\":[{\"text_bytes\":20}],\"keep\":1}");
    assert_int_equal(t.n_turns, 3);
    assert_int_equal(t.turns[0].at_ms, 5);
    assert_string_equal((char *)t.turns[0].system.data, "Hé");
    assert_string_equal((char *)t.turns[0].parts[0].data, "one");
    assert_true(t.turns[0].parts[1].seed == UINT64_MAX);
    assert_string_equal(t.turns[0].parts[2].file, "x.png");
    assert_string_equal(t.shapes[t.turns[0].shape], "recorded");
    assert_int_equal(t.turns[1].at_ms, -1);
    assert_int_equal(t.turns[1].from, 0);
    assert_int_equal(t.turns[1].max_tokens, 3);
    assert_string_equal(t.shapes[t.turns[1].shape], "own");
    assert_int_equal(t.turns[2].from, 0);
    assert_int_equal(t.turns[2].keep, 1);
    /* Lengths alone: other places have other words. */
    assert_memory_not_equal(t.turns[1].parts[0].data, t.turns[2].parts[0].data, 20);
    trace_close(&t);
}

#define GOOD "{\"conversation\":\"a\",\"turn\":1,\"parts\":[{\"text\":\"x\"}]}\n"

static void test_a_bad_line_is_refused_with_its_number(void **state) {
    (void)state;
    static const struct {
        const char *text, *line, *word;
    } cases[] = {
        {"", "", "no turn"},
        {"nonsense\n", "line 1", "JSON"},
        {GOOD "[1]\n", "line 2", "no object"},
        {"{\"turn\":1,\"parts\":[{\"text\":\"x\"}]}", "line 1", "conversation"},
        {"{\"conversation\":\"a\",\"turn\":2,\"parts\":[{\"text\":\"x\"}]}", "line 1", "turn"},
        {GOOD GOOD, "line 2", "turn"},
        {GOOD "\n{\"conversation\":\"a\",\"turn\":2}", "line 3", "parts"},
        {"{\"conversation\":\"a\",\"turn\":1,\"parts\":[]}", "line 1", "parts"},
        {"{\"conversation\":\"a\",\"turn\":1,\"parts\":[{}]}", "line 1", "text_bytes"},
        {"{\"conversation\":\"a\",\"turn\":1,\"parts\":[{\"text\":\"\"}]}", "line 1", "bytes"},
        {"{\"conversation\":\"a\",\"turn\":1,\"parts\":[{\"text_bytes\":-1}]}", "line 1",
         "text_bytes"},
        {"{\"conversation\":\"a\",\"turn\":1,\"parts\":[{\"text_bytes\":1e300}]}", "line 1",
         "text_bytes"},
        {"{\"conversation\":\"a\",\"turn\":1,\"parts\":[{\"text_bytes\":4,\"seed\":\"x\"}]}",
         "line 1", "seed"},
        {"{\"conversation\":\"a\",\"turn\":1,\"parts\":[{\"picture\":{\"width\":0}}]}", "line 1",
         "width"},
        {"{\"conversation\":\"a\",\"turn\":1,\"parts\":[{\"picture\":{\"width\":9999}}]}", "line 1",
         "pixels"},
        {"{\"conversation\":\"a\",\"turn\":1,\"parts\":[{\"picture\":{\"file\":7}}]}", "line 1",
         "path"},
        {"{\"conversation\":\"a\",\"turn\":1,\"at_ms\":-5,\"parts\":[{\"text\":\"x\"}]}", "line 1",
         "at_ms"},
        {"{\"conversation\":\"a\",\"turn\":1,\"colour\":1,\"parts\":[{\"text\":\"x\"}]}", "line 1",
         "colour"},
        {"{\"conversation\":\"a\",\"turn\":1,\"from\":{\"conversation\":\"z\",\"turn\":1},"
         "\"parts\":[{\"text\":\"x\"}]}",
         "line 1", "\"z\""},
        {GOOD "{\"conversation\":\"a\",\"turn\":2,\"system\":{\"text\":\"x\"},"
              "\"parts\":[{\"text\":\"x\"}]}",
         "line 2", "system"},
        {GOOD "{\"conversation\":\"a\",\"turn\":2,\"from\":{\"conversation\":\"a\",\"turn\":1},"
              "\"parts\":[{\"text\":\"x\"}]}",
         "line 2", "from"},
    };
    struct temp_dir dir;
    temp_dir_open(&dir);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct trace t;
        struct error e = {0};
        char path[TEMP_PATH_BYTES + 32];
        temp_file(&dir, "bad.jsonl", cases[i].text, strlen(cases[i].text), path, sizeof path);
        assert_int_equal(trace_read(&t, path, &e) < 0, 1);
        if (strstr(e.text, cases[i].line) == NULL || strstr(e.text, cases[i].word) == NULL ||
            strstr(e.text, "bad.jsonl") == NULL)
            fail_msg("%s\nwas refused with: %s", cases[i].text, e.text);
        assert_int_equal(t.n_turns, 0);
    }
    temp_dir_close(&dir);
}

static void test_a_picture_that_is_missing_is_named(void **state) {
    (void)state;
    struct trace t;
    struct error e;
    read_text(&t, "{\"conversation\":\"a\",\"turn\":1,"
                  "\"parts\":[{\"picture\":{\"file\":\"/nonexistent/x.png\"}}]}");
    assert_int_equal(trace_load_pictures(&t, &e), ERR_NOT_FOUND);
    assert_non_null(strstr(e.text, "/nonexistent/x.png"));
    trace_close(&t);
}

/* ---- requests ---- */

static void answer(struct outcome *o, const char *text) {
    assert_true(cli_text_add(&o->answer, text, strlen(text)));
}

/* "system:S user:a assistant:A user:b": the texts of a turn's request. */
static void describe(const struct trace *t, const struct outcome *o, uint32_t turn, char *out,
                     size_t capacity) {
    static const char *const roles[] = {"", "system", "user", "assistant"};
    struct talk talk;
    struct error e;
    size_t n = 0;
    assert_int_equal(talk_build(&talk, t, o, turn, &e), 0);
    for (size_t i = 0; i < talk.request.n_messages; i++) {
        const struct request_message *m = &talk.request.messages[i];
        n += (size_t)snprintf(out + n, capacity - n, "%s%s:", i > 0 ? " " : "", roles[m->role]);
        for (size_t k = 0; k < m->n_parts; k++)
            n += (size_t)snprintf(out + n, capacity - n, "%.*s", (int)m->parts[k].text.size,
                                  (const char *)m->parts[k].text.data);
    }
    talk_clear(&talk);
}

static void test_a_request_goes_on_from_the_answers_really_given(void **state) {
    (void)state;
    struct trace t;
    char text[256];
    read_text(&t, "{\"conversation\":\"a\",\"turn\":1,\"system\":{\"text\":\"S\"},"
                  "\"parts\":[{\"text\":\"a\"}]}\n"
                  "{\"conversation\":\"a\",\"turn\":2,\"parts\":[{\"text\":\"b\"}]}\n"
                  "{\"conversation\":\"a\",\"turn\":3,\"parts\":[{\"text\":\"c\"}]}\n"
                  "{\"conversation\":\"f\",\"turn\":1,\"from\":{\"conversation\":\"a\",\"turn\":1},"
                  "\"parts\":[{\"text\":\"d\"}]}\n"
                  "{\"conversation\":\"a\",\"turn\":4,\"keep\":1,\"parts\":[{\"text\":\"e\"}]}\n"
                  "{\"conversation\":\"a\",\"turn\":5,\"parts\":[{\"text\":\"g\"}]}\n");
    struct outcome *o = outcomes_new(t.n_turns);
    answer(&o[0], "A");
    answer(&o[1], "B");
    answer(&o[2], "C");
    answer(&o[4], "E");
    describe(&t, o, 0, text, sizeof text);
    assert_string_equal(text, "system:S user:a");
    describe(&t, o, 2, text, sizeof text);
    assert_string_equal(text, "system:S user:a assistant:A user:b assistant:B user:c");
    describe(&t, o, 3, text, sizeof text);
    assert_string_equal(text, "system:S user:a assistant:A user:d");
    describe(&t, o, 4, text, sizeof text);
    assert_string_equal(text, "system:S user:c assistant:C user:e");
    describe(&t, o, 5, text, sizeof text);
    assert_string_equal(text, "system:S user:c assistant:C user:e assistant:E user:g");
    outcomes_free(o, t.n_turns);
    trace_close(&t);
}

static void test_a_turns_chain_goes_on_from_the_one_before_with_its_answer(void **state) {
    (void)state;
    struct trace t;
    struct talk talk;
    struct error e;
    draw(&t, "agent", 1, 5);
    struct outcome *o = outcomes_new(t.n_turns);
    for (uint32_t i = 0; i < 3; i++) {
        assert_int_equal(talk_build(&talk, &t, o, i, &e), 0);
        assert_int_equal(talk_link(&talk, &o[i], &e), 0);
        answer(&o[i], "an answer");
        assert_int_equal(talk_link_answer(&o[i], &e), 0);
        assert_int_equal(o[i].n_links, o[i].n_prompt_links + 1);
        if (i > 0)
            assert_memory_equal(o[i].links, o[i - 1].links, o[i - 1].n_links * sizeof(struct link));
        talk_clear(&talk);
    }
    outcomes_free(o, t.n_turns);
    trace_close(&t);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_same_seed_draws_the_same_trace),
        cmocka_unit_test(test_another_seed_draws_other_texts_and_pictures),
        cmocka_unit_test(test_a_longer_trace_begins_with_the_shorter_one),
        cmocka_unit_test(test_photos_are_all_different_under_one_system_prompt),
        cmocka_unit_test(test_the_control_without_reuse_never_begins_alike),
        cmocka_unit_test(test_an_agent_sees_its_screen_in_most_turns),
        cmocka_unit_test(test_a_shape_that_is_not_there_is_named),
        cmocka_unit_test(test_every_shape_survives_its_file),
        cmocka_unit_test(test_a_recorded_line_is_read_as_it_stands),
        cmocka_unit_test(test_a_bad_line_is_refused_with_its_number),
        cmocka_unit_test(test_a_picture_that_is_missing_is_named),
        cmocka_unit_test(test_a_request_goes_on_from_the_answers_really_given),
        cmocka_unit_test(test_a_turns_chain_goes_on_from_the_one_before_with_its_answer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
