#include "net/address.h"

#include <netinet/in.h>
#include <stdint.h>
#include <string.h>

struct range4 {
	uint32_t prefix;
	unsigned bits;
};

/* IANA's special-purpose registry (RFC 6890 and its updates), without what is globally reachable. */
static const struct range4 closed4[] = {
	{ 0x00000000, 8 },  /* 0.0.0.0/8        this network */
	{ 0x0a000000, 8 },  /* 10.0.0.0/8       private */
	{ 0x64400000, 10 }, /* 100.64.0.0/10    shared, carrier-grade NAT */
	{ 0x7f000000, 8 },  /* 127.0.0.0/8      loopback */
	{ 0xa9fe0000, 16 }, /* 169.254.0.0/16   link-local, cloud metadata */
	{ 0xac100000, 12 }, /* 172.16.0.0/12    private */
	{ 0xc0000000, 24 }, /* 192.0.0.0/24     protocol assignments */
	{ 0xc0000200, 24 }, /* 192.0.2.0/24     documentation */
	{ 0xc0586300, 24 }, /* 192.88.99.0/24   6to4 relays */
	{ 0xc0a80000, 16 }, /* 192.168.0.0/16   private */
	{ 0xc6120000, 15 }, /* 198.18.0.0/15    benchmarking */
	{ 0xc6336400, 24 }, /* 198.51.100.0/24  documentation */
	{ 0xcb007100, 24 }, /* 203.0.113.0/24   documentation */
	{ 0xe0000000, 3 },  /* 224.0.0.0/3      multicast, reserved, broadcast */
};

struct range6 {
	uint8_t prefix[6];
	unsigned bits;
};

/* Inside 2000::/3; everything outside of it is closed anyway. */
static const struct range6 closed6[] = {
	{ { 0x20, 0x01, 0x00 }, 23 },       /* 2001::/23      protocol assignments, Teredo */
	{ { 0x20, 0x01, 0x0d, 0xb8 }, 32 }, /* 2001:db8::/32  documentation */
	{ { 0x20, 0x02 }, 16 },             /* 2002::/16      6to4 */
	{ { 0x3f, 0xff }, 20 },             /* 3fff::/20      documentation */
};

static bool
is_public4(uint32_t a)
{
	for (size_t i = 0; i < sizeof(closed4) / sizeof(closed4[0]); i++)
		if (!((a ^ closed4[i].prefix) >> (32 - closed4[i].bits)))
			return false;
	return true;
}

static bool
starts_with(const uint8_t *a, const uint8_t *prefix, unsigned bits)
{
	unsigned whole = bits / 8, rest = bits % 8;

	return !memcmp(a, prefix, whole) && (!rest || !((a[whole] ^ prefix[whole]) >> (8 - rest)));
}

static bool
is_public6(const uint8_t a[16])
{
	static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff }; /* ::ffff:0:0/96 */

	if (!memcmp(a, mapped, sizeof(mapped)))
		return is_public4((uint32_t)a[12] << 24 | (uint32_t)a[13] << 16 |
				  (uint32_t)a[14] << 8 | a[15]);
	if (a[0] >> 5 != 1)
		return false;
	for (size_t i = 0; i < sizeof(closed6) / sizeof(closed6[0]); i++)
		if (starts_with(a, closed6[i].prefix, closed6[i].bits))
			return false;
	return true;
}

bool
address_is_public(const struct sockaddr *sa)
{
	if (sa->sa_family == AF_INET) {
		struct sockaddr_in in;

		memcpy(&in, sa, sizeof(in));
		return is_public4(ntohl(in.sin_addr.s_addr));
	}
	if (sa->sa_family == AF_INET6) {
		struct sockaddr_in6 in6;

		memcpy(&in6, sa, sizeof(in6));
		return is_public6(in6.sin6_addr.s6_addr);
	}
	return false;
}
