/* anthropic_rig.h - one request in Anthropic's dialect, as the gateway's exchange would run it. */
#ifndef QUIRE_TESTS_SUPPORT_ANTHROPIC_RIG_H
#define QUIRE_TESTS_SUPPORT_ANTHROPIC_RIG_H

#include "gateway/api/dialect.h"

#define PNG "iVBORw0KGgo="  /* the eight bytes that a PNG begins with */
#define JPEG "/9j/4AAQSkY=" /* likewise */
#define USER "\"messages\":[{\"role\":\"user\",\"content\":\"Hi\"}]"
#define HEAD "{\"model\":\"m\",\"max_tokens\":9,"
#define TOOL                                                                                       \
    "\"tools\":[{\"name\":\"look\",\"description\":\"Looks.\",\"input_schema\":{\"type\":"         \
    "\"object\",\"properties\":{\"at\":{\"type\":\"string\"}}}}]"

/* One request and its answer, as the gateway's exchange would have them. */
struct rig {
    const struct dialect *dialect;
    struct dialect_world world;
    struct reply reply;
    struct fault fault;
    struct quire_event done;
    struct text out;
    bool open;
};

void rig_init(struct rig *r, const struct dialect *dialect);
void rig_close(struct rig *r);
/* Reads a body: 0, or -1 with r->fault. */
int ask(struct rig *r, const char *text);
/* As POST /v1/messages; it must be taken. */
void asked(struct rig *r, const char *text);
/* The value at `key` of object, as compact JSON, must be `expected`. */
void has(const json_t *object, const char *key, const char *expected);

#endif
