/* proto_refuse_test.c - what SPEC.md forbids is refused with the right code; what it allows is not.
 *
 * Allocations are counted (the linker's --wrap=malloc), since "refused before anything is
 * allocated" and "a token costs no allocation" are promises. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fuzz_proto.h"
#include "proto/cursor.h"
#include "proto_samples.h"

static size_t allocated_bytes;
void *__real_malloc(size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_malloc(size_t size) {
    allocated_bytes += size;
    return __real_malloc(size);
}

static struct sample samples[SAMPLES_MAX];
static size_t n_samples;

static int make(void **state) {
    (void)state;
    n_samples = samples_make(samples);
    return 0;
}

static int clear(void **state) {
    (void)state;
    samples_clear(samples, n_samples);
    return 0;
}

static int read_sample(const struct sample *s, struct bytes frame, struct wire_buffer *again) {
    struct error e = {0};
    int rc = recode(s->type, s->pictures, frame, again, &e);
    if (rc != 0)
        assert_true(e.code == rc && e.text[0] != '\0');
    return rc;
}

/* ---- frames taken apart and put together again ---- */

#define PAIRS_MAX 32

struct pairs {
    size_t n;
    struct bytes key[PAIRS_MAX], value[PAIRS_MAX]; /* as encoded */
};

static struct bytes next_run(struct cursor *c) {
    const uint8_t *start = c->at;
    assert_int_equal(cursor_skip(c, NULL), 0);
    return (struct bytes){start, (size_t)(c->at - start)};
}

static void take_apart(struct bytes frame, struct pairs *out) {
    struct cursor c = cursor_over(frame);
    struct value head;
    assert_int_equal(cursor_next(&c, &head, NULL), 0);
    assert_int_equal(head.kind, VALUE_MAP);
    assert_true(head.count <= PAIRS_MAX);
    out->n = head.count;
    for (size_t i = 0; i < out->n; i++) {
        out->key[i] = next_run(&c);
        out->value[i] = next_run(&c);
    }
}

struct builder {
    uint8_t data[8192];
    size_t size;
};

static void put(struct builder *b, struct bytes run) {
    assert_true(b->size + run.size <= sizeof b->data);
    memcpy(b->data + b->size, run.data, run.size);
    b->size += run.size;
}

static void put_head(struct builder *b, size_t n) {
    uint8_t head[3] = {0xde, (uint8_t)(n >> 8), (uint8_t)n};
    b->size = 0;
    put(b, (struct bytes){head, sizeof head});
}

static void put_pair(struct builder *b, const struct pairs *p, size_t i) {
    put(b, p->key[i]);
    put(b, p->value[i]);
}

static struct bytes built(const struct builder *b) {
    return (struct bytes){b->data, b->size};
}

/* ---- structure ---- */

static void test_every_truncation_is_refused(void **state) {
    (void)state;
    for (size_t i = 0; i < n_samples; i++) {
        for (size_t size = 0; size < samples[i].frame.size; size++) {
            uint8_t *copy = malloc(size > 0 ? size : 1);
            memcpy(copy, samples[i].frame.data, size);
            assert_int_equal(read_sample(&samples[i], (struct bytes){copy, size}, NULL),
                             ERR_BAD_MESSAGE);
            free(copy);
        }
    }
}

static void test_bytes_after_the_map_are_refused(void **state) {
    (void)state;
    for (size_t i = 0; i < n_samples; i++) {
        struct builder b = {.size = 0};
        put(&b, wire_bytes(&samples[i].frame));
        put(&b, (struct bytes){(const uint8_t *)"\xc0", 1});
        assert_int_equal(read_sample(&samples[i], built(&b), NULL), ERR_BAD_MESSAGE);
    }
}

static void test_keys_may_come_in_any_order(void **state) {
    (void)state;
    for (size_t i = 0; i < n_samples; i++) {
        struct pairs p;
        struct builder b;
        struct wire_buffer again = {0};
        take_apart(wire_bytes(&samples[i].frame), &p);
        put_head(&b, p.n);
        for (size_t k = p.n; k-- > 0;)
            put_pair(&b, &p, k);
        assert_int_equal(read_sample(&samples[i], built(&b), &again), 0);
        assert_int_equal(again.size, samples[i].frame.size);
        assert_memory_equal(again.data, samples[i].frame.data, again.size);
        wire_buffer_clear(&again);
    }
}

static void test_unknown_keys_are_skipped(void **state) {
    (void)state;
    static const uint8_t unknown[] = {0xa5, 'l', 'a',  't',  'e',  'r',  0x92, 0x81,
                                      0xa1, 'x', 0xc3, 0xc4, 0x02, 0x00, 0xff};
    for (size_t i = 0; i < n_samples; i++) {
        struct pairs p;
        struct builder b;
        struct wire_buffer again = {0};
        take_apart(wire_bytes(&samples[i].frame), &p);
        put_head(&b, p.n + 1);
        put(&b, (struct bytes){unknown, sizeof unknown});
        for (size_t k = 0; k < p.n; k++)
            put_pair(&b, &p, k);
        assert_int_equal(read_sample(&samples[i], built(&b), &again), 0);
        assert_memory_equal(again.data, samples[i].frame.data, again.size);
        wire_buffer_clear(&again);
    }
}

static void test_a_known_key_may_come_once(void **state) {
    (void)state;
    for (size_t i = 0; i < n_samples; i++) {
        struct pairs p;
        take_apart(wire_bytes(&samples[i].frame), &p);
        for (size_t twice = 0; twice < p.n; twice++) {
            struct builder b;
            put_head(&b, p.n + 1);
            for (size_t k = 0; k < p.n; k++)
                put_pair(&b, &p, k);
            put_pair(&b, &p, twice);
            assert_int_equal(read_sample(&samples[i], built(&b), NULL), ERR_BAD_MESSAGE);
        }
    }
}

static void test_a_value_of_another_type_is_refused(void **state) {
    (void)state;
    static const uint8_t nil[] = {0xc0};
    for (size_t i = 0; i < n_samples; i++) {
        struct pairs p;
        take_apart(wire_bytes(&samples[i].frame), &p);
        for (size_t wrong = 0; wrong < p.n; wrong++) {
            struct builder b;
            put_head(&b, p.n);
            for (size_t k = 0; k < p.n; k++) {
                put(&b, p.key[k]);
                put(&b, k == wrong ? (struct bytes){nil, sizeof nil} : p.value[k]);
            }
            assert_int_equal(read_sample(&samples[i], built(&b), NULL), ERR_BAD_MESSAGE);
        }
    }
}

/* Removes key `name` from the sample `which` and returns the decoder's code. */
static int without(const char *which, const char *name) {
    for (size_t i = 0; i < n_samples; i++) {
        if (strcmp(samples[i].name, which) != 0)
            continue;
        struct pairs p;
        struct builder b;
        size_t removed = 0;
        take_apart(wire_bytes(&samples[i].frame), &p);
        put_head(&b, p.n - 1);
        for (size_t k = 0; k < p.n; k++) {
            if (p.key[k].size == strlen(name) + 1 &&
                memcmp(p.key[k].data + 1, name, strlen(name)) == 0)
                removed++;
            else
                put_pair(&b, &p, k);
        }
        assert_int_equal(removed, 1);
        return read_sample(&samples[i], built(&b), NULL);
    }
    fail_msg("no sample %s", which);
    return 0;
}

static void test_required_keys_must_be_there_and_others_need_not(void **state) {
    (void)state;
    static const char *const needed[][2] = {
        {"hello", "version_min"},
        {"hello", "version_max"},
        {"welcome", "version"},
        {"request", "id"},
        {"cancel", "id"},
        {"ops", "serial"},
        {"ops", "query"},
        {"ops", "worker"},
        {"progress", "id"},
        {"progress", "stage"},
        {"tokens", "id"},
        {"tokens", "index"},
        {"done", "id"},
        {"done", "reason"},
        {"error", "code"},
        {"ready", "name"},
        {"ready", "incarnation"},
        {"ready", "model"},
        {"ready", "fingerprint"},
        {"ready", "credits"},
        {"heartbeat", "incarnation"},
        {"reply", "incarnation"},
        {"reply", "ticket"},
        {"reply", "attempt"},
        {"work", "deadline_ms"},
        {"cancel-work", "ticket"},
        {"drain", "on"},
        {"beat", "known"},
        {"goodbye", "incarnation"},
        {"links", "incarnation"},
        {"ops-losses", "worker"},
        {"done", "v"},
        {"done", "t"},
    };
    for (size_t i = 0; i < sizeof needed / sizeof needed[0]; i++)
        if (without(needed[i][0], needed[i][1]) != ERR_BAD_MESSAGE)
            fail_msg("%s without %s was accepted", needed[i][0], needed[i][1]);
    assert_int_equal(without("request", "messages"), ERR_BAD_REQUEST);
    assert_int_equal(without("request", "sampling"), 0);
    assert_int_equal(without("request", "deadline_ms"), 0);
    assert_int_equal(without("done", "usage"), 0);
    assert_int_equal(without("error", "id"), 0);
    assert_int_equal(without("tokens", "text"), 0);
    assert_int_equal(without("ops-explain", "id"), 0);
    assert_int_equal(without("ops-explanation", "explanation"), 0);
    assert_int_equal(without("links", "held"), 0);
    assert_int_equal(without("welcome", "seed"), 0);
    assert_int_equal(without("done", "segment_ends"), 0);
}

static void test_a_key_that_is_no_string_is_refused(void **state) {
    (void)state;
    static const uint8_t frame[] = {0x83, 0xa1, 'v', 1, 0xa1, 't', 0xa4, 'B', 'E', 'A', 'T', 7, 7};
    enum message_type type;
    struct msg_beat beat;
    struct bytes run = {frame, sizeof frame};
    assert_int_equal(message_peek(run, &type, NULL), 0); /* it stops at the two keys it needs */
    assert_int_equal(beat_decode(&beat, run, NULL), ERR_BAD_MESSAGE);
}

static void test_deep_unknown_values_are_refused(void **state) {
    (void)state;
    uint8_t frame[4096] = {0x81, 0xa1, 'x'};
    enum message_type type;
    struct msg_beat beat;
    memset(frame + 3, 0x91, sizeof frame - 3);
    struct bytes run = {frame, sizeof frame};
    assert_int_equal(message_peek(run, &type, NULL), ERR_LIMIT);
    assert_int_equal(beat_decode(&beat, run, NULL), ERR_LIMIT);
}

/* ---- versions ---- */

static void test_other_versions_are_named_as_such(void **state) {
    (void)state;
    static const uint8_t frame[] = {0x82, 0xa1, 't', 0xa4, 'B', 'E', 'A', 'T', 0xa1, 'v', 9};
    enum message_type type = MSG_TYPES;
    struct msg_beat beat;
    struct error e;
    struct bytes run = {frame, sizeof frame};
    assert_int_equal(message_peek(run, &type, &e), ERR_BAD_VERSION);
    assert_int_equal(type, MSG_BEAT);
    assert_non_null(strstr(e.text, "1..1"));
    assert_int_equal(beat_decode(&beat, run, &e), ERR_BAD_VERSION);
}

static void test_unknown_and_missing_types_are_refused(void **state) {
    (void)state;
    static const uint8_t unknown[] = {0x82, 0xa1, 'v', 1, 0xa1, 't', 0xa3, 'F', 'O', 'O'};
    static const uint8_t missing[] = {0x81, 0xa1, 'v', 1};
    static const uint8_t array[] = {0x91, 1};
    enum message_type type;
    assert_int_equal(message_peek((struct bytes){unknown, sizeof unknown}, &type, NULL),
                     ERR_BAD_MESSAGE);
    assert_int_equal(message_peek((struct bytes){missing, sizeof missing}, &type, NULL),
                     ERR_BAD_MESSAGE);
    assert_int_equal(message_peek((struct bytes){array, sizeof array}, &type, NULL),
                     ERR_BAD_MESSAGE);
    assert_int_equal(message_peek((struct bytes){NULL, 0}, &type, NULL), ERR_BAD_MESSAGE);
}

static void test_a_message_is_not_read_as_another_type(void **state) {
    (void)state;
    for (size_t i = 0; i < n_samples; i++)
        for (int type = 0; type < MSG_TYPES; type++)
            if (type != (int)samples[i].type)
                assert_int_equal(
                    recode((enum message_type)type, 0, wire_bytes(&samples[i].frame), NULL, NULL),
                    ERR_BAD_MESSAGE);
}

/* ---- limits of REQUEST ---- */

/* Encodes and decodes; the encoder does not check, as its header says. */
static int send_request(const struct request *r, size_t pictures) {
    struct wire_buffer frame = {0};
    struct request out;
    struct error e = {0};
    assert_int_equal(request_encode(r, &frame), 0);
    int rc = request_decode(&out, wire_bytes(&frame), pictures, &e);
    assert_int_equal(rc, e.code);
    request_clear(&out);
    wire_buffer_clear(&frame);
    return rc;
}

static char long_text[LIMIT_STOP_BYTES + 1];

static void test_strings_are_accepted_up_to_their_limit(void **state) {
    (void)state;
    struct request r;
    sample_request_small(&r);
    memset(long_text, 'x', sizeof long_text);
    struct bytes stop = {(const uint8_t *)long_text, LIMIT_STOP_BYTES};
    r.stops = &stop;
    r.n_stops = 1;
    assert_int_equal(send_request(&r, 1), 0);
    stop.size++;
    assert_int_equal(send_request(&r, 1), ERR_LIMIT);
    stop.size = 0;
    assert_int_equal(send_request(&r, 1), ERR_BAD_REQUEST);
    r.n_stops = 0;
    r.tenant = (struct bytes){(const uint8_t *)long_text, LIMIT_TENANT_BYTES};
    assert_int_equal(send_request(&r, 1), 0);
    r.tenant.size++;
    assert_int_equal(send_request(&r, 1), ERR_LIMIT);
    r.tenant.size = 0;
    r.model = (struct bytes){(const uint8_t *)long_text, LIMIT_MODEL_BYTES};
    assert_int_equal(send_request(&r, 1), 0);
    r.model.size++;
    assert_int_equal(send_request(&r, 1), ERR_LIMIT);
}

static void test_a_schema_is_accepted_up_to_its_limit(void **state) {
    (void)state;
    static char schema[LIMIT_SCHEMA_BYTES + 1];
    struct request r;
    sample_request_small(&r);
    memset(schema, ' ', sizeof schema);
    r.schema = (struct bytes){(const uint8_t *)schema, LIMIT_SCHEMA_BYTES};
    assert_int_equal(send_request(&r, 1), 0);
    r.schema.size++;
    assert_int_equal(send_request(&r, 1), ERR_LIMIT);
}

static void test_there_are_three_priorities(void **state) {
    (void)state;
    struct request r;
    sample_request_small(&r);
    for (r.priority = PRIORITY_LOW; r.priority <= PRIORITY_HIGH; r.priority++)
        assert_int_equal(send_request(&r, 1), 0);
    assert_int_equal(send_request(&r, 1), ERR_BAD_REQUEST);
}

static void test_a_raw_message_is_alone_and_has_text_only(void **state) {
    (void)state;
    static const struct request_part text = {.kind = PART_TEXT, .text = {(const uint8_t *)"x", 1}};
    static const struct request_part shown[] = {{.kind = PART_TEXT}, {.kind = PART_PICTURE}};
    struct request_message messages[] = {{ROLE_RAW, &text, 1}, {ROLE_USER, &text, 1}};
    struct request r;
    sample_request_small(&r);
    r.messages = messages;
    r.n_messages = 1;
    assert_int_equal(send_request(&r, 0), 0);
    r.n_messages = 2;
    assert_int_equal(send_request(&r, 0), ERR_BAD_REQUEST); /* something after it */
    messages[1].role = ROLE_RAW;
    assert_int_equal(send_request(&r, 0), ERR_BAD_REQUEST);
    messages[0].role = ROLE_USER;
    assert_int_equal(send_request(&r, 0), ERR_BAD_REQUEST); /* something before it */
    messages[0] = (struct request_message){ROLE_RAW, shown, 2};
    r.n_messages = 1;
    assert_int_equal(send_request(&r, 1), ERR_BAD_REQUEST);
    messages[0].role = ROLE_USER;
    assert_int_equal(send_request(&r, 1), 0);
}

static void test_strings_must_be_utf8(void **state) {
    (void)state;
    struct request r;
    struct request_part part = {.kind = PART_TEXT, .text = {(const uint8_t *)"\xc3", 1}};
    struct request_message message = {ROLE_USER, &part, 1};
    sample_request_small(&r);
    r.messages = &message;
    assert_int_equal(send_request(&r, 0), ERR_BAD_MESSAGE);
    part.text = (struct bytes){(const uint8_t *)"ok", 2};
    assert_int_equal(send_request(&r, 0), 0);
    r.tenant = (struct bytes){(const uint8_t *)"\xff", 1};
    assert_int_equal(send_request(&r, 0), ERR_BAD_MESSAGE);
}

static void test_stop_strings_are_counted(void **state) {
    (void)state;
    struct request r;
    struct bytes stops[LIMIT_STOPS + 1];
    sample_request_small(&r);
    for (size_t i = 0; i <= LIMIT_STOPS; i++)
        stops[i] = (struct bytes){(const uint8_t *)"x", 1};
    r.stops = stops;
    r.n_stops = LIMIT_STOPS;
    assert_int_equal(send_request(&r, 1), 0);
    r.n_stops++;
    assert_int_equal(send_request(&r, 1), ERR_LIMIT);
}

static void test_messages_and_parts_are_counted(void **state) {
    (void)state;
    struct request r;
    static struct request_part parts[LIMIT_PARTS + 1];
    static struct request_message messages[LIMIT_MESSAGES + 1];
    sample_request_small(&r);
    for (size_t i = 0; i <= LIMIT_PARTS; i++)
        parts[i] = (struct request_part){.kind = PART_TEXT, .text = {(const uint8_t *)"x", 1}};
    for (size_t i = 0; i <= LIMIT_MESSAGES; i++)
        messages[i] = (struct request_message){ROLE_USER, parts, 1};
    r.messages = messages;
    r.n_messages = LIMIT_MESSAGES;
    assert_int_equal(send_request(&r, 0), 0);
    messages[0].n_parts = LIMIT_PARTS - LIMIT_MESSAGES + 1;
    assert_int_equal(send_request(&r, 0), 0);
    messages[0].n_parts++; /* over all messages, none of which is too long itself */
    assert_int_equal(send_request(&r, 0), ERR_LIMIT);
    messages[0].n_parts = 1;
    r.n_messages++;
    assert_int_equal(send_request(&r, 0), ERR_LIMIT);
    r.n_messages = 1;
    messages[0].n_parts = LIMIT_PARTS;
    assert_int_equal(send_request(&r, 0), 0);
    messages[0].n_parts++;
    assert_int_equal(send_request(&r, 0), ERR_LIMIT);
    messages[0].n_parts = 0;
    assert_int_equal(send_request(&r, 0), ERR_BAD_REQUEST);
    r.n_messages = 0;
    assert_int_equal(send_request(&r, 0), ERR_BAD_REQUEST);
}

static void test_pictures_are_counted_and_each_frame_is_shown(void **state) {
    (void)state;
    struct request r;
    static struct request_part parts[LIMIT_PICTURES + 1];
    struct request_message message = {ROLE_USER, parts, LIMIT_PICTURES};
    sample_request_small(&r);
    r.messages = &message;
    for (uint32_t i = 0; i < LIMIT_PICTURES; i++)
        parts[i] = (struct request_part){.kind = PART_PICTURE, .picture = i};
    assert_int_equal(send_request(&r, LIMIT_PICTURES), 0);
    assert_int_equal(send_request(&r, LIMIT_PICTURES - 1), ERR_BAD_REQUEST); /* one has no frame */
    assert_int_equal(send_request(&r, LIMIT_PICTURES + 1), ERR_LIMIT);
    parts[LIMIT_PICTURES] = (struct request_part){.kind = PART_PICTURE};
    message.n_parts++; /* a 65th place that shows frame 0 again */
    assert_int_equal(send_request(&r, LIMIT_PICTURES), ERR_LIMIT);
    message.n_parts = 2;
    assert_int_equal(send_request(&r, 2), 0);
    assert_int_equal(send_request(&r, 3), ERR_BAD_REQUEST); /* the third is shown nowhere */
    parts[1].picture = 0;
    assert_int_equal(send_request(&r, 1), 0); /* the same picture twice */
}

static void test_numbers_are_accepted_within_their_range(void **state) {
    (void)state;
    struct request r;
    sample_request_small(&r);
    r.max_tokens = LIMIT_MAX_TOKENS;
    assert_int_equal(send_request(&r, 1), 0);
    r.max_tokens++;
    assert_int_equal(send_request(&r, 1), ERR_BAD_REQUEST);
    r.max_tokens = 0;
    assert_int_equal(send_request(&r, 1), ERR_BAD_REQUEST);
    sample_request_small(&r);
    r.deadline_ms = 0;
    assert_int_equal(send_request(&r, 1), ERR_BAD_REQUEST);
    r.deadline_ms = LIMIT_DEADLINE_MS + 1;
    assert_int_equal(send_request(&r, 1), ERR_BAD_REQUEST);
    sample_request_small(&r);
    r.logprobs = LIMIT_LOGPROBS;
    assert_int_equal(send_request(&r, 1), 0);
    r.logprobs++;
    assert_int_equal(send_request(&r, 1), ERR_BAD_REQUEST);
}

static int send_sampling(struct sampling_options s) {
    struct request r;
    sample_request_small(&r);
    r.sampling = s;
    return send_request(&r, 1);
}

static void test_sampling_options_are_accepted_within_their_range(void **state) {
    (void)state;
    struct request defaults;
    request_init(&defaults);
    struct sampling_options s = defaults.sampling;
    const float good[] = {0, 1, 10}, bad[] = {-0.001F, 10.001F, NAN, INFINITY, -INFINITY};
    for (size_t i = 0; i < 3; i++) {
        s.temperature = good[i];
        assert_int_equal(send_sampling(s), 0);
    }
    for (size_t i = 0; i < 5; i++) {
        s.temperature = bad[i];
        assert_int_equal(send_sampling(s), ERR_BAD_REQUEST);
    }
    s = defaults.sampling;
    s.top_p = 1.001F;
    assert_int_equal(send_sampling(s), ERR_BAD_REQUEST);
    s = defaults.sampling;
    s.repeat_penalty = 0;
    assert_int_equal(send_sampling(s), ERR_BAD_REQUEST);
    s = defaults.sampling;
    s.top_k = -1;
    assert_int_equal(send_sampling(s), ERR_BAD_REQUEST);
    s = defaults.sampling;
    s.repeat_last_n = 4097;
    assert_int_equal(send_sampling(s), ERR_BAD_REQUEST);
}

/* A request as a client in another language writes it: {"v", "t", "id", "messages", "sampling"}
 * with the given msgpack value as the temperature. */
static int with_temperature(const uint8_t *value, size_t size, float *temperature) {
    static const char start[] = "\x85\xa1v\x01\xa1t\xa7REQUEST\xa2id\xc4\x10"
                                "0123456789abcdef\xa8messages\x91\x82\xa4role\xa4user\xa5parts\x91"
                                "\x81\xa4text\xa2hi\xa8sampling\x81\xabtemperature";
    struct builder b = {.size = 0};
    struct request r;
    put(&b, (struct bytes){(const uint8_t *)start, sizeof start - 1});
    put(&b, (struct bytes){value, size});
    int rc = request_decode(&r, built(&b), 0, NULL);
    *temperature = r.sampling.temperature;
    request_clear(&r);
    return rc;
}

static void test_numbers_may_be_integers_or_doubles(void **state) {
    (void)state;
    static const uint8_t one[] = {1}, half[] = {0xcb, 0x3f, 0xe0, 0, 0, 0, 0, 0, 0},
                         huge[] = {0xcb, 0x7f, 0xef, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff},
                         minus[] = {0xff}, text[] = {0xa1, '1'};
    float t;
    assert_int_equal(with_temperature(one, sizeof one, &t), 0);
    assert_true(t == 1.0F);
    assert_int_equal(with_temperature(half, sizeof half, &t), 0);
    assert_true(t == 0.5F);
    assert_int_equal(with_temperature(huge, sizeof huge, &t), ERR_BAD_REQUEST);
    assert_int_equal(with_temperature(minus, sizeof minus, &t), ERR_BAD_REQUEST);
    assert_int_equal(with_temperature(text, sizeof text, &t), ERR_BAD_MESSAGE);
}

static void test_a_part_is_text_or_picture_and_not_both(void **state) {
    (void)state;
    static const char start[] = "\x84\xa1v\x01\xa1t\xa7REQUEST\xa2id\xc4\x10"
                                "0123456789abcdef\xa8messages\x91\x82\xa4role\xa4user\xa5parts\x91";
    static const char both[] = "\x82\xa4text\xa2hi\xa7picture\x00", neither[] = "\x80";
    struct builder b = {.size = 0};
    struct request r;
    put(&b, (struct bytes){(const uint8_t *)start, sizeof start - 1});
    size_t mark = b.size;
    put(&b, (struct bytes){(const uint8_t *)both, sizeof both - 1});
    assert_int_equal(request_decode(&r, built(&b), 1, NULL), ERR_BAD_MESSAGE);
    b.size = mark;
    put(&b, (struct bytes){(const uint8_t *)neither, sizeof neither - 1});
    assert_int_equal(request_decode(&r, built(&b), 0, NULL), ERR_BAD_REQUEST);
}

/* ---- limits of other messages ---- */

static void test_names_of_workers_have_a_limit(void **state) {
    (void)state;
    struct msg_ready m = sample_ready;
    struct msg_ready out;
    struct wire_buffer frame = {0};
    memset(long_text, 'n', sizeof long_text);
    m.name = (struct bytes){(const uint8_t *)long_text, LIMIT_NAME_BYTES};
    assert_int_equal(ready_encode(&m, &frame), 0);
    assert_int_equal(ready_decode(&out, wire_bytes(&frame), NULL), 0);
    frame.size = 0;
    m.name.size++;
    assert_int_equal(ready_encode(&m, &frame), 0);
    assert_int_equal(ready_decode(&out, wire_bytes(&frame), NULL), ERR_LIMIT);
    frame.size = 0;
    m.name.size = 0;
    assert_int_equal(ready_encode(&m, &frame), 0);
    assert_int_equal(ready_decode(&out, wire_bytes(&frame), NULL), ERR_BAD_MESSAGE);
    wire_buffer_clear(&frame);
}

static void test_ids_of_tokens_are_whole_and_counted(void **state) {
    (void)state;
    static const uint8_t ids[(LIMIT_TOKENS_PER_MESSAGE + 1) * TOKEN_ID_BYTES];
    struct msg_reply reply = sample_reply, out;
    struct msg_work work = sample_work, given;
    struct wire_buffer frame = {0};
    reply.ids = (struct bytes){ids, LIMIT_TOKENS_PER_MESSAGE * TOKEN_ID_BYTES};
    assert_int_equal(reply_encode(&reply, &frame), 0);
    assert_int_equal(reply_decode(&out, wire_bytes(&frame), NULL), 0);
    frame.size = 0;
    reply.ids.size += TOKEN_ID_BYTES;
    assert_int_equal(reply_encode(&reply, &frame), 0);
    assert_int_equal(reply_decode(&out, wire_bytes(&frame), NULL), ERR_LIMIT);
    frame.size = 0;
    reply.ids.size = TOKEN_ID_BYTES + 1;
    assert_int_equal(reply_encode(&reply, &frame), 0);
    assert_int_equal(reply_decode(&out, wire_bytes(&frame), NULL), ERR_BAD_MESSAGE);

    size_t most = (size_t)LIMIT_MAX_TOKENS * TOKEN_ID_BYTES;
    uint8_t *many = calloc(1, most + TOKEN_ID_BYTES);
    assert_non_null(many);
    work.replay = (struct bytes){many, most};
    frame.size = 0;
    assert_int_equal(work_encode(&work, &frame), 0);
    assert_int_equal(work_decode(&given, wire_bytes(&frame), NULL), 0);
    frame.size = 0;
    work.replay.size += TOKEN_ID_BYTES;
    assert_int_equal(work_encode(&work, &frame), 0);
    assert_int_equal(work_decode(&given, wire_bytes(&frame), NULL), ERR_LIMIT);
    frame.size = 0;
    work.replay.size = TOKEN_ID_BYTES - 1;
    assert_int_equal(work_encode(&work, &frame), 0);
    assert_int_equal(work_decode(&given, wire_bytes(&frame), NULL), ERR_BAD_MESSAGE);
    free(many);
    wire_buffer_clear(&frame);
}

static void test_entries_must_match_the_tokens(void **state) {
    (void)state;
    struct msg_tokens m = sample_tokens_logprobs, out;
    struct wire_buffer frame = {0};
    assert_int_equal(tokens_encode(&m, &frame), 0);
    /* "n" is 2 in the sample; 3 tokens with 2 entries make no sense. */
    uint8_t *n = memmem(frame.data, frame.size, "\xa1n\x02", 3);
    assert_non_null(n);
    n[2] = 3;
    assert_int_equal(tokens_decode(&out, wire_bytes(&frame), NULL), ERR_BAD_MESSAGE);
    assert_null(out.block);
    n[2] = LIMIT_TOKENS_PER_MESSAGE + 1;
    assert_int_equal(tokens_decode(&out, wire_bytes(&frame), NULL), ERR_BAD_MESSAGE);
    wire_buffer_clear(&frame);
}

static void test_an_error_needs_a_negative_code(void **state) {
    (void)state;
    struct msg_error m = {.code = 0}, out;
    struct wire_buffer frame = {0};
    assert_int_equal(error_encode(&m, &frame), 0);
    assert_int_equal(error_decode(&out, wire_bytes(&frame), NULL), ERR_BAD_MESSAGE);
    wire_buffer_clear(&frame);
}

static void test_only_pictures_have_options(void **state) {
    (void)state;
    struct request r;
    struct request_part part = {.kind = PART_TEXT, .max_pixels = 1};
    struct request_message message = {ROLE_USER, &part, 1};
    sample_request_small(&r);
    r.messages = &message;
    assert_int_equal(send_request(&r, 0), ERR_BAD_REQUEST);
    part = (struct request_part){.kind = PART_TEXT, .detail = DETAIL_LOW};
    assert_int_equal(send_request(&r, 0), ERR_BAD_REQUEST);
    part.detail = DETAIL_HIGH;
    assert_int_equal(send_request(&r, 0), 0);
    part = (struct request_part){PART_PICTURE, {NULL, 0}, 0, UINT32_MAX, DETAIL_LOW};
    assert_int_equal(send_request(&r, 1), 0);
}

static void test_a_header_frame_has_a_limit(void **state) {
    (void)state;
    size_t size = (size_t)LIMIT_HEADER_BYTES + 1;
    uint8_t *frame = calloc(1, size);
    enum message_type type;
    struct msg_beat beat;
    assert_int_equal(message_peek((struct bytes){frame, size}, &type, NULL), ERR_LIMIT);
    assert_int_equal(beat_decode(&beat, (struct bytes){frame, size}, NULL), ERR_LIMIT);
    free(frame);
}

/* ---- memory ---- */

static void test_declared_gigabytes_are_refused_before_allocating(void **state) {
    (void)state;
    static const char start[] = "\x84\xa1v\x01\xa1t\xa7REQUEST\xa2id\xc4\x10"
                                "0123456789abcdef\xa8messages";
    static const char *const bombs[] = {
        "\xdd\xff\xff\xff\xff", /* 4 G messages */
        "\x91\x82\xa4role\xa4user\xa5parts\xdd\xff\xff\xff\xff",
        "\x91\x82\xa4role\xa4user\xa5parts\x91\x81\xa4text\xdb\xff\xff\xff\xff",
        "\x91\xdf\xff\xff\xff\xff",
    };
    for (size_t i = 0; i < sizeof bombs / sizeof bombs[0]; i++) {
        struct builder b = {.size = 0};
        struct request r;
        struct error e;
        put(&b, (struct bytes){(const uint8_t *)start, sizeof start - 1});
        put(&b, (struct bytes){(const uint8_t *)bombs[i], strlen(bombs[i])});
        memset(b.data + b.size, 0xc0, 155 - b.size);
        b.size = 155;
        allocated_bytes = 0;
        int rc = request_decode(&r, built(&b), 0, &e);
        assert_true(rc == ERR_BAD_MESSAGE || rc == ERR_LIMIT);
        assert_int_equal(allocated_bytes, 0);
    }
}

/* Few bytes on the wire for each struct in memory: 1000 messages of 4000 empty parts each. */
static void test_small_parts_do_not_multiply_into_large_blocks(void **state) {
    (void)state;
    static const char start[] = "\x84\xa1v\x01\xa1t\xa7REQUEST\xa2id\xc4\x10"
                                "0123456789abcdef\xa8messages\xdc\x03\xe8";
    static const char message[] = "\x82\xa4role\xa4user\xa5parts\xdc\x0f\xa0";
    size_t each = sizeof message - 1 + 4000, size = sizeof start - 1 + 1000 * each;
    uint8_t *frame = malloc(size);
    memcpy(frame, start, sizeof start - 1);
    for (size_t i = 0; i < 1000; i++) {
        uint8_t *at = frame + sizeof start - 1 + i * each;
        memcpy(at, message, sizeof message - 1);
        memset(at + sizeof message - 1, 0x80, 4000);
    }
    struct request r;
    allocated_bytes = 0;
    assert_int_equal(request_decode(&r, (struct bytes){frame, size}, 0, NULL), ERR_LIMIT);
    assert_int_equal(allocated_bytes, 0);
    free(frame);
}

static void test_reading_a_token_allocates_nothing(void **state) {
    (void)state;
    for (size_t i = 0; i < n_samples; i++) {
        bool lists = samples[i].type == MSG_REQUEST || samples[i].type == MSG_OPS_REPLY ||
                     strcmp(samples[i].name, "tokens-logprobs") == 0;
        allocated_bytes = 0;
        assert_int_equal(read_sample(&samples[i], wire_bytes(&samples[i].frame), NULL), 0);
        if (!lists)
            assert_int_equal(allocated_bytes, 0);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_truncation_is_refused),
        cmocka_unit_test(test_bytes_after_the_map_are_refused),
        cmocka_unit_test(test_keys_may_come_in_any_order),
        cmocka_unit_test(test_unknown_keys_are_skipped),
        cmocka_unit_test(test_a_known_key_may_come_once),
        cmocka_unit_test(test_a_value_of_another_type_is_refused),
        cmocka_unit_test(test_required_keys_must_be_there_and_others_need_not),
        cmocka_unit_test(test_a_key_that_is_no_string_is_refused),
        cmocka_unit_test(test_deep_unknown_values_are_refused),
        cmocka_unit_test(test_other_versions_are_named_as_such),
        cmocka_unit_test(test_unknown_and_missing_types_are_refused),
        cmocka_unit_test(test_a_message_is_not_read_as_another_type),
        cmocka_unit_test(test_strings_are_accepted_up_to_their_limit),
        cmocka_unit_test(test_a_schema_is_accepted_up_to_its_limit),
        cmocka_unit_test(test_there_are_three_priorities),
        cmocka_unit_test(test_a_raw_message_is_alone_and_has_text_only),
        cmocka_unit_test(test_strings_must_be_utf8),
        cmocka_unit_test(test_stop_strings_are_counted),
        cmocka_unit_test(test_messages_and_parts_are_counted),
        cmocka_unit_test(test_pictures_are_counted_and_each_frame_is_shown),
        cmocka_unit_test(test_numbers_are_accepted_within_their_range),
        cmocka_unit_test(test_sampling_options_are_accepted_within_their_range),
        cmocka_unit_test(test_numbers_may_be_integers_or_doubles),
        cmocka_unit_test(test_a_part_is_text_or_picture_and_not_both),
        cmocka_unit_test(test_names_of_workers_have_a_limit),
        cmocka_unit_test(test_ids_of_tokens_are_whole_and_counted),
        cmocka_unit_test(test_entries_must_match_the_tokens),
        cmocka_unit_test(test_an_error_needs_a_negative_code),
        cmocka_unit_test(test_only_pictures_have_options),
        cmocka_unit_test(test_a_header_frame_has_a_limit),
        cmocka_unit_test(test_declared_gigabytes_are_refused_before_allocating),
        cmocka_unit_test(test_small_parts_do_not_multiply_into_large_blocks),
        cmocka_unit_test(test_reading_a_token_allocates_nothing),
    };
    return cmocka_run_group_tests(tests, make, clear);
}
