/* task_links_test.c - a request's links, from its bytes to the pages that hold them. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "tests/support/vocab.h"
#include "worker/task_links.h"

#define SEED 3
#define PAGES 24
#define PICTURE_ROWS 20

static const char system_text[] = "You answer in one word, and never in two.";
static const char question[] = "Which animal is on the left side of the picture?";

struct world {
    struct tokenizer *t;
    struct prompt_markers *m;
    struct pages *pages;
    struct tree *tree;
    struct tree_path path;
    struct holdings *h;
    struct holdings_news *news;
    struct request request;
    struct request_message messages[3];
    struct request_part parts[4];
    struct bytes picture;
    struct chain chain;
    struct job job;
    struct prompt prompt;
    struct unit *units; /* of the prompt, then of an answer */
    struct task_links links;
    struct error e;
};

static void chain_for(const struct request *r, const struct bytes *pictures, struct chain *out) {
    static const uint8_t fingerprint[16] = {1, 2, 3};
    struct chain_root root = {SEED, fingerprint, bytes_of("smolvlm"), r->tenant};
    struct error e;
    assert_int_equal(chain_make(out, &root, r, pictures, &e), 0);
}

/* A system's text, a picture with a question. */
static void make_request(struct world *w) {
    request_init(&w->request);
    w->parts[0] = (struct request_part){.kind = PART_TEXT, .text = bytes_of(system_text)};
    w->parts[1] = (struct request_part){.kind = PART_PICTURE};
    w->parts[2] = (struct request_part){.kind = PART_TEXT, .text = bytes_of(question)};
    w->messages[0] = (struct request_message){ROLE_SYSTEM, w->parts, 1};
    w->messages[1] = (struct request_message){ROLE_USER, w->parts + 1, 2};
    w->request.messages = w->messages;
    w->request.n_messages = 2;
    w->request.n_pictures = 1;
    w->request.tenant = bytes_of("anna");
    w->picture = bytes_of("not decoded here");
    chain_for(&w->request, &w->picture, &w->chain);
    w->job = (struct job){
        .request = &w->request, .pictures = &w->picture, .chain = &w->chain, .chain_seed = SEED};
}

static void make_prompt(struct world *w) {
    const struct chat_part system = {.text = w->parts[0].text};
    const struct chat_part user[] = {{.is_picture = true}, {.text = w->parts[2].text}};
    const struct chat_message m[] = {{CHAT_SYSTEM, &system, 1}, {CHAT_USER, user, 2}};
    struct picture_layout layout = {0, 0, PICTURE_ROWS};
    struct rendering r;
    assert_int_equal(template_render(TEMPLATE_SMOLVLM, m, 2, false, &r, &w->e), 0);
    assert_int_equal(prompt_build(&w->prompt, w->t, w->m, &r, &layout, 1, 1000, &w->e), 0);
    rendering_clear(&r);
    w->units = calloc(PAGES * PAGE_POSITIONS, sizeof *w->units);
    assert_non_null(w->units);
    for (size_t i = 0; i < PAGES * PAGE_POSITIONS; i++) {
        w->units[i].token = i < w->prompt.count ? w->prompt.units[i].token : (int32_t)i;
        w->units[i].row = i < w->prompt.count ? w->prompt.units[i].row : 0;
    }
}

static void open_world(struct world *w) {
    memset(w, 0, sizeof *w);
    struct pages_shape shape = {1, 1, 16, KV_F16};
    w->t = vocab_open_golden("smolvlm", "text.gguf");
    assert_int_equal(prompt_markers_open(&w->m, w->t, &w->e), 0);
    assert_int_equal(holdings_open(&w->h, 256, &w->e), 0);
    w->news = malloc(sizeof *w->news);
    assert_non_null(w->news);
    holdings_seed(w->h, SEED);
    assert_true(holdings_take(w->h, w->news)); /* the reset of the beginning */
    assert_int_equal(pages_open(&w->pages, shape, PAGES * pages_bytes_per_page(shape), &w->e), 0);
    assert_int_equal(tree_open(&w->tree, w->pages, 2, holdings_dropped, w->h, &w->e), 0);
    make_request(w);
    make_prompt(w);
    assert_int_equal(task_links_open(&w->links, w->h, &w->job, &w->prompt, w->t, 100000, &w->e), 0);
    assert_int_equal(tree_begin(w->tree, &w->path, w->request.tenant, w->units,
                                (uint32_t)w->prompt.count, (uint32_t)w->prompt.count + 200, &w->e),
                     0);
}

static void end_path(struct world *w) {
    struct tree_cost cost = {1, 0};
    tree_end(w->tree, &w->path, true, cost);
}

static void close_world(struct world *w) {
    task_links_close(&w->links);
    end_path(w);
    tree_close(w->tree);
    pages_close(w->pages);
    holdings_close(w->h);
    free(w->news);
    free(w->units);
    prompt_clear(&w->prompt);
    chain_clear(&w->chain);
    prompt_markers_close(w->m);
    tokenizer_close(w->t);
}

/* As if steps had computed positions up to `until`. */
static void compute(struct world *w, uint32_t until) {
    uint32_t from = w->path.known;
    tree_reserve(w->tree, &w->path, until);
    w->path.sequence.positions = until;
    tree_computed(w->tree, &w->path, w->units + from, until - from);
}

/* The news say that this link is held with so many positions. */
static void expect_held(const struct world *w, const struct link *link, uint32_t positions) {
    for (size_t i = 0; i < w->news->n_held; i++) {
        const uint8_t *at = w->news->held + i * LINK_HELD_BYTES;
        if (memcmp(at, link->bytes, LINK_BYTES) == 0) {
            assert_int_equal(at[16] | at[17] << 8, positions);
            return;
        }
    }
    fail_msg("a link is not among the %zu that are held", w->news->n_held);
}

static uint32_t end_at(const struct world *w, size_t i) {
    struct bytes ends = task_links_ends(&w->links);
    assert_true(4 * i + 4 <= ends.size);
    const uint8_t *at = ends.data + 4 * i;
    return (uint32_t)at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24;
}

static void test_segments_end_where_the_prompt_says(void **state) {
    (void)state;
    struct world w;
    open_world(&w);
    assert_int_equal(w.chain.count, 3);
    assert_int_equal(task_links_ends(&w.links).size, 12);
    uint32_t picture_end = end_at(&w, 1);
    assert_int_equal(w.prompt.units[picture_end - 2].row, PICTURE_ROWS - 1);
    assert_int_equal(w.prompt.units[picture_end - 1].token,
                     tokenizer_find(w.t, bytes_of("<fake_token_around_image>")));
    int32_t turn_end = tokenizer_find(w.t, bytes_of("<end_of_utterance>"));
    assert_int_equal(w.prompt.units[end_at(&w, 0)].token, turn_end);
    assert_int_equal(w.prompt.units[end_at(&w, 2)].token, turn_end);
    assert_true(end_at(&w, 2) < w.prompt.count);
    close_world(&w);
}

static void test_a_computed_prompt_is_held_until_its_pages_go(void **state) {
    (void)state;
    struct world w;
    open_world(&w);
    compute(&w, (uint32_t)w.prompt.count);
    task_links_prompt(&w.links, w.tree, &w.path);
    assert_true(holdings_take(w.h, w.news));
    assert_int_equal(w.news->n_held, 3);
    for (size_t i = 0; i < 3; i++)
        expect_held(&w, &w.chain.segments[i].link, end_at(&w, i));
    end_path(&w);
    assert_false(holdings_take(w.h, w.news));

    struct unit other[PAGES * PAGE_POSITIONS] = {{0}}; /* a prompt that needs all pages */
    struct tree_path path = {0};
    assert_int_equal(tree_begin(w.tree, &path, w.request.tenant, other, PAGES * PAGE_POSITIONS,
                                PAGES * PAGE_POSITIONS, &w.e),
                     0);
    tree_reserve(w.tree, &path, PAGES * PAGE_POSITIONS);
    assert_true(holdings_take(w.h, w.news));
    assert_int_equal(w.news->n_held, 0);
    assert_int_equal(w.news->n_dropped, 3);
    struct tree_cost cost = {1, 0};
    tree_end(w.tree, &path, false, cost);
    close_world(&w);
}

static void test_an_answer_is_the_next_turns_link(void **state) {
    (void)state;
    struct world w;
    open_world(&w);
    uint32_t count = (uint32_t)w.prompt.count;
    compute(&w, count);
    task_links_prompt(&w.links, w.tree, &w.path);
    task_links_text(&w.links, bytes_of("A "), count);
    compute(&w, count + 2);
    task_links_text(&w.links, bytes_of("cat."), count + 2);
    task_links_answer(&w.links, count + 2, w.tree, &w.path);
    assert_true(holdings_take(w.h, w.news));
    assert_int_equal(w.news->n_held, 4);

    struct chain next;
    w.parts[3] = (struct request_part){.kind = PART_TEXT, .text = bytes_of("A cat.")};
    w.messages[2] = (struct request_message){ROLE_ASSISTANT, w.parts + 3, 1};
    w.request.n_messages = 3;
    chain_for(&w.request, &w.picture, &next);
    assert_int_equal(next.count, 4);
    expect_held(&w, &next.segments[3].link, count + 2);
    chain_clear(&next);
    w.request.n_messages = 2;
    close_world(&w);
}

static void test_of_a_long_answer_whole_segments_are_held(void **state) {
    (void)state;
    struct world w;
    open_world(&w);
    uint32_t count = (uint32_t)w.prompt.count;
    enum { PIECE = 1000, STEP = 10 };
    static uint8_t text[TASK_LINKS_ANSWER_BYTES + 2 * PIECE];
    memset(text, 'x', sizeof text);
    compute(&w, count);
    uint32_t computed = count;
    size_t told = 0;
    for (; told + PIECE <= sizeof text; told += PIECE) {
        if (told % (4 * PIECE) == 0)
            compute(&w, computed += STEP);
        task_links_text(&w.links, (struct bytes){text + told, PIECE}, computed);
    }
    task_links_answer(&w.links, computed, w.tree, &w.path);
    assert_true(holdings_take(w.h, w.news));
    struct link links[TASK_LINKS_PIECES + 1];
    size_t n = chain_answer(SEED, &w.chain.segments[2].link, (struct bytes){text, told}, links,
                            TASK_LINKS_PIECES + 1);
    assert_true(n > TASK_LINKS_PIECES);
    assert_int_equal(w.news->n_held, TASK_LINKS_PIECES);
    for (uint32_t i = 0; i < TASK_LINKS_PIECES; i++) /* told with the piece after the fourth */
        expect_held(&w, &links[i], count + STEP * (i + 2));
    close_world(&w);
}

static void test_embeddings_are_held_under_a_link_of_their_own(void **state) {
    (void)state;
    struct world w;
    open_world(&w);
    uint32_t tag = 0;
    task_links_picture(&w.links, 0, &tag);
    assert_int_not_equal(tag, 0);
    task_links_picture(&w.links, 1, &tag); /* there is none */
    assert_true(holdings_take(w.h, w.news));
    assert_int_equal(w.news->n_held, 1);
    expect_held(&w, &w.chain.segments[1].picture, 0);
    holdings_dropped(w.h, tag);
    assert_true(holdings_take(w.h, w.news));
    assert_int_equal(w.news->n_dropped, 1);
    close_world(&w);
}

static void test_a_job_without_a_chain_has_no_links(void **state) {
    (void)state;
    struct world w;
    struct task_links none;
    open_world(&w);
    compute(&w, (uint32_t)w.prompt.count);
    w.job.chain = NULL;
    assert_int_equal(task_links_open(&none, w.h, &w.job, &w.prompt, w.t, 10, &w.e), 0);
    assert_int_equal(task_links_ends(&none).size, 0);
    uint32_t tag = 0;
    task_links_picture(&none, 0, &tag);
    task_links_prompt(&none, w.tree, &w.path);
    task_links_text(&none, bytes_of("A cat."), 5);
    task_links_answer(&none, 5, w.tree, &w.path);
    task_links_close(&none);
    assert_false(holdings_take(w.h, w.news));
    close_world(&w);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_segments_end_where_the_prompt_says),
        cmocka_unit_test(test_a_computed_prompt_is_held_until_its_pages_go),
        cmocka_unit_test(test_an_answer_is_the_next_turns_link),
        cmocka_unit_test(test_of_a_long_answer_whole_segments_are_held),
        cmocka_unit_test(test_embeddings_are_held_under_a_link_of_their_own),
        cmocka_unit_test(test_a_job_without_a_chain_has_no_links),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
