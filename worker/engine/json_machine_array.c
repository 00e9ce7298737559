/* json_machine_array.c - arrays. */
#include "worker/engine/json_machine_inside.h"

/* The node of item number `count`. */
static uint16_t item_node(const struct json_machine *m, const struct json_node *n, uint32_t count) {
    return count < n->array.count ? m->schema->children[n->array.first + count] : n->array.items;
}

/* Least bytes of the items that must still come, from number `count` on, each with a comma. */
static uint64_t least_rest(const struct json_machine *m, const struct json_node *n,
                           uint32_t count) {
    uint64_t sum = 0;
    for (; count < n->array.least && count < n->array.count; count++)
        sum += (uint64_t)1 + m->schema->nodes[item_node(m, n, count)].least;
    if (count < n->array.least)
        sum += (n->array.least - count) * ((uint64_t)1 + m->schema->nodes[n->array.items].least);
    return sum;
}

static bool may_go_on(const struct json_machine *m, const struct json_frame *f) {
    const struct json_node *n = node_of(m, f);
    if (f->count >= n->array.most)
        return false;
    return fits(m, f, item_node(m, n, f->count));
}

void json_step_array(struct json_machine *m, uint32_t top, uint8_t byte) {
    struct json_frame f = m->frames[top];
    const struct json_node *n = node_of(m, &f);
    if (f.state == AT_NEXT && byte == ',') {
        f.state = AT_COMMA;
        if (may_go_on(m, &f))
            json_add_thread(m, &f);
    } else if ((f.state == AT_NEXT || f.state == AT_OPEN) && byte == ']') {
        if (f.count >= n->array.least)
            json_value_done(m, f.parent);
    } else if (f.state == AT_COMMA && byte == ' ') {
        f.state = AT_SPACE;
        json_add_thread(m, &f);
    } else if (f.state != AT_NEXT && may_go_on(m, &f)) {
        uint64_t base = (uint64_t)f.base + least_rest(m, n, f.count + 1) + 1;
        json_begin_value(m, top, need_sum(base), item_node(m, n, f.count), byte);
    }
}

uint64_t json_need_array(const struct json_machine *m, const struct json_frame *f) {
    const struct json_node *n = node_of(m, f);
    uint64_t rest = least_rest(m, n, f->count);
    if (f->state == AT_OPEN)
        return rest - (rest > 0) + 1;
    if (f->state == AT_NEXT)
        return rest + 1;
    return m->schema->nodes[item_node(m, n, f->count)].least + least_rest(m, n, f->count + 1) + 1;
}
