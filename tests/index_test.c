/* index_test.c - the index's writer and reader: what is written is read, growth is bounded, what is
 * void is known to be. */
#include "tests/index_rig.h"

#include <stdio.h>
#include <string.h>

#include "common/must.h"
#include "proto/index/guard.h"

static void test_records_survive_their_bytes(void **state) {
    (void)state;
    struct link link = index_rig_link(3);
    struct index_holder h = {7, 0x1122334455667788u, 99, 1234567890123u}, h2;
    uint8_t holder[INDEX_HOLDER_BYTES];
    index_holder_write(&h, &link, holder);
    assert_true(index_holder_read(&h2, &link, (struct bytes){holder, sizeof holder}));
    assert_true(h2.slot == h.slot && h2.incarnation == h.incarnation &&
                h2.positions == h.positions && h2.used_us == h.used_us);
    assert_int_equal(holder[3], 7); /* big-endian */
    holder[13] ^= 4;
    assert_false(index_holder_read(&h2, &link, (struct bytes){holder, sizeof holder}));
    assert_false(index_holder_read(&h2, &link, (struct bytes){holder, sizeof holder - 1}));

    struct index_worker w = {.slot = 5, .incarnation = 6, .since_us = 7, .fingerprint = {8}}, w2;
    index_text_set(&w.name, (struct bytes){(const uint8_t *)"name", 4});
    index_text_set(&w.address, (struct bytes){(const uint8_t *)"10.0.0.1", 8});
    uint8_t worker[INDEX_WORKER_BYTES], slot[4];
    size_t size = index_worker_write(&w, worker);
    index_slot_write(w.slot, slot);
    struct bytes key = {slot, 4};
    assert_true(index_worker_read(&w2, key, (struct bytes){worker, size}));
    uint8_t again[INDEX_WORKER_BYTES];
    assert_int_equal(index_worker_write(&w2, again), size);
    assert_memory_equal(again, worker, size);
    for (size_t i = 0; i < size; i++) {
        worker[i] ^= 1;
        assert_false(index_worker_read(&w2, key, (struct bytes){worker, size}));
        worker[i] ^= 1;
        assert_false(index_worker_read(&w2, key, (struct bytes){worker, i}));
    }
}

/* In a process of its own; what does not hold ends it. */
static int read_the_rest(void *dir, struct error *e) {
    struct index_reader *reader;
    struct index_worker workers[4];
    struct index_totals totals;
    size_t n;
    MUST(index_reader_open(&reader, dir, e) == 0);
    MUST(index_reader_workers(reader, workers, 4, &n, e) == 0 && n == 2);
    MUST(strcmp(workers[1].name.text, "b") == 0 && strcmp(workers[1].model.text, "fake") == 0);
    MUST(index_reader_totals(reader, &totals, e) == 0 && totals.holders == 4000);
    MUST(index_reader_check(reader, e) == 0);
    index_reader_close(reader);
    return 0;
}

static void test_what_is_written_is_read(void **state) {
    (void)state;
    struct index_rig r;
    index_rig_open(&r, 10000);
    assert_int_equal(r.writer.state, INDEX_OK);
    assert_int_equal(r.writer.resync, 0);
    index_rig_worker(&r, 100, "a");
    index_rig_worker(&r, 200, "b");
    for (uint32_t i = 0; i < 3; i++)
        index_rig_hold(&r, 100, false, i * 1000, 1000);
    index_rig_hold(&r, 200, false, 2500, 1000);
    assert_true(index_rig_count(r.index).entries < 4000); /* they wait for a commit */
    index_rig_settle(&r);
    struct index_rig_count count = index_rig_count(r.index);
    assert_int_equal(count.entries, 4000);
    assert_int_equal(count.valid, 4000);
    for (uint32_t i = 0; i < 3500; i += 7)
        assert_true(index_rig_has(r.index, i));
    assert_false(index_rig_has(r.index, 3500));

    struct error e;
    assert_int_equal(guard_run(read_the_rest, r.index, 20000, &e), 0);
    index_rig_close(&r);
}

static void test_what_is_held_again_and_dropped_stays_consistent(void **state) {
    (void)state;
    struct index_rig r;
    struct error e = {0};
    index_rig_open(&r, 10000);
    index_rig_worker(&r, 100, "a");
    index_rig_worker(&r, 200, "b");
    index_rig_hold(&r, 100, false, 0, 1000);
    index_rig_hold(&r, 100, false, 500, 1000);
    index_rig_hold(&r, 200, false, 0, 1000);
    index_rig_drop(&r, 100, 200, 100);
    index_rig_drop(&r, 200, 900, 1000);       /* most of which it never held */
    index_rig_hold(&r, 999, false, 5000, 10); /* nobody knows it */
    index_rig_settle(&r);
    assert_int_equal(index_rig_count(r.index).valid, 1500 - 100 + 900);
    assert_true(index_rig_has(r.index, 200)); /* at the other one */
    assert_int_equal(place_check(&r.writer.place, &e), PLACE_SOUND);
    index_rig_close(&r);
}

static void test_growth_is_bounded_and_the_oldest_go_first(void **state) {
    (void)state;
    struct index_rig r;
    index_rig_open(&r, 1000);
    index_rig_worker(&r, 100, "a");
    for (uint32_t i = 0; i < 50; i++)
        index_rig_hold(&r, 100, false, i * 100, 100);
    index_rig_settle(&r);
    assert_int_equal(index_rig_count(r.index).entries, 1000);
    assert_false(index_rig_has(r.index, 3999));
    for (uint32_t i = 4000; i < 5000; i += 11)
        assert_true(index_rig_has(r.index, i));
    uint64_t bytes = store_bytes(r.writer.store);
    for (uint32_t i = 50; i < 400; i++) {
        index_rig_hold(&r, 100, false, i * 100, 100);
        index_rig_settle(&r);
    }
    assert_int_equal(index_rig_count(r.index).entries, 1000);
    assert_true(store_bytes(r.writer.store) < 4 * bytes);
    index_rig_restart(&r, 300); /* a smaller bound counts from the next record on */
    index_rig_hold(&r, 100, false, 90000, 1);
    index_rig_settle(&r);
    assert_int_equal(index_rig_count(r.index).entries, 300);
    assert_true(index_rig_has(r.index, 90000));
    index_rig_close(&r);
}

static void test_a_new_incarnation_voids_all_that_the_old_one_held(void **state) {
    (void)state;
    struct index_rig r;
    index_rig_open(&r, 10000);
    index_rig_worker(&r, 100, "a");
    index_rig_worker(&r, 200, "b");
    index_rig_hold(&r, 100, false, 0, 1000);
    index_rig_hold(&r, 200, false, 500, 1000);
    index_rig_settle(&r);
    index_rig_worker(&r, 101, "a");
    index_rig_hold(&r, 101, false, 0, 1);
    index_rig_settle(&r);
    assert_int_equal(index_rig_count(r.index).valid, 1001);
    assert_true(index_rig_has(r.index, 0));
    assert_false(index_rig_has(r.index, 1));
    index_rig_pass(&r, 1000, 10);
    assert_int_equal(index_rig_count(r.index).entries, 1001); /* the void ones were removed */
    index_rig_void(&r, 200);
    index_rig_pass(&r, 1000, 10);
    assert_int_equal(index_rig_count(r.index).entries, 1);
    index_rig_close(&r);
}

/* What becomes void while the sweep is under way lies behind it, too. */
static void test_a_sweep_under_way_misses_nothing(void **state) {
    (void)state;
    struct index_rig r;
    index_rig_open(&r, 20000);
    index_rig_worker(&r, 100, "a");
    index_rig_worker(&r, 200, "b");
    for (uint32_t first = 0; first < 5000; first += 1000) {
        index_rig_hold(&r, 100, false, first, 1000);
        index_rig_hold(&r, 200, false, first, 1000);
    }
    index_rig_settle(&r);
    index_rig_void(&r, 100);
    index_rig_pass(&r, 1, 1); /* a part of the file */
    index_rig_void(&r, 200);
    index_rig_pass(&r, 2000, 10);
    assert_int_equal(index_rig_count(r.index).entries, 0);
    index_rig_close(&r);
}

static void test_reset_voids_what_was_told_before(void **state) {
    (void)state;
    struct index_rig r;
    index_rig_open(&r, 10000);
    index_rig_worker(&r, 100, "a");
    index_rig_hold(&r, 100, false, 0, 1000);
    index_rig_settle(&r);
    index_rig_hold(&r, 100, true, 990, 20);
    index_rig_hold(&r, 100, false, 2000, 5);
    index_rig_settle(&r);
    assert_int_equal(index_rig_count(r.index).valid, 25);
    assert_false(index_rig_has(r.index, 989));
    index_rig_pass(&r, 1000, 10);
    assert_int_equal(index_rig_count(r.index).entries, 25);
    index_rig_close(&r);
}

struct told {
    uint64_t workers, links;
    uint64_t incarnation;
};

static void hear_worker(void *context, const struct index_worker *w) {
    struct told *t = context;
    t->workers++;
    t->incarnation = w->incarnation;
}

static void hear_held(void *context, uint64_t incarnation, struct bytes held) {
    struct told *t = context;
    assert_int_equal(incarnation, 101);
    assert_true(held.size <= LIMIT_LINKS * LINK_HELD_BYTES);
    t->links += held.size / LINK_HELD_BYTES;
}

static void test_a_restart_is_told_what_is_not_void(void **state) {
    (void)state;
    struct index_rig r;
    index_rig_open(&r, 10000);
    index_rig_worker(&r, 100, "a");
    index_rig_hold(&r, 100, false, 0, 1000);
    index_rig_worker(&r, 101, "a");
    for (uint32_t i = 0; i < 3; i++)
        index_rig_hold(&r, 101, false, 1000 * i, 1000);
    index_rig_restart(&r, 10000); /* which commits */
    assert_int_equal(r.writer.state, INDEX_OK);
    assert_int_equal(r.writer.resync, 0);
    struct told told = {0};
    writer_tell(&r.writer, &(struct store_listener){&told, hear_worker, hear_held});
    assert_int_equal(told.workers, 1);
    assert_int_equal(told.links, 3000);
    index_rig_close(&r);
}

static void test_another_secret_begins_anew(void **state) {
    (void)state;
    struct index_rig r;
    index_rig_open(&r, 10000);
    index_rig_worker(&r, 100, "a");
    index_rig_hold(&r, 100, false, 0, 10);
    writer_close(&r.writer);
    struct store_settings settings = {.dir = r.index, .max_links = 100, .seed_mark = 99};
    writer_init(&r.writer, &settings, false, r.now_ms);
    (void)writer_turn(&r.writer, r.now_ms);
    assert_int_equal(r.writer.state, INDEX_REBUILDING);
    assert_non_null(strstr(r.writer.text, "another secret"));
    assert_int_equal(index_rig_count(r.index).entries, 0);
    index_rig_close(&r);
}

static void test_many_workers_do_not_fill_the_file(void **state) {
    (void)state;
    struct index_rig r;
    char name[16];
    index_rig_open(&r, 10000);
    for (uint32_t i = 0; i < INDEX_WORKERS_MAX + 100; i++) {
        (void)snprintf(name, sizeof name, "w%u", i);
        index_rig_worker(&r, 1000 + i, name);
        index_rig_hold(&r, 1000 + i, false, i, 1);
    }
    index_rig_pass(&r, 1000, 10);
    assert_int_equal(index_rig_count(r.index).entries, INDEX_WORKERS_MAX);
    assert_false(index_rig_has(r.index, 99));
    assert_true(index_rig_has(r.index, 100));
    index_rig_close(&r);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_records_survive_their_bytes),
        cmocka_unit_test(test_what_is_written_is_read),
        cmocka_unit_test(test_what_is_held_again_and_dropped_stays_consistent),
        cmocka_unit_test(test_growth_is_bounded_and_the_oldest_go_first),
        cmocka_unit_test(test_a_new_incarnation_voids_all_that_the_old_one_held),
        cmocka_unit_test(test_a_sweep_under_way_misses_nothing),
        cmocka_unit_test(test_reset_voids_what_was_told_before),
        cmocka_unit_test(test_a_restart_is_told_what_is_not_void),
        cmocka_unit_test(test_another_secret_begins_anew),
        cmocka_unit_test(test_many_workers_do_not_fill_the_file),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
