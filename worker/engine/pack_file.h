/* pack_file.h - a pack in a file that all workers of a machine map.
 *
 * The file's name comes from the model's fingerprint and its file's size and time, so another
 * model, another version of it, or another way of packing is another file. It is built under a
 * second name by whoever locks that, and renamed when complete; others wait and then map it. Every
 * byte is checked against sums whenever a worker opens it, so a pack that is cut off or damaged is
 * noticed and built again. It is a cache: to be removed at any time, best while no worker starts.
 *
 * The format, in the byte order of the machine:
 *
 *     header   struct header of pack_file.c: magic, version, what it is a pack of, sizes, two sums
 *     table    u64 for each part of PACK_PART_BYTES: XXH3-64 of it
 *     (zeros up to a multiple of PACK_PART_BYTES)
 *     data     the tiles, as pack_plan.h lays them out
 *
 * A process holds a shared flock on the pack it maps, from opening to closing. */
#ifndef QUIRE_ENGINE_PACK_FILE_H
#define QUIRE_ENGINE_PACK_FILE_H

#include <stdbool.h>
#include <stdint.h>

#include "common/error.h"
#include "worker/engine/pack_plan.h"
#include "worker/engine/team.h"

#define PACK_WAIT_MS 120000 /* how long a worker waits for another one that packs */

struct pack_share {
    const char *dir;         /* pack_dir.h */
    uint8_t fingerprint[16]; /* of the text model */
    uint64_t source_bytes;   /* of its file */
    int64_t source_mtime_ns; /* likewise */
    int wait_ms;             /* 0: PACK_WAIT_MS */
};

struct pack_file;

/* Finds or builds the file. ERR_IO, ERR_LIMIT, ERR_TIMEOUT, ERR_NOMEM, with a sentence. */
int pack_file_open(struct pack_file **out, const struct pack_plan *plan,
                   const struct pack_share *share, struct team *t, struct error *e);
void pack_file_close(struct pack_file *f); /* NULL is fine */

const uint8_t *pack_file_data(const struct pack_file *f); /* [plan->bytes], until close */
bool pack_file_built(const struct pack_file *f);          /* by this process */

#endif
