#include "tests/support/views_stage.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "gateway/http/server.h"
#include "gateway/views/views.h"

struct stage stage;

static void (*changed)(void *arg);
static void *changed_arg;
static char keys_stand_in; /* its address is all that is used of it */

void stage_open(bool keys) {
    memset(&stage, 0, sizeof stage);
    stage.gateway.keys = keys ? (struct keys *)&keys_stand_in : NULL;
    assert_int_equal(figures_open(&stage.gateway.figures), 0);
    assert_int_equal(views_open(&stage.gateway, NULL), 0);
}

void stage_close(void) {
    views_close(&stage.gateway);
    figures_close(stage.gateway.figures);
}

void stage_snapshot(void) {
    assert_non_null(changed);
    changed(changed_arg);
}

void stage_answer(int rc, const char *text, struct quire_explanation *explanation) {
    assert_true(stage.n_questions > 0);
    struct stage_question q = stage.questions[0];
    stage.n_questions--;
    memmove(stage.questions, stage.questions + 1, stage.n_questions * sizeof q);
    struct observer_answer a = {.rc = rc, .explanation = explanation};
    a.losses = (struct quire_losses){1, 2, 3, 4, 5};
    strcpy(a.error.text, text);
    q.answered(q.arg, &a);
    free(explanation);
}

void stage_handle(struct exchange *x, const char *method, const char *path) {
    text_init(&x->text, 4 << 20);
    for (const struct route *r = views_routes; r->method; r++)
        if (strcmp(r->method, method) == 0 && strcmp(r->path, path) == 0) {
            r->handle(x);
            return;
        }
    fail_msg("there is no route %s %s", method, path);
}

void stage_leave(struct exchange *x) {
    void (*gone)(void *arg) = x->gone;
    x->gone = NULL;
    if (gone)
        gone(x->gone_arg);
    text_close(&x->text);
}

json_t *stage_json(const struct exchange *x) {
    json_t *value = json_loadb(x->text.data, x->text.size, 0, NULL);
    assert_non_null(value);
    return value;
}

size_t stage_count(const struct exchange *x, const char *words) {
    size_t n = 0;
    const char *at = x->text.data, *end = at + x->text.size;
    while (at && (at = memmem(at, (size_t)(end - at), words, strlen(words)))) {
        at += strlen(words);
        n++;
    }
    return n;
}

/* ---- in place of gateway/http ---- */

struct gateway *exchange_gateway(struct exchange *x) {
    (void)x;
    return &stage.gateway;
}

const struct caller *exchange_caller(const struct exchange *x) {
    return &x->caller;
}

const char *exchange_query(const struct exchange *x, const char *name) {
    return strcmp(name, "limit") == 0 ? x->limit : NULL;
}

const char *exchange_tail(const struct exchange *x) {
    return x->tail ? x->tail : "";
}

const char *exchange_body(const struct exchange *x, size_t *bytes) {
    const char *body = x->body ? x->body : "";
    *bytes = strlen(body);
    return body;
}

void exchange_add_header(struct exchange *x, const char *name, const char *value) {
    (void)x;
    (void)name;
    (void)value;
}

void exchange_reply(struct exchange *x, int status, const char *type, const char *body,
                    size_t bytes) {
    (void)type;
    assert_int_equal(x->status, 0);
    x->status = status;
    text_add(&x->text, body, bytes);
}

void exchange_reply_json(struct exchange *x, int status, json_t *value) {
    assert_int_equal(x->status, 0);
    x->status = status;
    text_json(&x->text, value);
}

void exchange_reply_fault(struct exchange *x, const struct fault *f) {
    exchange_reply(x, f->status, "", f->text, strlen(f->text));
}

void exchange_begin(struct exchange *x, void (*gone)(void *arg), void *arg) {
    assert_int_equal(x->status, 0);
    x->status = 200;
    x->began = true;
    exchange_on_gone(x, gone, arg);
}

int exchange_push(struct exchange *x, const char *data, size_t bytes) {
    assert_true(x->began && !x->ended);
    if (x->slow) {
        x->ended = true;
        return -1;
    }
    text_add(&x->text, data, bytes);
    return 0;
}

void exchange_end(struct exchange *x) {
    assert_true(x->began && !x->ended);
    x->ended = true;
}

void exchange_on_gone(struct exchange *x, void (*gone)(void *arg), void *arg) {
    x->gone = gone;
    x->gone_arg = arg;
}

void server_figures(const struct server *s, struct figures_http *out) {
    (void)s;
    *out = (struct figures_http){.streams = 3, .connections = 8};
}

/* ---- in place of gateway/pool and gateway/access ---- */

const struct snapshot *observer_snapshot(struct observer *o) {
    (void)o;
    return &stage.snapshot;
}

size_t observer_models(struct observer *o, const char **names, size_t capacity) {
    (void)o;
    assert_true(capacity > 0);
    names[0] = "quire-demo";
    return 1;
}

int observer_ask(struct observer *o, enum observer_question what, const char *worker,
                 const uint8_t *id, void (*answered)(void *arg, const struct observer_answer *a),
                 void *arg, struct fault *fault) {
    (void)o;
    if (stage.full)
        return fault_set(fault, 503, ERR_BUSY, "", "too many questions wait");
    assert_true(stage.n_questions < STAGE_QUESTIONS);
    struct stage_question *q = &stage.questions[stage.n_questions++];
    *q = (struct stage_question){.what = what, .answered = answered, .arg = arg};
    if (worker)
        strcpy(q->worker, worker);
    if (id)
        memcpy(q->id, id, sizeof q->id);
    return 0;
}

void observer_on_snapshot(struct observer *o, void (*fn)(void *arg), void *arg) {
    (void)o;
    changed = fn;
    changed_arg = arg;
}

void pool_counts(const struct pool *p, struct pool_counts *out) {
    (void)p;
    *out = (struct pool_counts){.in_flight = 2};
}

const struct key *keys_get(const struct keys *k, int index) {
    (void)k;
    return stage.has_key && index == 0 ? &stage.key : NULL;
}
