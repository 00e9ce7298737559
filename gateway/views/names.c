/* names.c - see names.h. A number from a newer broker becomes "unknown". */
#include "gateway/views/names.h"

#include <stdio.h>
#include <string.h>

#define NAME(names, i) ((size_t)(i) < sizeof(names) / sizeof(names)[0] ? (names)[i] : "unknown")

const char *name_kind(bool picture) {
    return picture ? "picture" : "text";
}

const char *name_role(enum quire_role role) {
    static const char *const names[] = {"unknown", "system", "user", "assistant", "raw"};
    return NAME(names, role);
}

const char *name_policy(enum quire_policy policy) {
    static const char *const names[] = {"unknown", "earliest", "least-loaded", "round-robin"};
    return NAME(names, policy);
}

const char *name_index_state(enum quire_index_state state) {
    static const char *const names[] = {"unknown", "off", "ok", "full", "broken", "rebuilding"};
    return NAME(names, state);
}

const char *name_worker_state(enum quire_worker_state state) {
    static const char *const names[] = {"unknown", "up", "draining", "drained"};
    return NAME(names, state);
}

const char *name_request_state(enum quire_request_state state) {
    static const char *const names[] = {"unknown", "queued", "sent", "streaming"};
    return NAME(names, state);
}

void name_hex(const uint8_t *bytes, size_t n, char *out) {
    out[0] = '\0';
    for (size_t i = 0; i < n; i++)
        (void)snprintf(out + 2 * i, 3, "%02x", bytes[i]);
}

static int digit(char c) {
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

bool name_unhex(const char *text, uint8_t *bytes, size_t n) {
    if (strlen(text) != 2 * n)
        return false;
    for (size_t i = 0; i < n; i++) {
        int high = digit(text[2 * i]), low = digit(text[2 * i + 1]);
        if (high < 0 || low < 0)
            return false;
        bytes[i] = (uint8_t)(high << 4 | low);
    }
    return true;
}
