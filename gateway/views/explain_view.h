/* explain_view.h - why a worker was chosen, and what the pool would lose with one, as JSON. Pure.
 */
#ifndef QUIRE_GATEWAY_EXPLAIN_VIEW_H
#define QUIRE_GATEWAY_EXPLAIN_VIEW_H

#include <jansson.h>

#include "client/quire.h"

json_t *explain_view(const struct quire_explanation *e); /* NULL: no memory */
json_t *losses_view(const struct quire_losses *l);

#endif
