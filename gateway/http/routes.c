/* routes.c - all routes of the gateway; part of the program, which knows all its parts. */
#include "gateway/http/routes.h"

#include "gateway/api/dialect.h"
#include "gateway/http/models.h"
#include "gateway/views/views.h"

static const struct route api_routes[] = {
    {"POST", "/v1/chat/completions", ROUTE_KEY, NULL, &openai_chat},
    {"POST", "/v1/completions", ROUTE_KEY, NULL, &openai_completions},
    {"POST", "/v1/responses", ROUTE_KEY, NULL, &openai_responses},
    {"POST", "/v1/messages", ROUTE_KEY, NULL, &anthropic_messages},
    {"POST", "/v1/messages/count_tokens", ROUTE_KEY, NULL, &anthropic_count_tokens},
    {"GET", "/v1/models", ROUTE_KEY, models_list, NULL},
    {"GET", "/v1/models/*", ROUTE_KEY, models_one, NULL},
    {NULL, NULL, ROUTE_OPEN, NULL, NULL},
};

const struct route *const routes_all[] = {api_routes, views_routes, page_routes, NULL};
