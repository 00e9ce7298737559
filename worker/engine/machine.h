/* machine.h - what this process may use of the machine, and what it uses now.
 *
 * Limits of control groups count like the machine's own. */
#ifndef QUIRE_ENGINE_MACHINE_H
#define QUIRE_ENGINE_MACHINE_H

#include <stddef.h>

int machine_cpus(void);               /* that this process may run on; >= 1 */
size_t machine_memory_bytes(void);    /* all there is for us; SIZE_MAX when nobody says */
size_t machine_available_bytes(void); /* that could be taken now without swapping */
size_t machine_resident_bytes(void);  /* of this process; 0 when nobody says */

#endif
