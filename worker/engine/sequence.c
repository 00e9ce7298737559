/* sequence.c - the pages of one sequence, in the order of their positions. */
#include "worker/engine/sequence.h"

#include <stdlib.h>

static uint32_t pages_for(uint32_t positions) {
    return positions / PAGE_POSITIONS + (positions % PAGE_POSITIONS != 0);
}

int sequence_open(struct sequence *s, uint32_t max_positions, struct error *e) {
    *s = (struct sequence){.capacity = pages_for(max_positions)};
    s->pages = calloc(s->capacity > 0 ? s->capacity : 1, sizeof *s->pages);
    if (s->pages == NULL) {
        s->capacity = 0;
        return error_set(e, ERR_NOMEM, "no memory for a sequence of %u positions", max_positions);
    }
    return 0;
}

int sequence_reserve(struct sequence *s, struct pages *p, uint32_t positions) {
    uint32_t needed = pages_for(positions);
    if (needed > s->capacity)
        return ERR_LIMIT;
    while (s->n_pages < needed) {
        page_id id = pages_take(p);
        if (id == PAGE_NONE)
            return ERR_LIMIT;
        s->pages[s->n_pages++] = id;
    }
    return 0;
}

void sequence_close(struct sequence *s, struct pages *p) {
    for (uint32_t i = 0; i < s->n_pages; i++)
        pages_release(p, s->pages[i]);
    free(s->pages);
    *s = (struct sequence){0};
}
