/* picture_table_test.c - what was seen is found again, by those who saw it, until newer things
 * come. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>

#include <string.h>

#include "worker/engine/picture_table.h"

static struct bytes named(const char *tenant) {
    return (struct bytes){(const uint8_t *)tenant, strlen(tenant)};
}

static struct picture_key key(const char *tenant, uint64_t n) {
    return (struct picture_key){.tenant = named(tenant), .encoded = {{n, ~n}}, .encoded_bytes = 10};
}

static struct picture_seen seen(uint64_t n) {
    return (struct picture_seen){{{n, n * n}}, {(int32_t)n, 1, 4}};
}

static void put(struct picture_table *t, const char *tenant, uint64_t n) {
    struct picture_key k = key(tenant, n);
    struct picture_seen s = seen(n);
    picture_table_put(t, &k, &s);
}

static bool has(struct picture_table *t, const char *tenant, uint64_t n) {
    struct picture_key k = key(tenant, n);
    struct picture_seen got, want = seen(n);
    if (!picture_table_find(t, &k, &got))
        return false;
    assert_true(picture_digest_equal(got.digest, want.digest));
    assert_memory_equal(&got.layout, &want.layout, sizeof got.layout);
    return true;
}

static struct picture_table *open_table(size_t entries) {
    struct picture_table *t;
    assert_int_equal(picture_table_open(&t, entries, NULL), 0);
    return t;
}

static void test_all_of_the_key_counts(void **state) {
    (void)state;
    struct picture_table *t = open_table(8);
    struct picture_seen got;
    put(t, "a", 1);
    assert_true(has(t, "a", 1));
    assert_false(has(t, "a", 2));
    assert_false(has(t, "b", 1));
    assert_false(has(t, "ab", 1));
    assert_false(has(t, "", 1));
    struct picture_key other = key("a", 1);
    other.encoded.half[1]++;
    assert_false(picture_table_find(t, &other, &got));
    other = key("a", 1);
    other.encoded_bytes++;
    assert_false(picture_table_find(t, &other, &got));
    other = key("a", 1);
    other.options.max_pixels = 100;
    assert_false(picture_table_find(t, &other, &got));
    other = key("a", 1);
    other.options.overview_only = true;
    assert_false(picture_table_find(t, &other, &got));
    picture_table_close(t);
}

static void test_the_one_not_asked_for_the_longest_goes(void **state) {
    (void)state;
    struct picture_table *t = open_table(3);
    put(t, "", 1);
    put(t, "", 2);
    put(t, "", 3);
    assert_true(has(t, "", 1));
    put(t, "", 2); /* again: it takes no second place */
    put(t, "", 4);
    assert_false(has(t, "", 3));
    assert_true(has(t, "", 1));
    assert_true(has(t, "", 2));
    assert_true(has(t, "", 4));
    picture_table_close(t);
}

static void test_a_table_of_one(void **state) {
    (void)state;
    struct picture_table *t = open_table(1);
    put(t, "a", 1);
    put(t, "a", 2);
    assert_false(has(t, "a", 1));
    assert_true(has(t, "a", 2));
    picture_table_close(t);
}

static void test_thousands_in_colliding_buckets(void **state) {
    (void)state;
    struct picture_table *t = open_table(1000);
    for (uint64_t n = 0; n < 5000; n++) /* the low bits, which choose a bucket, are equal */
        put(t, n % 2 ? "odd" : "even", n << 11);
    for (uint64_t n = 0; n < 5000; n++)
        assert_int_equal(has(t, n % 2 ? "odd" : "even", n << 11), n >= 4000);
    picture_table_close(t);
}

static void test_a_tenant_whose_name_is_too_long_is_not_remembered(void **state) {
    (void)state;
    char name[PICTURE_TABLE_TENANT_BYTES + 2];
    memset(name, 'x', sizeof name);
    struct picture_table *t = open_table(4);
    name[PICTURE_TABLE_TENANT_BYTES] = '\0';
    put(t, name, 1);
    assert_true(has(t, name, 1));
    name[PICTURE_TABLE_TENANT_BYTES] = 'x';
    name[PICTURE_TABLE_TENANT_BYTES + 1] = '\0';
    put(t, name, 1);
    assert_false(has(t, name, 1));
    picture_table_close(t);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_all_of_the_key_counts),
        cmocka_unit_test(test_the_one_not_asked_for_the_longest_goes),
        cmocka_unit_test(test_a_table_of_one),
        cmocka_unit_test(test_thousands_in_colliding_buckets),
        cmocka_unit_test(test_a_tenant_whose_name_is_too_long_is_not_remembered),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
