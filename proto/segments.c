/* segments.c - the cuts of SPEC.md section 9, and the chain over them.
 *
 * Cutting and hashing are two walks. The first notes where each segment begins and how long it is,
 * once only to count them; the second gathers a segment's payload in a buffer on the stack behind
 * the link before it, and hashes the whole of it at once. A payload is never longer than one cut of
 * text, since of a picture it holds the hash; so that 4 KB buffer is all the memory a link takes.
 *
 * Fields carry their length, so that no two different lists of fields are the same bytes. */
#include "proto/segments.h"

#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "common/must.h"
#include "proto/limits.h"

#define FIELD_SIZE_BYTES 8
/* The largest input of one hash: a link, four fields of one cut of text. */
#define INPUT_BYTES (LINK_BYTES + 4 * FIELD_SIZE_BYTES + 3 + SEGMENT_TEXT_BYTES)

/* ---- hash inputs ---- */

struct input {
    size_t size;
    uint8_t data[INPUT_BYTES];
};

static void put(struct input *in, const void *data, size_t size) {
    MUST(size <= sizeof in->data - in->size);
    if (size > 0)
        memcpy(in->data + in->size, data, size);
    in->size += size;
}

static void put_u64(struct input *in, uint64_t n) {
    uint8_t le[8];
    for (int i = 0; i < 8; i++)
        le[i] = (uint8_t)(n >> 8 * i);
    put(in, le, sizeof le);
}

static void put_field(struct input *in, const void *data, size_t size) {
    put_u64(in, size);
    put(in, data, size);
}

static void put_byte_field(struct input *in, unsigned value) {
    uint8_t byte = (uint8_t)value;
    put_field(in, &byte, 1);
}

static void put_u64_field(struct input *in, uint64_t value) {
    put_u64(in, sizeof value);
    put_u64(in, value);
}

static struct link canonical(XXH128_hash_t hash) {
    XXH128_canonical_t bytes;
    struct link link;
    _Static_assert(sizeof bytes == LINK_BYTES, "a link is a hash of 128 bits");
    XXH128_canonicalFromHash(&bytes, hash);
    memcpy(link.bytes, &bytes, sizeof bytes);
    return link;
}

static struct link input_hash(const struct input *in, uint64_t seed) {
    return canonical(XXH3_128bits_withSeed(in->data, in->size, seed));
}

/* ---- cutting ---- */

struct cutter {
    void (*each)(void *arg, const struct segment *s);
    void *arg;
    const size_t *picture_bytes;
    size_t count;
    uint32_t shown;
};

static void add_segment(struct cutter *c, const struct segment *s) {
    c->each(c->arg, s);
    c->count++;
}

/* Moves a place in the parts on by `bytes`, and past the ends of parts: it comes to rest on a byte,
 * or at the end of the last part. */
static void move_on(const struct request_message *m, size_t end, size_t *part, size_t *offset,
                    size_t bytes) {
    *offset += bytes;
    while (*part + 1 < end && *offset >= m->parts[*part].text.size) {
        *offset -= m->parts[*part].text.size;
        (*part)++;
    }
}

/* The text of parts[begin..end), which may be empty, as segments like `shape`. */
static void cut_text(struct cutter *c, const struct request_message *m, size_t begin, size_t end,
                     struct segment shape) {
    size_t left = 0, part = begin, offset = 0;
    for (size_t i = begin; i < end; i++)
        left += m->parts[i].text.size;
    if (left > 0)
        move_on(m, end, &part, &offset, 0);
    do {
        shape.part = (uint32_t)part;
        shape.offset = (uint32_t)offset;
        shape.bytes = left < SEGMENT_TEXT_BYTES ? left : SEGMENT_TEXT_BYTES;
        add_segment(c, &shape);
        shape.first = false;
        left -= shape.bytes;
        move_on(m, end, &part, &offset, shape.bytes);
    } while (left > 0);
}

static bool has_text(const struct request_message *m, size_t begin, size_t end) {
    for (size_t i = begin; i < end; i++)
        if (m->parts[i].text.size > 0)
            return true;
    return false;
}

static void cut_message(struct cutter *c, const struct request *r, size_t message) {
    const struct request_message *m = &r->messages[message];
    size_t before = c->count;
    for (size_t i = 0; i < m->n_parts;) {
        struct segment s = {.kind = m->parts[i].kind,
                            .role = m->role,
                            .first = c->count == before,
                            .message = (uint32_t)message,
                            .part = (uint32_t)i};
        if (s.kind == PART_PICTURE) {
            MUST(m->parts[i].picture < r->n_pictures);
            s.shown = c->shown++;
            s.bytes = c->picture_bytes[m->parts[i].picture];
            add_segment(c, &s);
            i++;
            continue;
        }
        size_t end = i + 1;
        while (end < m->n_parts && m->parts[end].kind == PART_TEXT)
            end++;
        if (has_text(m, i, end))
            cut_text(c, m, i, end, s);
        i = end;
    }
    if (c->count == before) /* nothing but empty texts */
        add_segment(c, &(struct segment){.kind = PART_TEXT,
                                         .role = m->role,
                                         .first = true,
                                         .message = (uint32_t)message});
}

void segments_cut(const struct request *r, const size_t *picture_bytes,
                  void (*each)(void *arg, const struct segment *s), void *arg) {
    struct cutter c = {.each = each, .arg = arg, .picture_bytes = picture_bytes};
    for (size_t i = 0; i < r->n_messages; i++)
        cut_message(&c, r, i);
}

/* ---- linking ---- */

static struct link root_link(const struct chain_root *root) {
    static const char domain[] = "quire segments 1";
    struct input in;
    in.size = 0;
    put_field(&in, domain, sizeof domain - 1);
    put_field(&in, root->fingerprint, 16);
    put_field(&in, root->template_id.data, root->template_id.size);
    put_field(&in, root->tenant.data, root->tenant.size);
    return input_hash(&in, root->seed);
}

static void put_head(struct input *in, const struct link *last, enum part_kind kind, enum role role,
                     bool first) {
    in->size = 0;
    put(in, last->bytes, LINK_BYTES);
    put_byte_field(in, kind);
    put_byte_field(in, role);
    put_byte_field(in, first);
}

/* The four fields that say what is seen of a picture. */
static void put_picture(struct input *in, const struct request_part *part,
                        const struct link *content, size_t encoded_bytes) {
    put_field(in, content->bytes, LINK_BYTES);
    put_u64_field(in, encoded_bytes);
    put_u64_field(in, part->max_pixels);
    put_byte_field(in, part->detail == DETAIL_LOW ? DETAIL_LOW : DETAIL_HIGH);
}

static struct link picture_link(const struct chain_root *root, const struct request_part *part,
                                const struct link *content, size_t encoded_bytes) {
    static const char domain[] = "quire picture 1";
    struct input in;
    in.size = 0;
    put_field(&in, domain, sizeof domain - 1);
    put_field(&in, root->fingerprint, 16);
    put_field(&in, root->tenant.data, root->tenant.size);
    put_picture(&in, part, content, encoded_bytes);
    return input_hash(&in, root->seed);
}

static void put_text(struct input *in, const struct request_message *m, const struct segment *s) {
    size_t left = s->bytes, offset = s->offset;
    put_u64(in, s->bytes);
    for (size_t part = s->part; left > 0; part++, offset = 0) {
        const struct bytes *text = &m->parts[part].text;
        size_t run = text->size - offset < left ? text->size - offset : left;
        if (run > 0)
            put(in, text->data + offset, run);
        left -= run;
    }
}

/* A picture that is shown several times is read once. */
struct contents {
    struct link hash[LIMIT_PICTURES];
    bool known[LIMIT_PICTURES];
};

static const struct link *content_of(struct contents *c, uint32_t picture,
                                     const struct bytes *pictures) {
    MUST(picture < LIMIT_PICTURES);
    if (!c->known[picture]) {
        const struct bytes *encoded = &pictures[picture];
        c->hash[picture] = canonical(XXH3_128bits(encoded->data, encoded->size));
        c->known[picture] = true;
    }
    return &c->hash[picture];
}

static void link_segments(const struct chain *chain, const struct chain_root *root,
                          const struct request *r, const struct bytes *pictures) {
    struct link last = root_link(root);
    struct contents contents;
    struct input in;
    memset(contents.known, 0, sizeof contents.known);
    for (size_t i = 0; i < chain->count; i++) {
        struct segment *s = &chain->segments[i];
        const struct request_message *m = &r->messages[s->message];
        put_head(&in, &last, s->kind, s->role, s->first);
        if (s->kind == PART_PICTURE) {
            const struct request_part *part = &m->parts[s->part];
            const struct link *content = content_of(&contents, part->picture, pictures);
            put_picture(&in, part, content, s->bytes);
            s->picture = picture_link(root, part, content, s->bytes);
        } else {
            put_text(&in, m, s);
        }
        s->link = last = input_hash(&in, root->seed);
    }
}

/* ---- promises of segments.h ---- */

/* A chain under construction; without segments it only counts them. */
static void add_to_chain(void *arg, const struct segment *s) {
    struct chain *chain = arg;
    if (chain->segments != NULL)
        chain->segments[chain->count] = *s;
    chain->count++;
}

int chain_make(struct chain *out, const struct chain_root *root, const struct request *r,
               const struct bytes *pictures, struct error *e) {
    size_t bytes, picture_bytes[LIMIT_PICTURES];
    MUST(r->n_pictures <= LIMIT_PICTURES);
    for (uint32_t i = 0; i < r->n_pictures; i++)
        picture_bytes[i] = pictures[i].size;
    *out = (struct chain){0};
    segments_cut(r, picture_bytes, add_to_chain, out);
    if (out->count == 0)
        return 0;
    if (size_mul(out->count, sizeof *out->segments, &bytes))
        out->block = malloc(bytes);
    if (out->block == NULL) {
        size_t count = out->count;
        out->count = 0;
        return error_set(e, ERR_NOMEM, "memory ran out for the chain of %zu segments", count);
    }
    out->segments = out->block;
    out->count = 0;
    segments_cut(r, picture_bytes, add_to_chain, out);
    link_segments(out, root, r, pictures);
    return 0;
}

void chain_clear(struct chain *c) {
    free(c->block);
    *c = (struct chain){0};
}

size_t chain_answer(uint64_t seed, const struct link *last, struct bytes text, struct link *out,
                    size_t capacity) {
    struct link link = *last;
    struct input in;
    size_t count = 0, at = 0;
    do {
        size_t left = text.size - at;
        size_t run = left < SEGMENT_TEXT_BYTES ? left : SEGMENT_TEXT_BYTES;
        if (count < capacity) {
            put_head(&in, &link, PART_TEXT, ROLE_ASSISTANT, count == 0);
            put_field(&in, run > 0 ? text.data + at : NULL, run);
            out[count] = link = input_hash(&in, seed);
        }
        count++;
        at += run;
    } while (at < text.size);
    return count;
}

struct link segments_picture_link(const struct chain_root *root, const struct request_part *part,
                                  struct bytes encoded) {
    struct link content = canonical(XXH3_128bits(encoded.data, encoded.size));
    return picture_link(root, part, &content, encoded.size);
}
