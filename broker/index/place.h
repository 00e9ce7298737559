/* place.h - the index's directory: whose it is, whether what lies there is sound, and what is done
 * when it is not. */
#ifndef QUIRE_BROKER_INDEX_PLACE_H
#define QUIRE_BROKER_INDEX_PLACE_H

#include <stdbool.h>
#include <sys/types.h>

#include "common/error.h"
#include "proto/index/format.h"

#define PLACE_LOCK_FILE "writer.lock" /* held with flock by the one writer, with its process id */
#define PLACE_ASIDE_FILE "data.mdb.damaged" /* the last file that was set aside */

struct place {
    const char *dir;
    int lock; /* -1: not held */
    /* of data.mdb as it was seen last */
    dev_t device;
    ino_t file, lock_file;
    off_t size;
};

/* Makes the directory (mode 0700) and takes its lock. ERR_BUSY when another writer has it, ERR_IO
 * with errno's number in *why. *p is left without a lock on failure. */
int place_take(struct place *p, const char *dir, int *why, struct error *e);
void place_leave(struct place *p); /* one that is not held is fine */

enum place_content { PLACE_EMPTY, PLACE_SOUND, PLACE_DAMAGED };

/* Whether there is room for more pages: ERR_IO with ENOSPC or EFBIG in *why when the disk or the
 * limit on files leaves little. LMDB would die of a lock file that can't be filled, and calls a
 * short write an I/O error. */
int place_has_room(const struct place *p, int *why, struct error *e);

/* Reads all of the index in a process of its own. PLACE_DAMAGED with a sentence. */
enum place_content place_check(const struct place *p, struct error *e);

/* Moves data.mdb out of the way, replacing what was moved before, and removes lock.mdb. False when
 * that can't be done. */
bool place_set_aside(const struct place *p);

/* Remembers the files as they are now, after they were opened. */
void place_note(struct place *p);

enum place_change { PLACE_SAME, PLACE_REPLACED, PLACE_SHRUNK };

/* What became of the files since place_note. */
enum place_change place_look(struct place *p);

#endif
