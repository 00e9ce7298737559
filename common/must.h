/* must.h - MUST(x): a promise this program makes to itself, checked in every build.
 *
 * For our own bugs only. What comes from outside (files, peers, people) is never a MUST; it is an
 * error with a sentence. */
#ifndef QUIRE_COMMON_MUST_H
#define QUIRE_COMMON_MUST_H

#include <stdio.h>
#include <stdlib.h>

#define MUST(x)                                                                                    \
    do {                                                                                           \
        if (!(x)) {                                                                                \
            fprintf(stderr, "%s:%d: broken promise: %s\n", __FILE__, __LINE__, #x);                \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

#endif
