/* trace.c - traceparent: version "-" trace id "-" parent id "-" flags, in lower-case hex. */
#include "gateway/http/trace.h"

#include <sodium.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

static bool hex(const char *s, size_t n) {
    return strspn(s, "0123456789abcdef") >= n;
}

bool trace_take(struct trace *t, const char *header) {
    t->parent[0] = '\0';
    if (header == NULL || strlen(header) < 55)
        return false;
    bool first = strncmp(header, "00", 2) == 0;
    if (!hex(header, 2) || strncmp(header, "ff", 2) == 0 || header[2] != '-' ||
        !hex(header + 3, 32) || header[35] != '-' || !hex(header + 36, 16) || header[52] != '-' ||
        !hex(header + 53, 2))
        return false;
    /* Later versions may have more after the flags. */
    if (first ? header[55] != '\0' : header[55] != '\0' && header[55] != '-')
        return false;
    if (strspn(header + 3, "0") >= 32 || strspn(header + 36, "0") >= 16)
        return false;
    uint8_t span[8];
    char digits[17];
    randombytes_buf(span, sizeof span);
    span[0] |= 1; /* all zeros is no span */
    sodium_bin2hex(digits, sizeof digits, span, sizeof span);
    (void)snprintf(t->parent, sizeof t->parent, "00-%.32s-%s-%.2s", header + 3, digits,
                   header + 53);
    return true;
}

void trace_new_id(char out[33]) {
    uint8_t id[16];
    randombytes_buf(id, sizeof id);
    sodium_bin2hex(out, 33, id, sizeof id);
}
