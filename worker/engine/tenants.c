/* tenants.c - slots by name, chained by hash; names are compared in full. */
#include "worker/engine/tenants.h"

#include <stdlib.h>
#include <string.h>

#include <xxhash.h>

#include "common/must.h"

struct tenant {
    uint8_t name[TENANT_BYTES];
    uint32_t size;
    uint32_t references; /* 0: the slot is free */
    uint32_t next;       /* of its chain, or of the free slots */
};

struct tenants {
    struct tenant *slots; /* [capacity] */
    uint32_t *heads;      /* [n_heads], a power of two: the first slot of each chain */
    uint32_t capacity, n_heads;
    uint32_t free;
};

struct tenants *tenants_open(uint32_t capacity) {
    MUST(capacity > 0 && capacity < UINT32_MAX / 2);
    struct tenants *t = calloc(1, sizeof *t);
    if (t == NULL)
        return NULL;
    t->capacity = capacity;
    for (t->n_heads = 1; t->n_heads < capacity;)
        t->n_heads *= 2;
    t->slots = calloc(capacity, sizeof *t->slots);
    t->heads = malloc(t->n_heads * sizeof *t->heads);
    if (t->slots == NULL || t->heads == NULL) {
        tenants_close(t);
        return NULL;
    }
    memset(t->heads, 0xff, t->n_heads * sizeof *t->heads);
    for (uint32_t i = 0; i < capacity; i++)
        t->slots[i].next = i + 1 < capacity ? i + 1 : TENANT_NONE;
    return t;
}

void tenants_close(struct tenants *t) {
    if (t == NULL)
        return;
    free(t->slots);
    free(t->heads);
    free(t);
}

static uint32_t *head_of(const struct tenants *t, const void *name, size_t size) {
    return &t->heads[XXH3_64bits(name, size) & (t->n_heads - 1)];
}

uint32_t tenants_find(const struct tenants *t, struct bytes name) {
    MUST(name.size <= TENANT_BYTES);
    uint32_t slot = *head_of(t, name.data, name.size);
    while (slot != TENANT_NONE) {
        const struct tenant *s = &t->slots[slot];
        if (s->size == name.size && (name.size == 0 || memcmp(s->name, name.data, s->size) == 0))
            break;
        slot = s->next;
    }
    return slot;
}

uint32_t tenants_take(struct tenants *t, struct bytes name) {
    uint32_t slot = tenants_find(t, name);
    if (slot == TENANT_NONE && t->free != TENANT_NONE) {
        slot = t->free;
        struct tenant *s = &t->slots[slot];
        t->free = s->next;
        if (name.size > 0)
            memcpy(s->name, name.data, name.size);
        s->size = (uint32_t)name.size;
        uint32_t *head = head_of(t, s->name, s->size);
        s->next = *head;
        *head = slot;
    }
    if (slot != TENANT_NONE)
        t->slots[slot].references++;
    return slot;
}

void tenants_retain(struct tenants *t, uint32_t slot) {
    MUST(slot < t->capacity && t->slots[slot].references > 0);
    t->slots[slot].references++;
}

void tenants_release(struct tenants *t, uint32_t slot) {
    MUST(slot < t->capacity && t->slots[slot].references > 0);
    struct tenant *s = &t->slots[slot];
    if (--s->references > 0)
        return;
    uint32_t *at = head_of(t, s->name, s->size);
    while (*at != slot)
        at = &t->slots[*at].next;
    *at = s->next;
    s->next = t->free;
    t->free = slot;
}
