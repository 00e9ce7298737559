/* gguf_mutation_test.c - damaged model files: refused or understood, never more. Deterministic: the
 * same bytes are damaged in the same way in each run. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "tests/fuzz_gguf.h"
#include "tests/support/smolvlm_shape.h"

#ifdef QUIRE_SANITIZED
#define STRIDE                                                                                     \
    5 /* with sanitizers each trial costs ten times as much; every fifth place is tried */
#else
#define STRIDE 1
#endif
#define RANDOM_ROUNDS 4000

struct image {
    uint8_t *data;
    size_t bytes, header; /* header: where the data section starts */
    size_t needed;        /* what is behind here is padding */
};

static struct image images[2]; /* a text model and a vision tower */

static struct image make_image(bool vision) {
    const struct smolvlm_shape *s = smolvlm_shape("micro");
    struct gguf_writer w;
    struct image i;
    gguf_writer_open(&w);
    (vision ? smolvlm_put_mmproj : smolvlm_put_text)(&w, s, QUANT_Q8_0);
    i.data = gguf_writer_image(&w, &i.bytes, &i.header);
    smolvlm_fill(&w, s, 1, i.data + i.header);
    const struct gguf_writer_tensor *last = &w.tensors[w.tensor_count - 1];
    i.needed = i.header + (size_t)last->offset + last->bytes;
    gguf_writer_close(&w);
    return i;
}

static int make(void **state) {
    (void)state;
    images[0] = make_image(false);
    images[1] = make_image(true);
    return 0;
}

static int clear(void **state) {
    (void)state;
    free(images[0].data);
    free(images[1].data);
    return 0;
}

static void test_the_whole_files_are_taken(void **state) {
    (void)state;
    struct gguf_trial t = try_gguf(images[0].data, images[0].bytes);
    assert_int_equal(t.opened, 0);
    assert_int_equal(t.text, 0);
    t = try_gguf(images[1].data, images[1].bytes);
    assert_int_equal(t.opened, 0);
    assert_int_equal(t.vision, 0);
}

static void test_a_file_cut_anywhere_is_refused(void **state) {
    (void)state;
    for (int k = 0; k < 2; k++) {
        for (size_t n = 0; n < images[k].header; n += STRIDE)
            assert_int_not_equal(try_gguf(images[k].data, n).opened, 0);
        for (size_t n = images[k].header; n < images[k].needed; n += 501)
            assert_int_not_equal(try_gguf(images[k].data, n).opened, 0);
        assert_int_not_equal(try_gguf(images[k].data, images[k].needed - 1).opened, 0);
    }
}

static void test_no_flipped_bit_does_harm(void **state) {
    (void)state;
    for (int k = 0; k < 2; k++)
        for (size_t bit = 0; bit < images[k].header * 8; bit += STRIDE) {
            images[k].data[bit / 8] ^= (uint8_t)(1 << bit % 8);
            (void)try_gguf(images[k].data, images[k].bytes);
            images[k].data[bit / 8] ^= (uint8_t)(1 << bit % 8);
        }
}

/* Integers at the edges of their ranges, written over every place of the header. */
static void test_no_extreme_number_does_harm(void **state) {
    (void)state;
    static const uint64_t edges[] = {0,
                                     1,
                                     UINT64_MAX,
                                     INT64_MAX,
                                     (uint64_t)INT64_MAX + 1,
                                     (uint64_t)1 << 60,
                                     UINT32_MAX,
                                     (uint64_t)1 << 32,
                                     UINT64_MAX - 31};
    for (int k = 0; k < 2; k++)
        for (size_t at = 0; at + 8 <= images[k].header; at += STRIDE)
            for (size_t i = 0; i < sizeof edges / sizeof edges[0]; i++) {
                uint8_t kept[8];
                memcpy(kept, images[k].data + at, 8);
                memcpy(images[k].data + at, &edges[i], i % 2 == 0 ? 8 : 4);
                (void)try_gguf(images[k].data, images[k].bytes);
                memcpy(images[k].data + at, kept, 8);
            }
}

static uint64_t random_state;

static size_t draw(size_t below) {
    random_state = random_state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (size_t)(random_state >> 33) % below;
}

/* Bytes set, runs moved over others, a piece cut out: several of them at once. */
static size_t damage(uint8_t *data, size_t header, size_t bytes) {
    for (size_t changes = 1 + draw(4); changes > 0; changes--) {
        size_t at = draw(header - 64), run = 1 + draw(64), from = draw(header - 64);
        switch (draw(4)) {
        case 0:
            data[at] = (uint8_t)draw(256);
            break;
        case 1:
            memmove(data + at, data + from, run);
            break;
        case 2:
            memset(data + at, draw(2) ? 0xff : 0, run);
            break;
        default:
            memmove(data + at, data + at + run, bytes - at - run);
            bytes -= run;
            header -= run;
            if (header < 256)
                return bytes;
        }
    }
    return bytes;
}

static void test_random_damage_does_no_harm(void **state) {
    (void)state;
    for (int k = 0; k < 2; k++) {
        uint8_t *copy = malloc(images[k].bytes);
        assert_non_null(copy);
        for (size_t round = 0; round < RANDOM_ROUNDS; round++) {
            random_state = round + 1;
            memcpy(copy, images[k].data, images[k].bytes);
            size_t bytes = damage(copy, images[k].header, images[k].bytes);
            (void)try_gguf(copy, bytes);
        }
        free(copy);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_whole_files_are_taken),
        cmocka_unit_test(test_a_file_cut_anywhere_is_refused),
        cmocka_unit_test(test_no_flipped_bit_does_harm),
        cmocka_unit_test(test_no_extreme_number_does_harm),
        cmocka_unit_test(test_random_damage_does_no_harm),
    };
    return cmocka_run_group_tests(tests, make, clear);
}
