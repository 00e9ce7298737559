/* explain_view.h - an explanation, and what a worker's leaving costs, as text or as JSON. */
#ifndef QUIRE_CLI_EXPLAIN_VIEW_H
#define QUIRE_CLI_EXPLAIN_VIEW_H

#include <stdbool.h>

#include "client/quire.h"

void view_explanation(const struct quire_explanation *x, bool json);
void view_losses(const char *worker, const struct quire_losses *l, bool json);

#endif
