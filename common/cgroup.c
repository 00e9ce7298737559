/* cgroup.c - a few small files of numbers. Whatever cannot be read does not limit. */
#include "common/cgroup.h"

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LINE_BYTES 512
#define PATH_BYTES 1024

const struct cgroup_files cgroup_files_usual = {"/proc/self/cgroup", "/sys/fs/cgroup"};

/* The numbers of the line of folder/name that begins with `label`, up to `n`; how many there are.
 */
static int read_numbers(const char *folder, const char *name, const char *label, size_t *out,
                        int n) {
    char path[PATH_BYTES + 64], line[LINE_BYTES];
    (void)snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *f = fopen(path, "re");
    if (f == NULL)
        return 0;
    int found = 0;
    size_t skip = strlen(label);
    while (found == 0 && fgets(line, sizeof line, f) != NULL) {
        const char *at = line + skip;
        if (strncmp(line, label, skip) != 0)
            continue;
        for (char *end; found < n; found++, at = end) {
            unsigned long long value = strtoull(at, &end, 10);
            if (end == at || strchr(at, '-') != NULL) /* "max", or -1: no limit */
                break;
            out[found] = value < SIZE_MAX ? (size_t)value : SIZE_MAX;
        }
        break;
    }
    (void)fclose(f);
    return found;
}

static size_t read_number(const char *folder, const char *name, const char *label) {
    size_t value;
    return read_numbers(folder, name, label, &value, 1) == 1 ? value : SIZE_MAX;
}

/* Whether one of the words between commas is `word`. */
static bool lists(const char *words, const char *word) {
    size_t size = strlen(word);
    for (const char *at = words; at != NULL; at = strchr(at, ',')) {
        at += *at == ',';
        if (strncmp(at, word, size) == 0 && (at[size] == ',' || at[size] == '\0'))
            return true;
    }
    return false;
}

typedef void visitor(void *arg, const char *folder, bool unified);

static void visit_upwards(const char *base, const char *path, bool unified, visitor *visit,
                          void *arg) {
    char folder[PATH_BYTES];
    int n = snprintf(folder, sizeof folder, "%s%s", base, path);
    if (n < 0 || (size_t)n >= sizeof folder)
        return;
    for (char *slash = folder; slash != NULL; *slash = '\0') {
        visit(arg, folder, unified);
        slash = strrchr(folder + strlen(base), '/');
        if (slash == NULL)
            return;
    }
}

/* Every group of this process that `controller` may limit. */
static void visit_groups(const struct cgroup_files *f, const char *controller, visitor *visit,
                         void *arg) {
    char line[PATH_BYTES], base[PATH_BYTES];
    FILE *file = fopen(f->self, "re");
    if (file == NULL)
        return;
    while (fgets(line, sizeof line, file) != NULL) { /* "4:cpu,cpuacct:/path", "0::/path" */
        line[strcspn(line, "\n")] = '\0';
        char *controllers = strchr(line, ':');
        char *path = controllers != NULL ? strchr(controllers + 1, ':') : NULL;
        if (path == NULL)
            continue;
        *path++ = '\0';
        bool unified = *++controllers == '\0';
        if (!unified && !lists(controllers, controller))
            continue;
        (void)snprintf(base, sizeof base, "%s%s%s", f->mount, unified ? "" : "/",
                       unified ? "" : controller);
        visit_upwards(base, path, unified, visit, arg);
    }
    (void)fclose(file);
}

static void look_at_cpus(void *arg, const char *folder, bool unified) {
    int *least = arg;
    size_t time[2]; /* quota and period, microseconds */
    int n;
    if (unified) {
        n = read_numbers(folder, "cpu.max", "", time, 2);
    } else {
        n = read_numbers(folder, "cpu.cfs_quota_us", "", &time[0], 1) +
            read_numbers(folder, "cpu.cfs_period_us", "", &time[1], 1);
    }
    if (n != 2 || time[0] == 0 || time[1] == 0)
        return;
    size_t cpus = (time[0] - 1) / time[1] + 1;
    if (cpus < (size_t)*least)
        *least = (int)cpus;
}

int cgroup_cpus(const struct cgroup_files *f) {
    int least = INT_MAX;
    visit_groups(f, "cpu", look_at_cpus, &least);
    return least;
}

static void look_at_memory(void *arg, const char *folder, bool unified) {
    struct cgroup_memory *m = arg;
    size_t most = read_number(folder, unified ? "memory.max" : "memory.limit_in_bytes", "");
    size_t used = read_number(folder, unified ? "memory.current" : "memory.usage_in_bytes", "");
    /* of it, what is given up when memory is asked for */
    size_t cache =
        read_number(folder, "memory.stat", unified ? "inactive_file " : "total_inactive_file ");
    if (most == SIZE_MAX)
        return;
    m->most = most < m->most ? most : m->most;
    if (used == SIZE_MAX)
        return;
    used -= cache < used ? cache : 0;
    size_t left = most > used ? most - used : 0;
    m->left = left < m->left ? left : m->left;
}

struct cgroup_memory cgroup_memory(const struct cgroup_files *f) {
    struct cgroup_memory m = {SIZE_MAX, SIZE_MAX};
    visit_groups(f, "memory", look_at_memory, &m);
    return m;
}
