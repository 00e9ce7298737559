/* oracle.c - see oracle.h. */
#include "tests/scenarios/oracle.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "common/must.h"
#include "worker/engine/engine.h"

#define ORACLE_PREPARED 1024 /* different pictures and ways to look at them */

struct prepared_picture {
    struct bytes encoded;
    uint32_t max_pixels;
    bool overview;
    struct picture_layout layout;
    uint64_t hash[2];
};
struct oracle {
    struct engine *engine; /* for its tables; it never computes */
    struct prepared_picture prepared[ORACLE_PREPARED];
    size_t n_prepared;
};

struct oracle *oracle_open(const char *model, const char *mmproj) {
    struct oracle *o = calloc(1, sizeof *o);
    MUST(o != NULL);
    struct engine_options options = {.model = model,
                                     .mmproj = mmproj,
                                     .threads = 1,
                                     .kv_bytes = (size_t)64 << 20,
                                     .feature_bytes = 1 << 20,
                                     .max_sequences = 1};
    struct error e;
    if (engine_open(&o->engine, &options, &e) != 0)
        fail_msg("%s", e.text);
    return o;
}

void oracle_close(struct oracle *o) {
    if (o == NULL)
        return;
    engine_close(o->engine);
    free(o);
}

const struct engine *oracle_engine(const struct oracle *o) {
    return o->engine;
}

static void hash_pixels(XXH3_state_t *state, const struct image *i) {
    int32_t size[2] = {i->width, i->height};
    XXH3_128bits_update(state, size, sizeof size);
    if (i->rgb != NULL)
        XXH3_128bits_update(state, i->rgb, (size_t)i->width * (size_t)i->height * 3);
}

static void prepare(struct oracle *o, struct prepared_picture *p) {
    struct image image;
    struct prepared pixels;
    struct picture_options options = {p->max_pixels, p->overview};
    struct error e;
    if (image_decode(p->encoded, &image, &e) != 0 ||
        preprocess_picture(&o->engine->vision_model, &image, &options, &pixels, &e) != 0)
        fail_msg("%s", e.text);
    XXH3_state_t *state = XXH3_createState();
    MUST(state != NULL);
    XXH3_128bits_reset(state);
    hash_pixels(state, &pixels.refined);
    hash_pixels(state, &pixels.overview);
    XXH128_hash_t hash = XXH3_128bits_digest(state);
    p->hash[0] = hash.low64;
    p->hash[1] = hash.high64;
    p->layout = pixels.layout;
    XXH3_freeState(state);
    prepared_clear(&pixels);
    image_clear(&image);
}

static const struct prepared_picture *look(struct oracle *o, const struct talk_part *part) {
    for (size_t i = 0; i < o->n_prepared; i++) {
        const struct prepared_picture *p = &o->prepared[i];
        if (p->encoded.data == part->picture.data && p->encoded.size == part->picture.size &&
            p->max_pixels == part->max_pixels && p->overview == part->overview)
            return p;
    }
    MUST(o->n_prepared < ORACLE_PREPARED);
    struct prepared_picture *p = &o->prepared[o->n_prepared++];
    *p = (struct prepared_picture){part->picture, part->max_pixels, part->overview, {0}, {0}};
    prepare(o, p);
    return p;
}

struct conversation {
    struct chat_part parts[TALK_PARTS];
    struct chat_message messages[TALK_PARTS];
    size_t n_messages;
    struct picture_layout layouts[ORACLE_SHOWN];
};

static void convert(struct oracle *o, const struct talk *t, struct conversation *c,
                    struct units *u) {
    for (size_t i = 0; i < t->n_parts; i++) {
        const struct talk_part *p = &t->parts[i];
        if (i == 0 || p->message != t->parts[i - 1].message)
            c->messages[c->n_messages++] =
                (struct chat_message){(enum chat_role)p->role, &c->parts[i], 0};
        c->messages[c->n_messages - 1].n_parts++;
        if (p->picture.data == NULL) {
            struct bytes text = {(const uint8_t *)t->texts + p->text, p->text_bytes};
            c->parts[i] = (struct chat_part){.text = text};
            continue;
        }
        MUST(u->n_shown < ORACLE_SHOWN);
        const struct prepared_picture *seen = look(o, p);
        c->parts[i] = (struct chat_part){.is_picture = true, .picture = (uint32_t)u->n_shown};
        c->layouts[u->n_shown] = seen->layout;
        memcpy(u->shown[u->n_shown++], seen->hash, sizeof seen->hash);
    }
}

void oracle_units(struct oracle *o, const struct talk *t, struct units *out) {
    struct conversation *c = calloc(1, sizeof *c);
    struct prompt prompt;
    struct error e;
    MUST(c != NULL);
    memset(out, 0, sizeof *out);
    convert(o, t, c, out);
    if (engine_prompt(o->engine, c->messages, c->n_messages, c->layouts, out->n_shown,
                      engine_answerable(o->engine), &prompt, &e) != 0)
        fail_msg("%s", e.text);
    out->list = calloc(prompt.count + ANSWER_TOKENS, sizeof *out->list);
    MUST(out->list != NULL);
    for (; out->count < prompt.count; out->count++) {
        const struct position_unit *from = &prompt.units[out->count];
        struct oracle_unit *to = &out->list[out->count];
        to->token = from->token;
        if (from->token >= 0)
            continue;
        to->row = from->row;
        memcpy(to->picture, out->shown[from->picture], sizeof to->picture);
        if (out->last[from->picture] == 0)
            out->first[from->picture] = (uint32_t)out->count;
        out->last[from->picture] = (uint32_t)out->count + 1;
    }
    prompt_clear(&prompt);
    free(c);
}

void units_clear(struct units *u) {
    free(u->list);
    memset(u, 0, sizeof *u);
}

void units_add_answer(struct units *u, const struct answer *a) {
    uint32_t computed = a->n_tokens - (a->end.finish != QUIRE_FINISH_END);
    for (uint32_t i = 0; i < computed; i++)
        u->list[u->count++] = (struct oracle_unit){.token = a->tokens[i].chosen.id};
}

size_t units_common(const struct units *a, const struct units *b) {
    size_t n = 0;
    while (n < a->count && n < b->count && memcmp(&a->list[n], &b->list[n], sizeof a->list[n]) == 0)
        n++;
    return n;
}
