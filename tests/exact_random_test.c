/* exact_random_test.c - the logits of a position are the same bits however it was come to.
 *
 * Each stream of tokens and embeddings is computed once plainly: alone, in one piece, by one
 * thread, on pages of its own. Then engines of one to four threads compute the streams at random:
 * several in a step, in chunks of any size, on pages that other streams left in the tree, taken
 * over whole or midway, dropped for want of room and computed again. Wherever the plain run has
 * logits they are compared, all of them, with memcmp. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "worker/engine/engine.h"
#include "worker/engine/quant_inside.h"
#include "worker/engine/tree.h"

#define STREAMS 10
#define LENGTH_MAX 1200 /* positions of a stream */
#define MARKS 60        /* of them, whose logits are compared */
#define STEPS_LEAST 4   /* of each engine */
#define STEPS_MOST 100  /* by then something was reused */
#define PICTURES 3      /* different ones, of ROWS embeddings */
#define ROWS 40
#define PLACES 6  /* streams at a time */
#define HELD 4    /* streams that an engine's pages hold if they have nothing in common */
#define THREADS 4 /* engines of 1 .. that many */
#define STEP_ROWS ENGINE_CHUNK
#define STEP_LOGITS ENGINE_MAX_SEQUENCES

/* What is computed, and how often. Where that is slow it is a part: see slowness. */
struct trial {
    const char *model;
    enum kv_type kv_type;
    uint32_t length; /* positions of a stream */
    uint32_t enough; /* logits compared of each engine */
};

/* 1, or more where every product takes several times as long. */
static uint32_t slowness(void) {
    uint32_t n = quant_isa_chosen() == QUANT_ISA_PORTABLE ? 10 : 1;
#ifdef QUIRE_SANITIZED
    n *= 4;
#endif
    return n;
}

struct random {
    uint64_t state;
};

static uint32_t draw(struct random *r, uint32_t below) {
    r->state = r->state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(r->state >> 33) % below;
}

struct stream {
    struct unit units[LENGTH_MAX];
    uint32_t marks[MARKS]; /* ascending */
    float *logits;         /* [MARKS][n_vocab] of the plain run */
};

struct place {
    bool taken;
    const struct stream *stream;
    struct tree_path path;
    uint32_t end;  /* positions that will be computed of the stream */
    uint32_t step; /* of them, in the step being made */
};

struct world {
    struct random random;
    struct engine_options options;
    uint32_t n_streams, length;
    char what[64]; /* is computed; for messages */
    int32_t n_vocab, n_embd;
    float *embeddings; /* [PICTURES * ROWS][n_embd] */
    struct stream streams[STREAMS];
    struct place places[PLACES];
    uint32_t compared, reused, steps;
};

/* ---- streams ---- */

/* Tokens, and now and then a picture or a part of one. */
static void fill(struct world *w, struct unit *units, uint32_t from) {
    for (uint32_t i = from; i < w->length;) {
        if (draw(&w->random, 12) > 0) {
            units[i++] = (struct unit){.token = (int32_t)draw(&w->random, (uint32_t)w->n_vocab)};
            continue;
        }
        uint64_t picture = draw(&w->random, PICTURES);
        uint32_t n = 1 + draw(&w->random, ROWS);
        for (uint32_t row = 0; row < n && i < w->length; row++)
            units[i++] = (struct unit){.token = -1, .row = row, .digest = {picture + 1, 7}};
    }
}

/* Most begin like an earlier one, up to any position. */
static void make_streams(struct world *w) {
    for (uint32_t s = 0; s < w->n_streams; s++) {
        struct stream *stream = &w->streams[s];
        uint32_t from = 0;
        if (s > 0 && draw(&w->random, 5) > 0) {
            from = draw(&w->random, w->length);
            memcpy(stream->units, w->streams[draw(&w->random, s)].units,
                   from * sizeof stream->units[0]);
        }
        fill(w, stream->units, from);
        uint32_t left = MARKS - 1; /* of the positions before the last, which is always one */
        for (uint32_t i = 0; i + 1 < w->length; i++)
            if (draw(&w->random, w->length - 1 - i) < left)
                stream->marks[MARKS - 1 - left--] = i;
        stream->marks[MARKS - 1] = w->length - 1;
    }
}

static const float *embedding(const struct world *w, const struct unit *u) {
    if (u->token >= 0)
        return NULL;
    return w->embeddings + ((u->digest[0] - 1) * ROWS + u->row) * (size_t)w->n_embd;
}

/* The number of the mark at a position; -1: none. */
static int mark_at(const struct stream *s, uint32_t position) {
    for (int m = 0; m < MARKS; m++)
        if (s->marks[m] == position)
            return m;
    return -1;
}

static struct step_row row_of(const struct world *w, const struct stream *stream,
                              struct sequence *sequence, uint32_t position, bool want_logits) {
    return (struct step_row){.sequence = sequence,
                             .position = position,
                             .token = stream->units[position].token,
                             .embedding = embedding(w, &stream->units[position]),
                             .want_logits = want_logits};
}

/* ---- the plain run ---- */

static struct engine *open_engine(const struct engine_options *o) {
    struct engine *g;
    struct error e;
    if (engine_open(&g, o, &e) != 0)
        fail_msg("%s", e.text);
    return g;
}

static void run_plainly(struct world *w, struct engine *g) {
    struct step_row rows[STEP_ROWS];
    for (uint32_t s = 0; s < w->n_streams; s++) {
        struct stream *stream = &w->streams[s];
        struct sequence sequence;
        size_t bytes = MARKS * (size_t)w->n_vocab * sizeof(float);
        float *logits = stream->logits = malloc(bytes);
        assert_non_null(logits);
        assert_int_equal(sequence_open(&sequence, w->length, NULL), 0);
        assert_int_equal(sequence_reserve(&sequence, g->pages, w->length), 0);
        for (uint32_t i = 0; i < w->length;) {
            uint32_t n = 0, marks = 0;
            for (; n < STEP_ROWS && i < w->length; n++, i++) {
                rows[n] = row_of(w, stream, &sequence, i, mark_at(stream, i) >= 0);
                marks += rows[n].want_logits;
            }
            size_t floats = marks * (size_t)w->n_vocab;
            memcpy(logits, decoder_step(g->decoder, rows, (int32_t)n), floats * sizeof *logits);
            logits += floats;
        }
        sequence_close(&sequence, g->pages);
    }
}

static void open_world(struct world *w, const struct trial *t) {
    (void)snprintf(w->what, sizeof w->what, "%s, keys and values in %s", strrchr(t->model, '/') + 1,
                   kv_type_name(t->kv_type));
    w->n_streams = slowness() > 1 ? 2 : STREAMS;
    w->length = t->length / slowness() > MARKS ? t->length / slowness() : MARKS + 1;
    w->options = (struct engine_options){.model = t->model,
                                         .kv_type = t->kv_type,
                                         .chat_template = "smolvlm",
                                         .threads = 1,
                                         .kv_bytes = 64u << 20,
                                         .max_sequences = ENGINE_MAX_SEQUENCES};
    struct engine *g = open_engine(&w->options);
    w->n_vocab = g->text.n_vocab;
    w->n_embd = g->text.n_embd;
    size_t n = PICTURES * ROWS * (size_t)w->n_embd;
    w->embeddings = malloc(n * sizeof *w->embeddings);
    assert_non_null(w->embeddings);
    for (size_t i = 0; i < n; i++)
        w->embeddings[i] = (float)((int32_t)draw(&w->random, 20001) - 10000) / 5000;
    make_streams(w);
    run_plainly(w, g);
    engine_close(g);
}

static void close_world(struct world *w) {
    for (uint32_t s = 0; s < w->n_streams; s++)
        free(w->streams[s].logits);
    free(w->embeddings);
}

/* ---- at random ---- */

static void begin(struct world *w, struct tree *tree, struct place *p) {
    struct error e;
    memset(p, 0, sizeof *p);
    p->stream = &w->streams[draw(&w->random, w->n_streams)];
    p->end = draw(&w->random, 3) > 0 ? w->length : 1 + draw(&w->random, w->length);
    int rc =
        tree_begin(tree, &p->path, (struct bytes){NULL, 0}, p->stream->units, p->end, p->end, &e);
    if (rc == ERR_LIMIT)
        return; /* others have the pages */
    assert_int_equal(rc, 0);
    p->taken = true;
    w->reused += p->path.known;
}

static void end(struct world *w, struct tree *tree, struct place *p) {
    struct tree_cost cost = {draw(&w->random, 100), draw(&w->random, 1000)};
    tree_end(tree, &p->path, draw(&w->random, 2) > 0, cost);
    p->taken = false;
}

/* One row, some, or all that is left. */
static uint32_t draw_chunk(struct world *w, uint32_t left) {
    const uint32_t sizes[] = {1, 1, 3, 8, 17, 40, 120, w->length};
    uint32_t n = 1 + draw(&w->random, sizes[draw(&w->random, sizeof sizes / sizeof sizes[0])]);
    return n < left ? n : left;
}

/* Adds rows of one stream; returns how many logits they want. */
static int32_t add_rows(struct world *w, struct tree *tree, struct place *p, struct step_row *rows,
                        int32_t *n_rows, int32_t logits_left) {
    struct tree_path *path = &p->path;
    uint32_t n = draw_chunk(w, p->end - path->known);
    int32_t wanted = 0;
    if (*n_rows + (int32_t)n > STEP_ROWS)
        n = (uint32_t)(STEP_ROWS - *n_rows);
    tree_reserve(tree, path, path->known + n);
    for (uint32_t i = 0; i < n; i++) {
        bool want = wanted < logits_left && mark_at(p->stream, path->known + i) >= 0;
        rows[(*n_rows)++] = row_of(w, p->stream, &path->sequence, path->known + i, want);
        wanted += want;
    }
    p->step = n;
    return wanted;
}

static void compare(struct world *w, const struct engine *g, const struct step_row *row,
                    const struct place *p, const float *logits) {
    int m = mark_at(p->stream, row->position);
    const float *plain = p->stream->logits + (size_t)m * (size_t)w->n_vocab;
    w->compared++;
    if (memcmp(logits, plain, (size_t)w->n_vocab * sizeof(float)) == 0)
        return;
    int32_t differ = 0, first = -1;
    for (int32_t i = 0; i < w->n_vocab; i++)
        if (memcmp(&logits[i], &plain[i], sizeof(float)) != 0) {
            first = first < 0 ? i : first;
            differ++;
        }
    fail_msg("%s, %d threads, stream %d, position %u in a chunk of %u: %d logits differ, the first "
             "is %.9g and should be %.9g",
             w->what, team_size(g->team), (int)(p->stream - w->streams), row->position, p->step,
             differ, (double)logits[first], (double)plain[first]);
}

static void step(struct world *w, struct engine *g, struct tree *tree) {
    static struct step_row rows[STEP_ROWS];
    int32_t n_rows = 0, n_logits = 0;
    uint32_t first = draw(&w->random, PLACES);
    for (uint32_t i = 0; i < PLACES; i++) {
        struct place *p = &w->places[(first + i) % PLACES];
        p->step = 0;
        if (p->taken && n_rows < STEP_ROWS && draw(&w->random, 4) > 0)
            n_logits += add_rows(w, tree, p, rows, &n_rows, STEP_LOGITS - n_logits);
    }
    if (n_rows == 0)
        return;
    const float *logits = decoder_step(g->decoder, rows, n_rows);
    w->steps++;
    for (int32_t r = 0; r < n_rows; r++) {
        struct place *p = w->places;
        while (rows[r].sequence != &p->path.sequence)
            p++;
        if (!rows[r].want_logits)
            continue;
        compare(w, g, &rows[r], p, logits);
        logits += w->n_vocab;
    }
    for (uint32_t i = 0; i < PLACES; i++) {
        struct place *p = &w->places[i];
        if (p->step > 0)
            tree_computed(tree, &p->path, p->stream->units + p->path.known, p->step);
    }
}

static void play(struct world *w, int threads, uint32_t enough) {
    struct engine_options o = w->options;
    struct engine *g;
    struct tree *tree;
    struct error e;
    o.threads = threads;
    g = open_engine(&o);
    size_t page_bytes = pages_bytes_per_page(pages_shape(g->pages));
    engine_close(g);
    o.kv_bytes = HELD * (w->length / PAGE_POSITIONS + 1) * page_bytes;
    g = open_engine(&o);
    assert_int_equal(tree_open(&tree, g->pages, PLACES, NULL, NULL, &e), 0);
    w->compared = w->steps = 0;
    while (w->compared < enough || w->steps < STEPS_LEAST ||
           (w->reused == 0 && w->steps < STEPS_MOST)) {
        for (uint32_t i = 0; i < PLACES; i++) {
            struct place *p = &w->places[i];
            if (!p->taken && draw(&w->random, 3) == 0)
                begin(w, tree, p);
            else if (p->taken && draw(&w->random, 8) == 0)
                (void)tree_follow(tree, &p->path, p->stream->units + p->path.known,
                                  p->end - p->path.known - (p->end > p->path.known));
            if (p->taken && (p->path.known == p->end || draw(&w->random, 60) == 0))
                end(w, tree, p);
        }
        step(w, g, tree);
    }
    print_message("%s, %d threads: %u logits in %u steps, %u positions reused so far\n", w->what,
                  threads, w->compared, w->steps, w->reused);
    for (uint32_t i = 0; i < PLACES; i++)
        if (w->places[i].taken)
            end(w, tree, &w->places[i]);
    tree_close(tree);
    engine_close(g);
}

static void check(const struct trial *t) {
    static struct world w;
    static uint64_t seed;
    memset(&w, 0, sizeof w);
    w.random.state = ++seed;
    open_world(&w, t);
    for (int threads = 1; threads <= THREADS; threads += slowness() > 1 ? 2 : 1)
        play(&w, threads, t->enough / slowness());
    assert_true(w.reused > 0);
    close_world(&w);
}

#define QUANT QUIRE_GOLDEN_DIR "/quant/"

static void test_weights_in_floats(void **state) {
    (void)state;
    check(&(struct trial){QUIRE_GOLDEN_DIR "/smolvlm/text.gguf", KV_F16, 260, 300});
    check(&(struct trial){QUANT "f16.gguf", KV_F16, 150, 150});
}

static void test_weights_in_8_bits(void **state) {
    (void)state;
    check(&(struct trial){QUANT "q8_0.gguf", KV_F16, 150, 200});
}

static void test_weights_in_blocks_of_32(void **state) {
    (void)state;
    check(&(struct trial){QUANT "q4_0.gguf", KV_F16, 100, 100});
    check(&(struct trial){QUANT "q4_1.gguf", KV_F16, 100, 100});
    check(&(struct trial){QUANT "q5_0.gguf", KV_F16, 100, 100});
    check(&(struct trial){QUANT "q5_1.gguf", KV_F16, 100, 100});
    check(&(struct trial){QUANT "iq4_nl.gguf", KV_F16, 100, 100});
}

static void test_weights_in_blocks_of_256(void **state) {
    (void)state;
    check(&(struct trial){QUANT "q4_k_s.gguf", KV_F16, 100, 100});
    check(&(struct trial){QUANT "q5_k_s.gguf", KV_F16, 100, 100});
    check(&(struct trial){QUANT "q6_k.gguf", KV_F16, 100, 100});
}

static void test_keys_and_values_in_other_types(void **state) {
    (void)state;
    check(&(struct trial){QUIRE_GOLDEN_DIR "/smolvlm/text.gguf", KV_F32, 260, 200});
    check(&(struct trial){QUIRE_GOLDEN_DIR "/smolvlm/text.gguf", KV_Q8_0, 260, 200});
}

static void test_long_streams(void **state) {
    (void)state;
    check(&(struct trial){QUANT "q8_0.gguf", KV_F16, LENGTH_MAX, 100});
    check(&(struct trial){QUANT "q4_0.gguf", KV_Q8_0, LENGTH_MAX, 100});
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_weights_in_floats),
        cmocka_unit_test(test_weights_in_8_bits),
        cmocka_unit_test(test_weights_in_blocks_of_32),
        cmocka_unit_test(test_weights_in_blocks_of_256),
        cmocka_unit_test(test_keys_and_values_in_other_types),
        cmocka_unit_test(test_long_streams),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
