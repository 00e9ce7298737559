/* holdings_test.c - what a worker holds, and what of it its broker is told. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "worker/holdings.h"

#define SEED 7
#define FEW 16 /* records of a small table */

/* What a broker that reads all news believes, by the number of the link. */
#define LINKS 4096
struct view {
    struct holdings *h;
    struct holdings_news *news;
    bool held[LINKS];
    uint32_t positions[LINKS];
    uint32_t resets, messages;
};

static struct link link_of(uint32_t n) {
    struct link link = {{0}};
    memcpy(link.bytes, &n, sizeof n);
    link.bytes[15] = 0xA5;
    return link;
}

static uint32_t number_of(const uint8_t *link) {
    uint32_t n;
    memcpy(&n, link, sizeof n);
    assert_true(n < LINKS);
    assert_int_equal(link[15], 0xA5);
    return n;
}

static void open_view(struct view *v, uint32_t records) {
    struct error e;
    memset(v, 0, sizeof *v);
    assert_int_equal(holdings_open(&v->h, records, &e), 0);
    v->news = malloc(sizeof *v->news);
    assert_non_null(v->news);
    holdings_seed(v->h, SEED);
}

static void close_view(struct view *v) {
    holdings_close(v->h);
    free(v->news);
}

/* Reads one message; false: there is none. */
static bool read_one(struct view *v) {
    if (!holdings_take(v->h, v->news))
        return false;
    v->messages++;
    if (v->news->reset) {
        v->resets++;
        memset(v->held, 0, sizeof v->held);
    }
    assert_true(v->news->n_held <= LIMIT_LINKS && v->news->n_dropped <= LIMIT_LINKS);
    for (size_t i = 0; i < v->news->n_held; i++) {
        const uint8_t *at = v->news->held + i * LINK_HELD_BYTES;
        uint32_t n = number_of(at);
        v->held[n] = true;
        v->positions[n] = (uint32_t)at[16] | (uint32_t)at[17] << 8 | (uint32_t)at[18] << 16 |
                          (uint32_t)at[19] << 24;
    }
    for (size_t i = 0; i < v->news->n_dropped; i++)
        v->held[number_of(v->news->dropped + i * LINK_BYTES)] = false;
    return true;
}

static void read_all(struct view *v) {
    while (read_one(v)) {
    }
    assert_false(holdings_pending(v->h));
}

static uint32_t count_held(const struct view *v) {
    uint32_t n = 0;
    for (size_t i = 0; i < LINKS; i++)
        n += v->held[i];
    return n;
}

static uint32_t add(struct view *v, uint32_t n, uint32_t positions, uint32_t tag) {
    struct link link = link_of(n);
    return holdings_add(v->h, SEED, &link, positions, tag);
}

static void test_a_new_link_is_told_once(void **state) {
    (void)state;
    struct view v;
    open_view(&v, FEW);
    read_all(&v);
    assert_int_equal(v.resets, 1); /* the beginning */
    uint32_t tag = add(&v, 1, 70000, 0);
    assert_int_not_equal(tag, 0);
    assert_int_equal(add(&v, 1, 70000, tag), tag);
    assert_true(holdings_pending(v.h));
    read_all(&v);
    assert_true(v.held[1]);
    assert_int_equal(v.positions[1], 70000);
    assert_int_equal(add(&v, 1, 70000, tag), tag);
    assert_false(holdings_pending(v.h));
    assert_int_equal(add(&v, 1, 70001, tag), tag); /* other positions are news */
    read_all(&v);
    assert_int_equal(v.positions[1], 70001);
    assert_int_equal(v.resets, 1);
    close_view(&v);
}

static void test_a_place_that_goes_takes_its_links_along(void **state) {
    (void)state;
    struct view v;
    open_view(&v, FEW);
    uint32_t a = add(&v, 1, 16, 0);
    a = add(&v, 2, 16, a);
    uint32_t b = add(&v, 3, 32, 0);
    assert_int_not_equal(a, b);
    read_all(&v);
    holdings_dropped(v.h, a);
    assert_true(holdings_pending(v.h));
    read_all(&v);
    assert_int_equal(count_held(&v), 1);
    assert_true(v.held[3]);
    holdings_dropped(v.h, a); /* known no more */
    holdings_dropped(v.h, 0);
    assert_false(holdings_pending(v.h));
    close_view(&v);
}

static void test_what_comes_and_goes_unread_is_not_told(void **state) {
    (void)state;
    struct view v;
    open_view(&v, FEW);
    read_all(&v);
    uint32_t told = v.messages;
    holdings_dropped(v.h, add(&v, 1, 16, 0));
    assert_false(read_one(&v));
    uint32_t tag = add(&v, 2, 16, 0);
    read_all(&v);
    holdings_dropped(v.h, tag);
    tag = add(&v, 2, 16, 0); /* back before anybody read that it went */
    read_all(&v);
    assert_int_equal(v.messages, told + 2);
    assert_true(v.held[2]);
    holdings_dropped(v.h, tag);
    read_all(&v);
    assert_int_equal(count_held(&v), 0);
    close_view(&v);
}

static void test_a_link_moves_to_the_place_that_holds_it_last(void **state) {
    (void)state;
    struct view v;
    open_view(&v, FEW);
    uint32_t a = add(&v, 1, 16, 0), b = add(&v, 1, 16, 0);
    assert_int_not_equal(a, b);
    read_all(&v);
    holdings_dropped(v.h, a);
    read_all(&v);
    assert_true(v.held[1]);
    holdings_dropped(v.h, b);
    read_all(&v);
    assert_false(v.held[1]);
    close_view(&v);
}

static void test_a_place_keeps_its_newest_links(void **state) {
    (void)state;
    struct view v;
    open_view(&v, 4 * HOLDINGS_PER_PLACE);
    uint32_t tag = 0;
    for (uint32_t n = 0; n < HOLDINGS_PER_PLACE; n++)
        tag = add(&v, n, 16, tag);
    read_all(&v);
    assert_int_equal(count_held(&v), HOLDINGS_PER_PLACE);
    assert_int_equal(add(&v, 100, 16, tag), tag);
    read_all(&v);
    assert_int_equal(count_held(&v), HOLDINGS_PER_PLACE);
    assert_false(v.held[0]);
    assert_true(v.held[1] && v.held[100]);
    holdings_dropped(v.h, tag);
    read_all(&v);
    assert_int_equal(count_held(&v), 0);
    close_view(&v);
}

static void test_a_full_table_forgets_old_links(void **state) {
    (void)state;
    struct view v;
    uint32_t tags[3 * FEW];
    open_view(&v, FEW);
    for (uint32_t n = 0; n < 3 * FEW; n++) {
        tags[n] = add(&v, n, n + 1, 0);
        if (n % 3 == 0)
            read_all(&v);
    }
    read_all(&v);
    assert_int_equal(count_held(&v), FEW);
    assert_true(v.held[3 * FEW - 1]);
    for (uint32_t n = 0; n < 3 * FEW; n++)
        if (!v.held[n])
            holdings_dropped(v.h, tags[n]); /* of places that have none any more */
    read_all(&v);
    assert_int_equal(count_held(&v), FEW);
    close_view(&v);
}

static void test_drops_that_nobody_reads_end_in_telling_all_anew(void **state) {
    (void)state;
    struct view v;
    open_view(&v, FEW);
    (void)add(&v, 4000, 5, 0);
    read_all(&v);
    for (uint32_t n = 0; n < 10 * FEW; n++) {
        uint32_t tag = add(&v, n, 16, 0);
        for (int k = 0; k < 2 && n % FEW < 3; k++)
            (void)read_one(&v);
        holdings_dropped(v.h, tag);
    }
    read_all(&v);
    assert_int_equal(count_held(&v), 1);
    assert_true(v.held[4000]);
    close_view(&v);
}

static void test_an_inventory_tells_everything_from_the_start(void **state) {
    (void)state;
    struct view v;
    enum { MANY = 3000 };
    open_view(&v, 4000);
    for (uint32_t n = 0; n < MANY; n++)
        (void)add(&v, n, n, 0);
    read_all(&v);
    assert_int_equal(count_held(&v), MANY);
    memset(v.held, 0, sizeof v.held);
    v.messages = v.resets = 0;
    holdings_resync(v.h);
    read_all(&v);
    assert_int_equal(count_held(&v), MANY);
    assert_int_equal(v.resets, 1);
    assert_int_equal(v.messages, 3); /* of LIMIT_LINKS */
    for (uint32_t n = 0; n < MANY; n++)
        assert_int_equal(v.positions[n], n);
    close_view(&v);
}

static void test_new_links_come_before_an_inventory(void **state) {
    (void)state;
    struct view v;
    open_view(&v, 4000);
    for (uint32_t n = 0; n < 3000; n++)
        (void)add(&v, n, 1, 0);
    read_all(&v);
    holdings_resync(v.h);
    (void)add(&v, 4000, 9, 0);
    assert_true(read_one(&v));
    assert_true(v.held[4000]);
    close_view(&v);
}

static void test_another_seed_makes_all_links_void(void **state) {
    (void)state;
    struct view v;
    open_view(&v, FEW);
    uint32_t old = add(&v, 1, 16, 0);
    read_all(&v);
    holdings_seed(v.h, SEED);
    assert_false(holdings_pending(v.h));
    holdings_seed(v.h, SEED + 1);
    read_all(&v);
    assert_int_equal(v.resets, 2);
    assert_int_equal(count_held(&v), 0);
    assert_int_equal(add(&v, 2, 16, old), old); /* still of the other seed: not taken */
    assert_false(holdings_pending(v.h));
    struct link link = link_of(3);
    uint32_t tag = holdings_add(v.h, SEED + 1, &link, 16, old);
    assert_int_not_equal(tag, old);
    holdings_dropped(v.h, old);
    read_all(&v);
    assert_int_equal(count_held(&v), 1);
    assert_true(v.held[3]);
    close_view(&v);
}

static void test_without_a_seed_nothing_is_kept(void **state) {
    (void)state;
    struct view v;
    open_view(&v, FEW);
    holdings_seed(v.h, 0);
    read_all(&v);
    struct link link = link_of(3);
    assert_int_equal(holdings_add(v.h, 0, &link, 16, 0), 0);
    assert_false(holdings_pending(v.h));
    assert_int_equal(holdings_add(NULL, SEED, &link, 16, 5), 5);
    holdings_dropped(NULL, 5);
    close_view(&v);
}

/* A model beside it: random adds and drops on tags that are kept as the tree keeps them. */
static void test_after_any_changes_the_reader_knows_the_truth(void **state) {
    (void)state;
    enum { PLACES = 40, STEPS = 60000, RECORDS = 1024, RANGE = 100 };
    struct view v;
    uint32_t tags[PLACES] = {0};
    int32_t where[RANGE]; /* link -> place, -1: nowhere */
    memset(where, 0xFF, sizeof where);
    uint32_t per_place[PLACES] = {0};
    uint32_t noise = 12345;
    open_view(&v, RECORDS);
    for (int step = 0; step < STEPS; step++) {
        noise = noise * 1664525 + 1013904223;
        uint32_t place = (noise >> 8) % PLACES, n = (noise >> 16) % RANGE;
        uint32_t action = noise >> 29;
        if (action == 0) {
            holdings_dropped(v.h, tags[place]);
            tags[place] = 0;
            per_place[place] = 0;
            for (size_t i = 0; i < RANGE; i++)
                where[i] = where[i] == (int32_t)place ? -1 : where[i];
        } else if (action == 1) {
            (void)read_one(&v);
        } else if (action == 2 && n == 0) {
            holdings_resync(v.h);
        } else if (per_place[place] < HOLDINGS_PER_PLACE || where[n] == (int32_t)place) {
            if (where[n] >= 0)
                per_place[where[n]]--;
            tags[place] = add(&v, n, n, tags[place]);
            where[n] = (int32_t)place;
            per_place[place]++;
        }
    }
    read_all(&v);
    for (size_t i = 0; i < RANGE; i++)
        assert_int_equal(v.held[i], where[i] >= 0);
    close_view(&v);
}

/* ---- two threads ---- */

struct writer {
    struct holdings *h;
    atomic_bool done;
    uint32_t last_tag;
};

static void *write_links(void *arg) {
    struct writer *w = arg;
    uint32_t tags[64] = {0};
    for (uint32_t i = 0; i < 200000; i++) {
        uint32_t place = i * 7 % 64;
        struct link link = link_of(i % 1000);
        if (i % 5 == 0) {
            holdings_dropped(w->h, tags[place]);
            tags[place] = 0;
        } else {
            tags[place] = holdings_add(w->h, SEED, &link, i % 1000, tags[place]);
        }
    }
    for (size_t i = 0; i < 64; i++)
        holdings_dropped(w->h, tags[i]);
    struct link link = link_of(2000);
    w->last_tag = holdings_add(w->h, SEED, &link, 1, 0);
    atomic_store(&w->done, true);
    return NULL;
}

static void test_one_thread_adds_while_another_takes(void **state) {
    (void)state;
    struct view v;
    open_view(&v, 256);
    struct writer w = {.h = v.h};
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, write_links, &w), 0);
    while (!atomic_load(&w.done)) {
        (void)read_one(&v);
        if (v.messages % 1000 == 999)
            holdings_resync(v.h);
    }
    assert_int_equal(pthread_join(thread, NULL), 0);
    read_all(&v);
    assert_int_equal(count_held(&v), 1);
    assert_true(v.held[2000]);
    close_view(&v);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_new_link_is_told_once),
        cmocka_unit_test(test_a_place_that_goes_takes_its_links_along),
        cmocka_unit_test(test_what_comes_and_goes_unread_is_not_told),
        cmocka_unit_test(test_a_link_moves_to_the_place_that_holds_it_last),
        cmocka_unit_test(test_a_place_keeps_its_newest_links),
        cmocka_unit_test(test_a_full_table_forgets_old_links),
        cmocka_unit_test(test_drops_that_nobody_reads_end_in_telling_all_anew),
        cmocka_unit_test(test_an_inventory_tells_everything_from_the_start),
        cmocka_unit_test(test_new_links_come_before_an_inventory),
        cmocka_unit_test(test_another_seed_makes_all_links_void),
        cmocka_unit_test(test_without_a_seed_nothing_is_kept),
        cmocka_unit_test(test_after_any_changes_the_reader_knows_the_truth),
        cmocka_unit_test(test_one_thread_adds_while_another_takes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
