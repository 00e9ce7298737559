/* gguf_image.c - see gguf_image.h. */
#include "tests/support/gguf_image.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "worker/engine/gguf_inside.h"

void gguf_image_open(struct gguf_image *i, const struct gguf_writer *w) {
    memset(i, 0, sizeof *i);
    i->bytes = gguf_writer_image(w, &i->size, &i->data_start);
    gguf_image_reopen(i);
}

void gguf_image_reopen(struct gguf_image *i) {
    gguf_close(i->g);
    i->code = gguf_open_bytes(&i->g, "image", (struct bytes){i->bytes, i->size}, &i->e);
    assert_true((i->code == 0) == (i->g != NULL));
}

void gguf_image_close(struct gguf_image *i) {
    gguf_close(i->g);
    free(i->bytes);
    memset(i, 0, sizeof *i);
}

void expect_refused(struct gguf_writer *w, int code, const char *part) {
    struct gguf_image i;
    gguf_image_open(&i, w);
    if (i.code != code || strstr(i.e.text, part) == NULL)
        fail_msg("wanted code %d and '%s', got %d and '%s'", code, part, i.code, i.e.text);
    gguf_image_close(&i);
    gguf_writer_close(w);
}
