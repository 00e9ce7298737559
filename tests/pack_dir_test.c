/* pack_dir_test.c - where packs are kept by default, and that old ones go. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/log.h"
#include "tests/support/temp.h"
#include "worker/engine/pack_dir.h"

static struct temp_dir temp;
static int dir;

static int open_dir(void **state) {
    (void)state;
    log_set_level(LOG_ERROR);
    temp_dir_open(&temp);
    return pack_dir_open(temp.path, &dir, NULL);
}

static int close_dir(void **state) {
    (void)state;
    close(dir);
    temp_dir_close(&temp);
    return 0;
}

static const char *name_of(int i) {
    static char name[64];
    (void)snprintf(name, sizeof name, "m%d" PACK_SUFFIX, i);
    return name;
}

/* A sparse file that was last used at that second. */
static void put_file(const char *name, int64_t bytes, int second) {
    int fd = openat(dir, name, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(ftruncate(fd, bytes), 0);
    const struct timespec times[2] = {{second, 0}, {second, 0}};
    assert_int_equal(futimens(fd, times), 0);
    close(fd);
}

static bool is_there(const char *name) {
    return faccessat(dir, name, F_OK, 0) == 0;
}

static void test_the_oldest_packs_go_when_there_are_too_many(void **state) {
    (void)state;
    for (int i = 0; i < PACK_DIR_FILES; i++)
        put_file(name_of(i), 1000, 100 + (i + 3) % PACK_DIR_FILES);
    pack_dir_tidy(dir, "new" PACK_SUFFIX, 1000);
    for (int i = 0; i < PACK_DIR_FILES; i++)
        assert_int_equal(is_there(name_of(i)), i != PACK_DIR_FILES - 3);
}

static void test_the_oldest_packs_go_when_they_are_too_large(void **state) {
    (void)state;
    int64_t third = (int64_t)(PACK_DIR_TOTAL_BYTES / 3);
    for (int i = 0; i < 3; i++)
        put_file(name_of(i), third, 100 + i);
    pack_dir_tidy(dir, "new" PACK_SUFFIX, 2 * (uint64_t)third);
    assert_false(is_there(name_of(0)));
    assert_false(is_there(name_of(1)));
    assert_true(is_there(name_of(2)));
}

static void test_a_pack_in_use_stays_however_old_it_is(void **state) {
    (void)state;
    for (int i = 0; i < PACK_DIR_FILES; i++)
        put_file(name_of(i), 1000, 100 + i);
    int fd = openat(dir, name_of(0), O_RDONLY | O_CLOEXEC);
    assert_int_equal(flock(fd, LOCK_SH), 0);
    pack_dir_tidy(dir, "new" PACK_SUFFIX, 1000);
    assert_true(is_there(name_of(0)));
    assert_false(is_there(name_of(1)));
    assert_true(is_there(name_of(2)));
    close(fd);
}

static void test_a_pack_that_is_larger_than_all_may_be_stands_alone(void **state) {
    (void)state;
    put_file(name_of(0), 1000, 100);
    pack_dir_tidy(dir, "new" PACK_SUFFIX, 2 * PACK_DIR_TOTAL_BYTES);
    assert_false(is_there(name_of(0)));
}

static void test_only_files_that_nobody_finishes_are_removed(void **state) {
    (void)state;
    const char *left = "left" PACK_SUFFIX PACK_PART_SUFFIX;
    const char *building = "building" PACK_SUFFIX PACK_PART_SUFFIX;
    const char *own = "new" PACK_SUFFIX PACK_PART_SUFFIX;
    put_file(left, 1, 1);
    put_file(building, 1, 1);
    put_file(own, 1, 1);
    put_file("notes.txt", 1, 1);
    int fd = openat(dir, building, O_RDONLY | O_CLOEXEC);
    assert_int_equal(flock(fd, LOCK_EX), 0);
    pack_dir_tidy(dir, "new" PACK_SUFFIX, 1000);
    assert_false(is_there(left));
    assert_true(is_there(building));
    assert_true(is_there(own));
    assert_true(is_there("notes.txt"));
    close(fd);
}

static void test_directories_are_made_for_the_user_alone(void **state) {
    (void)state;
    char path[TEMP_PATH_BYTES + 32];
    struct stat st;
    int fd;
    (void)snprintf(path, sizeof path, "%s/a/b/c", temp.path);
    assert_int_equal(pack_dir_open(path, &fd, NULL), 0);
    assert_int_equal(fstat(fd, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0700);
    close(fd);
    assert_int_equal(pack_dir_open(path, &fd, NULL), 0); /* again is fine */
    close(fd);
}

static void test_the_default_is_the_cache_of_the_user(void **state) {
    (void)state;
    char path[64];
    struct error e = {0};
    setenv("HOME", "/home/x", 1);
    setenv("XDG_CACHE_HOME", "/cache", 1);
    assert_int_equal(pack_dir_default(path, sizeof path, &e), 0);
    assert_string_equal(path, "/cache/quire");
    setenv("XDG_CACHE_HOME", "not/absolute", 1);
    assert_int_equal(pack_dir_default(path, sizeof path, &e), 0);
    assert_string_equal(path, "/home/x/.cache/quire");
    unsetenv("XDG_CACHE_HOME");
    assert_int_equal(pack_dir_default(path, 10, &e), ERR_LIMIT);
    unsetenv("HOME");
    assert_int_equal(pack_dir_default(path, sizeof path, &e), ERR_NOT_FOUND);
}

int main(void) {
#define in_a_directory(test) cmocka_unit_test_setup_teardown(test, open_dir, close_dir)
    const struct CMUnitTest tests[] = {
        in_a_directory(test_the_oldest_packs_go_when_there_are_too_many),
        in_a_directory(test_the_oldest_packs_go_when_they_are_too_large),
        in_a_directory(test_a_pack_in_use_stays_however_old_it_is),
        in_a_directory(test_a_pack_that_is_larger_than_all_may_be_stands_alone),
        in_a_directory(test_only_files_that_nobody_finishes_are_removed),
        in_a_directory(test_directories_are_made_for_the_user_alone),
        cmocka_unit_test(test_the_default_is_the_cache_of_the_user),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
