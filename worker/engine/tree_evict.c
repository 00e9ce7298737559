/* tree_evict.c - which leaf goes: a heap over the leaves on nobody's path.
 *
 * Nodes above them are not in it. A node on nobody's path has only such descendants, so one of its
 * leaves is in the heap, and it joins when its last child has gone. */
#include "common/must.h"
#include "worker/engine/tree_inside.h"

static bool before(const struct tree *t, page_id a, page_id b) {
    const struct node *x = &t->nodes[a], *y = &t->nodes[b];
    return x->key != y->key ? x->key < y->key : x->used < y->used;
}

static void put(struct tree *t, uint32_t place, page_id id) {
    t->queue[place] = id;
    t->nodes[id].place = place;
}

static void rise(struct tree *t, uint32_t place, page_id id) {
    while (place > 0 && before(t, id, t->queue[(place - 1) / 2])) {
        put(t, place, t->queue[(place - 1) / 2]);
        place = (place - 1) / 2;
    }
    put(t, place, id);
}

static void sink(struct tree *t, uint32_t place, page_id id) {
    for (;;) {
        uint32_t child = 2 * place + 1;
        if (child >= t->n_queue)
            break;
        if (child + 1 < t->n_queue && before(t, t->queue[child + 1], t->queue[child]))
            child++;
        if (!before(t, t->queue[child], id))
            break;
        put(t, place, t->queue[child]);
        place = child;
    }
    put(t, place, id);
}

void tree_queue_add(struct tree *t, page_id id) {
    MUST(t->nodes[id].place == NOT_QUEUED);
    rise(t, t->n_queue++, id);
}

void tree_queue_remove(struct tree *t, page_id id) {
    uint32_t place = t->nodes[id].place;
    MUST(place < t->n_queue);
    t->nodes[id].place = NOT_QUEUED;
    page_id last = t->queue[--t->n_queue];
    if (last == id)
        return;
    if (place > 0 && before(t, last, t->queue[(place - 1) / 2]))
        rise(t, place, last);
    else
        sink(t, place, last);
}

page_id tree_take_page(struct tree *t) {
    page_id id = pages_take(t->pages);
    if (id != PAGE_NONE || t->n_queue == 0)
        return id;
    page_id least = t->queue[0];
    if (t->clock < t->nodes[least].key) /* a parent that waited for its leaves may be behind it */
        t->clock = t->nodes[least].key;
    tree_queue_remove(t, least);
    t->evictable--;
    t->evicted++;
    tree_drop(t, least);
    return pages_take(t->pages);
}
