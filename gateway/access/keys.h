/* keys.h - who may ask: an INI file with a section for each key.
 *
 *     [alice]
 *     key = sha256:2bb80d53...    ; of the key, in hex; `quire-gateway --new-key alice` makes one
 *     tenant = shop               ; the section's name when it is missing
 *     admin = no
 *     priority = normal           ; low, normal, high
 *     in-flight = 8               ; requests at a time; 0: no limit of its own
 *     tokens-per-minute = 20000   ; prompt positions not reused and answer tokens; 0: no limit
 *
 * A key is 32 random bytes, so a plain SHA-256 of it gives nothing away. Comparing takes the same
 * time whatever is wrong with it. The file is read again on SIGHUP; a broken file leaves the old
 * keys in force and is logged.
 *
 * A key's number (its index) is found by keys_find and is meant to be held: it stays that of the
 * section of this name over any number of reloads, and keys_get gives NULL for it once the file has
 * no such section any more. A pointer to a struct key lives until keys_reload. */
#ifndef QUIRE_GATEWAY_KEYS_H
#define QUIRE_GATEWAY_KEYS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/error.h"

#define KEYS_MAX 1024                     /* sections of a file */
#define KEYS_FILE_BYTES ((size_t)1 << 20) /* of a file */
#define KEYS_NAME_BYTES 48                /* of a section's name: letters, digits, . _ - */
#define KEYS_TENANT_BYTES 64              /* of a tenant's name */
#define KEYS_GIVEN_BYTES 256              /* of a key as a caller gives it; longer ones are wrong */
#define KEYS_IN_FLIGHT_MAX 1000000        /* requests at a time */
#define KEYS_TOKENS_MAX INT64_C(1000000000000) /* per minute */

struct key {
    char name[65], tenant[65];
    uint8_t hash[32];
    bool admin;
    int priority;
    uint32_t in_flight;
    uint64_t tokens_per_minute;
};
struct keys;
/* Keeps a copy of path. ERR_USAGE for a file that others may write to, that is no regular file, or
 * that breaks the form above; the sentence names file, line and section. *out is NULL then. */
int keys_open(struct keys **out, const char *path, struct error *e);
int keys_reload(struct keys *k, struct error *e); /* after a failure the old keys are in force */
void keys_close(struct keys *k);                  /* NULL is fine */
size_t keys_count(const struct keys *k);
/* Number of the key that the caller gave, -1: none or a wrong one. */
int keys_find(const struct keys *k, const char *given);
const struct key *keys_get(const struct keys *k, int index); /* NULL: no such key (any more) */
/* The key in one of the forms that clients use: "Authorization: Bearer KEY", "x-api-key: KEY",
 * "api-key: KEY", in this order. NULL when there is none; a pointer into the header's value. Each
 * value may be NULL. */
const char *keys_from_headers(const char *authorization, const char *x_api_key,
                              const char *api_key);

#define KEYS_TEXT_BYTES 50 /* "quire-", 43 characters of base64url, and the end */
#define KEYS_HASH_BYTES 72 /* "sha256:", 64 hex digits, and the end */
/* A new key, and what the file says of it. */
int keys_make(char key[KEYS_TEXT_BYTES], char hash[KEYS_HASH_BYTES], struct error *e);
/* `quire-gateway --new-key NAME`: prints the key (once) and the section for the file. */
int keys_print_new(const char *name, struct error *e);

#endif
