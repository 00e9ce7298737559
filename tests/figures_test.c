/* figures_test.c - histograms, percentiles against exact ones, the ring of records, and the text of
 * /metrics. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "gateway/figures/exposition.h"
#include "gateway/figures/figures.h"
#include "gateway/figures/histogram.h"
#include "gateway/figures/sliding.h"

#define SECOND INT64_C(1000000)

/* ---- histograms ---- */

static void test_a_value_on_a_bound_belongs_below_it(void **state) {
    (void)state;
    static const double bounds[] = {1, 2, 5};
    struct histogram h;
    histogram_init(&h, bounds, 3);
    const double values[] = {0, 1, 1.5, 2, 2.0001, 5, 7};
    for (size_t i = 0; i < 7; i++)
        histogram_add(&h, values[i]);
    assert_int_equal(histogram_upto(&h, 0), 2);
    assert_int_equal(histogram_upto(&h, 1), 4);
    assert_int_equal(histogram_upto(&h, 2), 6);
    assert_int_equal(histogram_upto(&h, 3), 7);
    assert_int_equal(h.count, 7);
    assert_true(fabs(h.sum - 18.5001) < 1e-9);
}

static void test_what_is_no_time_counts_as_none(void **state) {
    (void)state;
    static const double bounds[] = {1};
    struct histogram h;
    histogram_init(&h, bounds, 1);
    histogram_add(&h, -1);
    histogram_add(&h, (double)NAN);
    histogram_add(&h, (double)INFINITY);
    assert_int_equal(histogram_upto(&h, 0), 3);
    assert_true(h.sum == 0);
}

/* ---- percentiles ---- */

static uint64_t random_state;

static uint64_t random_next(void) {
    random_state = random_state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return random_state >> 33;
}

static double random_share(void) {
    return (double)random_next() / (double)(UINT64_C(1) << 31);
}

static int ascending(const void *a, const void *b) {
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

static const double shares[] = {0.5, 0.9, 0.99, 1};

static void expect_near_exact(uint64_t *values, size_t n) {
    struct sliding *s = malloc(sizeof *s);
    assert_non_null(s);
    sliding_init(s);
    for (size_t i = 0; i < n; i++)
        sliding_add(s, values[i], (int64_t)(random_share() * 300) * SECOND);
    uint64_t got[4];
    assert_int_equal(sliding_percentiles(s, 300 * SECOND, shares, 4, got), n);
    qsort(values, n, sizeof values[0], ascending);
    for (size_t i = 0; i < 4; i++) {
        size_t rank = (size_t)ceil(shares[i] * (double)n);
        double exact = (double)values[rank - 1];
        assert_true(fabs((double)got[i] - exact) <= exact / 64);
    }
    free(s);
}

static void test_percentiles_are_within_a_64th_of_the_exact_ones(void **state) {
    (void)state;
    random_state = 5;
    for (int round = 0; round < 60; round++) {
        size_t n = 1 + random_next() % 2000;
        uint64_t *values = malloc(n * sizeof *values);
        assert_non_null(values);
        for (size_t i = 0; i < n; i++) {
            double u = random_share();
            if (round % 3 == 0)
                values[i] = (uint64_t)(u * 100); /* the buckets of one value */
            else if (round % 3 == 1)
                values[i] = (uint64_t)(u * 5e6);
            else
                values[i] = (uint64_t)exp(u * 23); /* up to 2^33 */
        }
        expect_near_exact(values, n);
        free(values);
    }
}

static void test_values_are_forgotten_after_five_minutes(void **state) {
    (void)state;
    struct sliding *s = malloc(sizeof *s);
    assert_non_null(s);
    sliding_init(s);
    uint64_t got[4];
    assert_int_equal(sliding_percentiles(s, 0, shares, 4, got), 0);
    assert_int_equal(got[0], 0);
    sliding_add(s, 700, 5 * SECOND);
    sliding_add(s, 9, 205 * SECOND);
    assert_int_equal(sliding_percentiles(s, 305 * SECOND, shares, 4, got), 2);
    assert_int_equal(got[0], 9);
    assert_int_equal(sliding_percentiles(s, 310 * SECOND, shares, 4, got), 1);
    /* The slot of the first is used again. */
    sliding_add(s, 3, 316 * SECOND);
    assert_int_equal(sliding_percentiles(s, 316 * SECOND, shares, 4, got), 2);
    assert_int_equal(got[0], 3);
    assert_int_equal(got[3], 9);
    assert_int_equal(sliding_percentiles(s, 9000 * SECOND, shares, 4, got), 0);
    free(s);
}

static void test_a_value_beyond_all_buckets_is_the_largest(void **state) {
    (void)state;
    struct sliding *s = malloc(sizeof *s);
    assert_non_null(s);
    sliding_init(s);
    sliding_add(s, UINT64_MAX, 0);
    uint64_t got[4];
    assert_int_equal(sliding_percentiles(s, 0, shares, 4, got), 1);
    assert_true(got[0] > UINT64_C(16000000000) && got[0] < UINT64_C(1) << 34);
    free(s);
}

/* ---- records ---- */

static struct figures *figures; /* of the test that runs */

static int setup(void **state) {
    (void)state;
    return figures_open(&figures);
}

static int teardown(void **state) {
    (void)state;
    figures_close(figures);
    return 0;
}

static struct record make_record(unsigned number, const char *tenant) {
    struct record r = {
        .status = 200,
        .stream = true,
        .started_s = 1700000000 + number,
        .arrived_us = 10 * SECOND,
        .first_us = 10 * SECOND + 40000,
        .ended_us = 11 * SECOND,
        .attempts = 1,
        .usage = {100, 60, 11, 2, 1, 17, 40},
        .timings = {.queue_us = 1000,
                    .wait_us = 2000,
                    .first_token_us = 30000,
                    .decode_us = 500000,
                    .predicted_us = 24000},
        .segments = {{false, QUIRE_SYSTEM, 20, 10, 10}, {true, QUIRE_USER, 999, 100, 50}},
        .n_segments = 2,
    };
    (void)snprintf(r.request_id, sizeof r.request_id, "%032u", number);
    r.id[0] = (uint8_t)number;
    r.id[1] = (uint8_t)(number >> 8);
    (void)snprintf(r.tenant, sizeof r.tenant, "%s", tenant);
    strcpy(r.dialect, "openai-chat");
    strcpy(r.model, "quire-demo");
    strcpy(r.worker, "worker-1");
    strcpy(r.outcome, "done");
    return r;
}

static void add(unsigned number, const char *tenant) {
    struct record r = make_record(number, tenant);
    figures_add(figures, &r);
}

static void expect_number(const json_t *record, const char *key, unsigned number) {
    char text[33];
    (void)snprintf(text, sizeof text, "%032u", number);
    assert_string_equal(json_string_value(json_object_get(record, key)), text);
}

static void test_the_last_records_come_newest_first(void **state) {
    (void)state;
    for (unsigned i = 0; i < FIGURES_RECORDS + 40; i++)
        add(i, i % 2 ? "odd" : "even");
    json_t *all = figures_records(figures, NULL, 1000);
    assert_int_equal(json_array_size(all), FIGURES_RECORDS);
    expect_number(json_array_get(all, 0), "request_id", FIGURES_RECORDS + 39);
    expect_number(json_array_get(all, FIGURES_RECORDS - 1), "request_id", 40);
    json_decref(all);
    json_t *odd = figures_records(figures, "odd", 3);
    assert_int_equal(json_array_size(odd), 3);
    expect_number(json_array_get(odd, 1), "request_id", FIGURES_RECORDS + 37);
    assert_null(json_object_get(json_array_get(odd, 0), "tenant"));
    json_decref(odd);
    json_t *named = figures_records_all(figures, 1);
    assert_string_equal(json_string_value(json_object_get(json_array_get(named, 0), "tenant")),
                        "odd");
    json_decref(named);
}

static void test_a_record_is_found_by_the_brokers_id_until_it_is_overwritten(void **state) {
    (void)state;
    for (unsigned i = 0; i <= FIGURES_RECORDS; i++)
        add(i, "");
    struct record first = make_record(0, ""), second = make_record(1, "");
    assert_null(figures_find(figures, first.id));
    assert_non_null(figures_find(figures, second.id));
    assert_int_equal(figures_find(figures, second.id)->started_s, 1700000001);
}

static double real_at(const json_t *object, const char *a, const char *b) {
    const json_t *value = json_object_get(object, a);
    if (b)
        value = json_object_get(value, b);
    assert_true(json_is_number(value));
    return json_number_value(value);
}

static void test_a_record_tells_each_segments_own_positions(void **state) {
    (void)state;
    struct record r = make_record(7, "t");
    json_t *json = figures_record_json(&r);
    assert_non_null(json);
    json_t *second = json_array_get(json_object_get(json, "segments"), 1);
    assert_string_equal(json_string_value(json_object_get(second, "kind")), "picture");
    assert_string_equal(json_string_value(json_object_get(second, "role")), "user");
    assert_true(real_at(second, "positions", NULL) == 90);
    assert_true(real_at(second, "reused", NULL) == 50);
    assert_true(real_at(json, "first_ms", NULL) == 40);
    assert_true(real_at(json, "total_ms", NULL) == 1000);
    assert_true(real_at(json, "timings", "predicted_ms") == 24);
    assert_true(real_at(json, "usage", "tiles_encoded") == 17);
    json_decref(json);
    r.first_us = 0;
    json = figures_record_json(&r);
    assert_true(json_is_null(json_object_get(json, "first_ms")));
    json_decref(json);
}

static void test_percentiles_tell_first_tokens_and_predictions(void **state) {
    (void)state;
    for (unsigned i = 0; i < 100; i++)
        add(i, "");
    json_t *json = figures_percentiles(figures, 12 * SECOND);
    json_t *first = json_object_get(json, "first_token");
    assert_true(real_at(first, "count", NULL) == 100);
    assert_true(fabs(real_at(first, "p50", NULL) - 40) < 40.0 / 64);
    assert_true(fabs(real_at(json_object_get(json, "per_token"), "p99", NULL) - 50) < 50.0 / 64);
    json_t *predictions = json_object_get(json, "predictions");
    assert_int_equal(json_array_size(predictions), FIGURES_PREDICTIONS);
    assert_true(real_at(json_array_get(predictions, 0), "predicted_ms", NULL) == 24);
    assert_true(real_at(json_array_get(predictions, 0), "first_token_ms", NULL) == 30);
    json_decref(json);
}

static void count_call(void *arg, const struct record *r) {
    (void)r;
    ++*(int *)arg;
}

static void test_listeners_hear_of_records_until_they_leave(void **state) {
    (void)state;
    int calls[FIGURES_LISTENERS + 1] = {0};
    for (size_t i = 0; i < FIGURES_LISTENERS; i++)
        assert_int_equal(figures_on_record(figures, count_call, &calls[i]), 0);
    assert_int_equal(figures_on_record(figures, count_call, &calls[FIGURES_LISTENERS]), -1);
    add(1, "");
    figures_off_record(figures, count_call, &calls[0]);
    add(2, "");
    assert_int_equal(calls[0], 1);
    assert_int_equal(calls[1], 2);
    assert_int_equal(figures_on_record(figures, count_call, &calls[0]), 0);
}

/* ---- the text of /metrics ---- */

static char *page_of(const struct snapshot *s) {
    const struct pool_counts counts = {3, 2, 1, 4};
    const struct figures_http http = {.slow_readers_cut = 6, .streams = 5};
    struct text text;
    text_init(&text, 1 << 20);
    figures_metrics(figures, s, &counts, &http, &text);
    text_add(&text, "", 1);
    assert_false(text.failed);
    return text.data;
}

/* Holds whole lines only, so "x 1" is not found in "x 12". */
static void expect_line(const char *page, const char *line) {
    size_t n = strlen(line);
    for (const char *at = page; at; at = strchr(at, '\n')) {
        at += *at == '\n';
        if (strncmp(at, line, n) == 0 && at[n] == '\n')
            return;
    }
    fail_msg("there is no line \"%s\" in\n%s", line, page);
}

static struct snapshot *make_snapshot(void) {
    struct snapshot *s = calloc(1, sizeof *s);
    assert_non_null(s);
    s->connected = true;
    s->taken_ms = 1;
    s->stats = (struct quire_stats){.requests = 9,
                                    .prompt_positions = 1000,
                                    .reused_positions = 900,
                                    .pictures = 5,
                                    .pictures_encoded = 2,
                                    .first_token_ms_sum = 1500,
                                    .first_token_count = 3,
                                    .prediction_error_permille = 210,
                                    .index_state = QUIRE_INDEX_FULL};
    s->n_workers = 3;
    static const char *const names[] = {"a\"b\\c\nd", "w2", "w2"};
    for (size_t i = 0; i < 3; i++) {
        s->workers[i].state = i == 0 ? QUIRE_WORKER_UP : QUIRE_WORKER_DRAINING;
        s->workers[i].incarnation = 10 + i;
        s->workers[i].pages_evicted = 70 + i;
        s->workers[i].tile_us = 2500;
        strcpy(s->workers[i].name, names[i]);
        strcpy(s->workers[i].model, "m");
    }
    s->windows[1].prompt_positions = 200;
    s->windows[1].reused_positions = 50;
    return s;
}

static void test_figures_of_the_pool_and_of_the_gateway_are_told_apart(void **state) {
    (void)state;
    add(1, "");
    struct snapshot *s = make_snapshot();
    char *page = page_of(s);
    expect_line(page, "quire_pool_broker_up 1");
    expect_line(page, "quire_pool_prompt_positions_total 1000");
    expect_line(page, "quire_pool_computed_positions_total 100");
    expect_line(page, "quire_pool_pictures_reused_total 3");
    expect_line(page, "quire_pool_first_token_seconds_sum 1.5");
    expect_line(page, "quire_pool_prediction_error_ratio 0.21");
    expect_line(page, "quire_pool_reused_ratio{window=\"5m\"} 0.25");
    expect_line(page, "quire_pool_index_state{state=\"full\"} 1");
    expect_line(page, "quire_pool_index_state{state=\"ok\"} 0");
    expect_line(page, "quire_gateway_prompt_positions_total 100");
    expect_line(page, "quire_gateway_computed_positions_total 40");
    expect_line(page, "quire_gateway_sent_again_total 3");
    expect_line(page, "quire_gateway_slow_readers_cut_total 6");
    expect_line(page, "quire_gateway_http_streams 5");
    expect_line(page, "quire_gateway_first_token_seconds_bucket{le=\"0.025\"} 0");
    expect_line(page, "quire_gateway_first_token_seconds_bucket{le=\"0.05\"} 1");
    expect_line(page, "quire_gateway_first_token_seconds_bucket{le=\"+Inf\"} 1");
    expect_line(page, "quire_gateway_first_token_seconds_sum 0.04");
    expect_line(page, "quire_gateway_token_seconds_sum 0.05");
    expect_line(page, "quire_gateway_prediction_error_ratio_bucket{le=\"0.2\"} 1");
    expect_line(page, "quire_gateway_prediction_error_ratio_bucket{le=\"0.15\"} 0");
    free(page);
    free(s);
}

static void test_a_workers_series_carry_its_name_escaped_and_once(void **state) {
    (void)state;
    struct snapshot *s = make_snapshot();
    char *page = page_of(s);
    expect_line(page, "quire_pool_worker_pages_evicted_total{worker=\"a\\\"b\\\\c\\nd\"} 70");
    expect_line(page, "quire_pool_worker_tile_seconds{worker=\"w2\"} 0.0025");
    expect_line(page, "quire_pool_worker_state{worker=\"w2\",state=\"draining\"} 1");
    expect_line(page, "quire_pool_worker_info{worker=\"w2\",model=\"m\"} 1");
    expect_line(page, "quire_pool_workers{state=\"draining\"} 1");
    const char *first = strstr(page, "quire_pool_worker_pages{worker=\"w2\"}");
    assert_non_null(first);
    assert_null(strstr(first + 1, "quire_pool_worker_pages{worker=\"w2\"}"));
    free(page);
    free(s);
}

static void test_a_pool_that_is_away_has_no_figures(void **state) {
    (void)state;
    struct snapshot *s = make_snapshot();
    s->connected = false;
    char *page = page_of(s);
    expect_line(page, "quire_pool_broker_up 0");
    assert_null(strstr(page, "quire_pool_requests_total"));
    assert_null(strstr(page, "quire_pool_worker"));
    assert_non_null(strstr(page, "quire_gateway_snapshot_age_seconds"));
    free(page);
    free(s);
}

static void test_workers_that_come_back_are_counted(void **state) {
    (void)state;
    struct snapshot *s = make_snapshot();
    s->n_workers = 2;
    figures_observe(figures, s);
    figures_observe(figures, s);
    s->workers[1].incarnation = 99;
    figures_observe(figures, s);
    s->connected = false; /* what it says then is old */
    s->workers[1].incarnation = 100;
    figures_observe(figures, s);
    s->connected = true;
    char *page;
    s->workers[1].incarnation = 99;
    page = page_of(s);
    expect_line(page, "quire_pool_worker_restarts_total{worker=\"w2\"} 1");
    free(page);
    free(s);
}

static void test_more_names_than_a_snapshot_holds_push_out_those_that_are_gone(void **state) {
    (void)state;
    struct snapshot *s = make_snapshot();
    for (unsigned round = 0; round < 3; round++) {
        s->n_workers = OBSERVER_WORKERS;
        for (unsigned i = 0; i < OBSERVER_WORKERS; i++) {
            (void)snprintf(s->workers[i].name, sizeof s->workers[i].name, "w%u-%u", round, i);
            s->workers[i].incarnation = i;
        }
        figures_observe(figures, s);
    }
    s->workers[7].incarnation = 1000;
    figures_observe(figures, s);
    char *page = page_of(s);
    expect_line(page, "quire_pool_worker_restarts_total{worker=\"w2-7\"} 1");
    expect_line(page, "quire_pool_worker_restarts_total{worker=\"w2-8\"} 0");
    free(page);
    free(s);
}

static void test_unknown_names_make_no_series(void **state) {
    (void)state;
    struct record r = make_record(1, "");
    strcpy(r.outcome, "deadline");
    figures_add(figures, &r);
    strcpy(r.outcome, "something new");
    strcpy(r.dialect, "gopher");
    figures_add(figures, &r);
    struct snapshot *s = make_snapshot();
    char *page = page_of(s);
    expect_line(page,
                "quire_gateway_requests_total{dialect=\"openai-chat\",outcome=\"deadline\"} 1");
    expect_line(page, "quire_gateway_requests_total{dialect=\"other\",outcome=\"other\"} 1");
    expect_line(page,
                "quire_gateway_requests_total{dialect=\"anthropic-messages\",outcome=\"done\"} 0");
    assert_null(strstr(page, "gopher"));
    free(page);
    free(s);
}

static void test_counting_tokens_is_no_work(void **state) {
    (void)state;
    struct record r = make_record(1, "");
    strcpy(r.dialect, "anthropic-count-tokens");
    figures_add(figures, &r);
    struct snapshot *s = make_snapshot();
    char *page = page_of(s);
    expect_line(page, "quire_gateway_prompt_positions_total 0");
    expect_line(page, "quire_gateway_request_seconds_count 0");
    free(page);
    free(s);
}

#define WITH_FIGURES(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_value_on_a_bound_belongs_below_it),
        cmocka_unit_test(test_what_is_no_time_counts_as_none),
        cmocka_unit_test(test_percentiles_are_within_a_64th_of_the_exact_ones),
        cmocka_unit_test(test_values_are_forgotten_after_five_minutes),
        cmocka_unit_test(test_a_value_beyond_all_buckets_is_the_largest),
        WITH_FIGURES(test_the_last_records_come_newest_first),
        WITH_FIGURES(test_a_record_is_found_by_the_brokers_id_until_it_is_overwritten),
        WITH_FIGURES(test_a_record_tells_each_segments_own_positions),
        WITH_FIGURES(test_percentiles_tell_first_tokens_and_predictions),
        WITH_FIGURES(test_listeners_hear_of_records_until_they_leave),
        WITH_FIGURES(test_figures_of_the_pool_and_of_the_gateway_are_told_apart),
        WITH_FIGURES(test_a_workers_series_carry_its_name_escaped_and_once),
        WITH_FIGURES(test_a_pool_that_is_away_has_no_figures),
        WITH_FIGURES(test_workers_that_come_back_are_counted),
        WITH_FIGURES(test_more_names_than_a_snapshot_holds_push_out_those_that_are_gone),
        WITH_FIGURES(test_unknown_names_make_no_series),
        WITH_FIGURES(test_counting_tokens_is_no_work),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
