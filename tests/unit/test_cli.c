/*
 * What the command line computes: addresses, the web server's configuration and log, restarts.
 * The command is not in the library, so its files stand here.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/cleanup.h"

#include "../../cli/front_log.c"
#include "../../cli/listen.c"
#include "../../cli/spawn.c"
#include "../../cli/template.c"

static void
an_address_is_taken_apart(void **unused)
{
	static const struct {
		const char *listen, *host, *port; /* host NULL: refused */
	} rows[] = {
		{ "127.0.0.1:8080", "127.0.0.1", "8080" },
		{ "localhost:0", "localhost", "0" },
		{ "[::1]:65535", "::1", "65535" },
		{ "[::]:80", "::", "80" },
		{ ":8080", "", "8080" },
		{ "127.0.0.1", NULL, NULL },
		{ "8080", NULL, NULL },
		{ "127.0.0.1:", NULL, NULL },
		{ "127.0.0.1:http", NULL, NULL },
		{ "127.0.0.1:65536", NULL, NULL },
		{ "127.0.0.1:-1", NULL, NULL },
		{ "::1:8080", NULL, NULL },
		{ "[::1:8080", NULL, NULL },
		{ "[:8080", NULL, NULL },
		{ "", NULL, NULL },
	};
	struct address a;
	struct err e;

	(void)unused;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		if (!rows[i].host) {
			assert_int_equal(address_parse(rows[i].listen, &a, &e), -1);
			assert_int_equal(e.kind, ERR_CONFIG);
			continue;
		}
		assert_int_equal(address_parse(rows[i].listen, &a, &e), 0);
		assert_string_equal(a.host, rows[i].host);
		assert_string_equal(a.port, rows[i].port);
	}
}

static void
port_0_becomes_a_real_port_and_a_taken_one_is_said(void **unused)
{
	struct front first = { 0 }, second = { 0 };
	struct err e = { 0 };
	char listen_on[URL_TEXT];

	(void)unused;
	assert_int_equal(front_listen("127.0.0.1:0", 0, &first, &e), 0);
	assert_int_equal(strncmp(first.url, "http://127.0.0.1:", 17), 0);
	assert_string_not_equal(first.url, "http://127.0.0.1:0");
	(void)snprintf(listen_on, sizeof(listen_on), "%s", first.url + 7);
	assert_int_equal(front_listen(listen_on, 0, &second, &e), -1);
	assert_int_equal(e.kind, ERR_INTERNAL);
	assert_non_null(strstr(e.about, listen_on));
	assert_non_null(strstr(e.about, "EASEL_SERVER_LISTEN"));
	(void)close(first.fd);
	assert_int_equal(front_listen(listen_on, 0, &second, &e), 0);
	(void)close(second.fd);
}

static void
a_template_is_filled(void **unused)
{
	static const struct place places[] = { { "DIR", "/var/lib/easel" },
					       { "N", "7" },
					       { NULL, NULL } };
	AUTO(buf) out = BUF_INIT(1024);
	struct err e;

	(void)unused;
	assert_int_equal(template_fill("a \"@DIR@/x\" = @N@@N@\n", places, &out, &e), 0);
	assert_string_equal(buf_str(&out), "a \"/var/lib/easel/x\" = 77\n");
}

static void
a_template_or_value_that_could_do_harm_is_refused(void **unused)
{
	static const struct {
		const char *text, *value;
		enum err_kind kind;
	} rows[] = {
		{ "@OTHER@", "x", ERR_INTERNAL },
		{ "mail@example", "x", ERR_INTERNAL },
		{ "@@", "x", ERR_INTERNAL },
		{ "@DIR", "x", ERR_INTERNAL },
		{ "@DIR@", "a\"b", ERR_CONFIG },
		{ "@DIR@", "a\nb", ERR_CONFIG },
		{ "@DIR@", "a\\b", ERR_CONFIG },
		{ "@DIR@", "a'b", ERR_CONFIG },
		{ "@DIR@",
		  "a\x7f"
		  "b",
		  ERR_CONFIG },
	};

	(void)unused;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const struct place places[] = { { "DIR", rows[i].value }, { NULL, NULL } };
		AUTO(buf) out = BUF_INIT(1024);
		struct err e = { 0 };

		assert_int_equal(template_fill(rows[i].text, places, &out, &e), -1);
		assert_int_equal(e.kind, rows[i].kind);
	}
}

static void
the_web_servers_lines_lose_their_date_and_every_query(void **unused)
{
	static const char *const rows[][2] = {
		{ "2026-01-02 03:04:05: (server.c.1) server started",
		  "(server.c.1) server started" },
		{ "2026-01-02 03:04:05: (g.c.9) sent: 5 for /v1/models?key=sk-fake-1, closing",
		  "(g.c.9) sent: 5 for /v1/models?, closing" },
		{ "x /a?b=c /d?e=\"f\" g", "x /a? /d?\"f\" g" },
		{ "no date: (really)", "no date: (really)" },
		{ "", "" },
	};

	(void)unused;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		char line[128];

		(void)snprintf(line, sizeof(line), "%s", rows[i][0]);
		front_log_clean(line);
		assert_string_equal(line, rows[i][1]);
	}
}

static void
what_dies_at_once_is_restarted_ever_more_slowly(void **unused)
{
	static const struct {
		unsigned deaths;
		int64_t ms;
	} rows[] = { { 0, 0 },    { 1, 0 },    { 2, 0 },     { 3, 100 },          { 4, 200 },
		     { 8, 3200 }, { 9, 5000 }, { 50, 5000 }, { UINT32_MAX, 5000 } };
	struct child c = { .name = "x", .pid = 1, .started_us = 1000000 };

	(void)unused;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		assert_int_equal(restart_delay_ms(rows[i].deaths), rows[i].ms);
	for (unsigned i = 1; i <= 3; i++) {
		child_died(&c, 1500000);
		assert_int_equal(c.pid, 0);
		assert_int_equal(c.quick_deaths, i);
	}
	assert_int_equal(c.restart_at_us, 1500000 + 100000);
	child_died(&c, 1000000 + 2000000); /* it lived long enough to start anew */
	assert_int_equal(c.quick_deaths, 0);
	assert_int_equal(c.restart_at_us, 3000000);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_address_is_taken_apart),
		cmocka_unit_test(port_0_becomes_a_real_port_and_a_taken_one_is_said),
		cmocka_unit_test(a_template_is_filled),
		cmocka_unit_test(a_template_or_value_that_could_do_harm_is_refused),
		cmocka_unit_test(the_web_servers_lines_lose_their_date_and_every_query),
		cmocka_unit_test(what_dies_at_once_is_restarted_ever_more_slowly),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
