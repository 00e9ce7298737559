/* pack_test.c - what a pack holds, and that a plan's digest tells packs apart. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "tests/support/packable.h"
#include "tests/support/random_weight.h"
#include "worker/engine/pack.h"

static struct packable model;

static int open_model(void **state) {
    (void)state;
    packable_open(&model, 1);
    return 0;
}

static int close_model(void **state) {
    (void)state;
    packable_close(&model);
    return 0;
}

static void test_every_weight_becomes_its_tiles_with_any_team(void **state) {
    (void)state;
    for (int n = 1; n <= 4; n++) {
        struct team *team;
        struct pack *pack;
        assert_int_equal(team_open(&team, n, NULL), 0);
        assert_int_equal(pack_open(&pack, &model.model, team, NULL, NULL), 0);
        assert_int_equal(pack_origin(pack), PACK_PRIVATE);
        assert_true(packable_is_packed(&model));
        pack_close(pack);
        team_close(team);
    }
}

static void test_a_pack_is_as_large_as_was_measured(void **state) {
    (void)state;
    size_t bytes, source, tiles = 0, rows = 0;
    assert_int_equal(pack_measure(&model.model, &bytes, &source, NULL), 0);
    for (int i = 0; i < PACKABLE_WEIGHTS; i++) {
        tiles += pack_weight_bytes(model.weights[i]);
        rows += model.weights[i]->row_bytes * (size_t)model.weights[i]->n_out;
    }
    assert_int_equal(bytes, tiles);
    assert_int_equal(source, rows);
}

static void test_a_tied_output_is_packed_and_stays_in_its_file(void **state) {
    (void)state;
    size_t bytes, source, tied;
    assert_int_equal(pack_measure(&model.model, &bytes, &source, NULL), 0);
    model.model.token_embd = model.model.output;
    assert_int_equal(pack_measure(&model.model, &bytes, &tied, NULL), 0);
    model.model.token_embd = (struct weight){0};
    assert_int_equal(source - tied,
                     model.model.output.row_bytes * (size_t)model.model.output.n_out);
}

static void test_any_piece_of_a_pack_can_be_filled_alone(void **state) {
    (void)state;
    struct pack_plan plan;
    struct random_source r = {3};
    assert_int_equal(pack_plan_open(&plan, &model.model, NULL), 0);
    size_t bytes = (plan.bytes + TILE_ALIGN - 1) / TILE_ALIGN * TILE_ALIGN;
    uint8_t *whole = aligned_alloc(TILE_ALIGN, bytes), *piece = aligned_alloc(TILE_ALIGN, bytes);
    uint8_t *scratch = aligned_alloc(TILE_ALIGN, plan.tile_bytes);
    pack_plan_fill(&plan, 0, plan.bytes, whole, scratch);
    for (int i = 0; i < 200; i++) {
        size_t from = random_bits(&r) % plan.bytes / TILE_ALIGN * TILE_ALIGN;
        size_t n = 1 + random_bits(&r) % (i % 2 ? 500 : plan.bytes);
        n = n < plan.bytes - from ? n : plan.bytes - from;
        memset(piece, 0xee, bytes);
        pack_plan_fill(&plan, from, from + n, piece, scratch);
        assert_memory_equal(piece, whole + from, n);
        assert_true(n == bytes || piece[n] == 0xee);
    }
    pack_plan_close(&plan);
    free(whole);
    free(piece);
    free(scratch);
}

static uint64_t digest(void) {
    struct pack_plan plan;
    assert_int_equal(pack_plan_open(&plan, &model.model, NULL), 0);
    uint64_t d = pack_plan_digest(&plan);
    pack_plan_close(&plan);
    return d;
}

static void test_the_digest_tells_types_and_shapes_apart(void **state) {
    (void)state;
    uint64_t before = digest();
    assert_true(digest() == before);
    struct weight *k = &model.layers[1].k, kept = *k;
    k->type = QUANT_IQ4_NL; /* as large as Q4_0 */
    assert_true(digest() != before);
    *k = kept;
    k->n_out--; /* as many tiles */
    assert_true(digest() != before);
    *k = kept;
    assert_true(digest() == before);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_weight_becomes_its_tiles_with_any_team),
        cmocka_unit_test(test_a_pack_is_as_large_as_was_measured),
        cmocka_unit_test(test_a_tied_output_is_packed_and_stays_in_its_file),
        cmocka_unit_test(test_any_piece_of_a_pack_can_be_filled_alone),
        cmocka_unit_test(test_the_digest_tells_types_and_shapes_apart),
    };
    return cmocka_run_group_tests(tests, open_model, close_model);
}
