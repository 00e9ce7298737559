/* image_mutation_test.c - damaged pictures: the same damage in every run, best run under asan. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "tests/fuzz_image.h"
#include "tests/support/file.h"
#include "tests/support/png_make.h"

#define ROUNDS 1500 /* per file */

static uint64_t next_random(uint64_t *s) {
    *s = *s * 6364136223846793005u + 1442695040888963407u;
    return *s >> 33;
}

/* A few bytes changed, or a run moved, or the end cut off. The size stays within n. */
static size_t damage(uint8_t *p, size_t n, uint64_t *s) {
    size_t changes = 1 + next_random(s) % 6;
    for (size_t i = 0; i < changes; i++) {
        size_t at = next_random(s) % n;
        switch (next_random(s) % 4) {
        case 0:
            p[at] ^= (uint8_t)(1u << next_random(s) % 8);
            break;
        case 1:
            p[at] = (uint8_t)next_random(s);
            break;
        case 2:
            p[at] = next_random(s) % 2 ? 0xff : 0;
            break;
        default: {
            size_t from = next_random(s) % n, run = next_random(s) % 16;
            size_t longest = n - (at > from ? at : from);
            memmove(p + at, p + from, run < longest ? run : longest);
        }
        }
    }
    return next_random(s) % 16 == 0 ? 1 + next_random(s) % n : n;
}

static void try_damaged(struct bytes file, uint64_t seed) {
    for (uint64_t round = 0; round < ROUNDS; round++) {
        uint64_t s = seed * 1000003 + round;
        uint8_t *copy = malloc(file.size);
        assert_non_null(copy);
        memcpy(copy, file.data, file.size);
        size_t n = damage(copy, file.size, &s);
        uint8_t *exact = malloc(n); /* so that a read past the end is seen */
        assert_non_null(exact);
        memcpy(exact, copy, n);
        LLVMFuzzerTestOneInput(exact, n);
        free(exact);
        free(copy);
    }
}

static void test_damaged_jpegs_harm_nothing(void **state) {
    (void)state;
    static const char *names[] = {"colour-444.jpg", "colour-420.jpg", "progressive.jpg", "grey.jpg",
                                  "cmyk.jpg"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        struct bytes file = file_read(QUIRE_GOLDEN_DIR "/formats", names[i]);
        try_damaged(file, i + 1);
        free((void *)(uintptr_t)file.data);
    }
}

static void test_damaged_compressed_pngs_harm_nothing(void **state) {
    (void)state;
    static const char *names[] = {"formats/original.png", "resize/lanczos-33x61.png"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        struct bytes file = file_read(QUIRE_GOLDEN_DIR, names[i]);
        try_damaged(file, i + 11);
        free((void *)(uintptr_t)file.data);
    }
}

static uint16_t pattern(uint32_t x, uint32_t y, int c) {
    return (uint16_t)((x * 3 + y * 5 + (uint32_t)c) & 1);
}

static void test_damaged_pngs_of_every_kind_harm_nothing(void **state) {
    (void)state;
    static const uint8_t kinds[][2] = {{1, 0}, {2, 3}, {4, 3}, {8, 3},  {8, 0},
                                       {8, 4}, {8, 2}, {8, 6}, {16, 2}, {16, 4}};
    static const uint8_t palette[6] = {255, 0, 0, 0, 0, 255}, clear[2] = {0, 9};
    for (size_t k = 0; k < sizeof kinds / sizeof kinds[0]; k++)
        for (int interlaced = 0; interlaced < 2; interlaced++) {
            struct png_spec spec = {11,      7, kinds[k][0], kinds[k][1], interlaced != 0, {0}, {0},
                                    pattern, 0};
            if (spec.colour == 3)
                spec.palette = (struct bytes){palette, 6};
            if (spec.colour == 3 || spec.colour == 0)
                spec.transparency = (struct bytes){clear, 2};
            struct bytes file = png_make(&spec);
            try_damaged(file, 100 + 2 * k + (size_t)interlaced);
            free((void *)(uintptr_t)file.data);
        }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_damaged_jpegs_harm_nothing),
        cmocka_unit_test(test_damaged_compressed_pngs_harm_nothing),
        cmocka_unit_test(test_damaged_pngs_of_every_kind_harm_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
