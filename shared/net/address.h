#ifndef EASEL_NET_ADDRESS_H
#define EASEL_NET_ADDRESS_H
/*
 * address - which network addresses are public
 *
 * RFC 6890 and its registries: loopback, private, link-local, shared, documentation, benchmarking,
 * multicast and reserved ranges are not; IPv4 inside IPv6 (mapped, NAT64, 6to4, Teredo) is judged as
 * what it carries or refused.  IPv6 outside 2000::/3 is not public.
 */
#include <stdbool.h>
#include <sys/socket.h>

bool address_is_public(const struct sockaddr *sa);

#endif
