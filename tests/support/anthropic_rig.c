/* anthropic_rig.c - the rig's own parts of the work of gateway/http. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/support/anthropic_rig.h"

void rig_init(struct rig *r, const struct dialect *dialect) {
    memset(r, 0, sizeof *r);
    r->dialect = dialect;
    r->world = (struct dialect_world){.default_model = "demo", .tools = TOOLS_HERMES, .tenant = ""};
    memcpy(r->reply.id, "0123456789abcdef0123456789abcdef", 33);
    text_init(&r->reply.answer, DIALECT_ANSWER_BYTES);
    text_init(&r->out, DIALECT_ANSWER_BYTES);
    r->done = (struct quire_event){
        .kind = QUIRE_DONE,
        .last = true,
        .finish = QUIRE_FINISH_END,
        .stop = -1,
        .usage = {.prompt_positions = 100, .reused_positions = 60, .answer_tokens = 7}};
    (void)snprintf(r->done.model, sizeof r->done.model, "demo");
}

void rig_close(struct rig *r) {
    if (r->open)
        r->dialect->close(&r->reply);
    text_close(&r->reply.answer);
    text_close(&r->out);
}

int ask(struct rig *r, const char *text) {
    json_error_t e;
    json_t *body = json_loads(text, JSON_DECODE_ANY, &e);
    if (body == NULL)
        fail_msg("the test's own JSON is wrong: %s at %d", e.text, e.position);
    int rc = r->dialect->read(&r->reply, body, &r->world, &r->fault);
    json_decref(body);
    r->open = rc == 0;
    return rc;
}

void asked(struct rig *r, const char *text) {
    rig_init(r, &anthropic_messages);
    if (ask(r, text) < 0)
        fail_msg("refused: %s (%s)", r->fault.text, r->fault.param);
}

void has(const json_t *object, const char *key, const char *expected) {
    char *got = json_dumps(json_object_get(object, key), JSON_COMPACT | JSON_ENCODE_ANY);
    assert_non_null(got);
    assert_string_equal(got, expected);
    free(got);
}
