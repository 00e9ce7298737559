/* notes.h - the core's notes as log lines with stable ids. */
#ifndef QUIRE_BROKER_SHELL_NOTES_H
#define QUIRE_BROKER_SHELL_NOTES_H

#include "broker/event.h"

void notes_log(const struct action *a); /* an ACTION_NOTE */

#endif
