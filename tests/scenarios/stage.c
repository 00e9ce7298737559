/* stage.c - see stage.h. */
#include "tests/scenarios/stage.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/must.h"

#define EXPLAIN_MS 5000

/* One request's positions, in one worker. */
struct held {
    struct held *next;
    char worker[65], tenant[TALK_TENANT_BYTES];
    struct units units;
};

static int wanted_workers = 1;

void stage_arguments(int argc, char **argv) {
    wanted_workers = argc > 1 ? atoi(argv[1]) : 1;
    MUST(wanted_workers >= 1 && wanted_workers <= POOL_MAX_WORKERS);
}

int stage_workers(void) {
    return wanted_workers;
}

/* ---- opening ---- */

static void place_model(struct stage *s, enum stage_model model) {
    if (model == STAGE_DEMO) {
        (void)snprintf(s->model, sizeof s->model, "%s/quire-demo.gguf", QUIRE_DEMO_DIR);
        (void)snprintf(s->mmproj, sizeof s->mmproj, "%s/quire-demo-mmproj.gguf", QUIRE_DEMO_DIR);
        return;
    }
    (void)snprintf(s->model, sizeof s->model, "%s/text.gguf", s->dir.path);
    (void)snprintf(s->mmproj, sizeof s->mmproj, "%s/mmproj.gguf", s->dir.path);
    const char *const argv[] = {
        QUIRE_BIN_DIR "/make-model", "tiny", "f16", "7", s->model, s->mmproj, NULL};
    char *out = NULL;
    assert_int_equal(process_run(argv, NULL, true, &out), 0);
    free(out);
}

struct stage *stage_open(struct stage_options options) {
    struct stage *s = calloc(1, sizeof *s);
    MUST(s != NULL);
    s->workers = options.workers > 0 ? options.workers : wanted_workers;
    temp_dir_open(&s->dir);
    setenv("QUIRE_PACKS", s->dir.path, 1);
    place_model(s, options.model);
    struct pool_options p = {
        .workers = s->workers, .model = s->model, .mmproj = s->mmproj, .credits = options.credits};
    memcpy(p.worker_flags, options.worker_flags, sizeof p.worker_flags);
    memcpy(p.broker_flags, options.broker_flags, sizeof p.broker_flags);
    pool_open(&s->pool, p);
    s->oracle = oracle_open(s->model, s->mmproj);
    return s;
}

void stage_forget(struct stage *s, const char *worker) {
    for (struct held **at = &s->held; *at != NULL;) {
        struct held *h = *at;
        if (worker != NULL && strcmp(h->worker, worker) != 0) {
            at = &h->next;
            continue;
        }
        *at = h->next;
        units_clear(&h->units);
        free(h);
    }
}

void stage_close(struct stage *s) {
    if (s == NULL)
        return;
    if (s->n_strayed > 0)
        print_message("%u of %u requests went to another worker\n", s->n_strayed, s->n_expected);
    bool strayed = s->n_strayed * STAGE_STRAYS_SHARE > s->n_expected;
    stage_forget(s, NULL);
    units_clear(&s->now.units);
    oracle_close(s->oracle);
    pool_close(&s->pool);
    temp_dir_close(&s->dir);
    free(s);
    assert_false(strayed);
}

int stage_setup_made(void **state) {
    *state = stage_open((struct stage_options){.model = STAGE_MADE});
    return 0;
}

int stage_setup_demo(void **state) {
    *state = stage_open((struct stage_options){.model = STAGE_DEMO});
    return 0;
}

int stage_teardown(void **state) {
    stage_close(*state);
    gallery_close();
    return 0;
}

/* ---- what was computed where ---- */

static void remember(struct stage *s, const char *worker, const char *tenant,
                     const struct units *units) {
    struct held *h = calloc(1, sizeof *h);
    MUST(h != NULL);
    (void)snprintf(h->worker, sizeof h->worker, "%s", worker);
    (void)snprintf(h->tenant, sizeof h->tenant, "%s", tenant);
    h->units = *units;
    h->units.list = malloc(units->count * sizeof *units->list);
    MUST(h->units.list != NULL);
    memcpy(h->units.list, units->list, units->count * sizeof *units->list);
    h->next = s->held;
    s->held = h;
}

void stage_pretend(struct stage *s, const struct talk *t) {
    for (int i = 0; i < s->workers; i++) {
        struct units units;
        char worker[3] = {'w', (char)('0' + i), '\0'};
        oracle_units(s->oracle, t, &units);
        remember(s, worker, t->tenant, &units);
        units_clear(&units);
    }
}

/* The most that a worker (NULL: any) can reuse of a prompt: never its last position, whose logits
 * are wanted. */
static uint32_t reusable(const struct stage *s, const char *worker, const char *tenant,
                         const struct units *units) {
    size_t most = 0;
    for (const struct held *h = s->held; h != NULL; h = h->next) {
        if (strcmp(h->tenant, tenant) != 0 || (worker != NULL && strcmp(h->worker, worker) != 0))
            continue;
        size_t n = units_common(&h->units, units);
        most = n > most ? n : most;
    }
    return (uint32_t)(most < units->count ? most : units->count - 1);
}

static bool same_picture(const uint64_t a[2], const uint64_t b[2]) {
    return a[0] == b[0] && a[1] == b[1];
}

static bool has_seen(const struct stage *s, const char *worker, const char *tenant,
                     const uint64_t picture[2]) {
    for (const struct held *h = s->held; h != NULL; h = h->next) {
        if (strcmp(h->tenant, tenant) != 0 || strcmp(h->worker, worker) != 0)
            continue;
        for (size_t i = 0; i < h->units.n_shown; i++)
            if (same_picture(h->units.shown[i], picture))
                return true;
    }
    return false;
}

/* Different pictures that have embeddings behind the reused positions and are not known yet. */
static uint32_t to_encode(const struct stage *s, const char *worker, const char *tenant,
                          const struct units *units, uint32_t reused) {
    uint32_t n = 0;
    for (size_t i = 0; i < units->n_shown; i++) {
        bool again = has_seen(s, worker, tenant, units->shown[i]);
        for (size_t k = 0; k < i; k++)
            again |= units->last[k] > reused && same_picture(units->shown[k], units->shown[i]);
        n += units->last[i] > reused && !again;
    }
    return n;
}

static uint32_t picture_positions(const struct units *units) {
    uint32_t n = 0;
    for (size_t i = 0; i < units->count; i++)
        n += units->list[i].token < 0;
    return n;
}

/* ---- asking ---- */

void stage_begin(struct stage *s, struct talk *t) {
    char tenant[TALK_TENANT_BYTES];
    (void)snprintf(tenant, sizeof tenant, "tenant %u", s->n_tenants++);
    talk_begin(t, tenant);
}

static void send_one(struct stage *s, const struct talk *t, const char *tenant,
                     uint8_t id[QUIRE_ID_BYTES]) {
    struct quire_request *request = talk_request(t, tenant);
    assert_int_equal(quire_send(s->pool.client, request, id, NULL), 0);
    quire_request_free(request);
}

static void ask(struct stage *s, const struct talk *t, const char *tenant, struct answer *out) {
    uint8_t id[1][QUIRE_ID_BYTES];
    memset(out, 0, sizeof *out);
    send_one(s, t, tenant, id[0]);
    answers_collect(s->pool.client, 1, id, out, false);
    memcpy(s->now.id, tenant == NULL ? id[0] : s->now.id, sizeof s->now.id);
    if (out->end.kind != QUIRE_DONE)
        fail_msg("the request failed: %s", out->end.error.text);
}

static void ask_cold(struct stage *s, const struct talk *t, const struct units *units,
                     const struct answer *warm) {
    char tenant[TALK_TENANT_BYTES];
    (void)snprintf(tenant, sizeof tenant, "cold %u", s->n_tenants++);
    ask(s, t, tenant, &s->cold);
    assert_int_equal(s->cold.end.usage.reused_positions, 0);
    assert_int_equal(s->cold.end.usage.pictures_encoded, to_encode(s, "", tenant, units, 0));
    same_answer(warm, &s->cold);
}

static void check_counts(const struct units *units, const struct answer *a) {
    assert_int_equal(a->end.usage.prompt_positions, units->count);
    assert_int_equal(a->end.usage.picture_positions, picture_positions(units));
    assert_int_equal(a->end.usage.pictures, units->n_shown);
}

void stage_ask_warm(struct stage *s, const struct talk *t) {
    struct asked *now = &s->now;
    units_clear(&now->units);
    oracle_units(s->oracle, t, &now->units);
    ask(s, t, NULL, &now->answer);
    check_counts(&now->units, &now->answer);
    const char *worker = now->answer.end.worker;
    now->positions = (uint32_t)now->units.count;
    now->reused = now->answer.end.usage.reused_positions;
    now->encoded = now->answer.end.usage.pictures_encoded;
    now->ideal = reusable(s, NULL, t->tenant, &now->units);
    if (!s->evicts) {
        assert_int_equal(now->reused, reusable(s, worker, t->tenant, &now->units));
        assert_int_equal(now->encoded, to_encode(s, worker, t->tenant, &now->units, now->reused));
    } else {
        assert_in_range(now->reused, 0, reusable(s, worker, t->tenant, &now->units));
    }
    units_add_answer(&now->units, &now->answer);
    remember(s, worker, t->tenant, &now->units);
}

void stage_ask(struct stage *s, const struct talk *t) {
    stage_ask_warm(s, t);
    struct units prompt = s->now.units;
    prompt.count = s->now.positions;
    ask_cold(s, t, &prompt, &s->now.answer);
}

void stage_go_on(struct stage *s, struct talk *t) {
    stage_ask(s, t);
    talk_say(t, QUIRE_ASSISTANT, s->now.answer.text);
}

void stage_ask_at_once(struct stage *s, const struct talk *talks, size_t n,
                       struct answer *answers) {
    uint8_t(*ids)[QUIRE_ID_BYTES] = calloc(n, sizeof *ids);
    MUST(ids != NULL);
    memset(answers, 0, n * sizeof *answers);
    for (size_t i = 0; i < n; i++)
        send_one(s, &talks[i], NULL, ids[i]);
    answers_collect(s->pool.client, n, ids, answers, false);
    for (size_t i = 0; i < n; i++) {
        struct units units;
        oracle_units(s->oracle, &talks[i], &units);
        check_counts(&units, &answers[i]);
        ask_cold(s, &talks[i], &units, &answers[i]);
        units_add_answer(&units, &answers[i]);
        remember(s, answers[i].end.worker, talks[i].tenant, &units);
        units_clear(&units);
    }
    free(ids);
}

/* ---- why there ---- */

struct quire_explanation *stage_explain(struct stage *s, const struct talk *t) {
    struct quire_explanation *x = NULL;
    struct quire_request *request = talk_request(t, NULL);
    struct quire_error e = {0};
    if (quire_explain(s->pool.client, EXPLAIN_MS, request, NULL, &x, &e) != 0)
        fail_msg("%s", e.text);
    quire_request_free(request);
    return x;
}

const struct quire_explained_worker *stage_explained(const struct quire_explanation *x,
                                                     const char *worker) {
    for (size_t i = 0; i < x->n_workers; i++)
        if (strcmp(x->workers[i].name, worker) == 0)
            return &x->workers[i];
    fail_msg("the explanation has no worker %s", worker);
    return NULL;
}

/* The last request went to the worker whose first token the broker foresaw first. */
static void check_choice(struct stage *s) {
    struct quire_explanation *x = NULL;
    struct quire_error e = {0};
    if (quire_explain(s->pool.client, EXPLAIN_MS, NULL, s->now.id, &x, &e) != 0)
        fail_msg("%s", e.text);
    const struct quire_explained_worker *chosen = stage_explained(x, s->now.answer.end.worker);
    assert_true(chosen->chosen);
    for (size_t i = 0; i < x->n_workers; i++) {
        const struct quire_explained_worker *w = &x->workers[i];
        print_message("%s%s: holds %u positions; wait %u + encode %u + prefill %u us\n", w->name,
                      w->chosen ? ", chosen" : "", w->held_positions, (unsigned)w->wait_us,
                      (unsigned)w->encode_us, (unsigned)w->prefill_us);
        if (w->fits && w->credit)
            assert_true(chosen->total_us <= w->total_us);
    }
    free(x);
}

void stage_expect(struct stage *s, uint32_t reused, uint32_t encoded) {
    s->n_expected++;
    assert_int_equal(s->now.ideal, reused);
    if (s->workers > 1 && s->now.reused != reused) {
        s->n_strayed++;
        check_choice(s);
        return;
    }
    assert_int_equal(s->now.reused, reused);
    assert_int_equal(s->now.encoded, encoded);
}

uint32_t stage_before(const struct stage *s, size_t n) {
    assert_true(n < s->now.units.n_shown);
    return s->now.units.first[n];
}

uint32_t stage_behind(const struct stage *s, size_t n) {
    assert_true(n < s->now.units.n_shown);
    return s->now.units.last[n];
}

uint32_t stage_common(struct stage *s, const struct talk *a, const struct talk *b) {
    struct units x, y;
    oracle_units(s->oracle, a, &x);
    oracle_units(s->oracle, b, &y);
    uint32_t n = (uint32_t)units_common(&x, &y);
    units_clear(&x);
    units_clear(&y);
    return n;
}
