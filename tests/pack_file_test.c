/* pack_file_test.c - packs shared between processes: found, built once, and never believed when
 * they are stale, cut off or damaged. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <dirent.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/log.h"
#include "tests/support/packable.h"
#include "tests/support/random_weight.h"
#include "tests/support/temp.h"
#include "worker/engine/pack.h"
#include "worker/engine/pack_build.h"
#include "worker/engine/pack_dir.h"

#define STARTS 6    /* processes that start at once */
#define WAIT_MS 200 /* of a start that is not to get the lock */
#define PATH_BYTES 512

static struct packable model;
static struct temp_dir temp;

static int open_all(void **state) {
    (void)state;
    log_set_level(LOG_ERROR);
    packable_open(&model, 1);
    temp_dir_open(&temp);
    return 0;
}

static int close_all(void **state) {
    (void)state;
    packable_close(&model);
    temp_dir_close(&temp);
    return 0;
}

/* A directory of its own for each test. */
static struct pack_share share_in(const char *name) {
    static char dir[PATH_BYTES];
    (void)snprintf(dir, sizeof dir, "%s/%s", temp.path, name);
    return (struct pack_share){
        .dir = dir, .fingerprint = {1, 2, 3}, .source_bytes = 1000, .source_mtime_ns = 5};
}

/* Opens a pack with a team of two, checks all it holds, closes it, and says where it was from. */
static enum pack_origin origin_of(const struct pack_share *share) {
    struct team *team;
    struct pack *pack;
    assert_int_equal(team_open(&team, 2, NULL), 0);
    assert_int_equal(pack_open(&pack, &model.model, team, share, NULL), 0);
    enum pack_origin origin = pack_origin(pack);
    assert_true(packable_is_packed(&model));
    pack_close(pack);
    team_close(team);
    return origin;
}

/* The same in another process; the teams of this one are closed. */
static pid_t start_another(const struct pack_share *share) {
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0)
        _exit((int)origin_of(share));
    return pid;
}

static enum pack_origin wait_for(pid_t pid) {
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    return (enum pack_origin)WEXITSTATUS(status);
}

/* Names in the directory; the last one that ends like this goes into path. */
static int count_files(const char *dir, const char *suffix, char *path) {
    DIR *list = opendir(dir);
    assert_non_null(list);
    int n = 0;
    for (struct dirent *d; (d = readdir(list)) != NULL;) {
        size_t length = strlen(d->d_name), end = strlen(suffix);
        if (length < end || strcmp(d->d_name + length - end, suffix) != 0)
            continue;
        n++;
        if (path != NULL)
            (void)snprintf(path, PATH_BYTES + 300, "%s/%s", dir, d->d_name);
    }
    closedir(list);
    return n;
}

/* ---- sharing ---- */

static void test_the_first_builds_and_all_others_map(void **state) {
    (void)state;
    struct pack_share share = share_in("share");
    assert_int_equal(origin_of(&share), PACK_BUILT);
    assert_int_equal(origin_of(&share), PACK_MAPPED);
    assert_int_equal(wait_for(start_another(&share)), PACK_MAPPED);
    assert_int_equal(count_files(share.dir, PACK_SUFFIX, NULL), 1);
    assert_int_equal(count_files(share.dir, PACK_PART_SUFFIX, NULL), 0);
}

static void test_processes_that_start_together_build_once(void **state) {
    (void)state;
    struct pack_share share = share_in("together");
    pid_t pids[STARTS];
    int built = 0, mapped = 0;
    for (int i = 0; i < STARTS; i++)
        pids[i] = start_another(&share);
    for (int i = 0; i < STARTS; i++) {
        enum pack_origin origin = wait_for(pids[i]);
        built += origin == PACK_BUILT;
        mapped += origin == PACK_MAPPED;
    }
    assert_int_equal(built, 1);
    assert_int_equal(mapped, STARTS - 1);
}

static void test_a_file_that_was_never_finished_is_taken_over(void **state) {
    (void)state;
    struct pack_share share = share_in("unfinished");
    char path[PATH_BYTES + 300], part[PATH_BYTES + 320];
    assert_int_equal(origin_of(&share), PACK_BUILT);
    assert_int_equal(count_files(share.dir, PACK_SUFFIX, path), 1);
    (void)snprintf(part, sizeof part, "%s" PACK_PART_SUFFIX, path);
    assert_int_equal(rename(path, part), 0);
    assert_int_equal(origin_of(&share), PACK_BUILT);
    assert_int_equal(count_files(share.dir, PACK_PART_SUFFIX, NULL), 0);
}

static void test_a_builder_that_hangs_is_not_waited_for_for_ever(void **state) {
    (void)state;
    struct pack_share share = share_in("hangs");
    char path[PATH_BYTES + 300], part[PATH_BYTES + 320];
    assert_int_equal(origin_of(&share), PACK_BUILT);
    assert_int_equal(count_files(share.dir, PACK_SUFFIX, path), 1);
    (void)snprintf(part, sizeof part, "%s" PACK_PART_SUFFIX, path);
    assert_int_equal(unlink(path), 0);
    int fd = open(part, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    assert_int_equal(flock(fd, LOCK_EX), 0);
    share.wait_ms = WAIT_MS;
    assert_int_equal(origin_of(&share), PACK_PRIVATE);
    close(fd);
    assert_int_equal(origin_of(&share), PACK_BUILT);
}

/* ---- what is not believed ---- */

static void test_another_source_has_another_pack(void **state) {
    (void)state;
    struct pack_share share = share_in("source");
    assert_int_equal(origin_of(&share), PACK_BUILT);
    share.source_mtime_ns++;
    assert_int_equal(origin_of(&share), PACK_BUILT);
    share.source_bytes++;
    assert_int_equal(origin_of(&share), PACK_BUILT);
    share.fingerprint[15]++;
    assert_int_equal(origin_of(&share), PACK_BUILT);
    assert_int_equal(origin_of(&share), PACK_MAPPED);
}

/* A pack under the name of another: what it says inside counts. */
static void test_a_renamed_pack_is_built_again(void **state) {
    (void)state;
    struct pack_share share = share_in("renamed"), other = share;
    char first[PATH_BYTES + 300], second[PATH_BYTES + 300];
    other.source_mtime_ns++;
    assert_int_equal(origin_of(&share), PACK_BUILT);
    assert_int_equal(count_files(share.dir, PACK_SUFFIX, first), 1);
    (void)snprintf(second, sizeof second, "%s.kept", first);
    assert_int_equal(rename(first, second), 0);
    assert_int_equal(origin_of(&other), PACK_BUILT);
    assert_int_equal(count_files(share.dir, PACK_SUFFIX, first), 1);
    assert_int_equal(rename(second, first), 0);
    assert_int_equal(origin_of(&other), PACK_BUILT);
    assert_int_equal(origin_of(&other), PACK_MAPPED);
}

static void flip_bit(const char *path, off_t at, int bit) {
    uint8_t byte;
    int fd = open(path, O_RDWR | O_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(pread(fd, &byte, 1, at), 1);
    byte = (uint8_t)(byte ^ 1 << bit);
    assert_int_equal(pwrite(fd, &byte, 1, at), 1);
    close(fd);
}

static void test_a_flipped_bit_anywhere_is_noticed(void **state) {
    (void)state;
    struct pack_share share = share_in("flipped");
    char path[PATH_BYTES + 300];
    struct random_source r = {9};
    assert_int_equal(origin_of(&share), PACK_BUILT);
    assert_int_equal(count_files(share.dir, PACK_SUFFIX, path), 1);
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    size_t bytes, source;
    assert_int_equal(pack_measure(&model.model, &bytes, &source, NULL), 0);
    off_t data = st.st_size - (off_t)bytes;
    const off_t places[] = {0,
                            8,
                            16,
                            40,
                            95,
                            96,
                            103,
                            data,
                            data + 1,
                            data + (off_t)PACK_PART_BYTES,
                            data + (off_t)(random_bits(&r) % bytes),
                            st.st_size - 1};
    for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) {
        flip_bit(path, places[i], (int)i % 8);
        assert_int_equal(origin_of(&share), PACK_BUILT);
        assert_int_equal(origin_of(&share), PACK_MAPPED);
    }
}

static void test_a_pack_of_another_length_is_noticed(void **state) {
    (void)state;
    struct pack_share share = share_in("length");
    char path[PATH_BYTES + 300];
    assert_int_equal(origin_of(&share), PACK_BUILT);
    assert_int_equal(count_files(share.dir, PACK_SUFFIX, path), 1);
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    const off_t lengths[] = {0, 50, 96, 4096, st.st_size / 2, st.st_size - 1, st.st_size + 1};
    for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
        assert_int_equal(truncate(path, lengths[i]), 0);
        assert_int_equal(origin_of(&share), PACK_BUILT);
        assert_int_equal(origin_of(&share), PACK_MAPPED);
    }
}

static void test_a_link_or_a_file_of_others_is_replaced(void **state) {
    (void)state;
    struct pack_share share = share_in("link");
    char path[PATH_BYTES + 300], kept[PATH_BYTES + 310];
    assert_int_equal(origin_of(&share), PACK_BUILT);
    assert_int_equal(count_files(share.dir, PACK_SUFFIX, path), 1);
    (void)snprintf(kept, sizeof kept, "%s.kept", path);
    assert_int_equal(rename(path, kept), 0);
    assert_int_equal(symlink(kept, path), 0);
    assert_int_equal(origin_of(&share), PACK_BUILT);
    assert_int_equal(chmod(path, 0666), 0);
    assert_int_equal(origin_of(&share), PACK_BUILT);
    assert_int_equal(origin_of(&share), PACK_MAPPED);
}

/* ---- where there can be no file ---- */

static void test_no_directory_means_private_memory(void **state) {
    (void)state;
    struct pack_share share = share_in("nowhere");
    share.dir = "/dev/null/packs";
    assert_int_equal(origin_of(&share), PACK_PRIVATE);
    share.dir = "";
    assert_int_equal(origin_of(&share), PACK_PRIVATE);
}

static void test_a_directory_that_others_can_write_to_is_not_used(void **state) {
    (void)state;
    struct pack_share share = share_in("open");
    assert_int_equal(origin_of(&share), PACK_BUILT);
    assert_int_equal(chmod(share.dir, 0777), 0);
    assert_int_equal(origin_of(&share), PACK_PRIVATE);
    assert_int_equal(chmod(share.dir, 0755), 0);
    assert_int_equal(origin_of(&share), PACK_MAPPED);
}

static void test_a_directory_of_another_user_is_not_used(void **state) {
    (void)state;
    struct pack_share share = share_in("foreign");
    if (geteuid() != 0)
        skip();
    assert_int_equal(mkdir(share.dir, 0755), 0);
    assert_int_equal(chown(share.dir, 12345, 12345), 0);
    assert_int_equal(origin_of(&share), PACK_PRIVATE);
}

static void test_an_unwritable_directory_means_private_memory(void **state) {
    (void)state;
    struct pack_share share = share_in("unwritable");
    if (geteuid() == 0)
        skip();
    assert_int_equal(mkdir(share.dir, 0500), 0);
    assert_int_equal(origin_of(&share), PACK_PRIVATE);
}

static void test_a_limit_of_file_sizes_means_private_memory(void **state) {
    (void)state;
    struct pack_share share = share_in("limit");
    pid_t pid = fork();
    if (pid == 0) {
        struct rlimit limit = {3 << 20, 3 << 20};
        _exit(setrlimit(RLIMIT_FSIZE, &limit) != 0 ? 100 : (int)origin_of(&share));
    }
    assert_int_equal(wait_for(pid), PACK_PRIVATE);
    assert_int_equal(count_files(share.dir, PACK_PART_SUFFIX, NULL), 0);
}

/* In a child: a mount of its own, of 4 MiB. 100: this user may not mount. */
static int origin_on_full_disk(const struct pack_share *share) {
    uid_t user = geteuid();
    if (mkdir(share->dir, 0700) != 0 || unshare(CLONE_NEWNS | (user ? CLONE_NEWUSER : 0)) != 0 ||
        mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0 ||
        mount("tmpfs", share->dir, "tmpfs", 0, "size=4m,mode=700") != 0)
        return 100;
    return (int)origin_of(share);
}

static void test_a_full_disk_means_private_memory(void **state) {
    (void)state;
    struct pack_share share = share_in("full");
    pid_t pid = fork();
    if (pid == 0)
        _exit(origin_on_full_disk(&share));
    int origin = (int)wait_for(pid);
    if (origin == 100)
        skip();
    assert_int_equal(origin, PACK_PRIVATE);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_first_builds_and_all_others_map),
        cmocka_unit_test(test_processes_that_start_together_build_once),
        cmocka_unit_test(test_a_file_that_was_never_finished_is_taken_over),
        cmocka_unit_test(test_a_builder_that_hangs_is_not_waited_for_for_ever),
        cmocka_unit_test(test_another_source_has_another_pack),
        cmocka_unit_test(test_a_renamed_pack_is_built_again),
        cmocka_unit_test(test_a_flipped_bit_anywhere_is_noticed),
        cmocka_unit_test(test_a_pack_of_another_length_is_noticed),
        cmocka_unit_test(test_a_link_or_a_file_of_others_is_replaced),
        cmocka_unit_test(test_no_directory_means_private_memory),
        cmocka_unit_test(test_a_directory_that_others_can_write_to_is_not_used),
        cmocka_unit_test(test_a_directory_of_another_user_is_not_used),
        cmocka_unit_test(test_an_unwritable_directory_means_private_memory),
        cmocka_unit_test(test_a_limit_of_file_sizes_means_private_memory),
        cmocka_unit_test(test_a_full_disk_means_private_memory),
    };
    return cmocka_run_group_tests(tests, open_all, close_all);
}
