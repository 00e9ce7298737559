/* metrics_process.c - this program's own needs. What the kernel does not tell is left out. */
#include <stdio.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "gateway/figures/exposition.h"
#include "gateway/figures/metrics.h"

static double seconds(const struct timeval *t) {
    return (double)t->tv_sec + (double)t->tv_usec / 1e6;
}

static void memory(struct text *t) {
    FILE *file = fopen("/proc/self/statm", "re");
    long pages;
    if (file == NULL)
        return;
    if (fscanf(file, "%*s %ld", &pages) == 1)
        exposition_gauge(t, "process_resident_memory_bytes", "Resident memory size in bytes.",
                         (double)pages * (double)sysconf(_SC_PAGESIZE));
    (void)fclose(file);
}

void metrics_process(struct text *out) {
    struct rusage usage;
    if (getrusage(RUSAGE_SELF, &usage) == 0) {
        exposition_head(out, "process_cpu_seconds_total", "counter",
                        "Total user and system CPU time spent in seconds.");
        exposition_value(out, "process_cpu_seconds_total", "",
                         seconds(&usage.ru_utime) + seconds(&usage.ru_stime));
    }
    memory(out);
}
