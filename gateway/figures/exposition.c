/* exposition.c - see exposition.h. Numbers are printed so that they read back as they were. */
#include "gateway/figures/exposition.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "common/utf8.h"

void exposition_head(struct text *t, const char *name, const char *type, const char *help) {
    text_print(t, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static void series(struct text *t, const char *name, const char *suffix, const char *labels) {
    if (labels[0] != '\0')
        text_print(t, "%s%s{%s} ", name, suffix, labels);
    else
        text_print(t, "%s%s ", name, suffix);
}

void exposition_count(struct text *t, const char *name, const char *labels, uint64_t value) {
    series(t, name, "", labels);
    text_print(t, "%" PRIu64 "\n", value);
}

void exposition_value(struct text *t, const char *name, const char *labels, double value) {
    series(t, name, "", labels);
    text_print(t, "%.15g\n", value);
}

void exposition_label(char labels[EXPOSITION_LABELS_BYTES], const char *key, const char *value) {
    uint8_t plain[UTF8_REPAIRED_BYTES(256)];
    size_t n = strnlen(value, 256);
    n = utf8_repair(plain, (const uint8_t *)value, n);
    size_t at = strlen(labels);
    size_t head = strlen(key) + 4; /* the comma, =, and two quotation marks */
    if (at + head + 2 * n >= EXPOSITION_LABELS_BYTES)
        return; /* no name of ours comes near */
    at += (size_t)sprintf(labels + at, "%s%s=\"", at > 0 ? "," : "", key);
    for (size_t i = 0; i < n; i++) {
        char c = (char)plain[i];
        if (c == '\\' || c == '"' || c == '\n')
            labels[at++] = '\\';
        labels[at++] = c == '\n' ? 'n' : c;
    }
    labels[at++] = '"';
    labels[at] = '\0';
}

void exposition_counter(struct text *t, const char *name, const char *help, uint64_t value) {
    exposition_head(t, name, "counter", help);
    exposition_count(t, name, "", value);
}

void exposition_gauge(struct text *t, const char *name, const char *help, double value) {
    exposition_head(t, name, "gauge", help);
    exposition_value(t, name, "", value);
}

void exposition_histogram(struct text *t, const char *name, const char *help,
                          const struct histogram *h) {
    exposition_head(t, name, "histogram", help);
    for (size_t i = 0; i < h->n_bounds; i++)
        text_print(t, "%s_bucket{le=\"%g\"} %" PRIu64 "\n", name, h->bounds[i],
                   histogram_upto(h, i));
    text_print(t, "%s_bucket{le=\"+Inf\"} %" PRIu64 "\n", name, h->count);
    text_print(t, "%s_sum %.15g\n%s_count %" PRIu64 "\n", name, h->sum, name, h->count);
}

void exposition_state(struct text *t, const char *name, const char *labels,
                      const char *const *names, size_t n, size_t current) {
    for (size_t i = 0; i < n; i++) {
        char all[EXPOSITION_LABELS_BYTES];
        (void)snprintf(all, sizeof all, "%s", labels);
        exposition_label(all, "state", names[i]);
        exposition_count(t, name, all, i == current);
    }
}
