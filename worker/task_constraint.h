/* task_constraint.h - a task's answer, held to the JSON Schema of its request.
 *
 *     task_constraint_open    the prompt is built, max_tokens is known
 *     task_constraint_mask    before a token is drawn: sets t->sampling.allowed
 *     task_constraint_take    for each token drawn or replayed, before it counts
 *     task_constraint_close   always
 *
 * All but open do nothing, or say yes, for a request without a schema. */
#ifndef QUIRE_WORKER_TASK_CONSTRAINT_H
#define QUIRE_WORKER_TASK_CONSTRAINT_H

#include <stdbool.h>
#include <stdint.h>

#include "common/error.h"
#include "worker/engine/json_machine.h"
#include "worker/engine/token_mask.h"

struct task;

struct task_constraint {
    struct json_schema *schema; /* owned; NULL: the answer is free */
    struct json_machine machine;
};

/* Compiles the schema and takes all memory that holding to it needs. ERR_BAD_REQUEST: it is not in
 * the subset, max_tokens has no room for its shortest answer, or there are stop strings;
 * ERR_TOO_LONG: the context has no room; ERR_UNSUPPORTED, ERR_NOMEM. */
int task_constraint_open(struct task *t, struct error *e);
void task_constraint_close(struct task *t);

void task_constraint_mask(struct task *t);
/* Takes the answer's next token; false when it can't come, and then the mask has it no more. */
bool task_constraint_take(struct task *t, int32_t id);
/* There is a schema, and the answer is whole: nothing may follow. */
bool task_constraint_complete(const struct task *t);

#endif
