/* kernels_full.h - attention of some queries to all keys; a part of kernels_body.h.
 *
 * ATTEND_ROWS queries go through together. Their scores with a group of keys are sums held in
 * registers while the group's values of each dimension pass by; all scores of the rows then lie in
 * the first cache, become exponentials there, and weigh the values, again with the sums in
 * registers. Every sum runs over dimensions or keys in order, in one register: a row's result does
 * not depend on the rows beside it. */

#if defined(__AVX512F__)
#define ATTEND_ROWS 6
#define ATTEND_VECTORS 4
#elif defined(__AVX2__)
#define ATTEND_ROWS 2
#define ATTEND_VECTORS 2
#else
#define ATTEND_ROWS 1
#define ATTEND_VECTORS 1
#endif
_Static_assert(ATTEND_ROWS <= ATTEND_MAX_ROWS, "scratch is too small");
_Static_assert(ATTEND_GROUP % (ATTEND_VECTORS * V_LANES) == 0, "groups are whole tiles");

/* Scores of n_x queries with ATTEND_VECTORS * V_LANES keys. */
V_INLINE void score_tile(int n_x, const struct attend_job *j, const float *q, const float *keys,
                         float *scores, size_t stride) {
    vec16 sum[ATTEND_ROWS][ATTEND_VECTORS];
#pragma GCC unroll 6
    for (int r = 0; r < n_x; r++)
#pragma GCC unroll 4
        for (int i = 0; i < ATTEND_VECTORS; i++)
            sum[r][i] = v_set1(0);
    for (int32_t d = 0; d < j->head_dim; d++, keys += ATTEND_GROUP) {
        vec16 k[ATTEND_VECTORS];
#pragma GCC unroll 4
        for (int i = 0; i < ATTEND_VECTORS; i++)
            k[i] = v_load(keys + i * V_LANES);
#pragma GCC unroll 6
        for (int r = 0; r < n_x; r++) {
            vec16 a = v_set1(q[(size_t)r * j->q_stride + (size_t)d]);
#pragma GCC unroll 4
            for (int i = 0; i < ATTEND_VECTORS; i++)
                sum[r][i] = v_fma(a, k[i], sum[r][i]);
        }
    }
    vec16 scale_by = v_set1(j->scale);
#pragma GCC unroll 6
    for (int r = 0; r < n_x; r++)
#pragma GCC unroll 4
        for (int i = 0; i < ATTEND_VECTORS; i++)
            v_store(scores + (size_t)r * stride + i * V_LANES, v_mul(sum[r][i], scale_by));
}

V_INLINE void score_rows(int n_x, const struct attend_job *j, const float *q, size_t stride) {
    int32_t groups = (j->n_keys + ATTEND_GROUP - 1) / ATTEND_GROUP;
    for (int32_t g = 0; g < groups; g++)
        for (int32_t i = 0; i < ATTEND_GROUP; i += ATTEND_VECTORS * V_LANES)
            score_tile(n_x, j, q, j->keys + (size_t)g * j->group_stride + i,
                       j->scratch + (size_t)g * ATTEND_GROUP + i, stride);
}

/* n_v vectors of dimensions, the last of them of n_last lanes, of n_x queries. */
V_INLINE void value_tile(int n_x, int n_v, int32_t n_last, const struct attend_job *j,
                         size_t stride, const float *values, const float *factors, float *out) {
    vec16 sum[ATTEND_ROWS][ATTEND_VECTORS];
#pragma GCC unroll 6
    for (int r = 0; r < n_x; r++)
#pragma GCC unroll 4
        for (int i = 0; i < n_v; i++)
            sum[r][i] = v_set1(0);
    for (int32_t t = 0; t < j->n_keys; t++, values += j->value_stride) {
        vec16 v[ATTEND_VECTORS];
#pragma GCC unroll 4
        for (int i = 0; i < n_v; i++)
            v[i] = i + 1 == n_v && n_last < V_LANES ? v_load_n(values + i * V_LANES, n_last)
                                                    : v_load(values + i * V_LANES);
#pragma GCC unroll 6
        for (int r = 0; r < n_x; r++) {
            vec16 p = v_set1(j->scratch[(size_t)r * stride + (size_t)t]);
#pragma GCC unroll 4
            for (int i = 0; i < n_v; i++)
                sum[r][i] = v_fma(p, v[i], sum[r][i]);
        }
    }
#pragma GCC unroll 6
    for (int r = 0; r < n_x; r++)
#pragma GCC unroll 4
        for (int i = 0; i < n_v; i++)
            v_store_n(out + (size_t)r * j->out_stride + i * V_LANES,
                      v_mul(sum[r][i], v_set1(factors[r])), i + 1 == n_v ? n_last : V_LANES);
}

V_INLINE void value_rows(int n_x, const struct attend_job *j, size_t stride, const float *factors,
                         float *out) {
    const int32_t whole = ATTEND_VECTORS * V_LANES;
    int32_t d = 0;
    for (; d + whole <= j->head_dim; d += whole)
        value_tile(n_x, ATTEND_VECTORS, V_LANES, j, stride, j->values + d, factors, out + d);
    for (; d + V_LANES <= j->head_dim; d += V_LANES)
        value_tile(n_x, 1, V_LANES, j, stride, j->values + d, factors, out + d);
    if (d < j->head_dim)
        value_tile(n_x, 1, j->head_dim - d, j, stride, j->values + d, factors, out + d);
}

V_INLINE void attend_rows(int n_x, const struct attend_job *j, int32_t first) {
    size_t stride = attend_row_floats(j->n_keys);
    float factors[ATTEND_ROWS];
    score_rows(n_x, j, j->q + (size_t)first * j->q_stride, stride);
    for (int r = 0; r < n_x; r++) {
        float *row = j->scratch + (size_t)r * stride;
        factors[r] = 1.0F / exponentials(row, j->n_keys, highest(row, j->n_keys));
    }
    value_rows(n_x, j, stride, factors, j->out + (size_t)first * j->out_stride);
}

/* The last rows go through with some of those before them once more: that costs less than rows one
 * by one, and gives the same results. */
static void attend_all(const struct attend_job *j) {
    int32_t first = 0;
    for (; first + ATTEND_ROWS <= j->rows; first += ATTEND_ROWS)
        attend_rows(ATTEND_ROWS, j, first);
    if (first < j->rows && j->rows > ATTEND_ROWS)
        attend_rows(ATTEND_ROWS, j, j->rows - ATTEND_ROWS);
    else
        for (; first < j->rows; first++)
            attend_rows(1, j, first);
}
