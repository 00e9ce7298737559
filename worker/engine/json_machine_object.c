/* json_machine_object.c - objects: keys in the schema's order, then perhaps others.
 *
 * While a key is being written it may still become any of the properties that may come now (those
 * up to the next required one) and perhaps a key that no property names. The first are a stretch of
 * the sorted names, the second only a hash: that a hash forbids a name which was not used is
 * harmless, as another name will do.
 *
 * It always will: of the 93 characters that may follow a key at least one makes it a new one, since
 * fewer than that many keys are taken. */
#include <string.h>

#include "worker/engine/json_machine_inside.h"

#define KEY_CHARACTERS 93 /* of ASCII, without quote and backslash */
_Static_assert(JSON_FREE_MEMBERS + JSON_FREE_PROPERTIES < KEY_CHARACTERS,
               "a key that is taken becomes a new one by one more character");
/* Keys that threads may be writing, and some more: what was found to have room still has it when
 * the key ends. */
#define KEYS_SPARE (4 * JSON_THREADS)

/* ---- which keys may come ---- */

/* The properties that may come next are from f->count up to here, which is not one of them. */
static uint32_t properties_end(const struct json_machine *m, const struct json_frame *f) {
    uint32_t n = node_of(m, f)->object.count;
    if (f->count >= n)
        return f->count;
    uint32_t stop = property_at(m, f, f->count)->stop;
    return stop < n ? stop + 1 : n;
}

static bool may_come(const struct json_machine *m, const struct json_frame *f, uint32_t i) {
    return i >= f->count && i < properties_end(m, f) && fits(m, f, property_at(m, f, i)->node);
}

static bool some_may_come(const struct json_machine *m, const struct json_frame *f) {
    uint32_t end = properties_end(m, f);
    for (uint32_t i = f->count; i < end; i++)
        if (fits(m, f, property_at(m, f, i)->node))
            return true;
    return false;
}

static uint32_t least_rest(const struct json_machine *m, const struct json_frame *f, uint32_t i) {
    return i < node_of(m, f)->object.count ? property_at(m, f, i)->rest : 0;
}

/* Nothing that is required is left. */
static bool may_end(const struct json_machine *m, const struct json_frame *f) {
    return least_rest(m, f, f->count) == 0;
}

static bool others_allowed(const struct json_machine *m, const struct json_frame *f) {
    uint16_t others = node_of(m, f)->object.others;
    return others != JSON_NO_NODE && may_end(m, f) && f->free_members < JSON_FREE_MEMBERS &&
           fits(m, f, others);
}

static bool has_room(const struct json_machine *m, uint32_t spare) {
    return m->now.n_keys + spare < JSON_KEYS;
}

static bool is_taken(const struct json_machine *m, const struct json_frame *f) {
    for (uint32_t k = f->last_key; k != 0; k = m->keys[k].before)
        if (m->keys[k].hash == f->hash)
            return true;
    for (uint32_t i = 0; i < node_of(m, f)->object.count; i++)
        if (property_at(m, f, i)->hash == f->hash)
            return true;
    return false;
}

static bool may_close_free(const struct json_machine *m, const struct json_frame *f) {
    return f->text == JSON_TEXT_BETWEEN && f->position > 1 && !is_taken(m, f);
}

/* ---- keys ---- */

/* Whether a key that shall be a new one may go on as f, from `before`: a model that can't end a key
 * must. Only a key that is taken gets the last byte, with which it is a new one. */
static bool is_short(const struct json_machine *m, const struct json_frame *before,
                     const struct json_frame *f) {
    uint32_t bytes = f->position - 1;
    if (bytes + json_text_tail(f->text) < JSON_FREE_KEY_BYTES)
        return true;
    return bytes == JSON_FREE_KEY_BYTES && before->text == JSON_TEXT_BETWEEN &&
           is_taken(m, before) && may_close_free(m, f);
}

static const struct json_property *sorted_at(const struct json_machine *m,
                                             const struct json_frame *f, uint32_t k, uint32_t *i) {
    *i = property_at(m, f, k)->sorted;
    return property_at(m, f, *i);
}

/* Keeps of low..high what goes on with the byte; whether one of these may come. */
static bool narrow(const struct json_machine *m, struct json_frame *f, uint8_t byte) {
    uint32_t low = f->low, high = f->high, i;
    bool some = false;
    f->low = f->high = 0;
    for (uint32_t k = low; k < high; k++) {
        const struct json_property *p = sorted_at(m, f, k, &i);
        if (p->size <= f->position || (uint8_t)m->schema->texts[p->text + f->position] != byte)
            continue;
        if (f->high == 0)
            f->low = (uint16_t)k;
        f->high = (uint16_t)(k + 1);
        some |= may_come(m, f, i);
    }
    if (!some)
        f->low = f->high = 0;
    return some;
}

/* The property whose name has just been closed, which is the only one left, or JSON_NEVER. */
static uint32_t closed_property(const struct json_machine *m, const struct json_frame *f) {
    uint32_t i;
    if (f->high != f->low + 1)
        return JSON_NEVER;
    return sorted_at(m, f, f->low, &i)->size == f->position + 1 ? i : JSON_NEVER;
}

static uint32_t note_key(struct json_machine *m, const struct json_frame *f) {
    struct json_key key = {f->hash, f->last_key};
    /* Another thread may just have noted the same; then these threads stay equal. */
    for (uint32_t k = m->now.n_keys; k-- > 1 && m->now.n_keys - k <= JSON_THREADS;)
        if (m->keys[k].hash == key.hash && m->keys[k].before == key.before)
            return k;
    if (m->now.n_keys == JSON_KEYS)
        return 0;
    m->keys[m->now.n_keys] = key;
    return m->now.n_keys++;
}

static void close_key(struct json_machine *m, struct json_frame *f, uint16_t which) {
    f->low = which;
    f->high = 0;
    f->state = AT_COLON;
    f->hash = f->position = 0;
    f->text = f->open = 0;
    json_add_thread(m, f);
}

static void step_key(struct json_machine *m, struct json_frame f, uint8_t byte) {
    struct json_frame before = f;
    bool named = narrow(m, &f, byte);
    uint32_t which = named && byte == '"' ? closed_property(m, &f) : JSON_NEVER;
    if (which != JSON_NEVER) {
        close_key(m, &f, (uint16_t)which);
        return;
    }
    if (f.open && byte == '"' && may_close_free(m, &before)) {
        uint32_t key = note_key(m, &before);
        if (key == 0)
            return;
        f.last_key = key;
        f.free_members++;
        f.count = node_of(m, &f)->object.count;
        close_key(m, &f, JSON_FREE_KEY);
        return;
    }
    f.position++;
    if (f.open) {
        f.text = byte == '\\' ? JSON_TEXT_BAD : json_text_step(f.text, byte);
        f.hash = json_hash(f.hash, byte);
        f.open = f.text != JSON_TEXT_BAD && is_short(m, &before, &f);
    }
    if (!f.open)
        f.hash = f.text = 0;
    if (named || f.open)
        json_add_thread(m, &f);
}

static void begin_key(struct json_machine *m, struct json_frame f) {
    bool named = some_may_come(m, &f);
    /* After a comma that came for this there is still room: others noted one key each at most. */
    f.open = others_allowed(m, &f) && has_room(m, KEYS_SPARE / 2);
    f.low = 0;
    f.high = named ? node_of(m, &f)->object.count : 0;
    f.position = 1;
    f.hash = JSON_HASH_BEGIN;
    f.text = JSON_TEXT_BETWEEN;
    f.state = AT_KEY;
    if (!f.open)
        f.hash = 0;
    if (named || f.open)
        json_add_thread(m, &f);
}

/* ---- states ---- */

/* The property after the one whose key was written. */
static uint32_t next_property(const struct json_frame *f) {
    return f->low == JSON_FREE_KEY ? f->count : f->low + 1u;
}

static uint16_t value_node(const struct json_machine *m, const struct json_frame *f) {
    return f->low == JSON_FREE_KEY ? node_of(m, f)->object.others : property_at(m, f, f->low)->node;
}

void json_member_done(const struct json_machine *m, struct json_frame *f) {
    if (node_of(m, f)->kind == NODE_OBJECT)
        f->count = next_property(f);
    else
        f->count++;
    f->low = 0;
    f->state = AT_NEXT;
}

static void go_to(struct json_machine *m, struct json_frame f, uint8_t state) {
    f.state = state;
    json_add_thread(m, &f);
}

void json_step_object(struct json_machine *m, uint32_t top, uint8_t byte) {
    struct json_frame f = m->frames[top];
    bool first = f.state == AT_OPEN;
    if (f.state == AT_KEY) {
        step_key(m, f, byte);
    } else if (byte == '}' && (first || f.state == AT_NEXT) && may_end(m, &f)) {
        json_value_done(m, f.parent);
    } else if (byte == ',' && f.state == AT_NEXT) {
        if (some_may_come(m, &f) || (others_allowed(m, &f) && has_room(m, KEYS_SPARE)))
            go_to(m, f, AT_COMMA);
    } else if (byte == '"' && (first || f.state == AT_COMMA || f.state == AT_SPACE)) {
        if (!first || some_may_come(m, &f) || has_room(m, KEYS_SPARE))
            begin_key(m, f);
    } else if (byte == ' ' && f.state == AT_COMMA) {
        go_to(m, f, AT_SPACE);
    } else if (byte == ':' && f.state == AT_COLON) {
        go_to(m, f, AT_VALUE);
    } else if (byte == ' ' && f.state == AT_VALUE) {
        go_to(m, f, AT_BLANK);
    } else if (f.state == AT_VALUE || f.state == AT_BLANK) {
        uint64_t base = (uint64_t)f.base + least_rest(m, &f, next_property(&f)) + 1;
        json_begin_value(m, top, need_sum(base), value_node(m, &f), byte);
    }
}

/* ---- what is needed ---- */

static uint64_t need_others(const struct json_machine *m, const struct json_frame *f) {
    return (uint64_t)1 + m->schema->nodes[node_of(m, f)->object.others].least; /* the colon */
}

static uint64_t need_open_key(const struct json_machine *m, const struct json_frame *f) {
    return (uint64_t)json_text_tail(f->text) + (may_close_free(m, f) ? 1 : 2) + need_others(m, f);
}

static uint64_t need_key(const struct json_machine *m, const struct json_frame *f) {
    uint64_t best = JSON_NEVER;
    for (uint32_t k = f->low; k < f->high; k++) {
        uint32_t i;
        const struct json_property *p = sorted_at(m, f, k, &i);
        if (!may_come(m, f, i))
            continue;
        uint64_t need = (uint64_t)p->size - f->position + 1 + m->schema->nodes[p->node].least +
                        least_rest(m, f, i + 1);
        best = need < best ? need : best;
    }
    if (f->open) {
        uint64_t need = need_open_key(m, f);
        best = need < best ? need : best;
    }
    return best;
}

bool json_in_open_key(const struct json_machine *m, const struct json_frame *f,
                      struct json_room_inside *room) {
    if (f->state != AT_KEY || !f->open || f->position >= JSON_FREE_KEY_BYTES)
        return false;
    for (uint32_t k = f->low; k < f->high; k++) { /* a name with an escape goes its own way */
        uint32_t i;
        const struct json_property *p = sorted_at(m, f, k, &i);
        if (memchr(m->schema->texts + p->text, '\\', p->size) != NULL)
            return false;
    }
    room->bytes = JSON_FREE_KEY_BYTES - f->position;
    room->need = need_sum(need_open_key(m, f) + 1 + f->base);
    return true;
}

/* A whole member, from its first quote on. */
static uint64_t need_member(const struct json_machine *m, const struct json_frame *f) {
    uint64_t best = JSON_NEVER;
    uint32_t end = properties_end(m, f);
    for (uint32_t i = f->count; i < end; i++) {
        const struct json_property *p = property_at(m, f, i);
        uint64_t need =
            (uint64_t)p->size + 1 + m->schema->nodes[p->node].least + least_rest(m, f, i + 1);
        if (fits(m, f, p->node))
            best = need < best ? need : best;
    }
    if (others_allowed(m, f)) {
        uint64_t need = 3 + need_others(m, f); /* a key of one character */
        best = need < best ? need : best;
    }
    return best;
}

uint64_t json_need_object(const struct json_machine *m, const struct json_frame *f) {
    uint64_t rest, value;
    switch (f->state) {
    case AT_OPEN:
        rest = least_rest(m, f, f->count);
        return rest - (rest > 0) + 1;
    case AT_NEXT:
        return (uint64_t)least_rest(m, f, f->count) + 1;
    case AT_COMMA:
    case AT_SPACE:
        return need_member(m, f) + 1;
    case AT_KEY:
        return need_key(m, f) + 1;
    default:
        value = m->schema->nodes[value_node(m, f)].least;
        return value + least_rest(m, f, next_property(f)) + 1 + (f->state == AT_COLON);
    }
}
