/* json_machine_inside.h - what the parts of the machine share; for json_machine*.c only. */
#ifndef QUIRE_ENGINE_JSON_MACHINE_INSIDE_H
#define QUIRE_ENGINE_JSON_MACHINE_INSIDE_H

#include "worker/engine/json_machine.h"
#include "worker/engine/json_text.h"

#define JSON_ROOT_NODE UINT16_MAX /* of the frame below the answer's value */
#define JSON_FREE_KEY UINT16_MAX  /* frame.low once a key is complete that no property names */

enum container_state {
    AT_OPEN,  /* after the opening bracket */
    AT_COMMA, /* after a comma */
    AT_SPACE, /* after the space behind it */
    AT_KEY,   /* inside a key */
    AT_COLON, /* before the colon */
    AT_VALUE, /* after it */
    AT_BLANK, /* after the space behind it */
    AT_NEXT,  /* after a member or item */
};

enum root_state { ROOT_LEAD, ROOT_VALUE, ROOT_DONE };

static inline const struct json_node *node_of(const struct json_machine *m,
                                              const struct json_frame *f) {
    return &m->schema->nodes[f->node];
}

static inline const struct json_property *property_at(const struct json_machine *m,
                                                      const struct json_frame *f, uint32_t i) {
    return &m->schema->properties[node_of(m, f)->object.first + i];
}

/* Whether a value of this node may begin inside f. */
static inline bool fits(const struct json_machine *m, const struct json_frame *f, uint16_t node) {
    const struct json_node *n = &m->schema->nodes[node];
    return n->least != JSON_NEVER && f->depth + n->height <= JSON_DEPTH;
}

/* A sum of bytes, JSON_NEVER when it is that much. */
static inline uint32_t need_sum(uint64_t bytes) {
    return bytes < JSON_NEVER ? (uint32_t)bytes : JSON_NEVER;
}

/* Adds a thread whose innermost value is f. */
void json_add_thread(struct json_machine *m, const struct json_frame *f);
/* A value of `node` begins with the byte, inside the frame `parent`, which needs `base` bytes after
 * it. */
void json_begin_value(struct json_machine *m, uint32_t parent, uint32_t base, uint16_t node,
                      uint8_t byte);
/* The value inside the frame `parent` is complete. */
void json_value_done(struct json_machine *m, uint32_t parent);

/* json_machine_object.c, json_machine_array.c: one byte further; the least bytes that the value
 * itself still needs, from what f is now. */
void json_step_object(struct json_machine *m, uint32_t top, uint8_t byte);
uint64_t json_need_object(const struct json_machine *m, const struct json_frame *f);
/* Whether f is a key that may become any, and all that may come without a closing quote goes on
 * with that way. */
bool json_in_open_key(const struct json_machine *m, const struct json_frame *f,
                      struct json_room_inside *room);
void json_step_array(struct json_machine *m, uint32_t top, uint8_t byte);
uint64_t json_need_array(const struct json_machine *m, const struct json_frame *f);
/* The frame after a member or item. */
void json_member_done(const struct json_machine *m, struct json_frame *f);

#endif
