/* machine.c - /proc and the control groups. Whatever cannot be read does not limit. */
#include "worker/engine/machine.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/cgroup.h"
#include "common/cpus.h"

#define LINE_BYTES 512

/* The number after `label` in a file of lines "label number"; SIZE_MAX when there is none. */
static size_t read_number(const char *path, const char *label) {
    FILE *f = fopen(path, "re");
    if (f == NULL)
        return SIZE_MAX;
    char line[LINE_BYTES];
    size_t value = SIZE_MAX;
    size_t skip = strlen(label);
    while (fgets(line, sizeof line, f) != NULL) {
        if (strncmp(line, label, skip) != 0)
            continue;
        char *end;
        unsigned long long n = strtoull(line + skip, &end, 10);
        if (end != line + skip)
            value = (size_t)n;
        break;
    }
    (void)fclose(f);
    return value;
}

static size_t meminfo_bytes(const char *label) {
    size_t kib = read_number("/proc/meminfo", label);
    return kib > SIZE_MAX / 1024 ? SIZE_MAX : kib * 1024;
}

static size_t smaller(size_t a, size_t b) {
    return a < b ? a : b;
}

size_t machine_memory_bytes(void) {
    return smaller(meminfo_bytes("MemTotal:"), cgroup_memory(&cgroup_files_usual).most);
}

size_t machine_available_bytes(void) {
    return smaller(meminfo_bytes("MemAvailable:"), cgroup_memory(&cgroup_files_usual).left);
}

size_t machine_resident_bytes(void) {
    FILE *f = fopen("/proc/self/statm", "re");
    if (f == NULL)
        return 0;
    unsigned long long size, resident;
    int n = fscanf(f, "%llu %llu", &size, &resident);
    (void)fclose(f);
    long page = sysconf(_SC_PAGESIZE);
    return n == 2 && page > 0 ? (size_t)resident * (size_t)page : 0;
}

int machine_cpus(void) {
    return cpus_usable();
}
