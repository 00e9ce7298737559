/* asks.c - questions to the broker on behalf of a reader: explain, losses, drain and undrain.
 *
 * The observer's answer and the reader's end come in any order, and `gone` also follows our own
 * reply. So an ask lives until both have happened. */
#include <stdlib.h>
#include <string.h>

#include "common/error.h"
#include "gateway/pool/observer.h"
#include "gateway/figures/figures.h"
#include "gateway/views/explain_view.h"
#include "gateway/views/names.h"
#include "gateway/views/own.h"

struct ask {
    struct views *views;
    struct exchange *x; /* NULL: the reader is gone */
    bool answered;
    enum observer_question what;
    struct ask *next;
};

static void drop(struct ask *a) {
    struct ask **at = &a->views->asks;
    while (*at != a)
        at = &(*at)->next;
    *at = a->next;
    free(a);
}

void views_drop_asks(struct views *v) {
    while (v->asks != NULL)
        drop(v->asks);
}

static void gone(void *arg) {
    struct ask *a = arg;
    a->x = NULL;
    if (a->answered)
        drop(a);
}

static json_t *answer_json(const struct ask *a, const struct observer_answer *answer) {
    switch (a->what) {
    case OBSERVER_EXPLAIN:
        return answer->explanation != NULL ? explain_view(answer->explanation) : NULL;
    case OBSERVER_LOSSES:
        return losses_view(&answer->losses);
    case OBSERVER_DRAIN:
    case OBSERVER_UNDRAIN:
        break;
    }
    return json_pack("{sb}", "ok", 1);
}

static void answered(void *arg, const struct observer_answer *answer) {
    struct ask *a = arg;
    if (a->x == NULL) {
        drop(a);
        return;
    }
    struct exchange *x = a->x;
    a->answered = true; /* from here on `gone` frees it, at once or later */
    if (answer->rc == 0) {
        views_reply(x, answer_json(a, answer));
        return;
    }
    struct fault f;
    fault_from_pool(&f, answer->rc, answer->error.text, answer->error.retry_ms);
    exchange_reply_fault(x, &f);
}

static void ask(struct exchange *x, enum observer_question what, const char *worker,
                const uint8_t *id) {
    struct gateway *g = exchange_gateway(x);
    struct fault f;
    struct ask *a = calloc(1, sizeof *a);
    if (a == NULL) {
        views_refuse(x, 500, ERR_NOMEM, "memory ran out");
        return;
    }
    *a = (struct ask){.views = g->views, .x = x, .what = what, .next = g->views->asks};
    g->views->asks = a;
    if (observer_ask(g->observer, what, worker, id, answered, a, &f) != 0) {
        drop(a);
        exchange_reply_fault(x, &f);
        return;
    }
    exchange_on_gone(x, gone, a);
}

void views_explain(struct exchange *x) {
    static const char unknown[] =
        "there is no such request among the last ones; GET /quire/requests lists them";
    uint8_t id[QUIRE_ID_BYTES];
    if (!name_unhex(exchange_tail(x), id, sizeof id)) {
        views_refuse(x, 404, ERR_NOT_FOUND, unknown);
        return;
    }
    /* The broker knows requests of everybody; whose they are, only our own records tell. */
    const struct caller *caller = exchange_caller(x);
    if (!caller->admin) {
        const struct record *r = figures_find(exchange_gateway(x)->figures, id);
        if (r == NULL || strcmp(r->tenant, caller->tenant) != 0) {
            views_refuse(x, 404, ERR_NOT_FOUND, unknown);
            return;
        }
    }
    ask(x, OBSERVER_EXPLAIN, NULL, id);
}

/* "NAME/VERB" of the path, into name; the verb, or NULL when there is none. */
static const char *split_tail(struct exchange *x, char name[65]) {
    const char *tail = exchange_tail(x), *slash = strrchr(tail, '/');
    if (slash == NULL || slash == tail || slash - tail > 64)
        return NULL;
    memcpy(name, tail, (size_t)(slash - tail));
    name[slash - tail] = '\0';
    return slash + 1;
}

void views_worker_get(struct exchange *x) {
    char name[65];
    const char *verb = split_tail(x, name);
    if (verb == NULL || strcmp(verb, "losses") != 0)
        views_refuse(x, 404, ERR_NOT_FOUND, "there is /quire/workers/NAME/losses to GET");
    else
        ask(x, OBSERVER_LOSSES, name, NULL);
}

static bool says_nothing(struct exchange *x) {
    size_t bytes;
    const char *body = exchange_body(x, &bytes);
    if (bytes == 0)
        return true;
    json_t *value = json_loadb(body, bytes, 0, NULL);
    bool nothing = json_is_object(value) && json_object_size(value) == 0;
    json_decref(value);
    return nothing;
}

void views_worker_post(struct exchange *x) {
    char name[65];
    const char *verb = split_tail(x, name);
    bool drain = verb != NULL && strcmp(verb, "drain") == 0;
    if (!drain && (verb == NULL || strcmp(verb, "undrain") != 0))
        views_refuse(x, 404, ERR_NOT_FOUND,
                     "there are /quire/workers/NAME/drain and /quire/workers/NAME/undrain to POST");
    else if (!says_nothing(x))
        views_refuse(x, 400, ERR_BAD_REQUEST, "the body has to be empty or {}");
    else
        ask(x, drain ? OBSERVER_DRAIN : OBSERVER_UNDRAIN, name, NULL);
}
