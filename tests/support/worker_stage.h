/* worker_stage.h - the real quire-worker on the tiny SmolVLM, with a test in the broker's place.
 *
 * Every function fails the test when something goes wrong or takes too long. */
#ifndef QUIRE_TESTS_SUPPORT_WORKER_STAGE_H
#define QUIRE_TESTS_SUPPORT_WORKER_STAGE_H

#include <stdbool.h>
#include <stdint.h>

#include "tests/support/fake_broker.h"
#include "tests/support/process.h"
#include "tests/support/temp.h"

#define STAGE_WORKER QUIRE_BIN_DIR "/quire-worker"
#define STAGE_TEXT QUIRE_GOLDEN_DIR "/smolvlm/text.gguf"
#define STAGE_MMPROJ QUIRE_GOLDEN_DIR "/smolvlm/mmproj.gguf"
#define STAGE_PICTURE QUIRE_GOLDEN_DIR "/pictures/p0.png"

struct stage {
    struct temp_dir dir;
    struct fake_broker broker;
    struct process worker;
    char log[TEMP_PATH_BYTES + 16];
};

/* Named w0, one thread, 64M of pages; `more` (NULL at its end) are further arguments. */
void stage_start_worker(struct stage *s, const char *mmproj, const char *const *more);
void stage_open(struct stage *s, const char *mmproj, const char *const *more); /* broker too */
void stage_come_up(struct stage *s);                                           /* READY, WELCOME */
void stage_close(struct stage *s);

void stage_expect_log(struct stage *s, const char *words);
void stage_expect_exit(struct stage *s, int code);

struct question {
    struct request request;
    struct request_message message;
    struct request_part parts[2];
};
/* A greedy question of one message; shows picture 0 when asked to. */
void question_make(struct question *q, uint8_t id, bool picture, uint32_t max_tokens);

/* Sends such a question; the picture is STAGE_PICTURE. */
void stage_ask(struct stage *s, uint64_t ticket, bool picture, uint32_t max_tokens);
/* The next answer is TOKENS of that ticket. */
void stage_expect_tokens(struct stage *s, uint64_t ticket);
/* What comes for the ticket ends with ERROR of that code. */
void stage_expect_error(struct stage *s, uint64_t ticket, int code);
/* It is answered; `done` borrows from the broker's last message. */
void stage_expect_done(struct stage *s, uint64_t ticket, struct msg_done *done);

#endif
