/* writer.h - the index from the first look at its directory to the last commit: what the process
 * quire-index does, without its socket.
 *
 * It is always in one of two conditions. Open: changes go into the store. Shut: they are dropped,
 * and it tries to open again after a pause that doubles. Whenever changes may have been lost,
 * `resync` grows, and the broker has the workers asked for all they hold. */
#ifndef QUIRE_BROKER_INDEX_WRITER_H
#define QUIRE_BROKER_INDEX_WRITER_H

#include "broker/index/pipe.h"
#include "broker/index/place.h"
#include "broker/index/store.h"

#define WRITER_BATCH 65536  /* changes in one transaction */
#define WRITER_COMMIT_MS 50 /* the oldest change waits so long for its commit */
/* And WRITER_COMMIT_SHARE times as long as the last commit took, up to WRITER_COMMIT_MOST_MS. Links
 * lie anywhere in the file, so each writes a page or two of its own unless many go out together. */
#define WRITER_COMMIT_SHARE 8
#define WRITER_COMMIT_MOST_MS 2000
#define WRITER_LOOK_MS 500 /* between two looks at the files */
#define WRITER_RETRY_MIN_MS 250
#define WRITER_RETRY_MAX_MS 30000
#define WRITER_BUSY_MS 500 /* at start: the writer before us may be at its last commit */
#define WRITER_BUSY_RETRY_MS 25

struct writer {
    struct store_settings settings;
    struct place place;
    struct store *store; /* NULL: shut */
    enum index_state state;
    uint32_t resync;
    bool missed; /* changes were dropped since it was open last */
    bool set_aside_first;
    bool tried; /* to open, with an outcome that is worth telling */
    int64_t commit_wait_ms;
    int64_t started_ms, pending_since_ms, looked_ms, retry_at_ms, retry_ms;
    char text[PIPE_TEXT_BYTES];
    char lost[200]; /* why what was recorded before is not used */
};

/* Borrows *settings' dir. anew: what is there is not trusted and set aside. Opens nothing yet. */
void writer_init(struct writer *w, const struct store_settings *settings, bool anew,
                 int64_t now_ms);
void writer_close(struct writer *w); /* commits */

/* What is due: opening, looking, commit, removal of void records. Returns when to call again. */
int64_t writer_turn(struct writer *w, int64_t now_ms);

/* One record from the broker. */
void writer_take(struct writer *w, const struct pipe_record *r, int64_t now_ms);

/* Tells what was recorded. Nothing when it is shut. */
void writer_tell(struct writer *w, const struct store_listener *to);

/* Fills in all but the head. */
void writer_status(const struct writer *w, struct pipe_status *out);

#endif
