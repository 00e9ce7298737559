/* json_schema_scalar.c - strings and numbers of a schema, and their bounds. */
#include <math.h>

#include "worker/engine/json_schema_inside.h"

int json_read_count(struct json_reader *r, const json_t *json, const char *key, uint32_t otherwise,
                    uint32_t *out) {
    const json_t *value = json_object_get(json, key);
    *out = otherwise;
    if (value == NULL)
        return 0;
    double d = json_number_value(value);
    if (!json_is_number(value) || !(d >= 0 && d < (double)JSON_LEAST_MAX) || floor(d) != d)
        return json_refuse(r, "'%s' must be a whole number from 0 to %u", key, JSON_LEAST_MAX - 1);
    *out = (uint32_t)d;
    return 0;
}

int json_read_string(struct json_reader *r, const json_t *json, uint16_t node) {
    uint32_t least, most;
    int rc = json_read_count(r, json, "minLength", 0, &least);
    if (rc == 0)
        rc = json_read_count(r, json, "maxLength", JSON_NEVER, &most);
    if (rc < 0)
        return rc;
    if (least > most)
        return json_refuse(r, "'minLength' is more than 'maxLength'");
    struct json_node *n = &r->s->nodes[node];
    n->kind = NODE_STRING;
    n->first = JSON_FIRST_QUOTE;
    n->string.least = least;
    n->string.most = most;
    return 0;
}

/* ---- numbers ---- */

struct bounds {
    double least, most; /* infinite: none */
    bool above, below;  /* without the bound itself */
};

static int read_bound(struct json_reader *r, const json_t *json, const char *key, bool *found,
                      double *out) {
    const json_t *value = json_object_get(json, key);
    *found = value != NULL;
    if (value != NULL && !json_is_number(value))
        return json_refuse(r, "'%s' must be a number", key);
    if (*found)
        *out = json_number_value(value);
    return 0;
}

static int read_bounds(struct json_reader *r, const json_t *json, struct bounds *b) {
    double least, most, above, below;
    bool has_least, has_most, has_above, has_below;
    int rc = read_bound(r, json, "minimum", &has_least, &least);
    if (rc == 0)
        rc = read_bound(r, json, "maximum", &has_most, &most);
    if (rc == 0)
        rc = read_bound(r, json, "exclusiveMinimum", &has_above, &above);
    if (rc == 0)
        rc = read_bound(r, json, "exclusiveMaximum", &has_below, &below);
    if (rc < 0)
        return rc;
    *b = (struct bounds){(double)-INFINITY, (double)INFINITY, false, false};
    if (has_least)
        b->least = least;
    if (has_above && above >= b->least) {
        b->least = above;
        b->above = true;
    }
    if (has_most)
        b->most = most;
    if (has_below && below <= b->most) {
        b->most = below;
        b->below = true;
    }
    return 0;
}

/* Digits after the point: as many as the bounds leave room for before it. */
static uint8_t choose_decimals(const struct bounds *b) {
    bool open = isinf(b->least) || isinf(b->most);
    double largest = fmax(isinf(b->least) ? 0 : fabs(b->least), isinf(b->most) ? 0 : fabs(b->most));
    uint8_t decimals = open ? 4 : JSON_NUMBER_DECIMALS;
    while (decimals > 0 && largest * pow(10, decimals) >= 1e15)
        decimals--;
    return decimals;
}

/* Units of 10^-decimals within the bounds, as doubles have them: what a parser makes of the text
 * is compared with the bound as it is here. */
static void choose_units(const struct bounds *b, struct json_range *out) {
    const int64_t end = 999999999999999; /* JSON_NUMBER_DIGITS nines */
    double unit = pow(10, out->decimals);
    out->least = -end;
    out->most = end;
    if (b->least * unit > (double)end || b->most * unit < (double)-end) {
        out->least = 1; /* nothing */
        out->most = 0;
        return;
    }
    if (b->least * unit > (double)-end) {
        out->least = (int64_t)ceil(b->least * unit) - 2;
        out->least = out->least < -end ? -end : out->least;
        while ((double)out->least / unit < b->least ||
               (b->above && (double)out->least / unit <= b->least))
            out->least++;
    }
    if (b->most * unit < (double)end) {
        out->most = (int64_t)floor(b->most * unit) + 2;
        out->most = out->most > end ? end : out->most;
        while ((double)out->most / unit > b->most ||
               (b->below && (double)out->most / unit >= b->most))
            out->most--;
    }
}

int json_read_number(struct json_reader *r, const json_t *json, bool integer, uint16_t node) {
    struct bounds b;
    int rc = read_bounds(r, json, &b);
    if (rc < 0)
        return rc;
    bool bounded = !isinf(b.least) || !isinf(b.most);
    struct json_range range = {.any = !integer && !bounded,
                               .decimals = integer ? 0 : choose_decimals(&b)};
    choose_units(&b, &range);
    if (range.least > range.most || range.least > 999999999999999 || range.most < -999999999999999)
        return json_refuse(r, "no number of up to %d digits is within the bounds",
                           JSON_NUMBER_DIGITS);
    struct json_node *n = &r->s->nodes[node];
    n->kind = NODE_NUMBER;
    n->first = JSON_FIRST_NUMBER;
    n->number = range;
    return 0;
}
