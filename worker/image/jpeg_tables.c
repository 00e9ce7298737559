/* jpeg_tables.c - Huffman and quantisation tables, frame and scan headers. */
#include "worker/image/jpeg_tables.h"

#define HUFFMAN_LENGTHS 16
#define HUFFMAN_MAX_SYMBOLS 255 /* the decoder uses index 255 as a mark; no encoder needs it */
#define DC_MAX_SYMBOL 15        /* bits of a difference */
#define BLOCK 64                /* coefficients */

static int damaged(const char *what, size_t at, struct error *e) {
    return error_set(e, ERR_BAD_PICTURE, "the JPEG's %s at byte %zu is damaged", what, at);
}

/* The number of symbols, or -1: more codes of a length than that many bits can tell apart. */
static int count_symbols(const uint8_t counts[HUFFMAN_LENGTHS]) {
    int symbols = 0;
    uint32_t codes = 0;
    for (unsigned length = 1; length <= HUFFMAN_LENGTHS; length++) {
        codes = 2 * codes + counts[length - 1];
        symbols += counts[length - 1];
        if (codes > 1u << length || symbols > HUFFMAN_MAX_SYMBOLS)
            return -1;
    }
    return symbols;
}

int jpeg_check_huffman(struct jpeg_tables *t, struct bytes data, size_t at, struct error *e) {
    while (data.size > 0) {
        if (data.size < 1 + HUFFMAN_LENGTHS)
            return damaged("Huffman table", at, e);
        unsigned kind = data.data[0] >> 4, slot = data.data[0] & 15;
        int symbols = count_symbols(data.data + 1);
        size_t used = 1 + HUFFMAN_LENGTHS + (size_t)symbols;
        if (kind > 1 || slot >= JPEG_TABLES || symbols < 0 || data.size < used)
            return damaged("Huffman table", at, e);
        for (size_t i = 1 + HUFFMAN_LENGTHS; kind == 0 && i < used; i++)
            if (data.data[i] > DC_MAX_SYMBOL)
                return damaged("Huffman table", at, e);
        *(kind ? &t->ac[slot] : &t->dc[slot]) = true;
        data = (struct bytes){data.data + used, data.size - used};
    }
    return 0;
}

int jpeg_check_quant(struct jpeg_tables *t, struct bytes data, size_t at, struct error *e) {
    while (data.size > 0) {
        unsigned wide = data.data[0] >> 4, slot = data.data[0] & 15;
        size_t used = 1 + BLOCK * (wide + (size_t)1);
        if (wide > 1 || slot >= JPEG_TABLES || data.size < used)
            return damaged("quantisation table", at, e);
        t->quant[slot] = true;
        data = (struct bytes){data.data + used, data.size - used};
    }
    return 0;
}

int jpeg_check_frame(struct jpeg_tables *t, struct bytes data, size_t at, struct error *e) {
    if (t->components)
        return error_set(e, ERR_BAD_PICTURE, "the JPEG has a second frame at byte %zu", at);
    t->components = data.data[5]; /* sizes were checked when the header was read */
    for (int32_t i = 0; i < t->components; i++) {
        const uint8_t *p = data.data + 6 + 3 * i;
        if (p[2] >= JPEG_TABLES)
            return damaged("frame header", at, e);
        t->component[i].id = p[0];
        t->component[i].quant = p[2];
    }
    return 0;
}

static int find_component(const struct jpeg_tables *t, uint8_t id) {
    for (int32_t i = 0; i < t->components; i++)
        if (t->component[i].id == id)
            return i;
    return -1;
}

/* Whether the tables of one component of a scan exist; `first` is its first coefficient. */
static bool tables_exist(const struct jpeg_tables *t, const uint8_t *p, unsigned first) {
    int component = find_component(t, p[0]);
    unsigned dc = p[1] >> 4, ac = p[1] & 15;
    if (component < 0 || dc >= JPEG_TABLES || ac >= JPEG_TABLES)
        return false;
    bool needs_dc = first == 0, needs_ac = first > 0 || !t->progressive;
    return t->quant[t->component[component].quant] && (!needs_dc || t->dc[dc]) &&
           (!needs_ac || t->ac[ac]);
}

int jpeg_check_scan(const struct jpeg_tables *t, struct bytes data, size_t at, struct error *e) {
    size_t n = data.size ? data.data[0] : 0;
    if (t->components == 0)
        return error_set(e, ERR_BAD_PICTURE, "the JPEG has a scan at byte %zu before its frame",
                         at);
    if (n < 1 || n > (size_t)t->components || data.size != 4 + 2 * n)
        return damaged("scan header", at, e);
    unsigned first = data.data[1 + 2 * n], last = data.data[2 + 2 * n];
    unsigned high = data.data[3 + 2 * n] >> 4, low = data.data[3 + 2 * n] & 15;
    if (first >= BLOCK || last >= BLOCK || high > 13 || low > 13)
        return damaged("scan header", at, e);
    if (t->progressive && (first > last || (first == 0 && last != 0) || (first > 0 && n != 1)))
        return damaged("scan header", at, e);
    for (size_t i = 0; i < n; i++)
        if (!tables_exist(t, data.data + 1 + 2 * i, first))
            return error_set(e, ERR_BAD_PICTURE,
                             "the JPEG's scan at byte %zu uses a table or component that it does "
                             "not define",
                             at);
    return 0;
}
