/* stb.c - the one file that contains stb_image.
 *
 * stb inflates a PNG into a buffer that it doubles as long as data comes, whatever the header said;
 * a small file can so ask for gigabytes. Every allocation goes through the functions below, which
 * count what this thread's decode holds and refuse to pass its budget. The count is per thread, so
 * decodes in several threads do not meet. */
#include "worker/image/stb.h"

#include <malloc.h>
#include <stdlib.h>

#include "common/must.h"

static _Thread_local struct {
    size_t held, peak, limit;
    bool over, no_memory;
} budget;

static bool within_budget(size_t freed, size_t wanted) {
    size_t held = budget.held - freed;
    budget.over = budget.over || wanted > budget.limit - held;
    return !budget.over;
}

static void *account(void *p) {
    budget.no_memory = budget.no_memory || p == NULL;
    budget.held += malloc_usable_size(p); /* 0 for NULL */
    if (budget.held > budget.limit)
        budget.limit = budget.held; /* the system rounded up past the limit: keep held <= limit */
    if (budget.held > budget.peak)
        budget.peak = budget.held;
    return p;
}

static void *budget_malloc(size_t n) {
    return within_budget(0, n) ? account(calloc(n, 1)) : NULL;
}

static void *budget_realloc(void *old, size_t n) {
    size_t freed = malloc_usable_size(old);
    if (!within_budget(freed, n))
        return NULL;
    void *p = realloc(old, n);
    if (p != NULL)
        budget.held -= freed;
    return account(p);
}

static void budget_free(void *p) {
    budget.held -= malloc_usable_size(p);
    free(p);
}

#define STBI_MALLOC(n) budget_malloc(n)
#define STBI_REALLOC(p, n) budget_realloc(p, n)
#define STBI_FREE(p) budget_free(p)
#define STBI_ASSERT(x) MUST(x)
#define STBI_ONLY_JPEG
#define STBI_ONLY_PNG
#define STBI_NO_STDIO
#define STBI_NO_LINEAR
#define STBI_NO_HDR
#define STB_IMAGE_STATIC
#define STB_IMAGE_IMPLEMENTATION
#include <stb/stb_image.h>

struct stb_result stb_decode(struct bytes encoded, size_t budget_bytes) {
    struct stb_result r = {0};
    budget.held = budget.peak = 0;
    budget.over = budget.no_memory = false;
    budget.limit = budget_bytes;
    int components;
    r.rgb =
        stbi_load_from_memory(encoded.data, (int)encoded.size, &r.width, &r.height, &components, 3);
    if (r.rgb == NULL)
        r.why = stbi_failure_reason();
    if (r.why == NULL)
        r.why = "no reason given";
    r.over_budget = budget.over;
    r.out_of_memory = budget.no_memory;
    r.peak_bytes = budget.peak;
    return r;
}
