/* json_text.c - see json_text.h. */
#include "worker/engine/json_text.h"

enum {
    BETWEEN = JSON_TEXT_BETWEEN,
    /* UTF-8: bytes of 80-bf to come, or a second byte with a narrower range */
    MORE_1,
    MORE_2,
    MORE_3,
    AFTER_E0,
    AFTER_ED,
    AFTER_F0,
    AFTER_F4,
    ESCAPE, /* after the backslash */
    HEX_0,  /* after \u: digits that came */
    ZERO_1, /* they are all 0 */
    ZERO_2,
    ZERO_3,
    HEX_1,
    HEX_1D, /* it is d: the next one tells whether a pair begins */
    HEX_2,
    HEX_3,
    HIGH_2, /* of the first half of a pair */
    HIGH_3,
    LOW_BACKSLASH, /* of its second half: what must come */
    LOW_U,
    LOW_D,
    LOW_C, /* c to f */
    LOW_2,
    LOW_3,
    N_STATES,
};
_Static_assert(N_STATES == JSON_TEXT_STATES, "the header counts states");

static const uint8_t tails[N_STATES] = {
    [MORE_1] = 1,        [MORE_2] = 2, [MORE_3] = 3, [AFTER_E0] = 2, [AFTER_ED] = 2, [AFTER_F0] = 3,
    [AFTER_F4] = 3,      [ESCAPE] = 1, [HEX_0] = 4,  [ZERO_1] = 3,   [ZERO_2] = 2,   [ZERO_3] = 1,
    [HEX_1] = 3,         [HEX_1D] = 3, [HEX_2] = 2,  [HEX_3] = 1,    [HIGH_2] = 8,   [HIGH_3] = 7,
    [LOW_BACKSLASH] = 6, [LOW_U] = 5,  [LOW_D] = 4,  [LOW_C] = 3,    [LOW_2] = 2,    [LOW_3] = 1,
};

static uint8_t first_byte(uint8_t b) {
    if (b == '\\')
        return ESCAPE;
    if (b < 0x20 || b == '"')
        return JSON_TEXT_BAD;
    if (b < 0x80)
        return BETWEEN;
    if (b < 0xc2)
        return JSON_TEXT_BAD;
    if (b < 0xe0)
        return MORE_1;
    if (b < 0xf0)
        return b == 0xe0 ? AFTER_E0 : b == 0xed ? AFTER_ED : MORE_2;
    if (b < 0xf5)
        return b == 0xf0 ? AFTER_F0 : b == 0xf4 ? AFTER_F4 : MORE_3;
    return JSON_TEXT_BAD;
}

static uint8_t escaped(uint8_t b) {
    switch (b) {
    case '"':
    case '\\':
    case '/':
    case 'b':
    case 'f':
    case 'n':
    case 'r':
    case 't':
        return BETWEEN;
    case 'u':
        return HEX_0;
    default:
        return JSON_TEXT_BAD;
    }
}

/* -1: not a hexadecimal digit. */
static int hex_value(uint8_t b) {
    if (b >= '0' && b <= '9')
        return b - '0';
    b |= 0x20;
    return b >= 'a' && b <= 'f' ? b - 'a' + 10 : -1;
}

static uint8_t hex_digit(uint8_t state, uint8_t b) {
    int v = hex_value(b);
    if (v < 0)
        return JSON_TEXT_BAD;
    switch (state) {
    case HEX_0:
        return v == 0 ? ZERO_1 : v == 0xd ? HEX_1D : HEX_1;
    case ZERO_1:
        return v == 0 ? ZERO_2 : HEX_2;
    case ZERO_2:
        return v == 0 ? ZERO_3 : HEX_3;
    case ZERO_3:
        return v == 0 ? JSON_TEXT_BAD : BETWEEN;
    case HEX_1:
        return HEX_2;
    case HEX_1D: /* d800-dbff begin a pair; dc00-dfff can't stand first */
        return v < 8 ? HEX_2 : v < 0xc ? HIGH_2 : JSON_TEXT_BAD;
    case HEX_2:
        return HEX_3;
    case HIGH_2:
        return HIGH_3;
    case HIGH_3:
        return LOW_BACKSLASH;
    case LOW_D:
        return v == 0xd ? LOW_C : JSON_TEXT_BAD;
    case LOW_C:
        return v >= 0xc ? LOW_2 : JSON_TEXT_BAD;
    case LOW_2:
        return LOW_3;
    default: /* HEX_3, LOW_3 */
        return BETWEEN;
    }
}

static uint8_t continued(uint8_t b, uint8_t least, uint8_t most, uint8_t next) {
    return b >= least && b <= most ? next : JSON_TEXT_BAD;
}

uint8_t json_text_step(uint8_t state, uint8_t b) {
    switch (state) {
    case BETWEEN:
        return first_byte(b);
    case MORE_1:
        return continued(b, 0x80, 0xbf, BETWEEN);
    case MORE_2:
        return continued(b, 0x80, 0xbf, MORE_1);
    case MORE_3:
        return continued(b, 0x80, 0xbf, MORE_2);
    case AFTER_E0:
        return continued(b, 0xa0, 0xbf, MORE_1);
    case AFTER_ED:
        return continued(b, 0x80, 0x9f, MORE_1);
    case AFTER_F0:
        return continued(b, 0x90, 0xbf, MORE_2);
    case AFTER_F4:
        return continued(b, 0x80, 0x8f, MORE_2);
    case ESCAPE:
        return escaped(b);
    case LOW_BACKSLASH:
        return b == '\\' ? LOW_U : JSON_TEXT_BAD;
    case LOW_U:
        return b == 'u' ? LOW_D : JSON_TEXT_BAD;
    default:
        return hex_digit(state, b);
    }
}

uint32_t json_text_tail(uint8_t state) {
    return tails[state];
}
