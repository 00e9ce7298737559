/* sentence.h - a sentence for people, made fit for the wire. Private to proto/.
 *
 * A sentence may quote a file name or a peer's bytes, so it is made valid UTF-8 and cut to the
 * limit here instead of in each of the places that write one. */
#ifndef QUIRE_PROTO_SENTENCE_H
#define QUIRE_PROTO_SENTENCE_H

#include "common/utf8.h"
#include "proto/limits.h"
#include "proto/message.h"

struct sentence {
    uint8_t text[UTF8_REPAIRED_BYTES(LIMIT_ERROR_TEXT_BYTES)];
};

/* The sentence as valid UTF-8 of at most LIMIT_ERROR_TEXT_BYTES. It lies in *out. */
struct bytes sentence_of(struct bytes given, struct sentence *out);

#endif
