/* api_openai_picture_test.c - pictures inside JSON bodies: base64 in all its spellings, and what is
 * refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "client/client.h"
#include "gateway/api/dialect.h"

static struct quire_request *request;
static struct fault fault;

static int make(void **state) {
    (void)state;
    request = quire_request_new();
    assert_non_null(request);
    assert_int_equal(quire_request_message(request, QUIRE_USER), 0);
    return 0;
}

static int clear(void **state) {
    (void)state;
    quire_request_free(request);
    return 0;
}

/* The pictures of the request are these bytes, one after the other. */
static void expect_pictures(const uint8_t *const *data, const size_t *sizes, size_t n) {
    struct wire_message m;
    struct error e = {0};
    wire_message_init(&m);
    assert_int_equal(request_to_wire(request, (struct request_id){{1}}, &m, &e), 0);
    assert_int_equal(m.n_frames, 1 + n);
    for (size_t i = 0; i < n; i++) {
        struct bytes frame = wire_frame(&m, 1 + i);
        assert_int_equal(frame.size, sizes[i]);
        assert_memory_equal(frame.data, data[i], sizes[i]);
    }
    wire_message_close(&m);
}

static int add(const char *data) {
    return dialect_base64(request, "image/png", data, strlen(data), "p", &fault);
}

static void test_every_length_of_base64_is_decoded(void **state) {
    (void)state;
    static const int variants[] = {
        sodium_base64_VARIANT_ORIGINAL, sodium_base64_VARIANT_ORIGINAL_NO_PADDING,
        sodium_base64_VARIANT_URLSAFE, sodium_base64_VARIANT_URLSAFE_NO_PADDING};
    uint8_t data[64] = "\x89PNG\r\n\x1a\n";
    const uint8_t *pictures[LIMIT_PICTURES];
    size_t sizes[LIMIT_PICTURES], n = 0;
    char text[256];
    for (size_t i = 8; i < sizeof data; i++)
        data[i] = (uint8_t)(255 - 11 * i);
    for (size_t size = 8; size < 24; size++)
        for (size_t v = 0; v < 4; v++) {
            sodium_bin2base64(text, sizeof text, data, size, variants[v]);
            assert_int_equal(add(text), 0);
            pictures[n] = data;
            sizes[n++] = size;
        }
    expect_pictures(pictures, sizes, n);
}

static void test_line_ends_and_spaces_are_skipped(void **state) {
    (void)state;
    const uint8_t *const picture = (const uint8_t *)"\x89PNG\r\n\x1a\n\0\0";
    const size_t size = 10;
    assert_int_equal(add(" iVBO\r\nRw0K\nGgoA\tAA = =\n"), 0);
    expect_pictures(&picture, &size, 1);
}

static void test_what_is_no_base64_is_refused(void **state) {
    (void)state;
    static const char *const bad[] = {"iVBORw0KGgo*",
                                      "iVBORw0KGgoAA",
                                      "iVBORw0KGgoAA=",
                                      "iVBO=Rw0KGgoA",
                                      "iVBORw0KGgoA=",
                                      "iVBORw0KGgoA===",
                                      "=",
                                      "iVBORw0KGgoAA===",
                                      "iVBORw0KGgoAA=A"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        if (add(bad[i]) == 0)
            fail_msg("taken: %s", bad[i]);
        assert_int_equal(fault.status, 400);
        assert_string_equal(fault.param, "p");
        assert_string_equal(fault.text, "the picture is not valid base64");
    }
}

static void test_pictures_are_told_by_their_first_bytes(void **state) {
    (void)state;
    const uint8_t *const jpeg = (const uint8_t *)"\xff\xd8\xff";
    const size_t size = 3;
    assert_int_equal(add("/9j/"), 0); /* a JPEG, whatever its type claims */
    expect_pictures(&jpeg, &size, 1);
    assert_int_equal(add("R0lGODlh"), -1); /* GIF */
    assert_int_equal(fault.status, 422);
    assert_int_equal(fault.code, ERR_BAD_PICTURE);
    assert_int_equal(add(""), -1);
    assert_int_equal(fault.status, 422);
    assert_int_equal(add("iVBORw0K"), -1); /* too short to be a PNG */
    assert_int_equal(fault.status, 422);
    assert_int_equal(dialect_base64(request, "text/plain", "/9j/", 4, "p", &fault), -1);
    assert_int_equal(fault.status, 400);
}

static int add_url(const char *url) {
    return dialect_data_url(request, url, strlen(url), "p", &fault);
}

static void test_data_urls_are_read(void **state) {
    (void)state;
    const uint8_t *const jpegs[] = {(const uint8_t *)"\xff\xd8\xff",
                                    (const uint8_t *)"\xff\xd8\xff",
                                    (const uint8_t *)"\xff\xd8\xff"};
    const size_t sizes[] = {3, 3, 3};
    assert_int_equal(add_url("data:image/jpeg;base64,/9j/"), 0);
    assert_int_equal(add_url("DATA:IMAGE/JPEG;name=a.jpg;BASE64,/9j/"), 0);
    assert_int_equal(add_url("data:image/png;base64,/9j/"), 0);
    expect_pictures(jpegs, sizes, 3);
}

static void test_other_urls_are_refused_and_never_fetched(void **state) {
    (void)state;
    static const char *const bad[] = {"http://127.0.0.1/a.png",
                                      "https://example.com/a.png",
                                      "file:///etc/passwd",
                                      "ftp://a/b",
                                      "/9j/",
                                      "",
                                      "data",
                                      "gopher://x,;base64,/9j/"};
    static const char *const broken[] = {
        "data:",        "data:image/png,abc", "data:;base64,/9j/",
        "data:base64,", "data:,;base64,/9j/", "data:image/png;base64"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_int_equal(add_url(bad[i]), -1);
        assert_int_equal(fault.status, 400);
        assert_non_null(strstr(fault.text, "send the picture itself as a data: URL"));
    }
    for (size_t i = 0; i < sizeof broken / sizeof broken[0]; i++) {
        assert_int_equal(add_url(broken[i]), -1);
        assert_int_equal(fault.status, 400);
    }
}

static void test_a_picture_too_large_is_refused(void **state) {
    (void)state;
    size_t size = ((size_t)LIMIT_PICTURE_BYTES / 3 + 2) * 4;
    char *text = malloc(size);
    assert_non_null(text);
    memset(text, 'A', size);
    memcpy(text, "iVBORw0KGgoA", 12);
    assert_int_equal(dialect_base64(request, "image/png", text, size, "p", &fault), -1);
    assert_int_equal(fault.status, 413);
    assert_string_equal(fault.param, "p");
    free(text);
}

static void test_too_many_pictures_are_refused(void **state) {
    (void)state;
    for (int i = 0; i < LIMIT_PICTURES; i++)
        assert_int_equal(add("/9j/"), 0);
    assert_int_equal(add("/9j/"), -1);
    assert_int_equal(fault.status, 413);
    assert_string_equal(fault.param, "p");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_every_length_of_base64_is_decoded, make, clear),
        cmocka_unit_test_setup_teardown(test_line_ends_and_spaces_are_skipped, make, clear),
        cmocka_unit_test_setup_teardown(test_what_is_no_base64_is_refused, make, clear),
        cmocka_unit_test_setup_teardown(test_pictures_are_told_by_their_first_bytes, make, clear),
        cmocka_unit_test_setup_teardown(test_data_urls_are_read, make, clear),
        cmocka_unit_test_setup_teardown(test_other_urls_are_refused_and_never_fetched, make, clear),
        cmocka_unit_test_setup_teardown(test_a_picture_too_large_is_refused, make, clear),
        cmocka_unit_test_setup_teardown(test_too_many_pictures_are_refused, make, clear),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
