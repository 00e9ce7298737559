/* bench_chain.c - what the chain of segments costs a broker for one request. Prints; asserts
 * nothing.
 *
 * Pictures are measured twice: the same frames again and again, which a cache holds, and frames out
 * of a store that no cache holds, as they come from a socket at worst. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/must.h"
#include "proto/segments.h"

#define ROUNDS 401
#define PICTURES 4
#define PICTURE_BYTES (256u << 10)
#define STORE_BYTES (256u << 20)
#define TURNS 100
#define TURN_BYTES 600

static const uint8_t fingerprint[16] = {1};
static const struct chain_root root = {
    .seed = 42, .fingerprint = fingerprint, .template_id = {(const uint8_t *)"smolvlm", 7}};

static double now_us(void) {
    struct timespec t;
    MUST(clock_gettime(CLOCK_MONOTONIC, &t) == 0);
    return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

static int compare(const void *a, const void *b) {
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void measure(const char *what, const struct request *r, const uint8_t *store,
                    size_t store_bytes) {
    double us[ROUNDS];
    size_t at = 0, segments = 0;
    for (int i = 0; i < ROUNDS; i++) {
        struct bytes pictures[PICTURES];
        for (int k = 0; k < PICTURES; k++, at = (at + PICTURE_BYTES) % store_bytes)
            pictures[k] = (struct bytes){store + at, PICTURE_BYTES};
        struct chain chain;
        double start = now_us();
        MUST(chain_make(&chain, &root, r, pictures, NULL) == 0);
        us[i] = now_us() - start;
        segments = chain.count;
        chain_clear(&chain);
    }
    qsort(us, ROUNDS, sizeof us[0], compare);
    printf("%-46s %4zu segments  median %7.1f us  p90 %7.1f us\n", what, segments, us[ROUNDS / 2],
           us[ROUNDS * 9 / 10]);
}

static void measure_pictures(const uint8_t *store) {
    struct request_part parts[PICTURES + 1];
    for (uint32_t i = 0; i < PICTURES; i++)
        parts[i] = (struct request_part){.kind = PART_PICTURE, .picture = i};
    parts[PICTURES] = (struct request_part){.kind = PART_TEXT, .text = {store, 100}};
    struct request_message message = {ROLE_USER, parts, PICTURES + 1};
    struct request r;
    request_init(&r);
    r.messages = &message;
    r.n_messages = 1;
    r.n_pictures = PICTURES;
    measure("4 pictures of 256 KiB, in cache", &r, store, PICTURES * PICTURE_BYTES);
    measure("4 pictures of 256 KiB, from memory", &r, store, STORE_BYTES);
}

static void measure_turns(const uint8_t *store) {
    struct request_part parts[TURNS];
    struct request_message messages[TURNS];
    struct request r;
    for (size_t i = 0; i < TURNS; i++) {
        parts[i] =
            (struct request_part){.kind = PART_TEXT, .text = {store + i * TURN_BYTES, TURN_BYTES}};
        messages[i] = (struct request_message){i % 2 ? ROLE_ASSISTANT : ROLE_USER, &parts[i], 1};
    }
    request_init(&r);
    r.messages = messages;
    r.n_messages = TURNS;
    measure("100 turns of 600 bytes of text", &r, store, STORE_BYTES);
}

int main(void) {
    uint8_t *store = malloc(STORE_BYTES);
    MUST(store != NULL);
    uint64_t x = 1;
    for (size_t i = 0; i < STORE_BYTES; i += sizeof x) {
        x = x * UINT64_C(6364136223846793005) + 1442695040888963407;
        memcpy(store + i, &x, sizeof x);
    }
    measure_pictures(store);
    measure_turns(store);
    free(store);
    return 0;
}
