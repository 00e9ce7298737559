/* replay_reuse_test.c - what a cache without bounds would have reused, against counting by hand. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "client/cli/replay/measure.h"
#include "client/cli/replay/random.h"
#include "client/cli/replay/reuse.h"

#define MAX_SEGMENTS 12

/* A request as a list of small numbers: equal numbers at equal places after equal beginnings are
 * the same segment. The last one is the answer. Segment s has s + 3 positions. */
struct made {
    uint32_t segments[MAX_SEGMENTS];
    size_t n; /* with the answer */
    struct outcome outcome;
    struct link links[MAX_SEGMENTS];
    uint32_t ends[MAX_SEGMENTS];
};

static struct link hash(const uint32_t *segments, size_t n) {
    struct link link;
    for (size_t half = 0; half < 2; half++) {
        uint64_t h = half + 1;
        for (size_t i = 0; i < n; i++)
            h = random_branch(h, segments[i] + 1);
        memcpy(link.bytes + 8 * half, &h, sizeof h);
    }
    return link;
}

/* pictures: any number; equal ones mean the same pictures in the request, 0 none. */
static void make(struct made *m, const uint32_t *segments, size_t n, uint32_t pictures) {
    uint32_t end = 0;
    memset(m, 0, sizeof *m);
    m->n = n;
    memcpy(m->segments, segments, n * sizeof *segments);
    for (size_t i = 0; i < n; i++) {
        m->links[i] = hash(segments, i + 1);
        end += segments[i] + 3;
        m->ends[i] = end;
    }
    uint32_t prompt = m->ends[n - 2];
    m->outcome = (struct outcome){
        .state = TURN_DONE,
        .usage = {.prompt_positions = prompt, .answer_tokens = segments[n - 1] + 2},
        .finish = QUIRE_FINISH_END,
        .links = m->links,
        .n_links = n,
        .n_prompt_links = n - 1,
        .ends = m->ends,
        .n_ends = n - 1,
    };
    if (pictures > 0)
        m->outcome.pictures = hash(&pictures, 1);
}

/* Looks at every pair. The answer's last position (its end of turn) was never computed. */
static uint32_t by_hand(const struct made *all, size_t j) {
    const struct made *x = &all[j];
    uint32_t best = 0;
    for (size_t i = 0; i < j; i++) {
        size_t m = 0;
        while (m < all[i].n && m < x->n - 1 && all[i].segments[m] == x->segments[m])
            m++;
        if (m == 0)
            continue;
        uint32_t computed =
            all[i].outcome.usage.prompt_positions + all[i].outcome.usage.answer_tokens;
        uint32_t n = x->ends[m - 1] < computed ? x->ends[m - 1] : computed;
        best = n > best ? n : best;
    }
    uint32_t most = x->outcome.usage.prompt_positions - 1;
    return best < most ? best : most;
}

static void test_the_longest_prefix_is_what_looking_at_every_pair_finds(void **state) {
    (void)state;
    enum { N = 120 };
    static struct made all[N];
    for (uint64_t seed = 1; seed <= 20; seed++) {
        uint64_t random = seed;
        struct reuse *r;
        assert_int_equal(reuse_open(&r, REUSE_SEGMENTED), 0);
        for (size_t j = 0; j < N; j++) {
            uint32_t segments[MAX_SEGMENTS];
            size_t n = random_between(&random, 2, MAX_SEGMENTS);
            for (size_t i = 0; i < n; i++)
                segments[i] = random_below(&random, 2);
            make(&all[j], segments, n, 0);
            assert_int_equal(reuse_longest(r, &all[j].outcome), by_hand(all, j));
            assert_int_equal(reuse_add(r, &all[j].outcome), 0);
        }
        reuse_close(r);
    }
}

static void test_the_same_request_again_computes_its_last_position(void **state) {
    (void)state;
    struct made m;
    struct reuse *r;
    make(&m, (uint32_t[]){5, 6, 7}, 3, 0);
    assert_int_equal(reuse_open(&r, REUSE_SEGMENTED), 0);
    assert_int_equal(reuse_longest(r, &m.outcome), 0);
    assert_int_equal(reuse_add(r, &m.outcome), 0);
    assert_int_equal(reuse_longest(r, &m.outcome), 8 + 9 - 1);
    reuse_close(r);
}

/* A conversation: 1, then 1 a 2, then 1 a 2 b P, then 1 a 2 b P c 3, where P is a picture, and a,
 * b, c the answers. With one key for all pictures the third request finds nothing, since nobody had
 * its pictures; the fourth finds all of the third. */
static void test_one_key_for_all_pictures_finds_nothing_once_a_picture_comes(void **state) {
    (void)state;
    enum { A = 21, B, C, D, P = 31 };
    struct made all[4];
    struct reuse *segmented, *one_key;
    make(&all[0], (uint32_t[]){1, A}, 2, 0);
    make(&all[1], (uint32_t[]){1, A, 2, B}, 4, 0);
    make(&all[2], (uint32_t[]){1, A, 2, B, P, C}, 6, 77);
    make(&all[3], (uint32_t[]){1, A, 2, B, P, C, 3, D}, 8, 77);
    /* The end of an answer's turn is not computed: one position less than where it ends. */
    static const uint32_t with_segments[] = {0, 4 + 24 - 1, 4 + 24 + 5 + 25 - 1,
                                             4 + 24 + 5 + 25 + 34 + 26 - 1};
    static const uint32_t with_one_key[] = {0, 4 + 24 - 1, 0, 4 + 24 + 5 + 25 + 34 + 26 - 1};
    assert_int_equal(reuse_open(&segmented, REUSE_SEGMENTED), 0);
    assert_int_equal(reuse_open(&one_key, REUSE_ONE_KEY), 0);
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(reuse_longest(segmented, &all[i].outcome), with_segments[i]);
        assert_int_equal(reuse_longest(one_key, &all[i].outcome), with_one_key[i]);
        assert_int_equal(reuse_add(segmented, &all[i].outcome), 0);
        assert_int_equal(reuse_add(one_key, &all[i].outcome), 0);
    }
    reuse_close(segmented);
    reuse_close(one_key);
}

static void test_measures_add_up_and_the_ideal_is_never_below_what_was_reused(void **state) {
    (void)state;
    struct made all[3];
    struct outcome outcomes[3];
    struct trace_turn turns[3] = {{.turn = 1}, {.turn = 2}, {.turn = 1, .shape = 1}};
    struct trace t = {.turns = turns, .n_turns = 3, .shapes = {"a", "b"}, .n_shapes = 2};
    struct report report;
    struct error e;
    make(&all[0], (uint32_t[]){1, 2}, 2, 0);
    make(&all[1], (uint32_t[]){1, 2, 3, 4}, 4, 0);
    make(&all[2], (uint32_t[]){9, 2}, 2, 0);
    for (uint32_t i = 0; i < 3; i++) {
        outcomes[i] = all[i].outcome;
        outcomes[i].order = i;
        outcomes[i].sent_us = 1000;
        outcomes[i].first_us = 1000 + 2000 * (i + 1);
    }
    outcomes[2].usage.reused_positions = 2; /* found by the pages inside of a segment */
    assert_int_equal(measure_all(&report, &t, outcomes, 1000000, &e), 0);
    assert_int_equal(report.shapes[0].requests, 2);
    assert_int_equal(report.shapes[0].prompt_positions, 4 + 15);
    assert_int_equal(report.shapes[0].ideal_positions, 8);
    assert_int_equal(report.shapes[1].ideal_positions, 2);
    assert_int_equal(report.shapes[1].segmented, 0);
    assert_int_equal(report.total.requests, 3);
    assert_int_equal(report.total.ideal_positions, 10);
    assert_int_equal(report.total.reused_positions, 2);
    assert_true(report.total.first_token_median_ms == 4);
    assert_true(report.total.first_token_p99_ms == 6);
    assert_int_equal(report.total.errors, 0);
}

static void test_a_request_that_failed_counts_as_an_error_and_nothing_else(void **state) {
    (void)state;
    struct trace_turn turns[2] = {{.turn = 1}, {.turn = 2}};
    struct outcome outcomes[2] = {{.state = TURN_FAILED, .code = ERR_TOO_LONG, .text = "no room"},
                                  {.state = TURN_SKIPPED}};
    struct trace t = {.turns = turns, .n_turns = 2, .shapes = {"a"}, .n_shapes = 1};
    struct report report;
    struct error e;
    assert_int_equal(measure_all(&report, &t, outcomes, 1000000, &e), 0);
    assert_int_equal(report.total.requests, 0);
    assert_int_equal(report.total.errors, 2);
    assert_string_equal(report.first_error, "too-long: no room");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_longest_prefix_is_what_looking_at_every_pair_finds),
        cmocka_unit_test(test_the_same_request_again_computes_its_last_position),
        cmocka_unit_test(test_one_key_for_all_pictures_finds_nothing_once_a_picture_comes),
        cmocka_unit_test(test_measures_add_up_and_the_ideal_is_never_below_what_was_reused),
        cmocka_unit_test(test_a_request_that_failed_counts_as_an_error_and_nothing_else),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
