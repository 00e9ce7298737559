/* handoff_test.c - the bounded queue between the worker's threads. */
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "worker/handoff.h"

#define PASSED 20000

static bool readable(const struct handoff *q) {
    struct pollfd item = {handoff_fd(q), POLLIN, 0};
    return poll(&item, 1, 0) == 1;
}

static void test_items_come_out_in_order_and_no_more_fit_than_said(void **state) {
    (void)state;
    struct handoff *q;
    int items[4];
    assert_int_equal(handoff_open(&q, 3, false, NULL), 0);
    assert_null(handoff_pop(q));
    for (int round = 0; round < 5; round++) {
        assert_true(handoff_push(q, &items[0]));
        assert_true(handoff_push(q, &items[1]));
        assert_ptr_equal(handoff_pop(q), &items[0]);
        assert_true(handoff_push(q, &items[2]));
        assert_true(handoff_push(q, &items[3]));
        assert_false(handoff_push(q, &items[0]));
        assert_int_equal(handoff_count(q), 3);
        assert_ptr_equal(handoff_pop(q), &items[1]);
        assert_ptr_equal(handoff_pop(q), &items[2]);
        assert_ptr_equal(handoff_pop(q), &items[3]);
        assert_null(handoff_pop(q));
    }
    assert_int_equal(handoff_fd(q), -1);
    handoff_close(q);
}

static void test_descriptor_is_readable_exactly_while_there_is_something(void **state) {
    (void)state;
    struct handoff *q;
    int items[2];
    assert_int_equal(handoff_open(&q, 2, true, NULL), 0);
    assert_false(readable(q));
    assert_true(handoff_push(q, &items[0]));
    assert_true(readable(q));
    assert_true(handoff_push(q, &items[1]));
    assert_true(readable(q));
    assert_non_null(handoff_pop(q));
    assert_true(readable(q));
    assert_non_null(handoff_pop(q));
    assert_false(readable(q));
    handoff_close(q);
}

static void test_wait_ends_by_item_wake_or_time(void **state) {
    (void)state;
    struct handoff *q;
    int item;
    assert_int_equal(handoff_open(&q, 2, false, NULL), 0);
    handoff_wait(q, 1, 1); /* by time */
    assert_int_equal(handoff_count(q), 0);
    handoff_wake(q);
    handoff_wait(q, 1, 1000000); /* by the wake before it */
    assert_true(handoff_push(q, &item));
    handoff_wait(q, 1, 1000000); /* by the item */
    handoff_close(q);
}

static void *push_all(void *arg) {
    struct handoff *q = arg;
    for (uintptr_t i = 1; i <= PASSED; i++)
        while (!handoff_push(q, (void *)i))
            (void)sched_yield();
    return NULL;
}

static void test_two_threads_lose_nothing(void **state) {
    (void)state;
    struct handoff *q;
    pthread_t thread;
    assert_int_equal(handoff_open(&q, 7, true, NULL), 0);
    assert_int_equal(pthread_create(&thread, NULL, push_all, q), 0);
    for (uintptr_t next = 1; next <= PASSED;) {
        void *item = handoff_pop(q);
        if (item == NULL) {
            handoff_wait(q, 1, 1000);
            continue;
        }
        assert_int_equal((uintptr_t)item, next);
        next++;
    }
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_null(handoff_pop(q));
    assert_false(readable(q));
    handoff_close(q);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_items_come_out_in_order_and_no_more_fit_than_said),
        cmocka_unit_test(test_descriptor_is_readable_exactly_while_there_is_something),
        cmocka_unit_test(test_wait_ends_by_item_wake_or_time),
        cmocka_unit_test(test_two_threads_lose_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
