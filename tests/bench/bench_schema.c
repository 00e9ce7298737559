/* bench_schema.c - what holding an answer to a JSON Schema costs for each token. Prints; asserts
 * nothing.
 *
 *     bench-schema MODEL.gguf (its vocabulary is all that is read) */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/must.h"
#include "worker/engine/gguf.h"
#include "worker/engine/token_mask.h"

#define ROUNDS 51
#define MAX_TOKENS 4000

static double now_us(void) {
    struct timespec t;
    MUST(clock_gettime(CLOCK_MONOTONIC, &t) == 0);
    return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

static int compare(const void *a, const void *b) {
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static const struct {
    const char *what, *schema, *text; /* text: of the answer so far */
} places[] = {
    {"begin", "{\"type\":\"object\",\"properties\":{\"name\":{\"type\":\"string\"}}}", ""},
    {"key", "{\"type\":\"object\",\"properties\":{\"name\":{\"type\":\"string\"}}}", "{\"n"},
    {"string", "{\"type\":\"string\"}", "\"Hello"},
    {"string, maxLength", "{\"type\":\"string\",\"maxLength\":40}", "\"Hello"},
    {"string, escape", "{\"type\":\"string\"}", "\"Hello\\"},
    {"number", "{\"type\":\"number\"}", "12"},
    {"number in bounds", "{\"type\":\"number\",\"minimum\":0,\"maximum\":100}", "1"},
    {"free value", "{}", "["},
    {"free key, first",
     "{\"type\":\"object\",\"properties\":{\"a\":{}},\"additionalProperties\":true}", "{\""},
    {"free key", "{\"type\":\"object\"}", "{\"na"},
    {"8 strings at once",
     "{\"anyOf\":[{\"type\":\"string\",\"maxLength\":40},{\"type\":\"string\",\"maxLength\":41},{"
     "\"type\":\"string\",\"maxLength\":42},{\"type\":\"string\",\"maxLength\":43},{\"type\":"
     "\"string\",\"maxLength\":44},{\"type\":\"string\",\"maxLength\":45},{\"type\":\"string\","
     "\"maxLength\":46},{\"type\":\"string\",\"maxLength\":47}]}",
     "\"Hello"},
};

static void measure(struct token_mask *k, struct json_machine *m, size_t place) {
    struct json_schema *s;
    double us[ROUNDS];
    const char *schema = places[place].schema, *text = places[place].text;
    MUST(json_schema_open(&s, (struct bytes){(const uint8_t *)schema, strlen(schema)}, NULL) == 0);
    json_machine_begin(m, s, false);
    MUST(
        text[0] == '\0' ||
        token_mask_take(k, m, -1, (struct bytes){(const uint8_t *)text, strlen(text)}, MAX_TOKENS));
    for (int i = 0; i < ROUNDS; i++) {
        double begin = now_us();
        (void)token_mask_fill(k, m, MAX_TOKENS);
        us[i] = now_us() - begin;
    }
    qsort(us, ROUNDS, sizeof us[0], compare);
    printf("  %-20s %8.1f us\n", places[place].what, us[ROUNDS / 2]);
    json_schema_close(s);
}

int main(int argc, char **argv) {
    struct gguf *g;
    struct tokenizer *t;
    struct token_mask *k;
    struct json_machine m;
    struct error e;
    if (argc != 2) {
        fprintf(stderr, "usage: bench-schema MODEL.gguf\n");
        return 2;
    }
    if (gguf_open(&g, argv[1], &e) != 0 || tokenizer_open(&t, g, &e) != 0) {
        fprintf(stderr, "bench-schema: %s\n", e.text);
        return 1;
    }
    double begin = now_us();
    MUST(token_mask_open(&k, t, tokenizer_size(t), NULL) == 0);
    MUST(json_machine_open(&m, JSON_SETTLED_FRAMES, NULL) == 0);
    printf("%d tokens; made ready in %.1f ms; median of %d masks\n", tokenizer_size(t),
           (now_us() - begin) / 1e3, ROUNDS);
    for (size_t i = 0; i < sizeof places / sizeof places[0]; i++)
        measure(k, &m, i);
    json_machine_close(&m);
    token_mask_close(k);
    tokenizer_close(t);
    gguf_close(g);
    return 0;
}
