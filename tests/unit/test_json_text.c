/* Trees as text: what jansson writes, for every kind of value. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/json.h"
#include "base/json_text.h"

static void
it_writes_what_jansson_writes(void **state)
{
	static const char *const rows[] = {
		"{}",
		"[]",
		"{\"a\":{\"b\":[1,[],{}]},\"c\":null}",
		"[true,false,null]",
		"[0,-1,9223372036854775807,-9223372036854775808]",
		"[0.5,-2.25,1e300,0.1]",
		"\"\"",
		"\"一只可爱的熊猫 🐼\"",
		"\"\\\" \\\\ / \\b\\f\\n\\r\\t \\u0001\\u001F\"",
		"{\"k\\\"ey\\n\":\"v\"}",
		"\"\\u007f\"",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		json_t *v = json_loads(rows[i], JSON_DECODE_ANY, NULL);
		char *want =
			json_dumps(v, JSON_COMPACT | JSON_ENCODE_ANY | JSON_REAL_PRECISION(12));
		char *got = json_text_take(v);

		assert_non_null(want);
		assert_string_equal(got, want);
		free(got);
		free(want);
	}
	assert_null(json_text(NULL));
}

static void
sorted_it_writes_what_jansson_sorts(void **state)
{
	static const char *const rows[] = {
		"{}",
		"{\"b\":1,\"a\":{\"d\":[{\"z\":1,\"y\":2}],\"c\":null},\"ab\":0.1,\"B\":3,\"\":4}",
		"[0.1,1e300,{\"猫\":1,\"a\\nb\":2}]",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		json_t *v = json_loads(rows[i], JSON_DECODE_ANY, NULL);
		char *want = json_dumps(v, JSON_COMPACT | JSON_SORT_KEYS),
		     *got = json_text_sorted(v);

		assert_non_null(want);
		assert_string_equal(got, want);
		free(got);
		free(want);
		json_decref(v);
	}
	assert_null(json_text_sorted(NULL));
}

static void
a_ceiling_is_kept(void **state)
{
	for (size_t max = 0; max < 9; max++) {
		struct buf b = BUF_INIT(max);

		/* "a\"b\nc" with its escapes and quotes is nine bytes */
		assert_int_equal(json_text_string(&b, "a\"b\nc", 5), -1);
		buf_done(&b);
	}
	(void)state;
}

static void
integers_are_written_in_full(void **state)
{
	static const int64_t rows[] = { 0, 7, -7, 10, 1000000, INT64_MAX, INT64_MIN };

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		struct buf b = BUF_INIT(64), want = BUF_INIT(64);

		assert_int_equal(buf_addi(&b, rows[i]), 0);
		assert_int_equal(buf_addf(&want, "%lld", (long long)rows[i]), 0);
		assert_string_equal(b.p, want.p);
		buf_done(&b);
		buf_done(&want);
	}
}

static void
decimal_numbers_are_jansson_s(void **state)
{
	struct buf b = BUF_INIT(64);

	(void)state;
	assert_int_equal(json_text_real(&b, 0.7), 0);
	assert_string_equal(b.p, "0.7");
	buf_done(&b);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(it_writes_what_jansson_writes),
		cmocka_unit_test(sorted_it_writes_what_jansson_sorts),
		cmocka_unit_test(a_ceiling_is_kept),
		cmocka_unit_test(integers_are_written_in_full),
		cmocka_unit_test(decimal_numbers_are_jansson_s),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
