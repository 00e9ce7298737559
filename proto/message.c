/* message.c - what all messages share: type names, versions, and the look at "v" and "t". */
#include <string.h>

#include "common/must.h"
#include "proto/cursor.h"
#include "proto/message.h"

static const char *const type_names[MSG_TYPES] = {
    [MSG_HELLO] = "HELLO",       [MSG_WELCOME] = "WELCOME",
    [MSG_REQUEST] = "REQUEST",   [MSG_CANCEL] = "CANCEL",
    [MSG_OPS] = "OPS",           [MSG_OPS_REPLY] = "OPS_REPLY",
    [MSG_PROGRESS] = "PROGRESS", [MSG_TOKENS] = "TOKENS",
    [MSG_DONE] = "DONE",         [MSG_ERROR] = "ERROR",
    [MSG_READY] = "READY",       [MSG_HEARTBEAT] = "HEARTBEAT",
    [MSG_GOODBYE] = "GOODBYE",   [MSG_REPLY] = "REPLY",
    [MSG_WORK] = "WORK",         [MSG_CANCEL_WORK] = "CANCEL_WORK",
    [MSG_DRAIN] = "DRAIN",       [MSG_BEAT] = "BEAT",
    [MSG_LINKS] = "LINKS",       [MSG_INVENTORY] = "INVENTORY",
};

const char *message_name(enum message_type type) {
    MUST((unsigned)type < MSG_TYPES);
    return type_names[type];
}

uint32_t version_choose(uint32_t min, uint32_t max) {
    if (min > max || min > PROTO_VERSION_MAX || max < PROTO_VERSION_MIN)
        return 0;
    return max < PROTO_VERSION_MAX ? max : PROTO_VERSION_MAX;
}

static int find_type(const struct value *v, enum message_type *type, struct error *e) {
    if (v->kind != VALUE_STR)
        return error_set(e, ERR_BAD_MESSAGE, "t is %s, not a string", value_kind_name(v->kind));
    for (int i = 0; i < MSG_TYPES; i++) {
        if (strlen(type_names[i]) == v->bytes.size &&
            memcmp(type_names[i], v->bytes.data, v->bytes.size) == 0) {
            *type = (enum message_type)i;
            return 0;
        }
    }
    return error_set(e, ERR_BAD_MESSAGE, "t is no message type of this version");
}

/* What was found of the two keys that every message has. */
struct envelope {
    bool has_version, has_type;
    uint64_t version;
    enum message_type type;
};

/* Reads one pair of the map and notes it if it is "v" or "t". */
static int read_pair(struct cursor *c, struct envelope *found, struct error *e) {
    struct value key, value;
    int rc = cursor_next(c, &key, e);
    if (rc != 0)
        return rc;
    if (key.kind != VALUE_STR)
        return error_set(e, ERR_BAD_MESSAGE, "a key is %s, not a string",
                         value_kind_name(key.kind));
    char letter = key.bytes.size == 1 ? (char)key.bytes.data[0] : '\0';
    if (letter != 'v' && letter != 't')
        return cursor_skip(c, e);
    rc = cursor_next(c, &value, e);
    if (rc != 0)
        return rc;
    if (letter == 't') {
        rc = find_type(&value, &found->type, e);
        found->has_type = rc == 0;
        return rc;
    }
    if (value.kind != VALUE_UINT)
        return error_set(e, ERR_BAD_MESSAGE, "v is %s, not a version", value_kind_name(value.kind));
    found->version = value.uint;
    found->has_version = true;
    return 0;
}

int message_peek(struct bytes frame, enum message_type *type, struct error *e) {
    struct cursor c = cursor_over(frame);
    struct envelope found = {0};
    struct value head;
    if (frame.size > LIMIT_HEADER_BYTES)
        return error_set(e, ERR_LIMIT, "a message's first frame has %zu bytes, %u are allowed",
                         frame.size, LIMIT_HEADER_BYTES);
    int rc = cursor_next(&c, &head, e);
    if (rc == 0 && head.kind != VALUE_MAP)
        rc =
            error_set(e, ERR_BAD_MESSAGE, "a message is %s, not a map", value_kind_name(head.kind));
    for (uint32_t i = 0; rc == 0 && i < head.count && !(found.has_version && found.has_type); i++)
        rc = read_pair(&c, &found, e);
    if (found.has_type)
        *type = found.type;
    /* A version we do not know explains whatever else is wrong. */
    if (found.has_version &&
        (found.version < PROTO_VERSION_MIN || found.version > PROTO_VERSION_MAX))
        return error_set(e, ERR_BAD_VERSION, "protocol version %llu is not one of %d..%d",
                         (unsigned long long)found.version, PROTO_VERSION_MIN, PROTO_VERSION_MAX);
    if (rc == 0 && !(found.has_version && found.has_type))
        rc = error_set(e, ERR_BAD_MESSAGE, "a message has no %s", found.has_type ? "v" : "t");
    return rc;
}
