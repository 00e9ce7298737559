/* template_test.c - which family a template is, and its exact white space. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "tests/support/golden.h"
#include "tests/support/vocab.h"
#include "worker/engine/template.h"

static struct chat_part text(const char *s) {
    return (struct chat_part){.text = bytes_of(s)};
}

static struct chat_part picture(uint32_t index) {
    return (struct chat_part){.is_picture = true, .picture = index};
}

#define PARTS(...)                                                                                 \
    (const struct chat_part[]){__VA_ARGS__},                                                       \
        sizeof((const struct chat_part[]){__VA_ARGS__}) / sizeof(struct chat_part)

/* The runs one behind the other; <image> for a picture. Checks that runs alternate in kind. */
static void flatten(const struct rendering *r, char *out, size_t size) {
    size_t n = 0;
    for (size_t i = 0; i < r->n_runs; i++) {
        const struct run *run = &r->runs[i];
        struct bytes b = run->kind == RUN_PICTURE ? bytes_of("<image>") : run->text;
        assert_true(b.size > 0 && n + b.size < size);
        assert_true(i == 0 || run->kind != r->runs[i - 1].kind || run->kind == RUN_PICTURE);
        memcpy(out + n, b.data, b.size);
        n += b.size;
    }
    out[n] = '\0';
}

static void expect_with(enum template_kind kind, const struct chat_message *m, size_t n,
                        bool has_bos, const char *wanted) {
    struct rendering r;
    struct error e = {0};
    char got[4096];
    assert_int_equal(template_render(kind, m, n, has_bos, &r, &e), 0);
    flatten(&r, got, sizeof got);
    assert_string_equal(got, wanted);
    rendering_clear(&r);
}

static void expect(enum template_kind kind, const struct chat_message *m, size_t n,
                   const char *wanted) {
    expect_with(kind, m, n, false, wanted);
}

static const char *golden_prompt(struct golden *g, const char *name) {
    golden_open(g, QUIRE_GOLDEN_DIR "/smolvlm", name);
    return g->prompt;
}

static void test_smolvlm_is_rendered_like_the_references_prompts(void **state) {
    (void)state;
    struct golden g;
    const struct chat_message one[] = {
        {CHAT_USER, PARTS(picture(0), text("What is in this picture?"))}};
    expect(TEMPLATE_SMOLVLM, one, 1, golden_prompt(&g, "one-picture.json"));
    golden_close(&g);
    const struct chat_message last[] = {
        {CHAT_USER, PARTS(text("Look at the next one. "), picture(0))}};
    expect(TEMPLATE_SMOLVLM, last, 1, golden_prompt(&g, "picture-last.json"));
    golden_close(&g);
    const struct chat_message two[] = {
        {CHAT_USER, PARTS(picture(0), text("and "), picture(1), text("Which one is darker?"))}};
    expect(TEMPLATE_SMOLVLM, two, 1, golden_prompt(&g, "two-pictures.json"));
    golden_close(&g);
    const struct chat_message turns[] = {
        {CHAT_SYSTEM, PARTS(text("Answer in few words."))},
        {CHAT_USER, PARTS(picture(0), text("What is this?"))},
        {CHAT_ASSISTANT, PARTS(text("a round thing"))},
        {CHAT_USER, PARTS(picture(1), text("And this one? It has 1234 parts."))}};
    expect(TEMPLATE_SMOLVLM, turns, 4, golden_prompt(&g, "turns.json"));
    golden_close(&g);
}

static void test_smolvlm_leaves_its_bos_to_a_tokenizer_that_adds_it(void **state) {
    (void)state;
    const struct chat_message m[] = {{CHAT_USER, PARTS(text("Hi"))}};
    expect_with(TEMPLATE_SMOLVLM, m, 1, true, "User: Hi<end_of_utterance>\nAssistant:");
    expect_with(TEMPLATE_SMOLVLM, m, 1, false,
                "<|im_start|>User: Hi<end_of_utterance>\nAssistant:");
}

static void test_smolvlm_keeps_white_space_and_joins_texts_directly(void **state) {
    (void)state;
    const struct chat_message m[] = {{CHAT_USER, PARTS(text(" a \n"), text("b "))},
                                     {CHAT_ASSISTANT, NULL, 0}};
    expect(TEMPLATE_SMOLVLM, m, 2,
           "<|im_start|>User:  a \nb <end_of_utterance>\nAssistant: <end_of_utterance>\n"
           "Assistant:");
}

static const struct chat_message *conversation(size_t *n) {
    static struct chat_part parts[5];
    static struct chat_message m[4];
    parts[0] = text(" Be brief.\n");
    parts[1] = picture(0);
    parts[2] = text("What?");
    parts[3] = text("A cat. ");
    parts[4] = text("\tSure?");
    m[0] = (struct chat_message){CHAT_SYSTEM, &parts[0], 1};
    m[1] = (struct chat_message){CHAT_USER, &parts[1], 2};
    m[2] = (struct chat_message){CHAT_ASSISTANT, &parts[3], 1};
    m[3] = (struct chat_message){CHAT_USER, &parts[4], 1};
    *n = 4;
    return m;
}

static void test_chatml(void **state) {
    (void)state;
    size_t n;
    const struct chat_message *m = conversation(&n);
    expect(TEMPLATE_CHATML, m, n,
           "<|im_start|>system\n Be brief.\n<|im_end|>\n"
           "<|im_start|>user\n<image>What?<|im_end|>\n"
           "<|im_start|>assistant\nA cat. <|im_end|>\n"
           "<|im_start|>user\n\tSure?<|im_end|>\n"
           "<|im_start|>assistant\n");
}

static void test_llama3_trims_and_adds_nothing_of_its_own(void **state) {
    (void)state;
    size_t n;
    const struct chat_message *m = conversation(&n);
    expect(TEMPLATE_LLAMA3, m, n,
           "<|start_header_id|>system<|end_header_id|>\n\nBe brief.<|eot_id|>"
           "<|start_header_id|>user<|end_header_id|>\n\n<image>What?<|eot_id|>"
           "<|start_header_id|>assistant<|end_header_id|>\n\nA cat.<|eot_id|>"
           "<|start_header_id|>user<|end_header_id|>\n\nSure?<|eot_id|>"
           "<|start_header_id|>assistant<|end_header_id|>\n\n");
}

static void test_vicuna(void **state) {
    (void)state;
    size_t n;
    const struct chat_message *m = conversation(&n);
    expect(TEMPLATE_VICUNA, m, n,
           " Be brief.\n\n\nUSER: <image>What?\nASSISTANT: A cat. </s>\nUSER: \tSure?\nASSISTANT:");
}

static void test_gemma_puts_the_system_text_into_the_users_turn(void **state) {
    (void)state;
    size_t n;
    const struct chat_message *m = conversation(&n);
    expect(TEMPLATE_GEMMA, m, n,
           "<start_of_turn>user\nBe brief.\n\n<image>What?<end_of_turn>\n"
           "<start_of_turn>model\nA cat.<end_of_turn>\n"
           "<start_of_turn>user\nSure?<end_of_turn>\n"
           "<start_of_turn>model\n");
    expect(TEMPLATE_GEMMA, m + 3, 1,
           "<start_of_turn>user\nSure?<end_of_turn>\n<start_of_turn>model\n");
}

static void test_gemma_cannot_express_a_system_text_without_a_user(void **state) {
    (void)state;
    const struct chat_message last[] = {{CHAT_USER, PARTS(text("a"))},
                                        {CHAT_SYSTEM, PARTS(text("b"))}};
    const struct chat_message before[] = {{CHAT_SYSTEM, PARTS(text("b"))},
                                          {CHAT_ASSISTANT, PARTS(text("a"))}};
    struct rendering r;
    struct error e = {0};
    assert_int_equal(template_render(TEMPLATE_GEMMA, last, 2, false, &r, &e), ERR_BAD_REQUEST);
    assert_non_null(strstr(e.text, "system"));
    assert_int_equal(template_render(TEMPLATE_GEMMA, before, 2, false, &r, &e), ERR_BAD_REQUEST);
    rendering_clear(&r);
}

static void test_texts_of_one_message_stand_on_lines_of_their_own(void **state) {
    (void)state;
    const struct chat_message m[] = {
        {CHAT_USER, PARTS(text("a"), text("b"), picture(0), text("c"), text("d"))}};
    expect(TEMPLATE_CHATML, m, 1,
           "<|im_start|>user\na\nb<image>c\nd<|im_end|>\n<|im_start|>assistant\n");
    const struct chat_message spaced[] = {
        {CHAT_USER, PARTS(text(" "), text(" a "), text(" b "), text("\n"))}};
    expect(TEMPLATE_LLAMA3, spaced, 1,
           "<|start_header_id|>user<|end_header_id|>\n\na \n b<|eot_id|>"
           "<|start_header_id|>assistant<|end_header_id|>\n\n");
}

static void test_what_people_say_never_shares_a_run_with_the_template(void **state) {
    (void)state;
    size_t n;
    const struct chat_message *m = conversation(&n);
    for (int kind = TEMPLATE_SMOLVLM; kind <= TEMPLATE_GEMMA; kind++) {
        struct rendering r;
        struct error e = {0};
        size_t said = 0;
        assert_int_equal(template_render((enum template_kind)kind, m, n, false, &r, &e), 0);
        for (size_t i = 0; i < r.n_runs; i++) {
            if (r.runs[i].kind == RUN_TEMPLATE) {
                assert_null(memmem(r.runs[i].text.data, r.runs[i].text.size, "cat", 3));
                assert_null(memmem(r.runs[i].text.data, r.runs[i].text.size, "Sure", 4));
                assert_null(memmem(r.runs[i].text.data, r.runs[i].text.size, "brief", 5));
            }
            said += r.runs[i].kind == RUN_USER;
        }
        assert_int_equal(said, 4);
        rendering_clear(&r);
    }
}

static void test_a_raw_text_has_nothing_around_it(void **state) {
    (void)state;
    const struct chat_message m[] = {{CHAT_RAW, PARTS(text("<|im_start|>"), text(" Once\n"))},
                                     {CHAT_USER, PARTS(text("x"))}};
    for (int kind = TEMPLATE_SMOLVLM; kind <= TEMPLATE_GEMMA; kind++) {
        struct rendering r;
        struct error e = {0};
        expect_with((enum template_kind)kind, m, 1, kind % 2 == 0, "<|im_start|> Once\n");
        assert_int_equal(template_render((enum template_kind)kind, m, 1, false, &r, &e), 0);
        assert_int_equal(r.n_runs, 1);
        assert_int_equal(r.runs[0].kind, RUN_USER);
        rendering_clear(&r);
        assert_int_equal(template_render((enum template_kind)kind, m, 2, false, &r, &e),
                         ERR_BAD_REQUEST);
    }
}

static void test_tools_are_for_templates_that_speak_of_them(void **state) {
    (void)state;
    const char *speaks = "<|im_start|>... <tool_call>\n{\"name\": ...}\n</tool_call>";
    assert_string_equal(template_tools(TEMPLATE_CHATML, bytes_of(speaks)), "hermes");
    assert_string_equal(template_tools(TEMPLATE_CHATML, bytes_of("<|im_start|>")), "");
    assert_string_equal(template_tools(TEMPLATE_CHATML, bytes_of("")), "");
    assert_string_equal(template_tools(TEMPLATE_SMOLVLM, bytes_of(speaks)), "");
}

static void expect_choice(const char *source, enum template_kind wanted) {
    enum template_kind kind;
    struct error e = {0};
    assert_int_equal(template_choose(bytes_of(source), NULL, &kind, &e), 0);
    assert_int_equal(kind, wanted);
}

static void test_families_are_known_by_their_marks(void **state) {
    (void)state;
    expect_choice("<|im_start|>{% for message in messages %}{{message['role'] | capitalize}}"
                  "{% endfor %}<end_of_utterance>\n",
                  TEMPLATE_SMOLVLM);
    expect_choice("{% for m in messages %}{{'<|im_start|>' + m['role'] + '\n' + m['content'] + "
                  "'<|im_end|>' + '\n'}}{% endfor %}",
                  TEMPLATE_CHATML);
    expect_choice("{{ bos_token }}{% for m in messages %}{{'<|start_header_id|>' + m['role'] + "
                  "'<|end_header_id|>\n\n' + m['content'] | trim + '<|eot_id|>'}}{% endfor %}",
                  TEMPLATE_LLAMA3);
    expect_choice("{{ bos_token }}{% for m in messages %}{{ '<start_of_turn>' + role + '\n' + "
                  "m['content'] | trim + '<end_of_turn>\n' }}{% endfor %}",
                  TEMPLATE_GEMMA);
    expect_choice("{% if m['role'] == 'user' %}{{ 'USER: ' + m['content'] }}{% else %}"
                  "{{ 'ASSISTANT: ' + m['content'] + eos_token }}{% endif %}",
                  TEMPLATE_VICUNA);
    expect_choice("", TEMPLATE_CHATML);
}

static void expect_no_choice(const char *source, const char *says) {
    enum template_kind kind;
    struct error e = {0};
    assert_int_equal(template_choose(bytes_of(source), NULL, &kind, &e), ERR_UNSUPPORTED);
    if (strstr(e.text, says) == NULL || strstr(e.text, "--chat-template") == NULL) {
        fail_msg("'%s' does not tell enough", e.text);
    }
}

static void test_unknown_families_are_refused_with_what_was_found(void **state) {
    (void)state;
    expect_no_choice("{{ '[INST] ' + m['content'] + ' [/INST]' }}", "Mistral");
    expect_no_choice("{{ '<|user|>\n' + m['content'] }}", "<|user|>");
    expect_no_choice("{{ 'USER: ' }}{{ 'ASSISTANT: ' }}{{ 'SYSTEM: ' }}", "Orca");
    expect_no_choice("\x01{%- for x in y -%}\n{{ x }}", "{%- for x in y -%}");
}

static void test_an_operator_may_choose_by_name(void **state) {
    (void)state;
    enum template_kind kind;
    struct error e = {0};
    for (int k = TEMPLATE_SMOLVLM; k <= TEMPLATE_GEMMA; k++) {
        const char *name = template_name((enum template_kind)k);
        assert_int_equal(template_choose(bytes_of("[INST]"), name, &kind, &e), 0);
        assert_int_equal(kind, k);
    }
    assert_int_equal(template_choose(bytes_of(""), "jinja", &kind, &e), ERR_UNSUPPORTED);
    assert_non_null(strstr(e.text, "'jinja'"));
    assert_non_null(strstr(e.text, "smolvlm"));
}

static void test_marked_prompts_become_texts_and_pictures(void **state) {
    (void)state;
    struct rendering r;
    struct error e = {0};
    struct bytes mark = bytes_of("<image>");
    assert_int_equal(rendering_from_marked(bytes_of("a<image><image>b"), mark, &r, &e), 0);
    assert_int_equal(r.n_runs, 4);
    assert_int_equal(r.runs[0].kind, RUN_TEMPLATE);
    assert_int_equal(r.runs[1].picture, 0);
    assert_int_equal(r.runs[2].kind, RUN_PICTURE);
    assert_int_equal(r.runs[2].picture, 1);
    assert_memory_equal(r.runs[3].text.data, "b", 1);
    rendering_clear(&r);
    assert_int_equal(rendering_from_marked(bytes_of(""), mark, &r, &e), 0);
    assert_int_equal(r.n_runs, 0);
    rendering_clear(&r);
    assert_int_equal(rendering_from_marked(bytes_of("a"), bytes_of(""), &r, &e), ERR_USAGE);
}

/* What was generated after the prompt must stand there again in the next turn's prompt, or no page
 * of an answer would ever be found again. */
static void test_an_answer_that_is_sent_back_continues_its_prompt(void **state) {
    (void)state;
    const enum template_kind kinds[] = {TEMPLATE_SMOLVLM, TEMPLATE_CHATML, TEMPLATE_LLAMA3,
                                        TEMPLATE_VICUNA, TEMPLATE_GEMMA};
    const struct chat_message turns[] = {{CHAT_USER, PARTS(text("Well?"))},
                                         {CHAT_ASSISTANT, PARTS(text("Yes."))},
                                         {CHAT_USER, PARTS(text("Why?"))}};
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        struct rendering r;
        struct error e = {0};
        char asked[4096], next[4096];
        assert_int_equal(template_render(kinds[i], turns, 1, false, &r, &e), 0);
        flatten(&r, asked, sizeof asked - 8);
        rendering_clear(&r);
        strcat(asked, template_leads_answer(kinds[i]) ? " Yes." : "Yes.");
        assert_int_equal(template_render(kinds[i], turns, 3, false, &r, &e), 0);
        flatten(&r, next, sizeof next);
        rendering_clear(&r);
        assert_memory_equal(next, asked, strlen(asked));
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_an_answer_that_is_sent_back_continues_its_prompt),
        cmocka_unit_test(test_smolvlm_is_rendered_like_the_references_prompts),
        cmocka_unit_test(test_smolvlm_leaves_its_bos_to_a_tokenizer_that_adds_it),
        cmocka_unit_test(test_smolvlm_keeps_white_space_and_joins_texts_directly),
        cmocka_unit_test(test_chatml),
        cmocka_unit_test(test_llama3_trims_and_adds_nothing_of_its_own),
        cmocka_unit_test(test_vicuna),
        cmocka_unit_test(test_gemma_puts_the_system_text_into_the_users_turn),
        cmocka_unit_test(test_gemma_cannot_express_a_system_text_without_a_user),
        cmocka_unit_test(test_texts_of_one_message_stand_on_lines_of_their_own),
        cmocka_unit_test(test_what_people_say_never_shares_a_run_with_the_template),
        cmocka_unit_test(test_a_raw_text_has_nothing_around_it),
        cmocka_unit_test(test_tools_are_for_templates_that_speak_of_them),
        cmocka_unit_test(test_families_are_known_by_their_marks),
        cmocka_unit_test(test_unknown_families_are_refused_with_what_was_found),
        cmocka_unit_test(test_an_operator_may_choose_by_name),
        cmocka_unit_test(test_marked_prompts_become_texts_and_pictures),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
