/* trace.c - building a trace, and giving it back. */
#include "client/cli/replay/trace.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/cli/replay/picture.h"
#include "client/cli/replay/words.h"
#include "common/bytes.h"
#include "proto/limits.h"

static int no_memory(struct error *e) {
    return error_set(e, ERR_NOMEM, "memory ran out for the trace");
}

static void close_part(struct trace_part *p) {
    free(p->file);
    free(p->data);
}

void trace_close(struct trace *t) {
    for (size_t i = 0; i < t->n_turns; i++) {
        struct trace_turn *turn = &t->turns[i];
        for (size_t k = 0; k < turn->n_parts; k++)
            close_part(&turn->parts[k]);
        close_part(&turn->system);
        free(turn->parts);
    }
    free(t->turns);
    free(t->conversations);
    memset(t, 0, sizeof *t);
}

/* ---- building ---- */

static int set_name(char out[TRACE_NAME_BYTES], const char *name, struct error *e) {
    size_t size = strlen(name);
    if (size == 0 || size >= TRACE_NAME_BYTES)
        return error_set(e, ERR_LIMIT, "a name has 1..%d bytes", TRACE_NAME_BYTES - 1);
    memcpy(out, name, size + 1);
    return 0;
}

int trace_shape(struct trace *t, const char *name, uint32_t *index, struct error *e) {
    for (size_t i = 0; i < t->n_shapes; i++) {
        if (strcmp(t->shapes[i], name) == 0) {
            *index = (uint32_t)i;
            return 0;
        }
    }
    if (t->n_shapes == TRACE_MAX_SHAPES)
        return error_set(e, ERR_LIMIT, "a trace has at most %d shapes", TRACE_MAX_SHAPES);
    int rc = set_name(t->shapes[t->n_shapes], name, e);
    if (rc == 0)
        *index = (uint32_t)t->n_shapes++;
    return rc;
}

static int grow(void **items, size_t count, size_t *room, size_t item_bytes, struct error *e) {
    size_t wanted = *room > 0 ? 2 * *room : 64, bytes;
    if (count < *room)
        return 0;
    if (!size_mul(wanted, item_bytes, &bytes))
        return no_memory(e);
    void *grown = realloc(*items, bytes);
    if (grown == NULL)
        return no_memory(e);
    *items = grown;
    *room = wanted;
    return 0;
}

int trace_conversation(struct trace *t, const char *name, uint32_t *index, struct error *e) {
    /* The latest ones are the likeliest. */
    for (size_t i = t->n_conversations; i-- > 0;) {
        if (strcmp(t->conversations[i].name, name) == 0) {
            *index = (uint32_t)i;
            return 0;
        }
    }
    void *items = t->conversations;
    int rc = grow(&items, t->n_conversations, &t->conversations_room, sizeof *t->conversations, e);
    t->conversations = items;
    if (rc == 0)
        rc = set_name(t->conversations[t->n_conversations].name, name, e);
    if (rc != 0)
        return rc;
    t->conversations[t->n_conversations].last = TRACE_NONE;
    *index = (uint32_t)t->n_conversations++;
    return 0;
}

int trace_turn(struct trace *t, uint32_t conversation, uint32_t shape, uint32_t from,
               struct trace_turn **out, struct error *e) {
    struct trace_conversation *c = &t->conversations[conversation];
    if (t->n_turns == TRACE_MAX_TURNS)
        return error_set(e, ERR_LIMIT, "a trace has at most %d turns", TRACE_MAX_TURNS);
    void *items = t->turns;
    int rc = grow(&items, t->n_turns, &t->turns_room, sizeof *t->turns, e);
    t->turns = items;
    if (rc != 0)
        return rc;
    struct trace_turn *turn = &t->turns[t->n_turns];
    *turn = (struct trace_turn){
        .at_ms = -1,
        .conversation = conversation,
        .shape = shape,
        .turn = c->last == TRACE_NONE ? 1 : t->turns[c->last].turn + 1,
        .from = c->last == TRACE_NONE ? from : c->last,
        .max_tokens = TRACE_MAX_TOKENS,
    };
    c->last = (uint32_t)t->n_turns++;
    *out = turn;
    return 0;
}

static int add_part(struct trace_turn *turn, struct trace_part part, struct error *e) {
    struct trace_part *grown = turn->n_parts < TRACE_MAX_PARTS
                                   ? realloc(turn->parts, (turn->n_parts + 1) * sizeof *turn->parts)
                                   : NULL;
    if (grown == NULL) {
        close_part(&part);
        return turn->n_parts < TRACE_MAX_PARTS
                   ? no_memory(e)
                   : error_set(e, ERR_LIMIT, "a turn has at most %d parts", TRACE_MAX_PARTS);
    }
    turn->parts = grown;
    turn->parts[turn->n_parts++] = part;
    return 0;
}

/* text NULL: made from the seed. */
static int make_text(struct trace_part *out, const char *text, uint64_t seed, size_t bytes,
                     struct error *e) {
    if (bytes == 0 || bytes > TRACE_MAX_TEXT_BYTES)
        return error_set(e, ERR_LIMIT, "a text has 1..%u bytes", TRACE_MAX_TEXT_BYTES);
    char *data = malloc(bytes + 1);
    if (data == NULL)
        return no_memory(e);
    if (text != NULL)
        memcpy(data, text, bytes);
    else
        words_make(seed, data, bytes);
    data[bytes] = '\0';
    *out = (struct trace_part){.made = text == NULL,
                               .seed = text == NULL ? seed : 0,
                               .data = (uint8_t *)data,
                               .bytes = bytes};
    return 0;
}

int trace_text(struct trace_turn *turn, const char *text, size_t bytes, struct error *e) {
    struct trace_part part;
    int rc = make_text(&part, text, 0, bytes, e);
    return rc == 0 ? add_part(turn, part, e) : rc;
}

int trace_made_text(struct trace_turn *turn, uint64_t seed, size_t bytes, struct error *e) {
    struct trace_part part;
    int rc = make_text(&part, NULL, seed, bytes, e);
    return rc == 0 ? add_part(turn, part, e) : rc;
}

int trace_system(struct trace_turn *turn, const char *text, uint64_t seed, size_t bytes,
                 struct error *e) {
    int rc = make_text(&turn->system, text, seed, bytes, e);
    turn->has_system = rc == 0;
    return rc;
}

int trace_made_picture(struct trace_turn *turn, uint64_t seed, uint32_t width, uint32_t height,
                       struct error *e) {
    if (width < 1 || height < 1 || width > PICTURE_MAX_SIDE || height > PICTURE_MAX_SIDE)
        return error_set(e, ERR_LIMIT, "a picture has 1..%d pixels a side", PICTURE_MAX_SIDE);
    return add_part(
        turn,
        (struct trace_part){
            .picture = true, .made = true, .seed = seed, .width = width, .height = height},
        e);
}

int trace_file_picture(struct trace_turn *turn, const char *file, struct error *e) {
    char *copy = strdup(file);
    if (copy == NULL)
        return no_memory(e);
    return add_part(turn, (struct trace_part){.picture = true, .file = copy}, e);
}

uint32_t trace_find(const struct trace *t, const char *conversation, uint32_t turn) {
    for (size_t i = t->n_turns; i-- > 0;)
        if (t->turns[i].turn == turn &&
            strcmp(t->conversations[t->turns[i].conversation].name, conversation) == 0)
            return (uint32_t)i;
    return TRACE_NONE;
}

/* ---- pictures ---- */

static int read_picture(const struct trace *t, struct trace_part *p, struct error *e) {
    char path[1024];
    bool relative = p->file[0] != '/' && t->folder[0] != '\0';
    (void)snprintf(path, sizeof path, "%s%s%s", relative ? t->folder : "", relative ? "/" : "",
                   p->file);
    FILE *f = fopen(path, "rb");
    if (f == NULL)
        return error_set(e, ERR_NOT_FOUND, "%s can't be opened: %s", path, strerror(errno));
    int rc = 0;
    uint8_t *data = NULL;
    long size = fseek(f, 0, SEEK_END) == 0 ? ftell(f) : -1;
    if (size < 0 || fseek(f, 0, SEEK_SET) != 0)
        rc = error_set(e, ERR_IO, "%s can't be read: %s", path, strerror(errno));
    else if (size > (long)LIMIT_PICTURE_BYTES)
        rc = error_set(e, ERR_LIMIT, "%s: a picture may have %u bytes", path, LIMIT_PICTURE_BYTES);
    else if ((data = malloc((size_t)size + 1)) == NULL)
        rc = no_memory(e);
    else if (fread(data, 1, (size_t)size, f) != (size_t)size)
        rc = error_set(e, ERR_IO, "%s can't be read: %s", path, strerror(errno));
    (void)fclose(f);
    if (rc == 0) {
        p->data = data;
        p->bytes = (size_t)size;
        return 0;
    }
    free(data);
    return rc;
}

int trace_load_pictures(struct trace *t, struct error *e) {
    for (size_t i = 0; i < t->n_turns; i++) {
        for (size_t k = 0; k < t->turns[i].n_parts; k++) {
            struct trace_part *p = &t->turns[i].parts[k];
            int rc = !p->picture || p->data != NULL ? 0
                     : p->made ? picture_make(p->seed, p->width, p->height, &p->data, &p->bytes, e)
                               : read_picture(t, p, e);
            if (rc != 0)
                return rc;
        }
    }
    return 0;
}
