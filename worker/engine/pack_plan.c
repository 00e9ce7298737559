/* pack_plan.c - the layout of a pack. */
#include "worker/engine/pack_plan.h"

#include <stdalign.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "common/bytes.h"
#include "common/must.h"

#define LAYER_WEIGHTS 7
#define SAMPLE_IN 256 /* inputs of the made-up weight of a type: whole blocks of any */
#define SAMPLE_BYTES ((size_t)TILE_OUTPUTS * SAMPLE_IN * 8) /* more than any type takes */
#define TYPES 31                                            /* quant_type ids are below */

static size_t tiles_of(const struct weight *w) {
    return ((size_t)w->n_out + TILE_OUTPUTS - 1) / TILE_OUTPUTS;
}

size_t pack_weight_bytes(const struct weight *w) {
    return tiles_of(w) * tile_format_of(w->type)->bytes(w->n_in);
}

void pack_weight(const struct weight *w, uint8_t *tiles) {
    const struct tile_format *f = tile_format_of(w->type);
    size_t bytes = f->bytes(w->n_in);
    for (size_t i = 0; i < tiles_of(w); i++)
        f->pack(w, (int32_t)i * TILE_OUTPUTS, tiles + i * bytes);
}

/* ---- the plan ---- */

static bool add(struct pack_plan *p, struct weight *w) {
    struct packed_weight *to = &p->weights[p->n_weights++];
    *to =
        (struct packed_weight){.weight = w, .format = tile_format_of(w->type), .offset = p->bytes};
    MUST(to->format != NULL); /* every type that a file may have is packed */
    to->tile_bytes = to->format->bytes(w->n_in);
    MUST(to->tile_bytes % TILE_ALIGN == 0);
    p->tile_bytes = to->tile_bytes > p->tile_bytes ? to->tile_bytes : p->tile_bytes;
    p->source_bytes += w->row_bytes * (size_t)w->n_out; /* they fit a file */
    return size_mul(tiles_of(w), to->tile_bytes, &to->bytes) &&
           size_add(p->bytes, to->bytes, &p->bytes);
}

static bool add_layer(struct pack_plan *p, struct text_layer *l) {
    struct weight *const weights[LAYER_WEIGHTS] = {&l->q,    &l->k,  &l->v,   &l->attn_out,
                                                   &l->gate, &l->up, &l->down};
    bool fits = true;
    for (int i = 0; i < LAYER_WEIGHTS && fits; i++)
        fits = add(p, weights[i]);
    return fits;
}

int pack_plan_open(struct pack_plan *out, struct text_model *m, struct error *e) {
    memset(out, 0, sizeof *out);
    out->weights = calloc((size_t)m->n_layer * LAYER_WEIGHTS + 1, sizeof *out->weights);
    if (out->weights == NULL)
        return error_set(e, ERR_NOMEM, "no memory for the plan of %d layers", m->n_layer);
    bool fits = true;
    for (int32_t i = 0; i < m->n_layer && fits; i++)
        fits = add_layer(out, &m->layers[i]);
    if (fits && add(out, &m->output)) {
        if (m->output.data == m->token_embd.data)
            out->source_bytes -= m->output.row_bytes * (size_t)m->output.n_out;
        return 0;
    }
    pack_plan_close(out);
    return error_set(e, ERR_LIMIT, "the packed weights are larger than an address space");
}

void pack_plan_close(struct pack_plan *p) {
    free(p->weights);
    memset(p, 0, sizeof *p);
}

/* ---- bytes ---- */

/* Bytes from..to of w's tiles, of which all or the asked part are in out. */
static void fill_weight(const struct packed_weight *w, size_t from, size_t to, uint8_t *out,
                        uint8_t *scratch) {
    size_t bytes = w->tile_bytes;
    for (size_t tile = from / bytes; tile * bytes < to; tile++) {
        size_t begin = tile * bytes, end = begin + bytes;
        int32_t first = (int32_t)tile * TILE_OUTPUTS;
        if (begin >= from && end <= to) {
            w->format->pack(w->weight, first, out + (begin - from));
            continue;
        }
        w->format->pack(w->weight, first, scratch);
        size_t low = begin > from ? begin : from, high = end < to ? end : to;
        memcpy(out + (low - from), scratch + (low - begin), high - low);
    }
}

void pack_plan_fill(const struct pack_plan *p, size_t from, size_t to, uint8_t *out,
                    uint8_t *scratch) {
    for (size_t i = 0; i < p->n_weights; i++) {
        const struct packed_weight *w = &p->weights[i];
        size_t begin = w->offset, end = begin + w->bytes;
        if (end <= from || begin >= to)
            continue;
        size_t low = begin > from ? begin : from, high = end < to ? end : to;
        fill_weight(w, low - begin, high - begin, out + (low - from), scratch);
    }
}

/* ---- the digest ---- */

static void digest_u64(XXH3_state_t *s, uint64_t v) {
    MUST(XXH3_64bits_update(s, &v, sizeof v) == XXH_OK);
}

/* A few made-up rows of the type, packed: so that a build that packs in another way never reads
 * packs of this one, without anybody having to remember a version. */
static void digest_format(XXH3_state_t *s, enum quant_type type) {
    struct weight w = {.type = type,
                       .n_in = SAMPLE_IN,
                       .n_out = TILE_OUTPUTS,
                       .row_bytes = quant_row_bytes(type, SAMPLE_IN)};
    alignas(TILE_ALIGN) uint8_t rows[SAMPLE_BYTES], tile[SAMPLE_BYTES] = {0};
    size_t source = w.row_bytes * TILE_OUTPUTS, bytes = tile_format_of(type)->bytes(SAMPLE_IN);
    MUST(source <= sizeof rows && bytes <= sizeof tile);
    uint32_t state = 1;
    for (size_t i = 0; i < source; i++) {
        state = state * 1664525 + 1013904223;
        rows[i] = (uint8_t)(state >> 26); /* 0..63: scales stay finite, and there is no NaN */
    }
    w.data = rows;
    tile_format_of(type)->pack(&w, 0, tile);
    MUST(XXH3_64bits_update(s, tile, bytes) == XXH_OK);
}

uint64_t pack_plan_digest(const struct pack_plan *p) {
    XXH3_state_t *s = XXH3_createState();
    MUST(s != NULL && XXH3_64bits_reset(s) == XXH_OK);
    bool seen[TYPES] = {false};
    for (size_t i = 0; i < p->n_weights; i++) {
        const struct packed_weight *w = &p->weights[i];
        digest_u64(s, w->weight->type);
        digest_u64(s, (uint64_t)w->weight->n_in);
        digest_u64(s, (uint64_t)w->weight->n_out);
        digest_u64(s, w->offset);
        digest_u64(s, w->tile_bytes);
        if (!seen[w->weight->type])
            digest_format(s, w->weight->type);
        seen[w->weight->type] = true;
    }
    uint64_t digest = XXH3_64bits_digest(s);
    (void)XXH3_freeState(s);
    return digest;
}
