/* sentence.c - cuts before and after the repair, since a repair may make text longer. */
#include "proto/sentence.h"

struct bytes sentence_of(struct bytes given, struct sentence *out) {
    size_t size = given.size;
    if (size > LIMIT_ERROR_TEXT_BYTES)
        size = utf8_complete(given.data, LIMIT_ERROR_TEXT_BYTES);
    size = utf8_repair(out->text, given.data, size);
    if (size > LIMIT_ERROR_TEXT_BYTES)
        size = utf8_complete(out->text, LIMIT_ERROR_TEXT_BYTES);
    return (struct bytes){out->text, size};
}
