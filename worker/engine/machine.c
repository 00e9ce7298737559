/* machine.c - /proc and the control group's files. Whatever cannot be read does not limit. */
#include "worker/engine/machine.h"

#include <limits.h>
#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

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

/* A file of this process's control group, "memory.max" for example; false when there is none. */
static bool cgroup_file(const char *name, char *out, size_t capacity) {
    FILE *f = fopen("/proc/self/cgroup", "re");
    if (f == NULL)
        return false;
    char line[LINE_BYTES];
    bool found = false;
    while (!found && fgets(line, sizeof line, f) != NULL) {
        if (strncmp(line, "0::/", 4) != 0)
            continue;
        line[strcspn(line, "\n")] = '\0';
        int n = snprintf(out, capacity, "/sys/fs/cgroup%s/%s", line + 3, name);
        found = n > 0 && (size_t)n < capacity;
    }
    (void)fclose(f);
    return found;
}

static size_t cgroup_number(const char *name) {
    char path[LINE_BYTES + 64];
    return cgroup_file(name, path, sizeof path) ? read_number(path, "") : SIZE_MAX;
}

static size_t meminfo_bytes(const char *label) {
    size_t kib = read_number("/proc/meminfo", label);
    return kib > SIZE_MAX / 1024 ? SIZE_MAX : kib * 1024;
}

static size_t smaller(size_t a, size_t b) {
    return a < b ? a : b;
}

size_t machine_memory_bytes(void) {
    return smaller(meminfo_bytes("MemTotal:"), cgroup_number("memory.max"));
}

size_t machine_available_bytes(void) {
    size_t machine = meminfo_bytes("MemAvailable:");
    size_t most = cgroup_number("memory.max");
    size_t used = cgroup_number("memory.current");
    if (most == SIZE_MAX || used == SIZE_MAX)
        return machine;
    char path[LINE_BYTES + 64];
    if (cgroup_file("memory.stat", path, sizeof path)) {
        size_t cache = read_number(path, "inactive_file "); /* given up when memory is asked for */
        used -= cache < used ? cache : 0;
    }
    return smaller(machine, most > used ? most - used : 0);
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

/* CPUs' worth of time that the control group grants, rounded up; INT_MAX when it does not limit. */
static int cgroup_cpus(void) {
    char path[LINE_BYTES + 64];
    if (!cgroup_file("cpu.max", path, sizeof path))
        return INT_MAX;
    FILE *f = fopen(path, "re");
    if (f == NULL)
        return INT_MAX;
    unsigned long quota, period; /* the file says "max 100000" when there is no limit */
    int n = fscanf(f, "%lu %lu", &quota, &period);
    (void)fclose(f);
    if (n != 2 || period == 0 || quota == 0 || quota / period >= INT_MAX)
        return INT_MAX;
    return (int)((quota + period - 1) / period);
}

int machine_cpus(void) {
    cpu_set_t set;
    long n = sysconf(_SC_NPROCESSORS_ONLN);
    int cpus = n > 0 && n < INT_MAX ? (int)n : 1;
    if (sched_getaffinity(0, sizeof set, &set) == 0 && CPU_COUNT(&set) > 0)
        cpus = CPU_COUNT(&set);
    int granted = cgroup_cpus();
    return granted < cpus ? granted : cpus;
}
