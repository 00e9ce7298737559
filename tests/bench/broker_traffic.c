/* broker_traffic.c - requests that can be told apart and made again. */
#include "tests/bench/broker_traffic.h"

#include <stdio.h>
#include <string.h>

#include "common/must.h"

void traffic_request(uint32_t number, uint32_t n_messages, struct wire_buffer *out) {
    static uint64_t serial;
    char texts[TRAFFIC_SEGMENTS][TRAFFIC_TEXT_BYTES + 1];
    struct request_part parts[TRAFFIC_SEGMENTS];
    struct request_message messages[TRAFFIC_SEGMENTS];
    MUST(n_messages >= 1 && n_messages <= TRAFFIC_SEGMENTS);
    size_t each = TRAFFIC_TEXT_BYTES / n_messages;
    for (uint32_t i = 0; i < n_messages; i++) {
        memset(texts[i], 'a' + (int)(i % 26), each);
        char head[16];
        int n = snprintf(head, sizeof head, "%08x", number);
        memcpy(texts[i], head, (size_t)n);
        parts[i] = (struct request_part){
            .kind = PART_TEXT, .text = {(const uint8_t *)texts[i], each}, .detail = DETAIL_HIGH};
        messages[i] = (struct request_message){
            .role = i % 2 == 0 ? ROLE_USER : ROLE_ASSISTANT, .parts = &parts[i], .n_parts = 1};
    }
    struct request r;
    request_init(&r);
    serial++;
    memcpy(r.id.bytes, &serial, sizeof serial);
    r.messages = messages;
    r.n_messages = n_messages;
    MUST(request_encode(&r, out) == 0);
}
