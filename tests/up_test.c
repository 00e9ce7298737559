/* up_test.c - quire up: starts a pool, restarts what dies, and leaves nothing behind. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>

#include <cmocka.h>

#include "client/quire.h"
#include "common/clock.h"
#include "common/cpus.h"
#include "tests/support/process.h"
#include "tests/support/temp.h"

struct local_pool {
    struct temp_dir dir;
    char out[TEMP_PATH_BYTES + 16];
    struct process up;
    struct quire_client *client;
};

static void wait_for_workers(struct local_pool *l, size_t n, struct quire_worker *out) {
    int64_t deadline = clock_ms() + PROCESS_WAIT_MS;
    while (clock_ms() < deadline) {
        struct quire_worker *list = NULL;
        size_t count = 0;
        if (l->client == NULL)
            (void)quire_open(&l->client, NULL, 500, NULL);
        if (l->client && quire_workers(l->client, 500, &list, &count, NULL) == 0 && count == n) {
            memcpy(out, list, n * sizeof *out);
            free(list);
            return;
        }
        free(list);
        nanosleep(&(struct timespec){0, 50000000}, NULL);
    }
    char *log = process_read_file(l->out);
    fail_msg("there are not %zu workers; the pool said:\n%s", n, log);
}

static void start_with(struct local_pool *l, const char *flag) {
    memset(l, 0, sizeof *l);
    temp_dir_open(&l->dir);
    (void)snprintf(l->out, sizeof l->out, "%s/out", l->dir.path);
    setenv("QUIRE_RUNTIME_DIR", l->dir.path, 1);
    setenv("QUIRE_PACKS", l->dir.path, 1);
    setenv("QUIRE_CONFIG", "/dev/null", 1);
    unsetenv("QUIRE_ENDPOINT");
    const char *argv[] = {QUIRE_BIN_DIR "/quire",
                          "up",
                          "--workers",
                          "2",
                          "--threads",
                          "1",
                          "--kv-memory",
                          "64M",
                          "--http",
                          "off",
                          "--model",
                          QUIRE_GOLDEN_DIR "/smolvlm/text.gguf",
                          "--mmproj",
                          QUIRE_GOLDEN_DIR "/smolvlm/mmproj.gguf",
                          flag,
                          NULL};
    process_start(&l->up, argv, l->out, l->out);
}

static void start(struct local_pool *l) {
    start_with(l, NULL);
}

static void finish(struct local_pool *l) {
    quire_close(l->client);
    process_kill(&l->up);
    temp_dir_close(&l->dir);
}

static bool lives(pid_t pid) {
    return kill(pid, 0) == 0;
}

static void wait_until_gone(pid_t pid) {
    int64_t deadline = clock_ms() + PROCESS_WAIT_MS;
    while (lives(pid) && clock_ms() < deadline)
        nanosleep(&(struct timespec){0, 20000000}, NULL);
    assert_false(lives(pid));
}

static void test_it_starts_a_pool_says_so_and_stops_on_request(void **state) {
    (void)state;
    struct local_pool l;
    struct quire_worker workers[2];
    start(&l);
    wait_for_workers(&l, 2, workers);
    int64_t deadline = clock_ms() + PROCESS_WAIT_MS;
    char *said = NULL;
    do {
        free(said);
        nanosleep(&(struct timespec){0, 20000000}, NULL);
        said = process_read_file(l.out);
    } while (strstr(said, "quire is up: 2 workers") == NULL && clock_ms() < deadline);
    assert_non_null(strstr(said, "quire is up: 2 workers"));
    free(said);
    process_signal(&l.up, SIGINT);
    int status = process_wait(&l.up, PROCESS_WAIT_MS);
    assert_true(status >= 0 && WIFEXITED(status) && WEXITSTATUS(status) == 0);
    assert_false(lives((pid_t)workers[0].pid));
    assert_false(lives((pid_t)workers[1].pid));
    finish(&l);
}

static void test_a_killed_worker_is_started_again(void **state) {
    (void)state;
    struct local_pool l;
    struct quire_worker before[2], after[2];
    start(&l);
    wait_for_workers(&l, 2, before);
    kill((pid_t)before[0].pid, SIGKILL);
    int64_t deadline = clock_ms() + PROCESS_WAIT_MS;
    bool back = false;
    while (!back && clock_ms() < deadline) {
        wait_for_workers(&l, 2, after);
        for (int i = 0; i < 2; i++)
            if (strcmp(after[i].name, before[0].name) == 0)
                back = after[i].pid != before[0].pid && after[i].state == QUIRE_WORKER_UP;
    }
    assert_true(back);
    finish(&l);
}

static void test_children_do_not_outlive_a_killed_parent(void **state) {
    (void)state;
    struct local_pool l;
    struct quire_worker workers[2];
    start(&l);
    wait_for_workers(&l, 2, workers);
    process_kill(&l.up);
    wait_until_gone((pid_t)workers[0].pid);
    wait_until_gone((pid_t)workers[1].pid);
    finish(&l);
}

static void test_a_second_pool_in_the_same_place_is_refused(void **state) {
    (void)state;
    struct local_pool l;
    struct quire_worker workers[2];
    start(&l);
    wait_for_workers(&l, 2, workers);
    const char *argv[] = {QUIRE_BIN_DIR "/quire",
                          "up",
                          "--http",
                          "off",
                          "--model",
                          QUIRE_GOLDEN_DIR "/smolvlm/text.gguf",
                          NULL};
    char *said;
    assert_true(process_run(argv, NULL, true, &said) > 0);
    assert_non_null(strstr(said, "already served"));
    assert_null(strstr(said, "quire is up"));
    free(said);
    wait_for_workers(&l, 2, workers);
    finish(&l);
}

static void test_an_ignored_hangup_stays_ignored(void **state) {
    (void)state;
    struct local_pool l;
    struct quire_worker workers[2];
    signal(SIGHUP, SIG_IGN); /* as nohup does */
    start(&l);
    signal(SIGHUP, SIG_DFL);
    wait_for_workers(&l, 2, workers);
    process_signal(&l.up, SIGHUP);
    assert_int_equal(process_wait(&l.up, 300), -1);
    process_signal(&l.up, SIGTERM);
    int status = process_wait(&l.up, PROCESS_WAIT_MS);
    assert_true(status >= 0 && WIFEXITED(status) && WEXITSTATUS(status) == 0);
    finish(&l);
}

static void test_pinned_workers_have_cpus_of_their_own(void **state) {
    (void)state;
    struct local_pool l;
    struct quire_worker workers[2];
    cpu_set_t allowed, own[2], both;
    cpus_allowed(&allowed);
    start_with(&l, "--pin");
    if (CPU_COUNT(&allowed) < 2) {
        int status = process_wait(&l.up, PROCESS_WAIT_MS);
        assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 2);
    } else {
        wait_for_workers(&l, 2, workers);
        for (int i = 0; i < 2; i++) {
            assert_int_equal(sched_getaffinity((pid_t)workers[i].pid, sizeof own[i], &own[i]), 0);
            assert_true(CPU_COUNT(&own[i]) > 0);
        }
        CPU_AND(&both, &own[0], &own[1]);
        assert_int_equal(CPU_COUNT(&both), 0);
        CPU_OR(&both, &own[0], &own[1]);
        assert_true(CPU_EQUAL(&both, &allowed));
    }
    finish(&l);
}

static void test_settings_of_workers_reach_them(void **state) {
    (void)state;
    struct local_pool l;
    start_with(&l, "--kv-type=f12");
    int status = process_wait(&l.up, PROCESS_WAIT_MS);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) != 0);
    char *said = process_read_file(l.out);
    assert_non_null(strstr(said, "quire-worker: "));
    assert_non_null(strstr(said, "f12"));
    free(said);
    finish(&l);
}

static void test_a_missing_model_ends_it_with_one_sentence(void **state) {
    (void)state;
    struct temp_dir dir;
    temp_dir_open(&dir);
    setenv("QUIRE_RUNTIME_DIR", dir.path, 1);
    const char *argv[] = {QUIRE_BIN_DIR "/quire", "up", "--model", "/nonexistent/model.gguf", NULL};
    char *said;
    int code = process_run(argv, NULL, true, &said);
    assert_true(code > 0);
    assert_non_null(strstr(said, "/nonexistent/model.gguf"));
    free(said);
    temp_dir_close(&dir);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_it_starts_a_pool_says_so_and_stops_on_request),
        cmocka_unit_test(test_a_killed_worker_is_started_again),
        cmocka_unit_test(test_children_do_not_outlive_a_killed_parent),
        cmocka_unit_test(test_a_second_pool_in_the_same_place_is_refused),
        cmocka_unit_test(test_an_ignored_hangup_stays_ignored),
        cmocka_unit_test(test_pinned_workers_have_cpus_of_their_own),
        cmocka_unit_test(test_settings_of_workers_reach_them),
        cmocka_unit_test(test_a_missing_model_ends_it_with_one_sentence),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
