/* keys_test.c - the key file: what it may say, what is refused, and what a reload leaves. */
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

#include "gateway/access/keys.h"
#include "tests/support/temp.h"

#define HASH_A                                                                                     \
    "sha256:2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b" /* secret */
#define HASH_B                                                                                     \
    "sha256:a8cb5ed7e2ae9b1d9d9fb34a15c85dd8d6e2a2b5a3a0c7ca6a1a3f3a6a1b7a11" /* of nothing */

struct rig {
    struct temp_dir dir;
    char path[256];
    struct keys *keys;
    struct error e;
};

static void write_keys(struct rig *r, const char *text) {
    temp_file(&r->dir, "keys.ini", text, strlen(text), r->path, sizeof r->path);
    assert_int_equal(chmod(r->path, 0600), 0);
}

static void rig_open(struct rig *r) {
    memset(r, 0, sizeof *r);
    temp_dir_open(&r->dir);
}

static int load(struct rig *r, const char *text) {
    write_keys(r, text);
    return keys_open(&r->keys, r->path, &r->e);
}

static void rig_close(struct rig *r) {
    keys_close(r->keys);
    temp_dir_close(&r->dir);
}

/* The file must be refused with a sentence that has both words in it, and its own path. */
static void refused(const char *text, const char *word, const char *second) {
    struct rig r;
    rig_open(&r);
    assert_int_equal(load(&r, text), ERR_USAGE);
    assert_null(r.keys);
    if (strstr(r.e.text, word) == NULL || strstr(r.e.text, second) == NULL)
        fail_msg("\"%s\" says neither \"%s\" nor \"%s\"", r.e.text, word, second);
    assert_non_null(strstr(r.e.text, r.path));
    rig_close(&r);
}

static void test_a_key_opens_its_own_section_and_no_other(void **state) {
    (void)state;
    char first[KEYS_TEXT_BYTES], first_hash[KEYS_HASH_BYTES];
    char second[KEYS_TEXT_BYTES], second_hash[KEYS_HASH_BYTES], text[600];
    struct rig r;
    rig_open(&r);
    assert_int_equal(keys_make(first, first_hash, &r.e), 0);
    assert_int_equal(keys_make(second, second_hash, &r.e), 0);
    (void)snprintf(text, sizeof text, "[one]\nkey = %s\n[two]\nkey = %s\n", first_hash,
                   second_hash);
    assert_int_equal(load(&r, text), 0);
    assert_int_equal(keys_count(r.keys), 2);
    assert_string_equal(keys_get(r.keys, keys_find(r.keys, first))->name, "one");
    assert_string_equal(keys_get(r.keys, keys_find(r.keys, second))->name, "two");
    first[KEYS_TEXT_BYTES - 2] = first[KEYS_TEXT_BYTES - 2] == 'A' ? 'E' : 'A';
    assert_int_equal(keys_find(r.keys, first), -1);
    second[KEYS_TEXT_BYTES - 2] = '\0';
    assert_int_equal(keys_find(r.keys, second), -1);
    rig_close(&r);
}

static void test_a_new_key_is_a_prefix_and_43_characters_of_base64url(void **state) {
    (void)state;
    char key[KEYS_TEXT_BYTES], hash[KEYS_HASH_BYTES], again[KEYS_TEXT_BYTES];
    struct error e;
    assert_int_equal(keys_make(key, hash, &e), 0);
    assert_int_equal(strncmp(key, "quire-", 6), 0);
    assert_int_equal(strlen(key + 6), 43);
    assert_int_equal(strspn(key + 6, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
                                     "0123456789-_"),
                     43);
    assert_int_equal(strlen(hash), 71);
    assert_int_equal(keys_make(again, hash, &e), 0);
    assert_string_not_equal(key, again);
}

static void test_everything_that_a_section_can_say_is_read(void **state) {
    (void)state;
    struct rig r;
    rig_open(&r);
    assert_int_equal(load(&r, "; who may ask\n\n"
                              "[alice]\n"
                              "key = " HASH_A " ; made on Monday\n"
                              "  tenant = Shop 4\n"
                              "\tadmin = yes\n"
                              "priority = high\n"
                              "in-flight = 8\n"
                              "tokens-per-minute = 20000\n"),
                     0);
    const struct key *k = keys_get(r.keys, keys_find(r.keys, "secret"));
    assert_non_null(k);
    assert_string_equal(k->name, "alice");
    assert_string_equal(k->tenant, "Shop 4");
    assert_true(k->admin);
    assert_int_equal(k->priority, 2);
    assert_int_equal(k->in_flight, 8);
    assert_int_equal(k->tokens_per_minute, 20000);
    rig_close(&r);
}

static void test_what_a_section_does_not_say_has_a_default(void **state) {
    (void)state;
    struct rig r;
    rig_open(&r);
    assert_int_equal(load(&r, "[bob]\nkey = " HASH_A), 0);
    const struct key *k = keys_get(r.keys, keys_find(r.keys, "secret"));
    assert_non_null(k);
    assert_string_equal(k->tenant, "bob");
    assert_false(k->admin);
    assert_int_equal(k->priority, 1);
    assert_int_equal(k->in_flight, 0);
    assert_int_equal(k->tokens_per_minute, 0);
    rig_close(&r);
}

static void test_blanks_around_a_given_key_do_not_count(void **state) {
    (void)state;
    struct rig r;
    rig_open(&r);
    assert_int_equal(load(&r, "[bob]\nkey = " HASH_A "\n"), 0);
    int index = keys_find(r.keys, "secret");
    assert_true(index >= 0);
    assert_int_equal(keys_find(r.keys, "  secret\t "), index);
    assert_int_equal(keys_find(r.keys, "sec ret"), -1);
    assert_int_equal(keys_find(r.keys, ""), -1);
    assert_int_equal(keys_find(r.keys, "   "), -1);
    assert_int_equal(keys_find(r.keys, NULL), -1);
    assert_int_equal(keys_find(r.keys, HASH_A), -1);
    char *huge = malloc(100000);
    assert_non_null(huge);
    memset(huge, 'k', 99999);
    huge[99999] = '\0';
    assert_int_equal(keys_find(r.keys, huge), -1);
    free(huge);
    rig_close(&r);
}

static void test_a_file_that_others_may_write_to_is_refused(void **state) {
    (void)state;
    struct rig r;
    rig_open(&r);
    write_keys(&r, "[bob]\nkey = " HASH_A "\n");
    static const mode_t modes[] = {0620, 0602, 0666};
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(chmod(r.path, modes[i]), 0);
        assert_int_equal(keys_open(&r.keys, r.path, &r.e), ERR_USAGE);
        assert_null(r.keys);
        assert_non_null(strstr(r.e.text, "others may write"));
    }
    assert_int_equal(chmod(r.path, 0644), 0);
    assert_int_equal(keys_open(&r.keys, r.path, &r.e), 0);
    rig_close(&r);
}

static void test_a_file_of_another_user_is_refused(void **state) {
    (void)state;
    struct rig r;
    rig_open(&r);
    write_keys(&r, "[bob]\nkey = " HASH_A "\n");
    if (chown(r.path, 12345, (gid_t)-1) == 0) { /* only root can give a file away */
        assert_int_equal(keys_open(&r.keys, r.path, &r.e), ERR_USAGE);
        assert_non_null(strstr(r.e.text, "12345"));
    }
    rig_close(&r);
}

static void test_what_is_no_file_is_refused(void **state) {
    (void)state;
    struct rig r;
    rig_open(&r);
    (void)snprintf(r.path, sizeof r.path, "%s/none", r.dir.path);
    assert_int_equal(keys_open(&r.keys, r.path, &r.e), ERR_USAGE);
    assert_int_equal(keys_open(&r.keys, r.dir.path, &r.e), ERR_USAGE);
    assert_non_null(strstr(r.e.text, "regular"));
    assert_int_equal(mkfifo(r.path, 0600), 0);
    assert_int_equal(keys_open(&r.keys, r.path, &r.e), ERR_USAGE);
    rig_close(&r);
}

static void test_bad_values_are_refused_with_their_line_and_section(void **state) {
    (void)state;
    refused("[bob]\nkey = secret\n", ":2: ", "[bob]: key");
    refused("[bob]\nkey = sha256:2bb80d\n", ":2: ", "[bob]: key");
    refused("[bob]\nkey = " HASH_A "00\n", ":2: ", "[bob]: key");
    refused("[bob]\nkey = " HASH_A "\ntenant =\n", ":3: ", "[bob]: tenant");
    refused("[bob]\nkey = " HASH_A "\ntenant = \xff\xfe\n", ":3: ", "[bob]: tenant");
    refused("[bob]\nkey = " HASH_A "\nadmin = maybe\n", ":3: ", "[bob]: admin \"maybe\"");
    refused("[bob]\npriority = 1\nkey = " HASH_A "\n", ":2: ", "[bob]: priority \"1\"");
    refused("[bob]\nkey = " HASH_A "\nin-flight = -1\n", ":3: ", "[bob]: in-flight \"-1\"");
    refused("[bob]\nkey = " HASH_A "\nin-flight = 1000001\n", ":3: ", "in-flight");
    refused("[bob]\nkey = " HASH_A "\ntokens-per-minute = 2k\n", ":3: ", "tokens-per-minute");
    refused("[bob]\nkey = " HASH_A "\ntokens-per-minute = 99999999999999999999\n",
            ":3: ", "tokens-per-minute");
}

static void test_a_refused_key_is_not_repeated_in_the_sentence(void **state) {
    (void)state;
    struct rig r;
    rig_open(&r);
    assert_int_equal(load(&r, "[bob]\nkey = quire-private\n"), ERR_USAGE);
    assert_null(strstr(r.e.text, "private"));
    rig_close(&r);
}

static void test_a_file_of_the_wrong_form_is_refused(void **state) {
    (void)state;
    refused("", "no section", "key file");
    refused("; nothing\n", "no section", "key file");
    refused("key = " HASH_A "\n", ":1: ", "before the first");
    refused("[bob]\n", ":1: ", "no key");
    refused("[bob]\ntenant = x\n", ":1: ", "[bob] has no key");
    refused("[bob]\nkey = " HASH_A "\n\n[eve]\n[carl]\nkey = " HASH_B "\n", ":4: ", "no key");
    refused("[bob]\nkey = " HASH_A "\n[eve]\n", ":3: ", "no key");
    refused("[bob]\nkey = " HASH_A "\n[eve]\nkey = " HASH_A "\n", ":3: ", "same key as [bob]");
    refused("[bob]\nkey = " HASH_A "\n[bob]\nkey = " HASH_B "\n", ":3: ", "two sections [bob]");
    refused("[bob]\nkey = " HASH_A "\n[eve]\nkey = " HASH_B "\n[bob]\nadmin = yes\n",
            ":5: ", "two sections [bob]");
    refused("[bob]\nkey = " HASH_A "\nkey = " HASH_B "\n", ":3: ", "[bob] says key twice");
    refused("[bob]\nkey = " HASH_A "\nquota = 3\n", ":3: ", "\"quota\"");
    refused("[bob]\nkey = " HASH_A "\nnonsense\n", ":3: ", "name = value");
    refused("[bo b]\nkey = " HASH_A "\n", ":1: ", "section's name");
    refused("[]\nkey = " HASH_A "\n", ":1: ", "section's name");
    refused("[a123456789b123456789c123456789d123456789e123456789]\nkey = " HASH_A "\n",
            ":1: ", "section's name");
}

static void test_long_lines_and_zero_bytes_are_refused(void **state) {
    (void)state;
    char text[1024];
    size_t n = (size_t)snprintf(text, sizeof text, "[bob]\nkey = " HASH_A "\ntenant = ");
    memset(text + n, 't', 500);
    memcpy(text + n + 500, "\n", 2);
    refused(text, ":3: ", "a line of more than");
    struct rig r;
    rig_open(&r);
    static const char zero[] = "[bob]\nkey = " HASH_A "\nadm\0in = yes\n";
    temp_file(&r.dir, "keys.ini", zero, sizeof zero - 1, r.path, sizeof r.path);
    assert_int_equal(chmod(r.path, 0600), 0);
    assert_int_equal(keys_open(&r.keys, r.path, &r.e), ERR_USAGE);
    assert_non_null(strstr(r.e.text, ":3: "));
    rig_close(&r);
}

static void test_more_sections_than_there_is_room_for_are_refused(void **state) {
    (void)state;
    size_t room = (KEYS_MAX + 1) * 100;
    char *text = malloc(room);
    assert_non_null(text);
    size_t n = 0, before_last = 0;
    for (int i = 0; i <= KEYS_MAX; i++) {
        before_last = n;
        n += (size_t)snprintf(text + n, room - n, "[k%d]\nkey = sha256:%064x\n", i, i + 1);
    }
    refused(text, "more than 1024", "sections");
    text[before_last] = '\0';
    struct rig r;
    rig_open(&r);
    assert_int_equal(load(&r, text), 0);
    assert_int_equal(keys_count(r.keys), KEYS_MAX);
    rig_close(&r);
    free(text);
}

static void test_a_broken_file_leaves_the_old_keys_in_force(void **state) {
    (void)state;
    struct rig r;
    rig_open(&r);
    assert_int_equal(load(&r, "[bob]\nkey = " HASH_A "\ntenant = shop\n"), 0);
    int index = keys_find(r.keys, "secret");
    write_keys(&r, "[bob]\nkey = " HASH_B "\n[eve]\nkey = no\n");
    assert_int_equal(keys_reload(r.keys, &r.e), ERR_USAGE);
    assert_int_equal(keys_find(r.keys, "secret"), index);
    assert_string_equal(keys_get(r.keys, index)->tenant, "shop");
    assert_int_equal(unlink(r.path), 0);
    assert_int_equal(keys_reload(r.keys, &r.e), ERR_USAGE);
    assert_int_equal(keys_find(r.keys, "secret"), index);
    rig_close(&r);
}

static void test_a_number_held_over_a_reload_means_the_same_section_or_none(void **state) {
    (void)state;
    struct rig r;
    rig_open(&r);
    assert_int_equal(load(&r, "[bob]\nkey = " HASH_A "\n[eve]\nkey = " HASH_B "\n"), 0);
    int bob = keys_find(r.keys, "secret");
    /* Another order, and a new secret: still bob. */
    write_keys(&r, "[zoe]\nkey = " HASH_A "\n[bob]\nkey = " HASH_B "\nadmin = yes\n");
    assert_int_equal(keys_reload(r.keys, &r.e), 0);
    assert_string_equal(keys_get(r.keys, bob)->name, "bob");
    assert_true(keys_get(r.keys, bob)->admin);
    int zoe = keys_find(r.keys, "secret");
    assert_string_equal(keys_get(r.keys, zoe)->name, "zoe");
    /* Gone; who comes to its slot has another number. */
    write_keys(&r, "[kim]\nkey = " HASH_A "\n");
    assert_int_equal(keys_reload(r.keys, &r.e), 0);
    assert_null(keys_get(r.keys, bob));
    assert_null(keys_get(r.keys, zoe));
    int kim = keys_find(r.keys, "secret");
    assert_string_equal(keys_get(r.keys, kim)->name, "kim");
    assert_true(kim != bob && kim != zoe);
    assert_null(keys_get(r.keys, -1));
    assert_null(keys_get(r.keys, INT32_MAX));
    rig_close(&r);
}

static void test_many_reloads_with_ever_new_names_never_run_out_of_room(void **state) {
    (void)state;
    struct rig r;
    rig_open(&r);
    assert_int_equal(load(&r, "[first]\nkey = " HASH_A "\n"), 0);
    int first = keys_find(r.keys, "secret");
    for (int i = 0; i < 1500; i++) {
        char text[200];
        (void)snprintf(text, sizeof text, "[n%d]\nkey = " HASH_A "\n", i);
        write_keys(&r, text);
        assert_int_equal(keys_reload(r.keys, &r.e), 0);
        int index = keys_find(r.keys, "secret");
        assert_true(index > first);
        assert_non_null(keys_get(r.keys, index));
    }
    assert_null(keys_get(r.keys, first));
    rig_close(&r);
}

static void test_a_key_is_found_in_each_header_that_clients_use(void **state) {
    (void)state;
    assert_string_equal(keys_from_headers("Bearer abc", NULL, NULL), "abc");
    assert_string_equal(keys_from_headers("bearer   abc", NULL, NULL), "abc");
    assert_string_equal(keys_from_headers(NULL, "abc", NULL), "abc");
    assert_string_equal(keys_from_headers(NULL, NULL, " abc"), "abc");
    assert_string_equal(keys_from_headers("Bearer abc", "x", "y"), "abc");
    assert_string_equal(keys_from_headers("Basic dXNlcg==", "x", "y"), "x");
    assert_string_equal(keys_from_headers("Bearer ", NULL, "y"), "y");
    assert_string_equal(keys_from_headers("Bearerabc", "", "y"), "y");
    assert_null(keys_from_headers(NULL, NULL, NULL));
    assert_null(keys_from_headers("Bearer", "", "  "));
}

static void test_only_good_names_get_a_new_key(void **state) {
    (void)state;
    struct error e = {0};
    assert_int_equal(keys_print_new("", &e), ERR_USAGE);
    assert_int_equal(keys_print_new("a b", &e), ERR_USAGE);
    assert_int_equal(keys_print_new("a]\nadmin = yes", &e), ERR_USAGE);
    assert_int_equal(keys_print_new("a123456789b123456789c123456789d123456789e12345678", &e),
                     ERR_USAGE);
    assert_non_null(strstr(e.text, "48"));
}

/* Runs keys_print_new with standard output in a file, and reads that. */
static void print_into(const char *name, char *out, size_t room, const struct rig *r) {
    char path[256];
    struct error e;
    (void)snprintf(path, sizeof path, "%s/printed", r->dir.path);
    (void)fflush(stdout);
    int old = dup(STDOUT_FILENO);
    assert_true(old >= 0);
    assert_non_null(freopen(path, "w", stdout));
    int rc = keys_print_new(name, &e);
    (void)fflush(stdout);
    assert_true(dup2(old, STDOUT_FILENO) >= 0);
    (void)close(old);
    assert_int_equal(rc, 0);
    FILE *f = fopen(path, "r");
    assert_non_null(f);
    size_t n = fread(out, 1, room - 1, f);
    out[n] = '\0';
    (void)fclose(f);
}

static void test_what_is_printed_is_a_key_and_a_section_that_lets_it_in(void **state) {
    (void)state;
    struct rig r;
    char text[1000], key[KEYS_TEXT_BYTES];
    rig_open(&r);
    print_into("carol", text, sizeof text, &r);
    const char *start = strstr(text, "quire-"), *section = strstr(text, "[carol]\n");
    assert_non_null(start);
    assert_non_null(section);
    memcpy(key, start, sizeof key - 1);
    key[sizeof key - 1] = '\0';
    assert_null(strstr(start + 1, key));
    assert_int_equal(load(&r, section), 0);
    assert_string_equal(keys_get(r.keys, keys_find(r.keys, key))->name, "carol");
    rig_close(&r);
}

/* Bytes changed, put in and cut: the file is read or refused with a sentence, and what is read is
 * within bounds. */
static void test_mutated_files_are_read_or_refused(void **state) {
    (void)state;
    static const char good[] = "; keys\n[alice]\nkey = " HASH_A " ; hers\ntenant = shop\nadmin = "
                               "yes\npriority = high\nin-flight = 8\ntokens-per-minute = 20000\n\n"
                               "[bob]\n  key = " HASH_B "\n";
    static const char put[] = "[]=;# \n\t\r\xff\0a09:-";
    unsigned seed = 20261121, taken = 0;
    struct rig r;
    rig_open(&r);
    for (int round = 0; round < 2000; round++) {
        char text[sizeof good];
        size_t n = sizeof good - 1;
        memcpy(text, good, sizeof good);
        for (int i = 0; i < 1 + round % 3; i++) {
            seed = seed * 1664525u + 1013904223u;
            text[(seed >> 8) % n] = put[(seed >> 3) % (sizeof put - 1)];
        }
        if (round % 5 == 0)
            n = (seed >> 7) % n;
        temp_file(&r.dir, "keys.ini", text, n, r.path, sizeof r.path);
        assert_int_equal(chmod(r.path, 0600), 0);
        r.e.text[0] = '\0';
        int rc = keys_open(&r.keys, r.path, &r.e);
        assert_true(rc == 0 || (rc == ERR_USAGE && r.e.text[0] != '\0' && r.keys == NULL));
        for (int i = 0; rc == 0 && i < 2; i++) {
            const struct key *k = keys_get(r.keys, i);
            assert_true(k == NULL || (k->tenant[0] != '\0' && k->priority >= 0 &&
                                      k->priority <= 2 && k->in_flight <= KEYS_IN_FLIGHT_MAX));
        }
        taken += rc == 0;
        keys_close(r.keys);
        r.keys = NULL;
    }
    assert_true(taken > 0 && taken < 2000);
    rig_close(&r);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_key_opens_its_own_section_and_no_other),
        cmocka_unit_test(test_a_new_key_is_a_prefix_and_43_characters_of_base64url),
        cmocka_unit_test(test_everything_that_a_section_can_say_is_read),
        cmocka_unit_test(test_what_a_section_does_not_say_has_a_default),
        cmocka_unit_test(test_blanks_around_a_given_key_do_not_count),
        cmocka_unit_test(test_a_file_that_others_may_write_to_is_refused),
        cmocka_unit_test(test_a_file_of_another_user_is_refused),
        cmocka_unit_test(test_what_is_no_file_is_refused),
        cmocka_unit_test(test_bad_values_are_refused_with_their_line_and_section),
        cmocka_unit_test(test_a_refused_key_is_not_repeated_in_the_sentence),
        cmocka_unit_test(test_a_file_of_the_wrong_form_is_refused),
        cmocka_unit_test(test_long_lines_and_zero_bytes_are_refused),
        cmocka_unit_test(test_more_sections_than_there_is_room_for_are_refused),
        cmocka_unit_test(test_a_broken_file_leaves_the_old_keys_in_force),
        cmocka_unit_test(test_a_number_held_over_a_reload_means_the_same_section_or_none),
        cmocka_unit_test(test_many_reloads_with_ever_new_names_never_run_out_of_room),
        cmocka_unit_test(test_a_key_is_found_in_each_header_that_clients_use),
        cmocka_unit_test(test_mutated_files_are_read_or_refused),
        cmocka_unit_test(test_only_good_names_get_a_new_key),
        cmocka_unit_test(test_what_is_printed_is_a_key_and_a_section_that_lets_it_in),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
