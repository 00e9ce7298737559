/* shapes.h - the conversations that are built in, drawn from a seed.
 *
 *     agent   a long session of an agent that works on a screen: one system prompt, AGENT_TURNS
 *             turns, a new screenshot in most of them; at AGENT_COMPACT it shortens its history
 *     photos  one system prompt, and in each conversation one picture that is new
 *     pages   many questions about the same three pages
 *     forks   a trunk with a picture, and branches that leave it at different turns; every other
 *             branch rewords the turn that the trunk went on with (an edit)
 *     mixed   agent, photos, pages and forks, interleaved
 *     none    a control: every conversation starts differently, so nothing can be reused
 *     hot     a control: one long prefix (text and a picture), and a short question in each
 *
 * Sizes suit the demo model: about 3 bytes of these words are a position, a picture is about 40,
 * and a conversation has to stay within its 2048. */
#ifndef QUIRE_CLI_REPLAY_SHAPES_H
#define QUIRE_CLI_REPLAY_SHAPES_H

#include "client/cli/replay/trace.h"

#define SHAPES_PICTURE_WIDTH 160 /* pixels */
#define SHAPES_PICTURE_HEIGHT 120
#define SHAPES_MAX_CONVERSATIONS 10000

#define AGENT_TURNS 30
#define AGENT_TEXT_EVERY                                                                           \
    5 /* every so many turns one is text alone (a tool's output); the others bring                 \
         a screenshot */
#define AGENT_COMPACT                                                                              \
    16               /* the turn at which all but the system prompt and the last turns is dropped */
#define AGENT_KEEP 3 /* turns that stay then */
#define AGENT_SYSTEM_BYTES 900
#define AGENT_TEXT_LEAST_BYTES 30
#define AGENT_TEXT_MOST_BYTES 90

#define PHOTOS_SYSTEM_BYTES 400
#define PHOTOS_QUESTION_BYTES 40

#define PAGES_PICTURES 3
#define PAGES_SYSTEM_BYTES 200
#define PAGES_QUESTION_BYTES 60

#define FORKS_TRUNK_TURNS 6
#define FORKS_PICTURE_TURN 2
#define FORKS_BRANCHES 4 /* of each trunk; trunk and branches are conversations */
#define FORKS_BRANCH_TURNS 3
#define FORKS_SYSTEM_BYTES 300
#define FORKS_TEXT_BYTES 80

#define NONE_SYSTEM_BYTES 400
#define NONE_QUESTION_BYTES 80

#define HOT_SYSTEM_BYTES 2400
#define HOT_QUESTION_BYTES 40

/* The names, separated by ", "; static storage. */
const char *shapes_names(void);
bool shapes_known(const char *name);

/* Draws `conversations` (0: as many as suit the shape). ERR_NOT_FOUND for an unknown name,
 * ERR_NOMEM, ERR_LIMIT. */
int shapes_make(struct trace *out, const char *name, uint32_t conversations, uint64_t seed,
                struct error *e);

#endif
