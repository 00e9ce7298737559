/* way_probe.h - whether a gateway is there, so that a wrong URL is one sentence and not one for
 * each request. */
#ifndef QUIRE_CLI_REPLAY_WAY_PROBE_H
#define QUIRE_CLI_REPLAY_WAY_PROBE_H

#include <stddef.h>

#include "common/error.h"

#define WAY_URL_BYTES 1000 /* of a gateway's URL */

/* ERR_USAGE: it is no URL; ERR_TIMEOUT: nobody answers there; ERR_IO: somebody else does. `base` is
 * not NUL-terminated; bytes is at most WAY_URL_BYTES. libcurl is started already. */
int way_probe(const char *base, size_t bytes, struct error *e);

#endif
