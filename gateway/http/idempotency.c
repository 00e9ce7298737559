/* idempotency.c - a list of kept runs, oldest first, and a table of it by name.
 *
 * The hashes are keyed with a random key of this process, so that nobody can choose names that fall
 * into one slot. Bodies are compared by hash: nothing of a prompt stays in memory for it. */
#include "gateway/http/idempotency.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"

#define RETRY_MS 1000
#define SLOTS 2048 /* a power of two; a chain of runs hangs at each */

struct idempotency {
    struct server *server;
    struct run *first, *last; /* oldest first */
    struct run *slots[SLOTS]; /* linked by run->kept_next */
    size_t count, bytes;      /* of ended ones */
    uint8_t secret[32];
};

int idempotency_open(struct idempotency **out, struct server *s) {
    struct idempotency *i = calloc(1, sizeof *i);
    *out = i;
    if (i == NULL)
        return ERR_NOMEM;
    i->server = s;
    randombytes_buf(i->secret, sizeof i->secret);
    return 0;
}

void idempotency_close(struct idempotency *i) {
    free(i);
}

static struct run **slot_of(struct idempotency *i, const uint8_t name[32]) {
    uint32_t n;
    memcpy(&n, name, sizeof n);
    return &i->slots[n & (SLOTS - 1)];
}

static void forget(struct idempotency *i, struct run *run) {
    struct run **p = slot_of(i, run->name);
    while (*p != run)
        p = &(*p)->kept_next;
    *p = run->kept_next;
    if (run->kept_before)
        run->kept_before->kept_after = run->kept_after;
    else
        i->first = run->kept_after;
    if (run->kept_after)
        run->kept_after->kept_before = run->kept_before;
    else
        i->last = run->kept_before;
    i->count--;
    i->bytes -= run->kept_bytes;
    run->kept_bytes = 0;
    run->kept = false;
}

static void add_text(crypto_generichash_state *h, const char *text) {
    crypto_generichash_update(h, (const uint8_t *)text, strlen(text) + 1);
}

int idempotency_name(const struct exchange *x, struct idempotency_name *name, struct fault *f) {
    const struct idempotency *i = x->server->idempotency;
    const char *key = exchange_header(x, "Idempotency-Key");
    if (key == NULL)
        return 0;
    size_t n = strlen(key);
    if (n == 0 || n > IDEMPOTENCY_KEY_BYTES)
        return fault_set(f, 400, ERR_BAD_REQUEST, "", "Idempotency-Key has 1 to %d bytes",
                         IDEMPOTENCY_KEY_BYTES);
    crypto_generichash_state h;
    crypto_generichash_init(&h, i->secret, sizeof i->secret, sizeof name->name);
    add_text(&h, x->caller.tenant);
    add_text(&h, x->route->path);
    add_text(&h, key);
    crypto_generichash_final(&h, name->name, sizeof name->name);
    crypto_generichash(name->body, sizeof name->body, (const uint8_t *)x->body.data, x->body.size,
                       i->secret, sizeof i->secret);
    return 1;
}

static bool has_many_readers(const struct run *run) {
    size_t n = 0;
    for (const struct run_reader *r = run->readers; r; r = r->next)
        n++;
    return n >= IDEMPOTENCY_READERS;
}

int idempotency_answer(struct exchange *x, const struct idempotency_name *name, struct fault *f) {
    struct run *run = *slot_of(x->server->idempotency, name->name);
    while (run && memcmp(run->name, name->name, sizeof run->name) != 0)
        run = run->kept_next;
    if (run == NULL)
        return 0;
    if (memcmp(run->body, name->body, sizeof run->body) != 0)
        return fault_set(f, 422, ERR_BAD_REQUEST, "",
                         "this Idempotency-Key was used for another request; take a new one");
    if (has_many_readers(run)) {
        fault_set(f, 429, ERR_BUSY, "", "%d others read the answer under this Idempotency-Key",
                  IDEMPOTENCY_READERS);
        f->retry_ms = RETRY_MS;
        return -1;
    }
    body_drop(&x->body, &x->server->body_used);
    run_attach(run, x);
    return 1;
}

void idempotency_keep(struct run *run, const struct idempotency_name *name) {
    struct idempotency *i = run->server->idempotency;
    if (run->ended)
        return;
    memcpy(run->name, name->name, sizeof run->name);
    memcpy(run->body, name->body, sizeof run->body);
    struct run **slot = slot_of(i, run->name);
    run->kept_next = *slot;
    *slot = run;
    run->kept_before = i->last;
    run->kept_after = NULL;
    if (i->last)
        i->last->kept_after = run;
    else
        i->first = run;
    i->last = run;
    i->count++;
    run->kept = true;
    run->until_ms = INT64_MAX;
}

void idempotency_grown(struct run *run) {
    /* One that nobody reads stays until its grace is over, since only the table knows it. */
    if (run->kept && run->readers && run->output.size > IDEMPOTENCY_ANSWER_BYTES)
        forget(run->server->idempotency, run);
}

void idempotency_abandoned(struct run *run) {
    run->until_ms = clock_ms() + IDEMPOTENCY_GRACE_MS;
}

/* The oldest that has ended, but not `but`, whose caller still has it in hand; running ones stay.
 * False: there is none. */
static bool forget_oldest(struct idempotency *i, const struct run *but) {
    struct run *run = i->first;
    while (run && (!run->ended || run == but))
        run = run->kept_after;
    if (run == NULL)
        return false;
    forget(i, run);
    run_release(run);
    return true;
}

void idempotency_done(struct run *run) {
    struct idempotency *i = run->server->idempotency;
    if (run->kept && run->output.size > IDEMPOTENCY_ANSWER_BYTES)
        forget(i, run);
    if (!run->kept)
        return;
    run->until_ms = clock_ms() + IDEMPOTENCY_KEEP_MS;
    i->bytes += run->output.room;
    run->kept_bytes = run->output.room;
    while ((i->count > IDEMPOTENCY_MAX || i->bytes > IDEMPOTENCY_BYTES) && forget_oldest(i, run))
        continue;
}

void idempotency_failed(struct run *run) {
    if (run->kept)
        forget(run->server->idempotency, run);
}

static void give_up(struct idempotency *i, struct run *run) {
    forget(i, run);
    if (!run->ended && run->readers == NULL)
        run_cancel(run);
    run_release(run);
}

void idempotency_tick(struct idempotency *i, int64_t now_ms) {
    for (struct run *run = i->first, *after; run; run = after) {
        after = run->kept_after;
        bool wanted = !run->ended && run->readers;
        if (!wanted && now_ms >= run->until_ms)
            give_up(i, run);
    }
}

void idempotency_clear(struct idempotency *i) {
    while (i->first)
        give_up(i, i->first);
}
