/* merge_test.c - merging by tree and windows beside merging by the book. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/vocab.h"
#include "worker/engine/merge.h"
#include "worker/engine/text_table.h"

static uint64_t next_random(uint64_t *s) {
    *s = *s * 6364136223846793005u + 1442695040888963407u;
    return *s >> 33;
}

/* Random rules over texts: the first `letters` are single bytes, the others joins of two before. */
#define MAX_TEXTS 256
struct rules {
    struct text_table texts;
    uint32_t rank_of[MAX_TEXTS][MAX_TEXTS];
    uint32_t made[MAX_TEXTS]; /* by rank */
    size_t longest;
};

static uint32_t add_text(struct rules *r, const char *bytes, size_t size) {
    uint32_t number;
    assert_int_equal(
        text_table_intern(&r->texts, (struct bytes){(const uint8_t *)bytes, size}, &number), 0);
    r->longest = size > r->longest ? size : r->longest;
    return number;
}

/* `shuffled`: ranks in no order at all, as no training would give them. */
static void make_rules(struct rules *r, size_t letters, size_t merges, bool shuffled, uint64_t *s) {
    uint32_t ranks[MAX_TEXTS];
    *r = (struct rules){0};
    memset(r->rank_of, 0xFF, sizeof r->rank_of);
    for (size_t i = 0; i < letters; i++) {
        char letter = (char)('a' + i);
        add_text(r, &letter, 1);
    }
    for (uint32_t i = 0; i < merges; i++) {
        ranks[i] = i;
    }
    for (size_t i = merges; shuffled && i > 1; i--) {
        size_t k = next_random(s) % i;
        uint32_t other = ranks[k];
        ranks[k] = ranks[i - 1];
        ranks[i - 1] = other;
    }
    for (size_t i = 0; i < merges; i++) {
        uint32_t a = (uint32_t)(next_random(s) % r->texts.count);
        uint32_t b = (uint32_t)(next_random(s) % r->texts.count);
        struct bytes x = text_table_at(&r->texts, a), y = text_table_at(&r->texts, b);
        char both[64];
        if (x.size + y.size > 12 || r->rank_of[a][b] != MERGE_NONE) {
            continue;
        }
        memcpy(both, x.data, x.size);
        memcpy(both + x.size, y.data, y.size);
        r->rank_of[a][b] = ranks[i];
        r->made[ranks[i]] = add_text(r, both, x.size + y.size);
    }
}

static struct merge_symbol first_symbol(const void *context, struct bytes piece, uint32_t place) {
    (void)context;
    return (struct merge_symbol){place, place + 1, (uint32_t)(piece.data[place] - 'a')};
}

static uint32_t pair_rank(const void *context, struct bytes piece, const struct merge_symbol *a,
                          const struct merge_symbol *b) {
    (void)piece;
    return ((const struct rules *)context)->rank_of[a->value][b->value];
}

static uint32_t joined_value(const void *context, uint32_t rank) {
    return ((const struct rules *)context)->made[rank];
}

/* The definition: look for the pair of least rank, leftmost, join it, begin again. */
static size_t by_the_book(const struct rules *r, struct bytes piece, uint32_t *values) {
    size_t n = piece.size;
    for (size_t i = 0; i < n; i++) {
        values[i] = (uint32_t)(piece.data[i] - 'a');
    }
    for (;;) {
        size_t best = n;
        uint32_t least = MERGE_NONE;
        for (size_t i = 0; i + 1 < n; i++) {
            if (r->rank_of[values[i]][values[i + 1]] < least) {
                least = r->rank_of[values[i]][values[i + 1]];
                best = i;
            }
        }
        if (best == n) {
            return n;
        }
        values[best] = r->made[least];
        memmove(values + best + 1, values + best + 2, (n - best - 2) * sizeof *values);
        n--;
    }
}

static void check(struct merger *m, const struct rules *r, struct bytes piece) {
    uint32_t *values = malloc((piece.size + 1) * sizeof *values);
    const struct merge_rules rules = {r, first_symbol, pair_rank, joined_value, r->longest};
    assert_non_null(values);
    size_t n = by_the_book(r, piece, values);
    assert_int_equal(merger_run(m, piece, &rules), 0);
    assert_int_equal(m->list.count, n);
    uint32_t place = 0;
    for (size_t i = 0; i < n; i++) {
        const struct merge_symbol *s = &m->list.symbols[i];
        assert_int_equal(s->value, values[i]);
        assert_int_equal(s->place, place);
        place += (uint32_t)text_table_at(&r->texts, s->value).size;
        assert_int_equal(s->end, place);
    }
    assert_int_equal(place, piece.size);
    free(values);
}

static void check_rounds(size_t rounds, size_t bytes, bool shuffled) {
    struct merger m = {0};
    uint64_t s = bytes + shuffled;
    uint8_t *text = malloc(bytes);
    assert_non_null(text);
    for (size_t round = 0; round < rounds; round++) {
        struct rules r;
        size_t letters = 1 + next_random(&s) % 4;
        make_rules(&r, letters, 2 + next_random(&s) % 40, shuffled, &s);
        size_t n = 1 + next_random(&s) % bytes, period = 1 + next_random(&s) % 40;
        bool periodic = next_random(&s) % 4 == 0;
        for (size_t i = 0; i < n; i++) {
            text[i] = (uint8_t)(periodic && i >= period ? text[i - period]
                                                        : 'a' + next_random(&s) % letters);
        }
        check(&m, &r, (struct bytes){text, n});
        text_table_clear(&r.texts);
    }
    free(text);
    merger_clear(&m);
}

static void test_short_pieces_merge_by_the_book(void **state) {
    (void)state;
    check_rounds(4000, 12, false);
    check_rounds(4000, 12, true);
}

static void test_pieces_of_one_window_merge_by_the_book(void **state) {
    (void)state;
    check_rounds(400, 400, false);
    check_rounds(400, 400, true);
}

static void test_pieces_of_many_windows_merge_by_the_book(void **state) {
    (void)state;
    check_rounds(60, 6000, false);
    check_rounds(60, 6000, true);
}

/* Blocks of 115 letters in which every letter joins with the next, those further right first: so
 * the joins of a whole block begin at its end, and where a window ends inside of a block, they
 * begin there and are all off by one. The next window can't agree. */
static void test_windows_that_do_not_agree_are_given_up(void **state) {
    (void)state;
    enum { LETTERS = 115, BLOCKS = 40 };
    struct merger m = {0};
    uint8_t text[LETTERS * BLOCKS];
    struct rules *r = calloc(1, sizeof *r);
    assert_non_null(r);
    memset(r->rank_of, 0xFF, sizeof r->rank_of);
    for (size_t i = 0; i < LETTERS; i++) {
        char letter = (char)('a' + i);
        add_text(r, &letter, 1);
    }
    for (size_t i = 0; i + 1 < LETTERS; i++) {
        const char pair[2] = {(char)('a' + i), (char)('a' + i + 1)};
        size_t rank = LETTERS - 2 - i;
        r->rank_of[i][i + 1] = (uint32_t)rank;
        r->made[rank] = add_text(r, pair, 2);
    }
    for (size_t i = 0; i < sizeof text; i++) {
        text[i] = (uint8_t)('a' + i % LETTERS);
    }
    check(&m, r, (struct bytes){text, sizeof text});
    text_table_clear(&r->texts);
    free(r);
    merger_clear(&m);
}

static void test_an_empty_piece_has_no_symbols(void **state) {
    (void)state;
    struct merger m = {0};
    const struct merge_rules rules = {NULL, first_symbol, pair_rank, joined_value, 1};
    assert_int_equal(merger_run(&m, (struct bytes){NULL, 0}, &rules), 0);
    assert_int_equal(m.list.count, 0);
    merger_clear(&m);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_short_pieces_merge_by_the_book),
        cmocka_unit_test(test_pieces_of_one_window_merge_by_the_book),
        cmocka_unit_test(test_pieces_of_many_windows_merge_by_the_book),
        cmocka_unit_test(test_windows_that_do_not_agree_are_given_up),
        cmocka_unit_test(test_an_empty_piece_has_no_symbols),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
