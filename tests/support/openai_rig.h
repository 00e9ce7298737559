/* openai_rig.h - a dialect without a gateway: bodies in, requests, answers and events out. */
#ifndef QUIRE_TESTS_SUPPORT_OPENAI_RIG_H
#define QUIRE_TESTS_SUPPORT_OPENAI_RIG_H

#include "gateway/api/dialect.h"

#define RIG_ID "0123456789abcdef0123456789abcdef"
#define RIG_CREATED 1767225600

/* A PNG of a few bytes, enough to be told by its first ones, as base64. */
#define RIG_PNG "iVBORw0KGgoAAAAA"

struct rig {
    const struct dialect *dialect;
    enum tool_format tools; /* of the model */
    struct reply reply;
    struct fault fault;
    struct quire_event done;
    struct text out; /* what the dialect wrote last */
    bool open;       /* a read went well */
};

/* Reads a body; -1 with rig->fault. What an earlier read left is closed. A body that is no JSON is
 * a failure of the test. */
int rig_read(struct rig *g, const char *body);
int rig_read_json(struct rig *g, const json_t *body);
void rig_close(struct rig *g);

/* The request as the pool gets it: "system[be brief]\nuser[picture 0 low][what?]\n", then a line
 * for each of model, stops and schema that it has. Lives until the next call. */
const char *rig_request(struct rig *g);

/* The whole answer. */
json_t *rig_whole(struct rig *g, const char *answer, enum quire_finish finish);
/* A stream, the answer cut into pieces of `bytes` bytes. Returns an array of the events' data, and
 * in g->out everything that was written. The last element is the string "[DONE]" if that came. */
json_t *rig_stream(struct rig *g, const char *answer, size_t bytes, enum quire_finish finish);
/* The data of the events in g->out. */
json_t *rig_events(struct rig *g);
/* The body of a fault in the dialect's shape. */
json_t *rig_fault(struct rig *g);

/* What stands at a path like "choices.0.delta.content"; fails the test when there is nothing. */
json_t *rig_at(json_t *value, const char *path);
const char *rig_string(json_t *value, const char *path);
json_int_t rig_integer(json_t *value, const char *path);

#endif
