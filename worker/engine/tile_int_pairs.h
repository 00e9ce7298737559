/* tile_int_pairs.h - dot products of bytes where there is no instruction for them: products are
 * added in pairs to 16 bits, then to 32.
 *
 * No sum of 16 bits is ever too large. Numbers of up to 6 bits are multiplied as they are, and as
 * many groups share a sum as fit: 8 * 2 * 15 * 127, 4 * 2 * 31 * 127 and 2 * 2 * 63 * 127 are all
 * below 2^15. Signed bytes give their sign to the activation, which has no -128; what is left of
 * them is at most 128, and 2 * 128 * 127 is below 2^15, too. */
#define SIGNED_BYTES true

static inline int groups_in_16_bits(struct tile_int_plan p) {
    if (p.bits == 8 || p.table)
        return 1;
    return p.bits == 4 ? 8 : p.bits == 5 ? 4 : 2;
}

/* acc[r][v] += the dot products of groups first .. first + count - 1 of row r. */
static inline __attribute__((always_inline)) void
add_dots(vec_i acc[ROWS_AT_ONCE][VECS], const vec_i w[VECS][TILE_INT_GROUPS], const int8_t *q,
         size_t q_stride, int rows, int first, int count, struct tile_int_plan p) {
    const int together = groups_in_16_bits(p) < count ? groups_in_16_bits(p) : count;
    const bool is_signed = p.bits == 8 || p.table;
    UNROLL for (int g = first; g < first + count; g += together) {
        UNROLL for (int r = 0; r < rows; r++) {
            const int8_t *at = q + (size_t)r * q_stride;
            UNROLL for (int v = 0; v < VECS; v++) {
                vec_i sum = byte_pairs(w[v][g], all_words_at(at + 4 * g), is_signed);
                UNROLL for (int i = g + 1; i < g + together; i++) sum =
                    add_shorts(sum, byte_pairs(w[v][i], all_words_at(at + 4 * i), false));
                acc[r][v] = add_words(acc[r][v], multiply_pairs(sum, all_words(0x00010001)));
            }
        }
    }
}
