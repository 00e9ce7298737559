/* json_schema.h - a JSON Schema as a graph of nodes that an answer is made along.
 *
 * The subset, and what of it answers use, stands in proto/SPEC.md, "Schemas". What is not in it is
 * refused by name and place, never passed over: an answer that comes fits the whole schema.
 *
 * A node is one kind of value. Where a value may be of several kinds it is a choice, whose
 * alternatives are never choices themselves. Each node knows the least number of bytes that one of
 * its values takes, and how deep such a least value nests. */
#ifndef QUIRE_ENGINE_JSON_SCHEMA_H
#define QUIRE_ENGINE_JSON_SCHEMA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/bytes.h"
#include "common/error.h"
#include "worker/engine/json_number.h"

#define JSON_SCHEMA_DEPTH 128      /* parts inside each other, those referred to as well */
#define JSON_SCHEMA_NODES 8192     /* of one schema */
#define JSON_SCHEMA_PROPERTIES 512 /* of one object */
#define JSON_SCHEMA_VALUES 1024    /* of one enum */
#define JSON_SCHEMA_CHOICE 64      /* alternatives of one choice */
#define JSON_THREADS 16            /* of them that may begin with the same byte */
#define JSON_DEPTH 32              /* of an answer: objects and arrays inside each other */
#define JSON_FREE_DEPTH 6          /* of a value that the schema leaves free */
#define JSON_FREE_MEMBERS 32       /* of one object, that no property names */
#define JSON_FREE_KEY_BYTES 64     /* of their keys */
#define JSON_FREE_PROPERTIES 60    /* an object with more of them gets no others */
#define JSON_LEAST_MAX (1u << 24)  /* bytes of a least value; more counts as never */
#define JSON_NO_NODE UINT16_MAX

enum json_kind {
    NODE_CHOICE,
    NODE_STRING,
    NODE_NUMBER,
    NODE_LITERAL, /* one of some texts, as they are */
    NODE_OBJECT,
    NODE_ARRAY,
};

/* With which byte a value may begin. */
enum json_first {
    JSON_FIRST_QUOTE = 1,
    JSON_FIRST_BRACE = 2,
    JSON_FIRST_BRACKET = 4,
    JSON_FIRST_T = 8,
    JSON_FIRST_F = 16,
    JSON_FIRST_N = 32,
    JSON_FIRST_NUMBER = 64,
};

struct json_node {
    uint8_t kind;    /* enum json_kind */
    uint8_t first;   /* enum json_first, or-ed */
    bool inferred;   /* the schema does not say the type: it takes values of others too */
    uint32_t least;  /* bytes; JSON_NEVER: it has no value that ends */
    uint32_t height; /* objects and arrays inside each other, in such a value */
    union {
        struct {
            uint32_t least, most; /* characters; most JSON_NEVER: any */
        } string;
        struct json_range number;
        struct {
            uint32_t root;  /* in schema->letters */
            bool has_reals; /* numbers that other texts may equal, as 1.0 and 1 */
        } literal;
        struct {
            uint32_t first; /* in schema->properties */
            uint16_t count;
            uint16_t others; /* node of the members that no property names, or none */
        } object;
        struct {
            uint32_t first;       /* in schema->children: nodes of the first items */
            uint16_t count;       /* of them */
            uint16_t items;       /* node of all further ones, or none */
            uint32_t least, most; /* items */
        } array;
        struct {
            uint32_t first; /* in schema->children */
            uint16_t count;
        } choice;
    };
};

struct json_property {
    uint32_t text, size; /* in schema->texts: the name as it is written, with quotes */
    uint32_t hash;       /* of the name's bytes, json_hash */
    uint16_t node;
    uint16_t sorted; /* the k-th of an object's properties, in the order of their texts, is this */
    uint16_t stop;   /* the first required one from this one on; else the object's count */
    bool required;
    uint32_t rest; /* least bytes of the required ones from this one on, each with a comma */
};

/* Texts as a tree of bytes: alternatives are siblings. */
struct json_letter {
    uint32_t child, sibling; /* 0: none */
    uint32_t need;           /* least number of bytes after this one; 0: a text ends here */
    uint8_t byte;
};

struct json_schema {
    struct json_node *nodes;
    struct json_property *properties;
    struct json_letter *letters; /* [0] is nobody */
    uint16_t *children;          /* nodes */
    char *texts;
    size_t n_nodes, n_properties, n_letters, n_children, n_texts;
    size_t nodes_room, properties_room, letters_room, children_room, texts_room;
    uint16_t root;
    uint32_t least; /* bytes of the shortest answer */
};

/* Compiles a schema's text. ERR_BAD_REQUEST: the sentence names the keyword and the place as a JSON
 * pointer. ERR_NOMEM. *out is given back to json_schema_close. */
int json_schema_open(struct json_schema **out, struct bytes text, struct error *e);
void json_schema_close(struct json_schema *s); /* NULL is fine */

/* Of names: FNV-1a. Two names of which one is the other with its last byte changed differ. */
#define JSON_HASH_BEGIN 2166136261u
static inline uint32_t json_hash(uint32_t hash, uint8_t byte) {
    return (hash ^ byte) * 16777619u;
}

uint8_t json_first_of(uint8_t byte); /* the json_first it is, 0 for none */

#endif
