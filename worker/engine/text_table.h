/* text_table.h - numbered texts, found again by their bytes. */
#ifndef QUIRE_ENGINE_TEXT_TABLE_H
#define QUIRE_ENGINE_TEXT_TABLE_H

#include <stddef.h>
#include <stdint.h>

#include "common/bytes.h"

#define TEXT_NONE UINT32_MAX

/* Texts are numbered from 0 in the order they came. Zero it to begin with. */
struct text_table {
    uint8_t *blob;
    size_t blob_bytes, blob_capacity;
    uint32_t *starts; /* count + 1 */
    size_t count, capacity;
    struct text_slot *slots; /* open addressing; a power of two */
    size_t slot_count;
};

/* Takes room for so many texts of so many bytes in all. ERR_NOMEM, ERR_LIMIT (4 GiB of text). */
int text_table_reserve(struct text_table *t, size_t texts, size_t bytes);
void text_table_clear(struct text_table *t);

/* Gives text the next number, even if it is there already; then the latest is the one found. Keeps
 * a copy. `text` must not be in the table's own memory. */
int text_table_append(struct text_table *t, struct bytes text, uint32_t *number);
/* The number that text has, or a new one. */
int text_table_intern(struct text_table *t, struct bytes text, uint32_t *number);

uint32_t text_table_find(const struct text_table *t, struct bytes text); /* or TEXT_NONE */
/* Borrowed until the next append or intern. number < count is the caller's promise. */
struct bytes text_table_at(const struct text_table *t, uint32_t number);

#endif
