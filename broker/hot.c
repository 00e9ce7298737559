/* hot.c - a short list, since few prefixes are hot at a time. */
#include "broker/hot.h"

#include <stddef.h>
#include <string.h>

static int find(const struct hot *h, const struct link *l) {
    for (int i = 0; i < h->count; i++)
        if (memcmp(&h->prefixes[i].link, l, sizeof *l) == 0)
            return i;
    return -1;
}

int64_t hot_waited(const struct hot *h, const struct link *l, int64_t now_us) {
    int i = find(h, l);
    if (i < 0 || now_us - h->prefixes[i].at_us > HOT_FORGET_US)
        return 0;
    return h->prefixes[i].waited_us;
}

static struct hot_prefix *make(struct hot *h, const struct link *l) {
    struct hot_prefix *oldest = &h->prefixes[0];
    if (h->count < HOT_PREFIXES)
        oldest = &h->prefixes[h->count++];
    else
        for (int i = 1; i < HOT_PREFIXES; i++)
            if (h->prefixes[i].at_us < oldest->at_us)
                oldest = &h->prefixes[i];
    *oldest = (struct hot_prefix){.link = *l};
    return oldest;
}

void hot_wait(struct hot *h, const struct link *l, int64_t us, int64_t now_us) {
    int i = find(h, l);
    struct hot_prefix *p = i >= 0 ? &h->prefixes[i] : make(h, l);
    if (now_us - p->at_us > HOT_FORGET_US)
        p->waited_us = 0;
    p->waited_us += us;
    p->at_us = now_us;
}

void hot_paid(struct hot *h, const struct link *l) {
    int i = find(h, l);
    if (i >= 0)
        h->prefixes[i].waited_us = 0;
}
