/* memory.c - two small tables, searched from end to end. A collision of content hashes refuses an
 * innocent request for a minute, which is why the hash has 64 bits and the table 64 entries. */
#include "broker/memory.h"

#include <stdio.h>

static size_t find(const struct models *m, struct bytes name) {
    size_t i = 0;
    while (i < m->count && !label_is(&m->entries[i].name, name))
        i++;
    return i;
}

static size_t seen_longest_ago(const struct models *m) {
    size_t oldest = 0;
    for (size_t i = 1; i < m->count; i++)
        if (m->entries[i].seen < m->entries[oldest].seen)
            oldest = i;
    return oldest;
}

void models_see(struct models *m, const struct label *name, bool vision) {
    size_t i = find(m, label_bytes(name));
    if (i == m->count) {
        if (m->count < MODELS_MAX)
            m->count++;
        else
            i = seen_longest_ago(m);
        m->entries[i].name = *name;
        m->entries[i].vision = false;
    }
    m->entries[i].vision |= vision;
    m->entries[i].seen = ++m->clock;
}

bool models_know(const struct models *m, struct bytes name, bool *vision) {
    size_t i = find(m, name);
    if (i == m->count)
        return false;
    if (vision)
        *vision = m->entries[i].vision;
    return true;
}

void models_list(const struct models *m, char *out, size_t size) {
    size_t used = 0;
    out[0] = '\0';
    for (size_t i = 0; i < m->count && used < size; i++) {
        int n =
            snprintf(out + used, size - used, "%s%s", i > 0 ? ", " : "", m->entries[i].name.text);
        used += n > 0 ? (size_t)n : 0;
    }
}

void refusals_add(struct refusals *r, uint64_t content_hash, int64_t until_us) {
    for (size_t i = 0; i < REFUSALS_MAX; i++) {
        if (r->entries[i].content_hash == content_hash && r->entries[i].until_us > 0) {
            r->entries[i].until_us = until_us;
            return;
        }
    }
    r->entries[r->next].content_hash = content_hash;
    r->entries[r->next].until_us = until_us;
    r->next = (r->next + 1) % REFUSALS_MAX;
}

int64_t refusals_left_us(const struct refusals *r, uint64_t content_hash, int64_t now_us) {
    for (size_t i = 0; i < REFUSALS_MAX; i++)
        if (r->entries[i].content_hash == content_hash && r->entries[i].until_us > now_us)
            return r->entries[i].until_us - now_us;
    return 0;
}
