/* json_write.c - strings are copied in runs between the characters that need an escape. */
#include "gateway/api/json_write.h"

#include <stdio.h>
#include <string.h>

/* The letter of a short escape, 'u' for a long one, 0 for a character that stands as it is. */
static char escape_of(unsigned char c) {
    switch (c) {
    case '"':
    case '\\':
        return (char)c;
    case '\n':
        return 'n';
    case '\r':
        return 'r';
    case '\t':
        return 't';
    default:
        return c < 0x20 || c == 0x7f ? 'u' : 0;
    }
}

void json_write_string(struct text *out, const char *data, size_t bytes) {
    size_t start = 0;
    text_add(out, "\"", 1);
    for (size_t i = 0; i < bytes; i++) {
        char escape = escape_of((unsigned char)data[i]);
        if (escape == 0)
            continue;
        char written[8];
        int n = escape == 'u' ? snprintf(written, sizeof written, "\\u%04x", (unsigned)data[i])
                              : snprintf(written, sizeof written, "\\%c", escape);
        text_add(out, data + start, i - start);
        text_add(out, written, (size_t)n);
        start = i + 1;
    }
    text_add(out, data + start, bytes - start);
    text_add(out, "\"", 1);
}

void json_write_raw(struct text *out, const char *words) {
    text_add(out, words, strlen(words));
}
