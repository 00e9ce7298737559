/* pack_build.h - fills a pack, part after part, with all members of a team. */
#ifndef QUIRE_ENGINE_PACK_BUILD_H
#define QUIRE_ENGINE_PACK_BUILD_H

#include <stddef.h>
#include <stdint.h>

#include "common/error.h"
#include "worker/engine/pack_plan.h"
#include "worker/engine/team.h"

/* What a member packs, sums and writes at a time. A huge page, so that the page cache can keep a
 * pack in huge pages, and maps of it cost a table entry for each instead of 512. */
#define PACK_PART_BYTES ((size_t)2 << 20)

static inline size_t pack_parts(size_t bytes) {
    return bytes / PACK_PART_BYTES + (bytes % PACK_PART_BYTES != 0);
}

/* memory: [p->bytes], aligned to TILE_ALIGN. ERR_NOMEM. */
int pack_build_memory(const struct pack_plan *p, struct team *t, uint8_t *memory, struct error *e);

/* Writes the pack into fd from `offset` on, and the sum of each part (pack_part_sum) into
 * sums[pack_parts(p->bytes)]. ERR_NOMEM, ERR_IO. */
int pack_build_file(const struct pack_plan *p, struct team *t, int fd, size_t offset,
                    uint64_t *sums, struct error *e);

uint64_t pack_part_sum(const uint8_t *part, size_t bytes);

#endif
