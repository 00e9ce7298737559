/* task_links.h - the chain of one request, its end positions, and what of it is held.
 *
 * Links are cuts of raw bytes; where they end in the prompt follows from the prompt itself. The
 * answer's links are what the next turn's chain will have for it, over the text that the client
 * saw.
 *
 * How a task uses it:
 *     task_links_open      the prompt is built
 *     task_links_picture   the embeddings of a shown picture are there
 *     task_links_prompt    all positions of the prompt are held
 *     task_links_text      text was told to the client (TOKENS)
 *     task_links_answer    the answer is complete; before DONE is told
 *     task_links_close     always */
#ifndef QUIRE_WORKER_TASK_LINKS_H
#define QUIRE_WORKER_TASK_LINKS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/error.h"
#include "worker/engine/prompt.h"
#include "worker/engine/tree.h"
#include "worker/holdings.h"
#include "worker/job.h"

#define TASK_LINKS_PIECES 16 /* segments of an answer that get links */
#define TASK_LINKS_ANSWER_BYTES (TASK_LINKS_PIECES * SEGMENT_TEXT_BYTES)

struct task_links {
    struct holdings *holdings; /* borrowed; NULL: nobody is told */
    const struct job *job;     /* borrowed */
    uint32_t *ends;            /* [job->chain->count], owned: positions */
    uint8_t *told_ends;        /* of them what DONE tells, in its layout; in the same block */
    uint8_t *answer;           /* owned: the text told, up to answer_room bytes */
    size_t answer_bytes, answer_room;
    bool answer_cut;                    /* more was told */
    uint32_t pieces[TASK_LINKS_PIECES]; /* positions at the ends of its whole segments */
};

/* Finds where the job's segments end. answer_bytes: of text that the answer may have, for which
 * memory is taken now, up to TASK_LINKS_ANSWER_BYTES. A job without a chain has no links, and all
 * else does nothing. Borrows h and job. ERR_NOMEM; then *l is empty. */
int task_links_open(struct task_links *l, struct holdings *h, const struct job *job,
                    const struct prompt *p, const struct tokenizer *t, size_t answer_bytes,
                    struct error *e);
void task_links_close(struct task_links *l); /* a zeroed one is fine */

/* DONE.segment_ends; valid until task_links_close. */
struct bytes task_links_ends(const struct task_links *l);

/* The embeddings of a picture are kept: shown is counted over the picture parts of the request, as
 * in struct segment; *tag is the one that is kept with them. */
void task_links_picture(struct task_links *l, uint32_t shown, uint32_t *tag);
/* The path holds the whole prompt. */
void task_links_prompt(struct task_links *l, struct tree *tree, const struct tree_path *path);
/* The client was told this text; `positions` are held by now. */
void task_links_text(struct task_links *l, struct bytes text, uint32_t positions);
/* The client was told all, and the path holds `positions` in nodes that stay. */
void task_links_answer(struct task_links *l, uint32_t positions, struct tree *tree,
                       const struct tree_path *path);

#endif
