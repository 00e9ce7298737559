/* holders.h - which incarnation each holder number of broker/affinity.h stands for.
 *
 * One that lost its connection stays known for HOLDER_ABSENT_MS: the process may be alive, and what
 * it holds with it. After a restart of the broker the index tells of incarnations that have not
 * come back yet; these are known the same way. */
#ifndef QUIRE_BROKER_HOLDERS_H
#define QUIRE_BROKER_HOLDERS_H

#include "broker/affinity.h"
#include "broker/names.h"

#define HOLDER_ABSENT_MS 600000 /* without a connection for so long: not believed any more */

struct holder {
    bool used;
    bool connected;
    bool recorded; /* known from the index, and not come back yet */
    uint64_t incarnation;
    uint8_t fingerprint[16];
    struct label name, model, template_id;
    int64_t left_us; /* since when it is not connected */
};

struct holders {
    struct holder slots[AFFINITY_HOLDERS]; /* by holder number */
};

/* -1 when none is. */
int holders_find(const struct holders *h, uint64_t incarnation);
int holders_find_name(const struct holders *h, struct bytes name);

/* A number for *who, which is copied. When all are taken, the one that left longest ago makes room,
 * and is copied to *voided (zeroed otherwise). -1 when all are connected. */
int holders_join(struct holders *h, struct affinity *a, const struct holder *who,
                 struct holder *voided);

/* Nothing is believed of it any more. */
void holders_void(struct holders *h, struct affinity *a, int holder);

/* The same incarnation under another number, so that all it told is void. */
int holders_renew(struct holders *h, struct affinity *a, int holder);

/* One that has been away since before then_us; -1. */
int holders_stale(const struct holders *h, int64_t then_us);

#endif
