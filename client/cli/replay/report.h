/* report.h - measures as a table, as JSON and as a picture. One report per policy. */
#ifndef QUIRE_CLI_REPLAY_REPORT_H
#define QUIRE_CLI_REPLAY_REPORT_H

#include "client/cli/replay/measure.h"

struct report_facts {  /* about the trace, for those who repeat it */
    const char *trace; /* the shape's name or the file */
    uint64_t seed;
    size_t conversations;
    uint32_t concurrency; /* 0: no bound */
};

/* Tables on standard output; keying: the simulation for every shape, not for the agent alone. */
void report_print(const struct report *reports, size_t n, const struct report_facts *facts,
                  bool keying);

/* {"trace", "seed", ..., "shapes": {name: measures}, "total": measures}: the first report's; with
 * several also "policies": {policy: {"shapes", "total"}}. ERR_IO, ERR_NOMEM. */
int report_json(const struct report *reports, size_t n, const struct report_facts *facts,
                const char *path, struct error *e);

/* Bars: share reused beside the ideal, and first-token times. The path ends in .svg or .png. */
int report_chart(const struct report *reports, size_t n, const struct report_facts *facts,
                 const char *path, struct error *e);
bool report_chart_known(const char *path);

#endif
