/* page.c - the page's files, from memory.
 *
 * Browsers ask each time whether what they keep is still right (no-cache with a strong tag), so a
 * new gateway never meets old modules. The policy allows what the page itself is made of and
 * nothing else: no inline script, no other host, no frame around it. Pictures may be blobs and data
 * URLs, because people's own pictures are. */
#include <string.h>

#include "common/must.h"
#include "gateway/views/views.h"
#include "gateway/web/files.h"

static const char policy[] =
    "default-src 'self'; img-src 'self' data: blob:; object-src 'none'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'";

static const struct page_file *find(const char *name) {
    for (size_t i = 0; i < page_n_files; i++)
        if (strcmp(page_files[i].name, name) == 0)
            return &page_files[i];
    return NULL;
}

/* Does the reader hold it already? The header is a list of tags or "*". A tag has its quotes, so
 * that one can't be part of another. */
static bool is_held(const struct exchange *x, const struct page_file *file) {
    const char *held = exchange_header(x, "If-None-Match");
    return held && (strcmp(held, "*") == 0 || strstr(held, file->etag));
}

static void send(struct exchange *x, const struct page_file *file) {
    exchange_add_header(x, "ETag", file->etag);
    exchange_add_header(x, "Cache-Control", "no-cache");
    exchange_add_header(x, "Content-Security-Policy", policy);
    exchange_add_header(x, "Referrer-Policy", "no-referrer");
    if (is_held(x, file))
        exchange_reply(x, 304, file->type, "", 0);
    else
        exchange_reply(x, 200, file->type, (const char *)file->data, file->bytes);
}

static void handle_file(struct exchange *x) {
    const struct page_file *file = find(exchange_tail(x));
    if (file) {
        send(x, file);
        return;
    }
    struct fault f;
    fault_set(&f, 404, ERR_NOT_FOUND, "", "the page has no such file");
    exchange_reply_fault(x, &f);
}

static void handle_root(struct exchange *x) {
    const struct page_file *file = find("index.html");
    MUST(file);
    send(x, file);
}

const struct route page_routes[] = {
    {"GET", "/", ROUTE_OPEN, handle_root, NULL},
    {"GET", "/page/*", ROUTE_OPEN, handle_file, NULL},
    {NULL, NULL, ROUTE_OPEN, NULL, NULL},
};
