/* worker_limits_test.c - what a worker can't do it refuses before it begins, in one sentence that
 * says what would do; and where it computes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <dirent.h>

#include "common/cpus.h"
#include "tests/support/worker_stage.h"
#include "worker/engine/engine.h"

/* With the tiny model: it exits with `code`, and says exactly one line that holds all of the words.
 */
static void expect_refusal(const char *const *flags, int code, const char *a, const char *b) {
    const char *argv[PROCESS_MAX_ARGUMENTS] = {STAGE_WORKER, "--check", "--model", STAGE_TEXT};
    char *out;
    for (size_t i = 0; flags[i] != NULL; i++)
        argv[4 + i] = flags[i];
    int exit_code = process_run(argv, NULL, true, &out);
    char *end = strchr(out, '\n');
    if (exit_code != code || end == NULL || end[1] != '\0' || strstr(out, a) == NULL ||
        strstr(out, b) == NULL)
        fail_msg("exit code %d, and: %s", exit_code, out);
    free(out);
}

/* ---- memory ---- */

static void test_a_context_that_pages_cannot_hold_is_refused(void **state) {
    (void)state;
    const char *const flags[] = {"--kv-memory", "1M", "--context", "4000", NULL};
    expect_refusal(flags, error_exit_code(ERR_LIMIT),
                   "a context of 4000 positions needs --kv-memory ", "with 1 MiB it can be ");
}

/* The number that the refusal names is one that is accepted. */
static void test_the_memory_that_a_refusal_names_is_enough(void **state) {
    (void)state;
    const char *argv[] = {STAGE_WORKER, "--check",   "--model", STAGE_TEXT, "--kv-memory",
                          "1M",         "--context", "4000",    NULL};
    char *out, needed[16];
    assert_int_equal(process_run(argv, NULL, true, &out), error_exit_code(ERR_LIMIT));
    const char *at = strstr(out, "--kv-memory ");
    assert_non_null(at);
    assert_int_equal(sscanf(at, "--kv-memory %15[0-9M]", needed), 1);
    free(out);
    argv[5] = needed;
    assert_int_equal(process_run(argv, NULL, true, &out), 0);
    assert_non_null(strstr(out, "context 4000"));
    free(out);
}

static void test_without_a_wish_the_context_is_what_fits(void **state) {
    (void)state;
    const char *const flags[] = {"--kv-memory", "1M", NULL};
    expect_refusal(flags, 0, "random-smolvlm-tiny1", "context ");
}

/* A file that is mostly a hole, so that the disk is not filled. */
static void test_a_model_larger_than_the_memory_is_refused(void **state) {
    (void)state;
    struct temp_dir dir;
    char path[TEMP_PATH_BYTES + 16];
    temp_dir_open(&dir);
    char *data = malloc(16 << 20);
    FILE *f = fopen(STAGE_TEXT, "rb");
    assert_non_null(data);
    assert_non_null(f);
    size_t size = fread(data, 1, 16 << 20, f);
    assert_true(size > 0 && size < 16 << 20);
    (void)fclose(f);
    temp_file(&dir, "large.gguf", data, size, path, sizeof path);
    free(data);
    long memory = sysconf(_SC_PHYS_PAGES) * sysconf(_SC_PAGESIZE);
    if (truncate(path, memory + (64 << 20)) == 0) {
        const char *const flags[] = {"--model", path, NULL};
        expect_refusal(flags, error_exit_code(ERR_NOMEM), path, "MiB of memory");
    }
    temp_dir_close(&dir);
}

static void test_more_streams_than_an_engine_holds_are_refused(void **state) {
    (void)state;
    char many[16], most[32];
    (void)snprintf(many, sizeof many, "%d", ENGINE_MAX_SEQUENCES + 1);
    (void)snprintf(most, sizeof most, "%d", ENGINE_MAX_SEQUENCES);
    const char *const flags[] = {"--credits", many, NULL};
    expect_refusal(flags, 2, "credits", most);
}

/* ---- CPUs ---- */

static void test_lists_of_cpus_that_make_no_sense_are_refused(void **state) {
    (void)state;
    cpu_set_t allowed;
    char one[16];
    cpus_allowed(&allowed);
    (void)snprintf(one, sizeof one, "%d", cpus_nth(&allowed, 0));
    const char *const words[] = {"--cpus", "all", NULL};
    const char *const few[] = {"--cpus", one, "--threads", "2", NULL};
    const char *const steps[] = {"--max-step-ms", "0", NULL};
    expect_refusal(words, 2, "cpus", "\"all\"");
    expect_refusal(few, 2, "cpus", "--threads 1");
    expect_refusal(steps, 2, "max-step-ms", "");
    if (!cpus_has(&allowed, CPU_SETSIZE - 1)) {
        const char *const others[] = {"--cpus", "1023", NULL};
        expect_refusal(others, 2, "CPU 1023", "we may use");
    }
}

/* How many threads of a process may run on exactly one CPU of `cpus`; all must keep to them. */
static int pinned_threads(const struct process *p, const cpu_set_t *cpus) {
    char path[64];
    (void)snprintf(path, sizeof path, "/proc/%ld/task", (long)p->pid);
    DIR *tasks = opendir(path);
    assert_non_null(tasks);
    int pinned = 0;
    for (struct dirent *entry; (entry = readdir(tasks)) != NULL;) {
        cpu_set_t set, both;
        if (entry->d_name[0] == '.')
            continue;
        if (sched_getaffinity((pid_t)strtol(entry->d_name, NULL, 10), sizeof set, &set) != 0)
            continue; /* it has ended */
        CPU_AND(&both, &set, cpus);
        assert_true(CPU_EQUAL(&both, &set));
        pinned += CPU_COUNT(&set) == 1;
    }
    (void)closedir(tasks);
    return pinned;
}

static void test_threads_that_compute_stay_on_a_cpu_each(void **state) {
    (void)state;
    struct stage s;
    struct msg_done done;
    cpu_set_t allowed, two;
    char list[CPUS_TEXT_BYTES];
    cpus_allowed(&allowed);
    if (CPU_COUNT(&allowed) < 2)
        return; /* with one CPU all are on it anyway */
    CPU_ZERO(&two);
    cpus_add(&two, cpus_nth(&allowed, 0));
    cpus_add(&two, cpus_nth(&allowed, 1));
    cpus_write(&two, list);
    const char *const more[] = {"--cpus", list, "--threads", "2", NULL};
    stage_open(&s, NULL, more);
    stage_come_up(&s);
    stage_ask(&s, 1, false, 4);
    stage_expect_done(&s, 1, &done);
    assert_int_equal(pinned_threads(&s.worker, &two), 2);
    stage_close(&s);
}

/* A copy of the model whose template's last words are these. */
static void write_with_template(const struct temp_dir *dir, const char *words, char *path,
                                size_t path_size) {
    static const char key[] = "tokenizer.chat_template";
    FILE *f = fopen(STAGE_TEXT, "rb");
    assert_non_null(f);
    assert_int_equal(fseek(f, 0, SEEK_END), 0);
    size_t size = (size_t)ftell(f);
    char *data = malloc(size);
    assert_non_null(data);
    rewind(f);
    assert_int_equal(fread(data, 1, size, f), size);
    (void)fclose(f);
    char *at = memmem(data, size, key, sizeof key - 1);
    assert_non_null(at);
    at += sizeof key - 1 + 4; /* behind the value's type */
    uint64_t length;          /* little-endian, as this machine is */
    memcpy(&length, at, sizeof length);
    assert_true(length > strlen(words) && length < 4096);
    memcpy(at + sizeof length + length - strlen(words), words, strlen(words));
    temp_file(dir, "model.gguf", data, size, path, path_size);
    free(data);
}

static void expect_tools(const char *words, const char *template, const char *tools) {
    struct stage s;
    struct temp_dir dir;
    struct msg_ready ready;
    char path[TEMP_PATH_BYTES + 16];
    temp_dir_open(&dir);
    write_with_template(&dir, words, path, sizeof path);
    const char *const more[] = {"--model", path, "--chat-template", template, NULL};
    stage_open(&s, NULL, more);
    assert_int_equal(fake_next(&s.broker), MSG_READY);
    assert_int_equal(ready_decode(&ready, fake_frame(&s.broker), NULL), 0);
    assert_int_equal(ready.tools.size, strlen(tools));
    assert_memory_equal(ready.tools.data, tools, strlen(tools));
    stage_close(&s);
    temp_dir_close(&dir);
}

static void test_ready_tells_whether_the_template_speaks_of_tools(void **state) {
    (void)state;
    expect_tools("<tool_call>", "chatml", "hermes");
    expect_tools("<tool_cell>", "chatml", "");
    expect_tools("<tool_call>", "smolvlm", "");
}

static void test_computing_without_avx2_is_warned_of(void **state) {
    (void)state;
    struct stage s;
    struct msg_done done;
    (void)setenv("QUIRE_ISA", "portable", 1);
    stage_open(&s, NULL, NULL);
    stage_come_up(&s);
    stage_ask(&s, 1, false, 2);
    stage_expect_done(&s, 1, &done);
    stage_expect_log(&s, "slow-cpu");
    stage_close(&s);
    (void)unsetenv("QUIRE_ISA");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_context_that_pages_cannot_hold_is_refused),
        cmocka_unit_test(test_the_memory_that_a_refusal_names_is_enough),
        cmocka_unit_test(test_without_a_wish_the_context_is_what_fits),
        cmocka_unit_test(test_a_model_larger_than_the_memory_is_refused),
        cmocka_unit_test(test_more_streams_than_an_engine_holds_are_refused),
        cmocka_unit_test(test_lists_of_cpus_that_make_no_sense_are_refused),
        cmocka_unit_test(test_threads_that_compute_stay_on_a_cpu_each),
        cmocka_unit_test(test_ready_tells_whether_the_template_speaks_of_tools),
        cmocka_unit_test(test_computing_without_avx2_is_warned_of),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
