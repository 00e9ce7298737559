/* openai_chat.h - the two halves of /v1/chat/completions. Private to gateway/api/openai_chat*.c. */
#ifndef QUIRE_GATEWAY_OPENAI_CHAT_H
#define QUIRE_GATEWAY_OPENAI_CHAT_H

#include "gateway/api/openai.h"

/* Reads "messages" into the request; with tools the system message tells of them. */
int openai_chat_messages(struct json_read *r, const json_t *body, const struct tools *tools,
                         enum tool_format format, enum tools_mode mode,
                         struct quire_request *request);

#endif
