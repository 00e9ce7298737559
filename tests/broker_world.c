/* broker_world.c - see broker_world.h. */
#include "tests/broker_world.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BEAT_US 400000

static struct bytes text_bytes(const char *text) {
    return (struct bytes){(const uint8_t *)text, strlen(text)};
}

void world_init(struct world *w) {
    memset(w, 0, sizeof *w);
    broker_settings_init(&w->settings);
    w->settings.links = WORLD_LINKS;
    w->now_us = 1000000;
    for (int i = 0; i < WORLD_WORKERS; i++) {
        struct world_worker *k = &w->workers[i];
        (void)snprintf(k->name, sizeof k->name, "w%d", i);
        k->peer.size = 5;
        memcpy(k->peer.id, (uint8_t[]){0, 'w', 0, 0, (uint8_t)i}, 5);
        k->incarnation = 1000 + (uint64_t)i;
        k->pages_free = 100;
        k->vision = true;
        k->position_us = 1000;
        k->tile_us = 100000;
        k->context = 4096;
    }
}

void world_open(struct world *w) {
    assert_int_equal(broker_open(&w->broker, &w->settings, w->now_us), 0);
}

void world_close(struct world *w) {
    broker_close(w->broker);
    free(w->log);
    w->broker = NULL;
    w->log = NULL;
}

void world_step(struct world *w, const struct event *ev) {
    size_t n;
    const struct action *actions = broker_step(w->broker, ev, w->now_us, &n);
    while (w->n_log + n > w->max_log) {
        w->max_log = w->max_log ? 2 * w->max_log : 64;
        w->log = realloc(w->log, w->max_log * sizeof *w->log);
        assert_non_null(w->log);
    }
    if (n > 0)
        memcpy(w->log + w->n_log, actions, n * sizeof *actions);
    w->n_log += n;
}

void world_forget(struct world *w) {
    w->n_log = 0;
}

void world_beat(struct world *w, int i) {
    struct event ev = {.type = EVENT_HEARTBEAT, .peer = w->workers[i].peer};
    ev.heartbeat.incarnation = w->workers[i].incarnation;
    ev.heartbeat.pages_free = w->workers[i].pages_free;
    ev.heartbeat.draining = w->workers[i].draining;
    ev.heartbeat.prefill_us_per_position = w->workers[i].position_us;
    ev.heartbeat.step_us = w->workers[i].step_us;
    ev.heartbeat.tile_us = w->workers[i].tile_us;
    world_step(w, &ev);
}

void world_pass_ms(struct world *w, int64_t ms) {
    int64_t end_us = w->now_us + ms * 1000;
    int64_t beat_us = w->now_us + BEAT_US;
    for (;;) {
        int64_t due_us = broker_next_us(w->broker);
        int64_t next_us = due_us < beat_us ? due_us : beat_us;
        if (next_us > end_us)
            break;
        if (next_us > w->now_us)
            w->now_us = next_us;
        if (next_us == beat_us) {
            beat_us += BEAT_US;
            for (int i = 0; i < WORLD_WORKERS; i++)
                if (w->workers[i].beats)
                    world_beat(w, i);
        }
        world_step(w, &(struct event){.type = EVENT_TICK});
    }
    w->now_us = end_us;
}

const struct action *world_find(const struct world *w, enum action_type type) {
    for (size_t i = 0; i < w->n_log; i++)
        if (w->log[i].type == type)
            return &w->log[i];
    return NULL;
}

const struct action *world_last(const struct world *w, enum action_type type) {
    for (size_t i = w->n_log; i > 0; i--)
        if (w->log[i - 1].type == type)
            return &w->log[i - 1];
    return NULL;
}

size_t world_count(const struct world *w, enum action_type type) {
    size_t n = 0;
    for (size_t i = 0; i < w->n_log; i++)
        n += w->log[i].type == type;
    return n;
}

const struct action *world_note(const struct world *w, enum note note) {
    for (size_t i = 0; i < w->n_log; i++)
        if (w->log[i].type == ACTION_NOTE && w->log[i].note == note)
            return &w->log[i];
    return NULL;
}

struct peer world_client(int i) {
    struct peer p = {.size = 5};
    memcpy(p.id, (uint8_t[]){0, 'c', 0, (uint8_t)(i >> 8), (uint8_t)i}, 5);
    return p;
}

struct request_id world_id(uint32_t n) {
    struct request_id id = {{0}};
    memcpy(id.bytes, &n, sizeof n);
    return id;
}

void world_ready(struct world *w, int i, const char *model, uint32_t credits) {
    struct world_worker *k = &w->workers[i];
    k->model = model;
    k->credits = credits;
    k->beats = true;
    struct event ev = {.type = EVENT_READY, .peer = k->peer};
    ev.ready = (struct msg_ready){
        .version_min = 1,
        .version_max = 1,
        .name = text_bytes(k->name),
        .incarnation = k->incarnation,
        .model = text_bytes(model),
        .template_id = text_bytes("chatml"),
        .tools = text_bytes("hermes"),
        .credits = credits,
        .pages_total = k->pages_free,
        .context = k->context,
        .pid = 1,
        .vision = k->vision,
        .resumes = !k->mute,
        .extended = !k->mute,
    };
    world_step(w, &ev);
}

struct event world_request(int c, uint32_t n, const char *model) {
    struct event ev = {.type = EVENT_REQUEST, .peer = world_client(c)};
    ev.request.id = world_id(n);
    ev.request.deadline_ms = 600000;
    ev.request.model = text_bytes(model);
    ev.request.held_bytes = 1000;
    ev.request.content_hash = 77000 + n;
    ev.request.priority = PRIORITY_NORMAL;
    return ev;
}

uint64_t world_ask_event(struct world *w, const struct event *ev) {
    size_t before = w->n_log;
    world_step(w, ev);
    for (size_t i = before; i < w->n_log; i++)
        if (w->log[i].type == ACTION_KEEP)
            return w->log[i].ticket;
    return 0;
}

uint64_t world_ask(struct world *w, int c, uint32_t n, const char *model) {
    struct event ev = world_request(c, n, model);
    return world_ask_event(w, &ev);
}

/* ---- chains ---- */

static uint64_t scramble(uint64_t x) {
    x ^= x >> 30;
    x *= 0xbf58476d1ce4e5b9ULL;
    x ^= x >> 27;
    x *= 0x94d049bb133111ebULL;
    return x ^ x >> 31;
}

static struct link link_of(uint64_t x) {
    uint64_t halves[2] = {scramble(x), scramble(~x)};
    struct link link;
    memcpy(link.bytes, halves, sizeof link.bytes);
    return link;
}

struct world_chain world_chain(const char *tenant, size_t n, const uint32_t *numbers) {
    struct world_chain c = {.n = n};
    uint64_t root = 7;
    for (const char *t = tenant; *t; t++)
        root = scramble(root + (uint64_t)(unsigned char)*t);
    uint64_t at = root;
    assert_true(n <= WORLD_SEGMENTS);
    for (size_t i = 0; i < n; i++) {
        bool picture = numbers[i] >= WORLD_PICTURE;
        at = scramble(at + numbers[i] + 1);
        c.segments[i] = (struct segment){
            .kind = picture ? PART_PICTURE : PART_TEXT,
            .role = ROLE_USER,
            .bytes = picture ? 5000 : WORLD_TEXT_BYTES,
            .link = link_of(at),
        };
        if (picture)
            c.segments[i].picture = link_of(root ^ scramble(numbers[i]));
    }
    return c;
}

uint64_t world_ask_chain(struct world *w, int c, uint32_t n, const char *model,
                         const struct world_chain *chain) {
    struct event ev = world_request(c, n, model);
    ev.request.chain.segments = chain->segments;
    ev.request.chain.n_segments = chain->n;
    return world_ask_event(w, &ev);
}

static void put_held(uint8_t *out, const struct link *link, uint32_t positions) {
    memcpy(out, link->bytes, LINK_BYTES);
    for (int i = 0; i < 4; i++)
        out[LINK_BYTES + i] = (uint8_t)(positions >> 8 * i);
}

static struct event links_event(const struct world *w, int i) {
    struct event ev = {.type = EVENT_LINKS, .peer = w->workers[i].peer};
    ev.links.told.incarnation = w->workers[i].incarnation;
    return ev;
}

static size_t put_segments(uint8_t *out, const struct world_chain *chain, size_t from, size_t to) {
    size_t size = 0;
    for (size_t k = from; k < to; k++, size += LINK_HELD_BYTES)
        put_held(out + size, &chain->segments[k].link, (uint32_t)(k + 1) * WORLD_POSITIONS);
    return size;
}

void world_hold(struct world *w, int i, const struct world_chain *chain, size_t from, size_t to) {
    uint8_t held[WORLD_SEGMENTS * LINK_HELD_BYTES];
    struct event ev = links_event(w, i);
    ev.links.told.held = (struct bytes){held, put_segments(held, chain, from, to)};
    world_step(w, &ev);
}

void world_drop(struct world *w, int i, const struct world_chain *chain, size_t from, size_t to) {
    uint8_t dropped[WORLD_SEGMENTS * LINK_BYTES];
    struct event ev = links_event(w, i);
    for (size_t k = from; k < to; k++)
        memcpy(dropped + (k - from) * LINK_BYTES, chain->segments[k].link.bytes, LINK_BYTES);
    ev.links.told.dropped = (struct bytes){dropped, (to - from) * LINK_BYTES};
    world_step(w, &ev);
}

void world_hold_pictures(struct world *w, int i, const struct world_chain *chain) {
    uint8_t held[WORLD_SEGMENTS * LINK_HELD_BYTES];
    size_t size = 0;
    struct event ev = links_event(w, i);
    for (size_t k = 0; k < chain->n; k++)
        if (chain->segments[k].kind == PART_PICTURE) {
            put_held(held + size, &chain->segments[k].picture, 0);
            size += LINK_HELD_BYTES;
        }
    ev.links.told.held = (struct bytes){held, size};
    world_step(w, &ev);
}

void world_record(struct world *w, int i, uint64_t incarnation, const char *model,
                  const struct world_chain *chain, size_t from, size_t to) {
    uint8_t held[WORLD_SEGMENTS * LINK_HELD_BYTES];
    struct event ev = {.type = EVENT_LINKS};
    ev.links.recorded = true;
    ev.links.worker = text_bytes(w->workers[i].name);
    ev.links.model = text_bytes(model);
    ev.links.told.incarnation = incarnation;
    ev.links.told.held = (struct bytes){held, put_segments(held, chain, from, to)};
    world_step(w, &ev);
}

struct explanation world_explain(struct world *w, const char *model,
                                 const struct world_chain *chain) {
    struct explain_query q = {.fresh = true, .model = text_bytes(model)};
    q.chain.segments = chain->segments;
    q.chain.n_segments = chain->n;
    struct explanation e;
    broker_explain(w->broker, &q, w->now_us, &e);
    assert_true(e.found);
    return e;
}

static int worker_named(const struct world *w, struct bytes name) {
    for (int i = 0; i < WORLD_WORKERS; i++)
        if (name.size == strlen(w->workers[i].name) &&
            memcmp(name.data, w->workers[i].name, name.size) == 0)
            return i;
    return -1;
}

int world_chosen(const struct world *w, const struct explanation *e) {
    for (size_t i = 0; i < e->n_workers; i++)
        if (e->workers[i].chosen)
            return worker_named(w, e->workers[i].name);
    return -1;
}

const struct explained_worker *world_explained(const struct world *w, const struct explanation *e,
                                               int i) {
    for (size_t k = 0; k < e->n_workers; k++)
        if (worker_named(w, e->workers[k].name) == i)
            return &e->workers[k];
    fail_msg("the explanation does not name worker %d", i);
    return NULL;
}

void world_cancel(struct world *w, int c, uint32_t n) {
    struct event ev = {.type = EVENT_CANCEL, .peer = world_client(c)};
    ev.cancel.id = world_id(n);
    world_step(w, &ev);
}

static struct event reply(struct world *w, int i, uint64_t ticket, uint32_t attempt, uint32_t n,
                          enum message_type inner) {
    struct event ev = {.type = EVENT_REPLY, .peer = w->workers[i].peer};
    ev.reply.reply = (struct msg_reply){
        .incarnation = w->workers[i].incarnation, .ticket = ticket, .attempt = attempt};
    ev.reply.inner = inner;
    ev.reply.id = world_id(n);
    return ev;
}

int32_t world_token_id(uint32_t index) {
    return (int32_t)(index * 7 + 100000);
}

void world_put_ids(uint8_t *out, uint32_t index, uint32_t n) {
    for (uint32_t i = 0; i < n * TOKEN_ID_BYTES; i++)
        out[i] = (uint8_t)((uint32_t)world_token_id(index + i / TOKEN_ID_BYTES) >>
                           8 * (i % TOKEN_ID_BYTES));
}

void world_check_replay(const struct world *w, const struct action *work, uint32_t n) {
    assert_non_null(work);
    assert_int_equal(work->given, n);
    assert_int_equal(work->text_bytes, WORLD_TOKEN_TEXT * n);
    uint8_t *ids = malloc(2 * (size_t)n * TOKEN_ID_BYTES + 1), *sent = ids + n * TOKEN_ID_BYTES;
    assert_non_null(ids);
    world_put_ids(sent, 0, n);
    assert_true(broker_replay(w->broker, work->ticket, n, ids));
    assert_memory_equal(ids, sent, n * TOKEN_ID_BYTES);
    free(ids);
}

void world_tokens(struct world *w, int i, uint64_t ticket, uint32_t attempt, uint32_t n,
                  uint32_t index, uint32_t n_tokens) {
    uint8_t ids[LIMIT_TOKENS_PER_MESSAGE * TOKEN_ID_BYTES];
    struct event ev = reply(w, i, ticket, attempt, n, MSG_TOKENS);
    assert_true(n_tokens <= LIMIT_TOKENS_PER_MESSAGE);
    world_put_ids(ids, index, n_tokens);
    ev.reply.index = index;
    ev.reply.n_tokens = n_tokens;
    ev.reply.text_bytes = (size_t)WORLD_TOKEN_TEXT * n_tokens;
    if (!w->workers[i].mute)
        ev.reply.reply.ids = (struct bytes){ids, n_tokens * TOKEN_ID_BYTES};
    world_step(w, &ev);
}

void world_done(struct world *w, int i, uint64_t ticket, uint32_t attempt, uint32_t n) {
    struct event ev = reply(w, i, ticket, attempt, n, MSG_DONE);
    ev.reply.usage.answer_tokens = 5;
    ev.reply.usage.prompt_positions = 20;
    world_step(w, &ev);
}

void world_fail(struct world *w, int i, uint64_t ticket, uint32_t attempt, uint32_t n, int code) {
    struct event ev = reply(w, i, ticket, attempt, n, MSG_ERROR);
    ev.reply.code = code;
    world_step(w, &ev);
}

void world_progress(struct world *w, int i, uint64_t ticket, uint32_t attempt, uint32_t n) {
    struct event ev = reply(w, i, ticket, attempt, n, MSG_PROGRESS);
    ev.reply.progress = (struct msg_progress){world_id(n), STAGE_PREFILL, 3, 9};
    world_step(w, &ev);
}

int world_worker_of(const struct world *w, const struct action *work) {
    for (int i = 0; work && i < WORLD_WORKERS; i++)
        if (peer_equal(&w->workers[i].peer, &work->peer))
            return i;
    return -1;
}

int world_sent_to(const struct world *w) {
    return world_worker_of(w, world_last(w, ACTION_WORK));
}

struct pool_stats world_stats(struct world *w) {
    struct pool_stats s;
    broker_stats(w->broker, w->now_us, &s);
    return s;
}
