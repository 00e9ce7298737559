/* anthropic.c - the two dialects of Anthropic's API: POST /v1/messages and its count_tokens.
 *
 * Usage. What the pool found computed are cache_read_input_tokens, always. What it had to compute
 * counts as cache_creation_input_tokens when the body asks for caching (a cache_control anywhere),
 * else as input_tokens; the three together are the prompt's positions. The pool keeps what it
 * computes in both cases: cache_control changes how it is called and nothing else.
 *
 * A message of the same role as the one before continues it. An answer begun by the client (a last
 * message of the assistant) is refused, since the workers' templates can only open a new turn. */
#include "gateway/api/anthropic.h"

static int messages_read(struct reply *reply, const json_t *body, const struct dialect_world *world,
                         struct fault *fault) {
    return anthropic_read(reply, body, world, false, fault);
}

static void messages_piece(struct reply *reply, const struct quire_event *event,
                           struct text *events) {
    anthropic_feed(reply, event->text, event->text_bytes, events);
}

const struct dialect anthropic_messages = {
    .name = "anthropic-messages",
    .id_prefix = "msg_",
    .read = messages_read,
    .whole = anthropic_whole,
    .begin = anthropic_begin,
    .piece = messages_piece,
    .end = anthropic_end,
    .broken = anthropic_broken,
    .ping = anthropic_ping,
    .fault = anthropic_fault,
    .close = anthropic_close,
};

static int count_read(struct reply *reply, const json_t *body, const struct dialect_world *world,
                      struct fault *fault) {
    return anthropic_read(reply, body, world, true, fault);
}

static void count_whole(struct reply *reply, struct text *body) {
    json_t *count =
        json_pack("{s:I}", "input_tokens", (json_int_t)reply->done->usage.prompt_positions);
    if (reply->details && reply->details_object != NULL && count != NULL)
        (void)json_object_set(count, "quire", reply->details_object);
    text_json(body, count);
}

/* Never streamed: read leaves reply->stream false. The streaming functions are there all the same.
 */
const struct dialect anthropic_count_tokens = {
    .name = "anthropic-count-tokens",
    .id_prefix = "msg_",
    .read = count_read,
    .whole = count_whole,
    .begin = anthropic_begin,
    .piece = messages_piece,
    .end = anthropic_end,
    .broken = anthropic_broken,
    .ping = anthropic_ping,
    .fault = anthropic_fault,
    .close = anthropic_close,
};
