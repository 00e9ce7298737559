/* proto_samples.c - the samples; each number differs, so that two mixed-up keys show. */
#include "proto_samples.h"

#include <string.h>

#include "common/must.h"

#define TEXT(s)                                                                                    \
    { (const uint8_t *)(s), sizeof(s) - 1 }
#define ID(x)                                                                                      \
    {                                                                                              \
        { x, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15 }                                   \
    }
#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

const struct msg_hello sample_hello = {1, 3, TEXT("quire 0.1.0")};
const struct msg_welcome sample_welcome = {1, TEXT("quire 0.1.0"), 500, 2000,
                                           UINT64_C(0x8000000000000001)};
const struct msg_progress sample_progress = {ID(0x21), STAGE_PICTURE, 3, 17};
const struct msg_tokens sample_tokens = {
    .id = ID(0x22), .index = 40, .n_tokens = 2, .text = TEXT("caf\xc3\xa9")};

static const struct token_logprob others[] = {
    {7, -0.25F, TEXT("caf")}, {8, -1.5F, TEXT("\xc3")}, {9, -3.0F, TEXT("")}};
static const struct token_entry entries[] = {
    {7, {7, -0.25F, TEXT("caf")}, others, COUNT(others)},
    {-1, {-1, -9.5F, TEXT("\xc3\xa9")}, NULL, 0},
};
const struct msg_tokens sample_tokens_logprobs = {.id = ID(0x23),
                                                  .index = 5,
                                                  .n_tokens = COUNT(entries),
                                                  .text = TEXT("caf\xc3\xa9"),
                                                  .entries = entries};
const struct msg_done sample_done = {
    .id = ID(0x24),
    .reason = FINISH_STOP,
    .stop = 1,
    .usage = {11, 12, 13, 14, 15, 16, 17},
    .timings = {21, 22, 23, 24, 25, UINT64_C(1) << 40, 27, 28},
    .seed = UINT64_MAX,
    .worker = TEXT("w1"),
    .model = TEXT("demo"),
    .attempts = 2,
    .segment_ends = TEXT("\x07\x00\x00\x00\x0b\x01\x00\x00"),
};
const struct msg_error sample_error = {true,     ID(0x25),           true, 99,
                                       ERR_BUSY, TEXT("queue full"), 1500};
const struct msg_ready sample_ready = {
    .version_min = 1,
    .version_max = 2,
    .name = TEXT("w1"),
    .incarnation = UINT64_C(0xfedcba9876543210),
    .model = TEXT("demo"),
    .template_id = TEXT("smolvlm"),
    .tools = TEXT("hermes"),
    .software = TEXT("quire 0.1.0"),
    .fingerprint = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16},
    .credits = 8,
    .pages_total = 4096,
    .context = 8192,
    .pid = 4711,
    .vision = true,
    .resumes = true,
    .extended = true,
};
#define HEARTBEAT                                                                                  \
    { 31, 32, 33, 34, 35, 36, 37, 38, 39, 40, 41, 42, 43, true }
const struct msg_heartbeat sample_heartbeat = HEARTBEAT;
const struct msg_reply sample_reply = {41, UINT64_C(1) << 33, 2,
                                       TEXT("\x05\x00\x00\x00\x06\x01\x00\x00")};
const struct msg_work sample_work = {
    .ticket = 42,
    .attempt = 3,
    .deadline_ms = 60000,
    .seed = UINT64_C(0xfedcba9876543210),
    .replay = TEXT("\x07\x00\x00\x00\x08\x02\x00\x00\x09\x00\x00\x00"),
    .replay_bytes = UINT64_C(1) << 34,
};
const struct msg_links sample_links = {
    .incarnation = 46,
    .reset = true,
    .held = TEXT("link-of-16-bytes\x40\x00\x00\x00"
                 "another-link-...\x00\x00\x00\x00"),
    .dropped = TEXT("a-link-it-forgot"),
};

static const struct worker_info workers[] = {
    {TEXT("w1"), TEXT("demo"), TEXT("chatml"), TEXT("hermes"), WORKER_UP, 51, 52, 53, 54, 55,
     HEARTBEAT, 56, 57, 58, 59},
    {.name = TEXT("w2"), .state = WORKER_DRAINED},
};
static const struct request_info requests[] = {
    {ID(0x26), 3, 61, 62, 63, 64, TEXT("w1")},
    {ID(0x27), 1, 71, 0, 0, 0, {NULL, 0}},
};
const struct msg_ops_reply sample_ops_workers = {
    .serial = 1, .query = OPS_WORKERS, .workers = workers, .n_workers = COUNT(workers)};
const struct msg_ops_reply sample_ops_requests = {
    .serial = 2, .query = OPS_REQUESTS, .requests = requests, .n_requests = COUNT(requests)};
const struct msg_ops_reply sample_ops_stats = {
    .serial = 3,
    .query = OPS_STATS,
    .stats = {101,
              102,
              103,
              104,
              105,
              106,
              107,
              1075,
              108,
              109,
              110,
              111,
              112,
              113,
              114,
              115,
              116,
              117,
              118,
              119,
              120,
              POLICY_ROUND_ROBIN,
              121,
              122,
              123,
              INDEX_FULL,
              TEXT("the disk is full"),
              124,
              125,
              126},
};

static const struct explained_segment explained_segments[] = {
    {PART_TEXT, ROLE_SYSTEM, 131, 132, true, "the-link-of-text", TEXT("\x00\x01")},
    {PART_PICTURE, ROLE_USER, 133, 134, false, "the-link-of-pict", {NULL, 0}},
};
static const struct explained_worker explained_workers[] = {
    {TEXT("w1"), true, true, true, 141, 142, 143, 144, 145, 146, 147},
    {.name = TEXT("w2"), .held_segments = 1},
};
const struct msg_ops_reply sample_ops_explain = {
    .serial = 5,
    .query = OPS_EXPLAIN,
    .explanation = {true, true, ID(0x2a), POLICY_LEAST_LOADED, 151, 152, 153, explained_segments,
                    COUNT(explained_segments), explained_workers, COUNT(explained_workers)},
};
const struct msg_ops_reply sample_ops_losses = {
    .serial = 6, .query = OPS_LOSSES, .loss = {161, 162, 163, 164, 165}};

/* ---- requests ---- */

static struct bytes stops[] = {TEXT("\n\n"), TEXT("User:")};
static const struct request_part system_parts[] = {{.kind = PART_TEXT, .text = TEXT("Be brief.")}};
static const struct request_part user_parts[] = {
    {PART_PICTURE, {NULL, 0}, 1, 1048576, DETAIL_LOW},
    {.kind = PART_TEXT, .text = TEXT("And in this one?")},
    {.kind = PART_PICTURE, .picture = 0}};
static const struct request_part assistant_parts[] = {{.kind = PART_TEXT}};
static struct request_message messages[] = {
    {ROLE_SYSTEM, system_parts, COUNT(system_parts)},
    {ROLE_USER, user_parts, COUNT(user_parts)},
    {ROLE_ASSISTANT, assistant_parts, COUNT(assistant_parts)},
};

void sample_request(struct request *r) {
    request_init(r);
    r->id = (struct request_id)ID(0x28);
    r->deadline_ms = 30000;
    r->tenant = (struct bytes)TEXT("shop");
    r->model = (struct bytes)TEXT("demo");
    r->sampling = (struct sampling_options){.temperature = 0.5F,
                                            .top_k = 20,
                                            .top_p = 0.75F,
                                            .min_p = 0.125F,
                                            .repeat_penalty = 1.25F,
                                            .presence_penalty = -0.5F,
                                            .frequency_penalty = 0.25F,
                                            .repeat_last_n = 32,
                                            .has_seed = true,
                                            .seed = 0};
    r->max_tokens = 100;
    r->logprobs = 5;
    r->stops = stops;
    r->n_stops = COUNT(stops);
    r->schema = (struct bytes)TEXT("{\"type\": \"object\"}");
    r->count_only = true;
    r->priority = PRIORITY_HIGH;
    r->messages = messages;
    r->n_messages = COUNT(messages);
    r->n_pictures = 2;
}

static const struct request_part small_parts[] = {
    {.kind = PART_PICTURE}, {.kind = PART_TEXT, .text = TEXT("What is this?")}};
static struct request_message small_messages[] = {{ROLE_USER, small_parts, COUNT(small_parts)}};

void sample_request_small(struct request *r) {
    request_init(r);
    r->id = (struct request_id)ID(0);
    r->max_tokens = 64;
    r->sampling.temperature = 0;
    r->messages = small_messages;
    r->n_messages = COUNT(small_messages);
    r->n_pictures = 1;
}

static const struct request_part raw_parts[] = {{.kind = PART_TEXT, .text = TEXT("Once upon")},
                                                {.kind = PART_TEXT, .text = TEXT(" a time")}};
static struct request_message raw_messages[] = {{ROLE_RAW, raw_parts, COUNT(raw_parts)}};

void sample_request_raw(struct request *r) {
    request_init(r);
    r->id = (struct request_id)ID(0x2b);
    r->priority = PRIORITY_LOW;
    r->messages = raw_messages;
    r->n_messages = COUNT(raw_messages);
}

/* ---- all of them ---- */

static struct sample *add(struct sample *out, size_t *n, const char *name, enum message_type type) {
    MUST(*n < SAMPLES_MAX);
    out[*n] = (struct sample){.name = name, .type = type};
    return &out[(*n)++];
}

#define ADD(NAME, TYPE, ENCODE, ...)                                                               \
    MUST(ENCODE(__VA_ARGS__, &add(out, &n, NAME, TYPE)->frame) == 0)

size_t samples_make(struct sample out[SAMPLES_MAX]) {
    size_t n = 0;
    struct request full, small, raw;
    sample_request(&full);
    sample_request_small(&small);
    sample_request_raw(&raw);
    ADD("hello", MSG_HELLO, hello_encode, &sample_hello);
    ADD("welcome", MSG_WELCOME, welcome_encode, &sample_welcome);
    ADD("request", MSG_REQUEST, request_encode, &full);
    out[n - 1].pictures = 2;
    ADD("request-small", MSG_REQUEST, request_encode, &small);
    out[n - 1].pictures = 1;
    ADD("request-raw", MSG_REQUEST, request_encode, &raw);
    ADD("cancel", MSG_CANCEL, cancel_encode, &(struct msg_cancel){ID(0x29)});
    ADD("ops", MSG_OPS, ops_encode,
        &(struct msg_ops){.serial = 4, .query = OPS_DRAIN, .worker = TEXT("w1")});
    ADD("ops-explain", MSG_OPS, ops_encode,
        &(struct msg_ops){.serial = 5, .query = OPS_EXPLAIN, .id = TEXT("0123456789abcdef")});
    ADD("ops-losses", MSG_OPS, ops_encode,
        &(struct msg_ops){.serial = 6, .query = OPS_LOSSES, .worker = TEXT("w1")});
    ADD("ops-workers", MSG_OPS_REPLY, ops_reply_encode, &sample_ops_workers);
    ADD("ops-requests", MSG_OPS_REPLY, ops_reply_encode, &sample_ops_requests);
    ADD("ops-stats", MSG_OPS_REPLY, ops_reply_encode, &sample_ops_stats);
    ADD("ops-explanation", MSG_OPS_REPLY, ops_reply_encode, &sample_ops_explain);
    ADD("ops-loss", MSG_OPS_REPLY, ops_reply_encode, &sample_ops_losses);
    ADD("progress", MSG_PROGRESS, progress_encode, &sample_progress);
    ADD("tokens", MSG_TOKENS, tokens_encode, &sample_tokens);
    ADD("tokens-logprobs", MSG_TOKENS, tokens_encode, &sample_tokens_logprobs);
    ADD("done", MSG_DONE, done_encode, &sample_done);
    ADD("error", MSG_ERROR, error_encode, &sample_error);
    ADD("ready", MSG_READY, ready_encode, &sample_ready);
    ADD("heartbeat", MSG_HEARTBEAT, heartbeat_encode, &sample_heartbeat);
    ADD("goodbye", MSG_GOODBYE, goodbye_encode, &(struct msg_goodbye){44});
    ADD("reply", MSG_REPLY, reply_encode, &sample_reply);
    ADD("work", MSG_WORK, work_encode, &sample_work);
    ADD("cancel-work", MSG_CANCEL_WORK, cancel_work_encode, &(struct msg_cancel_work){45, 3});
    ADD("drain", MSG_DRAIN, drain_encode, &(struct msg_drain){true});
    ADD("beat", MSG_BEAT, beat_encode, &(struct msg_beat){false});
    ADD("links", MSG_LINKS, links_encode, &sample_links);
    MUST(inventory_encode(&add(out, &n, "inventory", MSG_INVENTORY)->frame) == 0);
    return n;
}

void samples_clear(struct sample *samples, size_t n) {
    for (size_t i = 0; i < n; i++)
        wire_buffer_clear(&samples[i].frame);
}
