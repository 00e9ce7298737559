/* cpus_test.c - lists of CPUs, and what control groups grant. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>
#include <limits.h>

#include "common/cgroup.h"
#include "common/cpus.h"
#include "tests/support/temp.h"

/* ---- lists ---- */

static void expect_list(const char *text, const char *written) {
    cpu_set_t set;
    struct error e;
    char out[CPUS_TEXT_BYTES];
    if (cpus_parse(text, &set, &e) != 0)
        fail_msg("%s", e.text);
    cpus_write(&set, out);
    assert_string_equal(out, written);
}

static void test_lists_are_read_and_written(void **state) {
    (void)state;
    expect_list("0", "0");
    expect_list("0-7,9", "0-7,9");
    expect_list("3,1,2,2", "1-3");
    expect_list("1023,5-5", "5,1023");
    cpu_set_t set;
    assert_int_equal(cpus_parse("2,4-5", &set, NULL), 0);
    assert_int_equal(cpus_nth(&set, 0), 2);
    assert_int_equal(cpus_nth(&set, 2), 5);
    assert_int_equal(cpus_nth(&set, 3), -1);
}

static void test_every_second_cpu_fits_in_the_text(void **state) {
    (void)state;
    cpu_set_t set, again;
    char out[CPUS_TEXT_BYTES];
    CPU_ZERO(&set);
    for (int cpu = 0; cpu < CPU_SETSIZE; cpu += 2)
        cpus_add(&set, cpu);
    cpus_write(&set, out);
    assert_int_equal(cpus_parse(out, &again, NULL), 0);
    assert_true(CPU_EQUAL(&set, &again));
}

static void test_what_is_no_list_is_refused(void **state) {
    (void)state;
    static const char *const wrong[] = {"",    ",",   "1,",   "a",     "1-",   "-1",
                                        "3-2", "1 2", "1,,2", "1-2-3", "1024", "0-99999999999999",
                                        "0x1", "+1",  " 1"};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        cpu_set_t set;
        struct error e;
        assert_int_equal(cpus_parse(wrong[i], &set, &e), ERR_USAGE);
        assert_non_null(strstr(e.text, wrong[i]));
    }
}

static void test_a_cpu_that_is_not_ours_is_refused(void **state) {
    (void)state;
    cpu_set_t allowed, one;
    struct error e;
    cpus_allowed(&allowed);
    assert_true(cpus_usable() >= 1 && cpus_usable() <= CPU_COUNT(&allowed));
    CPU_ZERO(&one);
    for (int cpu = 0; CPU_COUNT(&one) == 0 && cpu < CPU_SETSIZE; cpu++)
        if (!cpus_has(&allowed, cpu))
            cpus_add(&one, cpu);
    if (CPU_COUNT(&one) > 0) {
        assert_int_equal(cpus_keep_to(&one, &e), ERR_USAGE);
        assert_non_null(strstr(e.text, "we may use"));
    }
    CPU_ZERO(&one);
    cpus_add(&one, cpus_nth(&allowed, 0));
    assert_int_equal(cpus_keep_to(&one, &e), 0);
    assert_int_equal(cpus_usable(), 1);
}

/* ---- control groups, in folders of our own ---- */

struct groups {
    struct temp_dir dir;
    char self[TEMP_PATH_BYTES + 16];
    struct cgroup_files files;
};

static void open_groups(struct groups *g, const char *self) {
    temp_dir_open(&g->dir);
    temp_file(&g->dir, "self", self, strlen(self), g->self, sizeof g->self);
    g->files = (struct cgroup_files){g->self, g->dir.path};
}

/* Writes a file below the mount, making its folders. */
static void put(struct groups *g, const char *name, const char *text) {
    char path[TEMP_PATH_BYTES + 128];
    for (const char *slash = strchr(name, '/'); slash != NULL; slash = strchr(slash + 1, '/')) {
        (void)snprintf(path, sizeof path, "%s/%.*s", g->dir.path, (int)(slash - name), name);
        (void)mkdir(path, 0700);
    }
    temp_file(&g->dir, name, text, strlen(text), path, sizeof path);
}

static void test_a_quota_of_version_2_counts(void **state) {
    (void)state;
    struct groups g;
    open_groups(&g, "0::/pool/one\n");
    assert_int_equal(cgroup_cpus(&g.files), INT_MAX);
    put(&g, "pool/one/cpu.max", "max 100000\n");
    assert_int_equal(cgroup_cpus(&g.files), INT_MAX);
    put(&g, "pool/cpu.max", "350000 100000\n"); /* of the group above */
    assert_int_equal(cgroup_cpus(&g.files), 4);
    put(&g, "pool/one/cpu.max", "50000 100000\n");
    assert_int_equal(cgroup_cpus(&g.files), 1);
    temp_dir_close(&g.dir);
}

static void test_a_quota_of_version_1_counts(void **state) {
    (void)state;
    struct groups g;
    open_groups(&g, "7:cpuset:/\n4:cpuacct,cpu:/pool\n0::/\n");
    put(&g, "cpu/pool/cpu.cfs_quota_us", "-1\n");
    put(&g, "cpu/pool/cpu.cfs_period_us", "100000\n");
    assert_int_equal(cgroup_cpus(&g.files), INT_MAX);
    put(&g, "cpu/pool/cpu.cfs_quota_us", "200000\n");
    assert_int_equal(cgroup_cpus(&g.files), 2);
    temp_dir_close(&g.dir);
}

/* In a container the group's path is often the host's and only its root is mounted. */
static void test_the_mounted_root_counts_where_the_path_is_not_there(void **state) {
    (void)state;
    struct groups g;
    open_groups(&g, "4:cpu,cpuacct:/docker/0123456789abcdef\n5:memory:/docker/0123456789abcdef\n");
    put(&g, "cpu/cpu.cfs_quota_us", "150000\n");
    put(&g, "cpu/cpu.cfs_period_us", "100000\n");
    put(&g, "memory/memory.limit_in_bytes", "1000000\n");
    assert_int_equal(cgroup_cpus(&g.files), 2);
    assert_int_equal(cgroup_memory(&g.files).most, 1000000);
    assert_true(cgroup_memory(&g.files).left == SIZE_MAX); /* nobody says what is used */
    temp_dir_close(&g.dir);
}

static void test_memory_is_what_the_strictest_group_leaves(void **state) {
    (void)state;
    struct groups g;
    open_groups(&g, "0::/pool/one\n");
    assert_true(cgroup_memory(&g.files).most == SIZE_MAX);
    put(&g, "pool/one/memory.max", "max\n");
    put(&g, "pool/memory.max", "5000\n");
    put(&g, "pool/memory.current", "4500\n");
    put(&g, "pool/memory.stat", "anon 100\ninactive_file 2000\nfile 3000\n");
    struct cgroup_memory m = cgroup_memory(&g.files);
    assert_int_equal(m.most, 5000);
    assert_int_equal(m.left, 2500); /* cached files are given up */
    temp_dir_close(&g.dir);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lists_are_read_and_written),
        cmocka_unit_test(test_every_second_cpu_fits_in_the_text),
        cmocka_unit_test(test_what_is_no_list_is_refused),
        cmocka_unit_test(test_a_cpu_that_is_not_ours_is_refused),
        cmocka_unit_test(test_a_quota_of_version_2_counts),
        cmocka_unit_test(test_a_quota_of_version_1_counts),
        cmocka_unit_test(test_the_mounted_root_counts_where_the_path_is_not_there),
        cmocka_unit_test(test_memory_is_what_the_strictest_group_leaves),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
