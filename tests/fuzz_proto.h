/* fuzz_proto.h - the fuzz target of proto/, for libFuzzer and for proto_mutation_test. */
#ifndef QUIRE_TESTS_FUZZ_PROTO_H
#define QUIRE_TESTS_FUZZ_PROTO_H

#include <stddef.h>
#include <stdint.h>

#include "common/bytes.h"
#include "proto/message.h"

/* Decodes a frame as the type and writes what was understood again into `out` (which may be NULL).
 * Returns the decoder's code. */
int recode(enum message_type type, size_t pictures, struct bytes frame, struct wire_buffer *out,
           struct error *e);

/* A frame of any content, with 0..3 pictures after it: is either refused with a sentence, or
 * understood so that writing and reading it again changes nothing. Aborts if not. Returns 0. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#endif
