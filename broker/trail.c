/* trail.c - the longest prefix, found from the last link down.
 *
 * A holder of a link is taken to hold all before it: a worker that gives up a page gives up what
 * stands on it first. A link before it that the table has forgotten, or never had, changes nothing.
 */
#include "broker/trail.h"

#include <string.h>

/* ---- keeping ---- */

static void keep_picture(struct trail *t, const struct link *link, uint32_t segment) {
    for (uint32_t i = 0; i < t->pictures; i++)
        if (memcmp(t->picture[i].link.bytes, link->bytes, LINK_BYTES) == 0) {
            t->picture[i].segment = segment;
            return;
        }
    if (t->pictures < LIMIT_PICTURES)
        t->picture[t->pictures++] = (struct trail_picture){.link = *link, .segment = segment};
}

void trail_keep(struct trail *t, const struct request_chain *chain, const struct sizes *sizes) {
    size_t n = chain->n_segments;
    memcpy(t->fingerprint, chain->fingerprint, sizeof t->fingerprint);
    t->kept = t->pictures = t->shown = 0;
    t->text_bytes = 0;
    t->skipped = n > CHAIN_KEPT ? (uint32_t)(n - CHAIN_KEPT) : 0;
    double end = 0;
    for (size_t i = 0; i < n; i++) {
        const struct segment *s = &chain->segments[i];
        if (s->kind == PART_PICTURE) {
            end += sizes->picture_positions;
            t->shown++;
            keep_picture(t, &s->picture, (uint32_t)i);
        } else {
            end += (double)s->bytes / sizes->position_bytes;
            t->text_bytes += s->bytes;
        }
        if (i >= CHAIN_KEPT / 2 && i < CHAIN_KEPT / 2 + t->skipped)
            continue;
        t->segments[t->kept++] = (struct trail_segment){
            .link = s->link,
            .bytes = s->bytes < UINT32_MAX ? (uint32_t)s->bytes : UINT32_MAX,
            .end = end < INT32_MAX ? (uint32_t)end + 1 : INT32_MAX,
            .kind = (uint8_t)s->kind,
            .role = (uint8_t)s->role,
        };
    }
}

/* ---- matching ---- */

uint32_t trail_place(const struct trail *t, const struct match *m, int32_t i) {
    uint32_t end = t->segments[i].end;
    if (m->known < 0)
        return end;
    uint32_t known_end = t->segments[m->known].end;
    if (i >= m->known) {
        uint32_t after = end - known_end; /* a worker may have told any number before it */
        return m->known_positions < UINT32_MAX - after ? m->known_positions + after : UINT32_MAX;
    }
    return (uint32_t)((uint64_t)m->known_positions * end / (known_end > 0 ? known_end : 1));
}

static void match_segments(const struct trail *t, struct affinity *a, const struct holder_set *of,
                           bool touch, uint32_t now_s, struct match *out) {
    struct holder_set left = *of;
    for (int32_t i = (int32_t)t->kept - 1; i >= 0; i--) {
        struct affinity_view v;
        if (!affinity_find(a, &t->segments[i].link, &v))
            continue;
        if (touch)
            affinity_touch(a, &t->segments[i].link, now_s);
        if (v.positions > 0 && out->known < 0) {
            out->known = i;
            out->known_positions = v.positions;
        }
        bool more = false;
        for (int w = 0; w < AFFINITY_HOLDERS / 64; w++) {
            uint64_t new = (v.holders.words[w] | v.coming.words[w]) & left.words[w];
            left.words[w] &= ~new;
            out->holders.words[w] |= new;
            more |= left.words[w] != 0;
            for (; new != 0; new &= new - 1) {
                int h = w * 64 + __builtin_ctzll(new);
                out->held[h] = (struct held){
                    .kept = i,
                    .segments = trail_depth(t, (uint32_t)i),
                    .positions = v.positions > 0 ? v.positions : trail_place(t, out, i),
                    .coming = holder_set_has(&v.coming, h),
                };
                out->any = true;
            }
        }
        if (!more && !touch)
            break;
    }
    out->positions = t->kept > 0 ? trail_place(t, out, (int32_t)t->kept - 1) : 0;
}

void trail_match(const struct trail *t, struct affinity *a, const struct holder_set *of, bool touch,
                 uint32_t now_s, struct match *out) {
    out->holders = (struct holder_set){0};
    out->any = false;
    out->known = -1;
    out->known_positions = 0;
    for (uint32_t i = 0; i < t->kept; i++)
        affinity_prefetch(a, &t->segments[i].link);
    for (uint32_t i = 0; i < t->pictures; i++)
        affinity_prefetch(a, &t->picture[i].link);
    match_segments(t, a, of, touch, now_s, out);
    for (uint32_t i = 0; i < t->pictures; i++) {
        struct affinity_view v;
        bool found = affinity_find(a, &t->picture[i].link, &v);
        if (found && touch)
            affinity_touch(a, &t->picture[i].link, now_s);
        for (int w = 0; w < AFFINITY_HOLDERS / 64; w++) {
            out->with[i].words[w] = (v.holders.words[w] | v.coming.words[w]) & of->words[w];
            out->any |= out->with[i].words[w] != 0;
        }
    }
}

/* ---- promising ---- */

void trail_promise(const struct trail *t, struct affinity *a, int holder, uint32_t from,
                   uint32_t now_s) {
    for (uint32_t i = from; i < t->kept; i++) {
        bool follows = i > 0 && !(i == CHAIN_KEPT / 2 && t->skipped > 0);
        affinity_promise(a, holder, &t->segments[i].link, follows ? &t->segments[i - 1].link : NULL,
                         i == 0, now_s);
    }
    for (uint32_t i = 0; i < t->pictures; i++)
        affinity_promise(a, holder, &t->picture[i].link, NULL, false, now_s);
}

void trail_withdraw(const struct trail *t, struct affinity *a, int holder, uint32_t from) {
    for (uint32_t i = from; i < t->kept; i++)
        affinity_withdraw(a, holder, &t->segments[i].link);
    for (uint32_t i = 0; i < t->pictures; i++)
        affinity_withdraw(a, holder, &t->picture[i].link);
}
