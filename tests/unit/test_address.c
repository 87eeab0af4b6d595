#include <arpa/inet.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>
#include <sys/un.h>

#include "net/address.h"

static bool
judge(const char *text)
{
	struct sockaddr_storage sa = { 0 };
	struct sockaddr_in *in = (struct sockaddr_in *)&sa;
	struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)&sa;

	if (strchr(text, ':')) {
		in6->sin6_family = AF_INET6;
		assert_int_equal(inet_pton(AF_INET6, text, &in6->sin6_addr), 1);
	} else {
		in->sin_family = AF_INET;
		assert_int_equal(inet_pton(AF_INET, text, &in->sin_addr), 1);
	}
	return address_is_public((struct sockaddr *)&sa);
}

/* A closed range: its first and last address are not public, its neighbours are (NULL: closed too). */
struct row {
	const char *before, *first, *last, *after;
};

static void
check(const struct row *rows, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		const struct row *r = &rows[i];

		if (judge(r->first))
			fail_msg("%s is judged public", r->first);
		if (judge(r->last))
			fail_msg("%s is judged public", r->last);
		if (r->before && !judge(r->before))
			fail_msg("%s is judged not public", r->before);
		if (r->after && !judge(r->after))
			fail_msg("%s is judged not public", r->after);
	}
}

static void
special_ipv4_ranges_are_closed_and_their_neighbours_open(void **state)
{
	static const struct row rows[] = {
		{ NULL, "0.0.0.0", "0.255.255.255", "1.0.0.0" },
		{ "9.255.255.255", "10.0.0.0", "10.255.255.255", "11.0.0.0" },
		{ "100.63.255.255", "100.64.0.0", "100.127.255.255", "100.128.0.0" },
		{ "126.255.255.255", "127.0.0.0", "127.255.255.255", "128.0.0.0" },
		{ "169.253.255.255", "169.254.0.0", "169.254.255.255", "169.255.0.0" },
		{ "169.253.255.255", "169.254.169.254", "169.254.170.2", "169.255.0.0" },
		{ "172.15.255.255", "172.16.0.0", "172.31.255.255", "172.32.0.0" },
		{ "191.255.255.255", "192.0.0.0", "192.0.0.255", "192.0.1.0" },
		{ "192.0.1.255", "192.0.2.0", "192.0.2.255", "192.0.3.0" },
		{ "192.88.98.255", "192.88.99.0", "192.88.99.255", "192.88.100.0" },
		{ "192.167.255.255", "192.168.0.0", "192.168.255.255", "192.169.0.0" },
		{ "198.17.255.255", "198.18.0.0", "198.19.255.255", "198.20.0.0" },
		{ "198.51.99.255", "198.51.100.0", "198.51.100.255", "198.51.101.0" },
		{ "203.0.112.255", "203.0.113.0", "203.0.113.255", "203.0.114.0" },
		{ "223.255.255.255", "224.0.0.0", "239.255.255.255", NULL },
		{ NULL, "240.0.0.0", "255.255.255.255", NULL },
	};

	(void)state;
	check(rows, sizeof(rows) / sizeof(rows[0]));
}

static void
special_ipv6_ranges_are_closed_and_their_neighbours_open(void **state)
{
	static const struct row rows[] = {
		{ NULL, "::", "::1", NULL },
		{ NULL, "::ffff:0.0.0.0", "::ffff:0.255.255.255", "::ffff:1.0.0.0" },
		{ "::ffff:9.9.9.9", "::ffff:10.0.0.1", "::ffff:10.255.255.255", "::ffff:11.0.0.0" },
		{ "::ffff:8.8.8.8", "::ffff:127.0.0.1", "::ffff:169.254.169.254",
		  "::ffff:1.1.1.1" },
		{ NULL, "::127.0.0.1", "::8.8.8.8", NULL }, /* IPv4-compatible, obsolete */
		{ NULL, "64:ff9b::7f00:1", "64:ff9b::808:808", NULL }, /* NAT64 */
		{ NULL, "64:ff9b:1::", "64:ff9b:1:ffff::", NULL },
		{ NULL, "100::", "100::ffff", NULL }, /* discard */
		{ NULL, "1fff:ffff::", "1fff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "2000::" },
		{ "2000:ffff::", "2001::", "2001:1ff:ffff:ffff:ffff:ffff:ffff:ffff", "2001:200::" },
		{ "2001:db7:ffff::", "2001:db8::", "2001:db8:ffff::", "2001:db9::" },
		{ "2001:ffff::", "2002::", "2002:ffff:ffff::", "2003::" },
		{ "2001:ffff::", "2002:7f00:1::", "2002:808:808::", "2003::" },
		{ "3ffe:ffff::", "3fff::", "3fff:fff:ffff::", "3fff:1000::" },
		{ "3fff:ffff::", "4000::", "5fff::", NULL },
		{ NULL, "fc00::", "fdff:ffff::", NULL },
		{ NULL, "fd00:ec2::254", "fd00:ec2::254", NULL },
		{ NULL, "fe80::", "febf:ffff::", NULL },
		{ NULL, "fec0::1", "feff::1", NULL },
		{ NULL, "ff00::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", NULL },
	};

	(void)state;
	check(rows, sizeof(rows) / sizeof(rows[0]));
}

static void
well_known_public_addresses_are_public(void **state)
{
	static const char *const rows[] = { "8.8.8.8",
					    "1.1.1.1",
					    "104.16.0.1",
					    "2606:4700::1111",
					    "2a00:1450:4001:830::200e",
					    "2400:3200::1" };

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		if (!judge(rows[i]))
			fail_msg("%s is judged not public", rows[i]);
}

static void
an_address_of_another_family_is_not_public(void **state)
{
	struct sockaddr_un un = { .sun_family = AF_UNIX, .sun_path = "/tmp/x" };

	(void)state;
	assert_false(address_is_public((struct sockaddr *)&un));
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(special_ipv4_ranges_are_closed_and_their_neighbours_open),
		cmocka_unit_test(special_ipv6_ranges_are_closed_and_their_neighbours_open),
		cmocka_unit_test(well_known_public_addresses_are_public),
		cmocka_unit_test(an_address_of_another_family_is_not_public),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
