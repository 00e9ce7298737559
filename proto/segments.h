/* segments.h - a request cut at its turns and pictures, and the chain of links over the cuts.
 *
 * SPEC.md section 9 defines both to the byte. A link is a hash of a segment and of all before it,
 * so "the longest prefix that somebody holds" is the last link of the chain that somebody knows. It
 * is computed over raw bytes: no tokenizer, no template, no decoding of pictures.
 *
 * Links are hints for routing. What a worker reuses is decided by its own pages, compared in full.
 */
#ifndef QUIRE_PROTO_SEGMENTS_H
#define QUIRE_PROTO_SEGMENTS_H

#include <stddef.h>
#include <stdint.h>

#include "common/bytes.h"
#include "common/error.h"
#include "proto/message.h"

struct link {
    uint8_t bytes[LINK_BYTES];
};

/* What the first link grows from. Two chains share a link only if all of this is equal. */
struct chain_root {
    uint64_t seed;              /* of the deployment's secret */
    const uint8_t *fingerprint; /* [16], of the model */
    struct bytes template_id;
    struct bytes tenant;
};

struct segment {
    enum part_kind kind;
    enum role role;
    bool first;       /* of its message */
    uint32_t message; /* index in the request */
    uint32_t part;    /* index in the message, of the part in which it begins */
    uint32_t offset;  /* PART_TEXT: where in that part's text it begins */
    uint32_t shown;   /* PART_PICTURE: how many picture parts of the request come before it */
    size_t bytes;     /* of its text, or of the encoded picture */
    struct link link;
    struct link picture; /* PART_PICTURE: what segments_picture_link says of it */
};

struct chain {
    struct segment *segments;
    size_t count;
    void *block; /* owns segments */
};

/* Cuts r without computing links: calls `each` for the segments in order. picture_bytes
 * [r->n_pictures] are the lengths of the encoded frames. */
void segments_cut(const struct request *r, const size_t *picture_bytes,
                  void (*each)(void *arg, const struct segment *s), void *arg);

/* Cuts r and computes all links. pictures[r->n_pictures] are the encoded frames. ERR_NOMEM is the
 * only failure. One allocation, freed by chain_clear. */
int chain_make(struct chain *out, const struct chain_root *root, const struct request *r,
               const struct bytes *pictures, struct error *e);
void chain_clear(struct chain *c); /* a zeroed one is fine */

/* The links of an assistant message of this text that follows `last` (the chain's last link): what
 * the next turn's chain will have there. Writes the first `capacity` of them, returns how many
 * there are: 1 for each begun SEGMENT_TEXT_BYTES, at least 1. */
size_t chain_answer(uint64_t seed, const struct link *last, struct bytes text, struct link *out,
                    size_t capacity);

/* The link that stands for one picture's embeddings, wherever the picture stands: the part's
 * options count, role and place do not. */
struct link segments_picture_link(const struct chain_root *root, const struct request_part *part,
                                  struct bytes encoded);

#endif
