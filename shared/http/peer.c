#include "http/peer.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#include "base/num.h"

struct ip {
	unsigned char b[16]; /* IPv4 as ::ffff:a.b.c.d */
};

#define V4_BITS     32
#define V6_BITS     128
#define CUSTOMER_V6 8 /* bytes of an IPv6 address that belong to one customer */

static const unsigned char v4_prefix[12] = { 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff };

static bool
is_v4(const struct ip *ip)
{
	return !memcmp(ip->b, v4_prefix, sizeof(v4_prefix));
}

/* An address, with brackets and a port as proxies write it, or without. */
static bool
parse(const char *s, size_t n, struct ip *ip)
{
	char text[INET6_ADDRSTRLEN];
	const char *end;

	if (n && s[0] == '[') {
		end = memchr(s, ']', n);
		if (!end)
			return false;
		n = (size_t)(end - ++s);
	} else if ((end = memchr(s, ':', n)) && memchr(s, '.', (size_t)(end - s))) {
		n = (size_t)(end - s);
	}
	if (n >= sizeof(text))
		return false;
	memcpy(text, s, n);
	text[n] = '\0';
	if (inet_pton(AF_INET6, text, ip->b) == 1)
		return true;
	memcpy(ip->b, v4_prefix, sizeof(v4_prefix));
	return inet_pton(AF_INET, text, ip->b + sizeof(v4_prefix)) == 1;
}

static bool
in_network(const struct ip *ip, const char *network)
{
	size_t n = strcspn(network, "/");
	int64_t bits = V6_BITS;
	struct ip net;

	if (!parse(network, n, &net))
		return false;
	if (network[n]) {
		bool v4 = is_v4(&net) && !memchr(network, ':', n);

		if (num_i64(network + n + 1, 0, v4 ? V4_BITS : V6_BITS, &bits) < 0)
			return false;
		bits += v4 ? V6_BITS - V4_BITS : 0;
	}
	n = (size_t)bits / 8;
	if (memcmp(ip->b, net.b, n) != 0)
		return false;
	return bits % 8 == 0 || !((ip->b[n] ^ net.b[n]) & (0xff00 >> (bits % 8) & 0xff));
}

static bool
is_in(const struct strings *networks, const struct ip *ip)
{
	for (size_t i = 0; i < networks->n; i++)
		if (in_network(ip, networks->v[i]))
			return true;
	return false;
}

bool
peer_is_in(const struct strings *networks, const char *address)
{
	struct ip ip;

	return address && parse(address, strlen(address), &ip) && is_in(networks, &ip);
}

/* The last item of the list s (n bytes): its start and length; n is then what is before it. */
static const char *
last_item(const char *s, size_t *n, size_t *len)
{
	size_t end = *n, start;

	while (end && strchr(" \t", s[end - 1]))
		end--;
	for (start = end; start && s[start - 1] != ',';)
		start--;
	*n = start ? start - 1 : 0;
	while (start < end && strchr(" \t", s[start]))
		start++;
	*len = end - start;
	return s + start;
}

void
peer_address(const struct strings *trusted, const char *remote, const char *forwarded,
	     char out[PEER_TEXT])
{
	size_t n = forwarded ? strlen(forwarded) : 0, len;
	char text[INET6_ADDRSTRLEN];
	struct ip ip, before;

	(void)snprintf(out, PEER_TEXT, "unknown");
	if (!remote || !parse(remote, strlen(remote), &ip))
		return;
	while (n && is_in(trusted, &ip)) {
		const char *item = last_item(forwarded, &n, &len);

		if (!parse(item, len, &before))
			break;
		ip = before;
	}
	if (is_v4(&ip)) {
		(void)inet_ntop(AF_INET, ip.b + sizeof(v4_prefix), out, PEER_TEXT);
		return;
	}
	memset(ip.b + CUSTOMER_V6, 0, sizeof(ip.b) - CUSTOMER_V6);
	if (inet_ntop(AF_INET6, ip.b, text, sizeof(text)))
		(void)snprintf(out, PEER_TEXT, "%s/64", text);
}
