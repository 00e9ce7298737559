/* json_write.h - JSON written straight into a text, for events that come thousands of times a
 * second and are not worth a tree of values each. */
#ifndef QUIRE_GATEWAY_JSON_WRITE_H
#define QUIRE_GATEWAY_JSON_WRITE_H

#include <stddef.h>

#include "gateway/text.h"

/* A string with its quotes. `data` is valid UTF-8; what JSON wants escaped is. */
void json_write_string(struct text *out, const char *data, size_t bytes);
/* The words that stand around values: a string literal of the caller's. */
void json_write_raw(struct text *out, const char *words);

#endif
