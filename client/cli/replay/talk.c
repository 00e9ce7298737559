/* talk.c - from turns to requests, and from requests to chains.
 *
 * The chain is this program's own: same cuts as the pool's, but another seed and no fingerprint. It
 * serves to say which requests begin alike, not to talk about links with the broker. */
#include "client/cli/replay/talk.h"

#include <stdlib.h>
#include <string.h>

#define CHAIN_SEED 1
static const uint8_t no_fingerprint[16];
static const struct chain_root root = {.seed = CHAIN_SEED, .fingerprint = no_fingerprint};

static int no_memory(struct error *e) {
    return error_set(e, ERR_NOMEM, "memory ran out for a request");
}

/* ---- history ---- */

struct history {
    const struct trace_turn *system;    /* the turn that holds the system message, or NULL */
    uint32_t turns[LIMIT_MESSAGES / 2]; /* latest first */
    size_t n_turns, n_parts, n_pictures;
};

static int add_turn(struct history *h, const struct trace *t, uint32_t index, struct error *e) {
    const struct trace_turn *turn = &t->turns[index];
    if (h->n_turns == sizeof h->turns / sizeof h->turns[0])
        return error_set(e, ERR_LIMIT, "a request has at most %d messages", LIMIT_MESSAGES);
    h->turns[h->n_turns++] = index;
    h->n_parts += turn->n_parts + 1; /* and the answer */
    for (size_t i = 0; i < turn->n_parts; i++)
        h->n_pictures += turn->parts[i].picture;
    if (h->n_parts >= LIMIT_PARTS)
        return error_set(e, ERR_LIMIT, "a request has at most %d parts", LIMIT_PARTS);
    if (h->n_pictures > LIMIT_PICTURES)
        return error_set(e, ERR_LIMIT, "a request has at most %d pictures", LIMIT_PICTURES);
    return 0;
}

/* Walks back from a turn. One that shortened its history goes on doing so in all that follow it. */
static int collect(struct history *h, const struct trace *t, uint32_t turn, struct error *e) {
    uint32_t left = UINT32_MAX;
    memset(h, 0, sizeof *h);
    for (uint32_t at = turn;; at = t->turns[at].from) {
        const struct trace_turn *here = &t->turns[at];
        if (left > 0 || at == turn) {
            int rc = add_turn(h, t, at, e);
            if (rc != 0)
                return rc;
            left -= at != turn;
            if (here->keep > 0 && here->keep < left)
                left = here->keep;
        }
        if (here->from == TRACE_NONE) {
            h->system = here->has_system ? here : NULL;
            return 0;
        }
    }
}

/* ---- the request ---- */

static void add_message(struct talk *talk, enum role role, struct request_part *parts, size_t n) {
    talk->request.messages[talk->request.n_messages++] = (struct request_message){role, parts, n};
}

static struct request_part text_part(const uint8_t *data, size_t size) {
    return (struct request_part){.kind = PART_TEXT, .text = {data, size}, .detail = DETAIL_HIGH};
}

static struct request_part picture_part(struct talk *talk, const struct trace_part *p) {
    uint32_t index = talk->request.n_pictures++;
    talk->pictures[index] = (struct bytes){p->data, p->bytes};
    return (struct request_part){.kind = PART_PICTURE, .picture = index, .detail = DETAIL_HIGH};
}

static void fill(struct talk *talk, const struct history *h, const struct trace *t,
                 const struct outcome *outcomes, struct request_part *parts) {
    if (h->system != NULL) {
        *parts = text_part(h->system->system.data, h->system->system.bytes);
        add_message(talk, ROLE_SYSTEM, parts++, 1);
    }
    for (size_t i = h->n_turns; i-- > 0;) {
        const struct trace_turn *turn = &t->turns[h->turns[i]];
        const struct cli_text *answer = &outcomes[h->turns[i]].answer;
        for (size_t k = 0; k < turn->n_parts; k++)
            parts[k] = turn->parts[k].picture
                           ? picture_part(talk, &turn->parts[k])
                           : text_part(turn->parts[k].data, turn->parts[k].bytes);
        add_message(talk, ROLE_USER, parts, turn->n_parts);
        parts += turn->n_parts;
        if (i == 0 || answer->size == 0) /* an empty message is no message */
            continue;
        *parts = text_part((const uint8_t *)answer->data, answer->size);
        add_message(talk, ROLE_ASSISTANT, parts++, 1);
    }
}

int talk_build(struct talk *out, const struct trace *t, const struct outcome *outcomes,
               uint32_t turn, struct error *e) {
    struct history h;
    memset(out, 0, sizeof *out);
    request_init(&out->request);
    int rc = collect(&h, t, turn, e);
    if (rc != 0)
        return rc;
    size_t messages_bytes = (2 * h.n_turns + 1) * sizeof(struct request_message);
    size_t parts_bytes = (h.n_parts + 1) * sizeof(struct request_part);
    uint8_t *block =
        malloc(messages_bytes + parts_bytes + (h.n_pictures + 1) * sizeof(struct bytes));
    if (block == NULL)
        return no_memory(e);
    out->block = block;
    out->request.messages = (struct request_message *)(void *)block;
    out->pictures = (struct bytes *)(void *)(block + messages_bytes + parts_bytes);
    fill(out, &h, t, outcomes, (struct request_part *)(void *)(block + messages_bytes));
    return 0;
}

void talk_clear(struct talk *talk) {
    free(talk->block);
    memset(talk, 0, sizeof *talk);
}

static int add_parts(const struct talk *talk, const struct request_message *message,
                     struct quire_request *request, struct error *e) {
    for (size_t k = 0; k < message->n_parts; k++) {
        const struct request_part *part = &message->parts[k];
        struct quire_error qe = {0};
        int rc;
        if (part->kind == PART_PICTURE)
            rc = quire_request_picture(request, talk->pictures[part->picture].data,
                                       talk->pictures[part->picture].size, &qe);
        else
            rc = cli_explain(
                quire_request_text(request, (const char *)part->text.data, part->text.size),
                "a text of the trace", &qe);
        if (rc != 0)
            return error_set(e, rc, "%s", qe.text);
    }
    return 0;
}

int talk_to_request(const struct talk *talk, uint32_t max_tokens, uint32_t deadline_ms,
                    struct quire_request **out, struct error *e) {
    struct quire_options options;
    struct quire_request *request = quire_request_new();
    int rc = request != NULL ? 0 : no_memory(e);
    quire_options_default(&options);
    options.temperature = 0;
    options.max_tokens = max_tokens;
    options.deadline_ms = deadline_ms;
    if (rc == 0)
        quire_request_options(request, &options);
    for (size_t i = 0; i < talk->request.n_messages && rc == 0; i++) {
        const struct request_message *message = &talk->request.messages[i];
        rc = quire_request_message(request, (enum quire_role)message->role);
        rc = rc == 0 ? add_parts(talk, message, request, e) : no_memory(e);
    }
    if (rc != 0)
        quire_request_free(request);
    else
        *out = request;
    return rc;
}

/* ---- chains ---- */

/* All pictures of a request as one: the last link of a message that holds nothing but them. */
static int link_pictures(const struct talk *talk, struct link *out, struct error *e) {
    struct request_part parts[LIMIT_PICTURES];
    struct request_message message = {ROLE_USER, parts, talk->request.n_pictures};
    struct request r = {
        .messages = &message, .n_messages = 1, .n_pictures = talk->request.n_pictures};
    struct chain chain;
    memset(out, 0, sizeof *out);
    if (r.n_pictures == 0)
        return 0;
    for (uint32_t i = 0; i < r.n_pictures; i++)
        parts[i] = (struct request_part){.kind = PART_PICTURE, .picture = i, .detail = DETAIL_HIGH};
    int rc = chain_make(&chain, &root, &r, talk->pictures, e);
    if (rc != 0)
        return rc;
    *out = chain.segments[chain.count - 1].link;
    chain_clear(&chain);
    return 0;
}

int talk_link(const struct talk *talk, struct outcome *o, struct error *e) {
    struct chain chain;
    int rc = link_pictures(talk, &o->pictures, e);
    if (rc == 0)
        rc = chain_make(&chain, &root, &talk->request, talk->pictures, e);
    if (rc != 0)
        return rc;
    free(o->links);
    o->links = malloc((chain.count + 1) * sizeof *o->links);
    o->n_links = o->n_prompt_links = o->links != NULL ? chain.count : 0;
    for (size_t i = 0; i < o->n_links; i++)
        o->links[i] = chain.segments[i].link;
    chain_clear(&chain);
    return o->links != NULL ? 0 : no_memory(e);
}

int talk_link_answer(struct outcome *o, struct error *e) {
    struct bytes text = {(const uint8_t *)o->answer.data, o->answer.size};
    if (text.size == 0 || o->n_prompt_links == 0)
        return 0;
    struct link last = o->links[o->n_prompt_links - 1];
    size_t n = chain_answer(CHAIN_SEED, &last, text, NULL, 0);
    struct link *grown = realloc(o->links, (o->n_prompt_links + n) * sizeof *grown);
    if (grown == NULL)
        return no_memory(e);
    o->links = grown;
    o->n_links =
        o->n_prompt_links + chain_answer(CHAIN_SEED, &last, text, grown + o->n_prompt_links, n);
    return 0;
}

/* ---- outcomes ---- */

struct outcome *outcomes_new(size_t n) {
    return calloc(n > 0 ? n : 1, sizeof(struct outcome));
}

void outcomes_free(struct outcome *o, size_t n) {
    for (size_t i = 0; o != NULL && i < n; i++) {
        free(o[i].answer.data);
        free(o[i].links);
        free(o[i].ends);
    }
    free(o);
}
