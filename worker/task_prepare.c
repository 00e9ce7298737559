/* task_prepare.c - what a request needs before it may compute: prompt, options, its pictures'
 * digests, a path.
 *
 * A picture's rows stand in the prompt as (digest, row), so pictures have to be known before
 * anything can be matched. That takes decoding only where their bytes are not remembered. */
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "common/must.h"
#include "worker/engine/tenants.h"
#include "worker/task.h"

_Static_assert(TENANT_BYTES == LIMIT_TENANT_BYTES, "the tree takes every tenant's name");
_Static_assert((int)ROLE_SYSTEM == CHAT_SYSTEM && (int)ROLE_USER == CHAT_USER &&
                   (int)ROLE_ASSISTANT == CHAT_ASSISTANT && (int)ROLE_RAW == CHAT_RAW,
               "roles have the same numbers");
_Static_assert(sizeof(struct chat_message) % _Alignof(struct chat_part) == 0,
               "parts may follow messages in one block");

/* All parts of a request, or its pictures alone. */
static size_t count_parts(const struct request *r, bool pictures_only) {
    size_t n = 0;
    for (size_t i = 0; i < r->n_messages; i++)
        for (size_t j = 0; j < r->messages[i].n_parts; j++)
            n += !pictures_only || r->messages[i].parts[j].kind == PART_PICTURE;
    return n;
}

/* ---- pictures and prompt ---- */

static int open_features(struct task *t, struct error *e) {
    const struct request *r = t->job->request;
    size_t count = count_parts(r, true), n = 0; /* bounded by limits.h */
    struct shown *shown = malloc((count + 1) * sizeof *shown);
    if (shown == NULL)
        return error_set(e, ERR_NOMEM, "no memory for %zu pictures", count);
    for (size_t i = 0; i < r->n_messages; i++)
        for (size_t j = 0; j < r->messages[i].n_parts; j++) {
            const struct request_part *part = &r->messages[i].parts[j];
            if (part->kind == PART_PICTURE)
                shown[n++] = (struct shown){.encoded = t->job->pictures[part->picture],
                                            .max_pixels = part->max_pixels,
                                            .overview_only = part->detail == DETAIL_LOW};
        }
    int rc = features_open(&t->features, t->world->engine, r->tenant, shown, count, e);
    free(shown);
    return rc;
}

/* The request's messages in the engine's words; one block that the caller frees. */
static struct chat_message *chat_messages(const struct request *r) {
    size_t head = r->n_messages * sizeof(struct chat_message); /* both bounded by limits.h */
    struct chat_message *out = malloc(head + count_parts(r, false) * sizeof(struct chat_part) + 1);
    if (out == NULL)
        return NULL;
    struct chat_part *part = (struct chat_part *)(void *)((char *)out + head);
    uint32_t shown = 0;
    for (size_t i = 0; i < r->n_messages; i++) {
        const struct request_message *m = &r->messages[i];
        out[i] = (struct chat_message){(enum chat_role)m->role, part, m->n_parts};
        for (size_t j = 0; j < m->n_parts; j++) {
            bool picture = m->parts[j].kind == PART_PICTURE;
            *part++ = (struct chat_part){picture, m->parts[j].text, picture ? shown++ : 0};
        }
    }
    return out;
}

static int build_prompt(struct task *t, struct error *e) {
    const struct request *r = t->job->request;
    struct chat_message *messages = chat_messages(r);
    if (messages == NULL)
        return error_set(e, ERR_NOMEM, "no memory for %zu messages", r->n_messages);
    const struct engine *g = t->world->engine;
    size_t most = r->count_only ? engine_countable(g) : engine_answerable(g);
    int rc = engine_prompt(g, messages, r->n_messages, t->features.layouts, t->features.count, most,
                           &t->prompt, e);
    free(messages);
    return rc;
}

static int take_options(struct task *t, struct error *e) {
    const struct request *r = t->job->request;
    const struct sampling_options *o = &r->sampling;
    t->sampling = (struct sampler_options){
        .temperature = o->temperature,
        .top_k = o->top_k,
        .top_p = o->top_p,
        .min_p = o->min_p,
        .repeat_penalty = o->repeat_penalty,
        .presence_penalty = o->presence_penalty,
        .frequency_penalty = o->frequency_penalty,
        .repeat_last_n = o->repeat_last_n,
        .seed = o->has_seed ? o->seed : t->job->seed,
    };
    bool drawn = o->has_seed || t->job->seed != 0;
    if (!drawn && getrandom(&t->sampling.seed, sizeof t->sampling.seed, 0) !=
                      (ssize_t)sizeof t->sampling.seed)
        return error_set(e, ERR_INTERNAL, "the system gave no random numbers for a seed");
    uint32_t room = t->world->engine->context - (uint32_t)t->prompt.count;
    t->max_tokens = r->max_tokens < room ? r->max_tokens : room;
    int rc = stream_open(&t->stream, r->stops, r->n_stops);
    if (rc == 0)
        rc = stream_reserve(&t->stream, t->world->engine->longest_token);
    if (rc < 0)
        return error_set(e, rc, "%s",
                         rc == ERR_LIMIT ? "too many stop strings, or too long ones"
                                         : "no memory for stop strings");
    return 0;
}

static int take_history(struct task *t, struct error *e) {
    t->history = malloc((t->prompt.count + t->max_tokens) * sizeof *t->history);
    t->picture_ends = calloc(t->features.count + 1, sizeof *t->picture_ends);
    if (t->history == NULL || t->picture_ends == NULL)
        return error_set(e, ERR_NOMEM, "no memory for a history of %zu tokens", t->prompt.count);
    for (size_t i = 0; i < t->prompt.count; i++) {
        const struct position_unit *unit = &t->prompt.units[i];
        if (unit->token >= 0) {
            t->history[t->n_history++] = unit->token;
        } else {
            t->picture_ends[unit->picture] = (uint32_t)i + 1;
        }
    }
    return 0;
}

static void count_picture_positions(struct task *t) {
    for (size_t i = 0; i < t->prompt.count; i++)
        t->picture_positions += t->prompt.units[i].token < 0;
}

/* The links of the request's segments, and memory for the answer's text, whose links follow. */
static int open_links(struct task *t, struct error *e) {
    size_t bytes;
    if (!size_mul(t->max_tokens, t->world->engine->longest_token, &bytes))
        bytes = SIZE_MAX;
    return task_links_open(&t->links, t->world->holdings, t->job, &t->prompt,
                           t->world->engine->tokenizer, bytes, e);
}

int task_prepare(struct task *t, uint32_t max_pictures, struct error *e) {
    const struct request *r = t->job->request;
    if (r->n_pictures > max_pictures)
        return error_set(e, ERR_LIMIT, "the request has %u pictures; this worker takes %u",
                         r->n_pictures, max_pictures);
    int rc = open_features(t, e);
    if (rc == 0)
        rc = build_prompt(t, e);
    if (rc < 0)
        return rc;
    count_picture_positions(t);
    if (r->count_only) {
        rc = open_links(t, e);
        if (rc == 0)
            task_count(t);
        return rc;
    }
    rc = take_options(t, e);
    if (rc == 0)
        rc = take_history(t, e);
    if (rc == 0)
        rc = open_links(t, e);
    if (rc == 0)
        rc = task_constraint_open(t, e);
    if (rc == 0)
        rc = task_replay(t, e);
    if (rc == 0)
        t->state = TASK_LOOK;
    return rc;
}

/* ---- what the prompt is made of ---- */

static int make_units(struct task *t, struct error *e) {
    t->units = malloc(t->n_units * sizeof *t->units);
    if (t->units == NULL)
        return error_set(e, ERR_NOMEM, "no memory for a prompt of %u positions", t->n_units);
    for (size_t i = 0; i < t->prompt.count; i++) {
        const struct position_unit *unit = &t->prompt.units[i];
        t->units[i] = (struct unit){.token = unit->token};
        if (unit->token < 0) {
            t->units[i].row = unit->row;
            features_digest(&t->features, unit->picture, t->units[i].digest);
        }
    }
    const int32_t *replayed = t->history + t->n_history - t->n_replayed;
    for (uint32_t i = 0; i < t->n_replayed; i++)
        t->units[t->prompt.count + i] = (struct unit){.token = replayed[i]};
    return 0;
}

int task_look(struct task *t, bool *known, uint32_t *picture, struct error *e) {
    *known = true;
    for (uint32_t i = 0; i < t->features.count && *known; i++) {
        *known = features_known(&t->features, i);
        *picture = i;
    }
    if (!*known)
        return 0;
    int rc = make_units(t, e);
    if (rc == 0)
        t->state = TASK_WAITING;
    return rc;
}

/* ---- pages ---- */

uint32_t task_pages(const struct task *t) {
    uint32_t positions = (uint32_t)t->prompt.count + t->max_tokens;
    return (positions + PAGE_POSITIONS - 1) / PAGE_POSITIONS;
}

int task_admit(struct task *t, uint64_t admitted, int64_t now_us, struct error *e) {
    uint32_t n = (uint32_t)t->prompt.count;
    int rc = tree_begin(t->world->tree, &t->path, t->job->request->tenant, t->units, t->n_units,
                        n + t->max_tokens, e);
    if (rc < 0)
        return rc;
    t->admitted = admitted;
    t->started_us = now_us;
    t->state = TASK_PREFILL;
    task_drop_pictures(t, 0);
    return 0;
}
