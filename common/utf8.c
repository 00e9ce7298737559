/* utf8.c - one step function tells apart whole, broken and unfinished sequences; the rest are
 * loops.
 *
 * The second byte's range depends on the first (RFC 3629, table 3-7 of Unicode); it is what keeps
 * out overlong forms, surrogates and code points above U+10FFFF. */
#include "common/utf8.h"

#include <string.h>

struct step {
    size_t size; /* bytes looked at: of the sequence, or of the run that is broken or unfinished */
    enum { WHOLE, BROKEN, UNFINISHED } what;
};

static size_t sequence_size(uint8_t lead) {
    if (lead < 0x80)
        return 1;
    if (lead >= 0xc2 && lead <= 0xdf)
        return 2;
    if (lead >= 0xe0 && lead <= 0xef)
        return 3;
    if (lead >= 0xf0 && lead <= 0xf4)
        return 4;
    return 0;
}

static bool second_fits(uint8_t lead, uint8_t second) {
    uint8_t low = lead == 0xe0 ? 0xa0 : lead == 0xf0 ? 0x90 : 0x80;
    uint8_t high = lead == 0xed ? 0x9f : lead == 0xf4 ? 0x8f : 0xbf;
    return second >= low && second <= high;
}

/* Looks at the sequence that begins at s; n > 0. */
static struct step step_at(const uint8_t *s, size_t n) {
    size_t size = sequence_size(s[0]);
    if (size == 0)
        return (struct step){1, BROKEN};
    for (size_t i = 1; i < size; i++) {
        if (i == n)
            return (struct step){n, UNFINISHED};
        bool fits = i == 1 ? second_fits(s[0], s[1]) : (s[i] & 0xc0) == 0x80;
        if (!fits)
            return (struct step){i, BROKEN};
    }
    return (struct step){size, WHOLE};
}

bool utf8_valid(const uint8_t *s, size_t n) {
    size_t i = 0;
    while (i < n) {
        while (n - i >= 8) { /* eight ASCII bytes at a time */
            uint64_t word;
            memcpy(&word, s + i, sizeof word);
            if (word & UINT64_C(0x8080808080808080))
                break;
            i += 8;
        }
        if (i == n)
            break;
        struct step step = step_at(s + i, n - i);
        if (step.what != WHOLE)
            return false;
        i += step.size;
    }
    return true;
}

size_t utf8_complete(const uint8_t *s, size_t n) {
    for (size_t back = 1; back <= 3 && back <= n; back++) {
        uint8_t byte = s[n - back];
        if ((byte & 0xc0) == 0x80)
            continue; /* a continuation: the lead is before it */
        return step_at(s + n - back, back).what == UNFINISHED ? n - back : n;
    }
    return n;
}

size_t utf8_repair(uint8_t *out, const uint8_t *s, size_t n) {
    size_t used = 0;
    for (size_t i = 0; i < n;) {
        struct step step = step_at(s + i, n - i);
        if (step.what == WHOLE) {
            memcpy(out + used, s + i, step.size);
            used += step.size;
        } else {
            memcpy(out + used, "\xef\xbf\xbd", 3);
            used += 3;
        }
        i += step.size;
    }
    return used;
}
