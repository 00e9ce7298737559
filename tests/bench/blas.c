/* blas.c - loads OpenBLAS with the right kernels and calls its sgemm. */
#include "tests/bench/blas.h"

#include <cblas.h>
#include <dlfcn.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "common/must.h"
#include "worker/engine/quant_inside.h"

typedef void sgemm_fn(enum CBLAS_ORDER order, enum CBLAS_TRANSPOSE ta, enum CBLAS_TRANSPOSE tb,
                      blasint m, blasint n, blasint k, float alpha, const float *a, blasint lda,
                      const float *b, blasint ldb, float beta, float *c, blasint ldc);

static struct {
    pthread_mutex_t lock;
    bool open;
    sgemm_fn *sgemm;
    const char *core;
} blas = {.lock = PTHREAD_MUTEX_INITIALIZER, .core = "none"};

static const char *kernel_family(void) {
    if (quant_isa_chosen() >= QUANT_ISA_AVX512)
        return "SkylakeX";
    if (quant_isa_chosen() >= QUANT_ISA_AVX2)
        return "Haswell";
    return NULL; /* its own choice */
}

/* dlsym returns an object pointer; POSIX lets it hold a function's address. */
static void find_function(void *library, const char *name, void *slot, size_t slot_bytes) {
    void *found = dlsym(library, name);
    MUST(slot_bytes == sizeof found);
    memcpy(slot, &found, sizeof found);
}

/* The variables are read once, by the library's constructor; what a user has set is left alone. */
static void *load_library(void) {
    const char *family = kernel_family();
    bool set_core = family != NULL && getenv("OPENBLAS_CORETYPE") == NULL;
    bool set_threads = getenv("OPENBLAS_NUM_THREADS") == NULL;
    if (set_core)
        setenv("OPENBLAS_CORETYPE", family, 1);
    if (set_threads)
        setenv("OPENBLAS_NUM_THREADS", "1", 1);
    void *library = dlopen("libopenblas.so.0", RTLD_NOW | RTLD_LOCAL);
    if (set_core)
        unsetenv("OPENBLAS_CORETYPE");
    if (set_threads)
        unsetenv("OPENBLAS_NUM_THREADS");
    return library;
}

static int open_library(struct error *e) {
    void *library = load_library();
    if (library == NULL)
        return error_set(e, ERR_UNSUPPORTED, "cannot load OpenBLAS (install libopenblas0): %s",
                         dlerror());
    void (*set_num_threads)(int) = NULL;
    char *(*get_corename)(void) = NULL;
    find_function(library, "cblas_sgemm", &blas.sgemm, sizeof blas.sgemm);
    find_function(library, "openblas_set_num_threads", &set_num_threads, sizeof set_num_threads);
    find_function(library, "openblas_get_corename", &get_corename, sizeof get_corename);
    if (blas.sgemm == NULL || set_num_threads == NULL || get_corename == NULL) {
        dlclose(library);
        return error_set(e, ERR_UNSUPPORTED,
                         "libopenblas.so.0 lacks cblas_sgemm or openblas_set_num_threads; "
                         "is it another BLAS under that name?");
    }
    set_num_threads(1);
    blas.core = get_corename();
    return 0;
}

int blas_open(struct error *e) {
    pthread_mutex_lock(&blas.lock);
    int rc = blas.open ? 0 : open_library(e);
    blas.open = rc == 0;
    pthread_mutex_unlock(&blas.lock);
    return rc;
}

const char *blas_core(void) {
    return blas.core;
}

void blas_sgemm(bool b_transposed, int32_t m, int32_t n, int32_t k, float alpha, const float *a,
                int32_t lda, const float *b, int32_t ldb, float beta, float *c, int32_t ldc) {
    blas.sgemm(CblasRowMajor, CblasNoTrans, b_transposed ? CblasTrans : CblasNoTrans, m, n, k,
               alpha, a, lda, b, ldb, beta, c, ldc);
}
