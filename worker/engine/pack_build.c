/* pack_build.c - members take parts from a counter, so that the source is read forwards.
 *
 * A file is written with pwrite and not through a map: a full disk is then an error code instead of
 * a signal, and the page cache takes a part as one large page. */
#include "worker/engine/pack_build.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <xxhash.h>

#include "common/bytes.h"
#include "common/clock.h"
#include "common/log.h"

#define PROGRESS_MS 5000 /* between two lines of the log */

struct build {
    const struct pack_plan *plan;
    size_t parts;
    uint8_t *memory; /* NULL: a file */
    int fd;
    size_t offset;
    uint64_t *sums;
    uint8_t *buffers; /* of each member: a tile, and for a file a part */
    size_t buffer_bytes;
    int64_t logged_ms; /* by member 0 */
    atomic_size_t next;
    atomic_int failure; /* an errno */
};

uint64_t pack_part_sum(const uint8_t *part, size_t bytes) {
    return XXH3_64bits(part, bytes);
}

static int write_all(int fd, const uint8_t *bytes, size_t n, size_t offset) {
    while (n > 0) {
        ssize_t written = pwrite(fd, bytes, n, (off_t)offset);
        if (written < 0 && errno == EINTR)
            continue;
        if (written <= 0)
            return written < 0 ? errno : EIO;
        bytes += written;
        n -= (size_t)written;
        offset += (size_t)written;
    }
    return 0;
}

static void build_part(struct build *b, size_t part, uint8_t *buffer) {
    size_t from = part * PACK_PART_BYTES, left = b->plan->bytes - from;
    size_t n = left < PACK_PART_BYTES ? left : PACK_PART_BYTES;
    uint8_t *scratch = buffer;
    uint8_t *out = b->memory != NULL ? b->memory + from : buffer + b->plan->tile_bytes;
    pack_plan_fill(b->plan, from, from + n, out, scratch);
    if (b->memory != NULL)
        return;
    b->sums[part] = pack_part_sum(out, n);
    int failure = write_all(b->fd, out, n, b->offset + from);
    if (failure != 0)
        atomic_store(&b->failure, failure);
}

static void tell_progress(struct build *b, size_t part) {
    int64_t now_ms = clock_ms();
    if (now_ms - b->logged_ms < PROGRESS_MS)
        return;
    b->logged_ms = now_ms;
    log_info("packing", "percent=%zu of_mib=%zu", part * 100 / b->parts, b->plan->bytes >> 20);
}

static void member(void *opaque, int who, int members) {
    struct build *b = opaque;
    uint8_t *buffer = b->buffers + (size_t)who * b->buffer_bytes;
    (void)members;
    for (;;) {
        size_t part = atomic_fetch_add_explicit(&b->next, 1, memory_order_relaxed);
        if (part >= b->parts || atomic_load(&b->failure) != 0)
            return;
        build_part(b, part, buffer);
        if (who == 0)
            tell_progress(b, part);
    }
}

static int run(struct build *b, struct team *t, struct error *e) {
    size_t bytes;
    b->parts = pack_parts(b->plan->bytes);
    b->buffer_bytes = b->plan->tile_bytes + (b->memory == NULL ? PACK_PART_BYTES : 0);
    b->logged_ms = clock_ms();
    if (!size_mul(b->buffer_bytes, (size_t)team_size(t), &bytes) ||
        (b->buffers = aligned_alloc(TILE_ALIGN, bytes)) == NULL)
        return error_set(e, ERR_NOMEM, "no memory for packing weights");
    team_run(t, member, b);
    free(b->buffers);
    int failure = atomic_load(&b->failure);
    if (failure != 0)
        return error_set(e, ERR_IO, "writing failed: %s", strerror(failure));
    return 0;
}

int pack_build_memory(const struct pack_plan *p, struct team *t, uint8_t *memory, struct error *e) {
    struct build b = {.plan = p, .memory = memory};
    return run(&b, t, e);
}

int pack_build_file(const struct pack_plan *p, struct team *t, int fd, size_t offset,
                    uint64_t *sums, struct error *e) {
    struct build b = {.plan = p, .fd = fd, .offset = offset, .sums = sums};
    return run(&b, t, e);
}
