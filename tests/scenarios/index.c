/* index.c - scenarios 37 and 38: what the broker believes is damaged, lost or a lie; answers are
 * the same, and only slower. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/error.h"
#include "tests/scenarios/liar.h"
#include "tests/scenarios/stage.h"

#define SYSTEM "you see what is in front of you and say so in few words"
#define INDEX_FILE "index/data.mdb"

static void nap(void) {
    nanosleep(&(struct timespec){0, 20000000}, NULL);
}

static void index_path(const struct stage *s, char *out, size_t size) {
    (void)snprintf(out, size, "%s/" INDEX_FILE, s->pool.dir.path);
}

/* Waits until the index has what was told and is in one of two states. */
static struct quire_stats wait_for_index(struct stage *s, uint64_t links,
                                         enum quire_index_state one, enum quire_index_state two) {
    int64_t deadline = clock_ms() + PROCESS_WAIT_MS;
    for (;;) {
        struct quire_stats stats = pool_stats(&s->pool);
        if (stats.index_links >= links && (stats.index_state == one || stats.index_state == two))
            return stats;
        if (clock_ms() > deadline)
            fail_msg("the index is in state %d with %u links: %s", stats.index_state,
                     (unsigned)stats.index_links, stats.index_text);
        nap();
    }
}

static void restart_broker(struct stage *s, int how) {
    process_signal(&s->pool.broker, how);
    if (process_wait(&s->pool.broker, PROCESS_WAIT_MS) < 0)
        fail_msg("the broker does not end");
    quire_close(s->pool.client);
    s->pool.client = NULL;
    pool_start_broker(&s->pool);
    assert_int_equal(quire_open(&s->pool.client, s->pool.clients, PROCESS_WAIT_MS, NULL), 0);
    pool_wait_up(&s->pool, (size_t)s->workers);
}

static void talk_in_turns(struct stage *s, struct talk *t, uint32_t picture) {
    stage_begin(s, t);
    talk_say(t, QUIRE_SYSTEM, SYSTEM);
    for (uint32_t i = 0; i < 4; i++) {
        talk_show(t, gallery_strip(picture + i), "what is this and where is it from");
        talk_say(t, QUIRE_ASSISTANT, "a house by the sea that was always there as far as we know");
    }
    talk_say(t, QUIRE_USER, "go on");
}

#define TALKS 3

static void scenario_37_after_a_restart_of_the_broker_its_index_finds_the_owners(void **state) {
    (void)state;
    struct stage *s = stage_open((struct stage_options){.model = STAGE_MADE});
    struct talk *talks = calloc(TALKS, sizeof *talks);
    char owners[TALKS][65];
    assert_non_null(talks);
    for (uint32_t i = 0; i < TALKS; i++) {
        talk_in_turns(s, &talks[i], 1 + 10 * i);
        stage_ask(s, &talks[i]);
        (void)snprintf(owners[i], sizeof owners[i], "%s", s->now.answer.end.worker);
    }
    for (int how = 0; how < 2; how++) {
        /* Nine segments of each talk and its cold run, and an answer. */
        (void)wait_for_index(s, 2 * TALKS * 10, QUIRE_INDEX_OK, QUIRE_INDEX_OK);
        restart_broker(s, how == 0 ? SIGTERM : SIGKILL);
        for (uint32_t i = 0; i < TALKS; i++) {
            stage_ask_warm(s, &talks[i]);
            assert_string_equal(s->now.answer.end.worker, owners[i]);
            assert_int_equal(s->now.reused, s->now.positions - 1);
        }
    }
    free(talks);
    stage_close(s);
}

/* ---- damage ---- */

static void flip_bits(const char *path) {
    int fd = open(path, O_RDWR);
    struct stat st;
    assert_true(fd >= 0 && fstat(fd, &st) == 0 && st.st_size > 0);
    for (off_t at = 64; at < st.st_size; at += 97) {
        uint8_t byte;
        assert_int_equal(pread(fd, &byte, 1, at), 1);
        byte ^= (uint8_t)(1 << at % 8);
        assert_int_equal(pwrite(fd, &byte, 1, at), 1);
    }
    close(fd);
}

static void cut_in_half(const char *path) {
    struct stat st;
    assert_true(stat(path, &st) == 0 && truncate(path, st.st_size / 2) == 0);
}

static void empty(const char *path) {
    assert_int_equal(truncate(path, 0), 0);
}

static void take_away(const char *path) {
    assert_int_equal(unlink(path), 0);
}

static void write_nonsense(const char *path) {
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    for (int i = 0; i < 40000; i++)
        assert_true(fputc(i * 31 % 251, f) != EOF);
    assert_int_equal(fclose(f), 0);
}

static void scenario_37_a_damaged_or_missing_index_changes_no_answer(void **state) {
    static void (*const damages[])(const char *) = {flip_bits, cut_in_half, empty, take_away,
                                                    write_nonsense};
    (void)state;
    struct stage *s = stage_open((struct stage_options){.model = STAGE_MADE});
    char path[TEMP_PATH_BYTES + 32];
    index_path(s, path, sizeof path);
    for (uint32_t i = 0; i < sizeof damages / sizeof damages[0]; i++) {
        struct talk t;
        talk_in_turns(s, &t, 100 + 10 * i);
        stage_ask(s, &t);
        (void)wait_for_index(s, 10, QUIRE_INDEX_OK, QUIRE_INDEX_REBUILDING);
        damages[i](path); /* under the running broker */
        stage_ask(s, &t);
        stage_expect(s, s->now.positions - 1, 0); /* it knows by itself who has what */
        talk_say(&t, QUIRE_ASSISTANT, s->now.answer.text);
        talk_say(&t, QUIRE_USER, "more of it");
        stage_ask(s, &t);
        /* And then it has to start from that file. */
        struct stat st;
        if (stat(path, &st) == 0)
            damages[i](path);
        restart_broker(s, SIGKILL);
        stage_ask(s, &t);
        assert_int_equal(s->now.ideal, s->now.positions - 1);
        /* In the end it is filled from what the workers hold. */
        (void)wait_for_index(s, 10, QUIRE_INDEX_OK, QUIRE_INDEX_OK);
        stage_ask_warm(s, &t);
        stage_expect(s, s->now.positions - 1, 0);
    }
    stage_close(s);
}

/* A limit on the size of files is what a test can have of a full disk. */
static void
scenario_37_without_room_for_the_index_answers_are_the_same_and_stats_say_so(void **state) {
    (void)state;
    struct rlimit before;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    struct stage *s = stage_open((struct stage_options){.model = STAGE_MADE});
    struct talk t;
    talk_in_turns(s, &t, 200);
    struct rlimit small = {64 << 10, before.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    restart_broker(s, SIGTERM);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    stage_ask(s, &t);
    stage_ask(s, &t);
    stage_expect(s, s->now.positions - 1, 0);
    struct quire_stats stats = wait_for_index(s, 0, QUIRE_INDEX_FULL, QUIRE_INDEX_BROKEN);
    assert_true(strlen(stats.index_text) > 10);
    stage_close(s);
}

/* ---- 38 ---- */

static void
scenario_38_a_worker_that_claims_what_it_does_not_hold_wastes_a_route_and_no_answer(void **state) {
    (void)state;
    struct stage *s = stage_open((struct stage_options){.model = STAGE_MADE});
    struct liar *liar = liar_open(s->pool.workers_endpoint, oracle_engine(s->oracle));
    struct talk t;
    pool_wait_up(&s->pool, (size_t)s->workers + 1);
    talk_in_turns(s, &t, 300);
    liar_claim(liar, &t);
    struct quire_explanation *x;
    int64_t deadline = clock_ms() + PROCESS_WAIT_MS;
    for (x = stage_explain(s, &t); stage_explained(x, LIAR_NAME)->held_positions < 100;
         x = stage_explain(s, &t)) {
        free(x);
        if (clock_ms() > deadline)
            fail_msg("the broker does not take LINKS");
        liar_serve(liar, 20);
    }
    assert_true(stage_explained(x, LIAR_NAME)->chosen);
    free(x);
    /* It gets the request, and hands it back; one that really computes answers. */
    struct answer a;
    uint8_t id[1][QUIRE_ID_BYTES];
    memset(&a, 0, sizeof a);
    struct quire_request *request = talk_request(&t, NULL);
    assert_int_equal(quire_send(s->pool.client, request, id[0], NULL), 0);
    quire_request_free(request);
    while (liar->refused == 0)
        liar_serve(liar, 20);
    liar_close(liar);
    answers_collect(s->pool.client, 1, id, &a, false);
    assert_int_equal(a.end.kind, QUIRE_DONE);
    assert_int_equal(a.end.attempts, 2);
    assert_int_equal(a.end.usage.reused_positions, 0);
    stage_pretend(s, &t);
    s->evicts = true;
    stage_ask(s, &t);
    same_answer(&a, &s->cold);
    stage_close(s);
}

int main(int argc, char **argv) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(scenario_37_after_a_restart_of_the_broker_its_index_finds_the_owners),
        cmocka_unit_test(scenario_37_a_damaged_or_missing_index_changes_no_answer),
        cmocka_unit_test(
            scenario_37_without_room_for_the_index_answers_are_the_same_and_stats_say_so),
        cmocka_unit_test(
            scenario_38_a_worker_that_claims_what_it_does_not_hold_wastes_a_route_and_no_answer),
    };
    stage_arguments(argc, argv);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
