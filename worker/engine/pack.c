/* pack.c - a pack, shared where that is possible. */
#include "worker/engine/pack.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "common/log.h"
#include "worker/engine/pack_build.h"
#include "worker/engine/pack_plan.h"

#define MIB ((size_t)1 << 20)

struct pack {
    struct pack_file *file; /* NULL: private */
    uint8_t *memory;        /* NULL: a file's */
    size_t bytes;
};

static int build_private(struct pack *p, const struct pack_plan *plan, struct team *t,
                         struct error *e) {
    void *map = mmap(NULL, plan->bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (map == MAP_FAILED)
        return error_set(e, ERR_NOMEM, "no memory for %zu MiB of packed weights: %s",
                         plan->bytes / MIB, strerror(errno));
    (void)madvise(map, plan->bytes, MADV_HUGEPAGE); /* where the kernel has them */
    p->memory = map;
    return pack_build_memory(plan, t, p->memory, e);
}

static int open_planned(struct pack *p, const struct pack_plan *plan, struct team *t,
                        const struct pack_share *share, struct error *e) {
    struct error why = {0};
    p->bytes = plan->bytes;
    if (share != NULL && pack_file_open(&p->file, plan, share, t, &why) < 0)
        log_warn("pack-private", "mib=%zu %s", plan->bytes / MIB, why.text);
    int rc = p->file == NULL ? build_private(p, plan, t, e) : 0;
    const uint8_t *data = p->file == NULL ? p->memory : pack_file_data(p->file);
    for (size_t i = 0; rc == 0 && i < plan->n_weights; i++)
        plan->weights[i].weight->tiles = data + plan->weights[i].offset;
    return rc;
}

int pack_open(struct pack **out, struct text_model *m, struct team *t,
              const struct pack_share *share, struct error *e) {
    *out = NULL;
    struct pack_plan plan;
    int rc = pack_plan_open(&plan, m, e);
    if (rc < 0)
        return rc;
    struct pack *p = calloc(1, sizeof *p);
    rc = p != NULL ? open_planned(p, &plan, t, share, e)
                   : error_set(e, ERR_NOMEM, "no memory for packed weights");
    pack_plan_close(&plan);
    if (rc < 0) {
        pack_close(p);
        return rc;
    }
    *out = p;
    return 0;
}

void pack_close(struct pack *p) {
    if (p == NULL)
        return;
    pack_file_close(p->file);
    if (p->memory != NULL)
        (void)munmap(p->memory, p->bytes);
    free(p);
}

enum pack_origin pack_origin(const struct pack *p) {
    if (p->file == NULL)
        return PACK_PRIVATE;
    return pack_file_built(p->file) ? PACK_BUILT : PACK_MAPPED;
}

size_t pack_bytes(const struct pack *p) {
    return p->bytes;
}

int pack_measure(struct text_model *m, size_t *bytes, size_t *source_bytes, struct error *e) {
    struct pack_plan plan;
    int rc = pack_plan_open(&plan, m, e);
    if (rc < 0)
        return rc;
    *bytes = plan.bytes;
    *source_bytes = plan.source_bytes;
    pack_plan_close(&plan);
    return 0;
}
