/* message_request.h - the words of roles, which an explanation's segments use too. Private to
 * proto/. */
#ifndef QUIRE_PROTO_MESSAGE_REQUEST_H
#define QUIRE_PROTO_MESSAGE_REQUEST_H

#include "proto/schema.h"

#define ROLE_NAMES 4
extern const char *const role_names[ROLE_NAMES];

#endif
