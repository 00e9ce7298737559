/* gguf_image.h - what a writer holds, opened or refused, for tests. */
#ifndef QUIRE_TESTS_SUPPORT_GGUF_IMAGE_H
#define QUIRE_TESTS_SUPPORT_GGUF_IMAGE_H

#include "tests/support/gguf_writer.h"
#include "worker/engine/gguf.h"

/* A file made of the writer's image and opened from memory; closed by gguf_image_close. */
struct gguf_image {
    struct gguf *g; /* NULL when refused */
    uint8_t *bytes;
    size_t size, data_start;
    int code;
    struct error e;
};
void gguf_image_open(struct gguf_image *i, const struct gguf_writer *w);
/* Opens it again after a test has bent i->bytes. */
void gguf_image_reopen(struct gguf_image *i);
void gguf_image_close(struct gguf_image *i);

/* The file is refused with this code and a sentence that holds `part`; then the writer is closed.
 */
void expect_refused(struct gguf_writer *w, int code, const char *part);

#endif
