/* models.h - GET /v1/models and /v1/models/{id}. */
#ifndef QUIRE_GATEWAY_HTTP_MODELS_H
#define QUIRE_GATEWAY_HTTP_MODELS_H

#include "gateway/http/exchange.h"

void models_list(struct exchange *x);
void models_one(struct exchange *x);

#endif
