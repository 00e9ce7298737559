/* segments_test.c - where a request is cut, what a link depends on, and what a chain costs.
 *
 * The bytes of the links are judged by segments_golden_test.c. Allocations are counted, and made to
 * fail, by the linker's --wrap=malloc. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "proto/limits.h"
#include "proto/segments.h"

static size_t allocations;
static bool memory_is_out;
void *__real_malloc(size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_malloc(size_t size) {
    allocations++;
    return memory_is_out ? NULL : __real_malloc(size);
}

static uint8_t letters[3 * SEGMENT_TEXT_BYTES];
static const uint8_t fingerprint[16] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
static const struct bytes pictures[] = {{(const uint8_t *)"first picture", 13},
                                        {(const uint8_t *)"the second picture", 18}};
static const struct chain_root root = {.seed = 7,
                                       .fingerprint = fingerprint,
                                       .template_id = {(const uint8_t *)"smolvlm", 7},
                                       .tenant = {(const uint8_t *)"shop", 4}};

/* The period does not divide a cut, so that no two cuts are the same text. */
static int fill(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof letters; i++)
        letters[i] = (uint8_t)('a' + i % 23);
    return 0;
}

static struct request_part text_part(size_t size) {
    return (struct request_part){.kind = PART_TEXT, .text = {letters, size}};
}

static struct request_part picture_part(uint32_t picture) {
    return (struct request_part){.kind = PART_PICTURE, .picture = picture};
}

static struct chain chain_of_messages(struct request_message *messages, size_t n) {
    struct request r;
    struct chain chain;
    request_init(&r);
    r.messages = messages;
    r.n_messages = n;
    r.n_pictures = 2;
    assert_int_equal(chain_make(&chain, &root, &r, pictures, NULL), 0);
    return chain;
}

/* Of one message of the user. */
static struct chain chain_of(const struct request_part *parts, size_t n) {
    struct request_message message = {.role = ROLE_USER, .parts = parts, .n_parts = n};
    return chain_of_messages(&message, 1);
}

static void assert_place(const struct segment *s, uint32_t part, uint32_t offset, size_t bytes) {
    assert_int_equal(s->part, part);
    assert_int_equal(s->offset, offset);
    assert_int_equal(s->bytes, bytes);
}

static bool same_link(const struct link *a, const struct link *b) {
    return memcmp(a->bytes, b->bytes, LINK_BYTES) == 0;
}

/* ---- the cuts ---- */

static void test_a_cut_knows_the_part_and_byte_where_it_begins(void **state) {
    (void)state;
    const struct request_part parts[] = {
        text_part(0),    text_part(100),
        text_part(0),    text_part(SEGMENT_TEXT_BYTES),
        picture_part(1), text_part(SEGMENT_TEXT_BYTES),
        text_part(0),    text_part(1),
        picture_part(0), text_part(SEGMENT_TEXT_BYTES),
        text_part(0),
    };
    struct chain c = chain_of(parts, sizeof parts / sizeof parts[0]);
    assert_int_equal(c.count, 7);
    assert_place(&c.segments[0], 1, 0, SEGMENT_TEXT_BYTES);
    assert_place(&c.segments[1], 3, SEGMENT_TEXT_BYTES - 100, 100);
    assert_place(&c.segments[2], 4, 0, pictures[1].size);
    assert_place(&c.segments[3], 5, 0, SEGMENT_TEXT_BYTES);
    assert_place(&c.segments[4], 7, 0, 1);
    assert_place(&c.segments[5], 8, 0, pictures[0].size);
    assert_place(&c.segments[6], 9, 0, SEGMENT_TEXT_BYTES);
    for (size_t i = 0; i < c.count; i++) {
        assert_int_equal(c.segments[i].kind, i == 2 || i == 5 ? PART_PICTURE : PART_TEXT);
        assert_int_equal(c.segments[i].first, i == 0);
    }
    chain_clear(&c);
}

static void test_pictures_are_counted_as_they_are_shown(void **state) {
    (void)state;
    const struct request_part asked[] = {picture_part(1), text_part(5), picture_part(0)};
    const struct request_part again[] = {text_part(5), picture_part(1)};
    struct request_message messages[] = {{.role = ROLE_USER, .parts = asked, .n_parts = 3},
                                         {.role = ROLE_USER, .parts = again, .n_parts = 2}};
    struct chain c = chain_of_messages(messages, 2);
    assert_int_equal(c.count, 5);
    const struct segment *first = &c.segments[0], *second = &c.segments[2], *third = &c.segments[4];
    assert_int_equal(first->shown, 0);
    assert_int_equal(second->shown, 1);
    assert_int_equal(third->shown, 2);
    assert_int_equal(second->bytes, pictures[0].size);
    assert_int_equal(third->bytes, pictures[1].size);
    /* Shown twice, it has one set of embeddings, and yet two places in the chain. */
    assert_true(same_link(&first->picture, &third->picture));
    assert_false(same_link(&first->picture, &second->picture));
    assert_false(same_link(&first->link, &third->link));
    chain_clear(&c);
}

static void test_a_message_is_never_without_a_segment(void **state) {
    (void)state;
    const struct request_part empty[] = {text_part(0), text_part(0)};
    struct chain c = chain_of(empty, 2);
    assert_int_equal(c.count, 1);
    assert_int_equal(c.segments[0].kind, PART_TEXT);
    assert_int_equal(c.segments[0].role, ROLE_USER);
    assert_true(c.segments[0].first);
    assert_place(&c.segments[0], 0, 0, 0);
    chain_clear(&c);

    /* Beside a picture an empty text is nothing. */
    const struct request_part beside[] = {text_part(0), picture_part(0), text_part(0)};
    c = chain_of(beside, 3);
    assert_int_equal(c.count, 1);
    assert_int_equal(c.segments[0].kind, PART_PICTURE);
    assert_true(c.segments[0].first);
    assert_place(&c.segments[0], 1, 0, pictures[0].size);
    chain_clear(&c);
}

static void test_messages_are_numbered(void **state) {
    (void)state;
    const struct request_part rule = text_part(9), nothing = text_part(0);
    const struct request_part asked[] = {picture_part(0), text_part(SEGMENT_TEXT_BYTES + 1)};
    struct request_message messages[] = {{.role = ROLE_SYSTEM, .parts = &rule, .n_parts = 1},
                                         {.role = ROLE_USER, .parts = asked, .n_parts = 2},
                                         {.role = ROLE_ASSISTANT, .parts = &nothing, .n_parts = 1}};
    static const uint32_t message[] = {0, 1, 1, 1, 2};
    static const bool first[] = {true, true, false, false, true};
    struct chain c = chain_of_messages(messages, 3);
    assert_int_equal(c.count, 5);
    for (size_t i = 0; i < c.count; i++) {
        assert_int_equal(c.segments[i].message, message[i]);
        assert_int_equal(c.segments[i].role, messages[message[i]].role);
        assert_int_equal(c.segments[i].first, first[i]);
    }
    chain_clear(&c);
}

/* ---- the links ---- */

/* The chains have the same links before `changed`, and no more from there on. */
static void assert_parted(const struct chain *a, const struct chain *b, size_t changed) {
    assert_int_equal(a->count, b->count);
    for (size_t i = 0; i < a->count; i++)
        assert_int_equal(same_link(&a->segments[i].link, &b->segments[i].link), i < changed);
}

static void test_a_change_changes_its_link_and_all_after_it(void **state) {
    (void)state;
    const struct request_part parts[] = {text_part(10), picture_part(0), text_part(20),
                                         picture_part(1), text_part(30)};
    enum { N = sizeof parts / sizeof parts[0] };
    struct chain c = chain_of(parts, N), other = chain_of(parts, N);
    assert_parted(&c, &other, N);
    chain_clear(&other);
    for (size_t i = 0; i < N; i++) {
        struct request_part changed[N];
        memcpy(changed, parts, sizeof parts);
        if (parts[i].kind == PART_TEXT)
            changed[i].text.data++; /* as long, but of other letters */
        else
            changed[i].max_pixels = 4096;
        other = chain_of(changed, N);
        assert_parted(&c, &other, i);
        chain_clear(&other);
        if (parts[i].kind == PART_TEXT)
            continue;
        changed[i] = picture_part(1 - parts[i].picture);
        other = chain_of(changed, N);
        assert_parted(&c, &other, i);
        chain_clear(&other);
    }
    struct request_message said = {.role = ROLE_ASSISTANT, .parts = parts, .n_parts = N};
    other = chain_of_messages(&said, 1);
    assert_parted(&c, &other, 0);
    chain_clear(&other);
    chain_clear(&c);
}

static void test_a_part_without_detail_is_looked_at_closely(void **state) {
    (void)state;
    struct request_part unsaid = picture_part(0), high = unsaid, low = unsaid;
    high.detail = DETAIL_HIGH;
    low.detail = DETAIL_LOW;
    struct chain a = chain_of(&unsaid, 1), b = chain_of(&high, 1), c = chain_of(&low, 1);
    assert_parted(&a, &b, 1);
    assert_parted(&a, &c, 0);
    assert_true(same_link(&a.segments[0].picture, &b.segments[0].picture));
    assert_false(same_link(&a.segments[0].picture, &c.segments[0].picture));
    chain_clear(&a);
    chain_clear(&b);
    chain_clear(&c);
}

static void test_an_answer_fills_only_the_links_it_was_given(void **state) {
    (void)state;
    enum { LINKS = 3 };
    const struct request_part asked = text_part(5), said = text_part(2 * SEGMENT_TEXT_BYTES + 1);
    struct request_message messages[] = {{.role = ROLE_USER, .parts = &asked, .n_parts = 1},
                                         {.role = ROLE_ASSISTANT, .parts = &said, .n_parts = 1}};
    struct chain next = chain_of_messages(messages, 2);
    const struct link *last = &next.segments[0].link;
    struct link untouched;
    memset(&untouched, 0x5a, sizeof untouched);
    assert_int_equal(next.count, 1 + LINKS);
    for (size_t capacity = 0; capacity <= LINKS + 1; capacity++) {
        struct link links[LINKS + 1];
        memset(links, 0x5a, sizeof links);
        assert_int_equal(chain_answer(root.seed, last, said.text, links, capacity), LINKS);
        for (size_t i = 0; i < LINKS + 1; i++) {
            bool given = i < capacity && i < LINKS;
            assert_true(same_link(&links[i], given ? &next.segments[1 + i].link : &untouched));
        }
    }
    assert_int_equal(chain_answer(root.seed, last, said.text, NULL, 0), LINKS);
    assert_int_equal(chain_answer(root.seed, last, (struct bytes){NULL, 0}, NULL, 0), 1);
    assert_int_equal(
        chain_answer(root.seed, last, (struct bytes){letters, SEGMENT_TEXT_BYTES}, NULL, 0), 1);
    chain_clear(&next);
}

/* ---- memory ---- */

struct cuts {
    struct segment segments[16];
    size_t count;
};

static void keep_cut(void *arg, const struct segment *s) {
    struct cuts *cuts = arg;
    assert_true(cuts->count < 16);
    cuts->segments[cuts->count++] = *s;
}

static void test_cuts_without_links_are_those_of_the_chain(void **state) {
    (void)state;
    const struct request_part asked[] = {text_part(SEGMENT_TEXT_BYTES + 5), picture_part(1),
                                         text_part(0), picture_part(0), text_part(9)};
    const struct request_part rules = text_part(7);
    struct request_message messages[] = {{ROLE_SYSTEM, &rules, 1}, {ROLE_USER, asked, 5}};
    const size_t picture_bytes[] = {pictures[0].size, pictures[1].size};
    struct chain chain = chain_of_messages(messages, 2);
    struct cuts cuts = {.count = 0};
    struct request r;
    request_init(&r);
    r.messages = messages;
    r.n_messages = 2;
    r.n_pictures = 2;
    allocations = 0;
    segments_cut(&r, picture_bytes, keep_cut, &cuts);
    assert_int_equal(allocations, 0);
    assert_int_equal(cuts.count, 6);
    assert_int_equal(chain.count, 6);
    for (size_t i = 0; i < cuts.count; i++) {
        const struct segment *a = &cuts.segments[i], *b = &chain.segments[i];
        assert_true(a->kind == b->kind && a->role == b->role && a->first == b->first);
        assert_true(a->message == b->message && a->part == b->part && a->offset == b->offset);
        assert_true(a->shown == b->shown && a->bytes == b->bytes);
    }
    chain_clear(&chain);
}

static void test_a_chain_is_one_allocation(void **state) {
    (void)state;
    const struct request_part parts[] = {text_part(sizeof letters), picture_part(0),
                                         picture_part(1), text_part(1)};
    allocations = 0;
    struct chain c = chain_of(parts, 4);
    assert_int_equal(allocations, 1);
    assert_int_equal(c.count, 6);
    assert_ptr_equal(c.segments, c.block);
    chain_clear(&c);
    assert_null(c.segments);
    assert_int_equal(c.count, 0);
    chain_clear(&c);

    allocations = 0;
    c = chain_of_messages(NULL, 0);
    assert_int_equal(allocations, 0);
    assert_int_equal(c.count, 0);
    chain_clear(&c);
}

static void test_no_memory_is_said(void **state) {
    (void)state;
    const struct request_part part = text_part(sizeof letters);
    struct request_message message = {.role = ROLE_USER, .parts = &part, .n_parts = 1};
    struct request r;
    struct chain c;
    struct error e = {0};
    request_init(&r);
    r.messages = &message;
    r.n_messages = 1;
    memory_is_out = true;
    int said = chain_make(&c, &root, &r, pictures, &e);
    int said_to_nobody = chain_make(&c, &root, &r, pictures, NULL);
    memory_is_out = false; /* before an assertion can leave the test */
    assert_int_equal(said, ERR_NOMEM);
    assert_int_equal(said_to_nobody, ERR_NOMEM);
    assert_int_equal(e.code, ERR_NOMEM);
    assert_non_null(strstr(e.text, "memory ran out"));
    assert_int_equal(c.count, 0);
    assert_null(c.segments);
    assert_null(c.block);
    chain_clear(&c);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_cut_knows_the_part_and_byte_where_it_begins),
        cmocka_unit_test(test_pictures_are_counted_as_they_are_shown),
        cmocka_unit_test(test_a_message_is_never_without_a_segment),
        cmocka_unit_test(test_messages_are_numbered),
        cmocka_unit_test(test_a_change_changes_its_link_and_all_after_it),
        cmocka_unit_test(test_a_part_without_detail_is_looked_at_closely),
        cmocka_unit_test(test_an_answer_fills_only_the_links_it_was_given),
        cmocka_unit_test(test_cuts_without_links_are_those_of_the_chain),
        cmocka_unit_test(test_a_chain_is_one_allocation),
        cmocka_unit_test(test_no_memory_is_said),
    };
    return cmocka_run_group_tests(tests, fill, NULL);
}
