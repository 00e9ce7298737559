/* pipe.h - what the broker and its index writer tell each other.
 *
 * A SOCK_SEQPACKET pair; a packet is a run of whole records. Both ends are of one build and one
 * machine, so a record is a plain struct and what follows it; sizes are checked all the same, since
 * either end may have been replaced by an upgrade while the other ran. */
#ifndef QUIRE_BROKER_INDEX_PIPE_H
#define QUIRE_BROKER_INDEX_PIPE_H

#include "proto/index/format.h"

#define PIPE_VERSION 1
#define PIPE_FD 3 /* where the writer finds its end */
#define PIPE_PACKET_BYTES (64 << 10)
#define PIPE_TEXT_BYTES 320

enum pipe_type {
    PIPE_WORKER = 1, /* either way: this incarnation is there; read from the file: it was there */
    PIPE_VOID,       /* to the writer: nothing of this incarnation is true any more */
    PIPE_LINKS,      /* either way: held, dropped; from the file: held */
    PIPE_LOADED,     /* from the writer: what was recorded has been told */
    PIPE_STATUS,     /* from the writer, now and then */
};

struct pipe_head {
    uint32_t size; /* of the record, this head included; a multiple of 8 */
    uint16_t type, version;
};

struct pipe_worker {
    struct pipe_head head;
    struct index_worker worker;
};

struct pipe_void {
    struct pipe_head head;
    uint64_t incarnation;
};

/* Followed by n_held times LINK_HELD_BYTES and n_dropped times LINK_BYTES, as in LINKS. */
struct pipe_links {
    struct pipe_head head;
    uint64_t incarnation;
    uint32_t n_held, n_dropped;
    bool reset;
    uint8_t zero[7];
};

#define PIPE_RECORD_BYTES                                                                          \
    (sizeof(struct pipe_links) + LIMIT_LINKS * (LINK_HELD_BYTES + LINK_BYTES) + 8) /* at most */

struct pipe_loaded {
    struct pipe_head head;
};

struct pipe_status {
    struct pipe_head head;
    uint32_t state;  /* enum index_state; never INDEX_OFF */
    uint32_t resync; /* grows when records may have been lost: the workers must be asked again */
    uint64_t links, bytes;
    char text[PIPE_TEXT_BYTES]; /* NUL-terminated sentence, or empty */
};

/* One record of a packet, checked: sizes, counts, version. */
struct pipe_record {
    enum pipe_type type;
    const struct pipe_worker *worker;
    uint64_t incarnation; /* VOID, LINKS */
    bool reset;           /* LINKS */
    struct bytes held, dropped;
    const struct pipe_status *status;
};

/* Takes the next record off *packet, which must begin at a multiple of 8 in memory. False when
 * there is none left, or none that can be read (then all of the packet is given up). */
bool pipe_next(struct bytes *packet, struct pipe_record *out);

/* How much a LINKS record of so many takes. */
size_t pipe_links_bytes(size_t n_held, size_t n_dropped);

/* Writes a LINKS record to `at`, which has room for pipe_links_bytes. */
void pipe_links_write(void *at, uint64_t incarnation, bool reset, struct bytes held,
                      struct bytes dropped);

static inline struct pipe_head pipe_head_of(enum pipe_type type, size_t size) {
    return (struct pipe_head){(uint32_t)size, (uint16_t)type, PIPE_VERSION};
}

#endif
