/* json_number.c - see json_number.h. */
#include "worker/engine/json_number.h"

static int64_t power(uint32_t n) {
    int64_t p = 1;
    while (n-- > 0)
        p *= 10;
    return p;
}

/* ---- unbounded ---- */

static bool step_any_digit(struct json_digits *d, uint8_t byte) {
    uint8_t most = JSON_NUMBER_DIGITS;
    switch (d->part) {
    case NUMBER_START:
    case NUMBER_MINUS:
        d->part = NUMBER_WHOLE;
        d->value = byte - '0'; /* only: whether it is a zero, which none may follow */
        d->count = 1;
        return true;
    case NUMBER_WHOLE:
        if (d->value == 0)
            return false;
        break;
    case NUMBER_POINT:
        d->part = NUMBER_DECIMALS;
        d->count = 0;
        break;
    case NUMBER_E:
    case NUMBER_E_SIGN:
        d->part = NUMBER_EXPONENT;
        d->count = 0;
        break;
    case NUMBER_EXPONENT:
        most = JSON_NUMBER_EXPONENT;
        break;
    default:
        break;
    }
    if (d->count == most)
        return false;
    d->count++;
    return true;
}

static bool step_any(struct json_digits *d, uint8_t byte) {
    uint8_t part = d->part;
    if (byte >= '0' && byte <= '9')
        return step_any_digit(d, byte);
    if (byte == '-' && part == NUMBER_START)
        d->part = NUMBER_MINUS;
    else if (byte == '.' && part == NUMBER_WHOLE)
        d->part = NUMBER_POINT;
    else if ((byte | 0x20) == 'e' && (part == NUMBER_WHOLE || part == NUMBER_DECIMALS))
        d->part = NUMBER_E;
    else if ((byte == '-' || byte == '+') && part == NUMBER_E)
        d->part = NUMBER_E_SIGN;
    else
        return false;
    return true;
}

/* ---- bounded ---- */

/* The magnitudes that the sign leaves: false when there are none. */
static bool magnitudes(const struct json_range *r, bool negative, int64_t *least, int64_t *most) {
    *least = negative ? (r->most < 0 ? -r->most : 1) : (r->least > 0 ? r->least : 0);
    *most = negative ? -r->least : r->most;
    return *least <= *most;
}

/* Whether a multiple of `step` lies in both [a, b] and [least, most]; none is negative. */
static bool meets(int64_t a, int64_t b, int64_t least, int64_t most, int64_t step) {
    int64_t from = a > least ? a : least, to = b < most ? b : most;
    return (from + step - 1) / step * step <= to;
}

/* Before the point: more whole digits, then perhaps decimals. */
static uint32_t need_whole(const struct json_range *r, const struct json_digits *d, int64_t least,
                           int64_t most) {
    uint32_t room = d->value == 0 ? 0 : (uint32_t)(JSON_NUMBER_DIGITS - r->decimals - d->count);
    int64_t unit = power(r->decimals);
    uint32_t best = JSON_NEVER;
    for (uint32_t more = 0; more <= room; more++) {
        int64_t a = d->value * power(more) * unit, b = a + power(more) * unit - 1;
        if (!meets(a, b, least, most, 1))
            continue;
        for (uint32_t decimals = 0; decimals <= r->decimals; decimals++) {
            uint32_t bytes = more + (decimals > 0 ? decimals + 1 : 0);
            if (bytes < best && meets(a, b, least, most, power(r->decimals - decimals)))
                best = bytes;
        }
    }
    return best;
}

/* After it; `count` decimals came, at least `first` more must. */
static uint32_t need_decimals(const struct json_range *r, int64_t value, uint32_t count,
                              uint32_t first, int64_t least, int64_t most) {
    int64_t a = value * power(r->decimals - count), b = a + power(r->decimals - count) - 1;
    for (uint32_t more = first; more + count <= r->decimals; more++)
        if (meets(a, b, least, most, power(r->decimals - count - more)))
            return more;
    return JSON_NEVER;
}

static uint32_t need_first_digit(const struct json_range *r, bool negative) {
    int64_t least, most;
    uint32_t best = JSON_NEVER;
    if (!magnitudes(r, negative, &least, &most))
        return JSON_NEVER;
    for (int64_t digit = 0; digit <= 9; digit++) {
        struct json_digits d = {digit, NUMBER_WHOLE, 1, negative};
        uint32_t need = need_whole(r, &d, least, most);
        best = need < best ? need : best;
    }
    return best == JSON_NEVER ? best : best + 1;
}

static uint32_t need_bounded(const struct json_range *r, const struct json_digits *d) {
    int64_t least, most;
    if (d->part == NUMBER_START) {
        uint32_t plus = need_first_digit(r, false), minus = need_first_digit(r, true);
        return plus <= minus ? plus : minus + 1;
    }
    if (d->part == NUMBER_MINUS)
        return need_first_digit(r, true);
    if (!magnitudes(r, d->negative, &least, &most))
        return JSON_NEVER;
    if (d->part == NUMBER_WHOLE)
        return need_whole(r, d, least, most);
    bool point = d->part == NUMBER_POINT;
    return need_decimals(r, d->value, point ? 0 : d->count, point, least, most);
}

static bool step_bounded(const struct json_range *r, struct json_digits *d, uint8_t byte) {
    struct json_digits next = *d;
    bool digit = byte >= '0' && byte <= '9';
    if (byte == '-' && d->part == NUMBER_START) {
        next.part = NUMBER_MINUS;
        next.negative = true;
    } else if (byte == '.' && d->part == NUMBER_WHOLE && r->decimals > 0) {
        next.part = NUMBER_POINT;
        next.count = 0;
    } else if (digit && d->part <= NUMBER_MINUS) {
        next.part = NUMBER_WHOLE;
        next.value = byte - '0';
        next.count = 1;
    } else if (digit) {
        bool whole = d->part == NUMBER_WHOLE;
        uint32_t most = whole ? (uint32_t)(JSON_NUMBER_DIGITS - r->decimals) : r->decimals;
        if ((whole && d->value == 0) || d->count >= most)
            return false;
        next.part = whole ? NUMBER_WHOLE : NUMBER_DECIMALS;
        next.value = d->value * 10 + (byte - '0');
        next.count++;
    } else {
        return false;
    }
    if (need_bounded(r, &next) == JSON_NEVER)
        return false;
    *d = next;
    return true;
}

/* ---- both ---- */

bool json_number_step(const struct json_range *r, struct json_digits *d, uint8_t byte) {
    return r->any ? step_any(d, byte) : step_bounded(r, d, byte);
}

uint32_t json_number_need(const struct json_range *r, const struct json_digits *d) {
    if (!r->any)
        return need_bounded(r, d);
    return d->part != NUMBER_WHOLE && d->part != NUMBER_DECIMALS && d->part != NUMBER_EXPONENT;
}
