/* proxies.h - addresses: of loopback, of trusted proxies, and of who asks behind them. */
#ifndef QUIRE_GATEWAY_HTTP_PROXIES_H
#define QUIRE_GATEWAY_HTTP_PROXIES_H

#include <netinet/in.h>
#include <stdbool.h>
#include <sys/socket.h>

#include "common/error.h"

#define PROXIES_MAX 64
#define PROXIES_TEXT_BYTES INET6_ADDRSTRLEN

struct proxies;
/* list: addresses and networks, separated by commas or spaces; NULL: none. */
int proxies_open(struct proxies **out, const char *list, struct error *e);
void proxies_close(struct proxies *p);

/* Who asks: the peer, or when that is a trusted proxy the last address of X-Forwarded-For (NULL:
 * absent) that is none. */
void proxies_client(const struct proxies *p, const struct sockaddr_storage *peer,
                    const char *forwarded, char out[PROXIES_TEXT_BYTES]);
bool proxies_is_loopback(const char *address); /* false also for what is no address */
bool proxies_loopback(const struct sockaddr_storage *peer);
/* The text of an address, without a port; IPv4 inside IPv6 as IPv4. */
void proxies_text(const struct sockaddr_storage *peer, char out[PROXIES_TEXT_BYTES]);

#endif
