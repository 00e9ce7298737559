/* format.c - records to bytes and back. */
#include "proto/index/format.h"

#include <stdio.h>
#include <string.h>
#include <xxhash.h>

static void put32(uint8_t *at, uint32_t v) {
    for (int i = 0; i < 4; i++)
        at[i] = (uint8_t)(v >> (24 - 8 * i));
}

static void put64(uint8_t *at, uint64_t v) {
    put32(at, (uint32_t)(v >> 32));
    put32(at + 4, (uint32_t)v);
}

static uint32_t get32(const uint8_t *at) {
    return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

static uint64_t get64(const uint8_t *at) {
    return (uint64_t)get32(at) << 32 | get32(at + 4);
}

/* The low half of XXH3-64 over value, seeded with that over the key. */
static uint32_t check_of(const void *key, size_t key_bytes, const void *value, size_t bytes) {
    return (uint32_t)XXH3_64bits_withSeed(value, bytes, XXH3_64bits(key, key_bytes));
}

void index_text_set(struct index_text *t, struct bytes from) {
    t->size = (uint8_t)(from.size < INDEX_TEXT_BYTES ? from.size : INDEX_TEXT_BYTES);
    if (t->size > 0)
        memcpy(t->text, from.data, t->size);
    t->text[t->size] = '\0';
}

void index_slot_write(uint32_t slot, uint8_t out[4]) {
    put32(out, slot);
}

/* ---- links ---- */

void index_holder_write(const struct index_holder *h, const struct link *link,
                        uint8_t out[INDEX_HOLDER_BYTES]) {
    put32(out, h->slot);
    put64(out + 4, h->incarnation);
    put32(out + 12, h->positions);
    put64(out + 16, h->used_us);
    put32(out + 24, check_of(link->bytes, LINK_BYTES, out, 24));
}

bool index_holder_read(struct index_holder *h, const struct link *link, struct bytes from) {
    if (from.size != INDEX_HOLDER_BYTES ||
        get32(from.data + 24) != check_of(link->bytes, LINK_BYTES, from.data, 24))
        return false;
    h->slot = get32(from.data);
    h->incarnation = get64(from.data + 4);
    h->positions = get32(from.data + 12);
    h->used_us = get64(from.data + 16);
    return true;
}

/* ---- workers ---- */

static size_t put_text(uint8_t *at, const struct index_text *t) {
    at[0] = t->size;
    memcpy(at + 1, t->text, t->size);
    return 1 + (size_t)t->size;
}

size_t index_worker_write(const struct index_worker *w, uint8_t out[INDEX_WORKER_BYTES]) {
    uint8_t key[4];
    size_t n = 32;
    put32(key, w->slot);
    put64(out, w->incarnation);
    put64(out + 8, w->since_us);
    memcpy(out + 16, w->fingerprint, 16);
    n += put_text(out + n, &w->name);
    n += put_text(out + n, &w->model);
    n += put_text(out + n, &w->template_id);
    n += put_text(out + n, &w->address);
    put32(out + n, check_of(key, sizeof key, out, n));
    return n + 4;
}

static bool get_text(struct index_text *t, struct bytes *from) {
    if (from->size == 0 || from->data[0] > INDEX_TEXT_BYTES || from->size - 1 < from->data[0])
        return false;
    index_text_set(t, (struct bytes){from->data + 1, from->data[0]});
    from->data += 1 + t->size;
    from->size -= 1 + (size_t)t->size;
    return true;
}

bool index_worker_read(struct index_worker *w, struct bytes key, struct bytes value) {
    if (key.size != 4 || value.size < 32 + 4 || value.size > INDEX_WORKER_BYTES)
        return false;
    size_t body = value.size - 4;
    if (get32(value.data + body) != check_of(key.data, key.size, value.data, body))
        return false;
    memset(w, 0, sizeof *w);
    w->slot = get32(key.data);
    w->incarnation = get64(value.data);
    w->since_us = get64(value.data + 8);
    memcpy(w->fingerprint, value.data + 16, 16);
    struct bytes rest = {value.data + 32, body - 32};
    return get_text(&w->name, &rest) && get_text(&w->model, &rest) &&
           get_text(&w->template_id, &rest) && get_text(&w->address, &rest) && rest.size == 0;
}

/* ---- ages ---- */

void index_age_write(const struct index_age *a, uint8_t out[INDEX_AGE_BYTES]) {
    put64(out, a->used_us);
    memcpy(out + 8, a->link.bytes, LINK_BYTES);
    put32(out + 8 + LINK_BYTES, a->slot);
}

bool index_age_read(struct index_age *a, struct bytes from) {
    if (from.size != INDEX_AGE_BYTES)
        return false;
    a->used_us = get64(from.data);
    memcpy(a->link.bytes, from.data + 8, LINK_BYTES);
    a->slot = get32(from.data + 8 + LINK_BYTES);
    return true;
}

/* ---- meta ---- */

void index_meta_write(const struct index_meta *m, uint8_t out[INDEX_META_BYTES]) {
    put32(out, m->format);
    put32(out + 4, m->next_slot);
    put64(out + 8, m->created_us);
    put64(out + 16, m->seed_mark);
    put32(out + 24, 0);
    put32(out + 28, check_of(INDEX_META_KEY, sizeof INDEX_META_KEY - 1, out, 28));
}

bool index_meta_read(struct index_meta *m, struct bytes from) {
    if (from.size != INDEX_META_BYTES ||
        get32(from.data + 28) != check_of(INDEX_META_KEY, sizeof INDEX_META_KEY - 1, from.data, 28))
        return false;
    m->format = get32(from.data);
    m->next_slot = get32(from.data + 4);
    m->created_us = get64(from.data + 8);
    m->seed_mark = get64(from.data + 16);
    return true;
}

bool index_path(char out[INDEX_PATH_BYTES], const char *dir, const char *file) {
    int n = snprintf(out, INDEX_PATH_BYTES, "%s/%s", dir, file);
    return n > 0 && n < INDEX_PATH_BYTES;
}
