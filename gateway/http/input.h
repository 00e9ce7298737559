/* input.h - a body as JSON, with bounds on what it may cost. */
#ifndef QUIRE_GATEWAY_HTTP_INPUT_H
#define QUIRE_GATEWAY_HTTP_INPUT_H

#include <jansson.h>
#include <stddef.h>

#include "gateway/api/fault.h"

#define INPUT_DEPTH 64                 /* arrays and objects inside each other */
#define INPUT_VALUES ((size_t)1 << 18) /* each costs about a hundred bytes, however short it is */

/* NULL with 400: no JSON, wrong UTF-8, a name given twice, too deep, too many values. */
json_t *input_read(const char *data, size_t bytes, struct fault *f);

#endif
