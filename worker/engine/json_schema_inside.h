/* json_schema_inside.h - what the parts of the compiler share; for json_schema*.c only, which alone
 * see jansson.
 *
 * Indices are held instead of pointers to nodes while arrays may still grow. */
#ifndef QUIRE_ENGINE_JSON_SCHEMA_INSIDE_H
#define QUIRE_ENGINE_JSON_SCHEMA_INSIDE_H

#include <jansson.h>

#include "worker/engine/json_schema.h"

#define JSON_PLACE_BYTES 160

struct json_seen {
    const json_t *json;
    uint16_t node;
};

/* A oneOf: its alternatives must be told apart once all nodes are known. */
struct json_one_of {
    uint32_t first; /* in schema->children */
    uint16_t count;
    char place[JSON_PLACE_BYTES];
};

struct json_reader {
    struct json_schema *s;
    json_t *document;
    struct json_seen *seen; /* parts of the document that have a node */
    struct json_one_of *one_of;
    size_t n_seen, seen_room, n_one_of, one_of_room;
    uint16_t free_nodes[JSON_FREE_DEPTH + 1]; /* any value, nested so deep; JSON_NO_NODE: not yet */
    char place[JSON_PLACE_BYTES];             /* JSON pointer, cut when longer */
    size_t place_size;
    int depth;
    struct error *e;
};

/* ERR_BAD_REQUEST, with the place. */
int json_refuse(struct json_reader *r, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
int json_no_memory(struct json_reader *r);
/* Room for `more` elements in an array of *count. */
int json_room(struct json_reader *r, void **array, size_t count, size_t *room, size_t more,
              size_t element);

/* Goes to a member of the place, and back to what it was. */
size_t json_enter(struct json_reader *r, const char *name, size_t index); /* name NULL: index */
void json_leave(struct json_reader *r, size_t place_size);

int json_new_node(struct json_reader *r, uint8_t kind, uint16_t *node);
/* The node of a schema, which is read now if it is new; `name` and index as in json_enter, or ""
 * and SIZE_MAX: the place is its own already. */
int json_read_schema(struct json_reader *r, const json_t *json, const char *name, size_t index,
                     uint16_t *node);
/* json_schema_free.c: any value that nests at most `depth` deep. */
int json_free_node(struct json_reader *r, int depth, uint16_t *node);

/* Makes `node` a choice of these. */
int json_make_choice(struct json_reader *r, uint16_t node, const uint16_t *nodes, size_t n);
/* Makes it a literal; each value is added by json_add_value. */
int json_make_literal(struct json_reader *r, uint16_t node);
int json_add_text(struct json_reader *r, uint16_t node, const char *text, size_t size);
int json_add_value(struct json_reader *r, uint16_t node, const json_t *value);

/* json_schema_object.c: nodes of these kinds from a schema with their keywords. */
int json_read_object(struct json_reader *r, const json_t *json, uint16_t node);
int json_read_array(struct json_reader *r, const json_t *json, uint16_t node);
/* json_schema_scalar.c. */
int json_read_string(struct json_reader *r, const json_t *json, uint16_t node);
int json_read_number(struct json_reader *r, const json_t *json, bool integer, uint16_t node);
/* An unsigned integer at `key`, or `otherwise`. */
int json_read_count(struct json_reader *r, const json_t *json, const char *key, uint32_t otherwise,
                    uint32_t *out);

/* json_schema_finish.c: flat choices, least values; refuses what has none or can't be told apart.
 */
int json_finish(struct json_reader *r);
/* json_schema_apart.c: refuses a oneOf where a value might fit two alternatives. */
int json_check_one_of(struct json_reader *r);

#endif
