/* routes.h - the tables of routes that the program serves. */
#ifndef QUIRE_GATEWAY_HTTP_ROUTES_H
#define QUIRE_GATEWAY_HTTP_ROUTES_H

#include "gateway/http/exchange.h"

extern const struct route *const routes_all[]; /* NULL ends them */

#endif
