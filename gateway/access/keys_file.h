/* keys_file.h - the key file's text, as keys.c wants it. */
#ifndef QUIRE_GATEWAY_KEYS_FILE_H
#define QUIRE_GATEWAY_KEYS_FILE_H

#include <stddef.h>

#include "common/error.h"
#include "gateway/access/keys.h"

/* Reads all sections: *table is an array of *n keys (1 to KEYS_MAX) in the file's order, freed by
 * the caller with free(). After a failure both are NULL and 0. */
int keys_file_read(const char *path, struct key **table, size_t *n, struct error *e);

/* Whether text can be the name of a key: 1 to KEYS_NAME_BYTES letters, digits, '.', '_', '-'. */
bool keys_file_good_name(const char *text);

#endif
