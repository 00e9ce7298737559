/* index_rig.c - see index_rig.h. */
#include "tests/index_rig.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "common/must.h"
#include "proto/index/guard.h"

#define RIG_READ_MS 20000

static void begin(struct index_rig *r, uint64_t max_links) {
    struct store_settings settings = {
        .dir = r->index, .max_links = max_links, .seed_mark = RIG_SEED_MARK};
    writer_init(&r->writer, &settings, false, r->now_ms);
    (void)writer_turn(&r->writer, r->now_ms);
}

void index_rig_open(struct index_rig *r, uint64_t max_links) {
    memset(r, 0, sizeof *r);
    temp_dir_open(&r->dir);
    (void)snprintf(r->index, sizeof r->index, "%s/index", r->dir.path);
    r->now_ms = 1000;
    begin(r, max_links);
}

void index_rig_close(struct index_rig *r) {
    writer_close(&r->writer);
    temp_dir_close(&r->dir);
}

void index_rig_restart(struct index_rig *r, uint64_t max_links) {
    writer_close(&r->writer);
    begin(r, max_links);
}

void index_rig_pass(struct index_rig *r, int64_t ms, int64_t step_ms) {
    int64_t end_ms = r->now_ms + ms;
    while (r->now_ms < end_ms) {
        r->now_ms = r->now_ms + step_ms < end_ms ? r->now_ms + step_ms : end_ms;
        (void)writer_turn(&r->writer, r->now_ms);
    }
}

void index_rig_settle(struct index_rig *r) {
    index_rig_pass(r, WRITER_COMMIT_MOST_MS, WRITER_COMMIT_MOST_MS / 4);
}

void index_rig_worker(struct index_rig *r, uint64_t incarnation, const char *name) {
    struct pipe_worker w = {.worker = {.incarnation = incarnation, .fingerprint = {7, 8, 9}}};
    index_text_set(&w.worker.name, (struct bytes){(const uint8_t *)name, strlen(name)});
    index_text_set(&w.worker.model, (struct bytes){(const uint8_t *)"fake", 4});
    struct pipe_record record = {.type = PIPE_WORKER, .worker = &w};
    writer_take(&r->writer, &record, r->now_ms);
}

void index_rig_void(struct index_rig *r, uint64_t incarnation) {
    struct pipe_record record = {.type = PIPE_VOID, .incarnation = incarnation};
    writer_take(&r->writer, &record, r->now_ms);
}

struct link index_rig_link(uint32_t number) {
    struct link link;
    uint64_t h = number * (uint64_t)0x9E3779B97F4A7C15u; /* spread as hashes are */
    memcpy(link.bytes, &h, 8);
    memcpy(link.bytes + 8, &number, 4);
    memset(link.bytes + 12, 0x5a, 4);
    return link;
}

void index_rig_hold(struct index_rig *r, uint64_t incarnation, bool reset, uint32_t first,
                    uint32_t n) {
    static uint8_t held[LIMIT_LINKS * LINK_HELD_BYTES];
    MUST(n <= LIMIT_LINKS);
    for (uint32_t i = 0; i < n; i++) {
        uint8_t *at = held + (size_t)i * LINK_HELD_BYTES;
        struct link link = index_rig_link(first + i);
        uint32_t positions = 16 * (first + i);
        memcpy(at, link.bytes, LINK_BYTES);
        for (int k = 0; k < 4; k++)
            at[LINK_BYTES + k] = (uint8_t)(positions >> (8 * k));
    }
    struct pipe_record record = {.type = PIPE_LINKS,
                                 .incarnation = incarnation,
                                 .reset = reset,
                                 .held = {held, (size_t)n * LINK_HELD_BYTES}};
    writer_take(&r->writer, &record, r->now_ms);
}

void index_rig_drop(struct index_rig *r, uint64_t incarnation, uint32_t first, uint32_t n) {
    static uint8_t dropped[LIMIT_LINKS * LINK_BYTES];
    MUST(n <= LIMIT_LINKS);
    for (uint32_t i = 0; i < n; i++) {
        struct link link = index_rig_link(first + i);
        memcpy(dropped + (size_t)i * LINK_BYTES, link.bytes, LINK_BYTES);
    }
    struct pipe_record record = {.type = PIPE_LINKS,
                                 .incarnation = incarnation,
                                 .dropped = {dropped, (size_t)n * LINK_BYTES}};
    writer_take(&r->writer, &record, r->now_ms);
}

/* The reader runs in a process of its own, as LMDB allows an environment once per process only. */
struct asked {
    const char *dir;
    uint32_t number;
    bool has;
    struct index_rig_count count;
};

static int count_entries(void *arg, struct error *e) {
    static struct index_entry entries[1000];
    struct asked *a = arg;
    struct index_reader *reader;
    struct index_entry last;
    size_t n;
    int rc = index_reader_open(&reader, a->dir, e);
    do {
        n = 0;
        if (rc == 0)
            rc =
                index_reader_entries(reader, a->count.entries ? &last : NULL, entries, 1000, &n, e);
        for (size_t i = 0; i < n; i++)
            a->count.valid += !entries[i].is_void;
        a->count.entries += n;
        if (n > 0)
            last = entries[n - 1];
    } while (n > 0);
    index_reader_close(reader);
    return rc;
}

static int look_for(void *arg, struct error *e) {
    struct asked *a = arg;
    struct index_reader *reader;
    struct index_entry found[8];
    size_t n = 0;
    struct link link = index_rig_link(a->number);
    int rc = index_reader_open(&reader, a->dir, e);
    if (rc == 0)
        rc = index_reader_find(reader, &link, found, 8, &n, e);
    for (size_t i = 0; i < n; i++)
        a->has |= !found[i].is_void && found[i].holder.positions == 16 * a->number;
    index_reader_close(reader);
    return rc;
}

static struct asked ask(int (*work)(void *, struct error *), const char *dir, uint32_t number) {
    struct error e = {0};
    struct asked *a =
        mmap(NULL, sizeof *a, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_true(a != MAP_FAILED);
    *a = (struct asked){.dir = dir, .number = number};
    if (guard_run(work, a, RIG_READ_MS, &e) != 0)
        fail_msg("%s", e.text);
    struct asked answer = *a;
    (void)munmap(a, sizeof *a);
    return answer;
}

struct index_rig_count index_rig_count(const char *dir) {
    return ask(count_entries, dir, 0).count;
}

bool index_rig_has(const char *dir, uint32_t number) {
    return ask(look_for, dir, number).has;
}

char *index_rig_path(const struct index_rig *r, const char *file, char out[INDEX_PATH_BYTES]) {
    MUST(index_path(out, r->index, file));
    return out;
}
