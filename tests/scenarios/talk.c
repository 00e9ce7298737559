/* talk.c - see talk.h. */
#include "tests/scenarios/talk.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "tests/support/same_answer.h"

void talk_begin(struct talk *t, const char *tenant) {
    memset(t, 0, sizeof *t);
    (void)snprintf(t->tenant, sizeof t->tenant, "%s", tenant);
    t->max_tokens = TALK_TOKENS;
}

static size_t keep_text(struct talk *t, const char *text) {
    size_t at = t->n_text_bytes, bytes = strlen(text);
    assert_in_range(at + bytes, 0, TALK_TEXT_BYTES);
    memcpy(t->texts + at, text, bytes);
    t->n_text_bytes += bytes;
    return at;
}

static struct talk_part *add_part(struct talk *t) {
    assert_in_range(t->n_parts, 0, TALK_PARTS - 1);
    struct talk_part *p = &t->parts[t->n_parts];
    p->message = t->n_messages - 1;
    return p;
}

void talk_message(struct talk *t, enum quire_role role) {
    assert_in_range(t->n_parts, 0, TALK_PARTS - 1);
    t->n_messages++;
    memset(&t->parts[t->n_parts], 0, sizeof t->parts[0]);
    t->parts[t->n_parts].role = role; /* of the first part to come */
}

static void next_part(struct talk *t) {
    enum quire_role role = t->parts[t->n_parts].role;
    t->n_parts++;
    if (t->n_parts < TALK_PARTS) {
        memset(&t->parts[t->n_parts], 0, sizeof t->parts[0]);
        t->parts[t->n_parts].role = role;
    }
}

void talk_text(struct talk *t, const char *text) {
    struct talk_part *p = add_part(t);
    p->text = keep_text(t, text);
    p->text_bytes = strlen(text);
    next_part(t);
}

void talk_picture_small(struct talk *t, struct bytes picture, uint32_t max_pixels, bool overview) {
    struct talk_part *p = add_part(t);
    p->picture = picture;
    p->max_pixels = max_pixels;
    p->overview = overview;
    next_part(t);
}

void talk_picture(struct talk *t, struct bytes picture) {
    talk_picture_small(t, picture, 0, false);
}

void talk_say(struct talk *t, enum quire_role role, const char *text) {
    talk_message(t, role);
    talk_text(t, text);
}

void talk_show(struct talk *t, struct bytes picture, const char *text) {
    talk_message(t, QUIRE_USER);
    talk_picture(t, picture);
    talk_text(t, text);
}

void talk_glance(struct talk *t, struct bytes picture, const char *text) {
    talk_message(t, QUIRE_USER);
    talk_picture_small(t, picture, 0, true);
    talk_text(t, text);
}

void talk_cut(struct talk *t, uint32_t first) {
    while (t->n_parts > 0 && t->parts[t->n_parts - 1].message >= first)
        t->n_parts--;
    t->n_messages = first;
}

void talk_leave_out(struct talk *t, uint32_t message) {
    size_t n = 0;
    for (size_t i = 0; i < t->n_parts; i++) {
        if (t->parts[i].message == message)
            continue;
        t->parts[n] = t->parts[i];
        t->parts[n++].message -= t->parts[i].message > message;
    }
    t->n_parts = n;
    t->n_messages--;
}

void talk_replace(struct talk *t, size_t n, struct bytes picture) {
    for (size_t i = 0; i < t->n_parts; i++) {
        if (t->parts[i].picture.data == NULL || n-- > 0)
            continue;
        t->parts[i].picture = picture;
        return;
    }
    fail_msg("the conversation shows no such picture");
}

void talk_retell(struct talk *t, size_t part, const char *text) {
    assert_true(part < t->n_parts && t->parts[part].picture.data == NULL);
    t->parts[part].text = keep_text(t, text);
    t->parts[part].text_bytes = strlen(text);
}

struct quire_request *talk_request(const struct talk *t, const char *tenant) {
    struct quire_request *r = quire_request_new();
    assert_non_null(r);
    for (size_t i = 0; i < t->n_parts; i++) {
        const struct talk_part *p = &t->parts[i];
        if (i == 0 || p->message != t->parts[i - 1].message)
            assert_int_equal(quire_request_message(r, p->role), 0);
        int rc;
        if (p->picture.data != NULL) {
            (void)quire_request_look(r, p->max_pixels,
                                     p->overview ? QUIRE_DETAIL_LOW : QUIRE_DETAIL_HIGH);
            rc = quire_request_picture(r, p->picture.data, p->picture.size, NULL);
        } else {
            rc = quire_request_text(r, t->texts + p->text, p->text_bytes);
        }
        assert_int_equal(rc, 0);
    }
    assert_int_equal(quire_request_tenant(r, tenant != NULL ? tenant : t->tenant), 0);
    struct quire_options options;
    quire_options_default(&options);
    options.temperature = 0;
    options.max_tokens = t->max_tokens;
    options.logprobs = ANSWER_OTHERS;
    quire_request_options(r, &options);
    return r;
}
