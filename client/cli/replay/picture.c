/* picture.c - a page of coloured boxes and lines of "text" on a shaded ground. */
#include "client/cli/replay/picture.h"

#include <stdlib.h>
#include <string.h>

#include <stb/stb_image_write.h>

#include "client/cli/replay/random.h"

#define CHANNELS 3
#define BOXES_LEAST 4
#define BOXES_MOST 10

struct canvas {
    uint8_t *pixels; /* [height][width][CHANNELS] */
    uint32_t width, height;
};

static void shade(struct canvas *c, uint64_t *random) {
    uint32_t from[CHANNELS], to[CHANNELS];
    for (int k = 0; k < CHANNELS; k++) {
        from[k] = random_between(random, 128, 255);
        to[k] = random_between(random, 128, 255);
    }
    for (uint32_t y = 0; y < c->height; y++)
        for (uint32_t x = 0; x < c->width; x++)
            for (uint32_t k = 0; k < CHANNELS; k++)
                c->pixels[((size_t)y * c->width + x) * CHANNELS + k] =
                    (uint8_t)((from[k] * (c->height - y) + to[k] * y) / c->height);
}

/* A filled box; stripes > 0 leaves out every other run of so many rows, as lines of text do. */
static void draw_box(struct canvas *c, uint64_t *random, uint32_t stripes) {
    uint32_t x0 = random_below(random, c->width), y0 = random_below(random, c->height);
    uint32_t x1 = x0 + random_between(random, 1, c->width / 2 + 1);
    uint32_t y1 = y0 + random_between(random, 1, c->height / 2 + 1);
    uint8_t colour[CHANNELS];
    for (int k = 0; k < CHANNELS; k++)
        colour[k] = (uint8_t)random_below(random, 256);
    for (uint32_t y = y0; y < y1 && y < c->height; y++)
        for (uint32_t x = x0; x < x1 && x < c->width; x++)
            if (stripes == 0 || (y - y0) / stripes % 2 == 0)
                memcpy(c->pixels + ((size_t)y * c->width + x) * CHANNELS, colour, CHANNELS);
}

struct file {
    uint8_t *data;
    size_t size, capacity;
    int failed;
};

static void append(void *context, void *data, int size) {
    struct file *f = context;
    size_t n = (size_t)size;
    if (f->capacity - f->size < n) {
        size_t wanted = 2 * (f->size + n);
        uint8_t *grown = realloc(f->data, wanted);
        if (grown == NULL) {
            f->failed = 1;
            return;
        }
        f->data = grown;
        f->capacity = wanted;
    }
    memcpy(f->data + f->size, data, n);
    f->size += n;
}

int picture_make(uint64_t seed, uint32_t width, uint32_t height, uint8_t **data, size_t *size,
                 struct error *e) {
    struct canvas c = {NULL, width, height};
    struct file file = {0};
    if (width < 1 || height < 1 || width > PICTURE_MAX_SIDE || height > PICTURE_MAX_SIDE)
        return error_set(e, ERR_LIMIT, "a picture has 1..%d pixels a side", PICTURE_MAX_SIDE);
    c.pixels = malloc((size_t)width * height * CHANNELS);
    if (c.pixels == NULL)
        return error_set(e, ERR_NOMEM, "memory ran out for a picture");
    uint64_t random = seed;
    shade(&c, &random);
    for (uint32_t n = random_between(&random, BOXES_LEAST, BOXES_MOST); n > 0; n--)
        draw_box(&c, &random, random_below(&random, 4));
    int ok = stbi_write_png_to_func(append, &file, (int)width, (int)height, CHANNELS, c.pixels,
                                    (int)(width * CHANNELS));
    free(c.pixels);
    if (!ok || file.failed) {
        free(file.data);
        return error_set(e, ERR_NOMEM, "memory ran out for a picture");
    }
    *data = file.data;
    *size = file.size;
    return 0;
}
