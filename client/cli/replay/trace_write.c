/* trace_write.c - a trace as JSON lines (FORMAT.md). */
#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "client/cli/replay/trace.h"

static json_t *seed_json(uint64_t seed) {
    return json_sprintf("%" PRIu64, seed);
}

static json_t *picture_json(const struct trace *t, const struct trace_part *p) {
    if (p->made)
        return json_pack("{s:{s:o,s:i,s:i}}", "picture", "seed", seed_json(p->seed), "width",
                         (int)p->width, "height", (int)p->height);
    bool relative = p->file[0] != '/' && t->folder[0] != '\0';
    return json_pack(
        "{s:{s:o}}", "picture", "file",
        json_sprintf("%s%s%s", relative ? t->folder : "", relative ? "/" : "", p->file));
}

static json_t *part_json(const struct trace *t, const struct trace_part *p) {
    if (p->picture)
        return picture_json(t, p);
    if (p->made)
        return json_pack("{s:I,s:o}", "text_bytes", (json_int_t)p->bytes, "seed",
                         seed_json(p->seed));
    return json_pack("{s:s%}", "text", (const char *)p->data, p->bytes);
}

/* A first turn that goes on from another conversation's. */
static bool is_fork(const struct trace *t, const struct trace_turn *turn) {
    return turn->from != TRACE_NONE && t->turns[turn->from].conversation != turn->conversation;
}

static json_t *turn_json(const struct trace *t, const struct trace_turn *turn) {
    json_t *line = json_pack("{s:s,s:I}", "conversation", t->conversations[turn->conversation].name,
                             "turn", (json_int_t)turn->turn);
    json_t *parts = json_array();
    if (turn->at_ms >= 0)
        json_object_set_new(line, "at_ms", json_integer((json_int_t)turn->at_ms));
    json_object_set_new(line, "shape", json_string(t->shapes[turn->shape]));
    json_object_set_new(line, "max_tokens", json_integer((json_int_t)turn->max_tokens));
    if (turn->keep > 0)
        json_object_set_new(line, "keep", json_integer((json_int_t)turn->keep));
    if (is_fork(t, turn)) {
        const struct trace_turn *from = &t->turns[turn->from];
        json_object_set_new(line, "from",
                            json_pack("{s:s,s:I}", "conversation",
                                      t->conversations[from->conversation].name, "turn",
                                      (json_int_t)from->turn));
    }
    if (turn->has_system)
        json_object_set_new(line, "system", part_json(t, &turn->system));
    for (size_t i = 0; i < turn->n_parts; i++)
        json_array_append_new(parts, part_json(t, &turn->parts[i]));
    json_object_set_new(line, "parts", parts);
    return line;
}

int trace_write(const struct trace *t, const char *path, struct error *e) {
    FILE *f = fopen(path, "w");
    if (f == NULL)
        return error_set(e, ERR_IO, "%s can't be written: %s", path, strerror(errno));
    bool failed = false;
    for (size_t i = 0; i < t->n_turns && !failed; i++) {
        json_t *line = turn_json(t, &t->turns[i]);
        failed = json_dumpf(line, f, JSON_COMPACT) != 0 || putc('\n', f) == EOF;
        json_decref(line);
    }
    failed = fclose(f) != 0 || failed;
    return failed ? error_set(e, ERR_IO, "%s can't be written: %s", path, strerror(errno)) : 0;
}
