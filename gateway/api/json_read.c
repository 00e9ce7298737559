/* json_read.c - fields of a JSON body, each with the path that a fault about it names. */
#include "gateway/api/json_read.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* ---- the place ---- */

void json_read_init(struct json_read *r, struct fault *fault) {
    *r = (struct json_read){.fault = fault};
}

size_t json_read_enter(struct json_read *r, const char *key) {
    size_t mark = r->length, room = sizeof r->path - r->length;
    int n = snprintf(r->path + r->length, room, "%s%s", r->length > 0 ? "." : "", key);
    if (n > 0)
        r->length += (size_t)n < room ? (size_t)n : room - 1;
    return mark;
}

size_t json_read_enter_index(struct json_read *r, size_t index) {
    char key[24];
    (void)snprintf(key, sizeof key, "%zu", index);
    return json_read_enter(r, key);
}

void json_read_leave(struct json_read *r, size_t mark) {
    r->length = mark;
    r->path[mark] = '\0';
}

void json_read_path(const struct json_read *r, const char *key, char out[96]) {
    struct json_read field = *r;
    if (key != NULL)
        (void)json_read_enter(&field, key);
    memcpy(out, field.path, sizeof field.path);
}

/* ---- faults ---- */

int json_read_refuse(const struct json_read *r, const char *key, const char *format, ...) {
    char path[96], text[sizeof r->fault->text];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(text, sizeof text, format, args);
    va_end(args);
    json_read_path(r, key, path);
    return fault_set(r->fault, 400, ERR_BAD_REQUEST, path, "%s", text);
}

int json_read_added(const struct json_read *r, int rc, const char *limit) {
    if (rc == 0)
        return 0;
    if (rc == ERR_LIMIT)
        return fault_set(r->fault, 413, rc, r->path, "%s", limit);
    if (rc == ERR_NOMEM)
        return fault_set(r->fault, 500, rc, r->path, "memory ran out for the request");
    return fault_set(r->fault, 400, ERR_BAD_REQUEST, r->path, "%s can't be taken",
                     r->path[0] != '\0' ? r->path : "the body");
}

static int wrong(const struct json_read *r, const char *key, const char *what) {
    char path[96];
    json_read_path(r, key, path);
    return json_read_refuse(r, key, "%s must be %s", path, what);
}

/* ---- fields ---- */

int json_read_any(const json_t *object, const char *key, const json_t **out) {
    const json_t *value = json_object_get(object, key);
    if (value == NULL || json_is_null(value))
        return 0;
    *out = value;
    return 1;
}

int json_read_bool(const struct json_read *r, const json_t *object, const char *key, bool *out) {
    const json_t *value;
    if (!json_read_any(object, key, &value))
        return 0;
    if (!json_is_boolean(value))
        return wrong(r, key, "true or false");
    *out = json_is_true(value);
    return 1;
}

int json_read_integer(const struct json_read *r, const json_t *object, const char *key,
                      int64_t *out) {
    const json_t *value;
    if (!json_read_any(object, key, &value))
        return 0;
    if (!json_is_integer(value))
        return wrong(r, key, "an integer");
    *out = json_integer_value(value);
    return 1;
}

int json_read_uint(const struct json_read *r, const json_t *object, const char *key, uint64_t min,
                   uint64_t max, uint64_t *out) {
    int64_t value = 0;
    int rc = json_read_integer(r, object, key, &value);
    if (rc <= 0)
        return rc;
    if (value < 0 || (uint64_t)value < min || (uint64_t)value > max) {
        char range[80];
        (void)snprintf(range, sizeof range, "an integer from %" PRIu64 " to %" PRIu64, min, max);
        return wrong(r, key, range);
    }
    *out = (uint64_t)value;
    return 1;
}

int json_read_u32(const struct json_read *r, const json_t *object, const char *key, uint32_t min,
                  uint32_t max, uint32_t *out) {
    uint64_t value = 0;
    int rc = json_read_uint(r, object, key, min, max, &value);
    if (rc > 0)
        *out = (uint32_t)value;
    return rc;
}

int json_read_number(const struct json_read *r, const json_t *object, const char *key, double min,
                     double max, float *out) {
    const json_t *value;
    if (!json_read_any(object, key, &value))
        return 0;
    double number = json_number_value(value);
    if (!json_is_number(value) || !(number >= min && number <= max)) {
        char range[80];
        (void)snprintf(range, sizeof range, "a number from %g to %g", min, max);
        return wrong(r, key, range);
    }
    *out = (float)number;
    return 1;
}

int json_read_string(const struct json_read *r, const json_t *object, const char *key,
                     size_t max_bytes, const char **out, size_t *bytes) {
    const json_t *value;
    if (!json_read_any(object, key, &value))
        return 0;
    if (!json_is_string(value))
        return wrong(r, key, "a string");
    size_t length = json_string_length(value);
    if (length > max_bytes) {
        char bound[80];
        (void)snprintf(bound, sizeof bound, "a string of at most %zu bytes", max_bytes);
        return wrong(r, key, bound);
    }
    if (bytes == NULL && strlen(json_string_value(value)) != length)
        return wrong(r, key, "a string without NUL characters");
    *out = json_string_value(value);
    if (bytes != NULL)
        *bytes = length;
    return 1;
}

int json_read_object(const struct json_read *r, const json_t *object, const char *key,
                     const json_t **out) {
    const json_t *value;
    if (!json_read_any(object, key, &value))
        return 0;
    if (!json_is_object(value))
        return wrong(r, key, "an object");
    *out = value;
    return 1;
}

int json_read_array(const struct json_read *r, const json_t *object, const char *key, size_t max,
                    const json_t **out) {
    const json_t *value;
    if (!json_read_any(object, key, &value))
        return 0;
    if (!json_is_array(value))
        return wrong(r, key, "an array");
    if (json_array_size(value) > max) {
        char bound[80];
        (void)snprintf(bound, sizeof bound, "an array of at most %zu elements", max);
        return wrong(r, key, bound);
    }
    *out = value;
    return 1;
}

int json_read_word(const struct json_read *r, const json_t *object, const char *key,
                   const char *const *words, int *out) {
    const char *word;
    char list[160] = "";
    int rc = json_read_string(r, object, key, SIZE_MAX, &word, NULL);
    if (rc <= 0)
        return rc;
    for (int i = 0; words[i] != NULL; i++) {
        if (strcmp(word, words[i]) == 0) {
            *out = i;
            return 1;
        }
        size_t used = strlen(list);
        (void)snprintf(list + used, sizeof list - used, "%s\"%s\"", i > 0 ? ", " : "one of ",
                       words[i]);
    }
    return wrong(r, key, list);
}
