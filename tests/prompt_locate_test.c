/* prompt_locate_test.c - where places of the conversation are in the final sequence. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "tests/support/vocab.h"
#include "worker/engine/prompt.h"
#include "worker/engine/vocabulary.h"

#define MAX_MESSAGES 8
#define SPELL_BYTES 65536

struct fixture {
    struct tokenizer *t;
    struct prompt_markers *m;
    struct prompt p;
    struct error e;
    char spelled[SPELL_BYTES];
};

static void open_fixture(struct fixture *f, struct tokenizer *t, bool pictures) {
    memset(f, 0, sizeof *f);
    f->t = t;
    if (pictures)
        assert_int_equal(prompt_markers_open(&f->m, f->t, &f->e), 0);
}

static void close_fixture(struct fixture *f) {
    prompt_clear(&f->p);
    prompt_markers_close(f->m);
    tokenizer_close(f->t);
}

static struct chat_part text(const char *s) {
    return (struct chat_part){.text = bytes_of(s)};
}

static struct chat_part picture(uint32_t index) {
    return (struct chat_part){.is_picture = true, .picture = index};
}

#define PARTS(...)                                                                                 \
    (const struct chat_part[]){__VA_ARGS__},                                                       \
        sizeof((const struct chat_part[]){__VA_ARGS__}) / sizeof(struct chat_part)

static void build(struct fixture *f, enum template_kind kind, const struct chat_message *m,
                  size_t n) {
    static const struct picture_layout layouts[] = {{0, 0, 3}, {2, 1, 3}};
    struct rendering r;
    bool bos = tokenizer_adds_bos(f->t);
    assert_int_equal(template_render(kind, m, n, bos, &r, &f->e), 0);
    prompt_clear(&f->p);
    assert_int_equal(
        prompt_build(&f->p, f->t, f->m, &r, layouts, f->m != NULL ? 2 : 0, 100000, &f->e), 0);
    rendering_clear(&r);
}

/* What the first `count` positions stand for; "#" for an embedding. */
static const char *spell(struct fixture *f, size_t count) {
    size_t n = 0;
    for (size_t i = 0; i < count; i++) {
        int32_t token = f->p.units[i].token;
        struct bytes b = bytes_of("#");
        if (token >= 0) {
            b = tokenizer_piece(f->t, token);
            b = b.size > 0 ? b : tokenizer_text(f->t, token);
        }
        assert_true(n + b.size < SPELL_BYTES);
        memcpy(f->spelled + n, b.data, b.size);
        n += b.size;
    }
    f->spelled[n] = '\0';
    return f->spelled;
}

/* Behind the first `offset` bytes of a part there comes exactly this text. */
struct expected {
    uint32_t message, part;
    size_t offset;
    const char *spelled;
};

static void expect(struct fixture *f, const struct expected *wanted, size_t n) {
    struct prompt_mark marks[16] = {{0}};
    assert_true(n <= 16);
    for (size_t i = 0; i < n; i++)
        marks[i] = (struct prompt_mark){wanted[i].message, wanted[i].part, wanted[i].offset, 77};
    prompt_locate(&f->p, f->t, marks, n);
    for (size_t i = 0; i < n; i++) {
        assert_true(marks[i].position <= f->p.count);
        assert_string_equal(spell(f, marks[i].position), wanted[i].spelled);
    }
}

#define FAKE "<fake_token_around_image>"
#define WHOLE 1000000 /* bytes: more than a part has means its end */

static void test_parts_end_where_the_template_goes_on(void **state) {
    (void)state;
    struct fixture f;
    open_fixture(&f, vocab_open_golden("smolvlm", "text.gguf"), true);
    const struct chat_message m[] = {
        {CHAT_SYSTEM, PARTS(text("Be brief."))},
        {CHAT_USER, PARTS(picture(0), text("What"), text(" is it?"))},
        {CHAT_ASSISTANT, PARTS(text("A cat."))},
        {CHAT_USER, PARTS(text("And "), picture(1))},
    };
    build(&f, TEMPLATE_SMOLVLM, m, 4);
    const char *overview = FAKE "<global-img>###" FAKE;
#define SYSTEM "<|im_start|>System: Be brief."
#define FIRST SYSTEM "<end_of_utterance>\nUser:" FAKE "<global-img>###" FAKE
#define SECOND FIRST "What is it?<end_of_utterance>\nAssistant: A cat."
#define THIRD SECOND "<end_of_utterance>\nUser: And "
    const struct expected wanted[] = {
        {0, 0, 9, SYSTEM},
        {1, 0, 0, FIRST},
        {1, 1, 4, FIRST "What"},
        {1, 2, 7, FIRST "What is it?"},
        {2, 0, 6, SECOND},
        {3, 0, 3, SECOND "<end_of_utterance>\nUser: And"},
        {3, 0, 4, THIRD},
        {3, 1, 0,
         THIRD FAKE "<row_1_col_1>###" FAKE "<row_1_col_2>###\n\n" FAKE "<global-img>###" FAKE},
    };
    expect(&f, wanted, sizeof wanted / sizeof wanted[0]);
    assert_non_null(strstr(spell(&f, f.p.count), overview));
    close_fixture(&f);
}

static void test_a_cut_inside_a_token_counts_what_lies_before_it(void **state) {
    (void)state;
    struct fixture f;
    open_fixture(&f, vocab_open_golden("smolvlm", "text.gguf"), false);
    enum { BYTES = 20000, CUT = 4096 };
    char *said = malloc(BYTES + 1);
    assert_non_null(said);
    for (size_t i = 0; i < BYTES; i++)
        said[i] = "the internationalisation of words "[i % 34];
    said[BYTES] = '\0';
    const struct chat_message m[] = {{CHAT_USER, PARTS(text(said))}};
    build(&f, TEMPLATE_SMOLVLM, m, 1);
    struct prompt_mark marks[5];
    for (size_t i = 0; i < 5; i++)
        marks[i] = (struct prompt_mark){0, 0, (i + 1) * CUT < BYTES ? (i + 1) * CUT : BYTES, 0};
    prompt_locate(&f.p, f.t, marks, 5);
    size_t head = strlen("<|im_start|>User: ");
    for (size_t i = 0; i < 5; i++) {
        assert_true(strlen(spell(&f, marks[i].position)) <= head + marks[i].offset);
        assert_true(strlen(spell(&f, marks[i].position + 1)) > head + marks[i].offset);
    }
    assert_int_equal(strlen(spell(&f, marks[4].position)), head + BYTES);
    free(said);
    close_fixture(&f);
}

static void test_messages_without_marks_between_them_are_found_by_bytes(void **state) {
    (void)state;
    struct fixture f;
    open_fixture(&f, vocab_open_golden("smolvlm", "text.gguf"), false);
    const struct chat_message m[] = {
        {CHAT_SYSTEM, PARTS(text("Help."))},
        {CHAT_USER, PARTS(text("One"), text("Two"))},
        {CHAT_ASSISTANT, PARTS(text("Three"))},
        {CHAT_USER, PARTS(text("Four"))},
    };
    build(&f, TEMPLATE_VICUNA, m, 4);
    const struct expected wanted[] = {
        {0, 0, WHOLE, "Help."},
        {1, 0, WHOLE, "Help.\n\nUSER: One"},
        {1, 1, WHOLE, "Help.\n\nUSER: One\nTwo"},
        {2, 0, WHOLE, "Help.\n\nUSER: One\nTwo\nASSISTANT: Three"},
    };
    expect(&f, wanted, sizeof wanted / sizeof wanted[0]);
    close_fixture(&f);
}

/* Its first token has a space that nobody wrote. */
static void test_a_vocabulary_that_adds_bytes_is_near_enough(void **state) {
    (void)state;
    struct fixture f;
    open_fixture(&f, vocab_open_golden("tokenizer", "ggml-vocab-llama-spm.gguf"), false);
    const struct chat_message m[] = {
        {CHAT_USER, PARTS(text("How many legs has a spider, and how many has an ant?"))},
        {CHAT_ASSISTANT, PARTS(text("A spider has eight legs and an ant has six of them."))},
        {CHAT_USER, PARTS(text("And a bee?"))},
    };
    build(&f, TEMPLATE_VICUNA, m, 3);
    struct prompt_mark marks[3] = {{0, 0, WHOLE, 0}, {1, 0, WHOLE, 0}, {2, 0, WHOLE, 0}};
    prompt_locate(&f.p, f.t, marks, 3);
    static const char *const ends[] = {"an ant?", "six of them.", "And a bee?"};
    for (size_t i = 0; i < 3; i++) {
        const char *end = strstr(spell(&f, f.p.count), ends[i]);
        assert_non_null(end);
        size_t bytes = (size_t)(end - f.spelled) + strlen(ends[i]);
        size_t exact = 0;
        while (strlen(spell(&f, exact)) < bytes)
            exact++;
        assert_in_range(marks[i].position + 1, exact, exact + 2); /* one more or less */
    }
    close_fixture(&f);
}

static void test_what_the_template_leaves_out_ends_where_the_last_did(void **state) {
    (void)state;
    struct fixture f;
    open_fixture(&f, vocab_open_golden("smolvlm", "text.gguf"), false);
    const struct chat_message m[] = {
        {CHAT_SYSTEM, PARTS(text("  \n"))},
        {CHAT_USER, PARTS(text("  "), text("  Hello. "), text(" "))},
        {CHAT_ASSISTANT, NULL, 0},
        {CHAT_USER, PARTS(text("Yes"))},
    };
    build(&f, TEMPLATE_LLAMA3, m, 4);
    const char *rest = "Hello.<|eot_id|>";
    const char *hello = strstr(spell(&f, f.p.count), rest);
    assert_non_null(hello);
    char until[SPELL_BYTES], before[SPELL_BYTES];
    snprintf(until, sizeof until, "%.*sHello.", (int)(hello - f.spelled), f.spelled);
    snprintf(before, sizeof before, "%.*s", (int)(hello - f.spelled), f.spelled);
    const struct expected wanted[] = {
        {0, 0, WHOLE, ""},    {1, 0, WHOLE, ""},    {1, 1, 2, before},
        {1, 1, WHOLE, until}, {1, 2, WHOLE, until}, {2, 0, 0, until},
    };
    expect(&f, wanted, sizeof wanted / sizeof wanted[0]);
    close_fixture(&f);
}

static void test_a_bos_in_front_moves_everything(void **state) {
    (void)state;
    struct vocab v = {.pre = "smollm", .add_bos = 1};
    vocab_add_bytes(&v);
    v.bos = vocab_add(&v, "<s>", TOKEN_CONTROL, 0);
    struct fixture f;
    open_fixture(&f, vocab_make(&v), false);
    vocab_clear(&v);
    const struct chat_message m[] = {{CHAT_USER, PARTS(text("Hi"))}};
    build(&f, TEMPLATE_SMOLVLM, m, 1);
    const struct expected wanted[] = {{0, 0, 1, "<s>User: H"}, {0, 0, 2, "<s>User: Hi"}};
    expect(&f, wanted, 2);
    close_fixture(&f);
}

static void test_a_raw_text_ends_where_the_prompt_does(void **state) {
    (void)state;
    struct vocab v = {.pre = "smollm", .add_bos = 1};
    vocab_add_bytes(&v);
    v.bos = vocab_add(&v, "<s>", TOKEN_CONTROL, 0);
    struct fixture f;
    open_fixture(&f, vocab_make(&v), false);
    vocab_clear(&v);
    const struct chat_message m[] = {{CHAT_RAW, PARTS(text(" Hi"), text(""), text("<s>!"))}};
    build(&f, TEMPLATE_SMOLVLM, m, 1);
    assert_int_equal(f.p.count, 1 + 3 + 4);
    const struct expected wanted[] = {
        {0, 0, 1, "<s> "}, {0, 0, 3, "<s> Hi"}, {0, 2, 3, "<s> Hi<s>"}, {0, 2, 4, "<s> Hi<s>!"}};
    expect(&f, wanted, 4);
    close_fixture(&f);
}

static void test_gemmas_system_text_is_in_the_users_turn(void **state) {
    (void)state;
    struct fixture f;
    open_fixture(&f, vocab_open_golden("smolvlm", "text.gguf"), false);
    const struct chat_message m[] = {
        {CHAT_SYSTEM, PARTS(text("Rules."))},
        {CHAT_USER, PARTS(text("Hello."))},
    };
    build(&f, TEMPLATE_GEMMA, m, 2);
    const struct expected wanted[] = {
        {0, 0, WHOLE, "<start_of_turn>user\nRules."},
        {1, 0, WHOLE, "<start_of_turn>user\nRules.\n\nHello."},
    };
    expect(&f, wanted, 2);
    close_fixture(&f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parts_end_where_the_template_goes_on),
        cmocka_unit_test(test_a_cut_inside_a_token_counts_what_lies_before_it),
        cmocka_unit_test(test_messages_without_marks_between_them_are_found_by_bytes),
        cmocka_unit_test(test_a_vocabulary_that_adds_bytes_is_near_enough),
        cmocka_unit_test(test_what_the_template_leaves_out_ends_where_the_last_did),
        cmocka_unit_test(test_a_bos_in_front_moves_everything),
        cmocka_unit_test(test_a_raw_text_ends_where_the_prompt_does),
        cmocka_unit_test(test_gemmas_system_text_is_in_the_users_turn),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
