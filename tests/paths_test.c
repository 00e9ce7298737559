/* paths_test.c - the runtime directory. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/paths.h"
#include "tests/support/temp.h"

static void use_directory(const struct temp_dir *t, const char *name, char *out, size_t capacity) {
    (void)snprintf(out, capacity, "%s/%s", t->path, name);
    setenv("QUIRE_RUNTIME_DIR", out, 1);
}

static void test_the_directory_is_made_for_the_owner_alone(void **state) {
    (void)state;
    struct temp_dir t;
    temp_dir_open(&t);
    char dir[256], endpoint[PATHS_ENDPOINT_BYTES];
    struct error e;
    use_directory(&t, "run", dir, sizeof dir);
    assert_int_equal(paths_endpoint(endpoint, sizeof endpoint, "clients", &e), 0);
    struct stat st;
    assert_int_equal(stat(dir, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0700);
    assert_non_null(strstr(endpoint, "/run/clients.ipc"));
    temp_dir_close(&t);
}

static void test_a_directory_open_to_others_is_refused(void **state) {
    (void)state;
    struct temp_dir t;
    temp_dir_open(&t);
    char dir[256], out[PATHS_ENDPOINT_BYTES];
    struct error e;
    use_directory(&t, "wide", dir, sizeof dir);
    assert_int_equal(mkdir(dir, 0755), 0);
    assert_int_equal(chmod(dir, 0755), 0);
    assert_int_equal(paths_runtime_dir(out, sizeof out, &e), ERR_IO);
    assert_non_null(strstr(e.text, "755"));
    temp_dir_close(&t);
}

static void test_a_link_in_its_place_is_refused(void **state) {
    (void)state;
    struct temp_dir t;
    temp_dir_open(&t);
    char dir[256], out[PATHS_ENDPOINT_BYTES];
    struct error e;
    use_directory(&t, "link", dir, sizeof dir);
    assert_int_equal(symlink("/tmp", dir), 0);
    assert_int_equal(paths_runtime_dir(out, sizeof out, &e), ERR_IO);
    temp_dir_close(&t);
}

static void test_a_path_too_long_for_a_socket_is_refused(void **state) {
    (void)state;
    char out[PATHS_ENDPOINT_BYTES];
    char longest[300] = "/tmp/";
    struct error e;
    memset(longest + 5, 'x', sizeof longest - 6);
    setenv("QUIRE_RUNTIME_DIR", longest, 1);
    assert_int_equal(paths_endpoint(out, sizeof out, "clients", &e), ERR_LIMIT);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_directory_is_made_for_the_owner_alone),
        cmocka_unit_test(test_a_directory_open_to_others_is_refused),
        cmocka_unit_test(test_a_link_in_its_place_is_refused),
        cmocka_unit_test(test_a_path_too_long_for_a_socket_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
