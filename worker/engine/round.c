/* round.c - members take parts in order until there are no more or time is up. */
#include "worker/engine/round.h"

#include "common/clock.h"

void round_begin(struct round *r, int32_t parts, round_part *run, void *arg) {
    r->run = run;
    r->arg = arg;
    r->parts = parts;
    atomic_store_explicit(&r->next, 0, memory_order_relaxed);
}

/* The next part, or -1. Without a look first, rounds that are resumed often would count too far. */
static int32_t take(struct round *r) {
    if (atomic_load_explicit(&r->next, memory_order_relaxed) >= r->parts)
        return -1;
    int32_t part = atomic_fetch_add_explicit(&r->next, 1, memory_order_relaxed);
    return part < r->parts ? part : -1;
}

static void member(void *arg, int who, int members) {
    struct round *r = arg;
    (void)members;
    int64_t begin_us = r->deadline_us > 0 ? clock_us() : 0;
    for (int32_t part; (part = take(r)) >= 0;) {
        r->run(r->arg, part, who);
        if (r->deadline_us == 0)
            continue;
        int64_t now_us = clock_us();
        if (now_us + (now_us - begin_us) > r->deadline_us)
            return;
        begin_us = now_us;
    }
}

bool round_advance(struct round *r, struct team *t, int64_t deadline_us) {
    r->deadline_us = deadline_us;
    team_run(t, member, r);
    return atomic_load_explicit(&r->next, memory_order_relaxed) >= r->parts;
}
