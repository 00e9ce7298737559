/* pipe.c - records cut from packets. */
#include "broker/index/pipe.h"

#include <string.h>

_Static_assert(sizeof(struct pipe_worker) % 8 == 0 && sizeof(struct pipe_void) % 8 == 0 &&
                   sizeof(struct pipe_links) % 8 == 0 && sizeof(struct pipe_loaded) % 8 == 0 &&
                   sizeof(struct pipe_status) % 8 == 0,
               "records follow each other aligned");
_Static_assert(PIPE_RECORD_BYTES <= PIPE_PACKET_BYTES, "a packet holds any record");

size_t pipe_links_bytes(size_t n_held, size_t n_dropped) {
    size_t bytes = sizeof(struct pipe_links) + n_held * LINK_HELD_BYTES + n_dropped * LINK_BYTES;
    return (bytes + 7) & ~(size_t)7;
}

void pipe_links_write(void *at, uint64_t incarnation, bool reset, struct bytes held,
                      struct bytes dropped) {
    uint32_t n_held = (uint32_t)(held.size / LINK_HELD_BYTES);
    uint32_t n_dropped = (uint32_t)(dropped.size / LINK_BYTES);
    struct pipe_links *links = at;
    *links = (struct pipe_links){
        .head = pipe_head_of(PIPE_LINKS, pipe_links_bytes(n_held, n_dropped)),
        .incarnation = incarnation,
        .n_held = n_held,
        .n_dropped = n_dropped,
        .reset = reset,
    };
    uint8_t *data = (uint8_t *)at + sizeof *links;
    if (n_held > 0)
        memcpy(data, held.data, (size_t)n_held * LINK_HELD_BYTES);
    data += (size_t)n_held * LINK_HELD_BYTES;
    if (n_dropped > 0)
        memcpy(data, dropped.data, (size_t)n_dropped * LINK_BYTES);
    data += (size_t)n_dropped * LINK_BYTES;
    memset(data, 0, (size_t)((uint8_t *)at + links->head.size - data));
}

static bool read_links(const void *at, size_t size, struct pipe_record *out) {
    const struct pipe_links *links = at;
    if (size < sizeof *links || links->n_held > LIMIT_LINKS || links->n_dropped > LIMIT_LINKS ||
        size != pipe_links_bytes(links->n_held, links->n_dropped))
        return false;
    const uint8_t *data = (const uint8_t *)at + sizeof *links;
    out->incarnation = links->incarnation;
    out->reset = links->reset;
    out->held = (struct bytes){data, (size_t)links->n_held * LINK_HELD_BYTES};
    out->dropped = (struct bytes){data + out->held.size, (size_t)links->n_dropped * LINK_BYTES};
    return true;
}

static bool texts_end(const struct index_worker *w) {
    return w->name.size <= INDEX_TEXT_BYTES && w->model.size <= INDEX_TEXT_BYTES &&
           w->template_id.size <= INDEX_TEXT_BYTES && w->address.size <= INDEX_TEXT_BYTES;
}

static bool read_record(const void *at, size_t size, struct pipe_record *out) {
    const struct pipe_head *head = at;
    out->type = head->type;
    switch (out->type) {
    case PIPE_WORKER:
        out->worker = at;
        return size == sizeof *out->worker && texts_end(&out->worker->worker);
    case PIPE_VOID:
        if (size != sizeof(struct pipe_void))
            return false;
        out->incarnation = ((const struct pipe_void *)at)->incarnation;
        return true;
    case PIPE_LINKS:
        return read_links(at, size, out);
    case PIPE_LOADED:
        return size == sizeof(struct pipe_loaded);
    case PIPE_STATUS:
        out->status = at;
        return size == sizeof *out->status && out->status->text[PIPE_TEXT_BYTES - 1] == '\0';
    }
    return false;
}

bool pipe_next(struct bytes *packet, struct pipe_record *out) {
    struct pipe_head head;
    struct bytes at = *packet;
    memset(out, 0, sizeof *out);
    *packet = (struct bytes){0};
    if (at.size < sizeof head)
        return false;
    memcpy(&head, at.data, sizeof head);
    if (head.version != PIPE_VERSION || head.size % 8 != 0 || head.size < sizeof head ||
        head.size > at.size || !read_record(at.data, head.size, out))
        return false;
    *packet = (struct bytes){at.data + head.size, at.size - head.size};
    return true;
}
