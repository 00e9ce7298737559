/* json_read.h - reading a JSON body field by field, with faults that name the field.
 *
 * A reader knows where in the body it is: "messages.0.content.1". Every function reads one field of
 * an object and returns 1 when it was there and fits, 0 when it is absent or null (*out is left as
 * it was), and -1 with the fault filled: 400, ERR_BAD_REQUEST, the field's whole path and a
 * sentence.
 *
 *     struct json_read r;
 *     json_read_init(&r, fault);
 *     size_t mark = json_read_enter(&r, "messages");
 *     size_t one = json_read_enter_index(&r, i);
 *     if (json_read_string(&r, message, "role", 64, &role, &bytes) < 0) return -1;
 *     json_read_leave(&r, one);
 *
 * After a failure the place need not be left. Strings point into the JSON value: they live as long
 * as the body. */
#ifndef QUIRE_GATEWAY_JSON_READ_H
#define QUIRE_GATEWAY_JSON_READ_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "gateway/api/fault.h"

struct json_read {
    struct fault *fault;
    char path[96]; /* where the reader is; cut when it gets longer (it is for people) */
    size_t length;
};

void json_read_init(struct json_read *r, struct fault *fault);
/* Goes into a field or an element; returns what json_read_leave takes to come back. */
size_t json_read_enter(struct json_read *r, const char *key);
size_t json_read_enter_index(struct json_read *r, size_t index);
void json_read_leave(struct json_read *r, size_t mark);
/* "messages.0.content": the path of a field here (key NULL: of the place itself). */
void json_read_path(const struct json_read *r, const char *key, char out[96]);

/* ---- faults ---- */

/* 400 about a field of this place (key NULL: the place itself). Returns -1. */
int json_read_refuse(const struct json_read *r, const char *key, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* Turns a code of quire_request_* into 0 or a fault about the place itself: LIMIT is 413 and says
 * `limit` ("a request may have 2048 messages"), NOMEM is 500, all else 400. */
int json_read_added(const struct json_read *r, int rc, const char *limit);

/* ---- fields: 1 read, 0 absent or null, -1 refused ---- */

int json_read_bool(const struct json_read *r, const json_t *object, const char *key, bool *out);
int json_read_uint(const struct json_read *r, const json_t *object, const char *key, uint64_t min,
                   uint64_t max, uint64_t *out);
int json_read_u32(const struct json_read *r, const json_t *object, const char *key, uint32_t min,
                  uint32_t max, uint32_t *out);
int json_read_number(const struct json_read *r, const json_t *object, const char *key, double min,
                     double max, float *out);
/* Any signed 64-bit integer. */
int json_read_integer(const struct json_read *r, const json_t *object, const char *key,
                      int64_t *out);
/* At most max_bytes long; may hold NUL bytes when the parser let them through. bytes may be NULL:
 * then a string with a NUL inside is refused. */
int json_read_string(const struct json_read *r, const json_t *object, const char *key,
                     size_t max_bytes, const char **out, size_t *bytes);
int json_read_object(const struct json_read *r, const json_t *object, const char *key,
                     const json_t **out);
/* At most `max` elements. */
int json_read_array(const struct json_read *r, const json_t *object, const char *key, size_t max,
                    const json_t **out);
/* One of `words` (NULL ends them): *out is its index. */
int json_read_word(const struct json_read *r, const json_t *object, const char *key,
                   const char *const *words, int *out);
/* The value as it is; 0 when absent or null. */
int json_read_any(const json_t *object, const char *key, const json_t **out);

#endif
