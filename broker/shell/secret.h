/* secret.h - the deployment's secret, from which the chain of segments grows.
 *
 * Whoever knows it can compute links, and could ask the index which prompts were seen before. It is
 * a file of SECRET_BYTES random bytes that only its owner can read, made at the first start. */
#ifndef QUIRE_BROKER_SHELL_SECRET_H
#define QUIRE_BROKER_SHELL_SECRET_H

#include <stdint.h>

#include "common/error.h"

#define SECRET_BYTES 32

/* Reads the file, or makes it, and derives the seed, which is never 0. ERR_IO with a sentence; also
 * when others can read the file, or it has another size or owner. */
int secret_seed(const char *path, uint64_t *seed, struct error *e);

#endif
