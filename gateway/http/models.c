/* models.c - the models that workers serve now, in OpenAI's shape. No model says when it was made;
 * the gateway's start is what clients get. */
#include "gateway/http/models.h"

#include <string.h>

#include "gateway/http/inside.h"
#include "gateway/pool/observer.h"

#define MODELS_MAX OBSERVER_WORKERS

void models_list(struct exchange *x) {
    struct observer *o = exchange_gateway(x)->observer;
    const char *names[MODELS_MAX];
    size_t n = observer_models(o, names, MODELS_MAX);
    struct text body;
    text_init(&body, 1 << 20);
    openai_models(names, n < MODELS_MAX ? n : MODELS_MAX, x->server->started_s, &body);
    exchange_reply(x, 200, "application/json", body.data, body.size);
    text_close(&body);
}

void models_one(struct exchange *x) {
    struct observer *o = exchange_gateway(x)->observer;
    const char *names[MODELS_MAX];
    size_t n = observer_models(o, names, MODELS_MAX);
    for (size_t i = 0; i < n && i < MODELS_MAX; i++) {
        if (strcmp(names[i], exchange_tail(x)) != 0)
            continue;
        struct text body;
        text_init(&body, 1 << 16);
        openai_model(names[i], x->server->started_s, &body);
        exchange_reply(x, 200, "application/json", body.data, body.size);
        text_close(&body);
        return;
    }
    struct fault f;
    fault_set(&f, 404, ERR_UNKNOWN_MODEL, "model", "no worker serves the model \"%.128s\"",
              exchange_tail(x));
    exchange_refuse(x, &f);
}
