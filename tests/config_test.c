/* config_test.c - settings from file, environment and flags. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/config.h"
#include "tests/support/temp.h"

struct settings {
    const char *model;
    int64_t threads, memory;
    double rate;
    bool pin;
    struct config_list pictures;
};

/* One run of config_load over `file` (NULL: none), with argv given as words. */
struct load {
    struct settings s;
    struct config c;
    struct config_item items[6];
    struct error e;
    struct temp_dir dir;
    int operands;
    enum config_outcome outcome;
};

static int load(struct load *l, const char *file, int argc, const char **words) {
    memset(l, 0, sizeof *l);
    l->s.threads = 2;
    const struct config_item items[] = {
        {"model", 'm', CONFIG_TEXT, &l->s.model, 0, 0, "FILE", "the model"},
        {"threads", 't', CONFIG_INT, &l->s.threads, 1, 64, "N", "threads"},
        {"kv-memory", 0, CONFIG_BYTES, &l->s.memory, 0, 1e15, "SIZE", "memory"},
        {"rate", 0, CONFIG_REAL, &l->s.rate, 0, 1, "R", "a rate"},
        {"pin", 0, CONFIG_SWITCH, &l->s.pin, 0, 0, NULL, "pin threads"},
        {"image", 'i', CONFIG_LIST, &l->s.pictures, 0, 0, "FILE", "pictures"},
    };
    memcpy(l->items, items, sizeof items);
    l->c = (struct config){.program = "quire-test",
                           .section = "worker",
                           .usage = "quire-test",
                           .summary = "A test.",
                           .items = l->items,
                           .n_items = 6};
    temp_dir_open(&l->dir);
    char path[256];
    char *argv[16] = {(char *)(uintptr_t) "quire-test"};
    int n = 1;
    if (file) {
        temp_file(&l->dir, "quire.ini", file, strlen(file), path, sizeof path);
        argv[n++] = (char *)(uintptr_t) "--config";
        argv[n++] = path;
    }
    for (int i = 0; i < argc; i++)
        argv[n++] = (char *)(uintptr_t)words[i];
    int r = config_load(&l->c, n, argv, &l->operands, &l->outcome, &l->e);
    temp_dir_close(&l->dir);
    return r;
}

static void test_flags_win_over_the_environment_and_it_over_the_file(void **state) {
    (void)state;
    struct load l;
    const char *words[] = {"--threads", "8"};
    const char *file = "[worker]\nthreads = 3\nkv-memory = 1G\nmodel = a.gguf\n";
    setenv("QUIRE_THREADS", "5", 1);
    setenv("QUIRE_KV_MEMORY", "2G", 1);
    assert_int_equal(load(&l, file, 2, words), 0);
    unsetenv("QUIRE_THREADS");
    unsetenv("QUIRE_KV_MEMORY");
    assert_int_equal(l.s.threads, 8);
    assert_int_equal(l.s.memory, INT64_C(2) << 30);
    assert_string_equal(l.s.model, "a.gguf");
    config_close(&l.c);
}

static void test_defaults_stay_when_nobody_says_anything(void **state) {
    (void)state;
    struct load l;
    assert_int_equal(load(&l, NULL, 0, NULL), 0);
    assert_int_equal(l.s.threads, 2);
    assert_null(l.s.model);
    config_close(&l.c);
}

static void test_keys_before_any_section_are_for_every_program(void **state) {
    (void)state;
    struct load l;
    const char *file = "threads = 7\nunheard-of = 1\n[broker]\nqueue = 1\n";
    assert_int_equal(load(&l, file, 0, NULL), 0);
    assert_int_equal(l.s.threads, 7);
    config_close(&l.c);
}

static void test_an_unknown_key_in_the_own_section_is_refused_by_name(void **state) {
    (void)state;
    struct load l;
    assert_int_equal(load(&l, "[worker]\nthreds = 3\n", 0, NULL), ERR_USAGE);
    assert_non_null(strstr(l.e.text, "threds"));
    assert_non_null(strstr(l.e.text, "quire.ini"));
    config_close(&l.c);
}

static void test_a_line_that_is_no_setting_is_refused_by_number(void **state) {
    (void)state;
    struct load l;
    assert_int_equal(load(&l, "[worker]\nthreads = 3\nnonsense\n", 0, NULL), ERR_USAGE);
    assert_non_null(strstr(l.e.text, "quire.ini:3"));
    config_close(&l.c);
}

static void test_a_named_file_must_exist(void **state) {
    (void)state;
    struct load l;
    const char *words[] = {"--config", "/nonexistent/quire.ini"};
    assert_int_equal(load(&l, NULL, 2, words), ERR_USAGE);
    assert_non_null(strstr(l.e.text, "/nonexistent/quire.ini"));
    config_close(&l.c);
}

static void test_a_number_out_of_range_is_refused_with_the_range(void **state) {
    (void)state;
    struct load l;
    const char *words[] = {"-t", "65"};
    assert_int_equal(load(&l, NULL, 2, words), ERR_USAGE);
    assert_non_null(strstr(l.e.text, "64"));
    config_close(&l.c);
}

static void test_words_that_are_not_numbers_are_refused(void **state) {
    (void)state;
    const char *bad[][2] = {
        {"--threads", "2x"}, {"--rate", "nan"}, {"--kv-memory", "2Q"}, {"--threads", ""}};
    for (size_t i = 0; i < 4; i++) {
        struct load l;
        assert_int_equal(load(&l, NULL, 2, bad[i]), ERR_USAGE);
        config_close(&l.c);
    }
}

static void test_switches_can_be_negated(void **state) {
    (void)state;
    struct load l;
    const char *words[] = {"--no-pin"};
    assert_int_equal(load(&l, "[worker]\npin = yes\n", 1, words), 0);
    assert_false(l.s.pin);
    config_close(&l.c);
}

static void test_a_flag_may_be_given_many_times(void **state) {
    (void)state;
    struct load l;
    const char *words[] = {"-i", "a.png", "question", "--image", "b.png"};
    assert_int_equal(load(&l, NULL, 5, words), 0);
    assert_int_equal(l.s.pictures.count, 2);
    assert_string_equal(l.s.pictures.values[1], "b.png");
    config_close(&l.c);
}

static void test_an_unknown_flag_is_named(void **state) {
    (void)state;
    struct load l;
    const char *words[] = {"--thread-count", "3"};
    assert_int_equal(load(&l, NULL, 2, words), ERR_USAGE);
    assert_non_null(strstr(l.e.text, "--thread-count"));
    config_close(&l.c);
}

static void test_sizes_have_suffixes(void **state) {
    (void)state;
    int64_t n;
    assert_int_equal(config_parse_bytes("65536", &n), 0);
    assert_int_equal(n, 65536);
    assert_int_equal(config_parse_bytes("3k", &n), 0);
    assert_int_equal(n, 3072);
    assert_int_equal(config_parse_bytes("1GiB", &n), 0);
    assert_int_equal(n, 1 << 30);
    assert_int_equal(config_parse_bytes("-1", &n), -1);
    assert_int_equal(config_parse_bytes("8000000T", &n), 0);
    assert_int_equal(config_parse_bytes("9000000000T", &n), -1);
    assert_int_equal(config_parse_bytes("M", &n), -1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_flags_win_over_the_environment_and_it_over_the_file),
        cmocka_unit_test(test_defaults_stay_when_nobody_says_anything),
        cmocka_unit_test(test_keys_before_any_section_are_for_every_program),
        cmocka_unit_test(test_an_unknown_key_in_the_own_section_is_refused_by_name),
        cmocka_unit_test(test_a_line_that_is_no_setting_is_refused_by_number),
        cmocka_unit_test(test_a_named_file_must_exist),
        cmocka_unit_test(test_a_number_out_of_range_is_refused_with_the_range),
        cmocka_unit_test(test_words_that_are_not_numbers_are_refused),
        cmocka_unit_test(test_switches_can_be_negated),
        cmocka_unit_test(test_a_flag_may_be_given_many_times),
        cmocka_unit_test(test_an_unknown_flag_is_named),
        cmocka_unit_test(test_sizes_have_suffixes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
