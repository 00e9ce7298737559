/* index_damage_test.c - what can happen to the index's files: flipped bits, missing ends, removal,
 * a full disk, a directory that can't be written, a second writer.
 *
 * Whatever may crash runs in a process of its own, as quire-index does. What is asked each time:
 * the check at start ends in time, and the writer after it works. */
#include "tests/index_rig.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/must.h"
#include "proto/index/guard.h"

#define LINKS 3000
#define WRITE_MS 20000 /* for a writer over a damaged file; a hang is a failure */
#define FLIPS 200      /* damaged copies */
#define FEW_FLIPS 40   /* under a sanitizer, which is slower */

static uint64_t random_state = 88172645463325252u;

static uint64_t next_random(void) {
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return random_state;
}

/* Files of two workers and LINKS links each, closed. Returns the content of data.mdb. */
static uint8_t *make_files(struct index_rig *r, size_t *size) {
    char path[INDEX_PATH_BYTES];
    index_rig_open(r, 100000);
    index_rig_worker(r, 100, "a");
    index_rig_worker(r, 200, "b");
    for (uint32_t i = 0; i < LINKS; i += 500) {
        index_rig_hold(r, 100, false, i, 500);
        index_rig_hold(r, 200, false, i + 1000, 500);
        index_rig_settle(r);
    }
    writer_close(&r->writer);
    FILE *f = fopen(index_rig_path(r, INDEX_DATA_FILE, path), "rb");
    assert_non_null(f);
    uint8_t *data = malloc(8 << 20);
    assert_non_null(data);
    *size = fread(data, 1, 8 << 20, f);
    assert_true(*size > 100000 && *size < 8 << 20);
    (void)fclose(f);
    return data;
}

static void write_file(const struct index_rig *r, const uint8_t *data, size_t size) {
    char path[INDEX_PATH_BYTES];
    FILE *f = fopen(index_rig_path(r, INDEX_DATA_FILE, path), "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(data, 1, size, f), size);
    assert_int_equal(fclose(f), 0);
}

struct life {
    struct index_rig *rig;
    bool anew;
    const char *says; /* in the writer's text; NULL: anything */
};

static void ignore_worker(void *context, const struct index_worker *w) {
    (void)context;
    (void)w;
}

static void ignore_held(void *context, uint64_t incarnation, struct bytes held) {
    (void)context;
    (void)incarnation;
    (void)held;
}

/* A whole life of quire-index: check, tell, write, end. */
static int live(void *arg, struct error *e) {
    struct life *l = arg;
    struct index_rig *r = l->rig;
    struct store_settings settings = {
        .dir = r->index, .max_links = 100000, .seed_mark = RIG_SEED_MARK};
    writer_init(&r->writer, &settings, l->anew, r->now_ms);
    (void)writer_turn(&r->writer, r->now_ms);
    if (l->says && !strstr(r->writer.text, l->says))
        return error_set(e, ERR_INTERNAL, "it says: %s", r->writer.text);
    writer_tell(&r->writer, &(struct store_listener){r, ignore_worker, ignore_held});
    index_rig_pass(r, 1000, 250);
    uint32_t resync;
    do { /* what was lost is told again, as the broker does */
        resync = r->writer.resync;
        index_rig_worker(r, 101, "a");
        for (uint32_t i = 0; i < 4; i++) {
            index_rig_hold(r, 101, i == 0, 5000 + i * 500, 500);
            index_rig_drop(r, 200, 1000 + i * 500, 250);
            index_rig_settle(r);
        }
        index_rig_pass(r, 5000, 250);
    } while (resync != r->writer.resync);
    enum index_state state = r->writer.state;
    writer_close(&r->writer);
    return state == INDEX_OK || state == INDEX_REBUILDING
               ? 0
               : error_set(e, ERR_INTERNAL, "it says: %s", r->writer.text);
}

/* Any outcome but a hang; after a crash the next life begins anew, as the broker orders it, and
 * works. Returns whether it crashed. */
static bool survive(struct index_rig *r, const char *what) {
    struct error e = {0};
    struct life l = {.rig = r};
    int64_t begin_ms = clock_ms();
    int rc = guard_run(live, &l, WRITE_MS, &e);
    bool crashed = rc != 0;
    if (clock_ms() - begin_ms >= WRITE_MS || rc == ERR_INTERNAL)
        fail_msg("%s: %s", what, e.text);
    l.anew = crashed;
    if (crashed && guard_run(live, &l, WRITE_MS, &e) != 0)
        fail_msg("%s, begun anew: %s", what, e.text);
    assert_true(index_rig_has(r->index, 5000));
    return crashed;
}

static void test_flipped_bits_never_outlive_a_start(void **state) {
    (void)state;
    struct index_rig r;
    size_t size;
    int crashes = 0;
    uint8_t *data = make_files(&r, &size), *damaged = malloc(size);
    assert_non_null(damaged);
#ifdef QUIRE_SANITIZED
    int n = FEW_FLIPS;
#else
    int n = FLIPS;
#endif
    for (int i = 0; i < n; i++) {
        char what[80];
        memcpy(damaged, data, size);
        size_t flips = 1 + next_random() % 8, at = 0;
        for (size_t k = 0; k < flips; k++) {
            /* half of them where the pages' heads are, which is where it hurts */
            at = i % 2 ? next_random() % size
                       : next_random() % (size / 4096) * 4096 + next_random() % 64;
            damaged[at] ^= (uint8_t)(1 << next_random() % 8);
        }
        (void)snprintf(what, sizeof what, "copy %d, %zu flips, last at %zu", i, flips, at);
        write_file(&r, damaged, size);
        crashes += survive(&r, what);
    }
    print_message("%d damaged copies, of which %d crashed a writer\n", n, crashes);
    free(damaged);
    free(data);
    temp_dir_close(&r.dir);
}

static void test_a_file_cut_short_is_set_aside(void **state) {
    (void)state;
    struct index_rig r;
    size_t size;
    uint8_t *data = make_files(&r, &size);
    const size_t lengths[] = {0, 1, 100, 4095, 4096, 8191, 8192, 12288, size / 3, size / 2 + 17};
    for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
        char what[40], aside[INDEX_PATH_BYTES];
        struct stat st;
        (void)snprintf(what, sizeof what, "%zu bytes", lengths[i]);
        (void)unlink(index_rig_path(&r, PLACE_ASIDE_FILE, aside));
        write_file(&r, data, lengths[i]);
        assert_false(survive(&r, what));
        if (lengths[i] > 0) /* an empty file is a new one to LMDB */
            assert_int_equal(stat(aside, &st), 0);
    }
    free(data);
    temp_dir_close(&r.dir);
}

static void test_a_value_s_flipped_bit_is_found_and_said(void **state) {
    (void)state;
    struct index_rig r;
    struct error e;
    size_t size;
    uint8_t *data = make_files(&r, &size);
    struct link link = index_rig_link(2500);
    uint8_t *at = memmem(data, size, link.bytes, LINK_BYTES);
    assert_non_null(at);
    for (uint8_t *next = at; next; at = next + 1) {
        next[3] ^= 1; /* in links and in ages, in all copies of the page */
        next = memmem(at, size - (size_t)(at - data), link.bytes, LINK_BYTES);
        if (!next)
            break;
    }
    write_file(&r, data, size);
    struct life l = {.rig = &r, .says = "begun anew"};
    if (guard_run(live, &l, WRITE_MS, &e) != 0)
        fail_msg("%s", e.text);
    free(data);
    temp_dir_close(&r.dir);
}

static void test_files_removed_while_it_runs_are_made_again(void **state) {
    (void)state;
    struct index_rig r;
    char path[INDEX_PATH_BYTES];
    index_rig_open(&r, 1000);
    index_rig_worker(&r, 100, "a");
    index_rig_hold(&r, 100, false, 0, 10);
    index_rig_settle(&r);
    assert_int_equal(unlink(index_rig_path(&r, INDEX_DATA_FILE, path)), 0);
    index_rig_pass(&r, 2 * WRITER_LOOK_MS, 50);
    assert_int_equal(r.writer.state, INDEX_REBUILDING);
    assert_int_equal(r.writer.resync, 1);
    index_rig_worker(&r, 100, "a");
    index_rig_hold(&r, 100, true, 20, 10);
    index_rig_settle(&r);
    assert_int_equal(index_rig_count(r.index).valid, 10);

    assert_int_equal(unlink(index_rig_path(&r, INDEX_DATA_FILE, path)), 0);
    assert_int_equal(unlink(index_rig_path(&r, INDEX_LOCK_FILE, path)), 0);
    assert_int_equal(unlink(index_rig_path(&r, PLACE_LOCK_FILE, path)), 0);
    assert_int_equal(rmdir(r.index), 0); /* and all of the directory */
    index_rig_pass(&r, 2 * WRITER_LOOK_MS, 50);
    assert_int_equal(r.writer.resync, 2);
    index_rig_worker(&r, 100, "a");
    index_rig_hold(&r, 100, true, 40, 10);
    index_rig_settle(&r);
    assert_int_equal(index_rig_count(r.index).valid, 10);
    index_rig_close(&r);
}

static void test_a_file_cut_short_while_it_runs_is_noticed(void **state) {
    (void)state;
    struct index_rig r;
    char path[INDEX_PATH_BYTES];
    index_rig_open(&r, 10000);
    index_rig_worker(&r, 100, "a");
    for (uint32_t i = 0; i < 5; i++)
        index_rig_hold(&r, 100, false, i * 1000, 1000);
    index_rig_settle(&r);
    index_rig_pass(&r, 2 * WRITER_LOOK_MS, 2 * WRITER_LOOK_MS);
    assert_int_equal(truncate(index_rig_path(&r, INDEX_DATA_FILE, path), 20000), 0);
    index_rig_pass(&r, WRITER_LOOK_MS, WRITER_LOOK_MS);
    index_rig_pass(&r, 1000, 10);
    assert_int_equal(r.writer.state, INDEX_REBUILDING);
    assert_int_equal(r.writer.resync, 1);
    index_rig_close(&r);
}

static void test_a_second_writer_waits_for_the_first_to_end(void **state) {
    (void)state;
    struct index_rig r;
    struct writer second;
    index_rig_open(&r, 1000);
    struct store_settings settings = {
        .dir = r.index, .max_links = 1000, .seed_mark = RIG_SEED_MARK};
    writer_init(&second, &settings, false, 0);
    (void)writer_turn(&second, WRITER_BUSY_MS);
    assert_int_equal(second.state, INDEX_BROKEN);
    assert_non_null(strstr(second.text, "another broker"));
    writer_close(&r.writer);
    (void)writer_turn(&second, WRITER_BUSY_MS + WRITER_RETRY_MAX_MS);
    assert_int_equal(second.state, INDEX_OK);
    assert_int_equal(second.resync, 1);
    writer_close(&second);
    temp_dir_close(&r.dir);
}

/* ---- no room, no right; in a process of its own, since limits and rights stay with a process ----
 */

#define EXPECT(condition)                                                                          \
    do {                                                                                           \
        if (!(condition))                                                                          \
            return error_set(e, ERR_INTERNAL, "line %d: not %s; state %d: %s", __LINE__,           \
                             #condition, (int)r->writer.state, r->writer.text);                    \
    } while (0)

static void fill(struct index_rig *r, uint32_t from) {
    index_rig_worker(r, 100, "a");
    for (uint32_t i = 0; i < 100 && r->writer.store; i++) {
        index_rig_hold(r, 100, false, from + i * 500, 500);
        index_rig_settle(r);
    }
}

static int fill_up(struct index_rig *r, bool (*make_room)(struct index_rig *), struct error *e) {
    EXPECT(r->writer.state == INDEX_OK);
    fill(r, 0);
    EXPECT(r->writer.state == INDEX_FULL);
    EXPECT(r->writer.text[0] != '\0');
    index_rig_pass(r, 2 * WRITER_RETRY_MAX_MS, 100);
    fill(r, 100000); /* what comes is dropped, or fills it up again */
    EXPECT(r->writer.state == INDEX_FULL);
    EXPECT(make_room(r));
    uint32_t resync = r->writer.resync;
    index_rig_pass(r, 2 * WRITER_RETRY_MAX_MS, 100);
    EXPECT(r->writer.store != NULL);
    EXPECT(r->writer.resync > resync || r->writer.resync > 0);
    fill(r, 200000);
    EXPECT(r->writer.state == INDEX_OK);
    EXPECT(store_holders(r->writer.store) > 10000);
    writer_close(&r->writer);
    return 0;
}

static void reopen(struct index_rig *r) {
    struct store_settings settings = {
        .dir = r->index, .max_links = 100000, .seed_mark = RIG_SEED_MARK};
    writer_init(&r->writer, &settings, false, r->now_ms);
    (void)writer_turn(&r->writer, r->now_ms);
}

static bool lift_limit(struct index_rig *r) {
    (void)r;
    return setrlimit(RLIMIT_FSIZE, &(struct rlimit){RLIM_INFINITY, RLIM_INFINITY}) == 0;
}

static int meet_a_limit(void *arg, struct error *e) {
    struct index_rig *r = arg;
    (void)signal(SIGXFSZ, SIG_IGN);
    (void)setrlimit(RLIMIT_FSIZE, &(struct rlimit){3 << 20, RLIM_INFINITY});
    reopen(r);
    return fill_up(r, lift_limit, e);
}

static void test_a_limit_on_files_is_a_full_disk(void **state) {
    (void)state;
    struct index_rig r;
    struct error e = {0};
    index_rig_open(&r, 1000);
    writer_close(&r.writer);
    if (guard_run(meet_a_limit, &r, WRITE_MS, &e) != 0)
        fail_msg("%s", e.text);
    temp_dir_close(&r.dir);
}

static bool grow_disk(struct index_rig *r) {
    return mount("quire-test", r->index, "tmpfs", MS_REMOUNT, "size=64m") == 0;
}

static int meet_a_small_disk(void *arg, struct error *e) {
    struct index_rig *r = arg;
    reopen(r);
    return fill_up(r, grow_disk, e);
}

static void test_a_full_disk_is_said_and_gone_when_there_is_room(void **state) {
    (void)state;
    struct index_rig r;
    struct error e = {0};
    index_rig_open(&r, 1000);
    writer_close(&r.writer);
    if (mount("quire-test", r.index, "tmpfs", 0, "size=3m") != 0) {
        print_message("no right to mount: %s\n", strerror(errno));
        temp_dir_close(&r.dir);
        skip();
    }
    int rc = guard_run(meet_a_small_disk, &r, WRITE_MS, &e);
    (void)umount2(r.index, MNT_DETACH);
    if (rc != 0)
        fail_msg("%s", e.text);
    temp_dir_close(&r.dir);
}

static int meet_a_closed_directory(void *arg, struct error *e) {
    struct index_rig *r = arg;
    char path[INDEX_PATH_BYTES];
    struct stat st;
    if (geteuid() == 0 && setresuid(65534, 65534, 0) != 0)
        return error_set(e, ERR_IO, "can't be nobody");
    reopen(r);
    EXPECT(r->writer.state == INDEX_BROKEN);
    EXPECT(strstr(r->writer.text, "denied") != NULL);
    if (getuid() != 0 && setresuid((uid_t)-1, 0, (uid_t)-1) != 0)
        EXPECT(chmod(r->index, 0700) == 0);
    index_rig_pass(r, 1000, 50);
    EXPECT(r->writer.state == INDEX_OK);
    EXPECT(index_path(path, r->index, INDEX_DATA_FILE) && stat(path, &st) == 0);
    writer_close(&r->writer);
    return 0;
}

static void test_a_directory_that_can_t_be_written_is_said(void **state) {
    (void)state;
    struct index_rig r;
    struct error e = {0};
    index_rig_open(&r, 1000);
    writer_close(&r.writer);
    assert_int_equal(chmod(r.index, 0500), 0);
    assert_int_equal(chmod(r.dir.path, 0755), 0);
    int rc = guard_run(meet_a_closed_directory, &r, WRITE_MS, &e);
    assert_int_equal(chmod(r.index, 0700), 0);
    if (rc != 0)
        fail_msg("%s", e.text);
    temp_dir_close(&r.dir);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_flipped_bits_never_outlive_a_start),
        cmocka_unit_test(test_a_file_cut_short_is_set_aside),
        cmocka_unit_test(test_a_value_s_flipped_bit_is_found_and_said),
        cmocka_unit_test(test_files_removed_while_it_runs_are_made_again),
        cmocka_unit_test(test_a_file_cut_short_while_it_runs_is_noticed),
        cmocka_unit_test(test_a_second_writer_waits_for_the_first_to_end),
        cmocka_unit_test(test_a_limit_on_files_is_a_full_disk),
        cmocka_unit_test(test_a_full_disk_is_said_and_gone_when_there_is_room),
        cmocka_unit_test(test_a_directory_that_can_t_be_written_is_said),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
