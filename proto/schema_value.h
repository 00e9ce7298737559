/* schema_value.h - the scalars of a schema. Private to schema_decode.c and schema_value.c. */
#ifndef QUIRE_PROTO_SCHEMA_VALUE_H
#define QUIRE_PROTO_SCHEMA_VALUE_H

#include "proto/cursor.h"
#include "proto/schema.h"

/* Checks v against the row and writes it to `at`; text and binaries are borrowed. A wrong type is
 * ERR_BAD_MESSAGE, a string that is too long ERR_LIMIT, a value out of range the schema's own code.
 * MUST NOT be called for rows of maps and lists. */
int schema_store(const struct schema *s, const struct field *f, const struct value *v, uint8_t *at,
                 struct error *e);

/* A string of min..max bytes of UTF-8, with the same codes. */
int schema_check_text(const struct value *v, int64_t min, uint64_t max, int range_code,
                      struct error *e);

/* "a string where an integer belongs"; returns ERR_BAD_MESSAGE. */
int schema_wrong_type(const char *wanted, const struct value *got, struct error *e);

#endif
