#ifndef EASEL_HTTP_PEER_H
#define EASEL_HTTP_PEER_H
/*
 * peer - which address a request came from, behind proxies that are trusted to say so
 *
 * Addresses are plain ("192.0.2.1", "2001:db8::1") or networks ("10.0.0.0/8").  IPv4 inside IPv6 is IPv4.
 * Nothing allocates; thread-safe.
 */
#include <stdbool.h>
#include <stddef.h>

#include "config/config.h"

#define PEER_TEXT 64

/* Is the address one of these, or in one of these networks? */
bool peer_is_in(const struct strings *networks, const char *address);

/*
 * Who sent it: `remote` is the connection's other end (NULL: not known), `forwarded` X-Forwarded-For or NULL,
 * which is read from its end for as long as what is at the right of it is trusted.  *out is an IPv4 address,
 * or the /64 of an IPv6 address, since that is what one customer has; "unknown" when nothing says it.
 */
void peer_address(const struct strings *trusted, const char *remote, const char *forwarded,
		  char out[PEER_TEXT]);

#endif
