/* broker_index_test.c - the real broker with its index, and workers that tell what they hold:
 * owners are found again after a restart, and answers come whatever happens to the index. */
#include "tests/stub_pool.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "common/clock.h"

static struct bytes text_bytes(const char *text) {
    return (struct bytes){(const uint8_t *)text, strlen(text)};
}

static void test_each_topic_goes_to_the_worker_that_holds_it(void **state) {
    (void)state;
    static struct stub_pool p;
    stub_pool_open(&p, NULL);
    assert_true(p.owner[0] != p.owner[1] || p.owner[1] != p.owner[2]);
    stub_pool_check(&p);
    stub_pool_expect_index(&p.r, p.client, INDEX_OK, INDEX_OK, "");
    rig_close(&p.r);
}

static void owners_are_found_after(int how) {
    static struct stub_pool p;
    stub_pool_open(&p, NULL);
    stub_pool_wait_recorded(&p.r, p.client, STUB_POOL_LINKS);
    stub_pool_restart_broker(&p.r, how);
    for (int i = 2; i >= 0; i--) /* and none of them answers INVENTORY */
        stub_ready(&p.r, &p.stubs[i]);
    stub_pool_check(&p);
    rig_close(&p.r);
}

static void test_the_first_request_after_a_restart_finds_its_owner(void **state) {
    (void)state;
    owners_are_found_after(SIGTERM);
}

static void test_a_killed_broker_s_successor_finds_the_owners(void **state) {
    (void)state;
    owners_are_found_after(SIGKILL);
}

static void test_a_request_waits_a_moment_for_its_owner_to_come_back(void **state) {
    (void)state;
    static struct stub_pool p;
    stub_pool_open(&p, NULL);
    stub_pool_wait_recorded(&p.r, p.client, STUB_POOL_LINKS);
    stub_pool_restart_broker(&p.r, SIGKILL);
    int owner = p.owner[3], other = (owner + 1) % 3;
    stub_ready(&p.r, &p.stubs[other]);
    stub_ask(p.client, 200, 3);
    assert_false(rig_await(&p.r, p.stubs[other].socket, MSG_WORK, 200));
    stub_ready(&p.r, &p.stubs[owner]);
    rig_expect(&p.r, p.stubs[owner].socket, MSG_WORK);
    stub_serve(&p.r, &p.stubs[owner], 200);
    rig_expect(&p.r, p.client, MSG_DONE);
    rig_close(&p.r);
}

static void test_without_an_index_all_works_but_for_restarts(void **state) {
    (void)state;
    static struct stub_pool p;
    char path[TEMP_PATH_BYTES + 16];
    struct stat st;
    stub_pool_open(&p, (const char *[]){"--index", "off", NULL});
    stub_pool_check(&p);
    stub_pool_expect_index(&p.r, p.client, INDEX_OFF, INDEX_OFF, "");
    (void)snprintf(path, sizeof path, "%s/index", p.r.dir.path);
    assert_int_not_equal(stat(path, &st), 0);
    stub_pool_restart_broker(&p.r, SIGTERM);
    for (int i = 0; i < 3; i++)
        stub_ready(&p.r, &p.stubs[i]);
    (void)stub_pool_ask(&p.r, p.stubs, 3, p.client, 200, 0);
    rig_close(&p.r);
}

/* ---- what operators ask ---- */

static void test_explain_and_losses_are_answered(void **state) {
    (void)state;
    static struct stub_pool p;
    struct msg_ops_reply reply;
    struct wire_buffer b = {0}, q = {0};
    struct error e;
    stub_pool_open(&p, NULL);
    rig_query(&p.r, p.client, OPS_EXPLAIN, "", &reply); /* the last one */
    assert_true(reply.explanation.found && reply.explanation.past);
    assert_int_equal(reply.explanation.id.bytes[0], p.id);
    assert_int_equal(reply.explanation.n_segments, 2);
    assert_int_equal(reply.explanation.n_workers, 3);
    ops_reply_clear(&reply);

    char system[3000]; /* one that comes now, about topic 2 */
    memset(system, 'a' + 2, sizeof system);
    struct request_part parts[] = {
        {.kind = PART_TEXT, .text = {(const uint8_t *)system, sizeof system}},
        {.kind = PART_TEXT, .text = text_bytes("and now?")}};
    struct request_message messages[] = {{.role = ROLE_SYSTEM, .parts = parts, .n_parts = 1},
                                         {.role = ROLE_USER, .parts = parts + 1, .n_parts = 1}};
    struct request r;
    request_init(&r);
    r.messages = messages;
    r.n_messages = 2;
    assert_int_equal(request_encode(&r, &q), 0);
    assert_int_equal(ops_encode(&(struct msg_ops){.serial = 5, .query = OPS_EXPLAIN}, &b), 0);
    rig_send_frames(p.client, &b, 1, q.data, q.size);
    wire_buffer_clear(&q);
    rig_expect(&p.r, p.client, MSG_OPS_REPLY);
    assert_int_equal(ops_reply_decode(&reply, wire_frame(&p.r.message, 0), &e), 0);
    assert_int_equal(reply.serial, 5);
    assert_true(reply.explanation.found && !reply.explanation.past);
    assert_int_equal(reply.explanation.segments[0].owners.size, 1);
    for (size_t i = 0; i < reply.explanation.n_workers; i++)
        if (reply.explanation.workers[i].chosen)
            assert_memory_equal(reply.explanation.workers[i].name.data, p.stubs[p.owner[2]].name,
                                2);
    ops_reply_clear(&reply);

    rig_query(&p.r, p.client, OPS_LOSSES, "w0", &reply);
    assert_true(reply.loss.links % 2 == 0);
    ops_reply_clear(&reply);
    struct msg_ops nobody = {.serial = 9, .query = OPS_LOSSES, .worker = text_bytes("nobody")};
    assert_int_equal(ops_encode(&nobody, &b), 0);
    rig_send(p.client, &b);
    struct msg_error error = rig_expect_error(&p.r, p.client);
    assert_int_equal(error.code, ERR_NOT_FOUND);
    assert_true(error.has_serial);
    assert_int_equal(error.serial, 9);
    rig_close(&p.r);
}

/* ---- damage ---- */

/* The workers answer, one and all, until the index is well again. */
static void answer_inventories(struct stub_pool *p, const char *word) {
    int64_t end_ms = clock_ms() + RIG_WAIT_MS;
    size_t answered = 0;
    while (answered < 3 && clock_ms() < end_ms)
        for (int i = 0; i < 3; i++)
            if (rig_await(&p->r, p->stubs[i].socket, MSG_INVENTORY, 10)) {
                stub_holds_nothing(&p->stubs[i]);
                answered++;
            }
    assert_true(answered >= 3);
    stub_pool_expect_index(&p->r, p->client, INDEX_OK, INDEX_OK, word);
}

static void flip_bits(const char *path, unsigned seed) {
    FILE *f = fopen(path, "r+b");
    assert_non_null(f);
    assert_int_equal(fseek(f, 0, SEEK_END), 0);
    long size = ftell(f);
    for (int i = 0; i < 200; i++) {
        seed = seed * 1103515245 + 12345;
        long at = (long)(seed % (unsigned)size);
        assert_int_equal(fseek(f, at, SEEK_SET), 0);
        int byte = fgetc(f);
        assert_int_equal(fseek(f, at, SEEK_SET), 0);
        assert_true(fputc(byte ^ 1 << seed % 8, f) != EOF);
    }
    assert_int_equal(fclose(f), 0);
}

static char *data_path(struct stub_pool *p, char out[TEMP_PATH_BYTES + 32]) {
    (void)snprintf(out, TEMP_PATH_BYTES + 32, "%s/index/data.mdb", p->r.dir.path);
    return out;
}

static void test_a_damaged_index_is_begun_anew_and_said(void **state) {
    (void)state;
    static struct stub_pool p;
    char path[TEMP_PATH_BYTES + 32];
    stub_pool_open(&p, NULL);
    stub_pool_wait_recorded(&p.r, p.client, STUB_POOL_LINKS);
    process_signal(&p.r.broker, SIGTERM);
    assert_true(process_wait(&p.r.broker, RIG_WAIT_MS) >= 0);
    flip_bits(data_path(&p, path), 7);
    rig_start_broker(&p.r);
    for (int i = 0; i < 3; i++) {
        stub_ready(&p.r, &p.stubs[i]);
        stub_holds_nothing(&p.stubs[i]); /* the answer to INVENTORY: it holds nothing */
    }
    stub_pool_expect_index(&p.r, p.client, INDEX_REBUILDING, INDEX_OK, "begun anew");
    for (int t = 0; t < STUB_POOL_TOPICS; t++)
        p.owner[t] = stub_pool_ask(&p.r, p.stubs, 3, p.client, ++p.id, t);
    stub_pool_check(&p);
    for (int i = 0; i < 3; i++)
        stub_holds_nothing(&p.stubs[i]); /* they may have been asked again, for the new index */
    stub_pool_expect_index(&p.r, p.client, INDEX_OK, INDEX_OK,
                           "begun anew"); /* well again, and still told */
    rig_close(&p.r);
}

static void test_damage_while_it_runs_never_touches_answers(void **state) {
    (void)state;
    static struct stub_pool p;
    char path[TEMP_PATH_BYTES + 32];
    stub_pool_open(&p, NULL);
    for (unsigned i = 0; i < 6; i++) {
        if (access(data_path(&p, path), W_OK) == 0)
            flip_bits(path, 100 + i);
        (void)kill(p.r.broker.pid, 0);
        stub_pool_check(&p);
    }
    (void)truncate(data_path(&p, path), 5000);
    stub_pool_check(&p);
    stub_pool_expect_index(&p.r, p.client, INDEX_REBUILDING, INDEX_OK, "");
    stub_pool_check(&p);
    rig_close(&p.r);
}

static void test_removed_files_are_made_again_and_filled_from_inventories(void **state) {
    (void)state;
    static struct stub_pool p;
    char path[TEMP_PATH_BYTES + 32];
    struct stat st;
    stub_pool_open(&p, NULL);
    stub_pool_wait_recorded(&p.r, p.client, STUB_POOL_LINKS);
    assert_int_equal(unlink(data_path(&p, path)), 0);
    stub_pool_expect_index(&p.r, p.client, INDEX_REBUILDING, INDEX_REBUILDING, "begun anew");
    answer_inventories(&p, "begun anew");
    assert_int_equal(stat(path, &st), 0);
    (void)stub_pool_ask(&p.r, p.stubs, 3, p.client, 200, 0);
    rig_close(&p.r);
}

/* ---- the writer's process ---- */

/* The pid of the broker's child. */
static pid_t find_writer(const struct rig *r) {
    char path[64];
    int pid = 0;
    (void)snprintf(path, sizeof path, "/proc/%d/task/%d/children", (int)r->broker.pid,
                   (int)r->broker.pid);
    int64_t end_ms = clock_ms() + RIG_WAIT_MS;
    while (pid == 0 && clock_ms() < end_ms) {
        FILE *f = fopen(path, "r");
        assert_non_null(f);
        if (fscanf(f, "%d", &pid) != 1)
            pid = 0;
        (void)fclose(f);
    }
    assert_true(pid > 1);
    return pid;
}

static void test_a_killed_writer_is_started_again(void **state) {
    (void)state;
    static struct stub_pool p;
    stub_pool_open(&p, NULL);
    stub_pool_wait_recorded(&p.r, p.client, STUB_POOL_LINKS);
    pid_t first = find_writer(&p.r);
    assert_int_equal(kill(first, SIGKILL), 0);
    answer_inventories(&p, "");
    assert_int_not_equal(find_writer(&p.r), first);
    (void)stub_pool_ask(&p.r, p.stubs, 3, p.client, 200, 0);
    rig_close(&p.r);
}

static void test_a_stopped_writer_stops_nobody_else(void **state) {
    (void)state;
    static struct stub_pool p;
    stub_pool_open(&p, NULL);
    pid_t writer = find_writer(&p.r);
    assert_int_equal(kill(writer, SIGSTOP), 0);
    int64_t begin_ms = clock_ms();
    for (int i = 0; i < 10; i++)
        stub_pool_check(&p);
    assert_true(clock_ms() - begin_ms < RIG_WAIT_MS / 2);
    assert_int_equal(kill(writer, SIGCONT), 0);
    rig_close(&p.r);
}

static void test_the_writer_ends_with_a_killed_broker(void **state) {
    (void)state;
    static struct stub_pool p;
    stub_pool_open(&p, NULL);
    pid_t writer = find_writer(&p.r);
    process_kill(&p.r.broker);
    int64_t end_ms = clock_ms() + RIG_WAIT_MS;
    while (kill(writer, 0) == 0 && clock_ms() < end_ms)
        (void)nanosleep(&(struct timespec){0, 5000000}, NULL);
    char path[64], state_of[8] = "";
    (void)snprintf(path, sizeof path, "/proc/%d/stat", (int)writer);
    FILE *f = fopen(path, "r"); /* nobody may have waited for it: then it is a zombie */
    if (f) {
        assert_int_equal(fscanf(f, "%*d %*s %7s", state_of), 1);
        assert_string_equal(state_of, "Z");
        (void)fclose(f);
    }
    rig_close(&p.r);
}

/* ---- the secret ---- */

static void test_a_secret_that_others_can_read_is_refused(void **state) {
    (void)state;
    struct temp_dir dir;
    char path[TEMP_PATH_BYTES + 16], bytes[32] = {1}, *said;
    temp_dir_open(&dir);
    temp_file(&dir, "secret", bytes, sizeof bytes, path, sizeof path);
    assert_int_equal(chmod(path, 0644), 0);
    assert_int_equal(setenv("QUIRE_RUNTIME_DIR", dir.path, 1), 0);
    const char *const argv[] = {QUIRE_BIN_DIR "/quire-broker", "--log-level", "off", NULL};
    assert_int_equal(process_run(argv, NULL, true, &said), error_exit_code(ERR_IO));
    assert_non_null(strstr(said, "open to other users"));
    free(said);
    assert_int_equal(chmod(path, 0600), 0);
    assert_int_equal(truncate(path, 31), 0);
    assert_int_equal(process_run(argv, NULL, true, &said), error_exit_code(ERR_IO));
    assert_non_null(strstr(said, "31 bytes"));
    free(said);
    temp_dir_close(&dir);
}

static void test_clients_are_not_told_the_seed(void **state) {
    (void)state;
    struct rig r;
    struct wire_buffer b = {0};
    struct msg_hello hello = {.version_min = PROTO_VERSION_MIN, .version_max = PROTO_VERSION_MAX};
    struct msg_welcome welcome;
    struct error e;
    rig_open(&r, NULL);
    void *client = rig_client(&r);
    assert_int_equal(hello_encode(&hello, &b), 0);
    rig_send(client, &b);
    rig_expect(&r, client, MSG_WELCOME);
    assert_int_equal(welcome_decode(&welcome, wire_frame(&r.message, 0), &e), 0);
    assert_true(welcome.seed == 0);
    rig_close(&r);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_topic_goes_to_the_worker_that_holds_it),
        cmocka_unit_test(test_the_first_request_after_a_restart_finds_its_owner),
        cmocka_unit_test(test_a_killed_broker_s_successor_finds_the_owners),
        cmocka_unit_test(test_a_request_waits_a_moment_for_its_owner_to_come_back),
        cmocka_unit_test(test_without_an_index_all_works_but_for_restarts),
        cmocka_unit_test(test_explain_and_losses_are_answered),
        cmocka_unit_test(test_a_damaged_index_is_begun_anew_and_said),
        cmocka_unit_test(test_damage_while_it_runs_never_touches_answers),
        cmocka_unit_test(test_removed_files_are_made_again_and_filled_from_inventories),
        cmocka_unit_test(test_a_killed_writer_is_started_again),
        cmocka_unit_test(test_a_stopped_writer_stops_nobody_else),
        cmocka_unit_test(test_the_writer_ends_with_a_killed_broker),
        cmocka_unit_test(test_a_secret_that_others_can_read_is_refused),
        cmocka_unit_test(test_clients_are_not_told_the_seed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
