/* proto_mutation_test.c - damaged messages: refused or understood, never more. Deterministic: the
 * same bytes are damaged in the same way in each run. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "fuzz_proto.h"
#include "proto_samples.h"

#define RANDOM_ROUNDS 60000

static struct sample samples[SAMPLES_MAX];
static size_t n_samples;

static int make(void **state) {
    (void)state;
    n_samples = samples_make(samples);
    return 0;
}

static int clear(void **state) {
    (void)state;
    samples_clear(samples, n_samples);
    return 0;
}

/* A copy of exactly `size` bytes, so that the sanitizer sees the first read past them. */
static void feed(const uint8_t *data, size_t size) {
    uint8_t *copy = malloc(size > 0 ? size : 1);
    assert_non_null(copy);
    if (size > 0)
        memcpy(copy, data, size);
    (void)LLVMFuzzerTestOneInput(copy, size);
    free(copy);
}

/* Values that mean much in msgpack: heads of every kind and the edges of its ranges. */
static const uint8_t telling[] = {0x00, 0x7f, 0x80, 0x8f, 0x90, 0x9f, 0xa0, 0xbf, 0xc0,
                                  0xc1, 0xc2, 0xc4, 0xc6, 0xc9, 0xca, 0xcb, 0xcf, 0xd3,
                                  0xd8, 0xd9, 0xdb, 0xdc, 0xdd, 0xde, 0xdf, 0xe0, 0xff};

static void test_single_bytes_changed_never_do_harm(void **state) {
    (void)state;
    for (size_t i = 0; i < n_samples; i++) {
        struct wire_buffer *f = &samples[i].frame;
        for (size_t at = 0; at < f->size; at++) {
            uint8_t original = f->data[at];
            for (size_t k = 0; k < sizeof telling; k++) {
                f->data[at] = telling[k];
                feed(f->data, f->size);
            }
            for (int bit = 0; bit < 8; bit++) {
                f->data[at] = (uint8_t)(original ^ (1 << bit));
                feed(f->data, f->size);
            }
            f->data[at] = original;
        }
    }
}

static uint64_t random_state;

static uint32_t draw(size_t below) {
    random_state = random_state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (uint32_t)((random_state >> 33) % below);
}

/* Several changes at once: bytes set, runs moved, cut or repeated. */
static size_t damage(uint8_t *data, size_t size, size_t capacity) {
    for (uint32_t changes = 1 + draw(4); changes > 0 && size > 0; changes--) {
        size_t at = draw(size), run = 1 + draw(size - at);
        switch (draw(5)) {
        case 0:
            data[at] = (uint8_t)draw(256);
            break;
        case 1:
            data[at] = telling[draw(sizeof telling)];
            break;
        case 2:
            size = at;
            break;
        case 3:
            memmove(data + at, data + at + run, size - at - run);
            size -= run;
            break;
        default:
            if (size + run <= capacity) {
                memmove(data + at + run, data + at, size - at);
                size += run;
            }
            break;
        }
    }
    return size;
}

static void test_random_damage_never_does_harm(void **state) {
    (void)state;
    uint8_t data[4096];
    random_state = 20260101;
    for (int round = 0; round < RANDOM_ROUNDS; round++) {
        const struct sample *s = &samples[draw(n_samples)];
        assert_true(s->frame.size * 2 <= sizeof data);
        memcpy(data, s->frame.data, s->frame.size);
        feed(data, damage(data, s->frame.size, sizeof data));
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_single_bytes_changed_never_do_harm),
        cmocka_unit_test(test_random_damage_never_does_harm),
    };
    return cmocka_run_group_tests(tests, make, clear);
}
