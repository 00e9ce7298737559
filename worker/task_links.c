/* task_links.c - from cuts of raw bytes to positions, and from there to what holds them.
 *
 * A link belongs to the page that holds its last position: while that page stays, so do all before
 * it. Where a cut falls inside a token the position before it counts. */
#include "worker/task_links.h"

#include <stdlib.h>
#include <string.h>

/* ---- where segments end ---- */

/* Behind the last byte of a text, which may run over several parts, or behind a picture. */
static struct prompt_mark end_of(const struct request *r, const struct segment *s) {
    struct prompt_mark mark = {.message = s->message, .part = s->part, .offset = s->offset};
    if (s->kind == PART_PICTURE || s->bytes == 0)
        return mark;
    const struct request_part *parts = r->messages[s->message].parts;
    size_t left = s->bytes;
    while (left > parts[mark.part].text.size - mark.offset) {
        left -= parts[mark.part].text.size - mark.offset;
        mark.offset = 0;
        mark.part++;
    }
    mark.offset += left;
    return mark;
}

static void put_u32(uint8_t *out, uint32_t n) {
    for (int i = 0; i < 4; i++)
        out[i] = (uint8_t)(n >> 8 * i);
}

static size_t told_count(const struct task_links *l) {
    size_t count = l->job->chain->count;
    return count < LIMIT_SEGMENT_ENDS ? count : LIMIT_SEGMENT_ENDS;
}

static int find_ends(struct task_links *l, const struct prompt *p, const struct tokenizer *t) {
    const struct chain *chain = l->job->chain; /* not empty; its size is bounded by limits.h */
    struct prompt_mark *marks = malloc(chain->count * sizeof *marks);
    l->ends = malloc((chain->count + told_count(l)) * sizeof *l->ends);
    if (marks == NULL || l->ends == NULL) {
        free(marks);
        return ERR_NOMEM;
    }
    for (size_t i = 0; i < chain->count; i++)
        marks[i] = end_of(l->job->request, &chain->segments[i]);
    prompt_locate(p, t, marks, chain->count);
    l->told_ends = (uint8_t *)(l->ends + chain->count);
    for (size_t i = 0; i < chain->count; i++) {
        l->ends[i] = marks[i].position;
        if (i < told_count(l))
            put_u32(l->told_ends + 4 * i, marks[i].position);
    }
    free(marks);
    return 0;
}

int task_links_open(struct task_links *l, struct holdings *h, const struct job *job,
                    const struct prompt *p, const struct tokenizer *t, size_t answer_bytes,
                    struct error *e) {
    *l = (struct task_links){.holdings = h};
    if (job->chain == NULL || job->chain->count == 0)
        return 0;
    l->job = job;
    l->answer_room =
        answer_bytes < TASK_LINKS_ANSWER_BYTES ? answer_bytes : TASK_LINKS_ANSWER_BYTES;
    l->answer = malloc(l->answer_room + 1);
    if (l->answer == NULL || find_ends(l, p, t) < 0) {
        task_links_close(l);
        return error_set(e, ERR_NOMEM, "no memory for the links of %zu segments",
                         job->chain->count);
    }
    return 0;
}

void task_links_close(struct task_links *l) {
    free(l->ends);
    free(l->answer);
    *l = (struct task_links){0};
}

struct bytes task_links_ends(const struct task_links *l) {
    return l->job == NULL ? (struct bytes){NULL, 0}
                          : (struct bytes){l->told_ends, 4 * told_count(l)};
}

/* ---- what is held ---- */

/* Ties a link to the node of its last position. */
static void hold(struct task_links *l, const struct link *link, uint32_t positions,
                 struct tree *tree, const struct tree_path *path) {
    if (positions == 0 || positions > path->known)
        return; /* nothing stands before its end, or it is not all there */
    page_id node = path->sequence.pages[(positions - 1) / PAGE_POSITIONS];
    uint32_t before = tree_tag(tree, node);
    uint32_t tag = holdings_add(l->holdings, l->job->chain_seed, link, positions, before);
    if (tag != before)
        tree_set_tag(tree, node, tag);
}

void task_links_picture(struct task_links *l, uint32_t shown, uint32_t *tag) {
    if (l->job == NULL)
        return;
    const struct chain *chain = l->job->chain;
    for (size_t i = 0; i < chain->count; i++) {
        const struct segment *s = &chain->segments[i];
        if (s->kind == PART_PICTURE && s->shown == shown) {
            *tag = holdings_add(l->holdings, l->job->chain_seed, &s->picture, 0, *tag);
            return;
        }
    }
}

void task_links_prompt(struct task_links *l, struct tree *tree, const struct tree_path *path) {
    for (size_t i = 0; l->job != NULL && i < l->job->chain->count; i++)
        hold(l, &l->job->chain->segments[i].link, l->ends[i], tree, path);
}

/* ---- the answer ---- */

void task_links_text(struct task_links *l, struct bytes text, uint32_t positions) {
    if (l->job == NULL || text.size == 0)
        return;
    size_t room = l->answer_room - l->answer_bytes;
    size_t taken = text.size < room ? text.size : room;
    size_t whole = l->answer_bytes / SEGMENT_TEXT_BYTES;
    if (taken > 0)
        memcpy(l->answer + l->answer_bytes, text.data, taken);
    l->answer_bytes += taken;
    l->answer_cut |= taken < text.size;
    for (; whole < l->answer_bytes / SEGMENT_TEXT_BYTES; whole++)
        l->pieces[whole] = positions;
}

void task_links_answer(struct task_links *l, uint32_t positions, struct tree *tree,
                       const struct tree_path *path) {
    if (l->job == NULL || l->job->request->messages[0].role == ROLE_RAW)
        return; /* behind a raw prompt there is no next turn that could have the answer */
    const struct chain *chain = l->job->chain;
    struct link links[TASK_LINKS_PIECES];
    size_t whole = l->answer_bytes / SEGMENT_TEXT_BYTES;
    size_t n = chain_answer(l->job->chain_seed, &chain->segments[chain->count - 1].link,
                            (struct bytes){l->answer, l->answer_bytes}, links, TASK_LINKS_PIECES);
    for (size_t i = 0; i < n; i++) {
        bool last = i + 1 == n && !l->answer_cut;
        if (last || i < whole)
            hold(l, &links[i], last ? positions : l->pieces[i], tree, path);
    }
}
