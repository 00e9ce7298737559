/* schema_check.h - random JSON Schemas of the subset, and a plain validator to judge answers by.
 *
 * The validator is written from the standard (draft 2020-12), not from the compiler: it knows
 * nothing of what an answer leaves out. */
#ifndef QUIRE_TESTS_SUPPORT_SCHEMA_CHECK_H
#define QUIRE_TESTS_SUPPORT_SCHEMA_CHECK_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct schema_random {
    uint64_t state;
    int budget; /* parts that may still be made */
};

uint32_t schema_random_below(struct schema_random *r, uint32_t n);
/* A new reference. Some of them are refused (no answer fits them, or a oneOf is unclear). */
json_t *schema_random_make(struct schema_random *r);

/* Whether value fits schema, whose $refs point into root. */
bool schema_fits(const json_t *root, const json_t *schema, const json_t *value);

/* Parses an answer as strictly as can be, and validates it; the test fails with both texts when
 * either goes wrong. */
void schema_check(const json_t *schema, const char *text, size_t size);

#endif
