/* template.h - chat templates: a conversation to runs of text and pictures.
 *
 * Templates are known by the text of the GGUF's Jinja template (a few tell-tale strings); the
 * rendering is our own code per family. A run is either the template's (control tokens in it count)
 * or the user's (they stay text), so no user can write a control token. */
#ifndef QUIRE_ENGINE_TEMPLATE_H
#define QUIRE_ENGINE_TEMPLATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/bytes.h"
#include "common/error.h"

enum template_kind {
    TEMPLATE_SMOLVLM = 1,
    TEMPLATE_CHATML = 2,
    TEMPLATE_LLAMA3 = 3,
    TEMPLATE_VICUNA = 4,
    TEMPLATE_GEMMA = 5,
};

/* `source`: the GGUF's tokenizer.chat_template, empty if it has none. `name`: what the operator
 * chose ("smolvlm", "chatml", "llama3", "vicuna", "gemma"), or NULL for auto. ERR_UNSUPPORTED for
 * an unknown one: the sentence says what was found and how to choose (--chat-template NAME). */
int template_choose(struct bytes source, const char *name, enum template_kind *out,
                    struct error *e);
const char *template_name(enum template_kind kind);

/* CHAT_RAW: the only message; its text is the whole prompt, with nothing around it. */
enum chat_role { CHAT_SYSTEM = 1, CHAT_USER = 2, CHAT_ASSISTANT = 3, CHAT_RAW = 4 };
struct chat_part {
    bool is_picture;
    struct bytes text; /* when not a picture */
    uint32_t picture;  /* index in the request */
};
struct chat_message {
    enum chat_role role;
    const struct chat_part *parts;
    size_t n_parts;
};

enum run_kind { RUN_TEMPLATE, RUN_USER, RUN_PICTURE };
struct run {
    enum run_kind kind;
    struct bytes text; /* RUN_TEMPLATE, RUN_USER; in the rendering's own memory */
    uint32_t picture;  /* RUN_PICTURE */
};
/* What of a message's part stands where; parts that nothing is left of have none. */
struct run_span {
    uint32_t message, part; /* indices */
    size_t skipped;         /* bytes of the part's begin that were left out */
    size_t run, offset;     /* where it stands; offset in the run's text, 0 for a picture */
    size_t bytes;           /* of text; 0 for a picture */
};
struct rendering {
    struct run *runs;
    size_t n_runs;
    void *block;
    struct run_span *spans; /* in the order of the runs */
    size_t n_spans;
};

/* How the family's template tells of tools and has them called: "hermes" (definitions in <tools>,
 * calls in <tool_call>) or "" where `source` has no such words. */
const char *template_tools(enum template_kind kind, struct bytes source);

/* Renders messages with the generation prompt at the end, or a raw text as it is. `has_bos`: the
 * tokenizer adds BOS itself, so a template whose text begins with the BOS token leaves it out. The
 * result owns copies of all text; free with rendering_clear. ERR_BAD_REQUEST for role orders the
 * family cannot express, and for a raw message that is not alone. */
int template_render(enum template_kind kind, const struct chat_message *messages, size_t n_messages,
                    bool has_bos, struct rendering *out, struct error *e);
void rendering_clear(struct rendering *r);

/* The template puts a space between an assistant's role and its words. A model writes that space as
 * the begin of its answer; it is the template's, and not to be shown, or the next turn would have
 * two of them. */
bool template_leads_answer(enum template_kind kind);

/* An already rendered prompt, with `mark` (for example "<image>") where pictures stand: one
 * RUN_TEMPLATE per text, pictures counted from 0. For tools and goldens. */
int rendering_from_marked(struct bytes prompt, struct bytes mark, struct rendering *out,
                          struct error *e);

#endif
