/* error_test.c - codes, names and sentences. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "common/error.h"

static void test_every_code_has_a_name_of_its_own(void **state) {
    (void)state;
    for (int a = ERR_TIMEOUT; a <= 0; a++) {
        assert_string_not_equal(error_name(a), "unknown");
        for (int b = ERR_TIMEOUT; b < a; b++)
            assert_string_not_equal(error_name(a), error_name(b));
    }
    assert_string_equal(error_name(ERR_TIMEOUT - 1), "unknown");
}

static void test_only_success_exits_with_zero(void **state) {
    (void)state;
    assert_int_equal(error_exit_code(0), 0);
    for (int a = ERR_TIMEOUT; a < 0; a++)
        assert_int_not_equal(error_exit_code(a), 0);
}

static void test_a_prefix_goes_before_the_sentence(void **state) {
    (void)state;
    struct error e;
    assert_int_equal(error_set(&e, ERR_IO, "it is %d", 7), ERR_IO);
    error_prefix(&e, "%s", "file.gguf");
    assert_string_equal(e.text, "file.gguf: it is 7");
    assert_int_equal(e.code, ERR_IO);
}

static void test_a_long_sentence_is_cut_and_still_ends(void **state) {
    (void)state;
    struct error e;
    char word[2 * ERROR_TEXT_BYTES];
    memset(word, 'x', sizeof word);
    word[sizeof word - 1] = '\0';
    error_set(&e, ERR_IO, "%s", word);
    assert_int_equal(strlen(e.text), ERROR_TEXT_BYTES - 1);
    error_prefix(&e, "%s", word);
    assert_int_equal(strlen(e.text), ERROR_TEXT_BYTES - 1);
}

static void test_nobody_has_to_listen(void **state) {
    (void)state;
    assert_int_equal(error_set(NULL, ERR_LIMIT, "unheard"), ERR_LIMIT);
    error_prefix(NULL, "unheard");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_code_has_a_name_of_its_own),
        cmocka_unit_test(test_only_success_exits_with_zero),
        cmocka_unit_test(test_a_prefix_goes_before_the_sentence),
        cmocka_unit_test(test_a_long_sentence_is_cut_and_still_ends),
        cmocka_unit_test(test_nobody_has_to_listen),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
