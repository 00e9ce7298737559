/* limits.c - counts and buckets by the name of a key.
 *
 * A bucket's level is in 60000ths of a token, so that what one millisecond adds is a whole number
 * and nothing is lost by asking often. */
#include "gateway/access/limits.h"

#include <stdlib.h>
#include <string.h>

#define MINUTE_MS 60000
#define PAID_MAX UINT64_C(1000000000000) /* tokens that one request can pay */
#define DEBT_MAX (INT64_MAX / 2)

struct account {
    char name[65];
    uint32_t in_flight;
    int64_t rate;      /* tokens per minute as of the last entry; 0: no limit */
    int64_t level;     /* in the bucket, 60000ths of a token; negative: overdrawn */
    int64_t filled_ms; /* as of when */
};

struct limits {
    size_t n;
    struct account accounts[LIMITS_NAMES];
};

int limits_open(struct limits **out) {
    *out = calloc(1, sizeof **out);
    return *out != NULL ? 0 : ERR_NOMEM;
}

void limits_close(struct limits *l) {
    free(l);
}

static struct account *find(struct limits *l, const char *name) {
    for (size_t i = 0; i < l->n; i++)
        if (strcmp(l->accounts[i].name, name) == 0)
            return &l->accounts[i];
    return NULL;
}

/* A new account, in the place of the one that was quiet for longest when there is no room. */
static struct account *add(struct limits *l, const char *name, int64_t now_ms) {
    struct account *a = NULL;
    if (l->n < LIMITS_NAMES) {
        a = &l->accounts[l->n++];
    } else {
        for (size_t i = 0; i < l->n; i++) {
            struct account *old = &l->accounts[i];
            if (old->in_flight == 0 && (a == NULL || old->filled_ms < a->filled_ms))
                a = old;
        }
    }
    if (a == NULL)
        return NULL;
    *a = (struct account){.filled_ms = now_ms};
    memcpy(a->name, name, strlen(name) + 1);
    return a;
}

static void fill(struct account *a, int64_t now_ms) {
    int64_t full = a->rate * MINUTE_MS;
    int64_t passed = now_ms > a->filled_ms ? now_ms - a->filled_ms : 0;
    a->filled_ms += passed;
    if (a->rate == 0)
        return;
    if (a->level >= full || passed > (full - a->level) / a->rate)
        a->level = full;
    else
        a->level += passed * a->rate;
}

/* The file may have another rate for this key than when it last asked. */
static void set_rate(struct account *a, int64_t rate) {
    if (a->rate == 0 || a->level > rate * MINUTE_MS)
        a->level = rate * MINUTE_MS;
    a->rate = rate;
}

static int too_many(const struct key *key, struct fault *fault) {
    fault_set(fault, 429, ERR_BUSY, "",
              "The key \"%s\" has its %u request%s in flight already; try again when one has "
              "ended",
              key->name, key->in_flight, key->in_flight == 1 ? "" : "s");
    fault->retry_ms = LIMITS_RETRY_MS;
    return -1;
}

static int used_up(const struct key *key, const struct account *a, struct fault *fault) {
    int64_t wait_ms = -a->level / a->rate + 1;
    fault_set(fault, 429, ERR_BUSY, "",
              "The key \"%s\" has used its %llu tokens per minute; try again in %lld seconds",
              key->name, (unsigned long long)key->tokens_per_minute,
              (long long)((wait_ms + 999) / 1000));
    fault->retry_ms = wait_ms < UINT32_MAX ? (uint32_t)wait_ms : UINT32_MAX;
    return -1;
}

int limits_enter(struct limits *l, const struct key *key, int64_t now_ms, struct fault *fault) {
    if (key == NULL)
        return 0;
    struct account *a = find(l, key->name);
    if (a == NULL)
        a = add(l, key->name, now_ms);
    if (a == NULL)
        return fault_set(fault, 503, ERR_BUSY, "", "Too many keys have requests in flight");
    fill(a, now_ms);
    set_rate(a, (int64_t)key->tokens_per_minute);
    if (key->in_flight > 0 && a->in_flight >= key->in_flight)
        return too_many(key, fault);
    if (a->rate > 0 && a->level <= 0)
        return used_up(key, a, fault);
    a->in_flight++;
    return 0;
}

void limits_leave_name(struct limits *l, const char *name, uint64_t tokens, int64_t now_ms) {
    struct account *a = find(l, name);
    if (a == NULL)
        return;
    if (a->in_flight > 0)
        a->in_flight--;
    fill(a, now_ms);
    if (a->rate == 0)
        return;
    int64_t paid = (int64_t)(tokens < PAID_MAX ? tokens : PAID_MAX) * MINUTE_MS;
    a->level = a->level > paid - DEBT_MAX ? a->level - paid : -DEBT_MAX;
}

void limits_leave(struct limits *l, const struct key *key, uint64_t tokens, int64_t now_ms) {
    if (key != NULL)
        limits_leave_name(l, key->name, tokens, now_ms);
}
