/* views.h - what the page and operators ask of the gateway itself, under /quire/, and its files.
 *
 * gateway/API.md describes the endpoints. Besides the routes, views keep live streams and a tree of
 * segments; both live in gateway->views and on the loop's thread. */
#ifndef QUIRE_GATEWAY_VIEWS_H
#define QUIRE_GATEWAY_VIEWS_H

#include "common/error.h"
#include "gateway/http/exchange.h"

/* Each ends with an entry whose method is NULL. */
extern const struct route views_routes[]; /* /quire/..., /metrics, /healthz, /readyz */
extern const struct route page_routes[];  /* / and the page's files, from memory */

/* main.c calls views_open when figures, pool and observer are there and before server_open; it sets
 * g->views, and g->stopping to views_stop. views_close after server_close, since closing
 * connections ends live streams; before observer_close and figures_close. Both take a gateway that
 * has no views. */
int views_open(struct gateway *g, struct error *e);
void views_close(struct gateway *g);
/* Ends the live streams, which would never end by themselves. */
void views_stop(struct gateway *g);

#endif
