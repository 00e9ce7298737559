/* tree_test.c - pages that are shared, position by position. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "worker/engine/tree.h"

#define POSITIONS_MAX 512

static const struct pages_shape shape = {.n_layer = 1, .n_head_kv = 2, .head_dim = 4};
static const struct tree_cost cheap = {.position_us = 1};

/* ---- a tree, and tasks that pretend to compute: what they store is made from the unit ---- */

struct world {
    struct pages *pages;
    struct tree *tree;
    uint32_t dropped[64];
    uint32_t n_dropped;
};

static void on_dropped(void *arg, uint32_t tag) {
    struct world *w = arg;
    assert_true(w->n_dropped < 64);
    w->dropped[w->n_dropped++] = tag;
}

static void open_world(struct world *w, uint32_t n_pages) {
    memset(w, 0, sizeof *w);
    assert_int_equal(pages_open(&w->pages, shape, n_pages * pages_bytes_per_page(shape), NULL), 0);
    assert_int_equal(tree_open(&w->tree, w->pages, 8, on_dropped, w, NULL), 0);
}

static void close_world(struct world *w) {
    struct tree_counts c = tree_counts(w->tree);
    assert_int_equal(c.free + c.evictable, pages_total(w->pages)); /* nothing is pinned any more */
    assert_int_equal(c.promised, 0);
    tree_close(w->tree);
    assert_int_equal(pages_free(w->pages), pages_total(w->pages));
    pages_close(w->pages);
}

struct script {
    struct unit units[POSITIONS_MAX];
    uint32_t n;
};

static void say(struct script *s, int32_t first, uint32_t n) {
    for (uint32_t i = 0; i < n; i++)
        s->units[s->n++] = (struct unit){.token = first + (int32_t)i};
}

static void show(struct script *s, uint64_t digest, uint32_t n) {
    for (uint32_t i = 0; i < n; i++)
        s->units[s->n++] = (struct unit){.token = -1, .row = i, .digest = {digest, 7}};
}

static uint16_t stored(const struct unit *u) {
    return (uint16_t)(u->token * 31 + (int32_t)u->row * 7 + (int32_t)u->digest[0]);
}

static struct bytes name_of(const char *text) {
    return (struct bytes){(const uint8_t *)text, strlen(text)};
}

static int begin(struct world *w, struct tree_path *p, const char *tenant, const struct script *s,
                 uint32_t most) {
    return tree_begin(w->tree, p, name_of(tenant), s->units, s->n, most, NULL);
}

/* The first dimension of a position's key, the last of its value. */
static uint16_t *key_of(struct world *w, page_id id, int32_t head, uint32_t position) {
    return (uint16_t *)(void *)pages_head(w->pages, id, 0, head) + position;
}

static uint16_t *value_of(struct world *w, page_id id, int32_t head, uint32_t position) {
    struct kv_layout l = pages_layout(w->pages);
    uint8_t *values = pages_head(w->pages, id, 0, head) + l.values;
    return (uint16_t *)(void *)values + position * (uint32_t)l.width + 3;
}

/* Computes the script up to position `to`. */
static void compute(struct world *w, struct tree_path *p, const struct script *s, uint32_t to) {
    uint32_t from = p->known;
    tree_reserve(w->tree, p, to);
    for (uint32_t i = from; i < to; i++)
        for (int32_t head = 0; head < shape.n_head_kv; head++) {
            page_id id = p->sequence.pages[i / 16];
            *key_of(w, id, head, i % 16) = stored(&s->units[i]);
            *value_of(w, id, head, i % 16) = stored(&s->units[i]);
        }
    p->sequence.positions = to;
    tree_computed(w->tree, p, s->units + from, to - from);
}

/* What the path holds is what the script says, wherever it came from. */
static void check_stored(struct world *w, const struct tree_path *p, const struct script *s) {
    for (uint32_t i = 0; i < p->known; i++)
        for (int32_t head = 0; head < shape.n_head_kv; head++) {
            page_id id = p->sequence.pages[i / 16];
            assert_int_equal(*key_of(w, id, head, i % 16), stored(&s->units[i]));
            assert_int_equal(*value_of(w, id, head, i % 16), stored(&s->units[i]));
        }
}

/* A whole task. Returns how many positions it found. */
static uint32_t ask_as(struct world *w, const char *tenant, const struct script *s,
                       struct tree_cost cost) {
    struct tree_path p = {0};
    assert_int_equal(begin(w, &p, tenant, s, s->n), 0);
    uint32_t found = p.sequence.positions;
    check_stored(w, &p, s);
    compute(w, &p, s, s->n);
    check_stored(w, &p, s);
    tree_end(w->tree, &p, true, cost);
    return found;
}

static uint32_t ask(struct world *w, const struct script *s) {
    return ask_as(w, "", s, cheap);
}

static uint32_t nodes(const struct world *w) {
    return pages_total(w->pages) - pages_free(w->pages);
}

/* ---- matching ---- */

static void test_a_repeated_prompt_is_found_but_for_its_last_position(void **state) {
    (void)state;
    struct world w;
    open_world(&w, 16);
    struct script s = {.n = 0};
    say(&s, 100, 53);
    assert_int_equal(ask(&w, &s), 0);
    assert_int_equal(ask(&w, &s), 52);
    assert_int_equal(nodes(&w), 4); /* and is not held twice */
    s.n = 48;                       /* ends with a page */
    assert_int_equal(ask(&w, &s), 47);
    assert_int_equal(nodes(&w), 4);
    close_world(&w);
}

static void test_a_prompt_of_one_position_finds_nothing(void **state) {
    (void)state;
    struct world w;
    open_world(&w, 4);
    struct script s = {.n = 0};
    say(&s, 1, 1);
    assert_int_equal(ask(&w, &s), 0);
    assert_int_equal(ask(&w, &s), 0);
    assert_int_equal(nodes(&w), 1);
    close_world(&w);
}

static void test_every_length_in_common_is_found_to_the_position(void **state) {
    (void)state;
    for (uint32_t common = 0; common < 70; common++) {
        struct world w;
        open_world(&w, 32);
        struct script a = {.n = 0}, b = {.n = 0};
        say(&a, 100, 70);
        say(&b, 100, common);
        say(&b, 5000, 40);
        assert_int_equal(ask(&w, &a), 0);
        assert_int_equal(ask(&w, &b), common);
        assert_int_equal(ask(&w, &a), 69); /* both live on */
        assert_int_equal(ask(&w, &b), common + 39);
        close_world(&w);
    }
}

static void test_a_longer_prompt_goes_on_in_the_page_where_a_finished_one_ended(void **state) {
    (void)state;
    struct world w;
    open_world(&w, 16);
    struct script s = {.n = 0};
    say(&s, 100, 25);
    assert_int_equal(ask(&w, &s), 0);
    say(&s, 500, 5);
    assert_int_equal(ask(&w, &s), 25);
    assert_int_equal(nodes(&w), 2);
    say(&s, 600, 30);
    assert_int_equal(ask(&w, &s), 30);
    assert_int_equal(nodes(&w), 4);
    close_world(&w);
}

static void test_units_are_compared_in_full(void **state) {
    (void)state;
    struct world w;
    open_world(&w, 16);
    struct script a = {.n = 0}, other_row = {.n = 0}, other_digest = {.n = 0};
    say(&a, 1, 4);
    show(&a, 77, 30);
    other_row = other_digest = a;
    other_row.units[20].row++;
    other_digest.units[20].digest[1]++;
    assert_int_equal(ask(&w, &a), 0);
    assert_int_equal(ask(&w, &other_row), 20);
    assert_int_equal(ask(&w, &other_digest), 20);
    close_world(&w);
}

static void test_another_picture_of_equal_size_matches_up_to_its_beginning(void **state) {
    (void)state;
    struct world w;
    open_world(&w, 32);
    struct script a = {.n = 0}, b = {.n = 0};
    say(&a, 1, 21);
    show(&a, 77, 64);
    say(&a, 50, 9);
    say(&b, 1, 21);
    show(&b, 78, 64);
    say(&b, 50, 9);
    assert_int_equal(ask(&w, &a), 0);
    assert_int_equal(ask(&w, &b), 21);
    assert_int_equal(ask(&w, &a), 93);
    close_world(&w);
}

static void test_tenants_never_meet(void **state) {
    (void)state;
    struct world w;
    open_world(&w, 32);
    struct script s = {.n = 0};
    say(&s, 100, 40);
    assert_int_equal(ask_as(&w, "one", &s, cheap), 0);
    assert_int_equal(ask_as(&w, "two", &s, cheap), 0);
    assert_int_equal(ask_as(&w, "", &s, cheap), 0);
    assert_int_equal(ask_as(&w, "on", &s, cheap), 0);
    assert_int_equal(ask_as(&w, "one", &s, cheap), 39);
    assert_int_equal(ask_as(&w, "", &s, cheap), 39);
    close_world(&w);
}

static void test_more_tenants_than_pages_come_and_go(void **state) {
    (void)state;
    struct world w;
    open_world(&w, 8);
    struct script s = {.n = 0};
    say(&s, 100, 20);
    char name[8] = "t";
    for (int i = 0; i < 1000; i++) {
        name[1] = (char)('a' + i % 26);
        name[2] = (char)('a' + i / 26);
        assert_int_equal(ask_as(&w, name, &s, cheap), 0);
    }
    assert_int_equal(ask_as(&w, name, &s, cheap), 19); /* the last one's pages are still there */
    close_world(&w);
}

/* ---- tasks at the same time ---- */

static void test_what_another_task_is_computing_is_found_at_once(void **state) {
    (void)state;
    struct world w;
    open_world(&w, 16);
    struct script s = {.n = 0};
    say(&s, 100, 60);
    struct tree_path a = {0}, b = {0};
    assert_int_equal(begin(&w, &a, "", &s, 60), 0);
    compute(&w, &a, &s, 25);
    assert_int_equal(begin(&w, &b, "", &s, 60), 0);
    assert_int_equal(b.sequence.positions, 25);
    assert_int_equal(b.sequence.pages[0], a.sequence.pages[0]);
    assert_int_not_equal(b.sequence.pages[1], a.sequence.pages[1]); /* each adds to its own */
    check_stored(&w, &b, &s);
    compute(&w, &a, &s, 30);
    assert_int_equal(tree_follow(w.tree, &b, s.units + 25, 34), 5);
    compute(&w, &a, &s, 60);
    assert_int_equal(tree_follow(w.tree, &b, s.units + 30, 29), 29);
    check_stored(&w, &b, &s);
    assert_int_equal(b.sequence.pages[2], a.sequence.pages[2]);
    compute(&w, &b, &s, 60);
    tree_end(w.tree, &a, true, cheap);
    tree_end(w.tree, &b, true, cheap);
    assert_int_equal(nodes(&w), 4);
    close_world(&w);
}

static void test_equal_pages_computed_at_the_same_time_become_one(void **state) {
    (void)state;
    struct world w;
    open_world(&w, 16);
    struct script s = {.n = 0};
    say(&s, 100, 60);
    struct tree_path p[3] = {0};
    for (int i = 0; i < 3; i++)
        assert_int_equal(begin(&w, &p[i], "", &s, 60), 0);
    compute(&w, &p[0], &s, 40);
    compute(&w, &p[1], &s, 60);
    compute(&w, &p[2], &s, 8);
    compute(&w, &p[0], &s, 60);
    compute(&w, &p[2], &s, 60);
    for (int i = 1; i < 3; i++)
        assert_memory_equal(p[0].sequence.pages, p[i].sequence.pages, 3 * sizeof(page_id));
    assert_int_equal(nodes(&w), 3 + 3);
    for (int i = 0; i < 3; i++) {
        check_stored(&w, &p[i], &s);
        tree_end(w.tree, &p[i], true, cheap);
    }
    assert_int_equal(nodes(&w), 4);
    close_world(&w);
}

static void test_a_cancelled_task_leaves_complete_pages_and_no_half_one(void **state) {
    (void)state;
    struct world w;
    open_world(&w, 16);
    struct script s = {.n = 0};
    say(&s, 100, 60);
    struct tree_path p = {0};
    assert_int_equal(begin(&w, &p, "", &s, 60), 0);
    compute(&w, &p, &s, 41);
    tree_end(w.tree, &p, false, cheap);
    assert_int_equal(nodes(&w), 2);
    assert_int_equal(ask(&w, &s), 32);
    close_world(&w);
}

static void test_a_cancelled_task_puts_back_the_half_page_it_went_on_in(void **state) {
    (void)state;
    struct world w;
    open_world(&w, 16);
    struct script s = {.n = 0};
    say(&s, 100, 25);
    assert_int_equal(ask(&w, &s), 0);
    say(&s, 500, 20);
    struct tree_path p = {0};
    assert_int_equal(begin(&w, &p, "", &s, 45), 0);
    assert_int_equal(p.sequence.positions, 25);
    compute(&w, &p, &s, 28);
    tree_end(w.tree, &p, false, cheap);
    assert_int_equal(ask(&w, &s), 25);
    close_world(&w);
}

static void test_a_path_that_was_never_used_changes_nothing(void **state) {
    (void)state;
    struct world w;
    open_world(&w, 16);
    struct script s = {.n = 0};
    say(&s, 100, 40);
    struct tree_path p = {0};
    tree_end(w.tree, &p, true, cheap);
    assert_int_equal(begin(&w, &p, "", &s, 200), 0);
    tree_reserve(w.tree, &p, 40);
    tree_end(w.tree, &p, false, cheap);
    assert_int_equal(nodes(&w), 0);
    assert_int_equal(ask(&w, &s), 0);
    close_world(&w);
}

/* ---- room ---- */

static void test_pages_are_promised_and_taken_when_needed(void **state) {
    (void)state;
    struct world w;
    open_world(&w, 10);
    struct script s = {.n = 0}, other = {.n = 0};
    say(&s, 100, 20);
    say(&other, 900, 20);
    struct tree_path a = {0}, b = {0};
    assert_int_equal(begin(&w, &a, "", &s, 16 * 7), 0);
    compute(&w, &a, &s, 20);
    assert_int_equal(tree_counts(w.tree).free, 8);
    assert_int_equal(tree_counts(w.tree).promised, 5);
    assert_int_equal(begin(&w, &b, "", &other, 16 * 4), ERR_LIMIT);
    assert_false(b.begun);
    assert_int_equal(begin(&w, &b, "", &other, 16 * 3), 0);
    tree_end(w.tree, &a, true, cheap); /* its answer ended early */
    assert_int_equal(tree_counts(w.tree).promised, 3);
    tree_end(w.tree, &b, true, cheap);
    close_world(&w);
}

static void test_shared_pages_in_use_need_no_room(void **state) {
    (void)state;
    struct world w;
    open_world(&w, 6);
    struct script s = {.n = 0};
    say(&s, 100, 64);
    struct tree_path a = {0}, b = {0}, c = {0};
    assert_int_equal(begin(&w, &a, "", &s, 64), 0);
    compute(&w, &a, &s, 64);
    assert_int_equal(begin(&w, &b, "", &s, 64 + 16), 0); /* three shared, two own */
    assert_int_equal(begin(&w, &c, "", &s, 64), ERR_LIMIT);
    tree_end(w.tree, &a, true, cheap);
    /* The page that only a had is now to be had, though promised pages could need it. */
    assert_int_equal(begin(&w, &c, "", &s, 64), 0);
    compute(&w, &b, &s, 64);
    compute(&w, &c, &s, 64);
    tree_end(w.tree, &b, true, cheap);
    tree_end(w.tree, &c, true, cheap);
    close_world(&w);
}

static void test_eviction_takes_leaves_first_and_the_oldest_of_equals(void **state) {
    (void)state;
    struct world w;
    open_world(&w, 6);
    struct script a = {.n = 0}, b = {.n = 0}, c = {.n = 0};
    say(&a, 100, 48);
    say(&b, 500, 48);
    say(&c, 900, 32);
    assert_int_equal(ask(&w, &a), 0);
    assert_int_equal(ask(&w, &b), 0);
    assert_int_equal(ask(&w, &c), 0); /* takes the last two pages of a */
    assert_int_equal(tree_counts(w.tree).evicted, 2);
    a.n = 17;
    assert_int_equal(ask(&w, &a), 16); /* takes the last page of b */
    assert_int_equal(tree_counts(w.tree).evicted, 3);
    b.n = 33;
    assert_int_equal(ask(&w, &b), 32);
    close_world(&w);
}

static void test_dropping_a_branch_leaves_its_trunk_and_siblings(void **state) {
    (void)state;
    struct world w;
    open_world(&w, 8);
    struct script a = {.n = 0}, b = {.n = 0}, c = {.n = 0};
    say(&a, 100, 32);
    b = a;
    say(&a, 200, 32);
    say(&b, 300, 32);
    say(&c, 900, 64);
    assert_int_equal(ask(&w, &a), 0);
    assert_int_equal(ask(&w, &b), 32);
    struct tree_path keeper = {0};
    assert_int_equal(begin(&w, &keeper, "", &b, 64), 0); /* 3 pages in full, 15 positions copied */
    assert_int_equal(keeper.sequence.positions, 63);
    c.n = 48;
    assert_int_equal(ask(&w, &c), 0); /* needs a's branch */
    assert_int_equal(tree_counts(w.tree).evicted, 2);
    check_stored(&w, &keeper, &b);
    tree_end(w.tree, &keeper, true, cheap);
    struct tree_path p = {0};
    assert_int_equal(begin(&w, &p, "", &a, 64), 0);
    assert_int_equal(p.sequence.positions, 32);
    check_stored(&w, &p, &a);
    tree_end(w.tree, &p, true, cheap);
    close_world(&w);
}

static void test_pages_on_a_path_are_never_evicted(void **state) {
    (void)state;
    struct world w;
    open_world(&w, 8);
    struct script held = {.n = 0};
    say(&held, 100, 60);
    struct tree_path p = {0};
    assert_int_equal(begin(&w, &p, "", &held, 60), 0);
    compute(&w, &p, &held, 60);
    for (int32_t i = 0; i < 50; i++) {
        struct script s = {.n = 0};
        say(&s, 1000 + 100 * i, 64);
        assert_int_equal(ask(&w, &s), 0);
        check_stored(&w, &p, &held);
    }
    tree_end(w.tree, &p, true, cheap);
    assert_int_equal(ask(&w, &held), 59);
    close_world(&w);
}

static void test_a_prompt_asked_often_stays_while_others_pass(void **state) {
    (void)state;
    struct world w;
    open_world(&w, 20);
    struct script trunk = {.n = 0};
    say(&trunk, 1, 40);
    int missed = 0;
    for (int i = 0; i < 200; i++) {
        struct script s = trunk;
        show(&s, (uint64_t)i + 1, 64);
        missed += ask(&w, &s) != 40;
    }
    assert_int_equal(missed, 1); /* the first */
    close_world(&w);
}

/* What is found of two dear pages after `others` requests of three cheap pages each. */
static uint32_t found_after(uint32_t others) {
    static const struct tree_cost cost = {.position_us = 1, .picture_position_us = 9};
    struct world w;
    open_world(&w, 8);
    struct script dear = {.n = 0};
    show(&dear, 5, 32);
    assert_int_equal(ask_as(&w, "", &dear, cost), 0);
    for (uint32_t i = 0; i < others; i++) {
        struct script s = {.n = 0};
        say(&s, 1000 + 100 * (int32_t)i, 48);
        assert_int_equal(ask_as(&w, "", &s, cost), 0);
    }
    uint32_t found = ask_as(&w, "", &dear, cost);
    close_world(&w);
    return found;
}

static void test_what_costs_more_stays_longer_but_not_for_ever(void **state) {
    (void)state;
    assert_int_equal(found_after(12), 31); /* by age alone it would be gone */
    assert_int_equal(found_after(60), 0);
}

static void test_one_page_left_is_given_up_by_the_prompt_that_wants_part_of_it(void **state) {
    (void)state;
    struct world w;
    open_world(&w, 1);
    struct script a = {.n = 0}, b = {.n = 0};
    say(&a, 1, 16);
    say(&b, 1, 8);
    say(&b, 50, 8);
    assert_int_equal(ask(&w, &a), 0);
    assert_int_equal(ask(&w, &b), 0); /* no page to copy to: computed again */
    assert_int_equal(ask(&w, &b), 0);
    assert_int_equal(tree_counts(w.tree).evicted, 2);
    close_world(&w);
}

/* ---- tags ---- */

static void test_a_tag_is_told_when_its_node_goes(void **state) {
    (void)state;
    struct world w;
    open_world(&w, 4);
    struct script a = {.n = 0}, b = {.n = 0};
    say(&a, 100, 40);
    say(&b, 900, 40);
    struct tree_path p = {0};
    assert_int_equal(begin(&w, &p, "", &a, 40), 0);
    compute(&w, &p, &a, 40);
    tree_set_tag(w.tree, p.sequence.pages[0], 11);
    tree_set_tag(w.tree, p.sequence.pages[2], 13);
    assert_int_equal(tree_tag(w.tree, p.sequence.pages[2]), 13);
    assert_int_equal(tree_tag(w.tree, p.sequence.pages[1]), 0);
    tree_end(w.tree, &p, true, cheap);
    assert_int_equal(ask(&w, &b), 0);
    assert_int_equal(w.n_dropped, 1);
    assert_int_equal(w.dropped[0], 13);
    say(&b, 2000, 24);
    assert_int_equal(ask(&w, &b), 40);
    assert_int_equal(w.n_dropped, 2);
    assert_int_equal(w.dropped[1], 11);
    close_world(&w);
}

static void test_a_tag_moves_along_when_pages_become_one(void **state) {
    (void)state;
    struct world w;
    open_world(&w, 8);
    struct script s = {.n = 0};
    say(&s, 100, 20);
    struct tree_path a = {0}, b = {0};
    assert_int_equal(begin(&w, &a, "", &s, 20), 0);
    assert_int_equal(begin(&w, &b, "", &s, 20), 0);
    compute(&w, &a, &s, 20);
    compute(&w, &b, &s, 20);
    tree_set_tag(w.tree, b.sequence.pages[1], 21);
    tree_end(w.tree, &a, true, cheap);
    tree_settle(w.tree, &b);
    assert_int_equal(tree_tag(w.tree, b.sequence.pages[1]), 21);
    assert_int_equal(nodes(&w), 2);
    tree_end(w.tree, &b, true, cheap);
    assert_int_equal(w.n_dropped, 0);
    close_world(&w);
}

/* Two turns that go on differently from one answer, which is then asked for again. */
static void test_a_settled_path_ends_where_it_is(void **state) {
    (void)state;
    struct world w;
    open_world(&w, 16);
    struct script answer = {.n = 0}, one, other;
    say(&answer, 100, 20);
    one = other = answer;
    say(&one, 500, 30);
    say(&other, 700, 30);
    (void)ask(&w, &one);
    (void)ask(&w, &other);
    uint32_t kept = nodes(&w);

    struct tree_path p = {0};
    answer.n = 18;
    assert_int_equal(begin(&w, &p, "", &answer, 20), 0);
    answer.n = 20;
    compute(&w, &p, &answer, 20);
    tree_settle(w.tree, &p);
    tree_end(w.tree, &p, true, cheap);
    assert_int_equal(nodes(&w), kept);
    assert_int_equal(ask(&w, &one), 49);
    assert_int_equal(ask(&w, &other), 49);
    close_world(&w);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_repeated_prompt_is_found_but_for_its_last_position),
        cmocka_unit_test(test_a_prompt_of_one_position_finds_nothing),
        cmocka_unit_test(test_every_length_in_common_is_found_to_the_position),
        cmocka_unit_test(test_a_longer_prompt_goes_on_in_the_page_where_a_finished_one_ended),
        cmocka_unit_test(test_units_are_compared_in_full),
        cmocka_unit_test(test_another_picture_of_equal_size_matches_up_to_its_beginning),
        cmocka_unit_test(test_tenants_never_meet),
        cmocka_unit_test(test_more_tenants_than_pages_come_and_go),
        cmocka_unit_test(test_what_another_task_is_computing_is_found_at_once),
        cmocka_unit_test(test_equal_pages_computed_at_the_same_time_become_one),
        cmocka_unit_test(test_a_cancelled_task_leaves_complete_pages_and_no_half_one),
        cmocka_unit_test(test_a_cancelled_task_puts_back_the_half_page_it_went_on_in),
        cmocka_unit_test(test_a_path_that_was_never_used_changes_nothing),
        cmocka_unit_test(test_pages_are_promised_and_taken_when_needed),
        cmocka_unit_test(test_shared_pages_in_use_need_no_room),
        cmocka_unit_test(test_eviction_takes_leaves_first_and_the_oldest_of_equals),
        cmocka_unit_test(test_dropping_a_branch_leaves_its_trunk_and_siblings),
        cmocka_unit_test(test_pages_on_a_path_are_never_evicted),
        cmocka_unit_test(test_a_prompt_asked_often_stays_while_others_pass),
        cmocka_unit_test(test_what_costs_more_stays_longer_but_not_for_ever),
        cmocka_unit_test(test_one_page_left_is_given_up_by_the_prompt_that_wants_part_of_it),
        cmocka_unit_test(test_a_tag_is_told_when_its_node_goes),
        cmocka_unit_test(test_a_tag_moves_along_when_pages_become_one),
        cmocka_unit_test(test_a_settled_path_ends_where_it_is),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
