/* index_rig.h - the index's writer driven by hand, with made-up workers and links. */
#ifndef QUIRE_TESTS_INDEX_RIG_H
#define QUIRE_TESTS_INDEX_RIG_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "broker/index/writer.h"
#include "proto/index/reader.h"
#include "tests/support/temp.h"

#define RIG_SEED_MARK 0x1234

struct index_rig {
    struct temp_dir dir;
    char index[TEMP_PATH_BYTES + 16];
    struct writer writer;
    int64_t now_ms; /* the writer's clock: it moves only when it is told to */
};

void index_rig_open(struct index_rig *r, uint64_t max_links);
void index_rig_close(struct index_rig *r);

/* Ends the writer and begins another on the same files. */
void index_rig_restart(struct index_rig *r, uint64_t max_links);

/* Lets time pass, with a turn at the end of it and after each `step_ms` on the way. */
void index_rig_pass(struct index_rig *r, int64_t ms, int64_t step_ms);

/* Until all that was taken is committed. */
void index_rig_settle(struct index_rig *r);

void index_rig_worker(struct index_rig *r, uint64_t incarnation, const char *name);
void index_rig_void(struct index_rig *r, uint64_t incarnation);
/* The links numbered first..first+n-1, each of 16 positions times its number. */
void index_rig_hold(struct index_rig *r, uint64_t incarnation, bool reset, uint32_t first,
                    uint32_t n);
void index_rig_drop(struct index_rig *r, uint64_t incarnation, uint32_t first, uint32_t n);

struct link index_rig_link(uint32_t number);

/* How many entries a reader finds, and of them valid ones. */
struct index_rig_count {
    uint64_t entries, valid;
};
struct index_rig_count index_rig_count(const char *dir);

/* Whether a valid holder of that link is there. */
bool index_rig_has(const char *dir, uint32_t number);

char *index_rig_path(const struct index_rig *r, const char *file, char out[INDEX_PATH_BYTES]);

#endif
