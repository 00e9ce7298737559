/* accept.h - a listener that outlives running out of file descriptors. */
#ifndef QUIRE_BROKER_SHELL_ACCEPT_H
#define QUIRE_BROKER_SHELL_ACCEPT_H

/* To be called before anything listens. Without it, or when it finds no descriptor free, the
 * program works and is not protected. */
void accept_guard(void);

#endif
