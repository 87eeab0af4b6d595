/* One member changes, every other byte stays. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "base/json_splice.h"

static void
one_member_changes_and_no_other_byte(void **state)
{
	static const struct {
		const char *text, *value, *want;
	} rows[] = {
		{ "{\"model\":\"a\"}", "b", "{\"model\":\"b\"}" },
		{ "{\"model\":\"a\",\"x\":0.10}", "b", "{\"model\":\"b\",\"x\":0.10}" },
		{ " { \"x\" : [1,{\"model\":2}] , \"model\" : \"a\" } ", "b",
		  " { \"x\" : [1,{\"model\":2}] , \"model\" : \"b\" } " },
		{ "{\"x\":\"\\\"model\\\":1\",\"model\":\"a\\\"}\"}", "b",
		  "{\"x\":\"\\\"model\\\":1\",\"model\":\"b\"}" },
		{ "{\"mo\\u0064el\":\"a\"}", "b", "{\"mo\\u0064el\":\"b\"}" },
		{ "{\"models\":1,\"mode\":2,\"model\":null}", "b",
		  "{\"models\":1,\"mode\":2,\"model\":\"b\"}" },
		{ "{\"model\":-1.5e3 ,\"x\":1}", "b", "{\"model\":\"b\" ,\"x\":1}" },
		{ "{\"model\":{\"a\":[1,\"}\"]},\"x\":1}", "b", "{\"model\":\"b\",\"x\":1}" },
		{ "{\"model\":true}", "b", "{\"model\":\"b\"}" },
		{ "{}", "b", "{\"model\":\"b\"}" },
		{ "{ }", "b", "{\"model\":\"b\" }" },
		{ "{\"x\":{\"model\":1}}", "b", "{\"model\":\"b\",\"x\":{\"model\":1}}" },
		{ "{\"x\":1}", "a\"b\n", "{\"model\":\"a\\\"b\\n\",\"x\":1}" },
		{ "{\"model\":\"a\",\"x\":\"\\\\\"}", "b", "{\"model\":\"b\",\"x\":\"\\\\\"}" },
		{ "{\"x\":\"\\\\\",\"model\":\"a\"}", "b", "{\"x\":\"\\\\\",\"model\":\"b\"}" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		size_t n;
		char *out = json_splice_string(rows[i].text, strlen(rows[i].text), "model",
					       rows[i].value, &n);

		assert_non_null(out);
		assert_string_equal(out, rows[i].want);
		assert_int_equal(n, strlen(rows[i].want));
		free(out);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(
		one_member_changes_and_no_other_byte) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
