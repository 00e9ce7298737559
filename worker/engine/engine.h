/* engine.h - a model ready to compute: files mapped and bound, tokenizer, template, pages, threads.
 *
 * It knows no sockets and no messages. Its users read the fields and call the modules they stand
 * for; only engine.c changes them. One thread at a time computes with it (decoder, encoder, pages,
 * sampler, pictures' caches); tokenizer, template and markers never change and may be used
 * by all. */
#ifndef QUIRE_ENGINE_ENGINE_H
#define QUIRE_ENGINE_ENGINE_H

#include <sched.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/error.h"
#include "worker/engine/decoder.h"
#include "worker/engine/encoder.h"
#include "worker/engine/feature_cache.h"
#include "worker/engine/model.h"
#include "worker/engine/pack.h"
#include "worker/engine/pages.h"
#include "worker/engine/picture_digest.h"
#include "worker/engine/picture_table.h"
#include "worker/engine/preprocess.h"
#include "worker/engine/prompt.h"
#include "worker/engine/sampler.h"
#include "worker/engine/team.h"
#include "worker/engine/template.h"
#include "worker/engine/tokenizer.h"

#define ENGINE_CHUNK 512        /* most prompt positions in one step */
#define ENGINE_MAX_SEQUENCES 64 /* requests that decode together */
#define ENGINE_COUNT_CONTEXTS 4 /* prompts are counted up to so many contexts' length */
#define ENGINE_KV_DEFAULT_BYTES ((size_t)1 << 30)
#define ENGINE_KV_DEFAULT_SHARE 4 /* but at most one part in so many of the free memory */
#define ENGINE_FEATURE_DEFAULT_BYTES ((size_t)256 << 20)
#define ENGINE_FEATURE_DEFAULT_SHARE 16 /* likewise */
/* Smaller packed weights are not worth a file: every process packs them in some milliseconds. */
#define ENGINE_SHARED_LEAST_BYTES ((size_t)16 << 20)

struct engine_options {
    const char *model;  /* path of the text model */
    const char *mmproj; /* path of the vision tower; NULL: text only */
    const char
        *chat_template;    /* a name that template_choose knows; NULL: by the model's own text */
    int threads;           /* 0: as many as CPUs below, or that the process may use */
    const cpu_set_t *cpus; /* one for each thread, which stays there (team_pin); NULL: anywhere */
    size_t kv_bytes;       /* for pages; 0: the default above */
    enum kv_type kv_type;  /* of keys and values in pages */
    size_t feature_bytes;  /* for pictures' embeddings that are kept; 0: the default above */
    uint32_t context;      /* most positions of one request, which the pages must be able to hold;
                              0: what the model was trained for, or less where they can't */
    int32_t max_sequences; /* 1..ENGINE_MAX_SEQUENCES */
    const char *pack_dir;  /* of packed weights shared with others (pack.h); NULL: private memory */
};

struct engine {
    struct gguf *text_file, *vision_file; /* vision_file: NULL without a tower */
    struct text_model text;
    struct vision_model vision_model;
    bool sees; /* it has a tower; encoder and markers are there */
    struct tokenizer *tokenizer;
    size_t longest_token; /* no token of the vocabulary stands for more bytes */
    enum template_kind template;
    const char *tools; /* template_tools of it; static */
    struct prompt_markers *markers;
    struct team *team;
    struct pack *pack; /* sets the tiles of text's weights */
    struct pages *pages;
    struct decoder *decoder; /* ENGINE_CHUNK + max_sequences rows, max_sequences of logits */
    struct sampler *sampler;
    struct encoder *encoder;             /* the tower; NULL without one */
    struct feature_cache *feature_cache; /* as picture_table: NULL without a tower */
    struct picture_table *picture_table;
    struct digest_secret secret; /* of pictures' digests */
    uint32_t context; /* positions; the pages hold them, and the model was trained for them */
    int32_t max_sequences;
    uint8_t fingerprint[16]; /* of model, tower, template and kv_type */
};

/* Opens everything or nothing. The sentence of a failure begins with the path of the file that it
 * is about: ERR_NOT_FOUND, ERR_IO, ERR_BAD_MODEL, ERR_UNSUPPORTED, ERR_NOMEM, ERR_LIMIT, ERR_USAGE.
 * Takes well under a second when the files are in the page cache. */
int engine_open(struct engine **out, const struct engine_options *o, struct error *e);
void engine_close(struct engine *g); /* NULL is fine */

/* The final sequence of a conversation, at most max_positions long: engine_answerable where an
 * answer is to follow, engine_countable where it is only counted. ERR_TOO_LONG with the figures,
 * ERR_BAD_REQUEST, ERR_NOMEM; *out needs no prompt_clear then. */
int engine_prompt(const struct engine *g, const struct chat_message *messages, size_t n_messages,
                  const struct picture_layout *layouts, size_t n_layouts, size_t max_positions,
                  struct prompt *out, struct error *e);
static inline size_t engine_answerable(const struct engine *g) {
    return g->context - 1;
}
static inline size_t engine_countable(const struct engine *g) {
    return (size_t)ENGINE_COUNT_CONTEXTS * g->context;
}

/* One line for people: name, layers, tensor types, context, tower, template. Always terminated. */
void engine_describe(const struct engine *g, char *out, size_t capacity);

#endif
