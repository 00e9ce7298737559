/* head.h - the head of a request, checked more strictly than MHD does. */
#ifndef QUIRE_GATEWAY_HTTP_HEAD_H
#define QUIRE_GATEWAY_HTTP_HEAD_H

#include <microhttpd.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "gateway/api/fault.h"

struct head {
    /* where MHD has the first line, in place */
    const char *method, *target, *version;
    size_t target_bytes;
    /* filled by head_check */
    char host[256]; /* "" when there is none */
    uint64_t declared;
    bool chunked;
    bool waits; /* Expect: 100-continue */
};

/* Whether heads are measured; else MHD has to be strict by itself. */
bool head_measures(void);
/* 400 (or 417, 431, 505) for what a proxy before us could read in another way. */
int head_check(struct MHD_Connection *mhd, struct head *h, struct fault *f);

#endif
