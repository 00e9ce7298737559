/* text_table.c - one block of bytes, offsets into it, and a hash of slots with linear probing.
 *
 * A slot keeps half of the hash beside the number, so that a probe looks at the text only when it
 * is very likely the right one. */
#include "worker/engine/text_table.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "common/error.h"

struct text_slot {
    uint32_t hash;
    uint32_t number; /* TEXT_NONE: free */
};

static bool same(const struct text_table *t, uint32_t number, struct bytes text) {
    struct bytes other = text_table_at(t, number);
    return other.size == text.size &&
           (text.size == 0 || memcmp(other.data, text.data, text.size) == 0);
}

/* The slot that holds text, or the free one where it belongs. */
static struct text_slot *probe(const struct text_table *t, struct bytes text, uint64_t hash) {
    size_t mask = t->slot_count - 1;
    for (size_t i = (size_t)hash & mask;; i = (i + 1) & mask) {
        struct text_slot *s = &t->slots[i];
        if (s->number == TEXT_NONE ||
            (s->hash == (uint32_t)(hash >> 32) && same(t, s->number, text))) {
            return s;
        }
    }
}

static int grow_slots(struct text_table *t, size_t texts) {
    size_t wanted = 16;
    while (wanted < 2 * texts) {
        wanted *= 2;
    }
    if (wanted <= t->slot_count) {
        return 0;
    }
    struct text_table bigger = *t;
    bigger.slots = malloc(wanted * sizeof *bigger.slots);
    if (bigger.slots == NULL) {
        return ERR_NOMEM;
    }
    memset(bigger.slots, 0xFF, wanted * sizeof *bigger.slots);
    bigger.slot_count = wanted;
    for (size_t i = 0; i < t->slot_count; i++) {
        if (t->slots[i].number != TEXT_NONE) {
            struct bytes text = text_table_at(t, t->slots[i].number);
            uint64_t hash = XXH3_64bits(text.data, text.size);
            *probe(&bigger, text, hash) = t->slots[i];
        }
    }
    free(t->slots);
    *t = bigger;
    return 0;
}

int text_table_reserve(struct text_table *t, size_t texts, size_t bytes) {
    if (texts >= TEXT_NONE / 4 || bytes > UINT32_MAX) {
        return ERR_LIMIT;
    }
    if (texts + 1 > t->capacity) {
        uint32_t *starts = realloc(t->starts, (texts + 1) * sizeof *starts);
        if (starts == NULL) {
            return ERR_NOMEM;
        }
        t->starts = starts;
        t->capacity = texts + 1;
        t->starts[t->count] = (uint32_t)t->blob_bytes;
    }
    if (bytes > t->blob_capacity) {
        uint8_t *blob = realloc(t->blob, bytes);
        if (blob == NULL) {
            return ERR_NOMEM;
        }
        t->blob = blob;
        t->blob_capacity = bytes;
    }
    return grow_slots(t, texts);
}

static int make_room(struct text_table *t, size_t more) {
    size_t texts = t->count + 1, bytes;
    if (!size_add(t->blob_bytes, more, &bytes)) {
        return ERR_LIMIT;
    }
    if (texts + 1 > t->capacity) {
        texts += t->count;
    }
    if (bytes > t->blob_capacity && bytes <= UINT32_MAX / 2) {
        bytes += bytes / 2 + 64;
    }
    return text_table_reserve(t, texts, bytes);
}

void text_table_clear(struct text_table *t) {
    free(t->blob);
    free(t->starts);
    free(t->slots);
    *t = (struct text_table){0};
}

static uint32_t add(struct text_table *t, struct bytes text) {
    if (text.size > 0) {
        memcpy(t->blob + t->blob_bytes, text.data, text.size);
    }
    t->blob_bytes += text.size;
    uint32_t number = (uint32_t)t->count++;
    t->starts[t->count] = (uint32_t)t->blob_bytes;
    return number;
}

int text_table_append(struct text_table *t, struct bytes text, uint32_t *number) {
    int rc = make_room(t, text.size);
    if (rc != 0) {
        return rc;
    }
    uint64_t hash = XXH3_64bits(text.data, text.size);
    struct text_slot *slot = probe(t, text, hash);
    *number = add(t, text);
    *slot = (struct text_slot){(uint32_t)(hash >> 32), *number};
    return 0;
}

int text_table_intern(struct text_table *t, struct bytes text, uint32_t *number) {
    *number = text_table_find(t, text);
    return *number != TEXT_NONE ? 0 : text_table_append(t, text, number);
}

uint32_t text_table_find(const struct text_table *t, struct bytes text) {
    if (t->slot_count == 0) {
        return TEXT_NONE;
    }
    return probe(t, text, XXH3_64bits(text.data, text.size))->number;
}

struct bytes text_table_at(const struct text_table *t, uint32_t number) {
    uint32_t start = t->starts[number];
    return (struct bytes){t->blob + start, t->starts[number + 1] - start};
}
