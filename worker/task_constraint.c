/* task_constraint.c - see task_constraint.h.
 *
 * A mask follows from the schema, the answer's tokens so far and how many may still come, so a
 * worker that goes on with another's answer has the same masks. */
#include "worker/task_constraint.h"

#include "worker/task.h"

#define CONSTRAINT_FRAMES JSON_SETTLED_FRAMES /* tokens are tried elsewhere */

static int check_room(const struct task *t, struct error *e) {
    uint32_t asked = t->job->request->max_tokens, least = t->constraint.schema->least;
    if (asked < least)
        return error_set(e, ERR_BAD_REQUEST,
                         "max_tokens is %u; the shortest answer that fits the schema needs %u",
                         asked, least);
    if (t->max_tokens < least)
        return error_set(e, ERR_TOO_LONG,
                         "the shortest answer that fits the schema needs %u tokens; after the "
                         "prompt this worker has room for %u",
                         least, t->max_tokens);
    return 0;
}

int task_constraint_open(struct task *t, struct error *e) {
    const struct request *r = t->job->request;
    struct task_constraint *c = &t->constraint;
    if (r->schema.size == 0)
        return 0;
    if (r->n_stops > 0)
        return error_set(e, ERR_BAD_REQUEST,
                         "a stop string would cut the answer, which then would not fit the schema");
    int rc = 0;
    if (t->world->masks == NULL)
        rc = token_mask_open(&t->world->masks, t->world->engine->tokenizer,
                             t->world->engine->text.n_vocab, e);
    if (rc == 0)
        rc = json_schema_open(&c->schema, r->schema, e);
    if (rc == 0)
        rc = token_mask_check(t->world->masks, c->schema, e);
    if (rc == 0)
        rc = check_room(t, e);
    if (rc == 0)
        rc = json_machine_open(&c->machine, CONSTRAINT_FRAMES, e);
    if (rc == 0)
        json_machine_begin(&c->machine, c->schema, task_leads(t));
    return rc;
}

void task_constraint_close(struct task *t) {
    json_machine_close(&t->constraint.machine);
    json_schema_close(t->constraint.schema);
    t->constraint.schema = NULL;
}

/* Tokens that may follow the next one. */
static uint32_t left_after(const struct task *t) {
    return t->max_tokens - t->n_tokens - 1;
}

void task_constraint_mask(struct task *t) {
    if (t->constraint.schema != NULL)
        t->sampling.allowed =
            token_mask_fill(t->world->masks, &t->constraint.machine, left_after(t));
}

bool task_constraint_take(struct task *t, int32_t id) {
    const struct tokenizer *tokenizer = t->world->engine->tokenizer;
    struct json_machine *m = &t->constraint.machine;
    if (t->constraint.schema == NULL)
        return true;
    if (tokenizer_ends(tokenizer, id) && json_machine_need(m) == 0)
        return true;
    return token_mask_take(t->world->masks, m, id, tokenizer_piece(tokenizer, id), left_after(t));
}

bool task_constraint_complete(const struct task *t) {
    return t->constraint.schema != NULL && json_machine_complete(&t->constraint.machine);
}
