/* make-model.c - writes a pair of GGUF files of true SmolVLM shape with random weights.
 *
 *     make-model SHAPE TYPE SEED OUT_TEXT.gguf OUT_MMPROJ.gguf
 *
 * For benchmarks and tests of loading; such a model says nothing that makes sense. The files are
 * written in place through a map, so that memory stays small. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "tests/support/smolvlm_shape.h"

static const char usage[] =
    "usage: make-model SHAPE TYPE SEED OUT_TEXT.gguf OUT_MMPROJ.gguf\n"
    "Writes a SmolVLM-like model with random weights.\n"
    "  SHAPE  micro, tiny, 256m, 500m, 2b or wide (2048 wide, 22 layers)\n"
    "  TYPE   f16, q8_0, q4_0 or q4_k: the type of the matrices (output of q4_0: q8_0, of q4_k:\n"
    "         q6_k; mmproj of both: f16)\n"
    "  SEED   a number; the same one gives the same files\n";

static int complain(const char *path, const char *what) {
    fprintf(stderr, "make-model: %s: %s: %s\n", path, what, strerror(errno));
    return 1;
}

static int write_file(const char *path, const struct gguf_writer *w, const struct smolvlm_shape *s,
                      uint64_t seed) {
    int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (fd < 0)
        return complain(path, "cannot create the file");
    size_t header_bytes, total;
    uint8_t *header = gguf_writer_header(w, &header_bytes);
    total = header_bytes + (size_t)w->data_bytes;
    int rc = 0;
    /* Room is taken first: a full disk would otherwise be a SIGBUS in the map. */
    errno = posix_fallocate(fd, 0, (off_t)total);
    uint8_t *map = MAP_FAILED;
    if (errno != 0)
        rc = complain(path, "no room for the file");
    else if ((map = mmap(NULL, total, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0)) == MAP_FAILED)
        rc = complain(path, "cannot map the file");
    if (rc == 0) {
        memcpy(map, header, header_bytes);
        smolvlm_fill(w, s, seed, map + header_bytes);
        munmap(map, total);
        printf("%s: %zu bytes\n", path, total);
    }
    free(header);
    if (close(fd) != 0 && rc == 0)
        rc = complain(path, "cannot write the file");
    return rc;
}

int main(int argc, char **argv) {
    static const struct {
        const char *name;
        enum quant_type type;
    } types[] = {
        {"f16", QUANT_F16}, {"q8_0", QUANT_Q8_0}, {"q4_0", QUANT_Q4_0}, {"q4_k", QUANT_Q4_K}};
    const size_t n_types = sizeof types / sizeof types[0];
    if (argc == 2 && strcmp(argv[1], "--help") == 0) {
        fputs(usage, stdout);
        return 0;
    }
    const struct smolvlm_shape *s = argc == 6 ? smolvlm_shape(argv[1]) : NULL;
    size_t k = 0;
    while (s != NULL && k < n_types && strcmp(types[k].name, argv[2]) != 0)
        k++;
    char *end = NULL;
    uint64_t seed = s != NULL ? strtoull(argv[3], &end, 10) : 0;
    if (s == NULL || k == n_types || end == argv[3] || *end != '\0') {
        fputs(usage, stderr);
        return 2;
    }
    struct gguf_writer text, mmproj;
    gguf_writer_open(&text);
    gguf_writer_open(&mmproj);
    smolvlm_put_text(&text, s, types[k].type);
    smolvlm_put_mmproj(&mmproj, s, types[k].type);
    int rc = write_file(argv[4], &text, s, seed);
    if (rc == 0)
        rc = write_file(argv[5], &mmproj, s, seed + 1);
    gguf_writer_close(&text);
    gguf_writer_close(&mmproj);
    return rc;
}
