/* feature_cache_test.c - what stays, what goes, and who hears of it. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "worker/engine/feature_cache.h"

#define TILE_FLOATS 256
#define TILE_BYTES (TILE_FLOATS * sizeof(float))

static const struct picture_layout one_tile = {0, 0, 4};
static const struct picture_layout four_tiles = {3, 1, 4};

static struct bytes named(const char *tenant) {
    return (struct bytes){(const uint8_t *)tenant, strlen(tenant)};
}

static struct picture_digest digest(uint64_t n) {
    return (struct picture_digest){{n, n + 1}};
}

/* What one entry of so many tiles takes. */
static size_t entry_bytes(size_t tiles) {
    return sizeof(struct feature_entry) + 1 + tiles * TILE_BYTES;
}

static struct feature_cache *open_cache(size_t capacity) {
    struct feature_cache *c;
    assert_int_equal(feature_cache_open(&c, capacity, TILE_FLOATS, NULL), 0);
    return c;
}

static struct feature_entry *hold(struct feature_cache *c, uint64_t n) {
    return feature_cache_hold(c, named("t"), digest(n), &one_tile);
}

static struct feature_entry *add(struct feature_cache *c, uint64_t n) {
    struct feature_entry *entry;
    assert_null(hold(c, n));
    assert_int_equal(feature_cache_add(c, named("t"), digest(n), &one_tile, &entry, NULL), 0);
    return entry;
}

static void make(struct feature_cache *c, struct feature_entry *entry) {
    assert_int_equal(feature_cache_begin(c, entry, NULL), 0);
    while (!feature_entry_complete(entry)) {
        float *tile = entry->embeddings + entry->tiles_done * TILE_FLOATS;
        for (int i = 0; i < TILE_FLOATS; i++)
            tile[i] = (float)entry->digest.half[0];
        feature_cache_tile_done(c, entry);
    }
}

static void add_whole(struct feature_cache *c, uint64_t n, uint32_t tag) {
    struct feature_entry *entry = add(c, n);
    make(c, entry);
    entry->tag = tag;
    feature_cache_release(c, entry);
}

static bool stayed(struct feature_cache *c, uint64_t n) {
    struct feature_entry *entry = hold(c, n);
    if (entry != NULL)
        feature_cache_release(c, entry);
    return entry != NULL;
}

static struct image square(int32_t side) {
    struct image i = {side, side, malloc((size_t)(side * side) * 3)};
    assert_non_null(i.rgb);
    memset(i.rgb, 7, (size_t)(side * side) * 3);
    return i;
}

static struct prepared pixels(int32_t side) {
    return (struct prepared){.layout = one_tile, .overview = square(side)};
}

/* Tags of what went, in order. */
static uint32_t gone[64];
static size_t n_gone;

static void on_drop(void *arg, uint32_t tag) {
    assert_ptr_equal(arg, gone);
    assert_true(n_gone < 64);
    gone[n_gone++] = tag;
}

static void listen(struct feature_cache *c) {
    n_gone = 0;
    feature_cache_on_drop(c, on_drop, gone);
}

static void test_a_whole_picture_stays_for_its_tenant(void **state) {
    (void)state;
    struct feature_cache *c = open_cache(1 << 20);
    add_whole(c, 5, 0);
    assert_int_equal(feature_cache_count(c), 1);
    assert_int_equal(feature_cache_bytes(c), entry_bytes(1));
    struct feature_entry *first = hold(c, 5), *second = hold(c, 5);
    assert_non_null(first);
    assert_ptr_equal(first, second);
    assert_true(first->embeddings[TILE_FLOATS - 1] > 4.5F);
    feature_cache_release(c, first);
    feature_cache_release(c, second);
    assert_null(feature_cache_hold(c, named("u"), digest(5), &one_tile));
    assert_null(feature_cache_hold(c, named("tt"), digest(5), &one_tile));
    assert_null(feature_cache_hold(c, named(""), digest(5), &one_tile));
    assert_null(feature_cache_hold(c, named("t"), digest(5), &four_tiles));
    assert_null(feature_cache_hold(c, named("t"), digest(6), &one_tile));
    feature_cache_close(c);
}

static void test_a_picture_half_made_goes_with_its_last_user(void **state) {
    (void)state;
    struct feature_cache *c = open_cache(1 << 20);
    struct feature_entry *entry;
    assert_int_equal(feature_cache_add(c, named("t"), digest(1), &four_tiles, &entry, NULL), 0);
    assert_int_equal(entry->n_tiles, 4);
    assert_int_equal(feature_cache_begin(c, entry, NULL), 0);
    feature_cache_tile_done(c, entry);
    assert_ptr_equal(feature_cache_hold(c, named("t"), digest(1), &four_tiles), entry);
    feature_cache_release(c, entry);
    assert_int_equal(entry->tiles_done, 1); /* the other user goes on */
    feature_cache_release(c, entry);
    assert_int_equal(feature_cache_count(c), 0);
    assert_int_equal(feature_cache_bytes(c), 0);
    feature_cache_close(c);
}

static void test_the_one_not_held_for_the_longest_goes_first(void **state) {
    (void)state;
    struct feature_cache *c = open_cache(3 * entry_bytes(1));
    listen(c);
    add_whole(c, 1, 11);
    add_whole(c, 2, 12);
    add_whole(c, 3, 13);
    assert_int_equal(n_gone, 0);
    assert_true(stayed(c, 1));
    add_whole(c, 4, 14);
    assert_int_equal(n_gone, 1);
    assert_int_equal(gone[0], 12);
    assert_false(stayed(c, 2));
    assert_true(stayed(c, 3));
    assert_true(stayed(c, 1));
    assert_true(stayed(c, 4));
    feature_cache_close(c);
    assert_int_equal(n_gone, 1); /* closing tells nobody */
}

static void test_what_is_held_never_goes(void **state) {
    (void)state;
    struct feature_cache *c = open_cache(2 * entry_bytes(1));
    struct feature_entry *held[5];
    listen(c);
    for (uint64_t n = 0; n < 5; n++) {
        held[n] = add(c, n);
        make(c, held[n]);
        held[n]->tag = (uint32_t)n + 1;
    }
    assert_int_equal(feature_cache_bytes(c), 5 * entry_bytes(1)); /* requests need that much */
    for (uint64_t n = 0; n < 5; n++)
        assert_true(held[n]->embeddings[0] < (float)n + 0.5F);
    for (uint64_t n = 0; n < 5; n++) {
        feature_cache_release(c, held[n]);
        assert_true(feature_cache_bytes(c) <= 2 * entry_bytes(1) || feature_cache_count(c) > 2);
    }
    assert_int_equal(feature_cache_count(c), 2);
    assert_int_equal(n_gone, 3);
    feature_cache_close(c);
}

static void test_one_larger_than_the_bound_serves_its_request(void **state) {
    (void)state;
    struct feature_cache *c = open_cache(TILE_BYTES);
    struct feature_entry *entry;
    assert_int_equal(feature_cache_add(c, named("t"), digest(1), &four_tiles, &entry, NULL), 0);
    make(c, entry);
    assert_true(entry->embeddings[4 * TILE_FLOATS - 1] > 0.5F);
    feature_cache_release(c, entry);
    assert_int_equal(feature_cache_count(c), 0);
    feature_cache_close(c);
}

static void test_pixels_wait_in_their_share_of_the_room(void **state) {
    (void)state;
    size_t picture = 16 * 16 * 3;
    struct feature_cache *c = open_cache(2 * picture * FEATURE_CACHE_PIXEL_SHARE);
    struct feature_entry *entries[2];
    struct prepared p = pixels(16);
    for (uint64_t n = 0; n < 2; n++) {
        struct prepared more = pixels(16);
        assert_true(feature_cache_has_room(c, &more));
        entries[n] = add(c, n);
        feature_cache_give_pixels(c, entries[n], &more);
        assert_null(more.overview.rgb);
    }
    assert_int_equal(feature_cache_bytes(c), 2 * (picture + entry_bytes(0)));
    assert_false(feature_cache_has_room(c, &p));
    make(c, entries[0]); /* its pixels went with its last tile */
    assert_null(entries[0]->pixels.overview.rgb);
    assert_true(feature_cache_has_room(c, &p));
    feature_cache_release(c, entries[1]); /* nobody wants it any more */
    assert_int_equal(feature_cache_bytes(c), entry_bytes(1));
    feature_cache_release(c, entries[0]);
    prepared_clear(&p);
    feature_cache_close(c);
}

static void test_pixels_beyond_their_share_push_nothing_out(void **state) {
    (void)state;
    struct feature_cache *c = open_cache(8 * entry_bytes(1));
    for (uint64_t n = 0; n < 5; n++)
        add_whole(c, n, 0);
    struct feature_entry *entry = add(c, 9);
    struct prepared large = pixels(100);
    feature_cache_give_pixels(c, entry, &large);
    assert_true(feature_cache_bytes(c) > 8 * entry_bytes(1));
    make(c, entry);
    feature_cache_release(c, entry);
    assert_int_equal(feature_cache_count(c), 6);
    feature_cache_close(c);
}

static void test_thousands_come_and_go_within_the_bound(void **state) {
    (void)state;
    size_t capacity = 37 * entry_bytes(1) + 11;
    struct feature_cache *c = open_cache(capacity);
    for (uint64_t n = 0; n < 20000; n++) {
        add_whole(c, n << 9, 0); /* few of the buckets */
        assert_true(feature_cache_bytes(c) <= capacity);
        assert_true(stayed(c, 0)); /* asked for each time, so it stays */
    }
    assert_int_equal(feature_cache_count(c), 37);
    feature_cache_close(c);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_whole_picture_stays_for_its_tenant),
        cmocka_unit_test(test_a_picture_half_made_goes_with_its_last_user),
        cmocka_unit_test(test_the_one_not_held_for_the_longest_goes_first),
        cmocka_unit_test(test_what_is_held_never_goes),
        cmocka_unit_test(test_one_larger_than_the_bound_serves_its_request),
        cmocka_unit_test(test_pixels_wait_in_their_share_of_the_room),
        cmocka_unit_test(test_pixels_beyond_their_share_push_nothing_out),
        cmocka_unit_test(test_thousands_come_and_go_within_the_bound),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
