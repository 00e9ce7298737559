/* fuzz_image.h - one step of fuzzing the picture decoder. */
#ifndef QUIRE_TESTS_FUZZ_IMAGE_H
#define QUIRE_TESTS_FUZZ_IMAGE_H

#include <stddef.h>
#include <stdint.h>

/* Decodes any bytes; aborts when a promise of image.h is broken. libFuzzer's signature. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#endif
