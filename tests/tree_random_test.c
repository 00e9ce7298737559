/* tree_random_test.c - thousands of steps of tasks at random, beside a model that is plainly right:
 * a list of everything ever computed, searched from end to end.
 *
 * With enough pages the tree finds exactly what the model finds. With too few it finds no more, and
 * what it finds is still what was stored. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "worker/engine/tree.h"

#define PATHS 6
#define ENTRIES 200 /* below TREE_CANDIDATES, so that no candidate goes unseen */
#define POSITIONS 100
#define TENANTS 2
#define STEPS 4000

static const struct pages_shape shape = {.n_layer = 1, .n_head_kv = 1, .head_dim = 2};

/* A task, or what one left. */
struct entry {
    struct unit units[POSITIONS];
    uint32_t n;     /* its prompt and answer */
    uint32_t known; /* of them, computed */
    uint32_t tenant;
};

struct world {
    struct pages *pages;
    struct tree *tree;
    struct entry entries[ENTRIES];
    uint32_t n_entries;
    struct tree_path paths[PATHS];
    struct entry *task[PATHS]; /* NULL: the place is free */
    uint32_t prompt[PATHS];
    bool exact;
    uint64_t random;
};

static uint32_t draw(struct world *w, uint32_t below) {
    w->random = w->random * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(w->random >> 33) % below;
}

/* Few tokens and much taken from earlier ones, so that prompts meet, part and meet again. */
static void make_script(struct world *w, struct entry *x) {
    x->tenant = draw(w, TENANTS);
    x->n = 2 + draw(w, POSITIONS - 2);
    x->known = 0;
    for (uint32_t i = 0; i < x->n; i++) {
        uint32_t kind = draw(w, 12);
        x->units[i] = (struct unit){.token = (int32_t)kind};
        if (kind > 9)
            x->units[i] = (struct unit){.token = -1, .row = i % 3, .digest = {kind, 1}};
    }
    if (w->n_entries == 0 || draw(w, 5) == 0)
        return;
    const struct entry *like = &w->entries[draw(w, w->n_entries)];
    uint32_t common = draw(w, like->n + 1);
    memcpy(x->units, like->units, (common < x->n ? common : x->n) * sizeof *x->units);
    if (draw(w, 8) != 0)
        x->tenant = like->tenant;
}

static uint32_t model_finds(const struct world *w, const struct entry *x, uint32_t limit) {
    uint32_t best = 0;
    for (uint32_t i = 0; i < w->n_entries; i++) {
        const struct entry *o = &w->entries[i];
        if (o == x || o->tenant != x->tenant)
            continue;
        uint32_t n = 0;
        while (n < limit && n < o->known && memcmp(&o->units[n], &x->units[n], 24) == 0)
            n++;
        best = n > best ? n : best;
    }
    return best;
}

static uint16_t stored(const struct unit *u, uint32_t position) {
    return (uint16_t)(u->token * 977 + (int32_t)(u->row * 31 + position * 5 + u->digest[0]));
}

/* The first dimension of a position's key. */
static uint16_t *key_of(const struct world *w, page_id id, uint32_t position) {
    return (uint16_t *)(void *)pages_head(w->pages, id, 0, 0) + position;
}

static void check_stored(const struct world *w, const struct tree_path *p, const struct entry *x) {
    assert_int_equal(p->known, x->known);
    assert_int_equal(p->sequence.positions, x->known);
    for (uint32_t i = 0; i < x->known; i++)
        assert_int_equal(*key_of(w, p->sequence.pages[i / 16], i % 16), stored(&x->units[i], i));
}

static void begin(struct world *w, uint32_t place) {
    if (w->n_entries == ENTRIES)
        return;
    struct entry *x = &w->entries[w->n_entries];
    make_script(w, x);
    uint32_t prompt = 1 + draw(w, x->n);
    struct bytes tenant = {(const uint8_t *)&x->tenant, sizeof x->tenant};
    int rc = tree_begin(w->tree, &w->paths[place], tenant, x->units, prompt, x->n, NULL);
    if (rc == ERR_LIMIT) {
        assert_false(w->exact);
        return;
    }
    assert_int_equal(rc, 0);
    x->known = w->paths[place].sequence.positions;
    uint32_t expected = model_finds(w, x, prompt - 1);
    if (w->exact)
        assert_int_equal(x->known, expected);
    assert_true(x->known <= expected);
    w->n_entries++;
    w->task[place] = x;
    w->prompt[place] = prompt;
}

static void follow(struct world *w, uint32_t place) {
    struct entry *x = w->task[place];
    if (x->known + 1 >= w->prompt[place])
        return;
    uint32_t limit = w->prompt[place] - 1;
    x->known += tree_follow(w->tree, &w->paths[place], x->units + x->known, limit - x->known);
    uint32_t expected = model_finds(w, x, limit);
    if (w->exact && expected > x->known)
        fail_msg("found %u of %u", x->known, expected);
}

static void compute(struct world *w, uint32_t place) {
    struct entry *x = w->task[place];
    struct tree_path *p = &w->paths[place];
    uint32_t n = draw(w, x->n - x->known + 1);
    tree_reserve(w->tree, p, x->known + n);
    for (uint32_t i = x->known; i < x->known + n; i++)
        *key_of(w, p->sequence.pages[i / 16], i % 16) = stored(&x->units[i], i);
    p->sequence.positions += n;
    tree_computed(w->tree, p, x->units + x->known, n);
    x->known += n;
}

static void end(struct world *w, uint32_t place) {
    bool keep_tail = draw(w, 3) > 0;
    struct tree_cost cost = {.position_us = draw(w, 50), .picture_position_us = draw(w, 50)};
    if (keep_tail && draw(w, 2) == 0)
        tree_settle(w->tree, &w->paths[place]);
    tree_end(w->tree, &w->paths[place], keep_tail, cost);
    if (!keep_tail) /* the half page is gone, unless others have it */
        w->task[place]->known -= w->task[place]->known % 16;
    w->task[place] = NULL;
}

static void check_counts(const struct world *w) {
    struct tree_counts c = tree_counts(w->tree);
    assert_true(c.promised <= c.free + c.evictable);
    uint32_t promised = 0, busy = 0;
    for (uint32_t i = 0; i < PATHS; i++) {
        promised += w->paths[i].promised;
        busy += w->task[i] != NULL;
    }
    assert_int_equal(c.promised, promised);
    if (busy == 0)
        assert_int_equal(c.free + c.evictable, pages_total(w->pages));
}

static void live(uint32_t n_pages, bool exact, uint64_t seed) {
    static struct world w;
    memset(&w, 0, sizeof w);
    w.exact = exact;
    w.random = seed;
    assert_int_equal(pages_open(&w.pages, shape, n_pages * pages_bytes_per_page(shape), NULL), 0);
    assert_int_equal(tree_open(&w.tree, w.pages, PATHS, NULL, NULL, NULL), 0);
    for (int step = 0; step < STEPS; step++) {
        uint32_t place = draw(&w, PATHS);
        if (w.task[place] == NULL)
            begin(&w, place);
        else if (draw(&w, 3) == 0)
            follow(&w, place);
        else if (draw(&w, 4) > 0)
            compute(&w, place);
        else
            end(&w, place);
        for (uint32_t i = 0; i < PATHS; i++)
            if (w.task[i] != NULL)
                check_stored(&w, &w.paths[i], w.task[i]);
        check_counts(&w);
    }
    for (uint32_t i = 0; i < PATHS; i++)
        if (w.task[i] != NULL)
            end(&w, i);
    check_counts(&w);
    tree_close(w.tree);
    assert_int_equal(pages_free(w.pages), pages_total(w.pages));
    pages_close(w.pages);
}

static void test_with_enough_pages_everything_ever_computed_is_found(void **state) {
    (void)state;
    for (uint64_t seed = 1; seed <= 20; seed++)
        live(ENTRIES * (POSITIONS / 16 + 2), true, seed);
}

static void test_with_too_few_pages_what_is_found_is_right(void **state) {
    (void)state;
    for (uint64_t seed = 1; seed <= 20; seed++)
        live(7 + (uint32_t)seed * 2, false, seed);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_with_enough_pages_everything_ever_computed_is_found),
        cmocka_unit_test(test_with_too_few_pages_what_is_found_is_right),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
