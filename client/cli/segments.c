/* segments.c - quire segments: what the index records, read from its files without the broker.
 *
 * It is read in a process of its own (proto/index/guard.h), which prints when it has everything, so
 * that a damaged file ends in a sentence and not in half a table. */
#include <inttypes.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "client/cli/cli.h"
#include "common/paths.h"
#include "proto/index/guard.h"
#include "proto/index/reader.h"

#define READ_MS 60000
#define CHUNK 1024  /* entries of one read transaction */
#define SHORT_HEX 8 /* bytes of a link that the table shows */
#define LIMIT_MAX 100000

struct tally {
    uint64_t links, pictures;
};

struct listing {
    const char *dir, *worker;
    int64_t limit;
    bool json;

    uint64_t now_us;
    struct index_totals totals;
    struct index_worker workers[INDEX_WORKERS_MAX];
    struct tally tallies[INDEX_WORKERS_MAX]; /* as workers */
    size_t n_workers;
    uint64_t n_void;
    struct index_entry *newest; /* up to twice the limit while reading */
    size_t n_newest;
};

/* ---- reading ---- */

static int by_age(const void *a, const void *b) {
    uint64_t x = ((const struct index_entry *)a)->holder.used_us;
    uint64_t y = ((const struct index_entry *)b)->holder.used_us;
    return x > y ? -1 : x < y;
}

static void cut_to_limit(struct listing *l) {
    qsort(l->newest, l->n_newest, sizeof *l->newest, by_age);
    if (l->n_newest > (size_t)l->limit)
        l->n_newest = (size_t)l->limit;
}

static size_t worker_of(const struct listing *l, uint32_t slot) {
    size_t i = 0;
    while (i < l->n_workers && l->workers[i].slot != slot)
        i++;
    return i;
}

static const char *name_of(const struct listing *l, const struct index_entry *e) {
    size_t i = worker_of(l, e->holder.slot);
    return i < l->n_workers ? l->workers[i].name.text : "-";
}

static void see(struct listing *l, const struct index_entry *e) {
    size_t i = worker_of(l, e->holder.slot);
    bool is_void = e->is_void || i == l->n_workers;
    if (is_void) {
        l->n_void++;
    } else {
        l->tallies[i].links += e->holder.positions > 0;
        l->tallies[i].pictures += e->holder.positions == 0;
    }
    if (l->worker && (is_void || strcmp(l->worker, l->workers[i].name.text) != 0))
        return;
    l->newest[l->n_newest++] = *e;
    if (l->n_newest == 2 * (size_t)l->limit)
        cut_to_limit(l);
}

static int read_all(struct listing *l, struct index_reader *r, struct error *e) {
    static struct index_entry chunk[CHUNK];
    struct index_entry last;
    size_t n = 0;
    int rc = index_reader_totals(r, &l->totals, e);
    if (rc == 0)
        rc = index_reader_workers(r, l->workers, INDEX_WORKERS_MAX, &l->n_workers, e);
    for (size_t i = 0; i < l->n_workers; i++)
        cli_make_plain(l->workers[i].name.text);
    bool any = false;
    while (rc == 0) {
        rc = index_reader_entries(r, any ? &last : NULL, chunk, CHUNK, &n, e);
        if (rc != 0 || n == 0)
            break;
        for (size_t i = 0; i < n; i++)
            see(l, &chunk[i]);
        last = chunk[n - 1];
        any = true;
    }
    cut_to_limit(l);
    return rc;
}

/* ---- printing ---- */

static void hex(const struct link *link, size_t bytes, char *out) {
    for (size_t i = 0; i < bytes; i++)
        (void)snprintf(out + 2 * i, 3, "%02x", link->bytes[i]);
}

static double seconds_since(const struct listing *l, uint64_t then_us) {
    return l->now_us > then_us ? (double)(l->now_us - then_us) / 1e6 : 0;
}

static void print_table(const struct listing *l) {
    char link[2 * LINK_BYTES + 1];
    printf("%-17s %-20s %10s %10s %s\n", "LINK", "WORKER", "POSITIONS", "AGE S", "");
    for (size_t i = 0; i < l->n_newest; i++) {
        const struct index_entry *e = &l->newest[i];
        hex(&e->link, SHORT_HEX, link);
        printf("%-17s %-20s %10" PRIu32 " %10.1f %s\n", link, name_of(l, e), e->holder.positions,
               seconds_since(l, e->holder.used_us),
               e->is_void                 ? "void"
               : e->holder.positions == 0 ? "picture"
                                          : "");
    }
    printf("\n%-20s %10s %10s %12s  %s\n", "WORKER", "LINKS", "PICTURES", "SINCE S", "INCARNATION");
    for (size_t i = 0; i < l->n_workers; i++)
        printf("%-20s %10" PRIu64 " %10" PRIu64 " %12.0f  %016" PRIx64 "\n",
               l->workers[i].name.text, l->tallies[i].links, l->tallies[i].pictures,
               seconds_since(l, l->workers[i].since_us), l->workers[i].incarnation);
    printf("%" PRIu64 " records, %" PRIu64 " of them void; %.1f MB in %s\n", l->totals.holders,
           l->n_void, (double)l->totals.bytes / 1e6, l->dir);
}

static json_t *entry_json(const struct listing *l, const struct index_entry *e) {
    char link[2 * LINK_BYTES + 1];
    hex(&e->link, LINK_BYTES, link);
    return json_pack("{s:s,s:s,s:I,s:f,s:b}", "link", link, "worker", name_of(l, e), "positions",
                     (json_int_t)e->holder.positions, "age_s", seconds_since(l, e->holder.used_us),
                     "void", (int)e->is_void);
}

static void print_json(const struct listing *l) {
    json_t *links = json_array(), *workers = json_array();
    for (size_t i = 0; i < l->n_newest; i++)
        json_array_append_new(links, entry_json(l, &l->newest[i]));
    for (size_t i = 0; i < l->n_workers; i++)
        json_array_append_new(workers,
                              json_pack("{s:s,s:o,s:I,s:I,s:f}", "name", l->workers[i].name.text,
                                        "incarnation",
                                        json_sprintf("%016" PRIx64, l->workers[i].incarnation),
                                        "links", (json_int_t)l->tallies[i].links, "pictures",
                                        (json_int_t)l->tallies[i].pictures, "since_s",
                                        seconds_since(l, l->workers[i].since_us)));
    json_t *root = json_pack("{s:o,s:o,s:I,s:I,s:I}", "links", links, "workers", workers, "records",
                             (json_int_t)l->totals.holders, "void", (json_int_t)l->n_void, "bytes",
                             (json_int_t)l->totals.bytes);
    json_dumpf(root, stdout, JSON_INDENT(2) | JSON_REAL_PRECISION(9));
    putchar('\n');
    json_decref(root);
}

static int read_and_print(void *arg, struct error *e) {
    struct listing *l = arg;
    struct index_reader *r;
    struct timespec now;
    (void)clock_gettime(CLOCK_REALTIME, &now);
    l->now_us = (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
    l->newest = calloc(2 * (size_t)l->limit, sizeof *l->newest);
    if (!l->newest)
        return error_set(e, ERR_NOMEM, "memory ran out");
    int rc = index_reader_open(&r, l->dir, e);
    if (rc == 0)
        rc = read_all(l, r, e);
    index_reader_close(r);
    if (rc == 0 && l->json)
        print_json(l);
    else if (rc == 0)
        print_table(l);
    free(l->newest);
    return rc;
}

/* ---- the command ---- */

static int list(struct listing *l) {
    struct error e = {0};
    char directory[PATHS_ENDPOINT_BYTES], standard[PATHS_ENDPOINT_BYTES + 8];
    int rc = 0;
    if (!l->dir) {
        rc = paths_runtime_dir(directory, sizeof directory, &e);
        (void)snprintf(standard, sizeof standard, "%s/index", directory);
        l->dir = standard;
    }
    if (rc == 0)
        rc = guard_run(read_and_print, l, READ_MS, &e);
    if (rc == ERR_NOT_FOUND)
        error_prefix(&e, "there is no index");
    else if (rc == ERR_IO)
        error_prefix(&e, "the index in %s can't be read", l->dir);
    return rc < 0 ? cli_fail_error(&e) : 0;
}

int cli_segments(int argc, char **argv) {
    struct listing *l = calloc(1, sizeof *l);
    if (!l)
        return cli_fail_error(&(struct error){ERR_NOMEM, "memory ran out"});
    l->limit = 40;
    const struct config_item items[] = {
        {"index", 0, CONFIG_TEXT, &l->dir, 0, 0, "DIR",
         "the broker's index (index in the runtime directory)"},
        {"worker", 'w', CONFIG_TEXT, &l->worker, 0, 0, "WORKER", "only what this worker holds"},
        {"limit", 'n', CONFIG_INT, &l->limit, 1, LIMIT_MAX, "N",
         "list the N that were used last (40); totals are of all"},
        {"json", 0, CONFIG_SWITCH, &l->json, 0, 0, NULL, "print JSON"},
    };
    struct config c = {
        .program = "quire segments",
        .section = "segments",
        .usage = "quire segments [OPTION...]",
        .summary = "Lists the parts of prompts that workers hold, by the hash of each part and all "
                   "before it,\nas the broker recorded them. The broker need not run.",
        .items = items,
        .n_items = sizeof items / sizeof items[0]};
    int code;
    if (cli_settings(&c, argc, argv, NULL, &code))
        code = list(l);
    config_close(&c);
    free(l);
    return code;
}
