/* way_http.c - requests as chat completions over HTTP, streamed.
 *
 * What a replay measures comes in the "quire" object that the gateway adds to a stream's last chunk
 * (Quire-Details, gateway/API.md). Each call reads its stream by lines; what they say becomes
 * events in one queue, in the order in which they came. */
#include <curl/curl.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/random.h>

#include "client/cli/cli.h"
#include "client/cli/replay/way.h"
#include "client/cli/replay/way_body.h"
#include "client/cli/replay/way_probe.h"

#define LINE_BYTES_MAX ((size_t)8 << 20) /* of a stream; longer ones are not the gateway's */
#define KEY_BYTES 256
#define RETRY_MAX_MS 600000 /* that a gateway may ask us to wait */

struct told { /* an event that was not asked for yet */
    struct quire_event event;
    struct told *next;
    uint32_t ends[LIMIT_SEGMENT_ENDS];
    char text[]; /* of TOKENS */
};

struct call {
    struct http_way *way;
    CURL *easy;
    char *body;
    struct cli_text line; /* the begin of one that is not whole yet; of a refusal: all of it */
    uint8_t id[QUIRE_ID_BYTES];
    enum quire_finish finish;
    bool ended; /* DONE or FAILED is in the queue */
    uint32_t retry_ms;
    struct call *next;
};

struct http_way {
    struct way way;
    CURLM *multi;
    struct curl_slist *headers;
    char url[WAY_URL_BYTES + 32];
    struct call *calls;
    struct told *first, *last, *given; /* given: what the caller of next has now */
};

/* ---- events ---- */

static struct told *tell(struct call *c, enum quire_event_kind kind, size_t text_bytes) {
    struct told *t = calloc(1, sizeof *t + text_bytes);
    if (t == NULL)
        return NULL;
    t->event.kind = kind;
    t->event.last = kind == QUIRE_DONE || kind == QUIRE_FAILED;
    t->event.stop = -1;
    memcpy(t->event.id, c->id, sizeof t->event.id);
    if (c->way->last != NULL)
        c->way->last->next = t;
    else
        c->way->first = t;
    c->way->last = t;
    c->ended = c->ended || t->event.last;
    return t;
}

static void tell_failure(struct call *c, int code, const char *text) {
    struct told *t = c->ended ? NULL : tell(c, QUIRE_FAILED, 0);
    if (t == NULL)
        return;
    t->event.error.code = code;
    t->event.error.retry_ms = c->retry_ms;
    (void)snprintf(t->event.error.text, sizeof t->event.error.text, "%s", text);
}

/* ---- what a stream says ---- */

static void take_text(struct call *c, const json_t *choice) {
    const json_t *content = json_object_get(json_object_get(choice, "delta"), "content");
    const char *finish = json_string_value(json_object_get(choice, "finish_reason"));
    if (finish != NULL)
        c->finish = strcmp(finish, "length") == 0 ? QUIRE_FINISH_LENGTH : QUIRE_FINISH_END;
    size_t bytes = json_string_length(content);
    struct told *t = bytes > 0 ? tell(c, QUIRE_TOKENS, bytes) : NULL;
    if (t == NULL)
        return;
    memcpy(t->text, json_string_value(content), bytes);
    t->event.text = t->text;
    t->event.text_bytes = bytes;
}

static uint32_t count(const json_t *object, const char *key) {
    json_int_t n = json_integer_value(json_object_get(object, key));
    return n > 0 && n <= UINT32_MAX ? (uint32_t)n : 0;
}

static uint64_t micros(const json_t *timings, const char *key) {
    double ms = json_number_value(json_object_get(timings, key));
    return ms > 0 ? (uint64_t)(ms * 1000 + 0.5) : 0;
}

static void take_details(struct call *c, const json_t *quire) {
    const json_t *usage = json_object_get(quire, "usage");
    const json_t *timings = json_object_get(quire, "timings");
    const json_t *segments = json_object_get(quire, "segments");
    struct told *t = tell(c, QUIRE_DONE, 0);
    if (t == NULL)
        return;
    t->event.finish = c->finish;
    t->event.usage = (struct quire_usage){
        .prompt_positions = count(usage, "prompt_positions"),
        .reused_positions = count(usage, "reused_positions"),
        .answer_tokens = count(usage, "answer_tokens"),
        .pictures = count(usage, "pictures"),
        .pictures_encoded = count(usage, "pictures_encoded"),
        .tiles_encoded = count(usage, "tiles_encoded"),
        .picture_positions = count(usage, "picture_positions"),
    };
    t->event.timings = (struct quire_timings){
        .queue_us = micros(timings, "queue_ms"),
        .wait_us = micros(timings, "wait_ms"),
        .picture_us = micros(timings, "picture_ms"),
        .prefill_us = micros(timings, "prefill_ms"),
        .first_token_us = micros(timings, "first_token_ms"),
        .decode_us = micros(timings, "decode_ms"),
        .total_us = micros(timings, "total_ms"),
        .predicted_us = micros(timings, "predicted_ms"),
    };
    const char *worker = json_string_value(json_object_get(quire, "worker"));
    (void)snprintf(t->event.worker, sizeof t->event.worker, "%s", worker != NULL ? worker : "");
    size_t i;
    const json_t *segment;
    json_array_foreach(segments, i, segment) {
        if (t->event.n_segment_ends < LIMIT_SEGMENT_ENDS)
            t->ends[t->event.n_segment_ends++] = count(segment, "ends_at");
    }
    t->event.segment_ends = t->ends;
}

/* The sentence of {"error": {"message": ..}}, or what there is. */
static void take_refusal(struct call *c, const char *data, size_t bytes, long status) {
    json_t *root = json_loadb(data, bytes, 0, NULL);
    const char *said =
        json_string_value(json_object_get(json_object_get(root, "error"), "message"));
    char text[256];
    (void)snprintf(text, sizeof text, "HTTP status %ld", status);
    tell_failure(c, status == 429 ? ERR_BUSY : ERR_IO, said != NULL ? said : text);
    json_decref(root);
}

static void take_line(struct call *c, const char *line, size_t bytes) {
    static const char data[] = "data: ";
    if (bytes < sizeof data - 1 || memcmp(line, data, sizeof data - 1) != 0)
        return;
    line += sizeof data - 1;
    bytes -= sizeof data - 1;
    json_t *root = json_loadb(line, bytes, 0, NULL); /* "[DONE]" is no object */
    const json_t *quire = json_object_get(root, "quire");
    if (json_object_get(root, "error") != NULL)
        take_refusal(c, line, bytes, 200);
    take_text(c, json_array_get(json_object_get(root, "choices"), 0));
    if (quire != NULL && !c->ended)
        take_details(c, quire);
    json_decref(root);
}

static size_t take_bytes(char *data, size_t one, size_t n, void *user) {
    struct call *c = user;
    long status = 0;
    (void)one;
    (void)curl_easy_getinfo(c->easy, CURLINFO_RESPONSE_CODE, &status);
    if (!cli_text_add(&c->line, data, n) || c->line.size > LINE_BYTES_MAX)
        return 0;
    if (status != 200)
        return n;
    size_t begin = 0;
    char *end;
    while ((end = memchr(c->line.data + begin, '\n', c->line.size - begin)) != NULL) {
        size_t bytes = (size_t)(end - c->line.data) - begin;
        take_line(c, c->line.data + begin, bytes);
        begin += bytes + 1;
    }
    memmove(c->line.data, c->line.data + begin, c->line.size - begin);
    c->line.size -= begin;
    return n;
}

/* Retry-After-Ms says more exactly what Retry-After says. The line has no NUL at its end. */
static size_t take_header(char *data, size_t one, size_t n, void *user) {
    static const char name[] = "retry-after-ms:";
    struct call *c = user;
    char value[32];
    size_t skip = sizeof name - 1;
    (void)one;
    if (n <= skip || strncasecmp(data, name, skip) != 0)
        return n;
    (void)snprintf(value, sizeof value, "%.*s", (int)(n - skip), data + skip);
    unsigned long ms = strtoul(value, NULL, 10);
    c->retry_ms = ms < RETRY_MAX_MS ? (uint32_t)ms : RETRY_MAX_MS;
    return n;
}

/* ---- calls ---- */

static void drop_call(struct call *c) {
    struct call **at = &c->way->calls;
    while (*at != NULL && *at != c)
        at = &(*at)->next;
    if (*at == c)
        *at = c->next;
    if (c->easy != NULL)
        (void)curl_multi_remove_handle(c->way->multi, c->easy);
    curl_easy_cleanup(c->easy);
    free(c->line.data);
    free(c->body);
    free(c);
}

static bool set_up(struct call *c, const struct http_way *w, size_t body_bytes) {
    CURL *h = c->easy;
    return curl_easy_setopt(h, CURLOPT_URL, w->url) == CURLE_OK &&
           curl_easy_setopt(h, CURLOPT_PROTOCOLS_STR, "http,https") == CURLE_OK &&
           curl_easy_setopt(h, CURLOPT_HTTPHEADER, w->headers) == CURLE_OK &&
           curl_easy_setopt(h, CURLOPT_POSTFIELDS, c->body) == CURLE_OK &&
           curl_easy_setopt(h, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)body_bytes) == CURLE_OK &&
           curl_easy_setopt(h, CURLOPT_WRITEFUNCTION, take_bytes) == CURLE_OK &&
           curl_easy_setopt(h, CURLOPT_WRITEDATA, c) == CURLE_OK &&
           curl_easy_setopt(h, CURLOPT_HEADERFUNCTION, take_header) == CURLE_OK &&
           curl_easy_setopt(h, CURLOPT_HEADERDATA, c) == CURLE_OK &&
           curl_easy_setopt(h, CURLOPT_TIMEOUT_MS, (long)WAY_DEADLINE_MS) == CURLE_OK &&
           curl_easy_setopt(h, CURLOPT_TCP_NODELAY, 1L) == CURLE_OK &&
           curl_easy_setopt(h, CURLOPT_PRIVATE, c) == CURLE_OK &&
           curl_multi_add_handle(w->multi, h) == CURLM_OK;
}

static int send_http(struct way *way, const struct talk *talk, uint32_t max_tokens,
                     uint8_t id[QUIRE_ID_BYTES], struct error *e) {
    struct http_way *w = (struct http_way *)way;
    struct call *c = calloc(1, sizeof *c);
    size_t bytes = 0;
    if (c == NULL)
        return error_set(e, ERR_NOMEM, "memory ran out for a request");
    c->way = w;
    c->next = w->calls;
    w->calls = c;
    c->finish = QUIRE_FINISH_END;
    c->body = way_body(talk, max_tokens, &bytes);
    c->easy = curl_easy_init();
    int rc = 0;
    if (getrandom(c->id, sizeof c->id, 0) != (ssize_t)sizeof c->id)
        rc = error_set(e, ERR_IO, "the system gave no random numbers");
    else if (c->body == NULL || c->easy == NULL || !set_up(c, w, bytes))
        rc = error_set(e, ERR_NOMEM, "memory ran out for a request");
    if (rc != 0) {
        drop_call(c);
        return rc;
    }
    memcpy(id, c->id, sizeof c->id);
    return 0;
}

/* A transfer is over; what it did not say by itself is said now. */
static void finish_call(struct call *c, CURLcode result) {
    long status = 0;
    (void)curl_easy_getinfo(c->easy, CURLINFO_RESPONSE_CODE, &status);
    if (result != CURLE_OK)
        tell_failure(c, ERR_IO, curl_easy_strerror(result));
    else if (status != 200)
        take_refusal(c, c->line.size > 0 ? c->line.data : "", c->line.size, status);
    else
        tell_failure(c, ERR_IO, "the stream ended without its last chunk");
    drop_call(c);
}

static void finish_calls(struct http_way *w) {
    const CURLMsg *m;
    int left;
    while ((m = curl_multi_info_read(w->multi, &left)) != NULL) {
        char *c = NULL;
        CURLcode result = m->data.result;
        if (m->msg == CURLMSG_DONE &&
            curl_easy_getinfo(m->easy_handle, CURLINFO_PRIVATE, &c) == CURLE_OK)
            finish_call((struct call *)(void *)c, result);
    }
}

static int next_http(struct way *way, int timeout_ms, struct quire_event *event, struct error *e) {
    struct http_way *w = (struct http_way *)way;
    int running;
    free(w->given);
    w->given = NULL;
    for (int round = 0; w->first == NULL && round < 2; round++) {
        if (round > 0 && timeout_ms > 0)
            (void)curl_multi_poll(w->multi, NULL, 0, timeout_ms, NULL);
        if (curl_multi_perform(w->multi, &running) != CURLM_OK)
            return error_set(e, ERR_IO, "libcurl can't go on");
        finish_calls(w);
    }
    if (w->first == NULL)
        return 0;
    w->given = w->first;
    w->first = w->given->next;
    if (w->first == NULL)
        w->last = NULL;
    *event = w->given->event;
    return 1;
}

/* ---- opening and closing ---- */

static void close_http(struct way *way) {
    struct http_way *w = (struct http_way *)way;
    while (w->calls != NULL)
        drop_call(w->calls);
    for (struct told *t = w->first; t != NULL; t = w->first) {
        w->first = t->next;
        free(t);
    }
    free(w->given);
    curl_slist_free_all(w->headers);
    if (w->multi != NULL)
        (void)curl_multi_cleanup(w->multi);
    curl_global_cleanup();
    free(w);
}

static bool add_header(struct http_way *w, const char *header) {
    struct curl_slist *grown = curl_slist_append(w->headers, header);
    if (grown != NULL)
        w->headers = grown;
    return grown != NULL;
}

/* The handles and headers of a way that was allocated. */
static int fill(struct http_way *w, const char *key, struct error *e) {
    char bearer[KEY_BYTES + 32];
    if (key != NULL && (strlen(key) > KEY_BYTES || strpbrk(key, "\r\n") != NULL))
        return error_set(e, ERR_USAGE, "--key: this is no key of a gateway");
    (void)snprintf(bearer, sizeof bearer, "Authorization: Bearer %s", key != NULL ? key : "");
    w->multi = curl_multi_init();
    if (w->multi == NULL || !add_header(w, "Content-Type: application/json") ||
        !add_header(w, "Quire-Details: 1") || !add_header(w, "Expect:") ||
        (key != NULL && !add_header(w, bearer)))
        return error_set(e, ERR_NOMEM, "libcurl can't start");
    return 0;
}

int way_open_http(struct way **out, const char *url, const char *key, struct error *e) {
    *out = NULL;
    size_t n = strlen(url);
    while (n > 0 && url[n - 1] == '/')
        n--;
    if (n > WAY_URL_BYTES)
        return error_set(e, ERR_USAGE, "--http: the URL has more than %d bytes", WAY_URL_BYTES);
    struct http_way *w = calloc(1, sizeof *w);
    if (w == NULL || curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK) {
        free(w);
        return error_set(e, ERR_NOMEM, "libcurl can't start");
    }
    w->way = (struct way){send_http, next_http, close_http};
    (void)snprintf(w->url, sizeof w->url, "%.*s/v1/chat/completions", (int)n, url);
    int rc = way_probe(url, n, e);
    if (rc == 0)
        rc = fill(w, key, e);
    if (rc == 0)
        *out = &w->way;
    else
        close_http(&w->way);
    return rc;
}
