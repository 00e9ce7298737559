/* worker_stage.c - starting a worker, asking it, and reading what it says. */
#include "tests/support/worker_stage.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include <cmocka.h>

void stage_start_worker(struct stage *s, const char *mmproj, const char *const *more) {
    const char *argv[PROCESS_MAX_ARGUMENTS] = {
        STAGE_WORKER, "--model", STAGE_TEXT,    "--broker", s->broker.endpoint, "--name", "w0",
        "--threads",  "1",       "--kv-memory", "64M"};
    size_t n = 11;
    if (mmproj != NULL) {
        argv[n++] = "--mmproj";
        argv[n++] = mmproj;
    }
    while (more != NULL && *more != NULL)
        argv[n++] = *more++;
    process_start(&s->worker, argv, NULL, s->log);
}

void stage_open(struct stage *s, const char *mmproj, const char *const *more) {
    memset(s, 0, sizeof *s);
    temp_dir_open(&s->dir);
    setenv("QUIRE_PACKS", s->dir.path, 1);
    (void)snprintf(s->log, sizeof s->log, "%s/log", s->dir.path);
    fake_broker_open(&s->broker, &s->dir);
    stage_start_worker(s, mmproj, more);
}

void stage_come_up(struct stage *s) {
    assert_int_equal(fake_next(&s->broker), MSG_READY);
    fake_welcome(&s->broker);
}

void stage_close(struct stage *s) {
    process_kill(&s->worker);
    fake_broker_close(&s->broker);
    temp_dir_close(&s->dir);
}

void stage_expect_log(struct stage *s, const char *words) {
    char *log = process_read_file(s->log);
    assert_non_null(log);
    if (strstr(log, words) == NULL)
        fail_msg("\"%s\" is not in the log:\n%s", words, log);
    free(log);
}

void stage_expect_exit(struct stage *s, int code) {
    int status = process_wait(&s->worker, PROCESS_WAIT_MS);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), code);
}

void question_make(struct question *q, uint8_t id, bool picture, uint32_t max_tokens) {
    memset(q, 0, sizeof *q);
    request_init(&q->request);
    memset(q->request.id.bytes, id, REQUEST_ID_BYTES);
    q->request.sampling.temperature = 0;
    q->request.max_tokens = max_tokens;
    q->request.messages = &q->message;
    q->request.n_messages = 1;
    q->message.role = ROLE_USER;
    q->message.parts = q->parts;
    if (picture) {
        q->parts[q->message.n_parts++] = (struct request_part){.kind = PART_PICTURE};
        q->request.n_pictures = 1;
    }
    q->parts[q->message.n_parts++] =
        (struct request_part){.kind = PART_TEXT, .text = {(const uint8_t *)"Where is it?", 12}};
}

void stage_ask(struct stage *s, uint64_t ticket, bool picture, uint32_t max_tokens) {
    struct question q;
    question_make(&q, (uint8_t)ticket, picture, max_tokens);
    uint8_t data[4096];
    struct bytes shown = {data, 0};
    if (picture) {
        FILE *f = fopen(STAGE_PICTURE, "rb");
        assert_non_null(f);
        shown.size = fread(data, 1, sizeof data, f);
        (void)fclose(f);
    }
    fake_send_work(&s->broker, ticket, &q.request, &shown, picture ? 1 : 0);
}

void stage_expect_tokens(struct stage *s, uint64_t ticket) {
    assert_int_equal(fake_next_answer(&s->broker), MSG_TOKENS);
    assert_int_equal(s->broker.reply.ticket, ticket);
}

void stage_expect_error(struct stage *s, uint64_t ticket, int code) {
    struct msg_error m;
    enum message_type type;
    do
        type = fake_next_answer(&s->broker);
    while (type == MSG_TOKENS);
    assert_int_equal(type, MSG_ERROR);
    assert_int_equal(s->broker.reply.ticket, ticket);
    assert_int_equal(s->broker.reply.attempt, 1);
    assert_int_equal(error_decode(&m, fake_frame(&s->broker), NULL), 0);
    if (m.code != code)
        fail_msg("%.*s", (int)m.text.size, (const char *)m.text.data);
    assert_true(m.has_id);
    assert_true(m.text.size > 0);
}

void stage_expect_done(struct stage *s, uint64_t ticket, struct msg_done *done) {
    uint32_t n_tokens = 0;
    struct msg_tokens tokens;
    enum message_type type;
    while ((type = fake_next_answer(&s->broker)) == MSG_TOKENS) {
        assert_int_equal(s->broker.reply.ticket, ticket);
        assert_int_equal(tokens_decode(&tokens, fake_frame(&s->broker), NULL), 0);
        assert_int_equal(tokens.index, n_tokens);
        n_tokens += tokens.n_tokens;
        tokens_clear(&tokens);
    }
    assert_int_equal(type, MSG_DONE);
    assert_int_equal(s->broker.reply.ticket, ticket);
    assert_int_equal(done_decode(done, fake_frame(&s->broker), NULL), 0);
    assert_int_equal(done->usage.answer_tokens, n_tokens);
}
