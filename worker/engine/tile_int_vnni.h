/* tile_int_vnni.h - dot products of bytes with the instruction for them (four_bytes). */
#define SIGNED_BYTES false

/* acc[r][v] += the dot products of groups first .. first + count - 1 of row r. */
static inline __attribute__((always_inline)) void
add_dots(vec_i acc[ROWS_AT_ONCE][VECS], const vec_i w[VECS][TILE_INT_GROUPS], const int8_t *q,
         size_t q_stride, int rows, int first, int count, struct tile_int_plan p) {
    (void)p;
    UNROLL for (int g = first; g < first + count; g++) {
        UNROLL for (int r = 0; r < rows; r++) {
            vec_i x = all_words_at(q + (size_t)r * q_stride + 4 * g);
            UNROLL for (int v = 0; v < VECS; v++) acc[r][v] = four_bytes(acc[r][v], w[v][g], x);
        }
    }
}
