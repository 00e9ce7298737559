/* keys.c - the table of keys, over reloads of its file.
 *
 * A key's number is a slot and how often that slot had another name before: slot + KEYS_MAX * turn.
 * So a number that somebody holds over a reload means the same section, or nothing. */
#include "gateway/access/keys.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "gateway/access/keys_file.h"

#define TURNS (INT32_MAX / KEYS_MAX) /* after so many, a slot's numbers begin again */

struct slot {
    struct key key; /* name "": free */
    int turn;
};

struct keys {
    char *path;
    size_t used; /* slots that are, or were, in use */
    struct slot slots[KEYS_MAX];
};

static size_t slot_of_name(const struct keys *k, const char *name) {
    for (size_t i = 0; i < k->used; i++)
        if (strcmp(k->slots[i].key.name, name) == 0)
            return i;
    return KEYS_MAX;
}

static size_t free_slot(const struct keys *k) {
    for (size_t i = 0; i < k->used; i++)
        if (k->slots[i].key.name[0] == '\0')
            return i;
    return k->used;
}

static bool is_listed(const struct key *table, size_t n, const char *name) {
    for (size_t i = 0; i < n; i++)
        if (strcmp(table[i].name, name) == 0)
            return true;
    return false;
}

/* Names that stay keep their slots; those that went leave theirs to new ones. */
static void take_over(struct keys *k, const struct key *table, size_t n) {
    for (size_t i = 0; i < k->used; i++) {
        struct slot *s = &k->slots[i];
        if (s->key.name[0] != '\0' && !is_listed(table, n, s->key.name)) {
            s->key = (struct key){0};
            s->turn = (s->turn + 1) % TURNS;
        }
    }
    for (size_t i = 0; i < n; i++) {
        size_t at = slot_of_name(k, table[i].name);
        if (at == KEYS_MAX)
            at = free_slot(k);
        k->slots[at].key = table[i];
        if (at == k->used)
            k->used++;
    }
}

int keys_reload(struct keys *k, struct error *e) {
    struct key *table;
    size_t n;
    int rc = keys_file_read(k->path, &table, &n, e);
    if (rc < 0)
        return rc;
    take_over(k, table, n);
    free(table);
    return 0;
}

int keys_open(struct keys **out, const char *path, struct error *e) {
    *out = NULL;
    if (sodium_init() < 0)
        return error_set(e, ERR_INTERNAL, "libsodium can't start");
    struct keys *k = calloc(1, sizeof *k);
    if (k != NULL)
        k->path = strdup(path);
    int rc = k != NULL && k->path != NULL ? keys_reload(k, e)
                                          : error_set(e, ERR_NOMEM, "memory ran out for keys");
    if (rc < 0) {
        keys_close(k);
        return rc;
    }
    *out = k;
    return 0;
}

void keys_close(struct keys *k) {
    if (k == NULL)
        return;
    free(k->path);
    free(k);
}

size_t keys_count(const struct keys *k) {
    size_t n = 0;
    for (size_t i = 0; i < k->used; i++)
        n += k->slots[i].key.name[0] != '\0';
    return n;
}

/* Goes through the whole table whatever it finds. */
int keys_find(const struct keys *k, const char *given) {
    if (given == NULL)
        return -1;
    given += strspn(given, " \t");
    size_t n = strlen(given);
    while (n > 0 && (given[n - 1] == ' ' || given[n - 1] == '\t'))
        n--;
    if (n == 0 || n > KEYS_GIVEN_BYTES)
        return -1;
    uint8_t hash[crypto_hash_sha256_BYTES];
    crypto_hash_sha256(hash, (const unsigned char *)given, n);
    int found = -1;
    for (size_t i = 0; i < k->used; i++) {
        const struct slot *s = &k->slots[i];
        bool same = sodium_memcmp(hash, s->key.hash, sizeof hash) == 0;
        if (same && s->key.name[0] != '\0')
            found = (int)i + KEYS_MAX * s->turn;
    }
    return found;
}

const struct key *keys_get(const struct keys *k, int index) {
    if (index < 0)
        return NULL;
    const struct slot *s = &k->slots[index % KEYS_MAX];
    return s->key.name[0] != '\0' && s->turn == index / KEYS_MAX ? &s->key : NULL;
}

/* A pointer to the header's first byte that is no blank; NULL when there is none. */
static const char *value_of(const char *header) {
    if (header == NULL)
        return NULL;
    header += strspn(header, " \t");
    return *header != '\0' ? header : NULL;
}

const char *keys_from_headers(const char *authorization, const char *x_api_key,
                              const char *api_key) {
    static const char scheme[] = "Bearer";
    const char *given = value_of(authorization);
    if (given != NULL && strncasecmp(given, scheme, sizeof scheme - 1) == 0) {
        given += sizeof scheme - 1;
        if (*given == ' ' || *given == '\t') {
            given = value_of(given);
            if (given != NULL)
                return given;
        }
    }
    given = value_of(x_api_key);
    return given != NULL ? given : value_of(api_key);
}
