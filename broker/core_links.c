/* core_links.c - what workers tell that they hold, and which incarnations are believed.
 *
 * An incarnation is believed from its first word until another takes its name, it says goodbye, or
 * it has been away for HOLDER_ABSENT_MS. Only connected workers get requests, so what an absent one
 * holds is kept for its return and prefers nobody meanwhile. */
#include "broker/state.h"

#define SWEEP_LINKS 16384 /* looked through in one tick; well under a millisecond */

static void say_void(struct broker *b, const struct holder *h) {
    struct action *a = emit(b, ACTION_VOID);
    a->incarnation = h->incarnation;
    a->worker = h->name;
}

void holder_void(struct broker *b, int holder) {
    struct holder gone = b->holders.slots[holder];
    holders_void(&b->holders, b->affinity, holder);
    say_void(b, &gone);
}

void void_stale_holders(struct broker *b) {
    int old = holders_stale(&b->holders, b->now_us - us_of_ms(HOLDER_ABSENT_MS));
    if (old >= 0)
        holder_void(b, old);
    affinity_sweep(b->affinity, SWEEP_LINKS);
}

static int join(struct broker *b, const struct holder *who) {
    struct holder voided;
    int holder = holders_join(&b->holders, b->affinity, who, &voided);
    if (voided.used)
        say_void(b, &voided);
    return holder;
}

void holder_joins(struct broker *b, struct worker *w) {
    struct holder who = {
        .connected = true,
        .incarnation = w->incarnation,
        .name = w->name,
        .model = w->model,
        .template_id = w->template_id,
    };
    memcpy(who.fingerprint, w->fingerprint, sizeof who.fingerprint);
    int holder = holders_find_name(&b->holders, label_bytes(&w->name));
    if (holder >= 0 && (b->holders.slots[holder].incarnation != w->incarnation ||
                        memcmp(b->holders.slots[holder].fingerprint, w->fingerprint,
                               sizeof w->fingerprint) != 0)) {
        holder_void(b, holder);
        holder = -1;
    }
    if (holder >= 0) {
        b->holders.slots[holder] = who;
        b->holders.slots[holder].used = true;
    } else {
        holder = join(b, &who);
    }
    w->holder = holder;
}

void holder_leaves(struct broker *b, struct worker *w) {
    if (w->holder < 0)
        return;
    b->holders.slots[w->holder].connected = false;
    b->holders.slots[w->holder].left_us = b->now_us;
    w->holder = -1;
}

/* ---- LINKS ---- */

static uint32_t read_u32(const uint8_t *p) {
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

/* Links of one prompt come in order, so one that ends further on than the one told just before it
 * is taken to follow it. */
static void believe(struct broker *b, int holder, const struct msg_links *m) {
    uint32_t now_s = (uint32_t)(b->now_us / 1000000);
    struct link link, before;
    uint32_t before_end = 0;
    for (size_t at = 0; at + LINK_BYTES <= m->dropped.size; at += LINK_BYTES) {
        memcpy(link.bytes, m->dropped.data + at, LINK_BYTES);
        affinity_drop(b->affinity, holder, &link);
    }
    for (size_t at = 0; at + LINK_HELD_BYTES <= m->held.size; at += LINK_HELD_BYTES) {
        memcpy(link.bytes, m->held.data + at, LINK_BYTES);
        uint32_t end = read_u32(m->held.data + at + LINK_BYTES);
        bool follows = before_end > 0 && before_end < end;
        affinity_add(b->affinity, holder, &link, end, follows ? &before : NULL, now_s);
        before = link;
        before_end = end;
    }
}

/* What the index remembers of an incarnation that has not come back yet. -1: nothing to believe,
 * since it has, and tells itself what it holds; or since another bears its name now. */
static int recorded_holder(struct broker *b, const struct event *ev) {
    int holder = holders_find_name(&b->holders, ev->links.worker);
    if (holder >= 0) {
        const struct holder *h = &b->holders.slots[holder];
        return h->recorded && h->incarnation == ev->links.told.incarnation ? holder : -1;
    }
    struct holder who = {
        .recorded = true, .incarnation = ev->links.told.incarnation, .left_us = b->now_us};
    memcpy(who.fingerprint, ev->links.fingerprint, sizeof who.fingerprint);
    if (!label_set(&who.name, ev->links.worker) || !label_set(&who.model, ev->links.model) ||
        !label_set(&who.template_id, ev->links.template_id))
        return -1;
    holder = join(b, &who);
    if (holder >= 0)
        models_see(&b->models, &who.model, true);
    return holder;
}

void on_links(struct broker *b, const struct event *ev) {
    const struct msg_links *told = &ev->links.told;
    if (ev->links.recorded) {
        int holder = recorded_holder(b, ev);
        if (holder >= 0)
            believe(b, holder, told);
        return;
    }
    struct worker *w = workers_find_peer(&b->workers, &ev->peer);
    if (!w || w->incarnation != told->incarnation)
        return; /* of an earlier life; its connection says READY first */
    heard(b, w);
    if (w->holder < 0)
        return;
    if (told->reset)
        w->holder = holders_renew(&b->holders, b->affinity, w->holder);
    believe(b, w->holder, told);
    struct action *a = emit(b, ACTION_RECORD);
    a->incarnation = w->incarnation;
    a->worker = w->name;
}

void on_inventory(struct broker *b) {
    for (int i = 0; i < b->workers.end; i++)
        if (b->workers.slots[i].used)
            emit(b, ACTION_INVENTORY)->peer = b->workers.slots[i].peer;
}

bool broker_fingerprint(const struct broker *b, struct bytes model, uint8_t fingerprint[16],
                        struct label *template_id) {
    for (int connected = 1; connected >= 0; connected--)
        for (int i = 0; i < AFFINITY_HOLDERS; i++) {
            const struct holder *h = &b->holders.slots[i];
            if (!h->used || h->connected != (connected == 1) ||
                (model.size > 0 && !label_is(&h->model, model)))
                continue;
            memcpy(fingerprint, h->fingerprint, sizeof h->fingerprint);
            *template_id = h->template_id;
            return true;
        }
    return false;
}
