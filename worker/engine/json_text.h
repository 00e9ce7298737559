/* json_text.h - what stands between the quotes of a JSON string, a byte at a time (RFC 8259).
 *
 * Whole UTF-8 characters, no control characters, escapes with \uXXXX only as whole characters: two
 * halves of a surrogate pair belong together, and \u0000 does not come, since many parsers refuse
 * it. */
#ifndef QUIRE_ENGINE_JSON_TEXT_H
#define QUIRE_ENGINE_JSON_TEXT_H

#include <stdint.h>

#define JSON_TEXT_BETWEEN 0  /* between two characters: where a string begins and may end */
#define JSON_TEXT_STATES 25  /* states are below */
#define JSON_TEXT_BAD 255    /* the byte can't come */
#define JSON_TEXT_TAIL_MAX 8 /* bytes that a begun character still needs, at most */

/* The state after `byte`, which is not the closing quote. A character begins with each byte that
 * is taken in the state JSON_TEXT_BETWEEN. */
uint8_t json_text_step(uint8_t state, uint8_t byte);

/* The least number of bytes that lead back to JSON_TEXT_BETWEEN. */
uint32_t json_text_tail(uint8_t state);

#endif
