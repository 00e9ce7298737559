/* proto_spec_test.c - SPEC.md beside the code, so that neither changes alone. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "proto/cursor.h"
#include "proto/segments.h"
#include "proto_samples.h"

#define FILE_BYTES 65536 /* both files are well below */

static char spec[FILE_BYTES], limits[FILE_BYTES];

static void read_file(const char *path, char *out) {
    FILE *f = fopen(path, "rb");
    assert_non_null(f);
    size_t n = fread(out, 1, FILE_BYTES - 1, f);
    assert_true(n > 0 && n < FILE_BYTES - 1);
    out[n] = '\0';
    assert_int_equal(fclose(f), 0);
}

static int load(void **state) {
    (void)state;
    read_file(QUIRE_PROTO_DIR "/SPEC.md", spec);
    read_file(QUIRE_PROTO_DIR "/limits.h", limits);
    return 0;
}

/* ---- limits ---- */

static const struct {
    const char *name;
    unsigned long value;
} rows[] = {
#define ROW(name)                                                                                  \
    { #name, name }
    ROW(PROTO_VERSION_MIN),
    ROW(PROTO_VERSION_MAX),
    ROW(LIMIT_HEADER_BYTES),
    ROW(LIMIT_PICTURE_BYTES),
    ROW(LIMIT_REQUEST_BYTES),
    ROW(LIMIT_PICTURES),
    ROW(LIMIT_MESSAGES),
    ROW(LIMIT_PARTS),
    ROW(LIMIT_STOPS),
    ROW(LIMIT_STOP_BYTES),
    ROW(LIMIT_SCHEMA_BYTES),
    ROW(LIMIT_PRIORITY),
    ROW(LIMIT_TENANT_BYTES),
    ROW(LIMIT_MODEL_BYTES),
    ROW(LIMIT_NAME_BYTES),
    ROW(LIMIT_SOFTWARE_BYTES),
    ROW(LIMIT_ERROR_TEXT_BYTES),
    ROW(LIMIT_LOGPROBS),
    ROW(LIMIT_MAX_TOKENS),
    ROW(LIMIT_DEADLINE_MS),
    ROW(LIMIT_DEPTH),
    ROW(LIMIT_TOKENS_PER_MESSAGE),
    ROW(LIMIT_WORKERS),
    ROW(LIMIT_LISTED_REQUESTS),
    ROW(LIMIT_TEMPLATE_BYTES),
    ROW(LIMIT_TOOLS_BYTES),
    ROW(LIMIT_LINKS),
    ROW(LIMIT_SEGMENT_ENDS),
    ROW(LIMIT_EXPLAINED_SEGMENTS),
    ROW(SEGMENT_TEXT_BYTES),
    ROW(REQUEST_ID_BYTES),
#undef ROW
};
#define N_ROWS (sizeof rows / sizeof rows[0])

static void test_every_limit_is_listed_with_its_value(void **state) {
    (void)state;
    for (size_t i = 0; i < N_ROWS; i++) {
        char line[128];
        (void)snprintf(line, sizeof line, "\n| %s | %lu |", rows[i].name, rows[i].value);
        if (strstr(spec, line) == NULL)
            fail_msg("SPEC.md has no row%s", line);
    }
}

static void test_no_limit_of_the_header_is_left_out(void **state) {
    (void)state;
    size_t found = 0;
    for (const char *at = limits; (at = strstr(at, "\n#define ")) != NULL; at++) {
        const char *name = at + strlen("\n#define ");
        size_t size = strcspn(name, " \n");
        if (name[size] != ' ')
            continue; /* the include guard */
        size_t i = 0;
        while (i < N_ROWS &&
               (strlen(rows[i].name) != size || memcmp(rows[i].name, name, size) != 0))
            i++;
        if (i == N_ROWS)
            fail_msg("%.*s is missing from this test and SPEC.md", (int)size, name);
        found++;
    }
    assert_int_equal(found, N_ROWS);
}

/* ---- error codes ---- */

static void test_every_error_code_is_listed_with_its_name(void **state) {
    (void)state;
    char line[128];
    int code = -1;
    for (; strcmp(error_name(code), "unknown") != 0; code--) {
        (void)snprintf(line, sizeof line, "\n| %d | %s |", code, error_name(code));
        if (strstr(spec, line) == NULL)
            fail_msg("SPEC.md has no row%s", line);
    }
    assert_int_equal(code, ERR_TIMEOUT - 1);
    (void)snprintf(line, sizeof line, "\n| %d |", code);
    assert_null(strstr(spec, line));
}

/* ---- keys and words ---- */

static void assert_named(struct bytes word, const char *open, const char *close) {
    char wanted[96];
    (void)snprintf(wanted, sizeof wanted, "%s%.*s%s", open, (int)word.size, (const char *)word.data,
                   close);
    if (strstr(spec, wanted) == NULL)
        fail_msg("SPEC.md does not speak of %s", wanted);
}

/* Every key of a value and of what is in it. */
static void check_keys(struct cursor *c) {
    struct value v;
    assert_int_equal(cursor_next(c, &v, NULL), 0);
    if (v.kind == VALUE_ARRAY)
        for (uint32_t i = 0; i < v.count; i++)
            check_keys(c);
    if (v.kind == VALUE_MAP) {
        for (uint32_t i = 0; i < v.count; i++) {
            struct value key;
            assert_int_equal(cursor_next(c, &key, NULL), 0);
            assert_int_equal(key.kind, VALUE_STR);
            assert_named(key.bytes, "`", "`");
            check_keys(c);
        }
    }
}

static void test_every_key_of_every_message_is_described(void **state) {
    (void)state;
    struct sample samples[SAMPLES_MAX];
    size_t n = samples_make(samples);
    for (size_t i = 0; i < n; i++) {
        struct cursor c = cursor_over(wire_bytes(&samples[i].frame));
        check_keys(&c);
    }
    samples_clear(samples, n);
}

static void test_every_message_has_a_section(void **state) {
    (void)state;
    for (int type = 0; type < MSG_TYPES; type++) {
        const char *name = message_name((enum message_type)type);
        assert_named((struct bytes){(const uint8_t *)name, strlen(name)}, "\n### ", " (");
    }
}

/* ---- the examples ---- */

#define SHOWN_BYTES 1024

/* Reads the next block of bytes after *at, and moves *at behind it. */
static size_t take_hex(const char **at, uint8_t shown[SHOWN_BYTES]) {
    const char *line = strstr(*at, "```hex\n");
    assert_non_null(line);
    line += strlen("```hex\n");
    size_t n = 0;
    for (; strncmp(line, "```", 3) != 0; line = strchr(line, '\n') + 1) {
        assert_int_equal(strtoul(line, NULL, 16), n); /* the offset */
        const char *byte = line + 6;
        for (int i = 0; i < 16 && isxdigit((unsigned char)byte[0]); i++, byte += 3) {
            assert_true(n < SHOWN_BYTES);
            shown[n++] = (uint8_t)strtoul(byte, NULL, 16);
        }
    }
    *at = line;
    return n;
}

static void test_the_examples_bytes_are_what_is_sent(void **state) {
    (void)state;
    struct request r;
    struct wire_buffer frame = {0};
    sample_request_small(&r);
    assert_int_equal(request_encode(&r, &frame), 0);
    const char *at = strstr(spec, "\n## 10. An example\n");
    assert_non_null(at);
    uint8_t shown[SHOWN_BYTES];
    assert_int_equal(take_hex(&at, shown), frame.size);
    assert_memory_equal(shown, frame.data, frame.size);
    wire_buffer_clear(&frame);
}

/* ---- the chain ---- */

/* The link that the table of section 9 has for `what`. */
static struct link listed_link(const char *what) {
    char row[64];
    struct link link;
    (void)snprintf(row, sizeof row, "\n| %s | `", what);
    const char *at = strstr(spec, row);
    assert_non_null(at);
    at += strlen(row);
    for (size_t i = 0; i < LINK_BYTES; i++, at += 2) {
        const char pair[3] = {at[0], at[1], '\0'};
        link.bytes[i] = (uint8_t)strtoul(pair, NULL, 16);
    }
    return link;
}

static void assert_listed(const char *what, const struct link *link) {
    struct link listed = listed_link(what);
    assert_memory_equal(link->bytes, listed.bytes, LINK_BYTES);
}

#define SEED UINT64_C(0x0123456789abcdef)

static void test_the_chains_bytes_make_the_links_that_are_listed(void **state) {
    (void)state;
    static const char *const hashed[] = {"root", "segment 0, text", "segment 1, picture",
                                         "the picture"};
    const char *at = strstr(spec, "\n## 9. ");
    assert_non_null(at);
    for (size_t i = 0; i < sizeof hashed / sizeof hashed[0]; i++) {
        uint8_t shown[SHOWN_BYTES];
        size_t n = take_hex(&at, shown);
        XXH128_canonical_t link;
        XXH128_canonicalFromHash(&link, XXH3_128bits_withSeed(shown, n, SEED));
        struct link listed = listed_link(hashed[i]);
        assert_memory_equal(link.digest, listed.bytes, LINK_BYTES);
        if (i == 1 || i == 2) { /* the link before it comes first */
            listed = listed_link(hashed[i - 1]);
            assert_memory_equal(shown, listed.bytes, LINK_BYTES);
        }
    }
}

#define TEXT(s)                                                                                    \
    { (const uint8_t *)(s), sizeof(s) - 1 }

static void test_the_chains_example_is_what_we_make(void **state) {
    (void)state;
    static const uint8_t fingerprint[16] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
    const struct chain_root root = {SEED, fingerprint, TEXT("smolvlm"), TEXT("shop")};
    const struct bytes picture = TEXT("\x89PNG, or so it says"), answer = TEXT("A red square.");
    const struct request_part rules = {.kind = PART_TEXT, .text = TEXT("Be brief.")};
    const struct request_part asked[] = {{.kind = PART_PICTURE, .max_pixels = 1048576},
                                         {.kind = PART_TEXT, .text = TEXT("What is this?")}};
    struct request_message messages[] = {{ROLE_SYSTEM, &rules, 1}, {ROLE_USER, asked, 2}};
    struct request r;
    struct chain chain;
    struct link link;
    request_init(&r);
    r.messages = messages;
    r.n_messages = 2;
    r.n_pictures = 1;
    assert_int_equal(chain_make(&chain, &root, &r, &picture, NULL), 0);
    assert_int_equal(chain.count, 3);
    assert_listed("segment 0, text", &chain.segments[0].link);
    assert_listed("segment 1, picture", &chain.segments[1].link);
    assert_listed("segment 2, text", &chain.segments[2].link);
    assert_listed("the picture", &chain.segments[1].picture);
    assert_int_equal(chain_answer(SEED, &chain.segments[2].link, answer, &link, 1), 1);
    assert_listed("the answer \"A red square.\"", &link);
    chain_clear(&chain);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_limit_is_listed_with_its_value),
        cmocka_unit_test(test_no_limit_of_the_header_is_left_out),
        cmocka_unit_test(test_every_error_code_is_listed_with_its_name),
        cmocka_unit_test(test_every_key_of_every_message_is_described),
        cmocka_unit_test(test_every_message_has_a_section),
        cmocka_unit_test(test_the_examples_bytes_are_what_is_sent),
        cmocka_unit_test(test_the_chains_bytes_make_the_links_that_are_listed),
        cmocka_unit_test(test_the_chains_example_is_what_we_make),
    };
    return cmocka_run_group_tests(tests, load, NULL);
}
