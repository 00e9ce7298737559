/* loss.c - scenarios 32 to 36, 39 and 40: pages, workers and clients go, pictures are bad; answers
 * stay right. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/error.h"
#include "proto/limits.h"
#include "tests/scenarios/stage.h"

#define SYSTEM "you see what is in front of you and say so in few words"
#define PAGE_BYTES 16384 /* of the made model */
#define PAGE_POSITIONS 16

static void nap_ms(uint32_t ms) {
    nanosleep(&(struct timespec){ms / 1000, (long)(ms % 1000) * 1000000}, NULL);
}

static int worker_number(const char *name) {
    assert_true(name[0] == 'w' && name[1] >= '0' && name[1] < '0' + POOL_MAX_WORKERS);
    return name[1] - '0';
}

static void restart_worker(struct stage *s, int i) {
    char name[3] = {'w', (char)('0' + i), '\0'};
    struct quire_worker before, after;
    assert_true(pool_worker(&s->pool, i, &before));
    process_kill(&s->pool.workers[i]);
    stage_forget(s, name);
    pool_start_worker(&s->pool, i);
    do {
        pool_wait_up(&s->pool, (size_t)s->workers);
        nap_ms(20);
    } while (!pool_worker(&s->pool, i, &after) || after.incarnation == before.incarnation);
}

static uint32_t below(uint32_t n) {
    static uint32_t x = 12345;
    x = x * 1664525u + 1013904223u;
    return (x >> 8) % n;
}

/* ---- 32 ---- */

#define SMALL_PAGES 48

static void talk_at_length(struct talk *t, uint32_t picture) {
    talk_say(t, QUIRE_SYSTEM, SYSTEM);
    for (uint32_t i = 0; i < 4; i++) {
        talk_glance(t, gallery_strip(picture + i), "what is this and where does it come from");
        talk_say(t, QUIRE_ASSISTANT, "it is a house by the sea and it was always there as we know");
    }
    talk_say(t, QUIRE_USER, "go on");
}

/* Whole segments of the request that the broker believes a worker to hold, as positions. */
static uint32_t believed(struct stage *s, const struct talk *t, const char *worker) {
    struct quire_explanation *x = stage_explain(s, t);
    uint32_t positions = stage_explained(x, worker)->held_positions;
    free(x);
    return positions;
}

/* Drains every worker but one, so that what is asked fills its pages. NULL: none is drained. */
static void leave_all_to(struct stage *s, const char *worker) {
    for (int i = 0; i < s->workers; i++) {
        char name[3] = {'w', (char)('0' + i), '\0'};
        bool on = worker != NULL && strcmp(worker, name) != 0;
        assert_int_equal(quire_drain(s->pool.client, 5000, name, on, NULL), 0);
    }
}

static void scenario_32_behind_a_hole_nothing_is_reused_and_the_broker_knows_after_the_next_reply(
    void **state) {
    char memory[32], owner[65];
    (void)state;
    (void)snprintf(memory, sizeof memory, "%d", SMALL_PAGES * PAGE_BYTES);
    struct stage *s = stage_open((struct stage_options){.worker_flags = {"--kv-memory", memory}});
    struct talk t, other;
    uint32_t holes = 0;
    s->evicts = true;
    stage_begin(s, &t);
    talk_at_length(&t, 1);
    stage_ask_warm(s, &t);
    (void)snprintf(owner, sizeof owner, "%s", s->now.answer.end.worker);
    for (uint32_t i = 0; i < 24 && holes < 3; i++) {
        stage_begin(s, &other);
        talk_at_length(&other, 1 + 4 * (i % 3));
        leave_all_to(s, owner);
        stage_ask_warm(s, &other);
        leave_all_to(s, NULL);
        if (i % 2 == 0)
            continue;
        uint32_t known[POOL_MAX_WORKERS];
        for (int k = 0; k < s->workers; k++)
            known[k] = believed(s, &t, (char[]){'w', (char)('0' + k), '\0'});
        stage_ask_warm(s, &t);
        const struct answer *a = &s->now.answer;
        (void)snprintf(owner, sizeof owner, "%s", a->end.worker);
        holes += s->now.reused > 0 && s->now.reused + 1 < s->now.positions;
        assert_true(s->now.reused >= known[worker_number(owner)]); /* drops were told */
        /* What it just computed is there, and the broker knows all of it. */
        assert_int_equal(believed(s, &t, owner), a->ends[a->end.n_segment_ends - 1]);
        stage_ask_warm(s, &t);
        if (strcmp(s->now.answer.end.worker, owner) == 0)
            assert_int_equal(s->now.reused, s->now.positions - 1);
    }
    assert_true(holes > 0);
    stage_ask(s, &t);
    stage_close(s);
}

/* ---- 33 and 34 ---- */

static void scenario_33_of_a_restarted_worker_nothing_is_believed(void **state) {
    struct stage *s = *state;
    struct talk t;
    stage_begin(s, &t);
    talk_at_length(&t, 20);
    stage_ask(s, &t);
    stage_ask_warm(s, &t);
    stage_expect(s, s->now.positions - 1, 0);
    char owner[65];
    (void)snprintf(owner, sizeof owner, "%s", s->now.answer.end.worker);
    assert_true(believed(s, &t, owner) > 0);
    restart_worker(s, worker_number(owner));
    assert_int_equal(believed(s, &t, owner), 0);
    stage_ask(s, &t); /* exactly what the oracle allows: nothing of the old one */
    stage_ask_warm(s, &t);
    assert_int_equal(s->now.ideal, s->now.positions - 1);
}

#ifdef QUIRE_SANITIZED
#define KILLS 2
#else
#define KILLS 6
#endif
#define UNDER_WAY 3

/* The one that has most requests now. */
static int busiest(struct stage *s) {
    struct quire_worker w;
    uint32_t most = 0;
    int found = 0;
    for (int i = 0; i < s->workers; i++)
        if (pool_worker(&s->pool, i, &w) && w.in_flight > most) {
            most = w.in_flight;
            found = i;
        }
    return found;
}

/* An answer whose worker may have been killed: another one went on with it, or that one when it was
 * there again. Only where there is no other may the wait have been too short. */
static void check_broken(const struct stage *s, const struct answer *a) {
    if (a->end.kind == QUIRE_DONE || s->workers > 1)
        same_answer(a, &s->cold);
    else
        assert_int_equal(a->end.error.code, ERR_WORKER_LOST);
}

static void scenario_34_a_worker_killed_while_it_stores_pages_leaves_no_half_of_one(void **state) {
    struct stage *s = *state;
    struct talk *talks = calloc(UNDER_WAY, sizeof *talks);
    struct answer *answers = calloc(UNDER_WAY, sizeof *answers);
    assert_true(talks != NULL && answers != NULL);
    for (uint32_t round = 0; round < KILLS; round++) {
        uint8_t ids[UNDER_WAY][QUIRE_ID_BYTES];
        struct talk t;
        stage_begin(s, &t);
        memset(answers, 0, UNDER_WAY * sizeof *answers);
        for (uint32_t i = 0; i < UNDER_WAY; i++) {
            char text[32];
            (void)snprintf(text, sizeof text, "and in case %c%c", 'a' + round, 'a' + i);
            talks[i] = t;
            talk_at_length(&talks[i], 40 + 4 * round + i);
            talk_retell(&talks[i], talks[i].n_parts - 1, text);
            talks[i].max_tokens = ANSWER_TOKENS - 1;
            struct quire_request *r = talk_request(&talks[i], NULL);
            assert_int_equal(quire_send(s->pool.client, r, ids[i], NULL), 0);
            quire_request_free(r);
        }
        if (round % 2 == 0)
            nap_ms(below(60));
        else
            answers_collect(s->pool.client, UNDER_WAY, ids, answers, true);
        restart_worker(s, busiest(s));
        answers_collect(s->pool.client, UNDER_WAY, ids, answers, false);
        stage_forget(s, NULL);
        s->evicts = true; /* the oracle does not know what these requests left */
        for (uint32_t i = 0; i < UNDER_WAY; i++) {
            /* Asked again it is right, and so was what came before. */
            stage_pretend(s, &talks[i]);
            stage_ask(s, &talks[i]);
            check_broken(s, &answers[i]);
        }
        stage_forget(s, NULL);
        s->evicts = false;
    }
    print_message("%u answers were taken up\n", (uint32_t)pool_stats(&s->pool).resumed);
    free(talks);
    free(answers);
}

/* ---- 35 ---- */

#define ATTEMPTS 12

static void talk_for_long(struct talk *t) {
    static const char line[] = "all that is said here is said to take up room in the prompt. ";
    talk_message(t, QUIRE_USER);
    for (int i = 0; i < 70; i++)
        talk_text(t, line);
}

/* Cancels a request after so many milliseconds; whether it had not ended by then. */
static bool leave_after(struct stage *s, const struct talk *t, uint32_t ms) {
    uint8_t id[1][QUIRE_ID_BYTES];
    struct answer *a = calloc(1, sizeof *a);
    struct quire_request *r = talk_request(t, NULL);
    struct quire_client *client = NULL;
    assert_true(a != NULL && r != NULL);
    assert_int_equal(quire_open(&client, s->pool.clients, 5000, NULL), 0);
    assert_int_equal(quire_send(client, r, id[0], NULL), 0);
    nap_ms(ms);
    assert_int_equal(quire_cancel(client, id[0]), 0);
    answers_collect(client, 1, id, a, false);
    bool cut = a->end.kind == QUIRE_FAILED && !a->began;
    assert_true(a->end.kind == QUIRE_DONE || a->end.error.code == ERR_CANCELLED);
    quire_close(client);
    quire_request_free(r);
    free(a);
    return cut;
}

static void scenario_35_of_a_prefill_that_is_left_midway_whole_pages_stay(void **state) {
    struct stage *s = *state;
    uint32_t ms = 40, partly = 0;
    for (int i = 0; i < ATTEMPTS && partly < 2; i++) {
        struct talk t;
        stage_begin(s, &t);
        talk_for_long(&t);
        bool cut = leave_after(s, &t, ms);
        s->evicts = true;
        stage_pretend(s, &t); /* at most all of it may be there */
        stage_ask(s, &t);
        s->evicts = false;
        uint32_t reused = s->now.reused;
        if (cut)
            assert_int_equal(reused % PAGE_POSITIONS, 0);
        partly += cut && reused > 0;
        ms = cut && reused == 0 ? ms + ms / 2 : cut ? ms : ms / 2;
    }
    assert_true(partly > 0);
}

/* ---- 36 ---- */

#define TIGHT_PAGES 36

static void scenario_36_without_room_for_pages_requests_succeed_and_reuse_shrinks(void **state) {
    char memory[32];
    (void)state;
    (void)snprintf(memory, sizeof memory, "%d", TIGHT_PAGES * PAGE_BYTES);
    struct stage *s = stage_open((struct stage_options){.worker_flags = {"--kv-memory", memory}});
    struct talk *talks = calloc(6, sizeof *talks);
    struct answer *answers = calloc(6, sizeof *answers);
    uint32_t reused = 0, ideal = 0;
    assert_true(talks != NULL && answers != NULL);
    s->evicts = true;
    for (uint32_t i = 0; i < 6; i++) {
        stage_begin(s, &talks[i]);
        talk_at_length(&talks[i], 100 + 4 * i);
    }
    for (int round = 0; round < 3; round++) {
        stage_ask_at_once(s, talks, 6, answers); /* each needs a third of the memory and more */
        for (uint32_t i = 0; i < 6; i++) {
            talk_say(&talks[i], QUIRE_ASSISTANT, answers[i].text);
            talk_say(&talks[i], QUIRE_USER, "more");
            for (int again = 0; again < 2; again++) {
                stage_ask_warm(s, &talks[i]);
                reused += s->now.reused;
                ideal += s->now.ideal;
            }
        }
    }
    print_message("reused %u of %u positions\n", reused, ideal);
    assert_in_range(reused, 1, ideal - 1);
    free(talks);
    free(answers);
    stage_close(s);
}

/* ---- 39 ---- */

static void refuse(struct stage *s, const struct talk *t, int code) {
    uint8_t id[1][QUIRE_ID_BYTES];
    struct answer *a = calloc(1, sizeof *a);
    struct quire_request *r = talk_request(t, NULL);
    assert_true(a != NULL && r != NULL);
    assert_int_equal(quire_send(s->pool.client, r, id[0], NULL), 0);
    answers_collect(s->pool.client, 1, id, a, false);
    assert_int_equal(a->end.kind, QUIRE_FAILED);
    assert_int_equal(a->end.error.code, code);
    assert_true(strlen(a->end.error.text) > 10);
    quire_request_free(r);
    free(a);
}

static void
scenario_39_bad_pictures_are_refused_with_a_clear_error_and_nothing_is_stored(void **state) {
    struct stage *s = *state;
    static const uint8_t no_picture[] = "GIF89a, or so it says";
    struct bytes good = gallery_picture(60, 128, 32);
    struct bytes bad[] = {
        gallery_zeros(10000, 10000), /* 100 megapixels in half a megabyte */
        gallery_zeros(20000, 10),    /* a side too long */
        gallery_truncated(good, good.size / 2),
        gallery_truncated(gallery_format("colour-444.jpg"), 300),
        gallery_truncated(good, 20),
        {no_picture, sizeof no_picture - 1},
    };
    struct talk t;
    stage_begin(s, &t);
    talk_say(&t, QUIRE_SYSTEM, SYSTEM);
    talk_show(&t, good, "what is this");
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct talk worse = t;
        talk_replace(&worse, 0, bad[i]);
        refuse(s, &worse, ERR_BAD_PICTURE);
        refuse(s, &worse, ERR_BAD_PICTURE);
    }
    stage_ask(s, &t); /* whose text is not there either */
    stage_expect(s, 0, 1);
    /* What is larger than a frame may be is not even sent. */
    struct quire_request *r = quire_request_new();
    uint8_t *large = calloc(1, LIMIT_PICTURE_BYTES + 1);
    assert_true(r != NULL && large != NULL);
    assert_int_equal(quire_request_message(r, QUIRE_USER), 0);
    assert_int_equal(quire_request_picture(r, large, LIMIT_PICTURE_BYTES + 1, NULL), ERR_LIMIT);
    quire_request_free(r);
    free(large);
}

/* ---- 40 ---- */

/* segments_golden_test and chain_python_test hold both against the golden vectors; here broker and
 * worker must agree: what the broker computes of a request is what the worker told of it. */
static void scenario_40_broker_and_worker_compute_equal_links(void **state) {
    struct stage *s = *state;
    struct talk t;
    stage_begin(s, &t);
    talk_at_length(&t, 200);
    stage_ask(s, &t);
    struct answer first = s->now.answer;
    uint32_t n = (uint32_t)first.end.n_segment_ends;
    struct quire_explanation *x = stage_explain(s, &t);
    assert_int_equal(x->n_segments, n);
    for (uint32_t i = 0; i < n; i++) {
        const struct quire_explained_segment *g = &x->segments[i];
        bool owned = false;
        for (size_t k = 0; k < g->n_owners; k++)
            owned |= strcmp(x->workers[g->owners[k]].name, first.end.worker) == 0;
        assert_true(owned && g->known);
        assert_int_equal(g->positions, first.ends[i]);
    }
    free(x);
    /* And of the answer, as the next turn has it. */
    talk_say(&t, QUIRE_ASSISTANT, first.text);
    talk_say(&t, QUIRE_USER, "and now");
    x = stage_explain(s, &t);
    assert_int_equal(x->n_segments, n + 2);
    assert_true(x->segments[n].known && x->segments[n].n_owners > 0);
    assert_false(x->segments[n + 1].known);
    free(x);
}

int main(int argc, char **argv) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(
            scenario_32_behind_a_hole_nothing_is_reused_and_the_broker_knows_after_the_next_reply),
        cmocka_unit_test(scenario_33_of_a_restarted_worker_nothing_is_believed),
        cmocka_unit_test(scenario_34_a_worker_killed_while_it_stores_pages_leaves_no_half_of_one),
        cmocka_unit_test(scenario_35_of_a_prefill_that_is_left_midway_whole_pages_stay),
        cmocka_unit_test(scenario_36_without_room_for_pages_requests_succeed_and_reuse_shrinks),
        cmocka_unit_test(
            scenario_39_bad_pictures_are_refused_with_a_clear_error_and_nothing_is_stored),
        cmocka_unit_test(scenario_40_broker_and_worker_compute_equal_links),
    };
    stage_arguments(argc, argv);
    return cmocka_run_group_tests(tests, stage_setup_made, stage_teardown);
}
