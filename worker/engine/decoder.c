/* decoder.c - one step of a `llama` model.
 *
 * All rows of a step go through a layer together: each weight is read once for all of them. Only
 * attention looks at which sequence a row belongs to. Activations stay f32 throughout; keys, after
 * they are turned by their position, and values are rounded when they enter their page (kv.h).
 *
 * A layer is five rounds of the team: queries, keys and values; attention; its output; gate and up
 * with their product; down. What lies between (norms, turning, writing pages) is done by the caller
 * alone when rows are few, since waking others would take longer. */
#include "worker/engine/decoder.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/bytes.h"
#include "common/must.h"
#include "worker/engine/attention.h"
#include "worker/engine/kernels.h"
#include "worker/engine/matmul_job.h"
#include "worker/engine/rope.h"

#define ALONE_ROWS 8 /* up to here the caller does the small work of a row itself */

struct decoder {
    const struct text_model *m;
    const struct kernels *kernels;
    struct pages *pages;
    struct team *team;
    struct matmul_scratch *scratch;
    struct attention *attention;
    int32_t max_rows, max_logit_rows;
    size_t bytes;
    double *frequencies;    /* [head_dim/2] */
    float *x;               /* [max_rows][n_embd], the residual stream */
    float *h;               /* [max_rows][n_embd], normed */
    float *q, *mixed;       /* [max_rows][n_head*head_dim]: queries, what attention made of them */
    float *k, *v;           /* [max_rows][n_head_kv*head_dim] */
    float *gate, *up;       /* [max_rows][n_ff] */
    float *cosines, *sines; /* [max_rows][head_dim/2] */
    float *logits;          /* [max_logit_rows][n_vocab] */
    struct attention_span *spans; /* [max_rows] */
    /* the step that runs now */
    const struct step_row *rows;
    int32_t n_rows;
    int32_t layer;
    const float *norm_weight;
};

/* ---- open and close ---- */

static int32_t widest_input(const struct text_model *m) {
    int32_t n = m->n_embd > m->n_ff ? m->n_embd : m->n_ff;
    return n > m->n_head * m->head_dim ? n : m->n_head * m->head_dim;
}

/* Zeroed, aligned for any kernel, counted. */
static float *make_floats(struct decoder *d, int32_t rows, int32_t width) {
    size_t bytes;
    if (!size_mul((size_t)rows * sizeof(float), (size_t)width, &bytes) || bytes > SIZE_MAX - 64)
        return NULL;
    bytes = (bytes + 63) / 64 * 64;
    float *p = aligned_alloc(64, bytes);
    if (p == NULL)
        return NULL;
    memset(p, 0, bytes);
    d->bytes += bytes;
    return p;
}

static int make_buffers(struct decoder *d) {
    const struct text_model *m = d->m;
    int32_t rows = d->max_rows, pairs = m->head_dim / 2;
    d->frequencies = calloc((size_t)pairs, sizeof *d->frequencies);
    d->spans = calloc((size_t)rows, sizeof *d->spans);
    d->x = make_floats(d, rows, m->n_embd);
    d->h = make_floats(d, rows, m->n_embd);
    d->q = make_floats(d, rows, m->n_head * m->head_dim);
    d->mixed = make_floats(d, rows, m->n_head * m->head_dim);
    d->k = make_floats(d, rows, m->n_head_kv * m->head_dim);
    d->v = make_floats(d, rows, m->n_head_kv * m->head_dim);
    d->gate = make_floats(d, rows, m->n_ff);
    d->up = make_floats(d, rows, m->n_ff);
    d->cosines = make_floats(d, rows, pairs);
    d->sines = make_floats(d, rows, pairs);
    d->logits = make_floats(d, d->max_logit_rows, m->n_vocab);
    bool all = d->frequencies && d->spans && d->x && d->h && d->q && d->mixed && d->k && d->v &&
               d->gate && d->up && d->cosines && d->sines && d->logits;
    return all ? 0 : ERR_NOMEM;
}

int decoder_open(struct decoder **out, const struct text_model *m, struct pages *p, struct team *t,
                 int32_t max_rows, int32_t max_logit_rows, struct error *e) {
    *out = NULL;
    struct pages_shape shape = pages_shape(p);
    MUST(shape.n_layer == m->n_layer && shape.n_head_kv == m->n_head_kv &&
         shape.head_dim == m->head_dim);
    MUST(max_rows >= 1 && max_logit_rows >= 1);
    if (m->head_dim % 2 != 0)
        return error_set(e, ERR_UNSUPPORTED, "heads of odd width %d", m->head_dim);
    struct decoder *d = calloc(1, sizeof *d);
    if (d == NULL)
        return error_set(e, ERR_NOMEM, "no memory for the decoder");
    d->m = m;
    d->kernels = kernels_chosen();
    d->pages = p;
    d->team = t;
    d->max_rows = max_rows;
    d->max_logit_rows = max_logit_rows;
    int rc = matmul_scratch_open(&d->scratch, t, widest_input(m), max_rows, e);
    if (rc == 0)
        rc = attention_open(&d->attention, p, t, m->n_head, max_rows, e);
    if (rc == 0 && (rc = make_buffers(d)) != 0)
        error_set(e, rc, "no memory for steps of %d positions", max_rows);
    if (rc != 0) {
        decoder_close(d);
        return rc;
    }
    rope_frequencies(m, d->frequencies);
    *out = d;
    return 0;
}

void decoder_close(struct decoder *d) {
    if (d == NULL)
        return;
    matmul_scratch_close(d->scratch);
    attention_close(d->attention);
    float *const buffers[] = {d->x,    d->h,  d->q,       d->mixed, d->k,     d->v,
                              d->gate, d->up, d->cosines, d->sines, d->logits};
    for (size_t i = 0; i < sizeof buffers / sizeof buffers[0]; i++)
        free(buffers[i]);
    free(d->frequencies);
    free(d->spans);
    free(d);
}

size_t decoder_scratch_bytes(const struct decoder *d) {
    return d->bytes + matmul_scratch_bytes(d->scratch) + attention_bytes(d->attention);
}

/* ---- small work, row by row ---- */

struct row_work {
    struct decoder *d;
    void (*f)(struct decoder *d, int32_t row);
};

static void row_member(void *opaque, int who, int members) {
    const struct row_work *w = opaque;
    int64_t n = w->d->n_rows;
    for (int64_t r = n * who / members; r < n * (who + 1) / members; r++)
        w->f(w->d, (int32_t)r);
}

static void each_row(struct decoder *d, void (*f)(struct decoder *d, int32_t row)) {
    struct row_work w = {d, f};
    if (d->n_rows <= ALONE_ROWS)
        row_member(&w, 0, 1);
    else
        team_run(d->team, row_member, &w);
}

static float *row_of(float *buffer, int32_t row, int32_t width) {
    return buffer + (size_t)row * (size_t)width;
}

static void embed_row(struct decoder *d, int32_t row) {
    const struct text_model *m = d->m;
    const struct step_row *s = &d->rows[row];
    float *x = row_of(d->x, row, m->n_embd);
    if (s->token >= 0) {
        const uint8_t *data = m->token_embd.data;
        quant_expand_row(m->token_embd.type, data + (size_t)s->token * m->token_embd.row_bytes, x,
                         (size_t)m->n_embd);
    } else {
        memcpy(x, s->embedding, (size_t)m->n_embd * sizeof *x);
    }
    int32_t pairs = m->head_dim / 2;
    rope_turn(d->frequencies, pairs, s->position, row_of(d->cosines, row, pairs),
              row_of(d->sines, row, pairs));
}

static void norm_row(struct decoder *d, int32_t row) {
    int32_t n = d->m->n_embd;
    d->kernels->rms_norm(row_of(d->x, row, n), d->norm_weight, n, d->m->rms_eps,
                         row_of(d->h, row, n));
}

/* Turns the row's keys and puts keys and values into their page. */
static void place_row(struct decoder *d, int32_t row) {
    const struct text_model *m = d->m;
    const struct step_row *s = &d->rows[row];
    int32_t hd = m->head_dim;
    float *k = row_of(d->k, row, m->n_head_kv * hd), *v = row_of(d->v, row, m->n_head_kv * hd);
    d->kernels->rotate(k, m->n_head_kv, hd, row_of(d->cosines, row, hd / 2),
                       row_of(d->sines, row, hd / 2), 1);
    attention_place(d->attention, s->sequence->pages[s->position / PAGE_POSITIONS],
                    s->position % PAGE_POSITIONS, d->layer, k, v);
}

/* Turns the row's queries, and scales them as attention asks. */
static void turn_row(struct decoder *d, int32_t row) {
    int32_t hd = d->m->head_dim;
    d->kernels->rotate(row_of(d->q, row, d->m->n_head * hd), d->m->n_head, hd,
                       row_of(d->cosines, row, hd / 2), row_of(d->sines, row, hd / 2),
                       1.0F / sqrtf((float)hd));
}

static void place_and_turn_row(struct decoder *d, int32_t row) {
    place_row(d, row);
    turn_row(d, row);
}

static void norm(struct decoder *d, const float *weight) {
    d->norm_weight = weight;
    each_row(d, norm_row);
}

/* ---- a layer ---- */

static void attend(struct decoder *d, const struct text_layer *l) {
    attention_run(d->attention, d->layer, d->q, d->mixed);
    const struct matmul_job output = {
        .w = &l->attn_out, .bias = l->attn_out_bias, .y = d->x, .add = true};
    matmul_jobs(d->team, d->scratch, &output, 1, d->mixed, d->n_rows);
}

static void project_all(struct decoder *d, const struct text_layer *l) {
    const struct matmul_job qkv[] = {
        {.w = &l->q, .bias = l->q_bias, .y = d->q},
        {.w = &l->k, .bias = l->k_bias, .y = d->k},
        {.w = &l->v, .bias = l->v_bias, .y = d->v},
    };
    matmul_jobs(d->team, d->scratch, qkv, 3, d->h, d->n_rows);
    each_row(d, place_and_turn_row);
}

/* Moves what belongs to the wanted rows to the front, and plans attention for them alone. */
static void keep_wanted(struct decoder *d) {
    const struct text_model *m = d->m;
    int32_t n = 0, pairs = m->head_dim / 2;
    for (int32_t r = 0; r < d->n_rows; r++) {
        const struct step_row *s = &d->rows[r];
        if (!s->want_logits)
            continue;
        struct {
            float *buffer;
            int32_t width;
        } const moved[] = {
            {d->x, m->n_embd}, {d->h, m->n_embd}, {d->cosines, pairs}, {d->sines, pairs}};
        for (size_t i = 0; i < sizeof moved / sizeof moved[0] && n != r; i++)
            memcpy(row_of(moved[i].buffer, n, moved[i].width),
                   row_of(moved[i].buffer, r, moved[i].width),
                   (size_t)moved[i].width * sizeof(float));
        d->spans[n] = (struct attention_span){
            .pages = s->sequence->pages, .first_row = n, .rows = 1, .position = s->position};
        n++;
    }
    d->n_rows = n;
    attention_plan(d->attention, d->spans, n);
}

/* In the last layer, keys and values of all rows are needed by those that come after; all else only
 * for rows whose logits are. Of a chunk of a prompt that is one row or none. */
static void project_last(struct decoder *d, const struct text_layer *l) {
    const struct matmul_job kv[] = {
        {.w = &l->k, .bias = l->k_bias, .y = d->k},
        {.w = &l->v, .bias = l->v_bias, .y = d->v},
    };
    matmul_jobs(d->team, d->scratch, kv, 2, d->h, d->n_rows);
    each_row(d, place_row);
    keep_wanted(d);
    const struct matmul_job q = {.w = &l->q, .bias = l->q_bias, .y = d->q};
    matmul_jobs(d->team, d->scratch, &q, 1, d->h, d->n_rows);
    each_row(d, turn_row);
}

/* gate = silu(gate) * up for some outputs of some rows. */
static void join_gate(void *arg, const struct matmul_part *p) {
    struct decoder *d = arg;
    for (int32_t r = p->first_row; r < p->first_row + p->rows; r++)
        d->kernels->silu_times(row_of(d->gate, r, d->m->n_ff) + p->first,
                               row_of(d->up, r, d->m->n_ff) + p->first, p->count);
}

static void feed_forward(struct decoder *d, const struct text_layer *l) {
    const struct matmul_job up = {.w = &l->up, .bias = l->up_bias, .y = d->up};
    const struct matmul_job gate = {.w = &l->gate,
                                    .bias = l->gate_bias,
                                    .y = d->gate,
                                    .with = &up,
                                    .finish = join_gate,
                                    .arg = d};
    matmul_jobs(d->team, d->scratch, &gate, 1, d->h, d->n_rows);
    const struct matmul_job down = {.w = &l->down, .bias = l->down_bias, .y = d->x, .add = true};
    matmul_jobs(d->team, d->scratch, &down, 1, d->gate, d->n_rows);
}

/* ---- a step ---- */

/* Rows of one sequence stand together; each run of them is a span. */
static int32_t find_spans(struct decoder *d) {
    int32_t n = 0;
    for (int32_t r = 0; r < d->n_rows; r++) {
        const struct step_row *s = &d->rows[r];
        MUST(s->token < d->m->n_vocab && (s->token >= 0 || s->embedding != NULL));
        MUST(s->position / PAGE_POSITIONS < s->sequence->n_pages);
        if (r > 0 && s->sequence == s[-1].sequence) {
            MUST(s->position == s[-1].position + 1);
            d->spans[n - 1].rows++;
            continue;
        }
        MUST(s->position == s->sequence->positions);
        d->spans[n++] = (struct attention_span){
            .pages = s->sequence->pages, .first_row = r, .rows = 1, .position = s->position};
    }
    return n;
}

static int32_t count_wanted(const struct step_row *rows, int32_t n_rows) {
    int32_t n = 0;
    for (int32_t r = 0; r < n_rows; r++)
        n += rows[r].want_logits;
    return n;
}

static void run_layers(struct decoder *d, int32_t wanted) {
    int32_t last = d->m->n_layer - 1;
    for (d->layer = 0; d->layer <= last; d->layer++) {
        const struct text_layer *l = &d->m->layers[d->layer];
        norm(d, l->attn_norm);
        if (d->layer == last && wanted < d->n_rows)
            project_last(d, l);
        else
            project_all(d, l);
        if (d->n_rows == 0)
            return;
        attend(d, l);
        norm(d, l->ffn_norm);
        feed_forward(d, l);
    }
}

const float *decoder_step(struct decoder *d, const struct step_row *rows, int32_t n_rows) {
    int32_t wanted = count_wanted(rows, n_rows);
    MUST(n_rows >= 1 && n_rows <= d->max_rows && wanted <= d->max_logit_rows);
    d->rows = rows;
    d->n_rows = n_rows;
    attention_plan(d->attention, d->spans, find_spans(d));
    each_row(d, embed_row);
    run_layers(d, wanted);
    for (int32_t r = 0; r < n_rows; r++)
        rows[r].sequence->positions = rows[r].position + 1;
    if (wanted > 0) {
        norm(d, d->m->output_norm); /* the wanted rows are all that is left */
        matmul(d->team, d->scratch, &d->m->output, NULL, d->h, wanted, d->logits);
    }
    return d->logits;
}
