/* text.c - text that grows by doubling, up to its bound. */
#include "gateway/text.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TEXT_FIRST_BYTES 256
/* 15 digits bring every short decimal number back as it was written. */
#define TEXT_JSON_FLAGS (JSON_COMPACT | JSON_ENCODE_ANY | JSON_REAL_PRECISION(15))

void text_init(struct text *t, size_t max) {
    *t = (struct text){.max = max};
}

void text_close(struct text *t) {
    free(t->data);
    text_init(t, t->max);
}

/* Makes room for `bytes` more; false, and failed, when the bound or memory says no. */
static bool text_room(struct text *t, size_t bytes) {
    if (bytes <= t->room - t->size)
        return true;
    if (t->failed || bytes > t->max - t->size) {
        t->failed = true;
        return false;
    }
    size_t need = t->size + bytes, room = t->room ? t->room : TEXT_FIRST_BYTES;
    while (room < need)
        room = room > t->max / 2 ? t->max : 2 * room;
    if (room > t->max)
        room = t->max;
    char *grown = realloc(t->data, room);
    if (grown == NULL) {
        t->failed = true;
        return false;
    }
    t->data = grown;
    t->room = room;
    return true;
}

void text_add(struct text *t, const char *data, size_t bytes) {
    if (bytes == 0 || t->failed || !text_room(t, bytes))
        return;
    memcpy(t->data + t->size, data, bytes);
    t->size += bytes;
}

void text_print(struct text *t, const char *format, ...) {
    va_list args, again;
    va_start(args, format);
    va_copy(again, args);
    int n = vsnprintf(NULL, 0, format, args);
    va_end(args);
    /* One byte more than is counted, for the NUL that vsnprintf insists on. */
    if (n < 0)
        t->failed = true;
    else if (!t->failed && text_room(t, (size_t)n + 1)) {
        (void)vsnprintf(t->data + t->size, (size_t)n + 1, format, again);
        t->size += (size_t)n;
    }
    va_end(again);
}

static int add_dumped(const char *data, size_t bytes, void *t) {
    text_add(t, data, bytes);
    return ((struct text *)t)->failed ? -1 : 0;
}

void text_json(struct text *t, json_t *value) {
    if (value == NULL || json_dump_callback(value, add_dumped, t, TEXT_JSON_FLAGS))
        t->failed = true;
    json_decref(value);
}

void text_event(struct text *t, const char *name, json_t *value) {
    if (name) {
        text_add(t, "event: ", 7);
        text_add(t, name, strlen(name));
        text_add(t, "\n", 1);
    }
    text_add(t, "data: ", 6);
    text_json(t, value);
    text_add(t, "\n\n", 2);
}

void text_drop(struct text *t, size_t bytes) {
    if (bytes >= t->size) {
        t->size = 0;
    } else if (bytes > 0) {
        memmove(t->data, t->data + bytes, t->size - bytes);
        t->size -= bytes;
    }
}
