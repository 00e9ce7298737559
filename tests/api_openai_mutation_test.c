/* api_openai_mutation_test.c - damaged bodies and answers: refused or understood, never more.
 * Deterministic: the same things are damaged in the same way in each run. What a body asks for is
 * carried through to its answer, streamed and whole, so the writers see what readers let through.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/openai_rig.h"

#define ROUNDS 12000
#define PICTURE "data:image/png;base64," RIG_PNG

struct sample {
    const struct dialect *dialect;
    const char *body;
};

static const struct sample samples[] = {
    {&openai_chat,
     "{\"model\":\"m\",\"stream\":true,\"stream_options\":{\"include_usage\":true},\"stop\":[\"a\"]"
     ","
     "\"temperature\":0.5,\"top_p\":1,\"seed\":3,\"max_tokens\":5,\"logprobs\":true,"
     "\"top_logprobs\":2,\"n\":1,\"response_format\":{\"type\":\"json_schema\",\"json_schema\":"
     "{\"name\":\"n\",\"schema\":{\"type\":\"object\"}}},\"messages\":[{\"role\":\"system\","
     "\"content\":\"S\"},{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"T\"},"
     "{\"type\":\"image_url\",\"image_url\":{\"url\":\"" PICTURE "\",\"detail\":\"low\"}}]},"
     "{\"role\":\"assistant\",\"content\":\"A\"},{\"role\":\"user\",\"content\":\"U\"}]}"},
    {&openai_chat,
     "{\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"f\",\"description\":\"d\","
     "\"parameters\":{\"type\":\"object\",\"properties\":{\"a\":{\"$ref\":\"#/$defs/"
     "A\"}},\"$defs\":"
     "{\"A\":{\"type\":\"string\"}}}}},{\"type\":\"function\",\"function\":{\"name\":\"g\"}}],"
     "\"tool_choice\":\"required\",\"parallel_tool_calls\":false,\"messages\":[{\"role\":\"user\","
     "\"content\":\"U\"},{\"role\":\"assistant\",\"content\":null,\"tool_calls\":[{\"id\":\"c\","
     "\"type\":\"function\",\"function\":{\"name\":\"f\",\"arguments\":\"{}\"}}]},{\"role\":"
     "\"tool\","
     "\"tool_call_id\":\"c\",\"content\":[{\"type\":\"text\",\"text\":\"R\"}]}]}"},
    {&openai_completions,
     "{\"prompt\":[\"Once\"],\"echo\":true,\"stream\":false,\"max_tokens\":4,\"stop\":\"x\","
     "\"logprobs\":null,\"best_of\":1,\"presence_penalty\":0.5}"},
    {&openai_responses,
     "{\"instructions\":\"I\",\"include\":[\"message.output_text.logprobs\"],\"text\":{\"format\":"
     "{\"type\":\"text\"}},\"tools\":[{\"type\":\"function\",\"name\":\"f\",\"parameters\":{}}],"
     "\"tool_choice\":{\"type\":\"function\",\"name\":\"f\"},\"metadata\":{\"a\":\"b\"},\"input\":["
     "{\"role\":\"user\",\"content\":[{\"type\":\"input_text\",\"text\":\"T\"},{\"type\":"
     "\"input_image\",\"image_url\":\"" PICTURE "\"}]},{\"type\":\"reasoning\"},{\"type\":"
     "\"function_call\",\"call_id\":\"c\",\"name\":\"f\",\"arguments\":\"{}\"},{\"type\":"
     "\"function_call_output\",\"call_id\":\"c\",\"output\":\"R\"}]}"},
};
#define SAMPLES (sizeof samples / sizeof samples[0])

static const char answer[] =
    "Well \"then\".\n<tool_call>\n{\"name\": \"f\", \"arguments\": {\"a\": [1, \"}\"]}}\n"
    "</tool_call>\n<tool_call>{\"arguments\":{},\"name\":\"g\"}</tool_call> \xc3\xa9";

static uint64_t random_state;

static uint32_t draw(size_t below) {
    random_state = random_state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (uint32_t)((random_state >> 33) % below);
}

/* Every other round the model has a tool format, and answers are cut at another place. */
static void carry_through(struct rig *g, const json_t *body, const char *text, int round) {
    g->tools = round % 2 == 0 ? TOOLS_HERMES : TOOLS_NONE;
    if (rig_read_json(g, body) != 0) {
        json_decref(rig_fault(g));
        return;
    }
    json_decref(round % 3 == 0 ? rig_whole(g, text, QUIRE_FINISH_END)
                               : rig_stream(g, text, 1 + (size_t)round % 7, QUIRE_FINISH_LENGTH));
}

static void feed(const struct sample *s, const char *data, size_t size, int round) {
    struct rig g = {.dialect = s->dialect};
    json_t *body = json_loadb(data, size, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
    if (body != NULL)
        carry_through(&g, body, answer, round);
    json_decref(body);
    rig_close(&g);
}

static void test_damaged_bytes_never_do_harm(void **state) {
    (void)state;
    static const char telling[] = "{}[]\",:\\0-9eEtfn/ =";
    char data[2048];
    random_state = 20260101;
    for (int round = 0; round < ROUNDS; round++) {
        const struct sample *s = &samples[draw(SAMPLES)];
        size_t size = strlen(s->body);
        memcpy(data, s->body, size);
        for (uint32_t changes = 1 + draw(3); changes > 0; changes--)
            data[draw(size)] =
                draw(2) == 0 ? telling[draw(sizeof telling - 1)] : (char)(32 + draw(95));
        feed(s, data, size, round);
    }
}

/* ---- other values in the places of values, which bytes seldom make ---- */

static json_t *strange(void) {
    switch (draw(12)) {
    case 0:
        return json_null();
    case 1:
        return json_true();
    case 2:
        return json_integer(-1);
    case 3:
        return json_integer(INT64_MAX);
    case 4:
        return json_real(1e300);
    case 5:
        return json_string("");
    case 6:
        return json_stringn("a\0b", 3);
    case 7:
        return json_string("<tool_call>\xf0\x9f\x98\x80");
    case 8:
        return json_array();
    case 9:
        return json_object();
    case 10:
        return json_pack("[[],{},n,i]", 1);
    default:
        return json_pack("{s:{s:[n]},s:s}", "type", "type", "text", "name");
    }
}

static size_t count(json_t *value) {
    size_t n = 1, i;
    const char *key;
    json_t *item;
    json_object_foreach(value, key, item) n += count(item);
    json_array_foreach(value, i, item) n += count(item);
    return n;
}

/* Replaces, removes or doubles the *at'th value below this one. */
static void change(json_t *value, size_t *at) {
    size_t i;
    const char *key;
    void *next;
    json_t *item;
    json_object_foreach_safe(value, next, key, item) {
        if ((*at)-- == 0) {
            if (draw(4) == 0)
                (void)json_object_del(value, key);
            else
                (void)json_object_set_new(value, key, strange());
            return;
        }
        change(item, at);
    }
    json_array_foreach(value, i, item) {
        if ((*at)-- == 0) {
            if (draw(2) == 0)
                (void)json_array_insert_new(value, i, json_deep_copy(item));
            else
                (void)json_array_set_new(value, i, strange());
            return;
        }
        change(item, at);
    }
}

static void test_other_values_never_do_harm(void **state) {
    (void)state;
    random_state = 20260102;
    for (int round = 0; round < ROUNDS; round++) {
        const struct sample *s = &samples[draw(SAMPLES)];
        struct rig g = {.dialect = s->dialect};
        json_t *body = json_loads(s->body, 0, NULL);
        assert_non_null(body);
        for (uint32_t changes = 1 + draw(3); changes > 0; changes--) {
            size_t at = draw(count(body));
            change(body, &at);
        }
        carry_through(&g, body, answer, round);
        json_decref(body);
        rig_close(&g);
    }
}

static void test_damaged_answers_never_do_harm(void **state) {
    (void)state;
    static const char telling[] = "{}[]\",:\\<>/ \ntoc";
    char text[sizeof answer];
    random_state = 20260103;
    for (int round = 0; round < ROUNDS; round++) {
        struct rig g = {.dialect = round % 2 == 0 ? &openai_chat : &openai_responses};
        json_t *body =
            json_loads(g.dialect == &openai_chat
                           ? "{\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"f\"}}],"
                             "\"messages\":[{\"role\":\"user\",\"content\":\"U\"}]}"
                           : "{\"tools\":[{\"type\":\"function\",\"name\":\"f\"}],\"input\":\"U\"}",
                       0, NULL);
        memcpy(text, answer, sizeof answer);
        text[sizeof answer - 3] = 'e'; /* answers are valid UTF-8 */
        text[sizeof answer - 2] = '!';
        for (uint32_t changes = 1 + draw(4); changes > 0; changes--)
            text[draw(sizeof answer - 1)] = telling[draw(sizeof telling - 1)];
        carry_through(&g, body, text, 2 * (int)draw(1000));
        json_decref(body);
        rig_close(&g);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_damaged_bytes_never_do_harm),
        cmocka_unit_test(test_other_values_never_do_harm),
        cmocka_unit_test(test_damaged_answers_never_do_harm),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
