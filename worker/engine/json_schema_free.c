/* json_schema_free.c - values that a schema leaves free: any JSON, nested only so deep, since a
 * small model that may nest for ever sometimes does. */
#include "worker/engine/json_schema_inside.h"

static int free_scalars(struct json_reader *r, uint16_t nodes[3]) {
    int rc = 0;
    for (int i = 0; rc == 0 && i < 3; i++)
        rc = json_new_node(r, NODE_CHOICE, &nodes[i]);
    if (rc < 0)
        return rc;
    struct json_node *string = &r->s->nodes[nodes[0]], *number = &r->s->nodes[nodes[1]];
    string->kind = NODE_STRING;
    string->first = JSON_FIRST_QUOTE;
    string->string.most = JSON_NEVER;
    number->kind = NODE_NUMBER;
    number->first = JSON_FIRST_NUMBER;
    number->number.any = true;
    rc = json_make_literal(r, nodes[2]);
    if (rc == 0)
        rc = json_add_text(r, nodes[2], "true", 4);
    if (rc == 0)
        rc = json_add_text(r, nodes[2], "false", 5);
    return rc == 0 ? json_add_text(r, nodes[2], "null", 4) : rc;
}

static int free_containers(struct json_reader *r, int depth, uint16_t nodes[2]) {
    uint16_t inner;
    int rc = json_free_node(r, depth - 1, &inner);
    if (rc == 0)
        rc = json_new_node(r, NODE_OBJECT, &nodes[0]);
    if (rc == 0)
        rc = json_new_node(r, NODE_ARRAY, &nodes[1]);
    if (rc < 0)
        return rc;
    struct json_node *object = &r->s->nodes[nodes[0]], *array = &r->s->nodes[nodes[1]];
    object->first = JSON_FIRST_BRACE;
    object->object.others = inner;
    array->first = JSON_FIRST_BRACKET;
    array->array.items = inner;
    array->array.most = JSON_NEVER;
    return 0;
}

int json_free_node(struct json_reader *r, int depth, uint16_t *node) {
    uint16_t nodes[5];
    *node = r->free_nodes[depth];
    if (*node != JSON_NO_NODE)
        return 0;
    int rc = free_scalars(r, nodes);
    if (rc == 0 && depth > 0)
        rc = free_containers(r, depth, nodes + 3);
    if (rc == 0)
        rc = json_new_node(r, NODE_CHOICE, node);
    if (rc == 0)
        rc = json_make_choice(r, *node, nodes, depth > 0 ? 5 : 3);
    if (rc == 0)
        r->free_nodes[depth] = *node;
    return rc;
}
