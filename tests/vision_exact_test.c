/* vision_exact_test.c - an embedding has the same bits however its tile comes through the tower. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "tests/support/random_weight.h"
#include "tests/support/tower.h"
#include "worker/engine/vision_inside.h"

/* Rows that no block divides, heads of 24 values, panels that end anywhere; and a wider one. */
static const struct tower_shape odd = {QUANT_F16, 121, 11, 72, 200, 3, 2, 1, 40};
static const struct tower_shape wide = {QUANT_Q8_0, 96, 8, 128, 288, 4, 2, 2, 64};

struct run {
    struct team *team;
    struct vision *vision;
};

static struct run open_run(const struct tower *t, enum quant_isa isa, int threads) {
    struct run r;
    struct error e = {0};
    assert_int_equal(team_open(&r.team, threads, &e), 0);
    if (vision_open_for(&r.vision, isa, &t->model, r.team, &e))
        fail_msg("%s", e.text);
    return r;
}

static void close_run(struct run *r) {
    vision_close(r->vision);
    team_close(r->team);
}

static float *new_floats(size_t n) {
    float *p = calloc(n, sizeof *p);
    assert_non_null(p);
    return p;
}

/* Pixels of tile number `tile`: [3][S][S]. */
static float *new_pixels(const struct tower *t, uint64_t tile) {
    size_t n = 3 * (size_t)t->model.image_size * (size_t)t->model.image_size;
    struct random_source r = {tile + 1};
    float *p = new_floats(n);
    random_floats(&r, p, n);
    return p;
}

static void add(const struct run *r, const struct tower *t, uint64_t tile) {
    float *pixels = new_pixels(t, tile);
    vision_add(r->vision, pixels);
    free(pixels); /* not needed afterwards */
}

/* Embeddings of tile number `tile`, alone, on one thread, in one go. */
static float *encode_plainly(const struct tower *t, enum quant_isa isa, uint64_t tile) {
    struct run r = open_run(t, isa, 1);
    float *pixels = new_pixels(t, tile), *out = new_floats(tower_out_floats(t));
    vision_encode(r.vision, pixels, out);
    free(pixels);
    close_run(&r);
    return out;
}

static void expect(const struct tower *t, const float *got, uint64_t tile) {
    float *want = encode_plainly(t, quant_isa_chosen(), tile);
    assert_memory_equal(got, want, tower_out_floats(t) * sizeof *got);
    free(want);
}

static void each_shape(void (*f)(const struct tower *t)) {
    const struct tower_shape shapes[] = {odd, wide};
    for (size_t i = 0; i < 2; i++) {
        struct tower t;
        tower_open(&t, shapes[i]);
        f(&t);
        tower_close(&t);
    }
}

static void check_threads(const struct tower *t) {
    static const int threads[] = {1, 2, 3, 4, 7, 16};
    for (size_t i = 0; i < sizeof threads / sizeof threads[0]; i++) {
        struct run r = open_run(t, quant_isa_chosen(), threads[i]);
        float *pixels = new_pixels(t, 5), *out = new_floats(tower_out_floats(t));
        vision_encode(r.vision, pixels, out);
        expect(t, out, 5);
        free(pixels);
        free(out);
        close_run(&r);
    }
}

static void test_any_number_of_threads_gives_the_same_bits(void **state) {
    (void)state;
    each_shape(check_threads);
}

static void check_together(const struct tower *t) {
    struct run r = open_run(t, quant_isa_chosen(), VISION_TILES_MAX * VISION_MEMBERS_PER_TILE);
    assert_int_equal(vision_tiles(r.vision), VISION_TILES_MAX);
    float *out = new_floats(VISION_TILES_MAX * tower_out_floats(t));
    for (uint64_t n = 1; n <= VISION_TILES_MAX; n++) {
        vision_begin(r.vision);
        for (uint64_t tile = 0; tile < n; tile++)
            add(&r, t, 10 * n + tile);
        assert_true(vision_advance(r.vision, out, 0));
        for (uint64_t tile = 0; tile < n; tile++)
            expect(t, out + tile * tower_out_floats(t), 10 * n + tile);
    }
    free(out);
    close_run(&r);
}

static void test_tiles_together_have_the_bits_of_each_alone(void **state) {
    (void)state;
    each_shape(check_together);
}

/* Pieces of a microsecond: one part of a step for every member, or what is left of it. */
static void check_pieces(const struct tower *t) {
    struct run r = open_run(t, quant_isa_chosen(), 2);
    float *out = new_floats(tower_out_floats(t));
    for (uint64_t tile = 20; tile < 22; tile++) {
        vision_begin(r.vision);
        add(&r, t, tile);
        int pieces = 1;
        while (!vision_advance(r.vision, out, 1))
            pieces++;
        assert_true(pieces > 2 * 7); /* two layers of seven steps */
        expect(t, out, tile);
    }
    free(out);
    close_run(&r);
}

static void test_pieces_give_the_bits_of_one_go(void **state) {
    (void)state;
    each_shape(check_pieces);
}

static void check_forgotten(const struct tower *t) {
    struct run r = open_run(t, quant_isa_chosen(), 2);
    float *out = new_floats(tower_out_floats(t));
    for (int pieces = 0; pieces < 8; pieces++) {
        vision_begin(r.vision);
        add(&r, t, 30);
        for (int i = 0; i < pieces; i++)
            (void)vision_advance(r.vision, out, 1);
        vision_begin(r.vision);
        add(&r, t, 31);
        assert_true(vision_advance(r.vision, out, 0));
        expect(t, out, 31);
    }
    free(out);
    close_run(&r);
}

static void test_what_was_given_up_leaves_nothing(void **state) {
    (void)state;
    each_shape(check_forgotten);
}

/* The portable set too: what it has no instruction for, it rounds as that would (vec16_plain.h). */
static void check_sets(const struct tower *t) {
    float *best = encode_plainly(t, quant_isa_chosen(), 40);
    size_t n = tower_out_floats(t);
    for (int isa = QUANT_ISA_PORTABLE; isa < (int)quant_isa_chosen(); isa++) {
        if (!quant_isa_available((enum quant_isa)isa))
            continue;
        float *other = encode_plainly(t, (enum quant_isa)isa, 40);
        assert_memory_equal(best, other, n * sizeof *best);
        free(other);
    }
    free(best);
}

static void test_all_sets_of_instructions_give_the_same_bits(void **state) {
    (void)state;
    each_shape(check_sets);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_any_number_of_threads_gives_the_same_bits),
        cmocka_unit_test(test_tiles_together_have_the_bits_of_each_alone),
        cmocka_unit_test(test_pieces_give_the_bits_of_one_go),
        cmocka_unit_test(test_what_was_given_up_leaves_nothing),
        cmocka_unit_test(test_all_sets_of_instructions_give_the_same_bits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
