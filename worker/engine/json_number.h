/* json_number.h - numbers of an answer, a digit at a time, within bounds.
 *
 * A bounded number is written without exponent, with at most `decimals` digits after the point; so
 * it is a whole number of units of 10^-decimals, below 10^JSON_NUMBER_DIGITS, which doubles hold
 * exactly. Whether a begun number can still come within the bounds, and in how many digits, is
 * then a question about ranges of integers, answered exactly. */
#ifndef QUIRE_ENGINE_JSON_NUMBER_H
#define QUIRE_ENGINE_JSON_NUMBER_H

#include <stdbool.h>
#include <stdint.h>

#define JSON_NUMBER_DIGITS 15 /* before and after the point together; unbounded: each */
#define JSON_NUMBER_DECIMALS 6
#define JSON_NUMBER_EXPONENT 2 /* digits */
#define JSON_NEVER UINT32_MAX  /* instead of a number of bytes: there is no way */

struct json_range {
    bool any;            /* no bounds: the JSON grammar with exponent */
    uint8_t decimals;    /* 0: integers */
    int64_t least, most; /* in units of 10^-decimals */
};

enum json_number_part {
    NUMBER_START,
    NUMBER_MINUS, /* after the sign */
    NUMBER_WHOLE, /* before the point */
    NUMBER_POINT, /* after it */
    NUMBER_DECIMALS,
    NUMBER_E,
    NUMBER_E_SIGN,
    NUMBER_EXPONENT,
};

/* What came of a number; zero it to begin with. */
struct json_digits {
    int64_t value; /* of the digits, without point and sign */
    uint8_t part;  /* enum json_number_part */
    uint8_t count; /* digits of this part */
    bool negative;
};

/* False: the byte can't come; *d stays. */
bool json_number_step(const struct json_range *r, struct json_digits *d, uint8_t byte);
/* The least number of bytes until it may end, 0: now; JSON_NEVER. */
uint32_t json_number_need(const struct json_range *r, const struct json_digits *d);

#endif
