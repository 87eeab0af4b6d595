#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "base/cleanup.h"
#include "net/upstream.h"
#include "net/upstream_head.h"

static void
the_head_reads_what_servers_write(void **state)
{
	static const struct {
		const char *line;
		int retry_after_s;
	} rows[] = {
		{ "Retry-After: 12\r\n", 12 },
		{ "retry-after:3", 3 },
		{ "Retry-After: 1.5\r\n", 2 },
		{ "Retry-After-Ms: 1500\r\n", 2 },
		{ "retry-after-ms: 1", 1 },
		{ "retry-after-ms: 12000.5", 13 },
		{ "Retry-After: Thu, 01 Jan 2026 00:00:30 GMT\r\n", 30 },
		{ "Retry-After: Thursday, 01-Jan-26 00:01:00 GMT", 60 },
		{ "Retry-After: Wed, 31 Dec 2025 00:00:00 GMT", 0 },
		{ "Retry-After: 99999999", 86400 },
		{ "Retry-After: 99999999999999999999999", 86400 },
		{ "Retry-After: -5", 0 },
		{ "Retry-After: soon", 0 },
		{ "Retry-After:", 0 },
		{ "X-Retry-After: 5", 0 },
	};
	AUTO(upstream_head) h = { 0 };

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		upstream_head_clear(&h);
		upstream_head_line(&h, rows[i].line, strlen(rows[i].line), 1767225600);
		if (h.retry_after_s != rows[i].retry_after_s)
			fail_msg("'%s' is read as %d", rows[i].line, h.retry_after_s);
	}
}

static void
the_lower_quota_is_what_is_left(void **state)
{
	static const struct {
		const char *line;
		bool said;
		int left;
	} rows[] = {
		{ "modelscope-ratelimit-requests-limit: 2000", false, 0 },
		{ "modelscope-ratelimit-requests-remaining: soon", false, 0 },
		{ "ModelScope-Ratelimit-Requests-Remaining: 1500\r\n", true, 1500 },
		{ "modelscope-ratelimit-model-requests-remaining: 12", true, 12 },
		{ "modelscope-ratelimit-requests-remaining: 13", true, 12 },
		{ "modelscope-ratelimit-model-requests-remaining: 0", true, 0 },
		{ "HTTP/1.1 200 OK", false, 0 },
	};
	AUTO(upstream_head) h = { 0 };

	(void)state;
	upstream_head_clear(&h);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		upstream_head_line(&h, rows[i].line, strlen(rows[i].line), 0);
		if (h.quota_said != rows[i].said || h.quota_left != rows[i].left)
			fail_msg("after '%s': %d, %d", rows[i].line, h.quota_said,
				 (int)h.quota_left);
	}
}

static void
the_request_id_is_the_best_one_whatever_the_order(void **state)
{
	static const char *const lines[] = { "CF-Ray: ray", "X-Oneapi-Request-Id: one",
					     "X-Request-Id: req\x01\"1" };
	static const char *const after[] = { "ray", "one", "req??1" };
	AUTO(upstream_head) h = { 0 };

	(void)state;
	upstream_head_clear(&h);
	for (int i = 0; i < 3; i++) {
		upstream_head_line(&h, lines[i], strlen(lines[i]), 0);
		assert_string_equal(h.request_id, after[i]);
	}
	for (int i = 0; i < 2; i++)
		upstream_head_line(&h, lines[i], strlen(lines[i]), 0);
	assert_string_equal(h.request_id, "req??1");
	upstream_head_line(&h, "HTTP/1.1 403", 12, 0);
	assert_int_equal(h.status, 403);
	assert_string_equal(h.request_id, "");
	upstream_head_line(&h, "cf-mitigated: challenge", 23, 0);
	assert_true(h.mitigated);
}

static void
what_looks_like_a_key_is_no_request_id(void **state)
{
	static const char line[] = "x-request-id: sk-proj-0123456789";
	AUTO(upstream_head) h = { 0 };

	(void)state;
	upstream_head_line(&h, line, strlen(line), 0);
	assert_string_equal(h.request_id, "sk-***");
}

static void
where_it_leads_is_the_last_answers(void **state)
{
	static const char line[] = "Location: /a";
	AUTO(upstream_head) h = { 0 };

	(void)state;
	upstream_head_line(&h, line, strlen(line), 0);
	assert_string_equal(h.location, "/a");
	upstream_head_line(&h, line, strlen(line), 0);
	upstream_head_line(&h, "HTTP/1.1 200", 12, 0);
	assert_null(h.location);
}

static void
a_url_that_is_too_long_leads_nowhere(void **state)
{
	char line[UPSTREAM_URL_BYTES + 16] = "Location: ";
	AUTO(upstream_head) h = { 0 };

	(void)state;
	memset(line + 10, 'a', UPSTREAM_URL_BYTES);
	upstream_head_line(&h, line, 10 + UPSTREAM_URL_BYTES, 0);
	assert_null(h.location);
	upstream_head_line(&h, line, 10 + UPSTREAM_URL_BYTES - 1, 0);
	assert_int_equal(strlen(h.location), UPSTREAM_URL_BYTES - 1);
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_head_reads_what_servers_write),
		cmocka_unit_test(the_lower_quota_is_what_is_left),
		cmocka_unit_test(the_request_id_is_the_best_one_whatever_the_order),
		cmocka_unit_test(what_looks_like_a_key_is_no_request_id),
		cmocka_unit_test(where_it_leads_is_the_last_answers),
		cmocka_unit_test(a_url_that_is_too_long_leads_nowhere),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
