/* encoder.h - the tower and the tiles that it has under way: a few of one picture at a time.
 *
 * A picture is begun with its entry in the feature cache, worked on in pieces, and its tiles are
 * there together. Used by the thread that computes. */
#ifndef QUIRE_ENGINE_ENCODER_H
#define QUIRE_ENGINE_ENCODER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/error.h"
#include "worker/engine/feature_cache.h"
#include "worker/engine/model.h"
#include "worker/engine/team.h"

struct encoder;

/* Borrows model and team. ERR_NOMEM. */
int encoder_open(struct encoder **out, const struct vision_model *m, struct team *t,
                 struct error *e);
void encoder_close(struct encoder *c); /* NULL is fine */
size_t encoder_scratch_bytes(const struct encoder *c);

/* Whether tiles are under way, of whichever entry. */
bool encoder_busy(const struct encoder *c);
/* Begins the next tiles of an entry that has its pixels and room for its embeddings; the encoder
 * must not be busy. Returns how many. The entry must stay until they are done or encoder_forget. */
int32_t encoder_begin(struct encoder *c, struct feature_entry *entry);
/* Goes on for about budget_us (vision_advance), 0: until the tiles are done. Then tells the cache,
 * and returns how many they are and what each took, in *us_each; else 0. */
int32_t encoder_work(struct encoder *c, struct feature_cache *cache, int64_t budget_us,
                     int64_t *us_each);
/* Gives up the tiles under way if they are of this entry. */
void encoder_forget(struct encoder *c, const struct feature_entry *entry);

#endif
