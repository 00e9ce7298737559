/* trace.h - what is replayed: conversations, turn by turn. FORMAT.md describes the same as a file.
 *
 * A turn holds only what is new in it. What stood before it is the turn `from`, with the model's
 * real answer to it, and so on back; so a fork is two turns with one `from`, and an edit is a fork
 * too. */
#ifndef QUIRE_CLI_REPLAY_TRACE_H
#define QUIRE_CLI_REPLAY_TRACE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/error.h"

#define TRACE_MAX_TURNS 1000000
#define TRACE_MAX_PARTS 64              /* of one turn */
#define TRACE_MAX_TEXT_BYTES (1u << 20) /* of one part */
#define TRACE_NAME_BYTES 64             /* of a conversation or shape, with NUL */
#define TRACE_MAX_SHAPES 16
#define TRACE_NONE UINT32_MAX
#define TRACE_MAX_TOKENS 16 /* of an answer, where nothing else is said */

struct trace_part {
    bool picture;
    bool made; /* from seed (and bytes, or width and height); else literal text, or a file */
    uint64_t seed;
    uint32_t width, height; /* of a made picture */
    char *file;             /* of a picture that is not made; owned */
    uint8_t *data;          /* the text (NUL-terminated), or the encoded picture; owned */
    size_t bytes;
};

struct trace_turn {
    int64_t at_ms;         /* when it arrives, from the trace's start; -1: when it can */
    uint32_t conversation; /* index in the trace's conversations */
    uint32_t shape;        /* index in the trace's shapes */
    uint32_t turn;         /* number in its conversation, from 1 */
    uint32_t from;         /* index of the turn before it; TRACE_NONE: it begins from nothing */
    uint32_t keep; /* of what is before it, only the system message and so many turns; 0: all */
    uint32_t max_tokens;
    bool has_system;
    struct trace_part system; /* a text; only where from is TRACE_NONE */
    struct trace_part *parts; /* of the user's message; owned */
    size_t n_parts;
};

struct trace_conversation {
    char name[TRACE_NAME_BYTES];
    uint32_t last; /* index of its last turn; TRACE_NONE: none yet */
};

struct trace {
    struct trace_turn *turns; /* in the order in which they are sent, as far as answers allow */
    size_t n_turns, turns_room;
    struct trace_conversation *conversations;
    size_t n_conversations, conversations_room;
    char shapes[TRACE_MAX_SHAPES][TRACE_NAME_BYTES];
    size_t n_shapes;
    char folder[512]; /* that picture files are relative to; empty: the working directory */
};

void trace_close(struct trace *t); /* frees what it owns; a zeroed one is fine */

/* ---- building; ERR_NOMEM, ERR_LIMIT with a sentence ---- */

int trace_shape(struct trace *t, const char *name, uint32_t *index, struct error *e);
int trace_conversation(struct trace *t, const char *name, uint32_t *index, struct error *e);

/* Adds a turn after the last one of its conversation (or after `from`, where that is not
 * TRACE_NONE and the conversation is new), with no parts. The pointer is good until the next one.
 */
int trace_turn(struct trace *t, uint32_t conversation, uint32_t shape, uint32_t from,
               struct trace_turn **out, struct error *e);

/* Adds a part: literal text, text or a picture from a seed, a picture's file. */
int trace_text(struct trace_turn *turn, const char *text, size_t bytes, struct error *e);
int trace_made_text(struct trace_turn *turn, uint64_t seed, size_t bytes, struct error *e);
int trace_made_picture(struct trace_turn *turn, uint64_t seed, uint32_t width, uint32_t height,
                       struct error *e);
int trace_file_picture(struct trace_turn *turn, const char *file, struct error *e);
/* The system message of a turn that begins a conversation; text NULL: from the seed. */
int trace_system(struct trace_turn *turn, const char *text, uint64_t seed, size_t bytes,
                 struct error *e);

/* Draws the pictures and reads the files of all parts, which have no data before. */
int trace_load_pictures(struct trace *t, struct error *e);

/* The index of a conversation's turn, or TRACE_NONE. */
uint32_t trace_find(const struct trace *t, const char *conversation, uint32_t turn);

/* ---- files ---- */

/* Reads JSON lines; a line that is wrong is refused with a sentence that has its number. */
int trace_read(struct trace *out, const char *path, struct error *e);
int trace_write(const struct trace *t, const char *path, struct error *e);

#endif
