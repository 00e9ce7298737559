/* message_handshake.c - HELLO and WELCOME. Their keys never change in later versions, so that peers
 * of any two versions can find out what they share. */
#include "proto/schema.h"

static const struct field hello_fields[] = {
    FIELD_NEED_U32("version_min", struct msg_hello, version_min, 1, UINT32_MAX),
    FIELD_NEED_U32("version_max", struct msg_hello, version_max, 1, UINT32_MAX),
    FIELD_TEXT("software", struct msg_hello, software, 0, LIMIT_SOFTWARE_BYTES),
};
static const struct schema hello_schema =
    SCHEMA("HELLO", hello_fields, struct msg_hello, ERR_BAD_MESSAGE, 0);

static const struct field welcome_fields[] = {
    FIELD_NEED_U32("version", struct msg_welcome, version, 1, UINT32_MAX),
    FIELD_TEXT("software", struct msg_welcome, software, 0, LIMIT_SOFTWARE_BYTES),
    FIELD_U32("heartbeat_ms", struct msg_welcome, heartbeat_ms, 0, UINT32_MAX, 0),
    FIELD_U32("dead_ms", struct msg_welcome, dead_ms, 0, UINT32_MAX, 0),
    FIELD_U64("seed", struct msg_welcome, seed),
};
static const struct schema welcome_schema =
    SCHEMA("WELCOME", welcome_fields, struct msg_welcome, ERR_BAD_MESSAGE, 0);

int hello_encode(const struct msg_hello *m, struct wire_buffer *out) {
    return message_encode(MSG_HELLO, &hello_schema, m, out);
}

int hello_decode(struct msg_hello *out, struct bytes frame, struct error *e) {
    return message_decode(MSG_HELLO, &hello_schema, frame, out, NULL, e);
}

int welcome_encode(const struct msg_welcome *m, struct wire_buffer *out) {
    return message_encode(MSG_WELCOME, &welcome_schema, m, out);
}

int welcome_decode(struct msg_welcome *out, struct bytes frame, struct error *e) {
    return message_decode(MSG_WELCOME, &welcome_schema, frame, out, NULL, e);
}
