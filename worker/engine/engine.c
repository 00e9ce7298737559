/* engine.c - opening a model, step by step, and saying which step failed.
 *
 * A model larger than the memory is refused by its size, before weights are packed and before the
 * first answer would crawl from the disk. */
#include "worker/engine/engine.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "worker/engine/machine.h"
#include "worker/engine/quant.h"

#define MIB ((size_t)1 << 20)
#define TYPES_MAX 32 /* quant type ids are below */
/* Counts changes of what any sum gives to the last bit. Streams move, and pages are believed in,
 * only between engines of the same number. */
#define ARITHMETIC 1

static int open_text(struct engine *g, const struct engine_options *o, struct error *e) {
    int rc = gguf_open(&g->text_file, o->model, e);
    if (rc == 0)
        rc = text_model_bind(&g->text, g->text_file, e);
    if (rc == 0)
        rc = tokenizer_open(&g->tokenizer, g->text_file, e);
    if (rc < 0)
        return rc;
    int32_t n_tokens = tokenizer_size(g->tokenizer);
    if (n_tokens > g->text.n_vocab)
        return error_set(e, ERR_BAD_MODEL,
                         "the vocabulary has %d tokens but token_embd has %d rows", n_tokens,
                         g->text.n_vocab);
    for (int32_t id = 0; id < n_tokens; id++) {
        size_t size = tokenizer_text(g->tokenizer, id).size;
        g->longest_token = size > g->longest_token ? size : g->longest_token;
    }
    return 0;
}

static int open_template(struct engine *g, const struct engine_options *o, struct error *e) {
    struct bytes source = {NULL, 0};
    bool found;
    int rc = gguf_get_string(g->text_file, "tokenizer.chat_template", &source, &found, e);
    if (rc < 0)
        return rc;
    rc = template_choose(source, o->chat_template, &g->template, e);
    if (rc == 0)
        g->tools = template_tools(g->template, source);
    return rc;
}

/* The tower's own errors are about its file; a missing marker is about the text model's. */
static int open_vision_file(struct engine *g, const struct engine_options *o, struct error *e) {
    int rc = gguf_open(&g->vision_file, o->mmproj, e);
    if (rc == 0)
        rc = vision_model_bind(&g->vision_model, g->vision_file, g->text.n_embd, e);
    g->sees = rc == 0;
    return rc;
}

/* What computing reads: packed weights, and what of the files is not in the pack. */
static int model_bytes(struct engine *g, size_t *out, struct error *e) {
    size_t packed, source;
    int rc = pack_measure(&g->text, &packed, &source, e);
    if (rc < 0)
        return rc;
    size_t text = gguf_map_bytes(g->text_file);
    size_t files = text > source ? text - source : 0; /* tensors may share bytes */
    if (g->vision_file != NULL)
        files += gguf_map_bytes(g->vision_file);
    if (!size_add(packed, files, out))
        return error_set(e, ERR_LIMIT, "the model is larger than an address space");
    return 0;
}

static int check_memory(struct engine *g, size_t kv_bytes, size_t feature_bytes, struct error *e) {
    size_t files, memory = machine_memory_bytes();
    int rc = model_bytes(g, &files, e);
    if (rc < 0)
        return rc;
    if (files > memory)
        return error_set(e, ERR_NOMEM, "the model needs %zu MiB, and there are %zu MiB of memory",
                         files / MIB, memory / MIB);
    if (kv_bytes > memory - files)
        return error_set(
            e, ERR_NOMEM,
            "the model needs %zu MiB and kv-memory asks for %zu MiB, but there are %zu "
            "MiB of memory",
            files / MIB, kv_bytes / MIB, memory / MIB);
    if (feature_bytes > memory - files - kv_bytes)
        return error_set(e, ERR_NOMEM,
                         "the model needs %zu MiB, kv-memory asks for %zu MiB and feature-memory "
                         "for %zu MiB, but there are %zu MiB of memory",
                         files / MIB, kv_bytes / MIB, feature_bytes / MIB, memory / MIB);
    return 0;
}

static size_t least(size_t a, size_t b) {
    return a < b ? a : b;
}

static size_t default_kv_bytes(void) {
    return least(machine_available_bytes() / ENGINE_KV_DEFAULT_SHARE, ENGINE_KV_DEFAULT_BYTES);
}

static size_t default_feature_bytes(void) {
    return least(machine_available_bytes() / ENGINE_FEATURE_DEFAULT_SHARE,
                 ENGINE_FEATURE_DEFAULT_BYTES);
}

/* Once the weights are packed, their source leaves the memory of this process. */
static int open_pack(struct engine *g, const struct engine_options *o, struct error *e) {
    struct pack_share share = {.dir = o->pack_dir,
                               .source_bytes = gguf_map_bytes(g->text_file),
                               .source_mtime_ns = gguf_mtime_ns(g->text_file)};
    size_t bytes, source;
    int rc = pack_measure(&g->text, &bytes, &source, e);
    if (rc < 0)
        return rc;
    bool shared = o->pack_dir != NULL && bytes >= ENGINE_SHARED_LEAST_BYTES;
    if (shared)
        model_fingerprint(g->text_file, NULL, share.fingerprint);
    rc = pack_open(&g->pack, &g->text, g->team, shared ? &share : NULL, e);
    gguf_let_go(g->text_file);
    return rc;
}

/* Who asks for a context gets it or hears what it takes; else it is as long as the pages allow. */
static int choose_context(struct engine *g, const struct engine_options *o, struct error *e) {
    uint64_t held = (uint64_t)pages_total(g->pages) * PAGE_POSITIONS;
    uint64_t context = (uint64_t)g->text.n_context;
    if (o->context > 0 && o->context < context)
        context = o->context;
    if (context > held && o->context > 0) {
        size_t page_bytes = pages_bytes_per_page(pages_shape(g->pages));
        size_t needed = ((size_t)context + PAGE_POSITIONS - 1) / PAGE_POSITIONS * page_bytes;
        return error_set(e, ERR_LIMIT,
                         "a context of %u positions needs --kv-memory %zuM; with %zu MiB it can be "
                         "%u",
                         (unsigned)context, (needed + MIB - 1) / MIB,
                         pages_total(g->pages) * page_bytes / MIB, (unsigned)held);
    }
    context = context > held ? held : context;
    if (context < 2)
        return error_set(e, ERR_USAGE, "a context of %u positions has no room for an answer",
                         (unsigned)context);
    g->context = (uint32_t)context;
    return 0;
}

static int open_pages(struct engine *g, const struct engine_options *o, size_t kv_bytes,
                      struct error *e) {
    struct pages_shape shape = {g->text.n_layer, g->text.n_head_kv, g->text.head_dim, o->kv_type};
    int rc = pages_open(&g->pages, shape, kv_bytes, e);
    if (rc < 0)
        return rc;
    return choose_context(g, o, e);
}

static int open_pictures(struct engine *g, const struct engine_options *o, struct error *e) {
    size_t bytes = o->feature_bytes > 0 ? o->feature_bytes : default_feature_bytes(), tile;
    if (!size_mul((size_t)g->vision_model.n_out, (size_t)g->vision_model.projection, &tile))
        return error_set(e, ERR_NOMEM, "no memory for the embeddings of a tile");
    int rc = digest_secret_draw(&g->secret, e);
    if (rc == 0)
        rc = picture_table_open(&g->picture_table, PICTURE_TABLE_ENTRIES, e);
    return rc == 0 ? feature_cache_open(&g->feature_cache, bytes, tile, e) : rc;
}

static int open_vision(struct engine *g, struct error *e) {
    int rc = prompt_markers_open(&g->markers, g->tokenizer, e);
    return rc == 0 ? encoder_open(&g->encoder, &g->vision_model, g->team, e) : rc;
}

/* What steps and tiles need is promised by now and touched only later; better refused at start. */
static int check_scratch(const struct engine *g, struct error *e) {
    size_t scratch = decoder_scratch_bytes(g->decoder);
    if (g->encoder != NULL)
        scratch += encoder_scratch_bytes(g->encoder);
    size_t memory = machine_memory_bytes();
    if (scratch > memory)
        return error_set(e, ERR_NOMEM,
                         "computing with the model takes %zu MiB, and there are %zu MiB of memory",
                         scratch / MIB, memory / MIB);
    return 0;
}

static int open_compute(struct engine *g, const struct engine_options *o, struct error *e) {
    int cpus = o->cpus != NULL ? CPU_COUNT(o->cpus) : machine_cpus();
    int threads = o->threads > 0 ? o->threads : cpus < TEAM_MAX ? cpus : TEAM_MAX;
    int rc = team_open(&g->team, threads, e);
    if (rc == 0 && o->cpus != NULL)
        rc = team_pin(g->team, o->cpus, e);
    size_t kv_bytes = o->kv_bytes > 0 ? o->kv_bytes : default_kv_bytes();
    if (rc == 0)
        rc = check_memory(g, kv_bytes, o->feature_bytes, e);
    if (rc == 0)
        rc = open_pack(g, o, e);
    if (rc == 0)
        rc = open_pages(g, o, kv_bytes, e);
    if (rc == 0)
        rc = decoder_open(&g->decoder, &g->text, g->pages, g->team, ENGINE_CHUNK + o->max_sequences,
                          o->max_sequences, e);
    if (rc == 0)
        rc = sampler_open(&g->sampler, g->text.n_vocab, e);
    if (rc == 0 && g->sees)
        rc = open_vision(g, e);
    if (rc == 0 && g->sees)
        rc = open_pictures(g, o, e);
    return rc == 0 ? check_scratch(g, e) : rc;
}

/* Pages are alike only if the same conversation becomes the same tokens, and these the same keys
 * and values: the template, the type of keys and values and the arithmetic count. */
static void take_fingerprint(struct engine *g) {
    model_fingerprint(g->text_file, g->vision_file, g->fingerprint);
    XXH64_hash_t seed = (XXH64_hash_t)g->template | (XXH64_hash_t)pages_shape(g->pages).type << 32 |
                        (XXH64_hash_t)ARITHMETIC << 40;
    XXH128_canonical_t canonical;
    XXH128_hash_t hash = XXH3_128bits_withSeed(g->fingerprint, sizeof g->fingerprint, seed);
    XXH128_canonicalFromHash(&canonical, hash);
    memcpy(g->fingerprint, canonical.digest, sizeof g->fingerprint);
}

int engine_open(struct engine **out, const struct engine_options *o, struct error *e) {
    *out = NULL;
    if (o->max_sequences < 1 || o->max_sequences > ENGINE_MAX_SEQUENCES)
        return error_set(e, ERR_USAGE, "%d requests at a time; possible are 1 to %d",
                         o->max_sequences, ENGINE_MAX_SEQUENCES);
    struct engine *g = calloc(1, sizeof *g);
    if (g == NULL)
        return error_set(e, ERR_NOMEM, "no memory for an engine");
    g->max_sequences = o->max_sequences;
    const char *file = o->model;
    int rc = open_text(g, o, e);
    if (rc == 0)
        rc = open_template(g, o, e);
    if (rc == 0 && o->mmproj != NULL) {
        file = o->mmproj;
        rc = open_vision_file(g, o, e);
        file = rc == 0 ? o->model : file;
    }
    if (rc == 0)
        rc = open_compute(g, o, e);
    if (rc < 0) {
        engine_close(g);
        if (e == NULL || strncmp(e->text, file, strlen(file)) != 0)
            error_prefix(e, "%s", file);
        return rc;
    }
    take_fingerprint(g);
    gguf_let_go(g->text_file); /* a fingerprint's samples bring pages of the whole file */
    *out = g;
    return 0;
}

void engine_close(struct engine *g) {
    if (g == NULL)
        return;
    feature_cache_close(g->feature_cache);
    picture_table_close(g->picture_table);
    encoder_close(g->encoder);
    prompt_markers_close(g->markers);
    sampler_close(g->sampler);
    decoder_close(g->decoder);
    pages_close(g->pages);
    pack_close(g->pack);
    team_close(g->team);
    tokenizer_close(g->tokenizer);
    vision_model_release(&g->vision_model);
    text_model_release(&g->text);
    gguf_close(g->vision_file);
    gguf_close(g->text_file);
    free(g);
}

/* Every position stands for at most longest_token bytes, so a text that is far too long is refused
 * before time is spent on tokenizing it. */
static int refuse_endless(const struct engine *g, const struct rendering *r, size_t max_positions,
                          struct error *e) {
    size_t text_bytes = 0;
    for (size_t i = 0; i < r->n_runs; i++)
        if (r->runs[i].kind != RUN_PICTURE)
            text_bytes += r->runs[i].text.size;
    size_t least = text_bytes / (g->longest_token > 0 ? g->longest_token : 1);
    if (least <= max_positions)
        return 0;
    return error_set(e, ERR_TOO_LONG,
                     "the prompt has %zu bytes of text, at least %zu positions; %zu is the most",
                     text_bytes, least, max_positions);
}

int engine_prompt(const struct engine *g, const struct chat_message *messages, size_t n_messages,
                  const struct picture_layout *layouts, size_t n_layouts, size_t max_positions,
                  struct prompt *out, struct error *e) {
    memset(out, 0, sizeof *out);
    struct rendering rendering;
    int rc = template_render(g->template, messages, n_messages, tokenizer_adds_bos(g->tokenizer),
                             &rendering, e);
    if (rc < 0)
        return rc;
    rc = refuse_endless(g, &rendering, max_positions, e);
    if (rc == 0)
        rc = prompt_build(out, g->tokenizer, g->markers, &rendering, layouts, n_layouts,
                          max_positions, e);
    rendering_clear(&rendering);
    if (rc == 0 && out->count == 0)
        rc = error_set(e, ERR_BAD_REQUEST, "the prompt is empty");
    if (rc < 0)
        prompt_clear(out);
    return rc;
}

static void append(char *out, size_t capacity, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
static void append(char *out, size_t capacity, const char *format, ...) {
    size_t used = strlen(out);
    va_list args;
    va_start(args, format);
    (void)vsnprintf(out + used, capacity - used, format, args);
    va_end(args);
}

static void append_types(const struct gguf *file, char *out, size_t capacity) {
    size_t counts[TYPES_MAX] = {0};
    for (size_t i = 0; i < gguf_tensor_count(file); i++) {
        unsigned type = (unsigned)gguf_tensor_at(file, i)->type;
        if (type < TYPES_MAX)
            counts[type]++;
    }
    const char *between = " ";
    for (unsigned type = 0; type < TYPES_MAX; type++) {
        if (counts[type] == 0)
            continue;
        append(out, capacity, "%s%zu %s", between, counts[type], quant_traits(type)->name);
        between = " + ";
    }
}

void engine_describe(const struct engine *g, char *out, size_t capacity) {
    if (capacity == 0)
        return;
    out[0] = '\0';
    append(out, capacity, "%s: llama, %d layers of width %d,", g->text.name, g->text.n_layer,
           g->text.n_embd);
    append_types(g->text_file, out, capacity);
    append(out, capacity, " tensors, context %u, template %s", g->context,
           template_name(g->template));
    if (!g->sees) {
        append(out, capacity, ", no vision");
        return;
    }
    append(out, capacity, ", vision %d layers of width %d, tiles of %d pixels, %d positions each,",
           g->vision_model.n_layer, g->vision_model.n_embd, g->vision_model.image_size,
           g->vision_model.n_out);
    append_types(g->vision_file, out, capacity);
    append(out, capacity, " tensors");
}
