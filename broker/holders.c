/* holders.c - a flat table beside the bits of broker/affinity.c; walked as workers come and go. */
#include "broker/holders.h"

#include "common/must.h"

int holders_find(const struct holders *h, uint64_t incarnation) {
    for (int i = 0; i < AFFINITY_HOLDERS; i++)
        if (h->slots[i].used && h->slots[i].incarnation == incarnation)
            return i;
    return -1;
}

int holders_find_name(const struct holders *h, struct bytes name) {
    for (int i = 0; i < AFFINITY_HOLDERS; i++)
        if (h->slots[i].used && label_is(&h->slots[i].name, name))
            return i;
    return -1;
}

static int left_longest_ago(const struct holders *h) {
    int found = -1;
    for (int i = 0; i < AFFINITY_HOLDERS; i++) {
        const struct holder *s = &h->slots[i];
        if (s->used && !s->connected && (found < 0 || s->left_us < h->slots[found].left_us))
            found = i;
    }
    return found;
}

int holders_join(struct holders *h, struct affinity *a, const struct holder *who,
                 struct holder *voided) {
    *voided = (struct holder){0};
    int i = affinity_join(a);
    if (i < 0) {
        int old = left_longest_ago(h);
        if (old < 0)
            return -1;
        *voided = h->slots[old];
        holders_void(h, a, old);
        i = affinity_join(a);
        MUST(i >= 0);
    }
    h->slots[i] = *who;
    h->slots[i].used = true;
    return i;
}

void holders_void(struct holders *h, struct affinity *a, int holder) {
    MUST(h->slots[holder].used);
    h->slots[holder].used = false;
    affinity_void(a, holder);
}

int holders_renew(struct holders *h, struct affinity *a, int holder) {
    struct holder who = h->slots[holder], voided;
    holders_void(h, a, holder);
    int i = holders_join(h, a, &who, &voided);
    MUST(i >= 0); /* its own number is free after a sweep at the latest */
    MUST(!voided.used);
    return i;
}

int holders_stale(const struct holders *h, int64_t then_us) {
    int i = left_longest_ago(h);
    return i >= 0 && h->slots[i].left_us < then_us ? i : -1;
}
