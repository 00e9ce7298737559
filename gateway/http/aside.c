/* aside.c - strings replaced by marks, and marks by strings. */
#include "gateway/http/aside.h"

#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MARK_BYTES 40 /* 32 random digits and 8 of an index, in hex */

void aside_open(struct aside *a) {
    uint8_t random[16];
    a->count = 0;
    randombytes_buf(random, sizeof random);
    sodium_bin2hex(a->mark, sizeof a->mark, random, sizeof random);
}

static int is_plain(const char *s, size_t n) {
    unsigned char wrong = 0;
    for (size_t i = 0; i < n; i++) /* no way out of it, so that it can be done in wide steps */
        wrong |= (unsigned char)(((unsigned char)s[i] < 0x20) | ((unsigned char)s[i] > 0x7e) |
                                 (s[i] == '\\') | (s[i] == '"'));
    return wrong == 0;
}

void aside_take(struct aside *a, const char *text, size_t bytes, const char *end) {
    const char *p = text + bytes; /* its closing quote */
    if (bytes < ASIDE_BYTES || a->count == ASIDE_MAX || p >= end || *p != '"' ||
        !is_plain(text, bytes))
        return;
    for (p++; p < end && (*p == ' ' || *p == '\t' || *p == '\n' || *p == '\r'); p++)
        ;
    if (p < end && *p == ':')
        return;
    a->strings[a->count].text = text;
    a->strings[a->count++].bytes = bytes;
}

char *aside_shorten(const struct aside *a, const char *text, size_t bytes, size_t *shorter) {
    size_t saved = 0;
    for (size_t i = 0; i < a->count; i++)
        saved += a->strings[i].bytes - MARK_BYTES;
    *shorter = bytes - saved;
    char *out = malloc(*shorter + 1); /* and a NUL, since snprintf insists on one */
    if (out == NULL)
        return NULL;
    char *to = out;
    const char *from = text;
    for (size_t i = 0; i < a->count; i++) {
        size_t before = (size_t)(a->strings[i].text - from);
        memcpy(to, from, before);
        to += before;
        (void)snprintf(to, MARK_BYTES + 1, "%s%08zx", a->mark, i);
        to += MARK_BYTES;
        from = a->strings[i].text + a->strings[i].bytes;
    }
    memcpy(to, from, (size_t)(text + bytes - from));
    return out;
}

/* The string that a value is the mark of, NULL when it is none or memory ran out (*failed). */
static json_t *original(const struct aside *a, const json_t *value, int *failed) {
    const char *s = json_string_value(value);
    if (s == NULL || json_string_length(value) != MARK_BYTES || memcmp(s, a->mark, 32) != 0)
        return NULL;
    size_t i = strtoul(s + 32, NULL, 16);
    if (i >= a->count)
        return NULL;
    json_t *string = json_stringn_nocheck(a->strings[i].text, a->strings[i].bytes);
    *failed |= string == NULL;
    return string;
}

/* The parser has bounded the depth. */
static void restore_in(const struct aside *a, json_t *value, int *failed) {
    if (json_is_array(value)) {
        for (size_t i = 0; i < json_array_size(value); i++) {
            json_t *string = original(a, json_array_get(value, i), failed);
            if (string)
                *failed |= json_array_set_new(value, i, string) != 0;
            else
                restore_in(a, json_array_get(value, i), failed);
        }
    }
    for (void *at = json_object_iter(value); at; at = json_object_iter_next(value, at)) {
        json_t *string = original(a, json_object_iter_value(at), failed);
        if (string)
            *failed |= json_object_iter_set_new(value, at, string) != 0;
        else
            restore_in(a, json_object_iter_value(at), failed);
    }
}

int aside_restore(const struct aside *a, json_t **value) {
    int failed = 0;
    json_t *string = original(a, *value, &failed);
    if (string) {
        json_decref(*value);
        *value = string;
    } else {
        restore_in(a, *value, &failed);
    }
    return failed ? -1 : 0;
}
