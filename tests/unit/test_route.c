#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "http/route.h"

static void
a_path_is_normalised_or_refused(void **state)
{
	static const struct {
		const char *target, *path; /* NULL: refused */
	} row[] = {
		{ "/v1/models", "/v1/models" },
		{ "/v1/models?a=b", "/v1/models" },
		{ "/v1/models#x", "/v1/models" },
		{ "//v1///models", "/v1/models" },
		{ "/v1/models/", "/v1/models/" },
		{ "/v1/%6dodels", "/v1/models" },
		{ "/v1/models/Qwen%2FQwen-Image", "/v1/models/Qwen%2FQwen-Image" },
		{ "/v1/models/Qwen%2fQwen-Image", "/v1/models/Qwen%2FQwen-Image" },
		{ "/v1/models/%E7%86%8A", "/v1/models/熊" },
		{ "http://host:80/v1/models", "/v1/models" },
		{ "http://host", "/" },
		{ "", "/" },
		{ "/v1/..;/x", "/v1/..;/x" },
		{ "/v1/.../x", "/v1/.../x" },
		{ "/v1/a..b", "/v1/a..b" },
		{ "/v1/../x", NULL },
		{ "/v1/..", NULL },
		{ "/v1/./x", NULL },
		{ "/v1/%2e%2e/x", NULL },
		{ "/v1/.%2E/x", NULL },
		{ "/v1/..%2fx", NULL },
		{ "/v1/x%2f..", NULL },
		{ "/v1/x%2F..%2Fy", NULL },
		{ "/v1/%00", NULL },
		{ "/v1/%0a", NULL },
		{ "/v1/%7f", NULL },
		{ "/v1/%zz", NULL },
		{ "/v1/%4", NULL },
		{ "/v1/%ff", NULL },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(row) / sizeof(*row); i++) {
		char path[PATH_BYTES];
		struct err e = { 0 };
		int rc = path_normalise(row[i].target, path, &e);

		if (rc != (row[i].path ? 0 : -1))
			fail_msg("%s: %d", row[i].target, rc);
		if (row[i].path)
			assert_string_equal(path, row[i].path);
		else
			assert_int_equal(e.kind, ERR_PATH);
	}
}

static void
a_path_has_a_longest_length(void **state)
{
	char target[PATH_BYTES + 1], path[PATH_BYTES];
	struct err e;

	(void)state;
	memset(target, 'a', sizeof(target));
	target[0] = '/';
	target[PATH_BYTES - 1] = '\0';
	assert_int_equal(path_normalise(target, path, &e), 0);
	target[PATH_BYTES - 1] = 'a';
	target[PATH_BYTES] = '\0';
	assert_int_equal(path_normalise(target, path, &e), -1);
}

static void
a_route_matches_whole_paths_with_any_number_of_v1(void **state)
{
	static const struct {
		const char *path, *route, *rest; /* NULL: no match */
	} row[] = {
		{ "/v1/models", "/v1/models", "" },
		{ "/models", "/v1/models", "" },
		{ "/v1/v1/models", "/v1/models", "" },
		{ "/v1/modelsx", "/v1/models", NULL },
		{ "/v1/models/", "/v1/models", NULL },
		{ "/v1models", "/v1/models", NULL },
		{ "/v2/models", "/v1/models", NULL },
		{ "/v1/models/a", "/v1/models/*", "a" },
		{ "/models/Qwen/Qwen-Image", "/v1/models/*", "Qwen/Qwen-Image" },
		{ "/v1/models/Qwen%2FQwen-Image", "/v1/models/*", "Qwen/Qwen-Image" },
		{ "/v1/models/", "/v1/models/*", NULL },
		{ "/v1%2Fmodels", "/v1/models", NULL },
		{ "/healthz", "/healthz", "" },
		{ "/v1/healthz", "/healthz", NULL },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(row) / sizeof(*row); i++) {
		char rest[PATH_BYTES] = "";
		bool hit = path_matches(row[i].path, row[i].route, rest);

		if (hit != (row[i].rest != NULL))
			fail_msg("%s against %s: %d", row[i].path, row[i].route, hit);
		if (hit)
			assert_string_equal(rest, row[i].rest);
	}
}

static void
a_wrong_path_is_told_what_was_meant(void **state)
{
	static const struct {
		const char *method, *path;
		enum err_kind kind;
		const char *says; /* somewhere in message or hint */
	} row[] = {
		{ "GET", "/v1/images/generations", ERR_METHOD, "POST" },
		{ "POST", "/v1/models", ERR_METHOD, "GET" },
		{ "POST", "/v1/images/generations/", ERR_ENDPOINT, "trailing slash" },
		{ "POST", "/v1/images/generation", ERR_ENDPOINT, "/v1/images/generations" },
		{ "POST", "/v1/images/generations/images/generations", ERR_ENDPOINT, "base URL" },
		{ "POST", "/v1/chat/completions/images/generations", ERR_ENDPOINT, "base URL" },
		{ "GET", "/model", ERR_ENDPOINT, "/v1/models" },
		{ "GET", "/v1/..;/x", ERR_ENDPOINT, "" },
		{ "GET", "/nothing/like/it", ERR_ENDPOINT, "GET /v1/models" },
		/* Served one day: nothing recommends it before. */
		{ "GET", "/v1/requests", ERR_ENDPOINT, "POST /v1/images/generations makes" },
		{ "GET", "/v1/request", ERR_ENDPOINT, "POST /v1/images/generations makes" },
		{ "POST", "/v1/requests/req_1", ERR_ENDPOINT, "POST /v1/images/generations makes" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(row) / sizeof(*row); i++) {
		char allow[64], text[1024];
		size_t n;
		struct err e = { 0 };

		assert_int_equal(path_explain(row[i].method, row[i].path, allow, sizeof(allow), &e),
				 -1);
		if (e.kind != row[i].kind)
			fail_msg("%s: %s", row[i].path, err_code(&e));
		assert_int_equal(allow[0] != '\0', row[i].kind == ERR_METHOD);
		err_message(&e, LANG_EN, text, sizeof(text));
		n = strlen(text);
		err_hint(&e, LANG_EN, text + n, sizeof(text) - n);
		if (!strstr(text, row[i].says))
			fail_msg("%s: %s", row[i].path, text);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_path_is_normalised_or_refused),
		cmocka_unit_test(a_path_has_a_longest_length),
		cmocka_unit_test(a_route_matches_whole_paths_with_any_number_of_v1),
		cmocka_unit_test(a_wrong_path_is_told_what_was_meant),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
