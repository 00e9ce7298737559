/* io_send.c - requests at hand, and what the broker is told by ourselves. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/must.h"
#include "worker/engine/machine.h"
#include "worker/io_inside.h"

#define SOFTWARE "quire " QUIRE_VERSION

/* ---- requests at hand ---- */

struct assignment *io_find(struct io *io, uint64_t ticket, uint32_t attempt) {
    for (size_t i = 0; i < io->n_assignments; i++) {
        struct assignment *a = io->assignments[i];
        if (a->work.ticket == ticket && a->work.attempt == attempt && !a->silenced)
            return a;
    }
    return NULL;
}

void io_forget(struct io *io, struct assignment *a) {
    for (size_t i = 0; i < io->n_assignments; i++) {
        if (io->assignments[i] == a) {
            io->assignments[i] = io->assignments[--io->n_assignments];
            assignment_close(a);
            if (io->n_assignments == 0 && io->registration.state == REGISTRATION_DOWN)
                registration_unblocked(&io->registration, clock_ms()); /* READY waited for this */
            return;
        }
    }
    MUST(!"an event's job is one of ours");
}

void io_cancel(struct assignment *a) {
    atomic_store_explicit(&a->job.cancelled, true, memory_order_relaxed);
}

void io_drop_all(struct io *io, const char *why) {
    if (io->n_assignments > 0)
        log_warn("requests-dropped", "count=%zu reason=%s", io->n_assignments, why);
    for (size_t i = 0; i < io->n_assignments; i++) {
        io->assignments[i]->silenced = true;
        io_cancel(io->assignments[i]);
    }
    wire_message_close(&io->outgoing);
    io->drained = false;
}

/* ---- sending ---- */

void io_fail(struct io *io, int code, const struct error *e) {
    if (io->fatal != 0)
        return;
    io->fatal = code;
    (void)error_set(io->error, code, "%s", e->text);
}

/* Sends io->outgoing, or leaves it there for later. */
void io_push_outgoing(struct io *io) {
    struct error e;
    int rc = wire_send(io->socket, &io->outgoing, &e);
    if (rc == WIRE_AGAIN)
        io->blocked = true;
    else if (rc < 0)
        io_fail(io, rc, &e);
}

/* A message that is worth nothing later: sent now or not at all. */
static bool send_now(struct io *io, struct wire_buffer *b) {
    struct error e;
    int rc = wire_send_buffer(io->socket, (struct bytes){NULL, 0}, b, &e);
    if (rc < 0)
        io_fail(io, rc, &e);
    io->blocked |= rc == WIRE_AGAIN;
    return rc == 0;
}

struct chain_root io_chain_root(const struct io *io) {
    const char *template = template_name(io->engine->template);
    return (struct chain_root){
        .seed = io->chain_seed,
        .fingerprint = io->engine->fingerprint,
        .template_id = {(const uint8_t *)template, strlen(template)},
    };
}

bool io_send_ready(struct io *io) {
    const struct engine *g = io->engine;
    struct msg_ready ready = {
        .version_min = PROTO_VERSION_MIN,
        .version_max = PROTO_VERSION_MAX,
        .name = {(const uint8_t *)io->options.name, strlen(io->options.name)},
        .incarnation = io->incarnation,
        .model = {(const uint8_t *)g->text.name, strlen(g->text.name)},
        .template_id = io_chain_root(io).template_id,
        .tools = {(const uint8_t *)g->tools, strlen(g->tools)},
        .software = {(const uint8_t *)SOFTWARE, strlen(SOFTWARE)},
        .credits = (uint32_t)g->max_sequences,
        .pages_total = pages_total(g->pages),
        .context = g->context,
        .pid = (uint32_t)getpid(),
        .vision = g->sees,
        .resumes = true,
        .extended = true,
    };
    memcpy(ready.fingerprint, g->fingerprint, sizeof ready.fingerprint);
    struct wire_buffer b = {NULL, 0, 0};
    return ready_encode(&ready, &b) == 0 && send_now(io, &b);
}

bool io_send_heartbeat(struct io *io) {
    struct load load;
    runner_load(io->runner, &load);
    uint32_t held = (uint32_t)io->n_assignments;
    struct msg_heartbeat beat = {
        .incarnation = io->incarnation,
        .active = load.active < held ? load.active : held,
        .waiting = load.active < held ? held - load.active : 0,
        .pages_free = load.pages_free,
        .prefill_us_per_position = load.prefill_us_per_position,
        .decode_us_per_token = load.decode_us_per_token,
        .tile_us = load.tile_us,
        .step_us = load.step_us,
        .tokens_total = load.tokens_total,
        .positions_total = load.positions_total,
        .rss_bytes = machine_resident_bytes(),
        .pages_evicted = load.pages_evicted,
        .feature_bytes = load.feature_bytes,
        .draining = io->drained || io->leaving,
    };
    struct wire_buffer b = {NULL, 0, 0};
    return heartbeat_encode(&beat, &b) == 0 && send_now(io, &b);
}

void io_send_goodbye(struct io *io) {
    struct msg_goodbye goodbye = {io->incarnation};
    struct wire_buffer b = {NULL, 0, 0};
    if (io->registration.state == REGISTRATION_UP && goodbye_encode(&goodbye, &b) == 0)
        (void)send_now(io, &b);
}

void io_refuse(struct io *io, const struct msg_work *work, const struct request_id *id, int code,
               const char *text) {
    log_info("request-refused", "ticket=%llu attempt=%u code=%s %s",
             (unsigned long long)work->ticket, work->attempt, error_name(code), text);
    struct wire_message m;
    struct error e;
    wire_message_init(&m);
    if (assignment_refuse(work, io->incarnation, id, code, text, &m) < 0 ||
        wire_send(io->socket, &m, &e) != 0)
        log_warn("refusal-lost", "ticket=%llu", (unsigned long long)work->ticket);
    wire_message_close(&m);
}
