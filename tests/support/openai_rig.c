/* openai_rig.c - plays the exchange's part of gateway/api/dialect.h. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "client/client.h"
#include "tests/support/openai_rig.h"

void rig_close(struct rig *g) {
    if (g->open) {
        g->dialect->close(&g->reply);
        assert_null(g->reply.own);
    }
    quire_request_free(g->reply.request);
    text_close(&g->reply.answer);
    json_decref(g->reply.tokens);
    json_decref(g->reply.details_object);
    g->reply = (struct reply){0};
    text_close(&g->out);
    g->open = false;
}

int rig_read_json(struct rig *g, const json_t *body) {
    const struct dialect_world world = {
        .default_model = "demo", .tools = g->tools, .tenant = "", .now_s = RIG_CREATED};
    rig_close(g);
    text_init(&g->out, (size_t)16 << 20);
    text_init(&g->reply.answer, DIALECT_ANSWER_BYTES);
    strcpy(g->reply.id, RIG_ID);
    g->reply.created_s = RIG_CREATED;
    g->fault = (struct fault){0};
    int rc = g->dialect->read(&g->reply, body, &world, &g->fault);
    g->open = rc == 0;
    if (rc != 0) {
        assert_int_equal(rc, -1);
        assert_in_range(g->fault.status, 400, 599);
        assert_true(g->fault.text[0] != '\0');
        assert_null(g->reply.own);
        assert_null(g->reply.request);
    }
    return rc;
}

int rig_read(struct rig *g, const char *body) {
    json_error_t e;
    json_t *value = json_loads(body, JSON_DECODE_ANY, &e);
    if (value == NULL)
        fail_msg("%s in %s", e.text, body);
    int rc = rig_read_json(g, value);
    json_decref(value); /* a dialect keeps what it needs */
    return rc;
}

/* ---- requests ---- */

static void add_part(struct text *t, const struct request_part *part) {
    if (part->kind == PART_TEXT)
        text_print(t, "[%.*s]", (int)part->text.size, (const char *)part->text.data);
    else
        text_print(t, "[picture %u%s]", part->picture, part->detail == DETAIL_LOW ? " low" : "");
}

static void add_line(struct text *t, const char *name, struct bytes value) {
    if (value.size > 0)
        text_print(t, "%s: %.*s\n", name, (int)value.size, (const char *)value.data);
}

const char *rig_request(struct rig *g) {
    static const char *const roles[] = {"", "system", "user", "assistant", "raw"};
    struct wire_message m;
    struct request r;
    struct error e = {0};
    wire_message_init(&m);
    if (request_to_wire(g->reply.request, (struct request_id){{1}}, &m, &e) != 0 ||
        request_decode(&r, wire_frame(&m, 0), m.n_frames - 1, &e) != 0)
        fail_msg("%s", e.text);
    g->out.size = 0;
    for (size_t i = 0; i < r.n_messages; i++) {
        text_print(&g->out, "%s", roles[r.messages[i].role]);
        for (size_t k = 0; k < r.messages[i].n_parts; k++)
            add_part(&g->out, &r.messages[i].parts[k]);
        text_print(&g->out, "\n");
    }
    for (size_t i = 0; i < r.n_stops; i++)
        add_line(&g->out, "stop", r.stops[i]);
    add_line(&g->out, "model", r.model);
    add_line(&g->out, "schema", r.schema);
    text_add(&g->out, "", 1);
    request_clear(&r);
    wire_message_close(&m);
    return g->out.data;
}

/* ---- answers ---- */

static void set_done(struct rig *g, enum quire_finish finish) {
    g->done = (struct quire_event){
        .kind = QUIRE_DONE,
        .last = true,
        .finish = finish,
        .usage = {.prompt_positions = 40, .reused_positions = 30, .answer_tokens = 5},
        .model = "demo-2",
    };
    g->reply.done = &g->done;
}

static json_t *parsed(const char *data, size_t bytes) {
    json_error_t e;
    json_t *value = json_loadb(data, bytes, JSON_ALLOW_NUL, &e);
    if (value == NULL)
        fail_msg("%s in %.*s", e.text, (int)bytes, data);
    return value;
}

json_t *rig_whole(struct rig *g, const char *answer, enum quire_finish finish) {
    assert_true(g->open);
    text_add(&g->reply.answer, answer, strlen(answer));
    set_done(g, finish);
    g->out.size = 0;
    g->dialect->whole(&g->reply, &g->out);
    assert_false(g->out.failed);
    return parsed(g->out.data, g->out.size);
}

json_t *rig_events(struct rig *g) {
    json_t *list = json_array();
    const char *at = g->out.data, *end = g->out.data + g->out.size;
    while (at < end) {
        const char *line = memchr(at, '\n', (size_t)(end - at));
        assert_non_null(line);
        if (strncmp(at, "data: [DONE]", 12) == 0)
            (void)json_array_append_new(list, json_string("[DONE]"));
        else if (strncmp(at, "data: ", 6) == 0)
            (void)json_array_append_new(list, parsed(at + 6, (size_t)(line - at) - 6));
        else
            assert_true(line == at || strncmp(at, "event: ", 7) == 0 || *at == ':');
        at = line + 1;
    }
    return list;
}

json_t *rig_stream(struct rig *g, const char *answer, size_t bytes, enum quire_finish finish) {
    size_t left = strlen(answer);
    assert_true(g->open);
    g->out.size = 0;
    g->dialect->begin(&g->reply, &g->out);
    while (left > 0) {
        struct quire_event event = {.kind = QUIRE_TOKENS, .text = answer, .n_tokens = 1};
        event.text_bytes = bytes < left ? bytes : left;
        while (event.text_bytes < left && ((unsigned char)answer[event.text_bytes] & 0xc0) == 0x80)
            event.text_bytes++; /* the pool sends whole characters */
        text_add(&g->reply.answer, answer, event.text_bytes);
        g->dialect->piece(&g->reply, &event, &g->out);
        answer += event.text_bytes;
        left -= event.text_bytes;
    }
    set_done(g, finish);
    g->dialect->end(&g->reply, &g->out);
    assert_false(g->out.failed);
    return rig_events(g);
}

json_t *rig_fault(struct rig *g) {
    g->out.size = 0;
    g->dialect->fault(&g->fault, &g->out);
    assert_false(g->out.failed);
    return parsed(g->out.data, g->out.size);
}

/* ---- looking into JSON ---- */

json_t *rig_at(json_t *value, const char *path) {
    char key[64];
    const char *at = path;
    while (*at != '\0' && value != NULL) {
        size_t n = strcspn(at, ".");
        assert_true(n < sizeof key);
        memcpy(key, at, n);
        key[n] = '\0';
        value = json_is_array(value) ? json_array_get(value, strtoul(key, NULL, 10))
                                     : json_object_get(value, key);
        at += at[n] == '.' ? n + 1 : n;
    }
    if (value == NULL)
        fail_msg("there is no %s", path);
    return value;
}

const char *rig_string(json_t *value, const char *path) {
    const char *string = json_string_value(rig_at(value, path));
    if (string == NULL)
        fail_msg("%s is no string", path);
    return string;
}

json_int_t rig_integer(json_t *value, const char *path) {
    assert_true(json_is_integer(rig_at(value, path)));
    return json_integer_value(rig_at(value, path));
}
