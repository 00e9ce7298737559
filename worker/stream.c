/* stream.c - whole characters, and stop strings held back.
 *
 * A stop string is matched as Knuth, Morris and Pratt do: per stop string one number says how much
 * of it the text ends with. The largest of these numbers is what must be held back, and no text is
 * searched twice. The first stop string to complete wins; of those that complete at the same byte,
 * the one that began first. Which token brought which bytes therefore never matters.
 *
 * Held text always begins at a character: it equals the beginning of a stop string, which is UTF-8,
 * and the text it ends is made of whole characters. */
#include "worker/stream.h"

#include <stdlib.h>
#include <string.h>

#include "common/must.h"
#include "common/utf8.h"

#define FIRST_CAPACITY 256 /* bytes; grows by doubling, and stays */

static int grow(uint8_t **data, size_t *capacity, size_t need) {
    if (need <= *capacity)
        return 0;
    size_t wanted = *capacity ? *capacity : FIRST_CAPACITY;
    while (wanted < need)
        if (!size_mul(wanted, 2, &wanted))
            return ERR_NOMEM;
    uint8_t *bigger = realloc(*data, wanted);
    if (bigger == NULL)
        return ERR_NOMEM;
    *data = bigger;
    *capacity = wanted;
    return 0;
}

int stream_reserve(struct stream *s, size_t longest_piece) {
    /* Half a character may wait for the piece; a byte that is no UTF-8 becomes three. */
    size_t raw = longest_piece + 3;
    int rc = grow(&s->raw, &s->raw_capacity, raw);
    return rc < 0 ? rc : grow(&s->text, &s->capacity, LIMIT_STOP_BYTES + 3 * raw);
}

static void stop_learn(struct stream_stop *stop, struct bytes text) {
    memcpy(stop->text, text.data, text.size);
    stop->size = (uint16_t)text.size;
    stop->matched = 0;
    stop->fallback[0] = 0;
    uint16_t length = 0;
    for (size_t i = 1; i < text.size; i++) {
        while (length > 0 && stop->text[i] != stop->text[length])
            length = stop->fallback[length - 1];
        if (stop->text[i] == stop->text[length])
            length++;
        stop->fallback[i] = length;
    }
}

/* Follows one byte; true when the stop string is complete. */
static bool stop_follow(struct stream_stop *stop, uint8_t byte) {
    while (stop->matched > 0 && stop->text[stop->matched] != byte)
        stop->matched = stop->fallback[stop->matched - 1];
    if (stop->text[stop->matched] == byte)
        stop->matched++;
    return stop->matched == stop->size;
}

int stream_open(struct stream *s, const struct bytes *stops, size_t n_stops) {
    memset(s, 0, sizeof *s);
    s->stop = -1;
    if (n_stops > LIMIT_STOPS)
        return ERR_LIMIT;
    for (size_t i = 0; i < n_stops; i++)
        if (stops[i].size > LIMIT_STOP_BYTES)
            return ERR_LIMIT;
    int rc = grow(&s->text, &s->capacity, FIRST_CAPACITY);
    if (rc == 0)
        rc = grow(&s->raw, &s->raw_capacity, FIRST_CAPACITY);
    if (rc == 0 && n_stops > 0) {
        s->stops = calloc(n_stops, sizeof *s->stops);
        rc = s->stops == NULL ? ERR_NOMEM : 0;
    }
    if (rc < 0) {
        stream_close(s);
        return rc;
    }
    for (size_t i = 0; i < n_stops; i++) {
        if (stops[i].size == 0)
            continue;
        struct stream_stop *stop = &s->stops[s->n_stops++];
        stop_learn(stop, stops[i]);
        stop->index = (uint16_t)i;
    }
    return 0;
}

void stream_close(struct stream *s) {
    free(s->stops);
    free(s->text);
    free(s->raw);
    memset(s, 0, sizeof *s);
}

/* Looks at the text from `from` on, which is new. */
static void match_stops(struct stream *s, size_t from) {
    for (size_t i = from; i < s->size; i++) {
        size_t longest = 0, complete = 0;
        for (size_t j = 0; j < s->n_stops; j++) {
            struct stream_stop *stop = &s->stops[j];
            if (stop_follow(stop, s->text[i]) && stop->size > complete) {
                complete = stop->size;
                s->stop = stop->index;
            }
            if (stop->matched > longest)
                longest = stop->matched;
        }
        if (complete > 0) {
            s->size = i + 1 - complete;
            s->held = 0;
            s->stopped = true;
            return;
        }
        s->held = longest;
    }
}

/* Moves `n` raw bytes, whole characters or hopeless ones, to the text. */
static int accept(struct stream *s, size_t n) {
    int rc = grow(&s->text, &s->capacity, s->size + UTF8_REPAIRED_BYTES(n));
    if (rc < 0)
        return rc;
    size_t from = s->size;
    s->size += utf8_repair(s->text + s->size, s->raw, n);
    s->raw_size -= n;
    memmove(s->raw, s->raw + n, s->raw_size);
    match_stops(s, from);
    return 0;
}

int stream_push(struct stream *s, struct bytes piece) {
    if (s->stopped || piece.size == 0)
        return 0;
    size_t need;
    if (!size_add(s->raw_size, piece.size, &need))
        return ERR_NOMEM;
    int rc = grow(&s->raw, &s->raw_capacity, need);
    if (rc < 0)
        return rc;
    memcpy(s->raw + s->raw_size, piece.data, piece.size);
    s->raw_size = need;
    return accept(s, utf8_complete(s->raw, s->raw_size));
}

int stream_finish(struct stream *s) {
    if (s->stopped)
        return 0;
    int rc = accept(s, s->raw_size);
    s->held = 0;
    return rc;
}

struct bytes stream_ready(const struct stream *s) {
    return (struct bytes){s->text, s->size - s->held};
}

void stream_take(struct stream *s) {
    MUST(s->held <= s->size);
    memmove(s->text, s->text + (s->size - s->held), s->held);
    s->size = s->held;
}
