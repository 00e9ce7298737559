/* proto_dump.c - writes every sample as "name hex", one per line, for readers in other languages.
 */
#include <stdio.h>

#include "proto_samples.h"

int main(void) {
    struct sample samples[SAMPLES_MAX];
    size_t n = samples_make(samples);
    for (size_t i = 0; i < n; i++) {
        printf("%s ", samples[i].name);
        for (size_t k = 0; k < samples[i].frame.size; k++)
            printf("%02x", samples[i].frame.data[k]);
        printf("\n");
    }
    samples_clear(samples, n);
    return 0;
}
