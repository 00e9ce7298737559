/* keys_new.c - makes a key. Only its hash is ever written to a file. */
#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>

#include "gateway/access/keys.h"
#include "gateway/access/keys_file.h"

#define KEY_PREFIX "quire-"
#define RANDOM_BYTES 32

int keys_make(char key[KEYS_TEXT_BYTES], char hash[KEYS_HASH_BYTES], struct error *e) {
    if (sodium_init() < 0)
        return error_set(e, ERR_INTERNAL, "libsodium can't start");
    uint8_t secret[RANDOM_BYTES], digest[crypto_hash_sha256_BYTES];
    char text[sodium_base64_ENCODED_LEN(RANDOM_BYTES, sodium_base64_VARIANT_URLSAFE_NO_PADDING)];
    char hex[2 * sizeof digest + 1];
    randombytes_buf(secret, sizeof secret);
    sodium_bin2base64(text, sizeof text, secret, sizeof secret,
                      sodium_base64_VARIANT_URLSAFE_NO_PADDING);
    (void)snprintf(key, KEYS_TEXT_BYTES, KEY_PREFIX "%s", text);
    crypto_hash_sha256(digest, (const unsigned char *)key, strlen(key));
    sodium_bin2hex(hex, sizeof hex, digest, sizeof digest);
    (void)snprintf(hash, KEYS_HASH_BYTES, "sha256:%s", hex);
    sodium_memzero(secret, sizeof secret);
    sodium_memzero(text, sizeof text);
    return 0;
}

int keys_print_new(const char *name, struct error *e) {
    char key[KEYS_TEXT_BYTES], hash[KEYS_HASH_BYTES];
    if (!keys_file_good_name(name))
        return error_set(e, ERR_USAGE,
                         "a key's name has 1 to %d letters, digits, dots, dashes or underscores",
                         KEYS_NAME_BYTES);
    int rc = keys_make(key, hash, e);
    if (rc < 0)
        return rc;
    int n = printf("The key, which is shown only now:\n\n"
                   "    %s\n\n"
                   "Its section for the key file:\n\n"
                   "[%s]\n"
                   "key = %s\n",
                   key, name, hash);
    sodium_memzero(key, sizeof key);
    if (n < 0 || fflush(stdout) != 0)
        return error_set(e, ERR_IO, "the key can't be printed: %s", strerror(errno));
    return 0;
}
