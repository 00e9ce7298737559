/* places_test.c - CPUs for several workers, on machines of all shapes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "client/cli/places.h"
#include "client/cli/up.h"
#include "common/cpus.h"
#include "tests/support/temp.h"

/* Nodes of `per_node` CPUs each. */
static int make(struct place *out, int nodes, int per_node) {
    for (int i = 0; i < nodes * per_node; i++)
        out[i] = (struct place){.cpu = i, .node = i / per_node, .core = i};
    return nodes * per_node;
}

static void expect(const struct place *places, int n, int workers, const char *const *lists) {
    cpu_set_t sets[8];
    char text[CPUS_TEXT_BYTES];
    places_divide(places, n, workers, sets);
    for (int w = 0; w < workers; w++) {
        cpus_write(&sets[w], text);
        assert_string_equal(text, lists[w]);
    }
}

static void test_one_node_is_cut_evenly(void **state) {
    (void)state;
    struct place p[8];
    int n = make(p, 1, 8);
    expect(p, n, 1, (const char *const[]){"0-7"});
    expect(p, n, 2, (const char *const[]){"0-3", "4-7"});
    expect(p, n, 3, (const char *const[]){"0-1", "2-4", "5-7"});
    expect(p, 2, 2, (const char *const[]){"0", "1"});
}

static void test_nodes_stay_whole(void **state) {
    (void)state;
    struct place p[16];
    int n = make(p, 2, 8);
    expect(p, n, 1, (const char *const[]){"0-15"});
    expect(p, n, 2, (const char *const[]){"0-7", "8-15"});
    expect(p, n, 3, (const char *const[]){"0-7", "8-11", "12-15"});
    expect(p, n, 4, (const char *const[]){"0-3", "4-7", "8-11", "12-15"});
    n = make(p, 4, 2);
    expect(p, n, 2, (const char *const[]){"0-3", "4-7"});
    expect(p, n, 3, (const char *const[]){"0-1", "2-3", "4-7"});
}

/* Of the second node next to nothing is ours. */
static void test_uneven_nodes_are_cut_where_it_must_be(void **state) {
    (void)state;
    struct place p[9];
    make(p, 1, 9);
    p[8].node = 1;
    expect(p, 9, 2, (const char *const[]){"0-3", "4-8"});
    expect(p, 9, 4, (const char *const[]){"0-1", "2-3", "4-5", "6-8"});
}

/* However many of each there are, every CPU has one owner and every worker a CPU. */
static void test_all_cpus_are_given_once(void **state) {
    (void)state;
    static struct place p[64];
    static cpu_set_t sets[64];
    for (int nodes = 1; nodes <= 4; nodes++)
        for (int per_node = 1; per_node <= 16; per_node++) {
            int n = make(p, nodes, per_node);
            for (int workers = 1; workers <= n; workers++) {
                int given = 0, owners;
                places_divide(p, n, workers, sets);
                for (int w = 0; w < workers; w++) {
                    assert_true(CPU_COUNT(&sets[w]) > 0);
                    given += CPU_COUNT(&sets[w]);
                }
                assert_int_equal(given, n);
                for (int cpu = 0; cpu < n; cpu++) {
                    owners = 0;
                    for (int w = 0; w < workers; w++)
                        owners += cpus_has(&sets[w], cpu);
                    assert_int_equal(owners, 1);
                }
            }
        }
}

static void put(const struct temp_dir *dir, const char *name, const char *text) {
    char path[TEMP_PATH_BYTES + 128];
    for (const char *slash = strchr(name, '/'); slash != NULL; slash = strchr(slash + 1, '/')) {
        (void)snprintf(path, sizeof path, "%s/%.*s", dir->path, (int)(slash - name), name);
        (void)mkdir(path, 0700);
    }
    temp_file(dir, name, text, strlen(text), path, sizeof path);
}

/* Two nodes of two cores, whose second halves are counted after all the first ones. */
static void test_nodes_and_cores_are_read(void **state) {
    (void)state;
    static struct place p[CPU_SETSIZE];
    struct temp_dir dir;
    cpu_set_t all;
    temp_dir_open(&dir);
    put(&dir, "devices/system/node/node0/cpulist", "0-1,4-5\n");
    put(&dir, "devices/system/node/node2/cpulist", "2-3,6-7\n");
    static const char *const siblings[] = {"0,4\n", "1,5\n", "2,6\n", "3,7\n"};
    for (int cpu = 0; cpu < 8; cpu++) {
        char name[96];
        (void)snprintf(name, sizeof name, "devices/system/cpu/cpu%d/topology/thread_siblings_list",
                       cpu);
        put(&dir, name, siblings[cpu % 4]);
    }
    assert_int_equal(cpus_parse("0-7", &all, NULL), 0);
    int n = places_read(dir.path, &all, p);
    assert_int_equal(n, 8);
    expect(p, n, 2, (const char *const[]){"0-1,4-5", "2-3,6-7"});
    expect(p, n, 4, (const char *const[]){"0,4", "1,5", "2,6", "3,7"});
    temp_dir_close(&dir);
    n = places_read(dir.path, &all, p); /* nothing is told any more */
    expect(p, n, 2, (const char *const[]){"0-3", "4-7"});
}

/* ---- plans ---- */

static struct up *plan(int64_t workers, const char *cpus, int64_t threads, int code) {
    struct up *u = calloc(1, sizeof *u);
    struct error e = {0};
    assert_non_null(u);
    up_defaults(u);
    u->model = QUIRE_GOLDEN_DIR "/smolvlm/text.gguf";
    u->workers = workers;
    u->threads = threads;
    u->cpus = cpus;
    if (up_plan(u, &e) != code)
        fail_msg("%s", e.text);
    return u;
}

static void test_all_threads_of_a_pool_are_as_many_as_can_run(void **state) {
    (void)state;
    struct temp_dir dir;
    temp_dir_open(&dir);
    setenv("QUIRE_RUNTIME_DIR", dir.path, 1);
    for (int workers = 1; workers <= 8; workers++) {
        struct up *u = plan(workers, NULL, 0, 0);
        int threads = 0, expected = cpus_usable() > workers ? cpus_usable() : workers;
        for (int i = 0; i < workers; i++) {
            assert_true(u->shares[i].threads >= 0 && u->shares[i].cpus[0] == '\0');
            threads += u->shares[i].threads > 0 ? u->shares[i].threads : 1;
        }
        assert_int_equal(threads, expected);
        free(u);
    }
    temp_dir_close(&dir);
}

static void test_named_cpus_are_shared_out(void **state) {
    (void)state;
    struct temp_dir dir;
    cpu_set_t allowed, own;
    char list[CPUS_TEXT_BYTES];
    temp_dir_open(&dir);
    setenv("QUIRE_RUNTIME_DIR", dir.path, 1);
    cpus_allowed(&allowed);
    cpus_write(&allowed, list);
    int n = CPU_COUNT(&allowed), given = 0;
    int workers = n < 3 ? n : 3;
    struct up *u = plan(workers, list, 0, 0);
    for (int i = 0; i < workers; i++) {
        assert_int_equal(cpus_parse(u->shares[i].cpus, &own, NULL), 0);
        assert_true(u->shares[i].threads <= CPU_COUNT(&own));
        given += CPU_COUNT(&own);
    }
    assert_int_equal(given, n);
    free(u);
    if (n < UP_MAX_WORKERS) {
        free(plan(n + 1, list, 0, ERR_USAGE)); /* somebody would have none */
        free(plan(1, list, n + 1, ERR_USAGE)); /* two threads would meet */
    }
    free(plan(1, "0-", 0, ERR_USAGE));
    temp_dir_close(&dir);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_node_is_cut_evenly),
        cmocka_unit_test(test_nodes_stay_whole),
        cmocka_unit_test(test_uneven_nodes_are_cut_where_it_must_be),
        cmocka_unit_test(test_all_cpus_are_given_once),
        cmocka_unit_test(test_nodes_and_cores_are_read),
        cmocka_unit_test(test_all_threads_of_a_pool_are_as_many_as_can_run),
        cmocka_unit_test(test_named_cpus_are_shared_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
