/* utf8.h - UTF-8 as RFC 3629 has it: no surrogates, no overlong forms, nothing above U+10FFFF. */
#ifndef QUIRE_COMMON_UTF8_H
#define QUIRE_COMMON_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

bool utf8_valid(const uint8_t *s, size_t n); /* n = 0 is valid, s may then be NULL */

/* The length of the longest prefix that does not end inside a sequence that later bytes could still
 * complete; n - 3..n. Bytes that can never become valid count as whole, so nobody waits for them.
 */
size_t utf8_complete(const uint8_t *s, size_t n);

#define UTF8_REPAIRED_BYTES(n) ((n)*3) /* room that utf8_repair needs in the worst case */

/* Writes s to out, each longest run that begins a sequence but does not complete it, and each byte
 * that begins none, as one U+FFFD. Returns the length written; the result is valid. */
size_t utf8_repair(uint8_t *out, const uint8_t *s, size_t n);

#endif
