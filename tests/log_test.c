/* log_test.c - lines of the log, as text and as JSON. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <jansson.h>

#include "common/log.h"
#include "common/must.h"

static char line[8192];
static int saved, ends[2];

/* What is written to standard error until `take` comes here. */
static void catch_lines(void) {
    MUST(pipe2(ends, O_CLOEXEC) == 0 && (saved = dup(STDERR_FILENO)) >= 0);
    MUST(dup2(ends[1], STDERR_FILENO) == STDERR_FILENO);
    close(ends[1]);
}

static void take(void) {
    MUST(dup2(saved, STDERR_FILENO) == STDERR_FILENO);
    close(saved);
    ssize_t n = read(ends[0], line, sizeof line - 1);
    close(ends[0]);
    line[n > 0 ? n : 0] = '\0';
}

static json_t *json_line(void) {
    size_t n = strlen(line);
    assert_true(n > 0 && line[n - 1] == '\n' && strchr(line, '\n') == line + n - 1);
    json_t *value = json_loads(line, JSON_REJECT_DUPLICATES, NULL);
    if (value == NULL)
        fail_msg("no JSON: %s", line);
    return value;
}

static const char *text_of(const json_t *value, const char *name) {
    const char *s = json_string_value(json_object_get(value, name));
    return s ? s : "(none)";
}

static void test_a_line_is_time_level_id_and_facts(void **state) {
    (void)state;
    log_set_json(false);
    catch_lines();
    log_warn("worker-lost", "worker=%u name=%s", 3U, "a\nb\x1b");
    take();
    assert_non_null(strstr(line, "Z warn worker-lost worker=3 name=a b \n"));
}

static void test_facts_become_members(void **state) {
    (void)state;
    log_set_json(true);
    catch_lines();
    log_info("request", "id=%s status=%d ms=%.1f code=%s agent=%s last=%s", "0012", 200, 1.5, "1e5",
             "two words", "a\"b\\c");
    take();
    json_t *v = json_line();
    assert_string_equal(text_of(v, "event"), "request");
    assert_string_equal(text_of(v, "level"), "info");
    assert_string_equal(text_of(v, "id"), "0012"); /* no number of JSON's */
    assert_int_equal(json_integer_value(json_object_get(v, "status")), 200);
    assert_true(json_is_real(json_object_get(v, "ms")));
    assert_string_equal(text_of(v, "code"), "1e5");
    assert_string_equal(text_of(v, "agent"), "two words");
    assert_string_equal(text_of(v, "last"), "a\"b\\c");
    json_decref(v);
}

static void test_a_sentence_is_text(void **state) {
    (void)state;
    log_set_json(true);
    catch_lines();
    log_error("keys-kept", "the old keys stay: line 3 is no key");
    take();
    json_t *v = json_line();
    assert_string_equal(text_of(v, "text"), "the old keys stay: line 3 is no key");
    json_decref(v);
}

static void test_any_facts_make_one_line_of_json(void **state) {
    (void)state;
    unsigned seed = 3;
    log_set_json(true);
    for (int i = 0; i < 3000; i++) {
        char facts[1500];
        size_t n = 1 + (size_t)rand_r(&seed) % (sizeof facts - 2);
        for (size_t k = 0; k < n; k++) {
            static const char usual[] = "ab= =0.1-\"\\";
            int r = rand_r(&seed);
            facts[k] = (char)(r % 4 ? usual[(size_t)r / 4 % (sizeof usual - 1)] : 1 + r / 4 % 255);
        }
        facts[n] = '\0';
        catch_lines();
        log_info("random", "%s", facts);
        take();
        /* A name may come twice here, in our own lines it does not. */
        json_t *value = json_loads(line, 0, NULL);
        if (value == NULL)
            fail_msg("no JSON: %s", line);
        json_decref(value);
        assert_true(strchr(line, '\n') == line + strlen(line) - 1);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_line_is_time_level_id_and_facts),
        cmocka_unit_test(test_facts_become_members),
        cmocka_unit_test(test_a_sentence_is_text),
        cmocka_unit_test(test_any_facts_make_one_line_of_json),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
