/* fuzz_proto.c - reads a frame as whatever it says it is, writes it, reads it, writes it.
 *
 * By hand:  clang -g -fsanitize=fuzzer,address,undefined -D_GNU_SOURCE -I. tests/fuzz_proto.c
 *           proto/{message*,schema*,cursor,sentence}.c common/{error,utf8}.c -lmsgpackc */
#include "fuzz_proto.h"

#include <string.h>

#include "common/must.h"

/* One case of recode's switch: decode, encode if that went well and somebody wants it, clear. */
#define RECODE(TYPE, STRUCT, NAME, CLEAR)                                                          \
    case TYPE: {                                                                                   \
        STRUCT m;                                                                                  \
        int rc = NAME##_decode(&m, frame, e);                                                      \
        if (rc == 0 && out != NULL)                                                                \
            MUST(NAME##_encode(&m, out) == 0);                                                     \
        if (rc == 0)                                                                               \
            CLEAR(&m);                                                                             \
        return rc;                                                                                 \
    }
#define NOTHING(m) (void)(m)

static int recode_request(size_t pictures, struct bytes frame, struct wire_buffer *out,
                          struct error *e) {
    struct request r;
    int rc = request_decode(&r, frame, pictures, e);
    if (rc == 0 && out != NULL)
        MUST(request_encode(&r, out) == 0);
    request_clear(&r);
    return rc;
}

static int recode_inventory(struct bytes frame, struct wire_buffer *out, struct error *e) {
    int rc = inventory_decode(frame, e);
    if (rc == 0 && out != NULL)
        MUST(inventory_encode(out) == 0);
    return rc;
}

int recode(enum message_type type, size_t pictures, struct bytes frame, struct wire_buffer *out,
           struct error *e) {
    switch (type) {
        RECODE(MSG_HELLO, struct msg_hello, hello, NOTHING)
        RECODE(MSG_WELCOME, struct msg_welcome, welcome, NOTHING)
        RECODE(MSG_CANCEL, struct msg_cancel, cancel, NOTHING)
        RECODE(MSG_OPS, struct msg_ops, ops, NOTHING)
        RECODE(MSG_OPS_REPLY, struct msg_ops_reply, ops_reply, ops_reply_clear)
        RECODE(MSG_PROGRESS, struct msg_progress, progress, NOTHING)
        RECODE(MSG_TOKENS, struct msg_tokens, tokens, tokens_clear)
        RECODE(MSG_DONE, struct msg_done, done, NOTHING)
        RECODE(MSG_ERROR, struct msg_error, error, NOTHING)
        RECODE(MSG_READY, struct msg_ready, ready, NOTHING)
        RECODE(MSG_HEARTBEAT, struct msg_heartbeat, heartbeat, NOTHING)
        RECODE(MSG_GOODBYE, struct msg_goodbye, goodbye, NOTHING)
        RECODE(MSG_REPLY, struct msg_reply, reply, NOTHING)
        RECODE(MSG_WORK, struct msg_work, work, NOTHING)
        RECODE(MSG_CANCEL_WORK, struct msg_cancel_work, cancel_work, NOTHING)
        RECODE(MSG_DRAIN, struct msg_drain, drain, NOTHING)
        RECODE(MSG_BEAT, struct msg_beat, beat, NOTHING)
        RECODE(MSG_LINKS, struct msg_links, links, NOTHING)
    case MSG_INVENTORY:
        return recode_inventory(frame, out, e);
    case MSG_REQUEST:
        return recode_request(pictures, frame, out, e);
    case MSG_TYPES:
        break;
    }
    MUST(!"a message type");
    return ERR_INTERNAL;
}

static void check_frame(enum message_type type, size_t pictures, struct bytes frame) {
    struct wire_buffer first = {0}, second = {0};
    struct error e = {0};
    int rc = recode(type, pictures, frame, &first, &e);
    if (rc != 0) {
        MUST(rc < 0 && e.code == rc && e.text[0] != '\0');
    } else {
        MUST(recode(type, pictures, wire_bytes(&first), &second, &e) == 0);
        MUST(first.size == second.size && memcmp(first.data, second.data, first.size) == 0);
    }
    wire_buffer_clear(&first);
    wire_buffer_clear(&second);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct bytes frame = {data, size};
    enum message_type type;
    struct error e = {0};
    int rc = message_peek(frame, &type, &e);
    if (rc != 0) {
        MUST(e.code == rc && e.text[0] != '\0');
        return 0;
    }
    size_t most = type == MSG_REQUEST ? 3 : 0;
    for (size_t pictures = 0; pictures <= most; pictures++)
        check_frame(type, pictures, frame);
    return 0;
}
