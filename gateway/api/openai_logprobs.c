/* openai_logprobs.c - probabilities of tokens.
 *
 * A token is bytes, and may be a part of a character: `bytes` has them as they are, `token` with
 * what is no character replaced. */
#include "gateway/api/openai.h"

#include <math.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "common/utf8.h"

#define TOKEN_BYTES 1024         /* of one token's text; longer ones are cut */
#define IMPOSSIBLE_LOGPROB -9999 /* OpenAI's word for minus infinity, which JSON has not */

static json_t *entry(const uint8_t *data, size_t size, double logprob) {
    uint8_t repaired[UTF8_REPAIRED_BYTES(TOKEN_BYTES)];
    size = size < TOKEN_BYTES ? size : TOKEN_BYTES;
    json_t *bytes = json_array();
    for (size_t i = 0; i < size; i++)
        (void)json_array_append_new(bytes, json_integer(data[i]));
    size_t n = utf8_repair(repaired, data, size);
    return json_pack("{s:o,s:f,s:o}", "token", json_stringn((const char *)repaired, n), "logprob",
                     isfinite(logprob) ? logprob : IMPOSSIBLE_LOGPROB, "bytes", bytes);
}

static json_t *entry_of(const struct quire_logprob *p) {
    return entry((const uint8_t *)p->text, p->text_bytes, (double)p->logprob);
}

json_t *openai_logprobs_event(const struct quire_event *event, uint32_t top) {
    json_t *list = json_array();
    for (uint32_t i = 0; event->tokens != NULL && i < event->n_tokens; i++) {
        const struct quire_token *token = &event->tokens[i];
        json_t *one = entry_of(&token->chosen), *others = json_array();
        for (size_t k = 0; k < token->n_others && k < top; k++)
            (void)json_array_append_new(others, entry_of(&token->others[k]));
        (void)json_object_set_new(one, "top_logprobs", others);
        (void)json_array_append_new(list, one);
    }
    return list;
}

/* One of reply->tokens. */
static json_t *entry_from(const json_t *token) {
    uint8_t data[TOKEN_BYTES];
    size_t size = 0;
    const json_t *text = json_object_get(token, "text");
    if (!json_is_string(text) ||
        sodium_base642bin(data, sizeof data, json_string_value(text), json_string_length(text),
                          NULL, &size, NULL, sodium_base64_VARIANT_ORIGINAL) != 0)
        size = 0;
    return entry(data, size, json_number_value(json_object_get(token, "logprob")));
}

json_t *openai_logprobs_all(const json_t *tokens, uint32_t top) {
    json_t *list = json_array();
    const json_t *token, *other;
    size_t i, k;
    json_array_foreach(tokens, i, token) {
        json_t *one = entry_from(token), *others = json_array();
        json_array_foreach(json_object_get(token, "top"), k, other) {
            if (k < top)
                (void)json_array_append_new(others, entry_from(other));
        }
        (void)json_object_set_new(one, "top_logprobs", others);
        (void)json_array_append_new(list, one);
    }
    return list;
}

json_t *openai_logprobs_old(const json_t *entries, uint32_t top, size_t *offset) {
    json_t *tokens = json_array(), *logprobs = json_array(), *tops = json_array(),
           *offsets = json_array();
    const json_t *one, *other;
    size_t i, k;
    json_array_foreach(entries, i, one) {
        json_t *best = json_object();
        json_array_foreach(json_object_get(one, "top_logprobs"), k, other)(void)
            json_object_set(best, json_string_value(json_object_get(other, "token")),
                            json_object_get(other, "logprob"));
        (void)json_array_append(tokens, json_object_get(one, "token"));
        (void)json_array_append(logprobs, json_object_get(one, "logprob"));
        (void)json_array_append_new(tops, best);
        (void)json_array_append_new(offsets, json_integer((json_int_t)*offset));
        *offset += json_array_size(json_object_get(one, "bytes"));
    }
    if (top == 0) {
        json_decref(tops);
        tops = json_null();
    }
    return json_pack("{s:o,s:o,s:o,s:o}", "tokens", tokens, "token_logprobs", logprobs,
                     "top_logprobs", tops, "text_offset", offsets);
}
