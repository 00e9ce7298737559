/* fuzz_gguf.h - one step of fuzzing the model files' reader. */
#ifndef QUIRE_TESTS_FUZZ_GGUF_H
#define QUIRE_TESTS_FUZZ_GGUF_H

#include <stddef.h>
#include <stdint.h>

/* Opens any bytes as a GGUF, and if that works reads all of it and binds it as either kind of
 * model; aborts when a promise of gguf.h or model.h is broken. libFuzzer's signature. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The same; says whether the bytes were taken as a file, and as a text model or a vision tower. */
struct gguf_trial {
    int opened, text, vision; /* 0 or the error's code */
};
struct gguf_trial try_gguf(const uint8_t *data, size_t size);

#endif
