/* shapes.c - the built-in conversations, and how they are interleaved.
 *
 * Every shape is drawn one conversation after another, each from a seed of its own, so that "the
 * first eight agents" are the same whatever else is in the trace. A text or picture that several
 * share comes from the shape's own seed. */
#include "client/cli/replay/shapes.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "client/cli/replay/random.h"

enum shape { AGENT, PHOTOS, PAGES, FORKS, NONE, HOT, SHAPES };
static const char *const names[SHAPES] = {"agent", "photos", "pages", "forks", "none", "hot"};

static void conversation_name(char out[TRACE_NAME_BYTES], enum shape shape, uint32_t index) {
    (void)snprintf(out, TRACE_NAME_BYTES, "%s-%" PRIu32, names[shape], index + 1);
}

struct drawing {
    struct trace *trace;
    uint64_t common; /* the seed that all conversations of the shape share */
    uint64_t own;    /* this conversation's */
    uint32_t shape, conversation;
    struct error *e;
};

/* What stands where in a seed's branches. */
enum { SEED_SYSTEM = 1, SEED_PAGE = 16, SEED_TURN = 1024, SEED_PICTURE = 65536 };

static int begin(struct drawing *d, size_t system_bytes, uint64_t system_seed,
                 struct trace_turn **turn) {
    int rc = trace_turn(d->trace, d->conversation, d->shape, TRACE_NONE, turn, d->e);
    return rc == 0 ? trace_system(*turn, NULL, random_branch(system_seed, SEED_SYSTEM),
                                  system_bytes, d->e)
                   : rc;
}

static int say(struct drawing *d, struct trace_turn *turn, size_t bytes) {
    return trace_made_text(turn, random_branch(d->own, SEED_TURN + turn->turn), bytes, d->e);
}

static int show(struct drawing *d, struct trace_turn *turn, uint64_t seed) {
    return trace_made_picture(turn, seed, SHAPES_PICTURE_WIDTH, SHAPES_PICTURE_HEIGHT, d->e);
}

/* ---- one conversation of each ---- */

static int draw_agent(struct drawing *d) {
    uint64_t random = d->own;
    for (uint32_t i = 1; i <= AGENT_TURNS; i++) {
        struct trace_turn *turn;
        int rc = i == 1 ? begin(d, AGENT_SYSTEM_BYTES, d->common, &turn)
                        : trace_turn(d->trace, d->conversation, d->shape, TRACE_NONE, &turn, d->e);
        if (rc == 0)
            rc = say(d, turn,
                     random_between(&random, AGENT_TEXT_LEAST_BYTES, AGENT_TEXT_MOST_BYTES));
        /* The first turn is the task; then the screen is looked at after nearly every step. */
        if (rc == 0 && i % AGENT_TEXT_EVERY != 1)
            rc = show(d, turn, random_branch(d->own, SEED_PICTURE + i));
        if (rc != 0)
            return rc;
        if (i == AGENT_COMPACT)
            turn->keep = AGENT_KEEP;
    }
    return 0;
}

static int draw_photo(struct drawing *d) {
    struct trace_turn *turn;
    int rc = begin(d, PHOTOS_SYSTEM_BYTES, d->common, &turn);
    if (rc == 0)
        rc = show(d, turn, random_branch(d->own, SEED_PICTURE));
    return rc == 0 ? trace_made_text(turn, random_branch(d->common, SEED_TURN),
                                     PHOTOS_QUESTION_BYTES, d->e)
                   : rc;
}

static int draw_pages(struct drawing *d) {
    struct trace_turn *turn;
    int rc = begin(d, PAGES_SYSTEM_BYTES, d->common, &turn);
    for (uint32_t i = 0; i < PAGES_PICTURES && rc == 0; i++)
        rc = show(d, turn, random_branch(d->common, SEED_PAGE + i));
    return rc == 0 ? say(d, turn, PAGES_QUESTION_BYTES) : rc;
}

static int draw_trunk(struct drawing *d) {
    for (uint32_t i = 1; i <= FORKS_TRUNK_TURNS; i++) {
        struct trace_turn *turn;
        int rc = i == 1 ? begin(d, FORKS_SYSTEM_BYTES, d->own, &turn)
                        : trace_turn(d->trace, d->conversation, d->shape, TRACE_NONE, &turn, d->e);
        if (rc == 0 && i == FORKS_PICTURE_TURN)
            rc = show(d, turn, random_branch(d->own, SEED_PICTURE));
        if (rc == 0)
            rc = say(d, turn, FORKS_TEXT_BYTES);
        if (rc != 0)
            return rc;
    }
    return 0;
}

/* Leaves the trunk after turn 1, 2, 3...; the first turn of every other branch begins as the
 * trunk's next one did. */
static int draw_branch(struct drawing *d, uint32_t trunk, uint32_t which) {
    char name[TRACE_NAME_BYTES];
    conversation_name(name, FORKS, trunk);
    uint32_t from = trace_find(d->trace, name, 1 + which % (FORKS_TRUNK_TURNS - 1));
    for (uint32_t i = 1; i <= FORKS_BRANCH_TURNS; i++) {
        struct trace_turn *turn;
        int rc = trace_turn(d->trace, d->conversation, d->shape, from, &turn, d->e);
        if (rc == 0 && i == 1 && which % 2 == 1) {
            const struct trace_turn *next = &d->trace->turns[from + 1];
            const struct trace_part *said = &next->parts[next->n_parts - 1];
            char text[FORKS_TEXT_BYTES];
            memcpy(text, said->data, sizeof text);
            memset(text + sizeof text / 2, '!', 1);
            rc = trace_text(turn, text, sizeof text, d->e);
        } else if (rc == 0) {
            rc = say(d, turn, FORKS_TEXT_BYTES);
        }
        if (rc != 0)
            return rc;
    }
    return 0;
}

/* Trunks and their branches take turns: conversation 0 is a trunk, the next FORKS_BRANCHES its
 * branches, and so on. */
static int draw_fork(struct drawing *d, uint32_t index) {
    uint32_t which = index % (FORKS_BRANCHES + 1);
    return which == 0 ? draw_trunk(d) : draw_branch(d, index - which, which - 1);
}

static int draw_none(struct drawing *d) {
    struct trace_turn *turn;
    int rc = begin(d, NONE_SYSTEM_BYTES, d->own, &turn);
    if (rc == 0)
        rc = say(d, turn, NONE_QUESTION_BYTES);
    return rc == 0 ? show(d, turn, random_branch(d->own, SEED_PICTURE)) : rc;
}

static int draw_hot(struct drawing *d) {
    struct trace_turn *turn;
    int rc = begin(d, HOT_SYSTEM_BYTES, d->common, &turn);
    if (rc == 0)
        rc = show(d, turn, random_branch(d->common, SEED_PICTURE));
    return rc == 0 ? say(d, turn, HOT_QUESTION_BYTES) : rc;
}

/* ---- shapes ---- */

static const uint32_t usual_conversations[SHAPES] = {2, 32, 16, 10, 32, 48};
/* Of ten conversations of `mixed`: an agent makes many requests, a photo one. */
#define MIXED_CYCLE 10
static const enum shape mixed_cycle[MIXED_CYCLE] = {AGENT, PHOTOS, PAGES,  FORKS, PHOTOS,
                                                    PAGES, FORKS,  PHOTOS, PAGES, PHOTOS};
#define MIXED_USUAL 40

const char *shapes_names(void) {
    return "agent, photos, pages, forks, mixed, none, hot";
}

static int find(const char *name) {
    for (int i = 0; i < SHAPES; i++)
        if (strcmp(names[i], name) == 0)
            return i;
    return -1;
}

bool shapes_known(const char *name) {
    return find(name) >= 0 || strcmp(name, "mixed") == 0;
}

/* The index-th conversation of a shape. */
static int draw(struct trace *t, enum shape shape, uint32_t index, uint64_t seed, struct error *e) {
    char name[TRACE_NAME_BYTES];
    struct drawing d = {.trace = t, .common = random_branch(seed, 1000 + shape), .e = e};
    d.own = random_branch(d.common, 1000000 + index);
    conversation_name(name, shape, index);
    int rc = trace_shape(t, names[shape], &d.shape, e);
    if (rc == 0)
        rc = trace_conversation(t, name, &d.conversation, e);
    if (rc != 0)
        return rc;
    switch (shape) {
    case AGENT:
        return draw_agent(&d);
    case PHOTOS:
        return draw_photo(&d);
    case PAGES:
        return draw_pages(&d);
    case FORKS:
        return draw_fork(&d, index);
    case NONE:
        return draw_none(&d);
    default:
        return draw_hot(&d);
    }
}

int shapes_make(struct trace *out, const char *name, uint32_t conversations, uint64_t seed,
                struct error *e) {
    int shape = find(name), rc = 0;
    uint32_t counts[SHAPES] = {0};
    memset(out, 0, sizeof *out);
    if (!shapes_known(name))
        return error_set(e, ERR_NOT_FOUND, "there is no shape \"%s\"; there are %s", name,
                         shapes_names());
    if (conversations == 0)
        conversations = shape >= 0 ? usual_conversations[shape] : MIXED_USUAL;
    if (conversations > SHAPES_MAX_CONVERSATIONS)
        return error_set(e, ERR_LIMIT, "a trace has at most %d conversations",
                         SHAPES_MAX_CONVERSATIONS);
    for (uint32_t i = 0; i < conversations && rc == 0; i++) {
        enum shape s = shape >= 0 ? (enum shape)shape : mixed_cycle[i % MIXED_CYCLE];
        rc = draw(out, s, counts[s]++, seed, e);
    }
    if (rc != 0)
        trace_close(out);
    return rc;
}
