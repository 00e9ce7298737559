/* cpus.c - see cpus.h. */
#include "common/cpus.h"

#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/cgroup.h"

/* A number below CPU_SETSIZE at *text, which moves past it. */
static bool take_number(const char **text, int *out) {
    char *end;
    if (**text < '0' || **text > '9')
        return false;
    unsigned long n = strtoul(*text, &end, 10);
    *text = end;
    *out = n < CPU_SETSIZE ? (int)n : -1;
    return *out >= 0;
}

int cpus_parse(const char *text, cpu_set_t *out, struct error *e) {
    CPU_ZERO(out);
    const char *at = text;
    bool good;
    do {
        int first = 0, last;
        good = take_number(&at, &first);
        last = first;
        if (good && *at == '-') {
            at++;
            good = take_number(&at, &last) && last >= first;
        }
        for (int cpu = first; good && cpu <= last; cpu++)
            cpus_add(out, cpu);
    } while (good && *at++ == ',');
    if (!good || at[-1] != '\0')
        return error_set(e, ERR_USAGE, "\"%s\" is no list of CPUs, as 0-7 or 0,2,4-6 (below %d)",
                         text, CPU_SETSIZE);
    return 0;
}

void cpus_write(const cpu_set_t *cpus, char out[CPUS_TEXT_BYTES]) {
    size_t used = 0;
    out[0] = '\0';
    for (int cpu = 0; cpu < CPU_SETSIZE; cpu++) {
        if (!cpus_has(cpus, cpu))
            continue;
        int last = cpu;
        while (last + 1 < CPU_SETSIZE && cpus_has(cpus, last + 1))
            last++;
        int n = snprintf(out + used, CPUS_TEXT_BYTES - used, last > cpu ? "%s%d-%d" : "%s%d",
                         used > 0 ? "," : "", cpu, last);
        used += n > 0 ? (size_t)n : 0;
        cpu = last;
    }
}

int cpus_nth(const cpu_set_t *cpus, int i) {
    for (int cpu = 0; cpu < CPU_SETSIZE; cpu++)
        if (cpus_has(cpus, cpu) && i-- == 0)
            return cpu;
    return -1;
}

void cpus_allowed(cpu_set_t *out) {
    if (sched_getaffinity(0, sizeof *out, out) != 0)
        CPU_ZERO(out);
}

int cpus_usable(void) {
    cpu_set_t set;
    cpus_allowed(&set);
    long online = sysconf(_SC_NPROCESSORS_ONLN);
    int cpus = CPU_COUNT(&set);
    if (cpus == 0) /* more of them than a set holds */
        cpus = online > 0 && online < INT_MAX ? (int)online : 1;
    int granted = cgroup_cpus(&cgroup_files_usual);
    return granted < cpus ? granted : cpus;
}

int cpus_keep_to(const cpu_set_t *cpus, struct error *e) {
    cpu_set_t allowed;
    char text[CPUS_TEXT_BYTES];
    cpus_allowed(&allowed);
    for (int i = 0, cpu; (cpu = cpus_nth(cpus, i)) >= 0; i++) {
        if (cpus_has(&allowed, cpu))
            continue;
        cpus_write(&allowed, text);
        return error_set(e, ERR_USAGE, "CPU %d is not there or not ours; we may use %.200s", cpu,
                         text);
    }
    if (sched_setaffinity(0, sizeof *cpus, cpus) != 0)
        return error_set(e, ERR_USAGE, "the CPUs can't be chosen: %s", strerror(errno));
    return 0;
}
