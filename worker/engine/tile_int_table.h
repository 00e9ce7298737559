/* tile_int_table.h - a kernel for each quantised type out of the including file's
 *
 *     static void products(const struct tile_call *c, enum quant_type type);
 *
 * which is compiled once for every type; and kernel_of, which finds it. */
#define KERNELS(KERNEL)                                                                            \
    KERNEL(Q4_0)                                                                                   \
    KERNEL(Q4_1)                                                                                   \
    KERNEL(Q5_0)                                                                                   \
    KERNEL(Q5_1)                                                                                   \
    KERNEL(Q8_0)                                                                                   \
    KERNEL(Q2_K) KERNEL(Q3_K) KERNEL(Q4_K) KERNEL(Q5_K) KERNEL(Q6_K) KERNEL(IQ4_NL) KERNEL(IQ4_XS)

#define KERNEL(type)                                                                               \
    static void kernel_##type(const struct tile_call *c) {                                         \
        products(c, QUANT_##type);                                                                 \
    }
KERNELS(KERNEL)

#define ENTRY(type) [QUANT_##type] = kernel_##type,
static tile_kernel *const kernels[] = {KERNELS(ENTRY)};

static tile_kernel *kernel_of(enum quant_type type) {
    return (size_t)type < sizeof kernels / sizeof kernels[0] ? kernels[type] : NULL;
}
