/* json_machine.c - threads, scalars, and the way in and out of values.
 *
 * A number has no end of its own: the byte that can't be part of it ends it and goes to the value
 * around. All others end with their last byte.
 *
 * When there are more threads than JSON_THREADS the one that needs the most bytes is let go. The
 * one that needs the least stays in any case, so that the answer can still end in time. */
#include "worker/engine/json_machine_inside.h"

#include <stdlib.h>
#include <string.h>

#include "common/must.h"

_Static_assert(sizeof(struct json_frame) == 48, "frames are compared as bytes: no gaps");

int json_machine_open(struct json_machine *m, uint32_t room, struct error *e) {
    MUST(room >= JSON_SETTLED_FRAMES);
    memset(m, 0, sizeof *m);
    m->room = room;
    m->frames = malloc(room * sizeof *m->frames);
    m->moved = malloc(room * sizeof *m->moved);
    m->keys = malloc(JSON_KEYS * sizeof *m->keys);
    if (m->frames != NULL && m->moved != NULL && m->keys != NULL)
        return 0;
    json_machine_close(m);
    return error_set(e, ERR_NOMEM, "no memory to keep an answer within its schema");
}

void json_machine_close(struct json_machine *m) {
    free(m->frames);
    free(m->moved);
    free(m->keys);
    memset(m, 0, sizeof *m);
}

void json_machine_begin(struct json_machine *m, const struct json_schema *schema, bool leads) {
    m->schema = schema;
    m->now = (struct json_mark){.n_frames = 1, .n_keys = 1, .n_threads = 1};
    m->frames[0] =
        (struct json_frame){.node = JSON_ROOT_NODE, .state = leads ? ROOT_LEAD : ROOT_VALUE};
}

/* ---- what is needed ---- */

static struct json_digits digits_of(const struct json_frame *f) {
    return (struct json_digits){f->value, f->state, (uint8_t)f->count, f->negative != 0};
}

static uint64_t need_string(const struct json_node *n, const struct json_frame *f) {
    uint32_t more = f->count < n->string.least ? n->string.least - f->count : 0;
    return (uint64_t)json_text_tail(f->text) + more + 1;
}

static uint32_t need_of(const struct json_machine *m, const struct json_frame *f) {
    if (f->node == JSON_ROOT_NODE)
        return f->state == ROOT_DONE ? 0 : m->schema->least;
    const struct json_node *n = node_of(m, f);
    struct json_digits d;
    uint64_t own = 0;
    switch (n->kind) {
    case NODE_STRING:
        own = need_string(n, f);
        break;
    case NODE_NUMBER:
        d = digits_of(f);
        own = json_number_need(&n->number, &d);
        break;
    case NODE_LITERAL:
        own = m->schema->letters[f->position].need;
        break;
    case NODE_OBJECT:
        own = json_need_object(m, f);
        break;
    case NODE_ARRAY:
        own = json_need_array(m, f);
        break;
    default:
        MUST(false);
    }
    return need_sum(own + f->base);
}

uint32_t json_machine_need(const struct json_machine *m) {
    uint32_t least = JSON_NEVER;
    for (uint32_t i = 0; i < m->now.n_threads; i++) {
        uint32_t need = need_of(m, &m->frames[m->now.tops[i]]);
        least = need < least ? need : least;
    }
    return least;
}

bool json_machine_complete(const struct json_machine *m) {
    for (uint32_t i = 0; i < m->now.n_threads; i++) {
        const struct json_frame *f = &m->frames[m->now.tops[i]];
        if (f->node != JSON_ROOT_NODE || f->state != ROOT_DONE)
            return false;
    }
    return true;
}

enum json_inside json_machine_inside(const struct json_machine *m, uint32_t thread,
                                     struct json_room_inside *room) {
    const struct json_frame *f = &m->frames[m->now.tops[thread]];
    if (f->node == JSON_ROOT_NODE || f->text != JSON_TEXT_BETWEEN)
        return JSON_OUTSIDE;
    const struct json_node *n = node_of(m, f);
    *room = (struct json_room_inside){JSON_NEVER, 0, JSON_NEVER, need_of(m, f)};
    if (n->kind == NODE_OBJECT)
        return json_in_open_key(m, f, room) ? JSON_INSIDE_KEY : JSON_OUTSIDE;
    if (n->kind != NODE_STRING)
        return JSON_OUTSIDE;
    if (n->string.most != JSON_NEVER)
        room->most = n->string.most - f->count;
    if (n->string.least > f->count)
        room->least = n->string.least - f->count;
    return JSON_INSIDE_STRING;
}

/* ---- threads ---- */

static bool have_thread(const struct json_machine *m, const struct json_frame *f) {
    for (uint32_t i = 0; i < m->now.n_threads; i++)
        if (memcmp(&m->frames[m->now.tops[i]], f, sizeof *f) == 0)
            return true;
    return false;
}

/* The thread that needs the most, the last of such. */
static uint32_t longest_thread(const struct json_machine *m, uint32_t *need) {
    uint32_t worst = 0;
    *need = 0;
    for (uint32_t i = 0; i < m->now.n_threads; i++) {
        uint32_t own = need_of(m, &m->frames[m->now.tops[i]]);
        if (own >= *need) {
            *need = own;
            worst = i;
        }
    }
    return worst;
}

void json_add_thread(struct json_machine *m, const struct json_frame *f) {
    if (m->now.n_frames == m->room || have_thread(m, f))
        return;
    uint32_t at = m->now.n_threads;
    if (at == JSON_THREADS) {
        uint32_t most;
        at = longest_thread(m, &most);
        if (need_of(m, f) >= most)
            return;
    } else {
        m->now.n_threads++;
    }
    m->frames[m->now.n_frames] = *f;
    m->now.tops[at] = m->now.n_frames++;
}

/* ---- in and out of values ---- */

static void begin_literal(struct json_machine *m, uint32_t parent, const struct json_frame *f,
                          uint32_t letter, uint8_t byte) {
    const struct json_letter *l = m->schema->letters;
    uint32_t next = l[letter].child;
    while (next != 0 && l[next].byte != byte)
        next = l[next].sibling;
    if (next == 0)
        return;
    if (l[next].child == 0) {
        json_value_done(m, parent);
        return;
    }
    struct json_frame further = *f;
    further.position = next;
    json_add_thread(m, &further);
}

static void begin_one(struct json_machine *m, uint32_t parent, uint32_t base, uint16_t node,
                      uint8_t byte) {
    const struct json_frame *around = &m->frames[parent];
    const struct json_node *n = &m->schema->nodes[node];
    if ((n->first & json_first_of(byte)) == 0 || !fits(m, around, node))
        return;
    struct json_frame f = {.parent = parent, .base = base, .node = node, .depth = around->depth};
    struct json_digits d = {0, NUMBER_START, 0, false};
    switch (n->kind) {
    case NODE_LITERAL:
        begin_literal(m, parent, &f, n->literal.root, byte);
        return;
    case NODE_NUMBER:
        if (!json_number_step(&n->number, &d, byte))
            return;
        f.state = d.part;
        f.count = d.count;
        f.value = d.value;
        f.negative = d.negative;
        break;
    case NODE_OBJECT:
    case NODE_ARRAY:
        f.state = AT_OPEN;
        f.depth++;
        break;
    default:
        break;
    }
    json_add_thread(m, &f);
}

void json_begin_value(struct json_machine *m, uint32_t parent, uint32_t base, uint16_t node,
                      uint8_t byte) {
    const struct json_node *n = &m->schema->nodes[node];
    if (n->kind != NODE_CHOICE) {
        begin_one(m, parent, base, node, byte);
        return;
    }
    for (uint32_t i = 0; i < n->choice.count; i++)
        begin_one(m, parent, base, m->schema->children[n->choice.first + i], byte);
}

void json_value_done(struct json_machine *m, uint32_t parent) {
    struct json_frame f = m->frames[parent];
    if (f.node == JSON_ROOT_NODE)
        f.state = ROOT_DONE;
    else
        json_member_done(m, &f);
    json_add_thread(m, &f);
}

/* ---- a byte ---- */

static void step_thread(struct json_machine *m, uint32_t top, uint8_t byte);

/* The value at `top` ended before this byte, which is for the one around it. */
static void end_before(struct json_machine *m, uint32_t top, uint8_t byte) {
    uint32_t parent = m->frames[top].parent;
    if (m->frames[parent].node == JSON_ROOT_NODE || m->now.n_frames == m->room)
        return;
    /* The one around it as it is after this value, only to be looked at. */
    uint32_t scratch = m->now.n_frames;
    m->frames[scratch] = m->frames[parent];
    json_member_done(m, &m->frames[scratch]);
    m->now.n_frames++;
    step_thread(m, scratch, byte);
}

static void step_root(struct json_machine *m, uint32_t top, uint8_t byte) {
    struct json_frame f = m->frames[top];
    if (f.state == ROOT_DONE)
        return;
    if (byte == ' ' && f.state == ROOT_LEAD) {
        f.state = ROOT_VALUE;
        json_add_thread(m, &f);
        return;
    }
    json_begin_value(m, top, 0, m->schema->root, byte);
}

static void step_string(struct json_machine *m, uint32_t top, uint8_t byte) {
    struct json_frame f = m->frames[top];
    const struct json_node *n = node_of(m, &f);
    bool between = f.text == JSON_TEXT_BETWEEN;
    if (between && byte == '"') {
        if (f.count >= n->string.least)
            json_value_done(m, f.parent);
        return;
    }
    if (between && f.count >= n->string.most)
        return;
    /* Counted where it says something: so equal threads stay equal, and an endless string does not
     * pass the end of a number. */
    if (between && (n->string.most != JSON_NEVER || f.count < n->string.least))
        f.count++;
    f.text = json_text_step(f.text, byte);
    if (f.text != JSON_TEXT_BAD)
        json_add_thread(m, &f);
}

static void step_number(struct json_machine *m, uint32_t top, uint8_t byte) {
    struct json_frame f = m->frames[top];
    const struct json_node *n = node_of(m, &f);
    struct json_digits d = digits_of(&f);
    if (json_number_step(&n->number, &d, byte)) {
        f.state = d.part;
        f.count = d.count;
        f.value = d.value;
        f.negative = d.negative;
        json_add_thread(m, &f);
    } else if (json_number_need(&n->number, &d) == 0) {
        end_before(m, top, byte);
    }
}

static void step_literal(struct json_machine *m, uint32_t top, uint8_t byte) {
    struct json_frame f = m->frames[top];
    const struct json_letter *l = m->schema->letters;
    uint32_t next = l[f.position].child;
    while (next != 0 && l[next].byte != byte)
        next = l[next].sibling;
    if (next == 0) {
        if (l[f.position].need == 0)
            end_before(m, top, byte);
        return;
    }
    f.position = next;
    if (l[next].child == 0)
        json_value_done(m, f.parent);
    else
        json_add_thread(m, &f);
}

static void step_thread(struct json_machine *m, uint32_t top, uint8_t byte) {
    const struct json_frame *f = &m->frames[top];
    if (f->node == JSON_ROOT_NODE) {
        step_root(m, top, byte);
        return;
    }
    switch (node_of(m, f)->kind) {
    case NODE_STRING:
        step_string(m, top, byte);
        break;
    case NODE_NUMBER:
        step_number(m, top, byte);
        break;
    case NODE_LITERAL:
        step_literal(m, top, byte);
        break;
    case NODE_OBJECT:
        json_step_object(m, top, byte);
        break;
    default:
        json_step_array(m, top, byte);
        break;
    }
}

bool json_machine_step(struct json_machine *m, uint8_t byte) {
    uint32_t n = m->now.n_threads, tops[JSON_THREADS];
    memcpy(tops, m->now.tops, sizeof tops);
    m->now.n_threads = 0;
    for (uint32_t i = 0; i < n; i++)
        step_thread(m, tops[i], byte);
    return m->now.n_threads > 0;
}

/* ---- memory ---- */

#define UNUSED UINT32_MAX /* in `moved` */

void json_machine_settle(struct json_machine *m) {
    struct json_mark *now = &m->now;
    uint32_t kept = 1; /* the first is where every stack ends */
    for (uint32_t i = 1; i < now->n_frames; i++)
        m->moved[i] = UNUSED;
    m->moved[0] = 0;
    for (uint32_t i = 0; i < now->n_threads; i++)
        m->moved[now->tops[i]] = 0;
    for (uint32_t i = now->n_frames; i-- > 1;) /* parents come before children */
        if (m->moved[i] != UNUSED)
            m->moved[m->frames[i].parent] = 0;
    for (uint32_t i = 1; i < now->n_frames; i++) {
        if (m->moved[i] == UNUSED)
            continue;
        m->moved[i] = kept;
        m->frames[kept] = m->frames[i];
        m->frames[kept].parent = m->moved[m->frames[kept].parent];
        kept++;
    }
    for (uint32_t i = 0; i < now->n_threads; i++)
        now->tops[i] = m->moved[now->tops[i]];
    now->n_frames = kept;
}

void json_machine_copy(struct json_machine *to, const struct json_machine *from) {
    MUST(from->now.n_frames <= to->room);
    to->schema = from->schema;
    to->now = from->now;
    memcpy(to->frames, from->frames, from->now.n_frames * sizeof *to->frames);
    memcpy(to->keys, from->keys, from->now.n_keys * sizeof *to->keys);
}
