/* places.c - /sys tells of nodes and cores; then it is sorting and cutting. */
#include "client/cli/places.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/cpus.h"

#define PATH_BYTES 512
#define NODES_MAX 1024 /* numbers of nodes are below; they may have gaps */

/* A file that holds a list of CPUs. */
static bool read_list(const char *path, cpu_set_t *out) {
    char text[CPUS_TEXT_BYTES];
    FILE *f = fopen(path, "re");
    if (f == NULL)
        return false;
    bool good = fgets(text, sizeof text, f) != NULL;
    (void)fclose(f);
    if (!good)
        return false;
    text[strcspn(text, "\n")] = '\0';
    return cpus_parse(text, out, NULL) == 0;
}

static int compare(const void *a, const void *b) {
    const struct place *x = a, *y = b;
    if (x->node != y->node)
        return x->node < y->node ? -1 : 1;
    if (x->core != y->core)
        return x->core < y->core ? -1 : 1;
    return x->cpu < y->cpu ? -1 : x->cpu > y->cpu;
}

int places_read(const char *sys, const cpu_set_t *cpus, struct place out[CPU_SETSIZE]) {
    char path[PATH_BYTES];
    cpu_set_t list;
    int n = 0;
    for (int cpu = 0; cpu < CPU_SETSIZE; cpu++) {
        if (!cpus_has(cpus, cpu))
            continue;
        (void)snprintf(path, sizeof path,
                       "%s/devices/system/cpu/cpu%d/topology/thread_siblings_list", sys, cpu);
        int core = read_list(path, &list) ? cpus_nth(&list, 0) : cpu;
        out[n++] = (struct place){.cpu = cpu, .node = 0, .core = core};
    }
    for (int node = 0; node < NODES_MAX; node++) {
        (void)snprintf(path, sizeof path, "%s/devices/system/node/node%d/cpulist", sys, node);
        if (!read_list(path, &list))
            continue;
        for (int i = 0; i < n; i++)
            if (cpus_has(&list, out[i].cpu))
                out[i].node = node;
    }
    qsort(out, (size_t)n, sizeof *out, compare);
    return n;
}

/* Cuts n things into parts as equal as can be: where part i begins. */
static int cut(int n, int parts, int i) {
    return (int)((long)n * i / parts);
}

/* The first place of each node in begins[], and n after the last; returns how many nodes. */
static int find_nodes(const struct place *places, int n, int begins[CPU_SETSIZE + 1]) {
    int nodes = 0;
    for (int i = 0; i < n; i++)
        if (i == 0 || places[i].node != places[i - 1].node)
            begins[nodes++] = i;
    begins[nodes] = n;
    return nodes;
}

/* Where worker w's places begin, if no worker's are to be cut off a node that others have a part
 * of. */
static int begin_on_nodes(const int *begins, int nodes, int workers, int w) {
    if (workers <= nodes)
        return begins[cut(nodes, workers, w)];
    int node = 0; /* which has workers cut(workers, nodes, node) and those after it */
    while (node < nodes && cut(workers, nodes, node + 1) <= w)
        node++;
    if (node == nodes)
        return begins[nodes];
    int first = cut(workers, nodes, node), here = cut(workers, nodes, node + 1) - first;
    return begins[node] + cut(begins[node + 1] - begins[node], here, w - first);
}

void places_divide(const struct place *places, int n, int workers, cpu_set_t *out) {
    int begins[CPU_SETSIZE + 1];
    int nodes = find_nodes(places, n, begins), least = n, most = 0;
    for (int w = 0; w < workers; w++) {
        int size = begin_on_nodes(begins, nodes, workers, w + 1) -
                   begin_on_nodes(begins, nodes, workers, w);
        least = size < least ? size : least;
        most = size > most ? size : most;
    }
    bool even = least > 0 && most <= 2 * least;
    for (int w = 0; w < workers; w++) {
        int i = even ? begin_on_nodes(begins, nodes, workers, w) : cut(n, workers, w);
        int end = even ? begin_on_nodes(begins, nodes, workers, w + 1) : cut(n, workers, w + 1);
        CPU_ZERO(&out[w]);
        for (; i < end; i++)
            cpus_add(&out[w], places[i].cpu);
    }
}
