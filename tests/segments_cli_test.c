/* segments_cli_test.c - quire segments, over an index that was written by hand. */
#include "tests/index_rig.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/support/process.h"

static int run(const struct index_rig *r, const char *flag, const char *value, char **out) {
    const char *argv[] = {
        QUIRE_BIN_DIR "/quire", "segments", "--index", r->index, flag, value, NULL};
    return process_run(argv, NULL, true, out);
}

static void fill(struct index_rig *r) {
    index_rig_open(r, 1000);
    index_rig_worker(r, 100, "alpha");
    index_rig_worker(r, 200, "beta");
    index_rig_hold(r, 100, false, 0, 5); /* link 0 has no positions: a picture */
    index_rig_hold(r, 200, false, 3, 4);
    writer_close(&r->writer);
}

static size_t count(const char *text, const char *word) {
    size_t n = 0;
    for (const char *at = text; (at = strstr(at, word)); at += strlen(word))
        n++;
    return n;
}

static void test_links_holders_and_totals_are_listed(void **state) {
    (void)state;
    struct index_rig r;
    char *out;
    fill(&r);
    assert_int_equal(run(&r, NULL, NULL, &out), 0);
    assert_int_equal(count(out, "alpha"), 5 + 1);
    assert_int_equal(count(out, "beta"), 4 + 1);
    assert_int_equal(count(out, "picture"), 1);
    assert_non_null(strstr(out, "9 records, 0 of them void"));
    free(out);
    assert_int_equal(run(&r, "--worker", "beta", &out), 0);
    assert_int_equal(count(out, "alpha"), 1);
    free(out);
    assert_int_equal(run(&r, "--limit", "2", &out), 0);
    assert_int_equal(count(out, "beta"), 2 + 1); /* the last ones */
    free(out);
    assert_int_equal(run(&r, "--json", NULL, &out), 0);
    assert_int_equal(count(out, "\"link\""), 9);
    free(out);
    temp_dir_close(&r.dir);
}

static void test_a_missing_or_damaged_index_is_one_sentence(void **state) {
    (void)state;
    struct index_rig r;
    char path[INDEX_PATH_BYTES], *out;
    fill(&r);
    FILE *f = fopen(index_rig_path(&r, INDEX_DATA_FILE, path), "r+b");
    assert_non_null(f);
    for (long at = 8192 + 8; at < 60000; at += 16) /* all but the heads of the file */
        assert_true(fseek(f, at, SEEK_SET) == 0 && fwrite("\xff\xff\xff\xff", 1, 4, f) == 4);
    assert_int_equal(fclose(f), 0);
    assert_int_not_equal(run(&r, NULL, NULL, &out), 0);
    assert_non_null(strstr(out, "can't be read"));
    free(out);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(run(&r, NULL, NULL, &out), error_exit_code(ERR_NOT_FOUND));
    assert_non_null(strstr(out, "there is no index"));
    assert_int_equal(count(out, "\n"), 1);
    free(out);
    temp_dir_close(&r.dir);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_links_holders_and_totals_are_listed),
        cmocka_unit_test(test_a_missing_or_damaged_index_is_one_sentence),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
