/* decode_test.c - pictures that must decode, and those that must be refused with a sentence. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/file.h"
#include "tests/support/png_make.h"
#include "worker/image/format.h"
#include "worker/image/image.h"
#include "worker/image/stb.h"

#define FORMATS QUIRE_GOLDEN_DIR "/formats"

static void release(struct bytes b) {
    free((void *)(uintptr_t)b.data);
}

static uint8_t *writable(struct bytes b) {
    return (uint8_t *)(uintptr_t)b.data;
}

static void check_refused(struct bytes file, const char *said) {
    struct image i;
    struct error e = {0};
    int code = image_decode(file, &i, &e);
    assert_int_equal(code, ERR_BAD_PICTURE);
    assert_int_equal(e.code, ERR_BAD_PICTURE);
    assert_null(i.rgb);
    if (strstr(e.text, said) == NULL)
        fail_msg("\"%s\" does not say \"%s\"", e.text, said);
}

static void check_bytes_refused(const char *p, size_t n, const char *said) {
    check_refused((struct bytes){(const uint8_t *)p, n}, said);
}

/* PNG ------------------------------------------------------------------------------------------ */

static uint16_t ramp_8(uint32_t x, uint32_t y, int c) {
    return (uint16_t)((x * 7 + y * 13 + (uint32_t)c * 50) & 255);
}

static uint16_t ramp_16(uint32_t x, uint32_t y, int c) {
    return (uint16_t)((uint32_t)ramp_8(x, y, c) << 8 | (x & 255));
}

static uint16_t ramp_4(uint32_t x, uint32_t y, int c) {
    (void)c;
    return (uint16_t)((x + y) & 15);
}

static uint16_t ramp_2(uint32_t x, uint32_t y, int c) {
    (void)c;
    return (uint16_t)((x + y) & 3);
}

static uint16_t ramp_1(uint32_t x, uint32_t y, int c) {
    (void)c;
    return (uint16_t)((x + y) & 1);
}

/* Decodes it and asks for want(x, y, channel) everywhere. */
static void check_png(const struct png_spec *spec, uint8_t (*want)(uint32_t, uint32_t, int)) {
    struct bytes file = png_make(spec);
    struct image i;
    struct error e = {0};
    int32_t width, height;
    assert_int_equal(image_probe(file, &width, &height, &e), 0);
    assert_int_equal(width, spec->width);
    assert_int_equal(height, spec->height);
    if (image_decode(file, &i, &e))
        fail_msg("%s", e.text);
    for (uint32_t y = 0; y < spec->height; y++)
        for (uint32_t x = 0; x < spec->width; x++)
            for (int c = 0; c < 3; c++)
                assert_int_equal(i.rgb[(y * spec->width + x) * 3 + (uint32_t)c], want(x, y, c));
    image_clear(&i);
    release(file);
}

static uint8_t as_rgb(uint32_t x, uint32_t y, int c) {
    return (uint8_t)ramp_8(x, y, c);
}

static uint8_t as_grey(uint32_t x, uint32_t y, int c) {
    (void)c;
    return (uint8_t)ramp_8(x, y, 0);
}

static uint8_t as_grey_4(uint32_t x, uint32_t y, int c) {
    return (uint8_t)(ramp_4(x, y, c) * 17);
}

static uint8_t as_grey_2(uint32_t x, uint32_t y, int c) {
    return (uint8_t)(ramp_2(x, y, c) * 85);
}

static uint8_t as_grey_1(uint32_t x, uint32_t y, int c) {
    return (uint8_t)(ramp_1(x, y, c) * 255);
}

static uint8_t palette_of_16[48];

static uint8_t as_palette_4(uint32_t x, uint32_t y, int c) {
    return palette_of_16[3 * ramp_4(x, y, 0) + c];
}

static void fill_palette(void) {
    for (int i = 0; i < 48; i++)
        palette_of_16[i] = (uint8_t)(i * 37 + 11);
}

static void test_every_kind_of_png_decodes(void **state) {
    (void)state;
    static const struct {
        uint8_t depth, colour;
        uint16_t (*sample)(uint32_t, uint32_t, int);
        uint8_t (*want)(uint32_t, uint32_t, int);
    } kinds[] = {
        {8, 2, ramp_8, as_rgb},    {8, 6, ramp_8, as_rgb},    {16, 2, ramp_16, as_rgb},
        {16, 6, ramp_16, as_rgb},  {8, 0, ramp_8, as_grey},   {8, 4, ramp_8, as_grey},
        {16, 0, ramp_16, as_grey}, {16, 4, ramp_16, as_grey}, {4, 0, ramp_4, as_grey_4},
        {2, 0, ramp_2, as_grey_2}, {1, 0, ramp_1, as_grey_1},
    };
    static const uint32_t sizes[][2] = {{1, 1}, {2, 3}, {13, 9}, {33, 17}};
    for (size_t k = 0; k < sizeof kinds / sizeof kinds[0]; k++)
        for (size_t s = 0; s < 4; s++)
            for (int interlaced = 0; interlaced < 2; interlaced++) {
                struct png_spec spec = {sizes[s][0],
                                        sizes[s][1],
                                        kinds[k].depth,
                                        kinds[k].colour,
                                        interlaced != 0,
                                        {0},
                                        {0},
                                        kinds[k].sample,
                                        0};
                check_png(&spec, kinds[k].want);
            }
}

static void test_a_palette_becomes_its_colours(void **state) {
    (void)state;
    fill_palette();
    for (int interlaced = 0; interlaced < 2; interlaced++) {
        struct png_spec spec = {21, 10, 4, 3, interlaced != 0, {palette_of_16, 48}, {0}, ramp_4, 0};
        check_png(&spec, as_palette_4);
    }
}

static void test_alpha_is_dropped_without_blending(void **state) {
    (void)state;
    static const uint8_t clear_all[16] = {0}, grey_key[2] = {0, 7};
    static const uint8_t colour_key[6] = {0, 0, 0, 50, 0, 100}; /* the first pixel of ramp_8 */
    fill_palette();
    struct png_spec palette = {21,     10, 4, 3, false, {palette_of_16, 48}, {clear_all, 16},
                               ramp_4, 0};
    struct png_spec grey = {9, 9, 8, 0, false, {0}, {grey_key, 2}, ramp_8, 0};
    struct png_spec colour = {9, 9, 8, 2, false, {0}, {colour_key, 6}, ramp_8, 0};
    check_png(&palette, as_palette_4);
    check_png(&grey, as_grey);
    check_png(&colour, as_rgb);
}

/* JPEG ----------------------------------------------------------------------------------------- */

static double mean_difference(const struct image *a, const struct image *b, bool grey) {
    assert_int_equal(a->width, b->width);
    assert_int_equal(a->height, b->height);
    size_t pixels = (size_t)a->width * (size_t)a->height;
    double sum = 0;
    for (size_t i = 0; i < pixels; i++)
        for (size_t c = 0; c < 3; c++) {
            const uint8_t *q = b->rgb + 3 * i;
            double want = grey ? 0.299 * q[0] + 0.587 * q[1] + 0.114 * q[2] : q[c];
            double d = a->rgb[3 * i + c] - want;
            sum += d < 0 ? -d : d;
        }
    return sum / (double)(3 * pixels);
}

static struct image load(const char *name) {
    struct bytes file = file_read(FORMATS, name);
    struct image i;
    struct error e = {0};
    if (image_decode(file, &i, &e))
        fail_msg("%s: %s", name, e.text);
    release(file);
    return i;
}

static void test_every_kind_of_jpeg_decodes(void **state) {
    (void)state;
    static const struct {
        const char *name;
        double within;
    } files[] = {{"colour-444.jpg", 3},  {"colour-422.jpg", 5}, {"colour-420.jpg", 6},
                 {"progressive.jpg", 6}, {"grey.jpg", 3},       {"cmyk.jpg", 4}};
    struct image original = load("original.png");
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        struct image got = load(files[i].name);
        double d = mean_difference(&got, &original, strcmp(files[i].name, "grey.jpg") == 0);
        if (d > files[i].within)
            fail_msg("%s is %.2f off on average", files[i].name, d);
        image_clear(&got);
    }
    image_clear(&original);
}

static void test_large_jpegs_fit_their_budget(void **state) {
    (void)state;
    static const char *names[] = {"flat-progressive.jpg", "flat-cmyk.jpg"};
    static const uint8_t colour[3] = {200, 90, 40};
    for (size_t i = 0; i < 2; i++) {
        struct image got = load(names[i]);
        assert_int_equal(got.width, 1000);
        assert_int_equal(got.height, 800);
        for (size_t k = 0; k < 3 * 1000 * 800; k += 3001)
            assert_in_range(got.rgb[k], colour[k % 3] - 5, colour[k % 3] + 5);
        image_clear(&got);
    }
}

/* Refusals ------------------------------------------------------------------------------------- */

static void test_other_formats_are_named(void **state) {
    (void)state;
    check_bytes_refused("", 0, "empty");
    check_bytes_refused("GIF89a\1\0\1\0", 10, "a GIF");
    check_bytes_refused("RIFF\x10\0\0\0WEBPVP8 ", 16, "a WebP");
    check_bytes_refused("BM\x10\0\0\0\0\0", 8, "a BMP");
    check_bytes_refused("II*\0\x8\0\0\0", 8, "a TIFF");
    check_bytes_refused("\0\0\0\x18"
                        "ftypheic",
                        12, "a HEIC");
    check_bytes_refused("<svg xmlns=''/>", 15, "an SVG");
    check_bytes_refused("hello", 5, "unknown kind");
    check_bytes_refused("\x89PNG", 4, "unknown kind");
    check_bytes_refused("\xff", 1, "unknown kind");
}

static void test_a_file_cut_off_anywhere_is_refused(void **state) {
    (void)state;
    static const char *names[] = {"original.png", "colour-420.jpg", "progressive.jpg", "grey.jpg"};
    for (size_t f = 0; f < sizeof names / sizeof names[0]; f++) {
        struct bytes file = file_read(FORMATS, names[f]);
        for (size_t n = 0; n < file.size; n++) {
            /* memory of its own, so that a read past the end is seen */
            uint8_t *copy = malloc(n ? n : 1);
            assert_non_null(copy);
            memcpy(copy, file.data, n);
            struct image i;
            struct error e = {0};
            if (image_decode((struct bytes){copy, n}, &i, &e) != ERR_BAD_PICTURE)
                fail_msg("%s: the first %zu of %zu bytes decode", names[f], n, file.size);
            assert_true(e.text[0] != 0);
            free(copy);
        }
        release(file);
    }
}

static struct bytes small_png(void) {
    struct png_spec spec = {13, 9, 8, 2, false, {0}, {0}, ramp_8, 0};
    return png_make(&spec);
}

static void check_header_refused(size_t at, uint32_t value, const char *said) {
    struct bytes file = small_png();
    uint8_t *p = writable(file);
    for (int i = 0; i < 4; i++)
        p[at + (size_t)i] = (uint8_t)(value >> (24 - 8 * i));
    png_repair_checksums(p, file.size);
    check_refused(file, said);
    release(file);
}

#define AT_WIDTH 16
#define AT_HEIGHT 20

static void test_impossible_sizes_are_refused_before_decoding(void **state) {
    (void)state;
    check_header_refused(AT_WIDTH, 0, "0 x 9");
    check_header_refused(AT_HEIGHT, 0, "13 x 0");
    check_header_refused(AT_WIDTH, 0x80000000u, "2147483648 x 9");
    check_header_refused(AT_WIDTH, 16385, "at most 16384");
    check_header_refused(AT_HEIGHT, 0x7fffffff, "at most 16384");
}

static void test_too_many_pixels_are_refused(void **state) {
    (void)state;
    struct bytes file = small_png();
    uint8_t *p = writable(file);
    memcpy(p + AT_WIDTH, "\0\0\x20\0\0\0\x20\0", 8); /* 8192 x 8192 */
    png_repair_checksums(p, file.size);
    check_refused(file, "more than 40000000 pixels");
    release(file);
}

static void test_a_huge_picture_in_a_small_file_takes_no_memory(void **state) {
    (void)state;
    struct bytes file = small_png();
    uint8_t *p = writable(file);
    memcpy(p + AT_WIDTH, "\0\0\x10\0\0\0\x10\0", 8); /* 4096 x 4096: within the limits */
    png_repair_checksums(p, file.size);
    check_refused(file, "carries only");
    release(file);
}

static void test_a_picture_whose_decoding_takes_too_much_memory_is_refused(void **state) {
    (void)state;
    struct bytes file = small_png();
    uint8_t *p = writable(file);
    memcpy(p + AT_WIDTH, "\0\0\x18\0\0\0\x18\0", 8); /* 6144 x 6144: few enough pixels */
    png_repair_checksums(p, file.size);
    check_refused(file, "260 MB are the most");
    release(file);
}

static void test_data_that_inflates_past_its_pixels_is_refused(void **state) {
    (void)state;
    struct png_spec spec = {.width = 13, .height = 9, .depth = 8, .colour = 2};
    spec.extra_bytes = 64u << 20;
    struct bytes file = png_make(&spec);
    assert_true(file.size < 1u << 19);
    check_refused(file, "expands to more than its pixels");
    size_t budget = 2u << 20;
    struct stb_result r = stb_decode(file, budget);
    assert_null(r.rgb);
    assert_true(r.over_budget);
    assert_true(r.peak_bytes <= budget + 4096);
    release(file);
}

/* Large enough that the slack does not hide a sum that is too small, and compressed so well that
 * the file's own size does not. */
static void test_every_kind_of_png_fits_its_budget(void **state) {
    (void)state;
    static const uint8_t kinds[][2] = {{1, 0}, {8, 0}, {16, 0}, {8, 2}, {16, 2}, {1, 3},
                                       {8, 3}, {8, 4}, {16, 4}, {8, 6}, {16, 6}};
    static const uint8_t palette[6] = {9, 8, 7, 6, 5, 4}, key[6] = {0, 1, 0, 1, 0, 1};
    for (size_t k = 0; k < sizeof kinds / sizeof kinds[0]; k++)
        for (int variant = 0; variant < 4; variant++) {
            struct png_spec spec = {.width = 1000, .height = 800, .depth = kinds[k][0]};
            spec.colour = kinds[k][1];
            spec.interlaced = variant & 1;
            if (spec.colour == 3)
                spec.palette = (struct bytes){palette, 6};
            if ((variant & 2) && !(spec.colour & 4)) /* a colour key, or alpha of the palette */
                spec.transparency = (struct bytes){key, spec.colour == 2 ? 6 : 2};
            struct bytes file = png_make(&spec);
            struct image i;
            struct error e = {0};
            if (image_decode(file, &i, &e))
                fail_msg("%d bits, colour %d: %s", spec.depth, spec.colour, e.text);
            assert_int_equal(i.rgb[3 * 1000 * 800 - 1], spec.colour == 3 ? 7 : 0);
            image_clear(&i);
            release(file);
        }
}

static void test_damaged_chunks_are_named(void **state) {
    (void)state;
    struct bytes file = small_png();
    uint8_t *p = writable(file);
    p[file.size - 40] ^= 1; /* inside IDAT */
    check_refused(file, "IDAT chunk at byte 33 is damaged");
    png_repair_checksums(p, file.size);
    memcpy(p + 37, "IDAX", 4);
    png_repair_checksums(p, file.size);
    check_refused(file, "no"); /* IDAX may be skipped, but then there are no pixels */
    memcpy(p + 37, "QDAT", 4);
    png_repair_checksums(p, file.size);
    check_refused(file, "unknown type 51444154 at byte 33");
    memcpy(p + 12, "CgBI", 4);
    check_refused(file, "CgBI");
    release(file);
}

static void test_an_empty_first_chunk_of_pixels_is_refused(void **state) {
    (void)state;
    static const uint8_t empty[12] = {0, 0, 0, 0, 'I', 'D', 'A', 'T'};
    struct bytes file = small_png();
    uint8_t *longer = malloc(file.size + sizeof empty);
    assert_non_null(longer);
    memcpy(longer, file.data, 33);
    memcpy(longer + 33, empty, sizeof empty);
    memcpy(longer + 33 + sizeof empty, file.data + 33, file.size - 33);
    png_repair_checksums(longer, file.size + sizeof empty);
    check_refused((struct bytes){longer, file.size + sizeof empty}, "empty chunk at byte 33");
    free(longer);
    release(file);
}

static void test_a_palette_picture_needs_its_palette(void **state) {
    (void)state;
    struct png_spec spec = {5, 5, 4, 3, false, {0}, {0}, ramp_4, 0};
    struct bytes file = png_make(&spec);
    check_refused(file, "no palette");
    release(file);
}

static size_t find(struct bytes file, const char *what, size_t n) {
    for (size_t i = 0; i + n <= file.size; i++)
        if (memcmp(file.data + i, what, n) == 0)
            return i;
    fail_msg("the fixture lacks its marker");
    return 0;
}

static void test_unreadable_jpegs_say_why(void **state) {
    (void)state;
    struct bytes file = file_read(FORMATS, "colour-444.jpg");
    uint8_t *p = writable(file);
    size_t frame = find(file, "\xff\xc0", 2);
    p[frame + 1] = 0xc9;
    check_refused(file, "arithmetic");
    p[frame + 1] = 0xc0;
    p[frame + 4] = 12;
    check_refused(file, "12 bits");
    p[frame + 4] = 8;
    p[frame + 5] = p[frame + 6] = 0;
    check_refused(file, "45 x 0");
    p[frame + 5] = 0x3f; /* 16128 rows */
    check_refused(file, "16128");
    p[frame + 5] = 0x7f;
    check_refused(file, "at most 16384");
    release(file);
}

static void test_a_jpeg_of_endless_scans_is_refused(void **state) {
    (void)state;
    struct bytes file = file_read(FORMATS, "grey.jpg");
    size_t scan = find(file, "\xff\xda", 2), scan_bytes = file.size - 2 - scan;
    size_t n = scan + scan_bytes * (FORMAT_MAX_SCANS + 1) + 2;
    uint8_t *many = malloc(n);
    assert_non_null(many);
    memcpy(many, file.data, scan);
    for (size_t i = 0; i <= FORMAT_MAX_SCANS; i++)
        memcpy(many + scan + i * scan_bytes, file.data + scan, scan_bytes);
    memcpy(many + n - 2, "\xff\xd9", 2);
    check_refused((struct bytes){many, n}, "more than 64 scans");
    free(many);
    release(file);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_kind_of_png_decodes),
        cmocka_unit_test(test_a_palette_becomes_its_colours),
        cmocka_unit_test(test_alpha_is_dropped_without_blending),
        cmocka_unit_test(test_every_kind_of_jpeg_decodes),
        cmocka_unit_test(test_large_jpegs_fit_their_budget),
        cmocka_unit_test(test_other_formats_are_named),
        cmocka_unit_test(test_a_file_cut_off_anywhere_is_refused),
        cmocka_unit_test(test_impossible_sizes_are_refused_before_decoding),
        cmocka_unit_test(test_too_many_pixels_are_refused),
        cmocka_unit_test(test_a_huge_picture_in_a_small_file_takes_no_memory),
        cmocka_unit_test(test_a_picture_whose_decoding_takes_too_much_memory_is_refused),
        cmocka_unit_test(test_data_that_inflates_past_its_pixels_is_refused),
        cmocka_unit_test(test_every_kind_of_png_fits_its_budget),
        cmocka_unit_test(test_damaged_chunks_are_named),
        cmocka_unit_test(test_an_empty_first_chunk_of_pixels_is_refused),
        cmocka_unit_test(test_a_palette_picture_needs_its_palette),
        cmocka_unit_test(test_unreadable_jpegs_say_why),
        cmocka_unit_test(test_a_jpeg_of_endless_scans_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
