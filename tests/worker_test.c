/* worker_test.c - the real quire-worker, with a test in the broker's place. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/support/worker_stage.h"

#define OTHER_MMPROJ QUIRE_GOLDEN_DIR "/quant/mmproj.gguf"
#define ENDLESS 3000 /* tokens: a second or more of work */

/* ---- programs that end by themselves ---- */

static int run_worker(const char *const *arguments, char **out) {
    const char *argv[PROCESS_MAX_ARGUMENTS] = {STAGE_WORKER};
    for (size_t i = 0; arguments[i] != NULL; i++)
        argv[i + 1] = arguments[i];
    return process_run(argv, NULL, true, out);
}

/* It exits with `code`, and says exactly one line that holds all of the words. */
static void expect_refusal(const char *const *arguments, int code, const char *a, const char *b) {
    char *out;
    assert_int_equal(run_worker(arguments, &out), code);
    char *end = strchr(out, '\n');
    if (end == NULL || end[1] != '\0' || strstr(out, a) == NULL || strstr(out, b) == NULL)
        fail_msg("unexpected words: %s", out);
    free(out);
}

static void test_missing_model_is_said_in_one_line(void **state) {
    (void)state;
    const char *const arguments[] = {"--check", "--model", "/nonexistent/model.gguf", NULL};
    expect_refusal(arguments, error_exit_code(ERR_NOT_FOUND), "/nonexistent/model.gguf",
                   "No such file");
}

static void test_no_model_is_a_wrong_use(void **state) {
    (void)state;
    const char *const arguments[] = {"--name", "w", NULL};
    expect_refusal(arguments, 2, "--model", "quire-worker: ");
}

static void test_unknown_words_are_a_wrong_use(void **state) {
    (void)state;
    const char *const flag[] = {"--modell", "x", NULL};
    const char *const operand[] = {"--model", STAGE_TEXT, "extra", NULL};
    const char *const number[] = {"--model", STAGE_TEXT, "--credits", "1000", NULL};
    const char *const level[] = {"--model", STAGE_TEXT, "--log-level", "loud", NULL};
    expect_refusal(flag, 2, "modell", "");
    expect_refusal(operand, 2, "extra", "");
    expect_refusal(number, 2, "credits", "1000");
    expect_refusal(level, 2, "loud", "");
}

static void test_a_tower_of_another_model_is_refused(void **state) {
    (void)state;
    const char *const arguments[] = {"--check",  "--model",    STAGE_TEXT,
                                     "--mmproj", OTHER_MMPROJ, NULL};
    expect_refusal(arguments, error_exit_code(ERR_BAD_MODEL), OTHER_MMPROJ, "192");
}

static void test_unknown_template_name_is_refused(void **state) {
    (void)state;
    const char *const arguments[] = {"--check",         "--model", STAGE_TEXT,
                                     "--chat-template", "odd",     NULL};
    expect_refusal(arguments, error_exit_code(ERR_UNSUPPORTED), "odd", "smolvlm");
}

static void test_pages_beyond_the_memory_are_refused(void **state) {
    (void)state;
    const char *const much[] = {"--check", "--model", STAGE_TEXT, "--kv-memory", "900T", NULL};
    const char *const little[] = {"--check", "--model", STAGE_TEXT, "--kv-memory", "100", NULL};
    expect_refusal(much, error_exit_code(ERR_NOMEM), "kv-memory", "MiB");
    expect_refusal(little, error_exit_code(ERR_LIMIT), "100 bytes", STAGE_TEXT);
}

static void test_a_damaged_model_is_refused(void **state) {
    (void)state;
    struct temp_dir dir;
    temp_dir_open(&dir);
    FILE *f = fopen(STAGE_TEXT, "rb");
    assert_non_null(f);
    enum { PART = 1 << 20 };
    char *data = malloc(PART);
    assert_non_null(data);
    assert_int_equal(fread(data, 1, PART, f), PART);
    (void)fclose(f);
    char path[TEMP_PATH_BYTES + 16];
    temp_file(&dir, "cut.gguf", data, PART, path, sizeof path);
    const char *const arguments[] = {"--check", "--model", path, NULL};
    expect_refusal(arguments, error_exit_code(ERR_BAD_MODEL), path, "");
    data[0] = 'X';
    temp_file(&dir, "junk.gguf", data, PART, path, sizeof path);
    expect_refusal(arguments, error_exit_code(ERR_BAD_MODEL), path, "");
    free(data);
    temp_dir_close(&dir);
}

static void test_check_says_what_the_model_is(void **state) {
    (void)state;
    const char *const arguments[] = {"--check",  "--model",    STAGE_TEXT,
                                     "--mmproj", STAGE_MMPROJ, NULL};
    expect_refusal(arguments, 0, "random-smolvlm-tiny1: llama, 4 layers", "vision 3 layers");
}

static void test_help_and_version_are_there(void **state) {
    (void)state;
    const char *const help[] = {"--help", NULL};
    const char *const version[] = {"--version", NULL};
    char *out;
    assert_int_equal(run_worker(help, &out), 0);
    assert_non_null(strstr(out, "--mmproj FILE"));
    assert_non_null(strstr(out, "--feature-memory SIZE"));
    free(out);
    expect_refusal(version, 0, "quire-worker ", QUIRE_VERSION);
}

static void test_a_broker_address_that_is_none_is_a_wrong_use(void **state) {
    (void)state;
    const char *const arguments[] = {"--model", STAGE_TEXT,    "--kv-memory", "8M", "--broker",
                                     "nowhere", "--log-level", "off",         NULL};
    expect_refusal(arguments, 2, "nowhere", "connect");
}

/* ---- a worker at work ---- */

/* A second or more of work, in messages so large that the engine waits while nobody reads them. */
static void ask_at_length(struct stage *s, uint8_t ticket) {
    struct question q;
    question_make(&q, ticket, false, ENDLESS);
    q.request.logprobs = LIMIT_LOGPROBS;
    fake_send_work(&s->broker, ticket, &q.request, NULL, 0);
}

static void test_ready_says_who_is_there(void **state) {
    (void)state;
    struct stage s;
    const char *const more[] = {"--credits", "3", "--context", "1000", NULL};
    stage_open(&s, STAGE_MMPROJ, more);
    assert_int_equal(fake_next(&s.broker), MSG_READY);
    struct msg_ready m;
    assert_int_equal(ready_decode(&m, fake_frame(&s.broker), NULL), 0);
    assert_memory_equal(m.name.data, "w0", 2);
    assert_memory_equal(m.model.data, "random-smolvlm-tiny1", 20);
    assert_int_equal(m.template_id.size, 7);
    assert_memory_equal(m.template_id.data, "smolvlm", 7);
    assert_int_equal(m.credits, 3);
    assert_int_equal(m.context, 1000);
    assert_int_equal(m.pid, s.worker.pid);
    assert_true(m.vision);
    assert_true(m.resumes);
    assert_true(m.incarnation != 0);
    assert_true(m.pages_total > 0);
    assert_true(m.version_min <= PROTO_VERSION_MIN && m.version_max >= PROTO_VERSION_MIN);
    uint64_t incarnation = m.incarnation;
    uint32_t pages = m.pages_total;
    fake_welcome(&s.broker);
    fake_expect_beats(&s.broker, 3);
    assert_true(s.broker.beat.incarnation == incarnation);
    assert_int_equal(s.broker.beat.pages_free, pages);
    assert_int_equal(s.broker.beat.active + s.broker.beat.waiting, 0);
    assert_true(s.broker.beat.rss_bytes > 0);
    stage_close(&s);
}

static void test_ready_is_said_again_until_it_is_answered(void **state) {
    (void)state;
    struct stage s;
    stage_open(&s, NULL, NULL);
    assert_int_equal(fake_next(&s.broker), MSG_READY);
    assert_int_equal(fake_next(&s.broker), MSG_READY);
    fake_welcome(&s.broker);
    fake_expect_beats(&s.broker, 2);
    stage_close(&s);
}

static void test_a_question_with_a_picture_is_answered(void **state) {
    (void)state;
    struct stage s;
    struct msg_done done;
    stage_open(&s, STAGE_MMPROJ, NULL);
    stage_come_up(&s);
    stage_ask(&s, 7, true, 8);
    stage_expect_done(&s, 7, &done);
    assert_int_equal(done.usage.answer_tokens, 8);
    assert_int_equal(done.usage.pictures_encoded, 1);
    assert_int_equal(done.reason, FINISH_LENGTH);
    assert_memory_equal(done.worker.data, "w0", done.worker.size);
    assert_int_equal(done.worker.size, 2);
    fake_expect_beats(&s.broker, 2);
    assert_true(s.broker.beat.tokens_total >= 8);
    assert_true(s.broker.beat.tile_us > 0);
    stage_close(&s);
}

static uint32_t n_ids(const struct fake_broker *b) {
    return (uint32_t)(b->reply.ids.size / TOKEN_ID_BYTES);
}

/* Takes the answer of a ticket to its end; ids and text are added at the end of the buffers. */
static void take_answer(struct stage *s, uint64_t ticket, uint8_t *ids, size_t *ids_bytes,
                        char *text, size_t *text_bytes) {
    enum message_type type;
    while ((type = fake_next_answer(&s->broker)) == MSG_TOKENS) {
        struct msg_tokens m;
        assert_int_equal(s->broker.reply.ticket, ticket);
        assert_int_equal(tokens_decode(&m, fake_frame(&s->broker), NULL), 0);
        assert_int_equal(m.index, *ids_bytes / TOKEN_ID_BYTES);
        assert_int_equal(n_ids(&s->broker), m.n_tokens);
        memcpy(ids + *ids_bytes, s->broker.reply.ids.data, s->broker.reply.ids.size);
        memcpy(text + *text_bytes, m.text.data, m.text.size);
        *ids_bytes += s->broker.reply.ids.size;
        *text_bytes += m.text.size;
        tokens_clear(&m);
    }
    assert_int_equal(type, MSG_DONE);
    assert_int_equal(n_ids(&s->broker), 0);
}

static void send_replay(struct stage *s, uint64_t ticket, const struct request *r,
                        struct bytes replay, size_t replay_bytes) {
    struct msg_work work = {.ticket = ticket,
                            .attempt = 1,
                            .deadline_ms = 60000,
                            .replay = replay,
                            .replay_bytes = replay_bytes};
    struct wire_buffer head = {NULL, 0, 0}, body = {NULL, 0, 0};
    assert_int_equal(work_encode(&work, &head), 0);
    assert_int_equal(request_encode(r, &body), 0);
    struct bytes frame = wire_bytes(&body);
    fake_send(&s->broker, &head, &frame, 1);
    wire_buffer_clear(&body);
}

static void test_a_replayed_answer_goes_on_where_it_broke_off(void **state) {
    (void)state;
    enum { TOKENS = 12, HAD = 5 };
    struct stage s;
    struct question q;
    uint8_t ids[2][TOKENS * TOKEN_ID_BYTES];
    char text[2][1024];
    size_t n_whole = 0, n_rest = HAD * TOKEN_ID_BYTES, whole_bytes = 0, rest_bytes = 0;
    stage_open(&s, NULL, NULL);
    stage_come_up(&s);
    question_make(&q, 1, false, TOKENS);
    q.request.logprobs = 1; /* token by token */
    fake_send_work(&s.broker, 1, &q.request, NULL, 0);
    take_answer(&s, 1, ids[0], &n_whole, text[0], &whole_bytes);
    assert_int_equal(n_whole, sizeof ids[0]);

    size_t had_bytes = 0; /* the text of the first tokens, from an answer that ends there */
    uint8_t unused[TOKENS * TOKEN_ID_BYTES];
    size_t n_unused = 0;
    question_make(&q, 2, false, HAD);
    q.request.logprobs = 1;
    fake_send_work(&s.broker, 2, &q.request, NULL, 0);
    take_answer(&s, 2, unused, &n_unused, text[1], &had_bytes);
    assert_memory_equal(unused, ids[0], HAD * TOKEN_ID_BYTES);
    assert_memory_equal(text[0], text[1], had_bytes);

    question_make(&q, 3, false, TOKENS);
    q.request.logprobs = 1;
    send_replay(&s, 3, &q.request, (struct bytes){ids[0], HAD * TOKEN_ID_BYTES}, had_bytes);
    memcpy(ids[1], ids[0], HAD * TOKEN_ID_BYTES);
    take_answer(&s, 3, ids[1], &n_rest, text[1], &rest_bytes);
    assert_memory_equal(ids[0], ids[1], sizeof ids[0]);
    assert_int_equal(had_bytes + rest_bytes, whole_bytes);
    assert_memory_equal(text[0] + had_bytes, text[1], rest_bytes);

    memset(ids[1], 0xff, TOKEN_ID_BYTES); /* a token that no model has */
    send_replay(&s, 4, &q.request, (struct bytes){ids[1], HAD * TOKEN_ID_BYTES}, had_bytes);
    stage_expect_error(&s, 4, ERR_BAD_MESSAGE);
    stage_close(&s);
}

static void test_a_text_model_refuses_a_picture_and_goes_on(void **state) {
    (void)state;
    struct stage s;
    struct msg_done done;
    stage_open(&s, NULL, NULL);
    stage_come_up(&s);
    stage_ask(&s, 1, true, 8);
    stage_expect_error(&s, 1, ERR_BAD_REQUEST);
    stage_ask(&s, 2, false, 8);
    stage_expect_done(&s, 2, &done);
    stage_close(&s);
}

static void test_junk_is_answered_or_dropped_and_harms_nobody(void **state) {
    (void)state;
    struct stage s;
    struct msg_done done;
    stage_open(&s, NULL, NULL);
    stage_come_up(&s);
    struct msg_work work = {.ticket = 5, .attempt = 1, .deadline_ms = 1000};
    struct wire_buffer b = {NULL, 0, 0};
    struct bytes junk = {(const uint8_t *)"\xde\xad\xbe\xef", 4};
    assert_int_equal(work_encode(&work, &b), 0);
    fake_send(&s.broker, &b, &junk, 1); /* no REQUEST in it */
    stage_expect_error(&s, 5, ERR_BAD_MESSAGE);
    work.ticket = 6;
    assert_int_equal(work_encode(&work, &b), 0);
    fake_send(&s.broker, &b, NULL, 0); /* nothing after it */
    stage_expect_error(&s, 6, ERR_BAD_MESSAGE);
    b.data = calloc(1, 4);
    b.size = b.capacity = 4;
    fake_send(&s.broker, &b, &junk, 1); /* no message at all */
    stage_ask(&s, 8, false, 4);
    stage_expect_done(&s, 8, &done);
    stage_close(&s);
}

static void test_a_deadline_that_passed_ends_the_request(void **state) {
    (void)state;
    struct stage s;
    stage_open(&s, NULL, NULL);
    stage_come_up(&s);
    struct question q;
    question_make(&q, 1, false, ENDLESS);
    q.request.deadline_ms = 20;
    fake_send_work(&s.broker, 1, &q.request, NULL, 0);
    stage_expect_error(&s, 1, ERR_DEADLINE);
    stage_close(&s);
}

static void test_cancel_ends_a_request(void **state) {
    (void)state;
    struct stage s;
    struct msg_done done;
    stage_open(&s, NULL, NULL);
    stage_come_up(&s);
    stage_ask(&s, 1, false, ENDLESS);
    stage_expect_tokens(&s, 1);
    fake_send_cancel(&s.broker, 99); /* of nothing */
    fake_send_cancel(&s.broker, 1);
    stage_expect_error(&s, 1, ERR_CANCELLED);
    stage_ask(&s, 2, false, 4);
    stage_expect_done(&s, 2, &done);
    stage_close(&s);
}

static void test_more_than_the_credits_is_refused_as_busy(void **state) {
    (void)state;
    struct stage s;
    const char *const more[] = {"--credits", "1", NULL};
    stage_open(&s, NULL, more);
    stage_come_up(&s);
    stage_ask(&s, 1, false, ENDLESS);
    stage_expect_tokens(&s, 1);
    stage_ask(&s, 2, false, 4);
    enum message_type type;
    while ((type = fake_next_answer(&s.broker)) == MSG_TOKENS)
        assert_int_equal(s.broker.reply.ticket, 1);
    assert_int_equal(type, MSG_ERROR);
    assert_int_equal(s.broker.reply.ticket, 2);
    struct msg_error m;
    assert_int_equal(error_decode(&m, fake_frame(&s.broker), NULL), 0);
    assert_int_equal(m.code, ERR_BUSY);
    stage_close(&s);
}

static void test_drain_shows_in_heartbeats_and_ends(void **state) {
    (void)state;
    struct stage s;
    struct msg_done done;
    stage_open(&s, NULL, NULL);
    stage_come_up(&s);
    fake_send_drain(&s.broker, true);
    fake_wait_draining(&s.broker, true);
    stage_ask(&s, 1, false, 4); /* it crossed with the drain: it is done all the same */
    stage_expect_done(&s, 1, &done);
    fake_send_drain(&s.broker, false);
    fake_wait_draining(&s.broker, false);
    stage_close(&s);
}

static void test_a_broker_that_forgot_gets_ready_and_no_old_answers(void **state) {
    (void)state;
    struct stage s;
    struct msg_done done;
    stage_open(&s, NULL, NULL);
    stage_come_up(&s);
    stage_ask(&s, 1, false, ENDLESS);
    stage_expect_tokens(&s, 1);
    s.broker.known = false;
    enum message_type type;
    while ((type = fake_next_answer(&s.broker)) == MSG_TOKENS)
        ;
    assert_int_equal(type, MSG_READY);
    fake_welcome(&s.broker);
    stage_ask(&s, 2, false, 4);
    stage_expect_done(&s, 2, &done); /* and nothing of ticket 1 between */
    stage_close(&s);
}

static void test_a_restarted_broker_is_found_again(void **state) {
    (void)state;
    struct stage s;
    struct msg_done done;
    stage_open(&s, NULL, NULL);
    stage_come_up(&s);
    stage_ask(&s, 1, false, ENDLESS);
    stage_expect_tokens(&s, 1);
    fake_broker_restart(&s.broker);
    enum message_type type;
    while ((type = fake_next_answer(&s.broker)) == MSG_TOKENS)
        ;
    assert_int_equal(type, MSG_READY);
    fake_welcome(&s.broker);
    stage_ask(&s, 2, false, 4);
    stage_expect_done(&s, 2, &done);
    stage_close(&s);
}

static void test_a_silent_broker_is_called_on_a_new_connection(void **state) {
    (void)state;
    struct stage s;
    stage_open(&s, NULL, NULL);
    s.broker.dead_ms = 4 * FAKE_HEARTBEAT_MS;
    stage_come_up(&s);
    fake_expect_beats(&s.broker, 1);
    uint8_t before[FAKE_IDENTITY_BYTES];
    size_t before_bytes = s.broker.identity_bytes;
    memcpy(before, s.broker.identity, before_bytes);
    s.broker.silent = true;
    s.broker.known = false;
    assert_int_equal(fake_next(&s.broker), MSG_READY);
    assert_false(before_bytes == s.broker.identity_bytes &&
                 memcmp(before, s.broker.identity, before_bytes) == 0);
    stage_expect_log(&s, "broker-silent");
    stage_close(&s);
}

static void test_a_worker_that_is_not_wanted_says_why_and_ends(void **state) {
    (void)state;
    struct stage s;
    stage_open(&s, NULL, NULL);
    assert_int_equal(fake_next(&s.broker), MSG_READY);
    fake_send_error(&s.broker, ERR_BAD_REQUEST, "another process has this name");
    stage_expect_exit(&s, error_exit_code(ERR_BAD_REQUEST));
    stage_expect_log(&s, "quire-worker: the broker at ");
    stage_expect_log(&s, "another process has this name");
    stage_close(&s);
}

static void test_a_broker_that_says_not_now_is_asked_again(void **state) {
    (void)state;
    struct stage s;
    stage_open(&s, NULL, NULL);
    assert_int_equal(fake_next(&s.broker), MSG_READY);
    fake_send_error(&s.broker, ERR_SHUTTING_DOWN, "the broker is shutting down");
    assert_int_equal(fake_next(&s.broker), MSG_READY);
    stage_close(&s);
}

static void test_sigterm_lets_requests_finish(void **state) {
    (void)state;
    struct stage s;
    struct msg_done done;
    stage_open(&s, NULL, NULL);
    stage_come_up(&s);
    ask_at_length(&s, 1);
    stage_expect_tokens(&s, 1);
    process_signal(&s.worker, SIGTERM);
    fake_wait_draining(&s.broker, true);
    stage_ask(&s, 2, false, 4);
    enum message_type type;
    bool refused = false;
    while ((type = fake_next_answer(&s.broker)) != MSG_DONE) {
        refused |= type == MSG_ERROR && s.broker.reply.ticket == 2;
        if (type == MSG_ERROR) {
            struct msg_error m;
            assert_int_equal(error_decode(&m, fake_frame(&s.broker), NULL), 0);
            assert_int_equal(m.code, ERR_SHUTTING_DOWN);
        }
    }
    assert_int_equal(done_decode(&done, fake_frame(&s.broker), NULL), 0);
    assert_int_equal(done.usage.answer_tokens, ENDLESS);
    assert_true(refused);
    assert_int_equal(fake_next(&s.broker), MSG_GOODBYE);
    stage_expect_exit(&s, 0);
    stage_close(&s);
}

static void test_time_to_finish_is_bounded(void **state) {
    (void)state;
    struct stage s;
    const char *const more[] = {"--drain-seconds", "0", NULL};
    stage_open(&s, NULL, more);
    stage_come_up(&s);
    stage_ask(&s, 1, false, ENDLESS);
    stage_expect_tokens(&s, 1);
    process_signal(&s.worker, SIGTERM);
    stage_expect_error(&s, 1, ERR_SHUTTING_DOWN);
    assert_int_equal(fake_next(&s.broker), MSG_GOODBYE);
    stage_expect_exit(&s, 0);
    stage_close(&s);
}

static void test_a_second_signal_ends_it_at_once(void **state) {
    (void)state;
    struct stage s;
    stage_open(&s, NULL, NULL);
    stage_come_up(&s);
    stage_ask(&s, 1, false, ENDLESS);
    stage_expect_tokens(&s, 1);
    process_signal(&s.worker, SIGINT);
    fake_wait_draining(&s.broker, true);
    process_signal(&s.worker, SIGTERM);
    stage_expect_exit(&s, 128 + SIGTERM);
    stage_close(&s);
}

/* CPU time of a process so far, in clock ticks. */
static unsigned long cpu_ticks(const struct process *p) {
    char path[64];
    unsigned long user, system;
    (void)snprintf(path, sizeof path, "/proc/%ld/stat", (long)p->pid);
    char *stat = process_read_file(path);
    assert_non_null(stat);
    const char *after_name = strrchr(stat, ')'); /* then state and ten numbers */
    assert_non_null(after_name);
    assert_int_equal(sscanf(after_name + 1, " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu",
                            &user, &system),
                     2);
    free(stat);
    return user + system;
}

/* Waits until the process has used no CPU time for half a second. */
static unsigned long wait_until_idle(const struct process *p) {
    unsigned long last = 0;
    int quiet = 0;
    for (int i = 0; i < PROCESS_WAIT_MS / 100 && quiet < 5; i++) {
        unsigned long now = cpu_ticks(p);
        quiet = now - last <= 1 ? quiet + 1 : 0;
        last = now;
        (void)usleep(100000);
    }
    assert_int_equal(quiet, 5);
    return last;
}

static void test_a_broker_that_does_not_read_stops_the_engine_and_loses_nothing(void **state) {
    (void)state;
    struct stage s;
    struct msg_done done;
    stage_open(&s, NULL, NULL);
    stage_come_up(&s);
    ask_at_length(&s, 1);
    unsigned long ticks = wait_until_idle(&s.worker);
    stage_expect_done(&s, 1, &done);
    assert_true(cpu_ticks(&s.worker) > ticks + ticks / 5); /* it had stopped half way */
    assert_int_equal(done.usage.answer_tokens, ENDLESS);
    fake_expect_beats(&s.broker, 2);
    stage_close(&s);
}

static void test_it_leaves_when_its_parent_is_killed(void **state) {
    (void)state;
    struct stage s;
    memset(&s, 0, sizeof s);
    temp_dir_open(&s.dir);
    (void)snprintf(s.log, sizeof s.log, "%s/log", s.dir.path);
    fake_broker_open(&s.broker, &s.dir);
    const char *const argv[] = {"/bin/sh",
                                "-c",
                                "\"$0\" \"$@\" & wait",
                                STAGE_WORKER,
                                "--model",
                                STAGE_TEXT,
                                "--broker",
                                s.broker.endpoint,
                                "--threads",
                                "1",
                                "--kv-memory",
                                "64M",
                                "--name",
                                "child",
                                "--die-with-parent",
                                NULL};
    process_start(&s.worker, argv, NULL, s.log);
    stage_come_up(&s);
    fake_expect_beats(&s.broker, 1);
    process_kill(&s.worker); /* the shell */
    assert_int_equal(fake_next(&s.broker), MSG_GOODBYE);
    stage_close(&s);
}

static void test_without_a_broker_it_waits_and_leaves_when_told(void **state) {
    (void)state;
    struct stage s;
    memset(&s, 0, sizeof s);
    temp_dir_open(&s.dir);
    (void)snprintf(s.log, sizeof s.log, "%s/log", s.dir.path);
    (void)snprintf(s.broker.endpoint, sizeof s.broker.endpoint, "ipc://%s/none.ipc", s.dir.path);
    stage_start_worker(&s, NULL, NULL);
    char *log = NULL;
    for (int i = 0; i < 4000 && (log == NULL || strstr(log, "broker-awaited") == NULL); i++) {
        free(log);
        (void)usleep(5000);
        log = process_read_file(s.log);
    }
    assert_non_null(log);
    assert_non_null(strstr(log, "broker-awaited"));
    free(log);
    process_signal(&s.worker, SIGTERM);
    stage_expect_exit(&s, 0);
    temp_dir_close(&s.dir);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_missing_model_is_said_in_one_line),
        cmocka_unit_test(test_no_model_is_a_wrong_use),
        cmocka_unit_test(test_unknown_words_are_a_wrong_use),
        cmocka_unit_test(test_a_tower_of_another_model_is_refused),
        cmocka_unit_test(test_unknown_template_name_is_refused),
        cmocka_unit_test(test_pages_beyond_the_memory_are_refused),
        cmocka_unit_test(test_a_damaged_model_is_refused),
        cmocka_unit_test(test_check_says_what_the_model_is),
        cmocka_unit_test(test_help_and_version_are_there),
        cmocka_unit_test(test_a_broker_address_that_is_none_is_a_wrong_use),
        cmocka_unit_test(test_ready_says_who_is_there),
        cmocka_unit_test(test_ready_is_said_again_until_it_is_answered),
        cmocka_unit_test(test_a_question_with_a_picture_is_answered),
        cmocka_unit_test(test_a_replayed_answer_goes_on_where_it_broke_off),
        cmocka_unit_test(test_a_text_model_refuses_a_picture_and_goes_on),
        cmocka_unit_test(test_junk_is_answered_or_dropped_and_harms_nobody),
        cmocka_unit_test(test_a_deadline_that_passed_ends_the_request),
        cmocka_unit_test(test_cancel_ends_a_request),
        cmocka_unit_test(test_more_than_the_credits_is_refused_as_busy),
        cmocka_unit_test(test_drain_shows_in_heartbeats_and_ends),
        cmocka_unit_test(test_a_broker_that_forgot_gets_ready_and_no_old_answers),
        cmocka_unit_test(test_a_restarted_broker_is_found_again),
        cmocka_unit_test(test_a_silent_broker_is_called_on_a_new_connection),
        cmocka_unit_test(test_a_worker_that_is_not_wanted_says_why_and_ends),
        cmocka_unit_test(test_a_broker_that_says_not_now_is_asked_again),
        cmocka_unit_test(test_sigterm_lets_requests_finish),
        cmocka_unit_test(test_time_to_finish_is_bounded),
        cmocka_unit_test(test_a_second_signal_ends_it_at_once),
        cmocka_unit_test(test_a_broker_that_does_not_read_stops_the_engine_and_loses_nothing),
        cmocka_unit_test(test_it_leaves_when_its_parent_is_killed),
        cmocka_unit_test(test_without_a_broker_it_waits_and_leaves_when_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
