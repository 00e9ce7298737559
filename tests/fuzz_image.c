/* fuzz_image.c - any bytes either decode to a picture within the limits or are refused with a
 * sentence. Links with libFuzzer as it is; image_mutation_test runs it on chosen damage. */
#include "tests/fuzz_image.h"

#include <stdlib.h>
#include <string.h>

#include "common/must.h"
#include "tests/support/png_make.h"
#include "worker/image/image.h"

static void check_picture(const struct image *i) {
    MUST(i->width >= 1 && i->width <= IMAGE_MAX_SIDE);
    MUST(i->height >= 1 && i->height <= IMAGE_MAX_SIDE);
    MUST((int64_t)i->width * i->height <= (int64_t)IMAGE_MAX_PIXELS);
    size_t n = (size_t)i->width * (size_t)i->height * 3;
    volatile uint8_t last = 0; /* every page of it can be read */
    for (size_t k = 0; k < n; k += 997)
        last = i->rgb[k];
    (void)last;
}

static void decode_once(struct bytes file) {
    struct error e = {0};
    struct image i;
    int32_t width = 0, height = 0;
    int probed = image_probe(file, &width, &height, NULL);
    int code = image_decode(file, &i, &e);
    MUST(code == 0 || code == ERR_BAD_PICTURE);
    if (code) {
        MUST(e.code == code && e.text[0] != 0 && i.rgb == NULL);
        return;
    }
    MUST(probed == 0 && width == i.width && height == i.height);
    check_picture(&i);
    image_clear(&i);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    decode_once((struct bytes){data, size});
    if (size > 8 && data[0] == 0x89) { /* a PNG: nearly all damage stops at a checksum */
        uint8_t *repaired = malloc(size);
        MUST(repaired != NULL);
        memcpy(repaired, data, size);
        png_repair_checksums(repaired, size);
        decode_once((struct bytes){repaired, size});
        free(repaired);
    }
    return 0;
}
