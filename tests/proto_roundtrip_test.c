/* proto_roundtrip_test.c - what is written is what is read, for every message and every key. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "fuzz_proto.h"
#include "proto_samples.h"

static struct wire_buffer frame; /* the message of the test that runs */

static int clear_frame(void **state) {
    (void)state;
    wire_buffer_clear(&frame);
    return 0;
}

static void assert_text(struct bytes got, struct bytes expected) {
    assert_int_equal(got.size, expected.size);
    if (expected.size > 0)
        assert_memory_equal(got.data, expected.data, expected.size);
}

static void test_every_sample_is_the_same_after_reading_and_writing(void **state) {
    (void)state;
    struct sample samples[SAMPLES_MAX];
    size_t n = samples_make(samples);
    for (size_t i = 0; i < n; i++) {
        struct error e = {0};
        enum message_type type = MSG_TYPES;
        struct bytes first = wire_bytes(&samples[i].frame);
        assert_int_equal(message_peek(first, &type, &e), 0);
        assert_int_equal(type, samples[i].type);
        struct wire_buffer again = {0};
        if (recode(type, samples[i].pictures, first, &again, &e) != 0)
            fail_msg("%s: %s", samples[i].name, e.text);
        assert_text(wire_bytes(&again), first);
        wire_buffer_clear(&again);
    }
    samples_clear(samples, n);
}

static void test_every_type_has_a_sample(void **state) {
    (void)state;
    struct sample samples[SAMPLES_MAX];
    bool seen[MSG_TYPES] = {false};
    size_t n = samples_make(samples);
    for (size_t i = 0; i < n; i++)
        seen[samples[i].type] = true;
    for (int type = 0; type < MSG_TYPES; type++)
        if (!seen[type])
            fail_msg("no sample of %s", message_name((enum message_type)type));
    samples_clear(samples, n);
}

static void test_handshake_keys_keep_their_values(void **state) {
    (void)state;
    struct msg_hello hello;
    struct msg_welcome welcome;
    assert_int_equal(hello_encode(&sample_hello, &frame), 0);
    assert_int_equal(hello_decode(&hello, wire_bytes(&frame), NULL), 0);
    assert_int_equal(hello.version_min, sample_hello.version_min);
    assert_int_equal(hello.version_max, sample_hello.version_max);
    assert_text(hello.software, sample_hello.software);
    wire_buffer_clear(&frame);
    assert_int_equal(welcome_encode(&sample_welcome, &frame), 0);
    assert_int_equal(welcome_decode(&welcome, wire_bytes(&frame), NULL), 0);
    assert_int_equal(welcome.version, sample_welcome.version);
    assert_int_equal(welcome.heartbeat_ms, sample_welcome.heartbeat_ms);
    assert_int_equal(welcome.dead_ms, sample_welcome.dead_ms);
    assert_text(welcome.software, sample_welcome.software);
    assert_true(welcome.seed == sample_welcome.seed);
}

static void assert_sampling(const struct sampling_options *got,
                            const struct sampling_options *expected) {
    assert_true(got->temperature == expected->temperature);
    assert_true(got->top_k == expected->top_k);
    assert_true(got->top_p == expected->top_p);
    assert_true(got->min_p == expected->min_p);
    assert_true(got->repeat_penalty == expected->repeat_penalty);
    assert_true(got->presence_penalty == expected->presence_penalty);
    assert_true(got->frequency_penalty == expected->frequency_penalty);
    assert_true(got->repeat_last_n == expected->repeat_last_n);
    assert_true(got->has_seed == expected->has_seed);
    assert_true(got->seed == expected->seed);
}

static void assert_messages(const struct request *got, const struct request *expected) {
    assert_int_equal(got->n_messages, expected->n_messages);
    for (size_t i = 0; i < expected->n_messages; i++) {
        const struct request_message *a = &got->messages[i], *b = &expected->messages[i];
        assert_int_equal(a->role, b->role);
        assert_int_equal(a->n_parts, b->n_parts);
        for (size_t k = 0; k < b->n_parts; k++) {
            assert_int_equal(a->parts[k].kind, b->parts[k].kind);
            assert_int_equal(a->parts[k].picture, b->parts[k].picture);
            assert_int_equal(a->parts[k].max_pixels, b->parts[k].max_pixels);
            assert_int_equal(a->parts[k].detail,
                             b->parts[k].detail == DETAIL_LOW ? DETAIL_LOW : DETAIL_HIGH);
            assert_text(a->parts[k].text, b->parts[k].text);
        }
    }
}

static void test_request_keys_keep_their_values(void **state) {
    (void)state;
    struct request in, out;
    sample_request(&in);
    assert_int_equal(request_encode(&in, &frame), 0);
    assert_int_equal(request_decode(&out, wire_bytes(&frame), 2, NULL), 0);
    assert_memory_equal(&out.id, &in.id, sizeof in.id);
    assert_int_equal(out.deadline_ms, in.deadline_ms);
    assert_text(out.tenant, in.tenant);
    assert_text(out.model, in.model);
    assert_sampling(&out.sampling, &in.sampling);
    assert_int_equal(out.max_tokens, in.max_tokens);
    assert_int_equal(out.logprobs, in.logprobs);
    assert_int_equal(out.n_stops, in.n_stops);
    for (size_t i = 0; i < in.n_stops; i++)
        assert_text(out.stops[i], in.stops[i]);
    assert_text(out.schema, in.schema);
    assert_true(out.count_only);
    assert_int_equal(out.priority, PRIORITY_HIGH);
    assert_messages(&out, &in);
    assert_int_equal(out.n_pictures, 2);
    request_clear(&out);
    request_clear(&out);
}

static void test_a_raw_prompt_keeps_its_parts(void **state) {
    (void)state;
    struct request in, out;
    sample_request_raw(&in);
    assert_int_equal(request_encode(&in, &frame), 0);
    assert_int_equal(request_decode(&out, wire_bytes(&frame), 0, NULL), 0);
    assert_int_equal(out.messages[0].role, ROLE_RAW);
    assert_int_equal(out.priority, PRIORITY_LOW);
    assert_messages(&out, &in);
    request_clear(&out);
}

static void test_a_request_that_says_little_gets_the_defaults(void **state) {
    (void)state;
    struct request in, out;
    sample_request_small(&in);
    in.sampling.temperature = 0.8F;
    in.max_tokens = 512;
    assert_int_equal(request_encode(&in, &frame), 0);
    assert_int_equal(request_decode(&out, wire_bytes(&frame), 1, NULL), 0);
    struct sampling_options defaults = {.temperature = 0.8F,
                                        .top_k = 40,
                                        .top_p = 0.95F,
                                        .min_p = 0.05F,
                                        .repeat_penalty = 1,
                                        .repeat_last_n = 64};
    assert_sampling(&out.sampling, &defaults);
    assert_int_equal(out.max_tokens, 512);
    assert_int_equal(out.deadline_ms, LIMIT_DEADLINE_MS);
    assert_int_equal(out.logprobs, 0);
    assert_int_equal(out.n_stops, 0);
    assert_int_equal(out.tenant.size, 0);
    assert_int_equal(out.schema.size, 0);
    assert_false(out.count_only);
    assert_int_equal(out.priority, PRIORITY_NORMAL);
    assert_null(memmem(frame.data, frame.size, "schema", 6));
    assert_null(memmem(frame.data, frame.size, "priority", 8));
    request_clear(&out);
}

static void test_progress_and_tokens_keep_their_values(void **state) {
    (void)state;
    struct msg_progress progress;
    struct msg_tokens tokens;
    assert_int_equal(progress_encode(&sample_progress, &frame), 0);
    assert_int_equal(progress_decode(&progress, wire_bytes(&frame), NULL), 0);
    assert_memory_equal(&progress, &sample_progress, sizeof progress);
    wire_buffer_clear(&frame);
    assert_int_equal(tokens_encode(&sample_tokens, &frame), 0);
    assert_int_equal(tokens_decode(&tokens, wire_bytes(&frame), NULL), 0);
    assert_memory_equal(&tokens.id, &sample_tokens.id, sizeof tokens.id);
    assert_int_equal(tokens.index, sample_tokens.index);
    assert_int_equal(tokens.n_tokens, sample_tokens.n_tokens);
    assert_text(tokens.text, sample_tokens.text);
    assert_null(tokens.entries);
    assert_null(tokens.block);
}

static void assert_logprob(const struct token_logprob *got, const struct token_logprob *expected) {
    assert_int_equal(got->id, expected->id);
    assert_true(got->logprob == expected->logprob);
    assert_text(got->text, expected->text);
}

static void test_logprobs_keep_their_values(void **state) {
    (void)state;
    const struct msg_tokens *in = &sample_tokens_logprobs;
    struct msg_tokens out;
    assert_int_equal(tokens_encode(in, &frame), 0);
    assert_int_equal(tokens_decode(&out, wire_bytes(&frame), NULL), 0);
    assert_int_equal(out.n_tokens, in->n_tokens);
    for (size_t i = 0; i < in->n_tokens; i++) {
        assert_int_equal(out.entries[i].id, in->entries[i].id);
        assert_logprob(&out.entries[i].self, &in->entries[i].self);
        assert_int_equal(out.entries[i].n_others, in->entries[i].n_others);
        for (size_t k = 0; k < in->entries[i].n_others; k++)
            assert_logprob(&out.entries[i].others[k], &in->entries[i].others[k]);
    }
    tokens_clear(&out);
}

static void test_done_keeps_its_values(void **state) {
    (void)state;
    struct msg_done done;
    assert_int_equal(done_encode(&sample_done, &frame), 0);
    assert_int_equal(done_decode(&done, wire_bytes(&frame), NULL), 0);
    assert_memory_equal(&done.id, &sample_done.id, sizeof done.id);
    assert_int_equal(done.reason, sample_done.reason);
    assert_int_equal(done.stop, sample_done.stop);
    assert_memory_equal(&done.usage, &sample_done.usage, sizeof done.usage);
    assert_memory_equal(&done.timings, &sample_done.timings, sizeof done.timings);
    assert_true(done.seed == sample_done.seed);
    assert_text(done.worker, sample_done.worker);
    assert_text(done.model, sample_done.model);
    assert_int_equal(done.attempts, sample_done.attempts);
    assert_text(done.segment_ends, sample_done.segment_ends);
}

static void test_error_keeps_its_values(void **state) {
    (void)state;
    struct msg_error m, bare = {.code = ERR_BAD_MESSAGE};
    assert_int_equal(error_encode(&sample_error, &frame), 0);
    assert_int_equal(error_decode(&m, wire_bytes(&frame), NULL), 0);
    assert_true(m.has_id && m.has_serial);
    assert_memory_equal(&m.id, &sample_error.id, sizeof m.id);
    assert_int_equal(m.serial, sample_error.serial);
    assert_int_equal(m.code, sample_error.code);
    assert_text(m.text, sample_error.text);
    assert_int_equal(m.retry_ms, sample_error.retry_ms);
    wire_buffer_clear(&frame);
    assert_int_equal(error_encode(&bare, &frame), 0);
    assert_int_equal(error_decode(&m, wire_bytes(&frame), NULL), 0);
    assert_false(m.has_id || m.has_serial);
}

static void test_an_error_sentence_is_cut_and_made_valid(void **state) {
    (void)state;
    uint8_t text[LIMIT_ERROR_TEXT_BYTES + 1];
    struct msg_error in = {.code = ERR_IO, .text = {text, sizeof text}}, out;
    memset(text, 'x', sizeof text);
    memcpy(text + LIMIT_ERROR_TEXT_BYTES - 1, "\xc3\xa9", 2); /* the limit splits it */
    assert_int_equal(error_encode(&in, &frame), 0);
    assert_int_equal(error_decode(&out, wire_bytes(&frame), NULL), 0);
    assert_int_equal(out.text.size, LIMIT_ERROR_TEXT_BYTES - 1);
    wire_buffer_clear(&frame);
    memset(text, 0xff, sizeof text);
    assert_int_equal(error_encode(&in, &frame), 0);
    assert_int_equal(error_decode(&out, wire_bytes(&frame), NULL), 0);
    assert_memory_equal(out.text.data, "\xef\xbf\xbd\xef\xbf\xbd", 6);
}

static void test_worker_messages_keep_their_values(void **state) {
    (void)state;
    struct msg_ready ready;
    struct msg_heartbeat beat;
    struct msg_reply reply;
    struct msg_work work;
    assert_int_equal(ready_encode(&sample_ready, &frame), 0);
    assert_int_equal(ready_decode(&ready, wire_bytes(&frame), NULL), 0);
    assert_text(ready.name, sample_ready.name);
    assert_text(ready.model, sample_ready.model);
    assert_text(ready.template_id, sample_ready.template_id);
    assert_text(ready.tools, sample_ready.tools);
    assert_text(ready.software, sample_ready.software);
    assert_true(ready.incarnation == sample_ready.incarnation);
    assert_memory_equal(ready.fingerprint, sample_ready.fingerprint, 16);
    assert_int_equal(ready.version_min, 1);
    assert_int_equal(ready.version_max, 2);
    assert_int_equal(ready.credits, sample_ready.credits);
    assert_int_equal(ready.pages_total, sample_ready.pages_total);
    assert_int_equal(ready.context, sample_ready.context);
    assert_int_equal(ready.pid, sample_ready.pid);
    assert_true(ready.vision);
    assert_true(ready.resumes);
    assert_true(ready.extended);
    wire_buffer_clear(&frame);
    assert_int_equal(heartbeat_encode(&sample_heartbeat, &frame), 0);
    assert_int_equal(heartbeat_decode(&beat, wire_bytes(&frame), NULL), 0);
    assert_memory_equal(&beat, &sample_heartbeat, sizeof beat);
    wire_buffer_clear(&frame);
    assert_int_equal(reply_encode(&sample_reply, &frame), 0);
    assert_int_equal(reply_decode(&reply, wire_bytes(&frame), NULL), 0);
    assert_true(reply.incarnation == sample_reply.incarnation &&
                reply.ticket == sample_reply.ticket && reply.attempt == sample_reply.attempt);
    assert_text(reply.ids, sample_reply.ids);
    wire_buffer_clear(&frame);
    assert_int_equal(work_encode(&sample_work, &frame), 0);
    assert_int_equal(work_decode(&work, wire_bytes(&frame), NULL), 0);
    assert_true(work.ticket == sample_work.ticket && work.seed == sample_work.seed &&
                work.replay_bytes == sample_work.replay_bytes);
    assert_int_equal(work.attempt, sample_work.attempt);
    assert_int_equal(work.deadline_ms, sample_work.deadline_ms);
    assert_text(work.replay, sample_work.replay);
}

static void test_links_keep_their_values(void **state) {
    (void)state;
    struct msg_links m;
    assert_int_equal(links_encode(&sample_links, &frame), 0);
    assert_int_equal(links_decode(&m, wire_bytes(&frame), NULL), 0);
    assert_true(m.incarnation == sample_links.incarnation && m.reset);
    assert_text(m.held, sample_links.held);
    assert_text(m.dropped, sample_links.dropped);
}

static void test_ops_replies_keep_their_values(void **state) {
    (void)state;
    struct msg_ops_reply m;
    assert_int_equal(ops_reply_encode(&sample_ops_workers, &frame), 0);
    assert_int_equal(ops_reply_decode(&m, wire_bytes(&frame), NULL), 0);
    assert_int_equal(m.n_workers, sample_ops_workers.n_workers);
    const struct worker_info *a = &m.workers[0], *b = &sample_ops_workers.workers[0];
    assert_text(a->name, b->name);
    assert_text(a->model, b->model);
    assert_text(a->template_id, b->template_id);
    assert_text(a->tools, b->tools);
    assert_memory_equal(&a->state, &b->state, sizeof *a - offsetof(struct worker_info, state));
    assert_int_equal(m.workers[1].state, WORKER_DRAINED);
    ops_reply_clear(&m);
    wire_buffer_clear(&frame);
    assert_int_equal(ops_reply_encode(&sample_ops_stats, &frame), 0);
    assert_int_equal(ops_reply_decode(&m, wire_bytes(&frame), NULL), 0);
    const struct pool_stats *s = &m.stats, *t = &sample_ops_stats.stats;
    assert_memory_equal(s, t, offsetof(struct pool_stats, index_text));
    assert_text(s->index_text, t->index_text);
    assert_true(s->index_links == t->index_links && s->index_bytes == t->index_bytes &&
                s->index_skipped == t->index_skipped);
    ops_reply_clear(&m);
    wire_buffer_clear(&frame);
    assert_int_equal(ops_reply_encode(&sample_ops_requests, &frame), 0);
    assert_int_equal(ops_reply_decode(&m, wire_bytes(&frame), NULL), 0);
    assert_int_equal(m.n_requests, sample_ops_requests.n_requests);
    for (size_t i = 0; i < m.n_requests; i++) {
        const struct request_info *c = &m.requests[i], *d = &sample_ops_requests.requests[i];
        assert_memory_equal(c, d, offsetof(struct request_info, worker) - 4);
        assert_text(c->worker, d->worker);
    }
    ops_reply_clear(&m);
}

static void test_an_explanation_keeps_its_values(void **state) {
    (void)state;
    struct msg_ops_reply m;
    assert_int_equal(ops_reply_encode(&sample_ops_explain, &frame), 0);
    assert_int_equal(ops_reply_decode(&m, wire_bytes(&frame), NULL), 0);
    const struct explanation *x = &m.explanation, *y = &sample_ops_explain.explanation;
    assert_true(x->found && x->past);
    assert_memory_equal(&x->id, &y->id, sizeof x->id);
    assert_int_equal(x->policy, y->policy);
    assert_int_equal(x->prompt_positions, y->prompt_positions);
    assert_true(x->predicted_us == y->predicted_us && x->first_token_us == y->first_token_us);
    assert_int_equal(x->n_segments, y->n_segments);
    for (size_t i = 0; i < x->n_segments; i++) {
        assert_memory_equal(&x->segments[i], &y->segments[i],
                            offsetof(struct explained_segment, owners));
        assert_text(x->segments[i].owners, y->segments[i].owners);
    }
    assert_int_equal(x->n_workers, y->n_workers);
    for (size_t i = 0; i < x->n_workers; i++) {
        const size_t fits = offsetof(struct explained_worker, fits);
        assert_text(x->workers[i].name, y->workers[i].name);
        assert_memory_equal((const char *)&x->workers[i] + fits,
                            (const char *)&y->workers[i] + fits, sizeof x->workers[i] - fits);
    }
    ops_reply_clear(&m);
    wire_buffer_clear(&frame);
    assert_int_equal(ops_reply_encode(&sample_ops_losses, &frame), 0);
    assert_int_equal(ops_reply_decode(&m, wire_bytes(&frame), NULL), 0);
    assert_memory_equal(&m.loss, &sample_ops_losses.loss, sizeof m.loss);
    ops_reply_clear(&m);
}

/* An older peer leaves the newer keys out, and reads no more from us than it has to. */
static void test_new_keys_are_left_out_at_their_defaults(void **state) {
    (void)state;
    struct msg_ops_reply m, bare = {.serial = 1, .query = OPS_STATS};
    assert_int_equal(ops_reply_encode(&bare, &frame), 0);
    assert_null(memmem(frame.data, frame.size, "explanation", 11));
    assert_null(memmem(frame.data, frame.size, "policy", 6));
    assert_int_equal(ops_reply_decode(&m, wire_bytes(&frame), NULL), 0);
    assert_int_equal(m.stats.policy, POLICY_EARLIEST);
    assert_int_equal(m.stats.index_state, INDEX_OFF);
    assert_int_equal(m.explanation.policy, POLICY_EARLIEST);
    assert_false(m.explanation.found);

    struct msg_done done, ended = {.reason = FINISH_END, .stop = -1};
    wire_buffer_clear(&frame);
    assert_int_equal(done_encode(&ended, &frame), 0);
    assert_null(memmem(frame.data, frame.size, "stop", 4));
    assert_int_equal(done_decode(&done, wire_bytes(&frame), NULL), 0);
    assert_int_equal(done.stop, -1);

    struct msg_work work, first = {.ticket = 1, .attempt = 1, .deadline_ms = 1000};
    wire_buffer_clear(&frame);
    assert_int_equal(work_encode(&first, &frame), 0);
    assert_null(memmem(frame.data, frame.size, "replay", 6));
    assert_null(memmem(frame.data, frame.size, "seed", 4));
    assert_int_equal(work_decode(&work, wire_bytes(&frame), NULL), 0);
    assert_int_equal(work.replay.size, 0);
    assert_true(work.seed == 0 && work.replay_bytes == 0);
    struct msg_reply reply, mute = {.incarnation = 1, .ticket = 1, .attempt = 1};
    wire_buffer_clear(&frame);
    assert_int_equal(reply_encode(&mute, &frame), 0);
    assert_null(memmem(frame.data, frame.size, "ids", 3));
    assert_int_equal(reply_decode(&reply, wire_bytes(&frame), NULL), 0);
    assert_int_equal(reply.ids.size, 0);
}

static void test_a_state_of_the_index_is_cut_and_made_valid(void **state) {
    (void)state;
    uint8_t text[LIMIT_ERROR_TEXT_BYTES + 1];
    struct msg_ops_reply out, in = {.query = OPS_STATS};
    memset(text, 0xff, sizeof text);
    in.stats.index_text = (struct bytes){text, sizeof text};
    assert_int_equal(ops_reply_encode(&in, &frame), 0);
    assert_int_equal(ops_reply_decode(&out, wire_bytes(&frame), NULL), 0);
    assert_true(out.stats.index_text.size <= LIMIT_ERROR_TEXT_BYTES);
    assert_memory_equal(out.stats.index_text.data, "\xef\xbf\xbd", 3);
}

static void test_encoding_appends_to_what_the_buffer_holds(void **state) {
    (void)state;
    assert_int_equal(beat_encode(&(struct msg_beat){true}, &frame), 0);
    size_t one = frame.size;
    assert_int_equal(beat_encode(&(struct msg_beat){true}, &frame), 0);
    assert_int_equal(frame.size, 2 * one);
    assert_memory_equal(frame.data, frame.data + one, one);
}

static void test_the_highest_shared_version_is_chosen(void **state) {
    (void)state;
    assert_int_equal(version_choose(1, 1), 1);
    assert_int_equal(version_choose(1, 99), PROTO_VERSION_MAX);
    assert_int_equal(version_choose(PROTO_VERSION_MAX + 1, 99), 0);
    assert_int_equal(version_choose(0, 0), 0);
    assert_int_equal(version_choose(2, 1), 0);
}

#define TEST(f) cmocka_unit_test_teardown(f, clear_frame)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_every_sample_is_the_same_after_reading_and_writing),
        TEST(test_every_type_has_a_sample),
        TEST(test_handshake_keys_keep_their_values),
        TEST(test_request_keys_keep_their_values),
        TEST(test_a_raw_prompt_keeps_its_parts),
        TEST(test_a_request_that_says_little_gets_the_defaults),
        TEST(test_progress_and_tokens_keep_their_values),
        TEST(test_logprobs_keep_their_values),
        TEST(test_done_keeps_its_values),
        TEST(test_error_keeps_its_values),
        TEST(test_an_error_sentence_is_cut_and_made_valid),
        TEST(test_worker_messages_keep_their_values),
        TEST(test_links_keep_their_values),
        TEST(test_ops_replies_keep_their_values),
        TEST(test_an_explanation_keeps_its_values),
        TEST(test_new_keys_are_left_out_at_their_defaults),
        TEST(test_a_state_of_the_index_is_cut_and_made_valid),
        TEST(test_encoding_appends_to_what_the_buffer_holds),
        TEST(test_the_highest_shared_version_is_chosen),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
