/* cgroup.h - what the control groups of this process grant it: processor time and memory.
 *
 * Both hierarchies are read, the unified one (version 2) and the older one of a folder for each
 * controller (version 1), from the process's own group up to the mounted root: the strictest of
 * them counts. Inside a container the root that is mounted is often the container's own group. */
#ifndef QUIRE_COMMON_CGROUP_H
#define QUIRE_COMMON_CGROUP_H

#include <stddef.h>

/* Where the kernel tells of them; tests have their own. */
struct cgroup_files {
    const char *self;  /* "/proc/self/cgroup" */
    const char *mount; /* "/sys/fs/cgroup" */
};
extern const struct cgroup_files cgroup_files_usual;

/* CPUs' worth of time, rounded up; INT_MAX when it is not limited. */
int cgroup_cpus(const struct cgroup_files *f);

struct cgroup_memory {
    size_t most; /* bytes; SIZE_MAX when not limited */
    size_t left; /* that could be taken now; SIZE_MAX likewise */
};
struct cgroup_memory cgroup_memory(const struct cgroup_files *f);

#endif
