/* pack_file.c - finding, checking, building and mapping a shared pack.
 *
 * The unfinished file is its own lock. Whoever wants to build opens it, locks it, and then looks
 * whether it still has that name: if not, somebody finished it meanwhile, and we look for the pack
 * again. A builder that dies leaves an unlocked file, which the next one takes over.
 *
 * A pack that somebody truncates while it is mapped raises SIGBUS on access, as with the model's
 * own file; only the owner of the directory could. */
#include "worker/engine/pack_file.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include <xxhash.h>

#include "common/clock.h"
#include "common/log.h"
#include "worker/engine/pack_build.h"
#include "worker/engine/pack_dir.h"

#define FORMAT_VERSION 1
#define BYTE_ORDER_MARK 0x01020304U
#define NAME_BYTES 96
#define LOOK_MS 5    /* between two looks at a lock */
#define TOLD_MS 1000 /* of waiting, before the log hears of it */

static const char magic[8] = "quirepak";

struct header { /* no holes: its bytes are summed and compared */
    char magic[8];
    uint32_t byte_order, format;
    uint64_t plan; /* pack_plan_digest */
    uint8_t fingerprint[16];
    uint64_t source_bytes;
    int64_t source_mtime_ns;
    uint64_t data_offset, data_bytes, part_bytes;
    uint64_t table_sum;  /* XXH3-64 of the table */
    uint64_t header_sum; /* XXH3-64 of all before it */
};

struct pack_file {
    int fd; /* holds the shared lock */
    const uint8_t *data;
    size_t bytes;
    bool built;
};

/* What a call of pack_file_open works with. */
struct search {
    const struct pack_plan *plan;
    struct team *team;
    int dir;
    char name[NAME_BYTES], unfinished[NAME_BYTES + 8];
    struct header header; /* as it must be, but for the sums */
    uint64_t *table;      /* [parts] */
    size_t parts;
    int64_t deadline_ms;
    struct pack_file *file;
};

static size_t table_bytes(const struct search *s) {
    return s->parts * sizeof *s->table;
}

static void seal(struct header *h, const struct search *s) {
    h->table_sum = XXH3_64bits(s->table, table_bytes(s));
    h->header_sum = XXH3_64bits(h, offsetof(struct header, header_sum));
}

static void nap(void) {
    (void)nanosleep(&(struct timespec){0, LOOK_MS * 1000000L}, NULL);
}

static bool late(const struct search *s) {
    return clock_ms() >= s->deadline_ms;
}

/* ---- what is looked for ---- */

static int begin_search(struct search *s, const struct pack_plan *plan,
                        const struct pack_share *share, struct team *t, struct error *e) {
    *s = (struct search){.plan = plan, .team = t, .dir = -1, .parts = pack_parts(plan->bytes)};
    s->deadline_ms = clock_ms() + (share->wait_ms > 0 ? share->wait_ms : PACK_WAIT_MS);
    struct header *h = &s->header;
    memcpy(h->magic, magic, sizeof magic);
    h->byte_order = BYTE_ORDER_MARK;
    h->format = FORMAT_VERSION;
    h->plan = pack_plan_digest(plan);
    memcpy(h->fingerprint, share->fingerprint, sizeof h->fingerprint);
    h->source_bytes = share->source_bytes;
    h->source_mtime_ns = share->source_mtime_ns;
    h->data_bytes = plan->bytes;
    h->part_bytes = PACK_PART_BYTES;
    h->data_offset = pack_parts(sizeof *h + table_bytes(s)) * PACK_PART_BYTES;
    char *at = s->name;
    for (int i = 0; i < 16; i++)
        at += snprintf(at, 3, "%02x", share->fingerprint[i]);
    (void)snprintf(at, sizeof s->name - 32, "-%016" PRIx64 PACK_SUFFIX,
                   (uint64_t)XXH3_64bits(h, offsetof(struct header, table_sum)));
    (void)snprintf(s->unfinished, sizeof s->unfinished, "%s" PACK_PART_SUFFIX, s->name);
    s->table = malloc(table_bytes(s) + 1);
    s->file = calloc(1, sizeof *s->file);
    if (s->table == NULL || s->file == NULL)
        return error_set(e, ERR_NOMEM, "no memory for the sums of a pack");
    s->file->fd = -1;
    return pack_dir_open(share->dir, &s->dir, e);
}

static void end_search(struct search *s) {
    if (s->dir >= 0)
        close(s->dir);
    free(s->table);
    pack_file_close(s->file);
}

/* ---- a pack that is there ---- */

static int map_data(const struct search *s, int fd, struct error *e) {
    struct pack_file *f = s->file;
    void *map = mmap(NULL, s->plan->bytes, PROT_READ, MAP_SHARED, fd, (off_t)s->header.data_offset);
    if (map == MAP_FAILED)
        return error_set(e, ERR_IO, "cannot map the pack: %s", strerror(errno));
    (void)madvise(map, s->plan->bytes, MADV_HUGEPAGE); /* where the kernel has them for files */
    f->data = map;
    f->bytes = s->plan->bytes;
    return 0;
}

struct check {
    const struct search *search;
    atomic_size_t next, wrong; /* wrong: the part that is; SIZE_MAX when none is */
};

static void check_member(void *opaque, int who, int members) {
    struct check *c = opaque;
    const struct pack_file *f = c->search->file;
    (void)who;
    (void)members;
    for (size_t part; (part = atomic_fetch_add(&c->next, 1)) < c->search->parts;) {
        size_t from = part * PACK_PART_BYTES, left = f->bytes - from;
        size_t n = left < PACK_PART_BYTES ? left : PACK_PART_BYTES;
        if (pack_part_sum(f->data + from, n) != c->search->table[part])
            atomic_store(&c->wrong, part);
    }
}

static bool read_at(int fd, void *to, size_t n, size_t offset) {
    for (size_t done = 0; done < n;) {
        ssize_t got = pread(fd, (char *)to + done, n - done, (off_t)(offset + done));
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return false;
        done += (size_t)got;
    }
    return true;
}

/* What is wrong with the file, or NULL; maps it when nothing is. */
static const char *find_fault(struct search *s, int fd) {
    struct stat st;
    struct header found;
    if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode) || st.st_uid != geteuid() ||
        (st.st_mode & 0022) != 0)
        return "not a file of this user's alone";
    if ((uint64_t)st.st_size != s->header.data_offset + s->header.data_bytes)
        return "not of the right size";
    if (!read_at(fd, &found, sizeof found, 0) ||
        !read_at(fd, s->table, table_bytes(s), sizeof found))
        return "not readable";
    seal(&s->header, s);
    if (memcmp(&found, &s->header, sizeof found) != 0)
        return "a pack of something else, or damaged";
    if (map_data(s, fd, NULL) < 0)
        return "not to be mapped";
    struct check check = {.search = s, .wrong = SIZE_MAX};
    team_run(s->team, check_member, &check);
    if (atomic_load(&check.wrong) == SIZE_MAX)
        return NULL;
    (void)munmap((void *)(uintptr_t)s->file->data, s->file->bytes);
    s->file->data = NULL;
    return "damaged";
}

/* ERR_NOT_FOUND: there is none that could be used. ERR_BUSY: it is just being put there. */
static int open_existing(struct search *s, struct error *e) {
    int fd = openat(s->dir, s->name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0 && (errno == ENOENT || errno == ELOOP))
        return ERR_NOT_FOUND;
    if (fd < 0)
        return error_set(e, ERR_IO, "%s: %s", s->name, strerror(errno));
    if (flock(fd, LOCK_SH | LOCK_NB) != 0) {
        int rc = errno == EWOULDBLOCK
                     ? ERR_BUSY
                     : error_set(e, ERR_IO, "cannot lock %s: %s", s->name, strerror(errno));
        close(fd);
        return rc;
    }
    const char *fault = find_fault(s, fd);
    if (fault != NULL) {
        close(fd);
        log_warn("pack-damaged", "file=%s it is %s; packing again", s->name, fault);
        return ERR_NOT_FOUND;
    }
    (void)futimens(fd, NULL); /* used now (pack_dir.h) */
    s->file->fd = fd;
    return 0;
}

/* ---- a pack that has to be built ---- */

static bool has_name(const struct search *s, int fd) {
    struct stat here, there;
    return fstat(fd, &here) == 0 &&
           fstatat(s->dir, s->unfinished, &there, AT_SYMLINK_NOFOLLOW) == 0 &&
           here.st_dev == there.st_dev && here.st_ino == there.st_ino;
}

/* *out is the unfinished file, ours alone. ERR_BUSY: it is no more; look for the pack again. */
static int lock_unfinished(struct search *s, int *out, struct error *e) {
    int fd =
        openat(s->dir, s->unfinished, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK, 0600);
    if (fd < 0)
        return error_set(e, ERR_IO, "cannot write %s: %s", s->unfinished, strerror(errno));
    int64_t tell_ms = clock_ms() + TOLD_MS;
    int rc = ERR_BUSY;
    for (;;) {
        bool locked = flock(fd, LOCK_EX | LOCK_NB) == 0;
        if (!locked && errno != EWOULDBLOCK) {
            rc = error_set(e, ERR_IO, "cannot lock %s: %s", s->unfinished, strerror(errno));
            break;
        }
        if (!has_name(s, fd))
            break;
        if (locked) {
            *out = fd;
            return 0;
        }
        if (late(s)) {
            rc = error_set(e, ERR_TIMEOUT, "another process packs this model and does not finish");
            break;
        }
        if (clock_ms() > tell_ms) {
            log_info("pack-wait", "another worker packs the weights");
            tell_ms = INT64_MAX;
        }
        nap();
    }
    close(fd);
    return rc;
}

/* Takes the room first, so that a full disk is known before the work. */
static int take_room(const struct search *s, int fd, struct error *e) {
    uint64_t bytes = s->header.data_offset + s->header.data_bytes;
    struct rlimit limit;
    if (getrlimit(RLIMIT_FSIZE, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY &&
        bytes > limit.rlim_cur) /* passing it would be a signal */
        return error_set(e, ERR_LIMIT, "files may not be larger than %llu bytes here (ulimit -f)",
                         (unsigned long long)limit.rlim_cur);
    if (ftruncate(fd, 0) != 0)
        return error_set(e, ERR_IO, "%s: %s", s->unfinished, strerror(errno));
    if (fallocate(fd, 0, 0, (off_t)bytes) != 0 && errno != EOPNOTSUPP && errno != ENOSYS)
        return error_set(e, ERR_IO, "%s of %" PRIu64 " MiB: %s", s->unfinished, bytes >> 20,
                         strerror(errno));
    return 0;
}

static int write_at(int fd, const void *from, size_t n, size_t offset, struct error *e) {
    for (size_t done = 0; done < n;) {
        ssize_t put = pwrite(fd, (const char *)from + done, n - done, (off_t)(offset + done));
        if (put < 0 && errno == EINTR)
            continue;
        if (put <= 0)
            return error_set(e, ERR_IO, "writing failed: %s", strerror(put < 0 ? errno : EIO));
        done += (size_t)put;
    }
    return 0;
}

/* Nothing waits for the disk here: what a power failure leaves behind does not match the sums. */
static int build(struct search *s, int fd, struct error *e) {
    int64_t begin_ms = clock_ms();
    pack_dir_tidy(s->dir, s->name, s->header.data_offset + s->header.data_bytes);
    int rc = take_room(s, fd, e);
    if (rc == 0)
        rc = pack_build_file(s->plan, s->team, fd, s->header.data_offset, s->table, e);
    seal(&s->header, s);
    if (rc == 0)
        rc = write_at(fd, s->table, table_bytes(s), sizeof s->header, e);
    if (rc == 0)
        rc = write_at(fd, &s->header, sizeof s->header, 0, e);
    if (rc == 0)
        rc = map_data(s, fd, e);
    if (rc == 0 && renameat(s->dir, s->unfinished, s->dir, s->name) != 0)
        rc = error_set(e, ERR_IO, "cannot rename %s: %s", s->unfinished, strerror(errno));
    if (rc == 0)
        log_info("packed", "ms=%lld mib=%zu file=%s", (long long)(clock_ms() - begin_ms),
                 s->plan->bytes >> 20, s->name);
    return rc;
}

/* The file is ours alone. Somebody may have finished before we had it: then it goes again. */
static int build_or_leave(struct search *s, int fd, struct error *e) {
    int rc = open_existing(s, e);
    if (rc == ERR_NOT_FOUND && (rc = build(s, fd, e)) == 0) {
        (void)flock(fd, LOCK_SH);
        s->file->fd = fd;
        s->file->built = true;
        return 0;
    }
    (void)unlinkat(s->dir, s->unfinished, 0);
    close(fd);
    return rc;
}

/* ---- open and close ---- */

static int find_or_build(struct search *s, struct error *e) {
    for (;;) {
        int fd = -1, rc = open_existing(s, e);
        if (rc == ERR_NOT_FOUND && (rc = lock_unfinished(s, &fd, e)) == 0)
            rc = build_or_leave(s, fd, e);
        if (rc != ERR_BUSY)
            return rc;
        if (late(s))
            return error_set(e, ERR_TIMEOUT, "other processes keep %s busy", s->name);
        nap();
    }
}

int pack_file_open(struct pack_file **out, const struct pack_plan *plan,
                   const struct pack_share *share, struct team *t, struct error *e) {
    struct search s;
    *out = NULL;
    int rc = begin_search(&s, plan, share, t, e);
    if (rc == 0)
        rc = find_or_build(&s, e);
    if (rc == 0) {
        *out = s.file;
        s.file = NULL;
    }
    end_search(&s);
    return rc;
}

void pack_file_close(struct pack_file *f) {
    if (f == NULL)
        return;
    if (f->data != NULL)
        (void)munmap((void *)(uintptr_t)f->data, f->bytes);
    if (f->fd >= 0)
        close(f->fd);
    free(f);
}

const uint8_t *pack_file_data(const struct pack_file *f) {
    return f->data;
}

bool pack_file_built(const struct pack_file *f) {
    return f->built;
}
