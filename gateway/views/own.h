/* own.h - what the handlers under /quire/ share; only for this folder. */
#ifndef QUIRE_GATEWAY_VIEWS_OWN_H
#define QUIRE_GATEWAY_VIEWS_OWN_H

#include "gateway/gateway.h"
#include "gateway/http/exchange.h"

struct live;   /* live.h: who watches */
struct gather; /* gather.h: explanations for the tree */
struct tree;   /* tree.h */
struct ask;    /* asks.c: an exchange that waits for the observer */

struct views {
    struct gateway *gateway;
    struct live *live;
    struct gather *gather;
    struct tree *tree;
    struct ask *asks; /* all that wait */
};

/* May this caller see what is not of its own tenant? Without keys there is nobody else. */
bool views_sees_all(struct exchange *x);
/* Answers with JSON that must not be kept; takes the reference. NULL becomes a 500. */
void views_reply(struct exchange *x, json_t *value);
void views_refuse(struct exchange *x, int status, int code, const char *text);

/* ---- asks.c: answered when the observer has answered ---- */
void views_explain(struct exchange *x);
void views_worker_get(struct exchange *x);  /* .../losses */
void views_worker_post(struct exchange *x); /* .../drain, .../undrain */
void views_drop_asks(struct views *v);      /* at the end: no answer will come */

/* ---- health.c ---- */
void views_metrics(struct exchange *x);
void views_healthz(struct exchange *x);
void views_readyz(struct exchange *x);

#endif
