/* broker_figures_test.c - whatever figures a worker tells, of its pace, of what it holds, of how
 * far it is and of what a prompt had, the broker goes on and its predictions stay numbers. */
#include "tests/broker_world.h"

#include <string.h>

#define WORKERS 3
#define HELD 64
#define MOVES 20000

/* Nothing is predicted to take longer than all that may be under way, each at its bound. */
#define TOTAL_MAX_US ((uint64_t)1 << 52)

static uint64_t noise = 0x853c49e6748fea9bULL;

static uint32_t draw(uint32_t below) {
    noise ^= noise << 13;
    noise ^= noise >> 7;
    noise ^= noise << 17;
    return (uint32_t)(noise >> 33) % below;
}

static uint32_t draw_figure(void) {
    static const uint32_t figures[] = {0,         1, 100, 1000, INT32_MAX, 1U << 31, UINT32_MAX - 1,
                                       UINT32_MAX};
    return figures[draw(sizeof figures / sizeof figures[0])];
}

struct work {
    uint64_t ticket;
    uint32_t n;
    int worker;
};

struct pool {
    struct world w;
    struct work held[HELD];
    size_t n_held;
    uint32_t asked;
    uint32_t of_slot[4096]; /* ticket's slot -> number of the request */
};

static struct world_chain draw_chain(void) {
    uint32_t numbers[40];
    size_t n = 1 + draw(40);
    for (size_t i = 0; i < n; i++)
        numbers[i] = draw(5) > 0 ? (uint32_t)i : WORLD_PICTURE + draw(6);
    return world_chain("", n, numbers);
}

static void ask(struct pool *p, const struct world_chain *c) {
    uint64_t ticket = world_ask_chain(&p->w, 1, p->asked, "m", c);
    p->of_slot[ticket % 4096] = p->asked++;
}

static void tell_pace(struct pool *p, int i) {
    struct world_worker *k = &p->w.workers[i];
    k->position_us = draw_figure();
    k->step_us = draw_figure();
    k->tile_us = draw_figure();
    for (int other = 0; other < WORKERS; other++)
        world_beat(&p->w, other);
}

static void tell_links(struct pool *p, int i, const struct world_chain *c) {
    uint8_t held[40 * LINK_HELD_BYTES];
    struct event ev = {.type = EVENT_LINKS, .peer = p->w.workers[i].peer};
    for (size_t k = 0; k < c->n; k++) {
        uint32_t positions = draw_figure();
        memcpy(held + k * LINK_HELD_BYTES, c->segments[k].link.bytes, LINK_BYTES);
        memcpy(held + k * LINK_HELD_BYTES + LINK_BYTES, &positions, sizeof positions);
    }
    ev.links.told.incarnation = p->w.workers[i].incarnation;
    ev.links.told.held = (struct bytes){held, c->n * LINK_HELD_BYTES};
    world_step(&p->w, &ev);
}

static void answer(struct pool *p, size_t at, bool done) {
    struct work *k = &p->held[at];
    struct event ev = {.type = EVENT_REPLY, .peer = p->w.workers[k->worker].peer};
    ev.reply.reply = (struct msg_reply){
        .incarnation = p->w.workers[k->worker].incarnation, .ticket = k->ticket, .attempt = 1};
    ev.reply.inner = done ? MSG_DONE : MSG_PROGRESS;
    ev.reply.id = world_id(k->n);
    ev.reply.progress = (struct msg_progress){.id = ev.reply.id,
                                              .stage = draw(2) ? STAGE_PICTURE : STAGE_PREFILL,
                                              .done = draw_figure(),
                                              .total = draw_figure()};
    ev.reply.usage = (struct usage){.prompt_positions = draw_figure(),
                                    .picture_positions = draw_figure(),
                                    .pictures_encoded = draw_figure(),
                                    .tiles_encoded = draw_figure()};
    ev.reply.timings = (struct timings){.first_token_us = draw_figure(),
                                        .picture_us = (uint64_t)draw_figure() << 31,
                                        .prefill_us = (uint64_t)draw_figure() << 31};
    world_step(&p->w, &ev);
    if (done)
        *k = p->held[--p->n_held];
}

static void take_work(struct pool *p) {
    for (size_t i = 0; i < p->w.n_log; i++) {
        const struct action *a = &p->w.log[i];
        if (a->type != ACTION_WORK)
            continue;
        assert_true(p->n_held < HELD);
        p->held[p->n_held++] =
            (struct work){a->ticket, p->of_slot[a->ticket % 4096], world_worker_of(&p->w, a)};
    }
    world_forget(&p->w);
}

static void check_predictions(struct pool *p, const struct world_chain *c) {
    struct explanation e = world_explain(&p->w, "m", c);
    for (size_t i = 0; i < e.n_workers; i++) {
        const struct explained_worker *k = &e.workers[i];
        assert_in_range(k->total_us, 0, TOTAL_MAX_US);
        assert_true(k->total_us == k->wait_us + k->encode_us + k->prefill_us);
        assert_true(k->held_positions <= e.prompt_positions);
    }
}

static void test_no_figure_of_a_worker_ends_the_broker(void **state) {
    (void)state;
    static struct pool p;
    world_init(&p.w);
    world_open(&p.w);
    for (int i = 0; i < WORKERS; i++)
        world_ready(&p.w, i, "m", 4);
    for (int m = 0; m < MOVES; m++) {
        uint32_t what = draw(10);
        struct world_chain c = draw_chain();
        p.w.now_us += draw(100000);
        if (what < 2)
            tell_pace(&p, (int)draw(WORKERS));
        else if (what < 5)
            ask(&p, &c);
        else if (what < 6)
            tell_links(&p, (int)draw(WORKERS), &c);
        else if (p.n_held > 0)
            answer(&p, draw((uint32_t)p.n_held), what >= 8);
        take_work(&p);
        check_predictions(&p, &c);
    }
    assert_in_range(world_stats(&p.w).done, MOVES / 20, MOVES);
    world_close(&p.w);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_no_figure_of_a_worker_ends_the_broker),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
