/* files.h - the page's files in memory; made from gateway/web by the build (embed.c). */
#ifndef QUIRE_GATEWAY_FILES_H
#define QUIRE_GATEWAY_FILES_H

#include <stddef.h>

struct page_file {
    const char *name; /* "index.html", "chat/view.js" */
    const char *type; /* for Content-Type */
    const char *etag; /* with its quotes; a hash of the bytes */
    const unsigned char *data;
    size_t bytes;
};

extern const struct page_file page_files[];
extern const size_t page_n_files;

#endif
