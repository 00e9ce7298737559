/* same_picture.c - scenarios 19 to 24: what the model sees of a picture is what counts, for one
 * tenant and one model. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/scenarios/stage.h"

#define SYSTEM "you see what is in front of you and say so in few words"

static void talk_about(struct talk *t, struct bytes picture) {
    talk_say(t, QUIRE_SYSTEM, SYSTEM);
    talk_show(t, picture, "what is this");
}

static void begin_with_picture(struct stage *s, struct talk *t, struct bytes picture) {
    stage_begin(s, t);
    talk_about(t, picture);
    stage_ask(s, t);
}

/* ---- 19 ---- */

struct model {
    const char *shape, *type, *seed, *name;
};

static void make_model(struct stage *s, const struct model *m, int worker) {
    static char model[POOL_MAX_WORKERS][TEMP_PATH_BYTES + 64];
    static char mmproj[POOL_MAX_WORKERS][TEMP_PATH_BYTES + 64];
    (void)snprintf(model[worker], sizeof model[0], "%s/text%d.gguf", s->dir.path, worker);
    (void)snprintf(mmproj[worker], sizeof mmproj[0], "%s/mmproj%d.gguf", s->dir.path, worker);
    const char *const argv[] = {QUIRE_BIN_DIR "/make-model",
                                m->shape,
                                m->type,
                                m->seed,
                                model[worker],
                                mmproj[worker],
                                NULL};
    char *out = NULL;
    assert_int_equal(process_run(argv, NULL, true, &out), 0);
    free(out);
    s->pool.options.model = model[worker];
    s->pool.options.mmproj = mmproj[worker];
    pool_start_worker(&s->pool, worker);
    pool_wait_up(&s->pool, 1); /* the others are drained */
}

static void ask_model(struct stage *s, const struct talk *t, const char *model, struct answer *a) {
    struct quire_request *request = talk_request(t, NULL);
    uint8_t id[1][QUIRE_ID_BYTES];
    memset(a, 0, sizeof *a);
    assert_int_equal(quire_request_model(request, model), 0);
    assert_int_equal(quire_send(s->pool.client, request, id[0], NULL), 0);
    quire_request_free(request);
    answers_collect(s->pool.client, 1, id, a, false);
    assert_int_equal(a->end.kind, QUIRE_DONE);
    assert_string_equal(a->end.model, model);
}

static void scenario_19_another_model_quantisation_or_layer_count_reuses_nothing(void **state) {
    static const struct model others[] = {
        {"tiny", "q8_0", "7", "random-smolvlm-tiny"}, /* another quantisation */
        {"tiny", "f16", "8", "random-smolvlm-tiny"},  /* another model of the same name and shape */
        {"micro", "f16", "7", "random-smolvlm-micro"}, /* another layer count */
    };
    (void)state;
    struct stage *s = stage_open((struct stage_options){.workers = 1}); /* the others join it */
    struct talk t;
    struct answer a;
    stage_begin(s, &t);
    talk_about(&t, gallery_strip(1));
    stage_ask(s, &t);
    for (int i = 0; i < 3; i++) {
        char name[3] = {'w', (char)('0' + i), '\0'};
        assert_int_equal(quire_drain(s->pool.client, 5000, name, true, NULL), 0);
        make_model(s, &others[i], i + 1);
        ask_model(s, &t, others[i].name, &a);
        assert_int_equal(a.end.usage.reused_positions, 0);
        assert_int_equal(a.end.usage.pictures_encoded, 1);
        ask_model(s, &t, others[i].name, &a);
        assert_int_equal(a.end.usage.reused_positions, a.end.usage.prompt_positions - 1);
    }
    /* All of them again, each with its own pages. */
    for (int i = 0; i < 3; i++) {
        char name[3] = {'w', (char)('0' + i), '\0'};
        assert_int_equal(quire_drain(s->pool.client, 5000, name, false, NULL), 0);
    }
    ask_model(s, &t, "random-smolvlm-micro", &a);
    assert_string_equal(a.end.worker, "w3");
    assert_int_equal(a.end.usage.reused_positions, a.end.usage.prompt_positions - 1);
    stage_close(s);
}

#define LOOKS 6

static uint64_t least(uint64_t a, uint64_t b) {
    return a < b ? a : b;
}

/* stage_ask itself relies on this: its cold runs are those of unknown tenants. */
static void scenario_19_another_tenant_reuses_nothing_and_no_time_tells_of_it(void **state) {
    struct stage *s = *state;
    uint64_t first = UINT64_MAX, again = UINT64_MAX, other = UINT64_MAX;
    for (uint32_t i = 0; i < LOOKS; i++) {
        struct talk t;
        begin_with_picture(s, &t, gallery_picture(10 + i, 256, 64));
        first = least(first, s->now.answer.end.timings.picture_us);
        stage_ask_warm(s, &t);
        stage_expect(s, s->now.positions - 1, 0);
        again = least(again, s->now.answer.end.timings.picture_us);
        struct talk theirs = t;
        stage_begin(s, &t);
        memcpy(theirs.tenant, t.tenant, sizeof theirs.tenant);
        stage_ask_warm(s, &theirs);
        stage_expect(s, 0, 1);
        assert_int_equal(s->now.answer.end.usage.tiles_encoded, 5);
        other = least(other, s->now.answer.end.timings.picture_us);
    }
    print_message("pictures took %.1f ms, again %.1f ms, for another tenant %.1f ms\n",
                  (double)first / 1000, (double)again / 1000, (double)other / 1000);
    assert_true(again * 4 < other);
    assert_true(other * 8 > first); /* far from nothing, on a busy machine too */
}

/* ---- 20 to 24 ---- */

#define ROWS_OF_A_TILE 4 /* of the made model */

static void scenario_20_a_picture_shown_twice_is_looked_at_once(void **state) {
    struct stage *s = *state;
    struct talk t;
    struct bytes picture = gallery_strip(20);
    stage_begin(s, &t);
    talk_about(&t, picture);
    talk_show(&t, picture, "and this");
    stage_ask(s, &t);
    stage_expect(s, 0, 1);
    assert_int_equal(s->now.answer.end.usage.pictures, 2);
    assert_int_equal(s->now.answer.end.usage.tiles_encoded, 5);
    uint32_t rows = s->now.answer.end.usage.picture_positions;
    assert_int_equal(rows, 2 * 5 * ROWS_OF_A_TILE);
    /* In a later turn it stands at new positions and is not looked at again. */
    talk_show(&t, picture, "once more");
    stage_ask(s, &t);
    assert_true(s->now.ideal >= stage_behind(s, 1));
    assert_true(s->now.ideal < stage_before(s, 2));
    stage_expect(s, s->now.ideal, 0);
}

static void
scenario_21_a_picture_of_another_chat_is_seen_at_once_and_its_positions_are_new(void **state) {
    struct stage *s = *state;
    struct talk first, second;
    struct bytes picture = gallery_strip(21);
    begin_with_picture(s, &first, picture);
    talk_begin(&second, first.tenant);
    talk_say(&second, QUIRE_SYSTEM, "quite another system prompt");
    for (int i = 0; i < 2; i++) {
        talk_say(&second, QUIRE_USER, "say something");
        stage_go_on(s, &second);
    }
    talk_show(&second, picture, "what is this");
    stage_ask(s, &second);
    assert_true(s->now.ideal < stage_before(s, 0));
    stage_expect(s, s->now.ideal, 0);
}

static void
scenario_22_two_files_of_the_same_pixels_share_all_and_a_jpeg_encoded_again_nothing(void **state) {
    struct stage *s = *state;
    struct talk t;
    begin_with_picture(s, &t, gallery_picture(22, 128, 32));
    talk_replace(&t, 0, gallery_interlaced(22, 128, 32));
    stage_ask(s, &t);
    stage_expect(s, s->now.positions - 1, 0);
    begin_with_picture(s, &t, gallery_format("colour-444.jpg"));
    talk_replace(&t, 0, gallery_format("colour-420.jpg"));
    stage_ask(s, &t);
    stage_expect(s, stage_before(s, 0), 1);
}

static void scenario_23_the_same_file_with_another_largest_size_is_another_picture(void **state) {
    struct stage *s = *state;
    struct talk t;
    struct bytes picture = gallery_picture(23, 256, 64);
    begin_with_picture(s, &t, picture);
    t.parts[1].max_pixels = 4096;
    stage_ask(s, &t);
    stage_expect(s, stage_before(s, 0), 1);
    t.parts[1].max_pixels = 2048;
    stage_ask(s, &t);
    stage_expect(s, stage_before(s, 0), 1);
    t.parts[1].overview = true;
    stage_ask(s, &t);
    assert_true(s->now.ideal <= stage_before(s, 0));
    stage_expect(s, s->now.ideal, 1);
    /* A bound that the picture keeps to anyway changes nothing that the model sees. */
    t.parts[1].overview = false;
    t.parts[1].max_pixels = 256 * 64;
    stage_ask(s, &t);
    stage_expect(s, s->now.positions - 1, 0);
}

static void scenario_24_orientation_and_alpha_count_as_far_as_the_model_sees_them(void **state) {
    struct stage *s = *state;
    struct talk t;
    struct bytes tagged = gallery_format("rotated-tag.jpg");
    begin_with_picture(s, &t, tagged);
    talk_replace(&t, 0, gallery_redrawn(tagged)); /* upright, without a tag */
    stage_ask(s, &t);
    stage_expect(s, s->now.positions - 1, 0);
    talk_replace(&t, 0, gallery_without_tags(tagged)); /* the same data, lying on its side */
    stage_ask(s, &t);
    stage_expect(s, stage_before(s, 0), 1);
    begin_with_picture(s, &t, gallery_picture(24, 128, 32));
    talk_replace(&t, 0, gallery_with_alpha(24, 128, 32)); /* which is not seen */
    stage_ask(s, &t);
    stage_expect(s, s->now.positions - 1, 0);
}

int main(int argc, char **argv) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(scenario_19_another_model_quantisation_or_layer_count_reuses_nothing),
        cmocka_unit_test(scenario_19_another_tenant_reuses_nothing_and_no_time_tells_of_it),
        cmocka_unit_test(scenario_20_a_picture_shown_twice_is_looked_at_once),
        cmocka_unit_test(
            scenario_21_a_picture_of_another_chat_is_seen_at_once_and_its_positions_are_new),
        cmocka_unit_test(
            scenario_22_two_files_of_the_same_pixels_share_all_and_a_jpeg_encoded_again_nothing),
        cmocka_unit_test(scenario_23_the_same_file_with_another_largest_size_is_another_picture),
        cmocka_unit_test(scenario_24_orientation_and_alpha_count_as_far_as_the_model_sees_them),
    };
    stage_arguments(argc, argv);
    return cmocka_run_group_tests(tests, stage_setup_made, stage_teardown);
}
