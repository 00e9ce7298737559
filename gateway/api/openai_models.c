/* openai_models.c - GET /v1/models and GET /v1/models/{id}. */
#include "gateway/api/openai.h"

static json_t *model(const char *name, int64_t created_s) {
    return json_pack("{s:s,s:s,s:I,s:s}", "id", name, "object", "model", "created",
                     (json_int_t)created_s, "owned_by", "quire");
}

void openai_models(const char *const *models, size_t n, int64_t created_s, struct text *body) {
    json_t *list = json_array();
    for (size_t i = 0; i < n; i++)
        (void)json_array_append_new(list, model(models[i], created_s));
    text_json(body, json_pack("{s:s,s:o}", "object", "list", "data", list));
}

void openai_model(const char *name, int64_t created_s, struct text *body) {
    text_json(body, model(name, created_s));
}
