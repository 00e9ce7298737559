/* talk.h - a conversation in the making, for tests: messages of texts and pictures.
 *
 * A struct talk is a value: copying one is `a = b`. Texts lie inside it, pictures are borrowed
 * (gallery.h keeps them). What does not fit fails the test. */
#ifndef QUIRE_TESTS_SCENARIOS_TALK_H
#define QUIRE_TESTS_SCENARIOS_TALK_H

#include <stdbool.h>
#include <stdint.h>

#include "client/quire.h"
#include "common/bytes.h"

#define TALK_PARTS 96
#define TALK_TEXT_BYTES 16384
#define TALK_TENANT_BYTES 32
#define TALK_TOKENS 6 /* of an answer, when nothing else is said */

struct talk_part {
    uint32_t message;
    enum quire_role role;
    size_t text, text_bytes; /* in talk.texts, when there is no picture */
    struct bytes picture;    /* data NULL: text */
    uint32_t max_pixels;
    bool overview;
};
struct talk {
    char tenant[TALK_TENANT_BYTES];
    struct talk_part parts[TALK_PARTS];
    size_t n_parts;
    uint32_t n_messages;
    char texts[TALK_TEXT_BYTES];
    size_t n_text_bytes;
    uint32_t max_tokens;
};

void talk_begin(struct talk *t, const char *tenant);
void talk_message(struct talk *t, enum quire_role role); /* the parts that follow belong to it */
void talk_text(struct talk *t, const char *text);
void talk_picture(struct talk *t, struct bytes picture);
/* The same, looked at less closely. */
void talk_picture_small(struct talk *t, struct bytes picture, uint32_t max_pixels, bool overview);

/* Whole messages. */
void talk_say(struct talk *t, enum quire_role role, const char *text);
void talk_show(struct talk *t, struct bytes picture, const char *text);   /* by the user */
void talk_glance(struct talk *t, struct bytes picture, const char *text); /* the overview alone */

/* Forgets all messages from this one on, or this one alone. */
void talk_cut(struct talk *t, uint32_t first);
void talk_leave_out(struct talk *t, uint32_t message);

/* Puts another picture in the place of the n-th shown one, counted from 0. */
void talk_replace(struct talk *t, size_t n, struct bytes picture);
/* Puts another text in the place of part n, counted from 0 over all messages. */
void talk_retell(struct talk *t, size_t part, const char *text);

/* Greedy, with log-probabilities; tenant NULL: the talk's own. */
struct quire_request *talk_request(const struct talk *t, const char *tenant);

#endif
