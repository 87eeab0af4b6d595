#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "http/peer.h"

static struct strings
words(char *const *v)
{
	struct strings s = { (char **)v, 0 };

	while (v[s.n])
		s.n++;
	return s;
}

static void
knows_addresses_and_networks(void **state)
{
	static const struct {
		const char *network, *address;
		bool in;
	} rows[] = {
		{ "127.0.0.1", "127.0.0.1", true },
		{ "127.0.0.1", "127.0.0.2", false },
		{ "127.0.0.1", "::ffff:127.0.0.1", true },
		{ "::ffff:127.0.0.1", "127.0.0.1", true },
		{ "10.0.0.0/8", "10.255.0.1", true },
		{ "10.0.0.0/8", "11.0.0.1", false },
		{ "10.0.0.0/8", "::ffff:10.1.2.3", true },
		{ "10.0.0.0/9", "10.127.255.255", true },
		{ "10.0.0.0/9", "10.128.0.0", false },
		{ "192.168.7.0/31", "192.168.7.1", true },
		{ "192.168.7.0/31", "192.168.7.2", false },
		{ "192.168.7.1/32", "192.168.7.1", true },
		{ "192.168.7.1/32", "192.168.7.0", false },
		{ "0.0.0.0/0", "8.8.8.8", true },
		{ "0.0.0.0/0", "2001:db8::1", false },
		{ "::/0", "2001:db8::1", true },
		{ "2001:db8::/32", "2001:db8:ffff::1", true },
		{ "2001:db8::/32", "2001:db9::1", false },
		{ "2001:db8::1", "2001:DB8:0::1", true },
		{ "2001:db8::/127", "2001:db8::2", false },
		{ "127.0.0.1", "proxy", false },
		{ "127.0.0.1", "", false },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		char *list[] = { (char *)"203.0.113.9", (char *)rows[i].network, NULL };
		struct strings s = words(list);

		if (peer_is_in(&s, rows[i].address) != rows[i].in)
			fail_msg("%s in %s", rows[i].address, rows[i].network);
	}
	assert_false(peer_is_in(&(struct strings){ 0 }, "127.0.0.1"));
	assert_false(peer_is_in(&(struct strings){ 0 }, NULL));
}

static void
believes_proxies_as_far_as_they_are_trusted(void **state)
{
	static const struct {
		const char *remote, *forwarded, *expected;
	} rows[] = {
		{ "198.51.100.1", NULL, "198.51.100.1" },
		{ "198.51.100.1", "192.0.2.1", "198.51.100.1" }, /* it is no proxy of ours */
		{ "127.0.0.1", NULL, "127.0.0.1" },
		{ "127.0.0.1", "", "127.0.0.1" },
		{ "127.0.0.1", "192.0.2.1", "192.0.2.1" },
		{ "127.0.0.1", " 192.0.2.1 \t", "192.0.2.1" },
		{ "127.0.0.1", "203.0.113.5, 192.0.2.1", "192.0.2.1" }, /* the first is its word */
		{ "127.0.0.1", "203.0.113.5,192.0.2.1,10.1.1.1", "192.0.2.1" },
		{ "127.0.0.1", "10.2.2.2, 10.1.1.1", "10.2.2.2" },
		{ "127.0.0.1", "192.0.2.1:4711", "192.0.2.1" },
		{ "127.0.0.1", "[2001:db8:1:2:3::1]:4711", "2001:db8:1:2::/64" },
		{ "127.0.0.1", "2001:db8:1:2:3::1", "2001:db8:1:2::/64" },
		{ "127.0.0.1", "unknown, 10.1.1.1", "10.1.1.1" },
		{ "127.0.0.1", "192.0.2.1, ' OR 1=1", "127.0.0.1" },
		{ "127.0.0.1", ",,", "127.0.0.1" },
		{ "127.0.0.1", "[", "127.0.0.1" },
		{ "::ffff:198.51.100.1", NULL, "198.51.100.1" },
		{ "2001:db8::1", NULL, "2001:db8::/64" },
		{ "2001:db8:0:1::1", NULL, "2001:db8:0:1::/64" },
		{ NULL, "192.0.2.1", "unknown" },
		{ "", NULL, "unknown" },
		{ "/run/x.sock", NULL, "unknown" },
	};
	char *list[] = { (char *)"127.0.0.1", (char *)"10.0.0.0/8", NULL };
	struct strings trusted = words(list);
	char out[PEER_TEXT];

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		peer_address(&trusted, rows[i].remote, rows[i].forwarded, out);
		assert_string_equal(out, rows[i].expected);
	}
}

static void
reads_long_lists(void **state)
{
	char *list[] = { (char *)"127.0.0.1", (char *)"10.0.0.0/8", NULL };
	struct strings trusted = words(list);
	char out[PEER_TEXT], text[8192] = "192.0.2.1";
	size_t n = strlen(text);

	(void)state;
	for (; n + 16 < sizeof(text); n += 9)
		memcpy(text + n, ",10.1.1.1", 10);
	peer_address(&trusted, "127.0.0.1", text, out);
	assert_string_equal(out, "192.0.2.1");
	memset(text, '1', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	peer_address(&trusted, "127.0.0.1", text, out);
	assert_string_equal(out, "127.0.0.1");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(knows_addresses_and_networks),
		cmocka_unit_test(believes_proxies_as_far_as_they_are_trusted),
		cmocka_unit_test(reads_long_lists),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
