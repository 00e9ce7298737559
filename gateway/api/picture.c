/* picture.c - pictures that stand in a JSON body, as base64.
 *
 * A body may hold 64 MiB of them and the loop has one thread, so decoding is a table look-up for
 * each character and not libsodium's, which takes care not to show through its timing what it
 * decodes; pictures are no secret to who sent them. Line ends and spaces between the characters are
 * skipped, the padding may be missing, and both alphabets (RFC 4648, sections 4 and 5) are read.
 *
 * A URL of anything but data is never fetched: a server that fetches what strangers name can be
 * sent to its own network's insides. */
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "gateway/api/dialect.h"
#include "proto/limits.h"

enum { DIGIT_SPACE = 64, DIGIT_PADDING = 65, DIGIT_NONE = 66 };

/* The values of base64's characters. */
static void digits_fill(uint8_t digits[256]) {
    static const char alphabet[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    memset(digits, DIGIT_NONE, 256);
    for (uint8_t i = 0; i < 64; i++)
        digits[(unsigned char)alphabet[i]] = i;
    digits['-'] = 62;
    digits['_'] = 63;
    digits['='] = DIGIT_PADDING;
    digits[' '] = digits['\t'] = digits['\r'] = digits['\n'] = DIGIT_SPACE;
}

/* Whole groups of four digits from *at on; stops before anything else. Returns the bytes written.
 */
static size_t decode_groups(const uint8_t digits[256], const char *data, size_t size, size_t *at,
                            uint8_t *out) {
    size_t i = *at, n = 0;
    for (; size - i >= 4; i += 4, n += 3) {
        uint8_t a = digits[(unsigned char)data[i]], b = digits[(unsigned char)data[i + 1]];
        uint8_t c = digits[(unsigned char)data[i + 2]], d = digits[(unsigned char)data[i + 3]];
        if ((a | b | c | d) >= 64)
            break;
        out[n] = (uint8_t)(a << 2 | b >> 4);
        out[n + 1] = (uint8_t)(b << 4 | c >> 2);
        out[n + 2] = (uint8_t)(c << 6 | d);
    }
    *at = i;
    return n;
}

/* Decodes into out, which has room for 3 bytes for each 4 characters and 3 more. False: not base64.
 */
static bool base64_decode(const char *data, size_t size, uint8_t *out, size_t *out_size) {
    uint8_t digits[256], group[4];
    unsigned have = 0, padding = 0; /* digits of the group under way; '=' seen */
    size_t n = 0;
    digits_fill(digits);
    for (size_t i = 0; i < size; i++) {
        if (have == 0 && padding == 0) {
            n += decode_groups(digits, data, size, &i, out + n);
            if (i == size)
                break;
        }
        uint8_t digit = digits[(unsigned char)data[i]];
        if (digit == DIGIT_SPACE || (digit == DIGIT_PADDING && ++padding <= 2))
            continue;
        if (digit > 63 || padding > 0)
            return false;
        group[have++] = digit;
        if (have < 4)
            continue;
        out[n++] = (uint8_t)(group[0] << 2 | group[1] >> 4);
        out[n++] = (uint8_t)(group[1] << 4 | group[2] >> 2);
        out[n++] = (uint8_t)(group[2] << 6 | group[3]);
        have = 0;
    }
    if (have == 1 || (padding > 0 && have + padding != 4))
        return false;
    if (have >= 2)
        out[n++] = (uint8_t)(group[0] << 2 | group[1] >> 4);
    if (have == 3)
        out[n++] = (uint8_t)(group[1] << 4 | group[2] >> 2);
    *out_size = n;
    return true;
}

static bool is_jpeg(const uint8_t *data, size_t size) {
    return size >= 3 && memcmp(data, "\xff\xd8\xff", 3) == 0;
}

static bool is_png(const uint8_t *data, size_t size) {
    return size >= 8 && memcmp(data, "\x89PNG\r\n\x1a\n", 8) == 0;
}

static int add_picture(struct quire_request *request, const uint8_t *data, size_t size,
                       const char *param, struct fault *fault) {
    struct quire_error error = {0};
    if (!is_jpeg(data, size) && !is_png(data, size))
        return fault_set(fault, 422, ERR_BAD_PICTURE, param,
                         "this is neither a JPEG nor a PNG picture");
    int rc = quire_request_picture(request, data, size, &error);
    if (rc == 0)
        return 0;
    fault_from_pool(fault, rc, error.text, 0);
    (void)snprintf(fault->param, sizeof fault->param, "%s", param);
    return -1;
}

int dialect_base64(struct quire_request *request, const char *media_type, const char *data,
                   size_t bytes, const char *param, struct fault *fault) {
    if (strncasecmp(media_type, "image/", 6) != 0)
        return fault_set(fault, 400, ERR_BAD_REQUEST, param,
                         "only pictures can be sent (image/jpeg or image/png), not %.40s",
                         media_type[0] != '\0' ? media_type : "data without a type");
    if (bytes / 4 > LIMIT_PICTURE_BYTES) /* a third more than a picture may have: spaces and all */
        return fault_set(fault, 413, ERR_LIMIT, param, "a picture may have %u bytes",
                         LIMIT_PICTURE_BYTES);
    size_t size;
    uint8_t *decoded = malloc(bytes / 4 * 3 + 3);
    if (decoded == NULL)
        return fault_set(fault, 500, ERR_NOMEM, param, "memory ran out for the picture");
    int rc = base64_decode(data, bytes, decoded, &size)
                 ? add_picture(request, decoded, size, param, fault)
                 : fault_set(fault, 400, ERR_BAD_REQUEST, param, "the picture is not valid base64");
    free(decoded);
    return rc;
}

int dialect_data_url(struct quire_request *request, const char *url, size_t bytes,
                     const char *param, struct fault *fault) {
    char type[64];
    const char *comma = memchr(url, ',', bytes < 256 ? bytes : 256);
    if (bytes < 5 || strncasecmp(url, "data:", 5) != 0)
        return fault_set(fault, 400, ERR_BAD_REQUEST, param,
                         "pictures are not fetched from other places; send the picture itself as "
                         "a data: URL (data:image/png;base64,...)");
    size_t head = comma != NULL ? (size_t)(comma - url) : 0;
    if (head < 12 || strncasecmp(comma - 7, ";base64", 7) != 0)
        return fault_set(fault, 400, ERR_BAD_REQUEST, param,
                         "a data: URL has the form data:image/png;base64,...");
    (void)snprintf(type, sizeof type, "%.*s", (int)(head - 12), url + 5);
    return dialect_base64(request, type, comma + 1, bytes - head - 1, param, fault);
}
