/* broker_affinity_test.c - the table of links against a model that forgets nothing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "broker/affinity.h"
#include "broker/holders.h"

static uint64_t noise = 0x2545f4914f6cdd1dULL;

static uint32_t draw(uint32_t below) {
    noise ^= noise << 13;
    noise ^= noise >> 7;
    noise ^= noise << 17;
    return (uint32_t)(noise >> 33) % below;
}

static uint64_t scramble(uint64_t x) {
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9ULL;
    x = (x ^ x >> 27) * 0x94d049bb133111ebULL;
    return x ^ x >> 31;
}

static struct link link_of(uint32_t n) {
    struct link l;
    uint64_t halves[2] = {scramble(n + 1), scramble(~(uint64_t)n)};
    memcpy(l.bytes, halves, sizeof l.bytes);
    return l;
}

static bool holds(const struct affinity *a, int holder, uint32_t n) {
    struct link l = link_of(n);
    struct affinity_view v;
    (void)affinity_find(a, &l, &v);
    return holder_set_has(&v.holders, holder);
}

static bool coming(const struct affinity *a, int holder, uint32_t n) {
    struct link l = link_of(n);
    struct affinity_view v;
    (void)affinity_find(a, &l, &v);
    return holder_set_has(&v.coming, holder);
}

static void add(struct affinity *a, int holder, uint32_t n, uint32_t now_s) {
    struct link l = link_of(n);
    affinity_add(a, holder, &l, 10 * (n + 1), NULL, now_s);
}

static void drop(struct affinity *a, int holder, uint32_t n) {
    struct link l = link_of(n);
    affinity_drop(a, holder, &l);
}

static void test_many_holders_share_a_link(void **state) {
    (void)state;
    struct affinity *a;
    assert_int_equal(affinity_open(&a, 64), 0);
    int one = affinity_join(a), two = affinity_join(a);
    add(a, one, 5, 1);
    assert_true(holds(a, one, 5));
    assert_false(holds(a, two, 5));
    add(a, two, 5, 1);
    assert_true(holds(a, one, 5) && holds(a, two, 5));
    assert_int_equal(affinity_count(a), 1);
    drop(a, one, 5);
    assert_false(holds(a, one, 5));
    assert_true(holds(a, two, 5));
    drop(a, two, 5);
    drop(a, two, 5);
    assert_int_equal(affinity_count(a), 0);
    affinity_close(a);
}

static void test_a_void_holder_holds_nothing_at_once(void **state) {
    (void)state;
    struct affinity *a;
    assert_int_equal(affinity_open(&a, 64), 0);
    int one = affinity_join(a);
    add(a, one, 5, 1);
    affinity_void(a, one);
    assert_false(holds(a, one, 5));
    add(a, one, 6, 1); /* a late word of it */
    assert_false(holds(a, one, 6));
    affinity_sweep(a, 64);
    assert_int_equal(affinity_count(a), 0);
    affinity_close(a);
}

static void test_a_number_is_used_again_only_when_swept(void **state) {
    (void)state;
    struct affinity *a;
    assert_int_equal(affinity_open(&a, 64), 0);
    int first = affinity_join(a);
    add(a, first, 5, 1);
    affinity_void(a, first);
    for (int i = 0; i < 3 * AFFINITY_HOLDERS; i++) {
        int h = affinity_join(a);
        assert_true(h >= 0);
        assert_false(holds(a, h, 5)); /* what the first one held is nobody else's */
        add(a, h, 100 + (uint32_t)i, 2);
        affinity_void(a, h);
    }
    affinity_close(a);
}

static void test_all_numbers_can_be_live_and_no_more(void **state) {
    (void)state;
    struct affinity *a;
    assert_int_equal(affinity_open(&a, 64), 0);
    for (int i = 0; i < AFFINITY_HOLDERS; i++)
        assert_true(affinity_join(a) >= 0);
    assert_int_equal(affinity_join(a), -1);
    affinity_void(a, 77);
    assert_int_equal(affinity_join(a), 77);
    affinity_close(a);
}

static void test_promises_are_counted_and_become_holding(void **state) {
    (void)state;
    struct affinity *a;
    assert_int_equal(affinity_open(&a, 64), 0);
    int one = affinity_join(a), two = affinity_join(a), three = affinity_join(a);
    struct link l = link_of(5);
    affinity_promise(a, one, &l, NULL, true, 1);
    affinity_promise(a, one, &l, NULL, true, 1);
    affinity_promise(a, two, &l, NULL, true, 1);
    affinity_promise(a, three, &l, NULL, true, 1); /* no room; only a hint is lost */
    assert_true(coming(a, one, 5) && coming(a, two, 5));
    assert_int_equal(affinity_count(a), 0);
    affinity_withdraw(a, one, &l);
    assert_true(coming(a, one, 5));
    affinity_withdraw(a, one, &l);
    assert_false(coming(a, one, 5));
    affinity_withdraw(a, one, &l); /* one too many changes nothing */
    add(a, two, 5, 1);
    assert_false(coming(a, two, 5));
    assert_true(holds(a, two, 5));
    affinity_withdraw(a, two, &l);
    assert_true(holds(a, two, 5));
    affinity_close(a);
}

static void test_a_full_table_forgets_what_was_used_longest_ago(void **state) {
    (void)state;
    struct affinity *a;
    enum { LINKS = 1024 };
    assert_int_equal(affinity_open(&a, LINKS), 0);
    int h = affinity_join(a);
    for (uint32_t n = 0; n < 100 * LINKS; n++) {
        add(a, h, n, n);
        assert_true(affinity_count(a) <= LINKS);
    }
    uint32_t young = 0, old = 0;
    for (uint32_t n = 0; n < 100 * LINKS; n++) {
        if (n >= 100 * LINKS - LINKS / 4)
            young += holds(a, h, n);
        else if (n < 90 * LINKS)
            old += holds(a, h, n);
    }
    assert_true(young > LINKS / 4 * 9 / 10);
    assert_int_equal(old, 0);
    affinity_close(a);
}

static void test_what_was_asked_for_is_not_forgotten_first(void **state) {
    (void)state;
    struct affinity *a;
    assert_int_equal(affinity_open(&a, 64), 0);
    int h = affinity_join(a);
    add(a, h, 0, 0);
    for (uint32_t n = 1; n < 10000; n++) {
        struct link l = link_of(0);
        affinity_touch(a, &l, n);
        add(a, h, n, n);
    }
    assert_true(holds(a, h, 0));
    affinity_close(a);
}

static void test_void_entries_make_room_first(void **state) {
    (void)state;
    struct affinity *a;
    assert_int_equal(affinity_open(&a, 64), 0);
    int gone = affinity_join(a), stays = affinity_join(a);
    for (uint32_t n = 0; n < 1000; n++)
        add(a, gone, n, 9); /* fills every place */
    affinity_void(a, gone);
    for (uint32_t n = 0; n < 16; n++)
        add(a, stays, 2000 + n, n);
    uint32_t kept = 0;
    for (uint32_t n = 0; n < 16; n++)
        kept += holds(a, stays, 2000 + n);
    assert_true(kept >= 14); /* of a bucket more than four may be asked */
    affinity_close(a);
}

static void test_losses_tell_what_nobody_else_holds(void **state) {
    (void)state;
    struct affinity *a;
    assert_int_equal(affinity_open(&a, 64), 0);
    int one = affinity_join(a), two = affinity_join(a);
    struct link first = link_of(1), second = link_of(2), picture = link_of(3);
    affinity_promise(a, one, &first, NULL, true, 1);
    affinity_add(a, one, &first, 100, NULL, 1);
    affinity_add(a, two, &first, 100, NULL, 1);
    affinity_add(a, one, &second, 130, &first, 1);
    affinity_add(a, one, &picture, 0, NULL, 1);
    struct affinity_loss l;
    affinity_losses(a, one, &l);
    assert_int_equal(l.links, 1);
    assert_int_equal(l.positions, 30);
    assert_int_equal(l.shared_links, 1);
    assert_int_equal(l.pictures, 1);
    affinity_losses(a, two, &l);
    assert_int_equal(l.links, 0);
    assert_int_equal(l.shared_links, 1);
    affinity_void(a, two);
    affinity_losses(a, one, &l);
    assert_int_equal(l.positions, 130);
    affinity_close(a);
}

/* Against a naive table: the real one may have forgotten, but never says what is not so. */
static void test_it_agrees_with_a_naive_model(void **state) {
    (void)state;
    enum { N = 3000, H = 6, MOVES = 300000 };
    static bool model[H][N], promise[H][N];
    static int numbers[H];
    struct affinity *a;
    memset(model, 0, sizeof model);
    memset(promise, 0, sizeof promise);
    assert_int_equal(affinity_open(&a, 16384), 0);
    for (int h = 0; h < H; h++)
        numbers[h] = affinity_join(a);
    size_t told = 0, known = 0;
    for (uint32_t m = 0; m < MOVES; m++) {
        uint32_t h = draw(H), n = draw(N), what = draw(100);
        struct link l = link_of(n);
        if (what < 40) {
            add(a, numbers[h], n, m / 100);
            model[h][n] = true;
        } else if (what < 60) {
            drop(a, numbers[h], n);
            model[h][n] = false;
        } else if (what < 65) {
            if (!promise[h][n])
                affinity_promise(a, numbers[h], &l, NULL, false, m / 100);
            promise[h][n] = true;
        } else if (what < 70) {
            if (promise[h][n])
                affinity_withdraw(a, numbers[h], &l);
            promise[h][n] = false;
        } else if (what < 99) {
            struct affinity_view v;
            (void)affinity_find(a, &l, &v);
            for (int k = 0; k < H; k++) {
                bool has = holder_set_has(&v.holders, numbers[k]);
                told += model[k][n];
                known += has;
                assert_true(model[k][n] || !has);
                assert_true(promise[k][n] || !holder_set_has(&v.coming, numbers[k]));
            }
        } else if (draw(50) == 0) {
            affinity_void(a, numbers[h]);
            numbers[h] = affinity_join(a);
            memset(model[h], 0, sizeof model[h]);
            memset(promise[h], 0, sizeof promise[h]);
        } else {
            affinity_sweep(a, draw(1000));
        }
        assert_true(affinity_count(a) <= N);
    }
    assert_true(known > told * 9 / 10);
    affinity_close(a);
}

static void test_an_absent_incarnation_makes_room_for_a_new_one(void **state) {
    (void)state;
    static struct holders h;
    struct affinity *a;
    struct holder voided, who = {.connected = true};
    assert_int_equal(affinity_open(&a, 64), 0);
    for (uint64_t i = 0; i < AFFINITY_HOLDERS; i++) {
        who.incarnation = i + 1;
        who.connected = i % 2 == 0;
        who.left_us = (int64_t)(1000 - i);
        assert_true(holders_join(&h, a, &who, &voided) >= 0);
        assert_false(voided.used);
    }
    who.connected = true;
    who.incarnation = 9999;
    assert_true(holders_join(&h, a, &who, &voided) >= 0);
    assert_true(voided.used);
    assert_int_equal(voided.incarnation, 256); /* it left first */
    assert_int_equal(holders_find(&h, 256), -1);
    affinity_close(a);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_many_holders_share_a_link),
        cmocka_unit_test(test_a_void_holder_holds_nothing_at_once),
        cmocka_unit_test(test_a_number_is_used_again_only_when_swept),
        cmocka_unit_test(test_all_numbers_can_be_live_and_no_more),
        cmocka_unit_test(test_promises_are_counted_and_become_holding),
        cmocka_unit_test(test_a_full_table_forgets_what_was_used_longest_ago),
        cmocka_unit_test(test_what_was_asked_for_is_not_forgotten_first),
        cmocka_unit_test(test_void_entries_make_room_first),
        cmocka_unit_test(test_losses_tell_what_nobody_else_holds),
        cmocka_unit_test(test_it_agrees_with_a_naive_model),
        cmocka_unit_test(test_an_absent_incarnation_makes_room_for_a_new_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
