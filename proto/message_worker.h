/* message_worker.h - the schema of HEARTBEAT, which OPS_REPLY holds as each worker's load. Private
 * to proto/. */
#ifndef QUIRE_PROTO_MESSAGE_WORKER_H
#define QUIRE_PROTO_MESSAGE_WORKER_H

#include "proto/schema.h"

extern const struct schema heartbeat_schema;

#endif
