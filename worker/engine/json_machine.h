/* json_machine.h - whether a text may go on with a byte, so that it can still become an answer that
 * fits a schema.
 *
 * A pushdown automaton over bytes. Where alternatives begin alike it follows up to JSON_THREADS of
 * them at once. It knows at any time the least number of bytes after which the answer can be
 * complete, and there is always a next byte with which that number falls by one: whoever takes only
 * bytes after which enough room is left ends with a whole answer.
 *
 * The text is JSON without free white space: at most one space after ':' and ','.
 *
 * Frames are never changed once made: a byte makes new ones, which share what lies below. So going
 * back to an earlier mark costs nothing, which is what trying many tokens is made of. */
#ifndef QUIRE_ENGINE_JSON_MACHINE_H
#define QUIRE_ENGINE_JSON_MACHINE_H

#include <stdbool.h>
#include <stdint.h>

#include "common/error.h"
#include "worker/engine/json_schema.h"

/* A value that has begun. */
struct json_frame {
    uint32_t parent; /* the value that it is part of */
    uint32_t base;   /* least bytes that the values below need after this one */
    uint16_t node;
    uint16_t depth;        /* objects and arrays around it and itself */
    uint16_t low, high;    /* key: sorted properties that it may become; then low: which it is */
    uint16_t free_members; /* so far, that no property names */
    uint8_t state;         /* of its kind */
    uint8_t text;          /* json_text state of a string or key */
    uint8_t negative;      /* number */
    uint8_t open;          /* key: it may be one that no property names */
    uint16_t spare;        /* 0 */
    uint32_t count;        /* characters, items, digits; object: the next property */
    uint32_t position;     /* in a key; the letter of a literal */
    uint32_t hash;         /* of the key so far */
    uint32_t last_key;     /* the latest free key of this object, in keys; 0: none */
    int64_t value;         /* number: its digits */
};

/* A key that no property names: no second one like it may come. */
struct json_key {
    uint32_t hash, before; /* before: of the same object; 0: none */
};

#define JSON_KEYS 1024 /* in one answer; then no more come */
/* Frames of a machine that is settled. */
#define JSON_SETTLED_FRAMES (JSON_THREADS * (JSON_DEPTH + 2))
/* Frames that one byte may add. */
#define JSON_BYTE_FRAMES (JSON_THREADS * (JSON_SCHEMA_CHOICE + 2))

struct json_mark {
    uint32_t n_frames, n_keys, n_threads;
    uint32_t tops[JSON_THREADS];
};

struct json_machine {
    const struct json_schema *schema; /* borrowed */
    struct json_frame *frames;        /* owned: [room] */
    uint32_t *moved;                  /* owned: [room], for json_machine_settle */
    struct json_key *keys;            /* owned: [JSON_KEYS], from 1 on */
    uint32_t room;
    struct json_mark now; /* tops: the innermost value of each thread */
};

/* Room for `room` frames, at least JSON_SETTLED_FRAMES. ERR_NOMEM; then *m is empty. */
int json_machine_open(struct json_machine *m, uint32_t room, struct error *e);
void json_machine_close(struct json_machine *m); /* a zeroed one is fine */

/* Before the first byte. leads: one space may come before the answer. Borrows the schema. */
void json_machine_begin(struct json_machine *m, const struct json_schema *schema, bool leads);

/* Takes a byte. False: it can't come (or there is no room), and the machine must go back to an
 * earlier mark. A settled machine has room for one byte if its room is JSON_SETTLED_FRAMES +
 * JSON_BYTE_FRAMES. */
bool json_machine_step(struct json_machine *m, uint8_t byte);
static inline void json_machine_back(struct json_machine *m, const struct json_mark *mark) {
    m->now = *mark;
}

/* The least number of bytes to an end; 0: it may end here. */
uint32_t json_machine_need(const struct json_machine *m);
/* It may end here, and nothing may follow. */
bool json_machine_complete(const struct json_machine *m);

/* Whether a thread stands between two characters of a string, or of a key that may become any new
 * one: then all depends on how many characters come before the closing quote. In a key only those
 * count that are no escapes. */
enum json_inside { JSON_OUTSIDE, JSON_INSIDE_STRING, JSON_INSIDE_KEY };
struct json_room_inside {
    uint32_t most, least; /* characters that may and must still come; most JSON_NEVER: any */
    uint32_t bytes;       /* of a key: that may still come, whole characters */
    uint32_t need;        /* least bytes to the answer's end on this way, at most */
};
enum json_inside json_machine_inside(const struct json_machine *m, uint32_t thread,
                                     struct json_room_inside *room);

/* Forgets frames that are of no more use; marks are no longer valid. */
void json_machine_settle(struct json_machine *m);
/* Makes `to` what `from` is; from is settled. */
void json_machine_copy(struct json_machine *to, const struct json_machine *from);

#endif
