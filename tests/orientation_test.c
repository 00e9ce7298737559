/* orientation_test.c - photographs come out upright, and damaged tags do no harm. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/file.h"
#include "worker/image/image.h"

#define FORMATS QUIRE_GOLDEN_DIR "/formats"

static void release(struct bytes b) {
    free((void *)(uintptr_t)b.data);
}

static struct image load(const char *name) {
    struct bytes file = file_read(FORMATS, name);
    struct image i;
    assert_int_equal(image_decode(file, &i, NULL), 0);
    release(file);
    return i;
}

#define EXIF_BYTES 34 /* name, head, a directory of one entry and the place of the next */

/* Exif with one tag, of a type and count, and a value in each byte order. */
static void write_exif(uint8_t out[EXIF_BYTES], bool big, uint16_t tag, uint16_t type,
                       uint32_t count, uint16_t value) {
    const uint32_t fields[] = {tag, type, count, value, 0, 0};
    static const uint8_t sizes[] = {2, 2, 4, 2, 2, 4};
    memcpy(out, big ? "Exif\0\0MM\0*\0\0\0\x08\0\x01" : "Exif\0\0II*\0\x08\0\0\0\x01\0", 16);
    uint8_t *p = out + 16;
    for (size_t i = 0; i < 6; i++)
        for (int byte = 0; byte < sizes[i]; byte++)
            *p++ = (uint8_t)(fields[i] >> 8 * (big ? sizes[i] - 1 - byte : byte));
}

/* The JPEG with an APP1 segment after its start marker. */
static struct bytes tagged(struct bytes jpeg, const uint8_t *exif, size_t n) {
    uint8_t *out = malloc(jpeg.size + n + 4);
    assert_non_null(out);
    memcpy(out, jpeg.data, 2);
    memcpy(out + 2, (uint8_t[]){0xff, 0xe1, (uint8_t)((n + 2) >> 8), (uint8_t)(n + 2)}, 4);
    memcpy(out + 6, exif, n);
    memcpy(out + 6 + n, jpeg.data + 2, jpeg.size - 2);
    return (struct bytes){out, jpeg.size + n + 4};
}

/* Where in the stored picture of w x h the upright one's pixel (x, y) is. */
static int32_t stored_at(int32_t orientation, int32_t x, int32_t y, int32_t w, int32_t h) {
    switch (orientation) {
    case 2:
        return y * w + (w - 1 - x);
    case 3:
        return (h - 1 - y) * w + (w - 1 - x);
    case 4:
        return (h - 1 - y) * w + x;
    case 5:
        return x * w + y;
    case 6: /* its first row is the stored picture's first column, read upwards */
        return (h - 1 - x) * w + y;
    case 7:
        return (h - 1 - x) * w + (w - 1 - y);
    case 8: /* its first row is the stored picture's last column, read downwards */
        return x * w + (w - 1 - y);
    default:
        return y * w + x;
    }
}

static void check_turned(struct bytes file, const struct image *plain, int32_t orientation) {
    struct image i;
    int32_t width, height;
    assert_int_equal(image_probe(file, &width, &height, NULL), 0);
    assert_int_equal(image_decode(file, &i, NULL), 0);
    assert_int_equal(i.width, orientation >= 5 ? plain->height : plain->width);
    assert_int_equal(i.height, orientation >= 5 ? plain->width : plain->height);
    assert_int_equal(width, i.width);
    assert_int_equal(height, i.height);
    for (int32_t y = 0; y < height; y++)
        for (int32_t x = 0; x < width; x++) {
            int32_t from = stored_at(orientation, x, y, plain->width, plain->height);
            assert_memory_equal(i.rgb + 3 * (y * width + x), plain->rgb + 3 * from, 3);
        }
    image_clear(&i);
}

static void test_photographs_are_turned_upright(void **state) {
    (void)state;
    struct image plain = load("colour-444.jpg");
    struct bytes jpeg = file_read(FORMATS, "colour-444.jpg");
    for (uint16_t orientation = 1; orientation <= 8; orientation++)
        for (int big = 0; big < 2; big++) {
            uint8_t exif[EXIF_BYTES];
            write_exif(exif, big, 0x0112, 3, 1, orientation);
            struct bytes file = tagged(jpeg, exif, sizeof exif);
            check_turned(file, &plain, orientation);
            release(file);
        }
    struct bytes by_pillow = file_read(FORMATS, "rotated-tag.jpg");
    check_turned(by_pillow, &plain, 6);
    release(by_pillow);
    release(jpeg);
    image_clear(&plain);
}

static void check_ignored(struct bytes jpeg, const struct image *plain, const uint8_t *exif,
                          size_t n) {
    struct bytes file = tagged(jpeg, exif, n);
    check_turned(file, plain, 1);
    release(file);
}

static void test_damaged_orientation_tags_are_ignored(void **state) {
    (void)state;
    static const struct {
        uint16_t tag, type;
        uint32_t count;
        uint16_t value;
    } wrong[] = {{0x0112, 3, 1, 0}, {0x0112, 3, 1, 9},          {0x0112, 3, 1, 0xffff},
                 {0x0112, 4, 1, 6}, {0x0112, 3, 2, 6},          {0x0112, 3, 0, 6},
                 {0x0113, 3, 1, 6}, {0x0112, 3, 0xffffffff, 6}, {0x0112, 0xffff, 1, 6}};
    struct image plain = load("colour-444.jpg");
    struct bytes jpeg = file_read(FORMATS, "colour-444.jpg");
    uint8_t exif[EXIF_BYTES];
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        write_exif(exif, i % 2, wrong[i].tag, wrong[i].type, wrong[i].count, wrong[i].value);
        check_ignored(jpeg, &plain, exif, sizeof exif);
    }
    for (int big = 0; big < 2; big++) {
        write_exif(exif, big, 0x0112, 3, 1, 6);
        for (size_t n = 0; n < 28; n++) /* the entry is not whole */
            check_ignored(jpeg, &plain, exif, n);
        static const uint32_t places[] = {0, 7, 9, 27, 28, 29, 0x7fffffff, 0xfffffffe, 0xffffffff};
        for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) {
            for (int byte = 0; byte < 4; byte++)
                exif[10 + byte] = (uint8_t)(places[i] >> 8 * (big ? 3 - byte : byte));
            check_ignored(jpeg, &plain, exif, sizeof exif);
        }
    }
    write_exif(exif, false, 0x0112, 3, 1, 6);
    memset(exif + 14, 0xff, 2); /* 65535 entries: what there is of them is read, and is right */
    struct bytes file = tagged(jpeg, exif, sizeof exif);
    check_turned(file, &plain, 6);
    release(file);
    release(jpeg);
    image_clear(&plain);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_photographs_are_turned_upright),
        cmocka_unit_test(test_damaged_orientation_tags_are_ignored),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
