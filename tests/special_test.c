/* special_test.c - finding all special tokens at once beside finding one after the other. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "worker/engine/special.h"

#define MAX_TEXT 80

static uint64_t next_random(uint64_t *s) {
    *s = *s * 6364136223846793005u + 1442695040888963407u;
    return *s >> 33;
}

static struct bytes token_text(const struct vocabulary *v, int32_t id) {
    return text_table_at(&v->texts, (uint32_t)id);
}

/* A vocabulary of random tokens over two letters; some are guarded, some not special at all. */
static void make_vocabulary(struct vocabulary *v, uint64_t *s) {
    size_t wanted = 1 + next_random(s) % 12;
    *v = (struct vocabulary){0};
    v->types = calloc(wanted, 1);
    v->flags = calloc(wanted, 1);
    for (size_t i = 0; i < wanted; i++) {
        uint8_t text[8];
        size_t size = 1 + next_random(s) % 6;
        for (size_t k = 0; k < size; k++) {
            text[k] = (uint8_t)('a' + next_random(s) % 2);
        }
        uint32_t number;
        assert_int_equal(text_table_append(&v->texts, (struct bytes){text, size}, &number), 0);
        v->types[i] = (uint8_t)(1 + next_random(s) % 4);
        v->flags[i] =
            v->types[i] == TOKEN_CONTROL || v->types[i] == TOKEN_UNKNOWN ? TOKEN_GUARDED : 0;
        v->count++;
    }
}

static bool in_one_range(const struct special_range *ranges, size_t n, size_t start, size_t end) {
    for (size_t i = 0; i < n; i++) {
        if (start >= ranges[i].start && end <= ranges[i].end) {
            return true;
        }
    }
    return false;
}

/* Marks in owner (-1: free) where token id stands, leftmost places first. */
static void cut_one(const struct vocabulary *v, int32_t id, struct bytes text,
                    const struct special_range *ranges, size_t n_ranges, int32_t *owner,
                    bool *starts) {
    struct bytes t = token_text(v, id);
    for (size_t at = 0; at + t.size <= text.size; at++) {
        bool fits = memcmp(text.data + at, t.data, t.size) == 0;
        for (size_t k = 0; fits && k < t.size; k++) {
            fits = owner[at + k] < 0;
        }
        if (!fits || ((v->flags[id] & TOKEN_GUARDED) != 0 &&
                      !in_one_range(ranges, n_ranges, at, at + t.size))) {
            continue;
        }
        starts[at] = true;
        for (size_t k = 0; k < t.size; k++) {
            owner[at + k] = id;
        }
    }
}

/* The definition: each token in turn, the longest first. */
static void by_the_book(const struct vocabulary *v, struct bytes text,
                        const struct special_range *ranges, size_t n_ranges, int32_t *owner,
                        bool *starts) {
    for (size_t i = 0; i < text.size; i++) {
        owner[i] = -1;
        starts[i] = false;
    }
    for (size_t size = 8; size > 0; size--) {
        for (int32_t id = 0; id < v->count; id++) {
            bool special = v->types[id] == TOKEN_CONTROL || v->types[id] == TOKEN_UNKNOWN ||
                           v->types[id] == TOKEN_USER_DEFINED;
            if (special && token_text(v, id).size == size &&
                vocabulary_find(v, token_text(v, id)) == id) {
                cut_one(v, id, text, ranges, n_ranges, owner, starts);
            }
        }
    }
}

static size_t make_ranges(struct special_range *ranges, size_t size, uint64_t *s) {
    size_t n = 0, at = 0;
    while (at < size && n < 8) {
        size_t start = at + next_random(s) % 6 + (n > 0), end = start + 1 + next_random(s) % 20;
        if (end > size) {
            break;
        }
        ranges[n++] = (struct special_range){start, end};
        at = end;
    }
    return n;
}

static void check(const struct vocabulary *v, const struct special_set *set, uint64_t *s) {
    uint8_t letters[MAX_TEXT];
    int32_t owner[MAX_TEXT];
    bool starts[MAX_TEXT];
    struct special_range ranges[8];
    struct bytes text = {letters, next_random(s) % MAX_TEXT};
    for (size_t i = 0; i < text.size; i++) {
        letters[i] = (uint8_t)('a' + (next_random(s) % 16 == 0 ? 2 : next_random(s) % 2));
    }
    size_t n_ranges = make_ranges(ranges, text.size, s);
    by_the_book(v, text, ranges, n_ranges, owner, starts);
    struct special_list found;
    assert_int_equal(special_find(set, text, ranges, n_ranges, &found), 0);
    size_t span = 0;
    for (size_t at = 0; at < text.size; at++) {
        if (!starts[at]) {
            continue;
        }
        assert_true(span < found.count);
        assert_int_equal(found.spans[span].start, at);
        assert_int_equal(found.spans[span].id, owner[at]);
        assert_int_equal(found.spans[span].end, at + token_text(v, owner[at]).size);
        span++;
    }
    assert_int_equal(span, found.count);
    free(found.spans);
}

static void test_spans_are_those_of_one_token_after_the_other(void **state) {
    (void)state;
    uint64_t s = 11;
    for (int round = 0; round < 600; round++) {
        struct vocabulary v;
        struct special_set *set;
        struct error e = {0};
        make_vocabulary(&v, &s);
        assert_int_equal(special_open(&set, &v, &e), 0);
        for (int i = 0; i < 30; i++) {
            check(&v, set, &s);
        }
        special_close(set);
        vocabulary_clear(&v);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_spans_are_those_of_one_token_after_the_other),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
