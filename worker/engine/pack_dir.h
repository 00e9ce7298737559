/* pack_dir.h - the directory of shared packs: where it is, whether it can be trusted, how it stays
 * small.
 *
 * Whoever can write there can change what models answer. So the directory must belong to the user,
 * and nobody else may write to it. */
#ifndef QUIRE_ENGINE_PACK_DIR_H
#define QUIRE_ENGINE_PACK_DIR_H

#include <stddef.h>
#include <stdint.h>

#include "common/error.h"

#define PACK_DIR_PATH_BYTES 1024
#define PACK_DIR_FILES 8                          /* packs, at most */
#define PACK_DIR_TOTAL_BYTES ((uint64_t)64 << 30) /* of all of them, but for one larger pack */
#define PACK_SUFFIX ".pack"
#define PACK_PART_SUFFIX ".part" /* of a file that is being built */

/* $XDG_CACHE_HOME/quire, else $HOME/.cache/quire. ERR_NOT_FOUND when neither says, ERR_LIMIT. */
int pack_dir_default(char *out, size_t capacity, struct error *e);

/* Makes the directory (and those above it) when it is missing; *fd is the caller's. ERR_IO. */
int pack_dir_open(const char *path, int *fd, struct error *e);

/* Removes the packs that were not used for the longest time, until there is room for a new one of
 * that name and size; never one that a process has open. Removes files that were never finished. */
void pack_dir_tidy(int dir, const char *name, uint64_t bytes);

#endif
