/* way.c - requests as messages to the broker; and the choice between that and HTTP (way_http.c). */
#include "client/cli/replay/way.h"

#include <stdlib.h>

#include "client/cli/cli.h"

struct broker_way {
    struct way way;
    struct quire_client *client;
};

static int send_message(struct way *w, const struct talk *talk, uint32_t max_tokens,
                        uint8_t id[QUIRE_ID_BYTES], struct error *e) {
    struct broker_way *b = (struct broker_way *)w;
    struct quire_request *request = NULL;
    struct quire_error qe = {0};
    int rc = talk_to_request(talk, max_tokens, WAY_DEADLINE_MS, &request, e);
    if (rc == 0) {
        rc = quire_send(b->client, request, id, &qe);
        if (rc != 0)
            (void)error_set(e, rc, "%s", qe.text);
    }
    quire_request_free(request);
    return rc;
}

static int next_message(struct way *w, int timeout_ms, struct quire_event *event, struct error *e) {
    struct quire_error qe = {0};
    int rc = quire_next(((struct broker_way *)w)->client, timeout_ms, event, &qe);
    return rc < 0 ? error_set(e, rc, "%s", qe.text) : rc;
}

static void close_broker(struct way *w) {
    quire_close(((struct broker_way *)w)->client);
    free(w);
}

int way_open_broker(struct way **out, const char *endpoint, struct quire_stats *stats,
                    struct error *e) {
    struct quire_error qe = {0};
    struct broker_way *b = calloc(1, sizeof *b);
    *out = NULL;
    if (b == NULL)
        return error_set(e, ERR_NOMEM, "memory ran out for the replay");
    b->way = (struct way){send_message, next_message, close_broker};
    int rc = quire_open(&b->client, endpoint, CLI_CONNECT_MS, &qe);
    if (rc == 0)
        rc = quire_stats(b->client, CLI_CONNECT_MS, stats, &qe);
    if (rc != 0) {
        close_broker(&b->way);
        return error_set(e, rc, "%s", qe.text);
    }
    *out = &b->way;
    return 0;
}

int way_send(struct way *w, const struct talk *talk, uint32_t max_tokens,
             uint8_t id[QUIRE_ID_BYTES], struct error *e) {
    return w->send(w, talk, max_tokens, id, e);
}

int way_next(struct way *w, int timeout_ms, struct quire_event *event, struct error *e) {
    return w->next(w, timeout_ms, event, e);
}

void way_close(struct way *w) {
    if (w != NULL)
        w->close(w);
}
