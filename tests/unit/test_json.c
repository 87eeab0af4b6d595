#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/json.h"
#include "base/utf8.h"

#define COUNT(a) (sizeof(a) / sizeof(*(a)))

static void
one_strict_value_is_read(void **state)
{
	static const char *const good[] = {
		"{}",
		"[]",
		"null",
		"true",
		"\"\"",
		"0",
		"-1.5",
		" {} ",
		"1e3",
		"{\"a\":[1,{}]}",
		"\"猫\"",
		"\"\\ud83d\\udc3c\"",
		"\"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[\"",
	};
	struct err e;
	json_t *v;

	(void)state;
	for (size_t i = 0; i < COUNT(good); i++) {
		v = NULL;
		assert_int_equal(json_read(good[i], strlen(good[i]), &v, &e), 0);
		assert_non_null(v);
		json_decref(v);
	}
}

static void
anything_else_is_invalid_and_says_where(void **state)
{
	static const struct {
		const char *in, *where;
	} row[] = {
		{ "", "(line 1, column 0, offset 0)" },
		{ "{", "offset 1" },
		{ "{\"a\":1,}", "offset 8" },
		{ "[1,]", "offset 4" },
		{ "{'a':1}", "offset" },
		{ "{a:1}", "offset" },
		{ "nul", "offset 3" },
		{ "1 2", "offset 3" },
		{ "{}{}", "offset 3" },
		{ "[1]\n\n x", "line 3, column 2" },
		{ "\"a\\u0000b\"", "a string may not hold U+0000" },
		{ "\"\xff\"", "0xff" },
		{ "\"\xc0\x80\"", "0xc0" },
		{ "\"\\ud800\"", "offset" },
		{ "\"line\nbreak\"", "offset" },
		{ "01", "offset" },
		{ "NaN", "offset" },
		{ "1e999", "overflow" },
		{ "99999999999999999999", "too big" },
		{ "// comment\n{}", "offset" },
	};
	struct err e;
	json_t *v = NULL;

	(void)state;
	for (size_t i = 0; i < COUNT(row); i++) {
		assert_int_equal(json_read(row[i].in, strlen(row[i].in), &v, &e), -1);
		assert_int_equal(e.kind, ERR_JSON);
		assert_non_null(strstr(e.about, row[i].where));
		assert_true(utf8_valid(e.about, strlen(e.about)));
		assert_null(v);
	}
	assert_int_equal(json_read("{}\0", 3, &v, &e), -1);
}

static void
what_is_quoted_from_the_body_is_harmless(void **state)
{
	static const char body[] = "[\"\xe2\x80\xae\", \x1b]";
	struct err e;
	json_t *v;

	(void)state;
	assert_int_equal(json_read(body, strlen(body), &v, &e), -1);
	assert_null(strchr(e.about, '\x1b'));
	assert_null(strstr(e.about, "\xe2\x80\xae"));
}

static void
a_key_that_stands_twice_is_named(void **state)
{
	static const struct {
		const char *in, *key;
	} row[] = {
		{ "{\"a\":1,\"a\":2}", "a" },
		{ "{\"x\":{\"prompt\":1,\"prompt\":1}}", "prompt" },
		{ "{\"it's\":1, \"b\":[], \"it's\" :2}", "it's" },
		{ "{\"a \\\"q\\\"\":1,\"a \\\"q\\\"\":{}}", "a \"q\"" },
		{ "{\"\\u0061\":1,\"a\":2}", "a" },
		{ "{\"猫\":1,\"猫\":2}", "猫" },
		{ "{\"line\\nbreak\":1,\"line\\nbreak\":2}", "line?break" },
		{ "{\"a_name_of_more_than_twenty\":1,\"a_name_of_more_than_twenty\":2}",
		  "a_name_of_more_than_twenty" },
		{ "{\"\":1,\"\":2}", "" },
	};
	struct err e;
	json_t *v;

	(void)state;
	for (size_t i = 0; i < COUNT(row); i++) {
		assert_int_equal(json_read(row[i].in, strlen(row[i].in), &v, &e), -1);
		assert_int_equal(e.kind, ERR_DUPLICATE_KEY);
		assert_string_equal(e.param, row[i].key);
	}
}

/* depth times `open`, then as often `close`. */
static int
read_nested(size_t depth, const char *open, const char *close, struct err *e)
{
	AUTO(buf) b = BUF_INIT(1 << 20);
	json_t *v = NULL;
	int rc;

	for (size_t i = 0; i < depth; i++)
		assert_int_equal(buf_adds(&b, open), 0);
	assert_int_equal(buf_adds(&b, "1"), 0);
	for (size_t i = 0; i < depth; i++)
		assert_int_equal(buf_adds(&b, close), 0);
	rc = json_read(b.p, b.len, &v, e);
	json_decref(v);
	return rc;
}

static void
nesting_has_an_end(void **state)
{
	struct err e;

	(void)state;
	assert_int_equal(read_nested(JSON_DEPTH_MAX, "[", "]", &e), 0);
	assert_int_equal(read_nested(JSON_DEPTH_MAX, "{\"a\":", "}", &e), 0);
	assert_int_equal(read_nested(JSON_DEPTH_MAX + 1, "[", "]", &e), -1);
	assert_int_equal(e.kind, ERR_JSON);
	assert_non_null(strstr(e.about, "deeper than 32"));
	assert_non_null(strstr(e.about, "offset 32"));
	assert_int_equal(read_nested(JSON_DEPTH_MAX + 1, "{\"a\":", "}", &e), -1);
	assert_int_equal(read_nested(50000, "[", "]", &e), -1);
}

/* "[", `item` so often, "]", with commas between them. */
static int
read_many(const char *item, size_t times, size_t most, struct err *e)
{
	AUTO(buf) b = BUF_INIT(64 << 20);
	json_t *v = NULL;
	int rc;

	assert_int_equal(buf_addc(&b, '['), 0);
	for (size_t i = 0; i < times; i++)
		assert_true((!i || buf_addc(&b, ',') == 0) && buf_adds(&b, item) == 0);
	assert_int_equal(buf_addc(&b, ']'), 0);
	rc = most ? json_read_up_to(b.p, b.len, most, &v, e) : json_read(b.p, b.len, &v, e);
	json_decref(v);
	return rc;
}

static void
values_have_an_end(void **state)
{
	struct err e;

	(void)state;
	assert_int_equal(read_many("1", JSON_VALUES_MAX, 0, &e), 0);
	assert_int_equal(read_many("1", JSON_VALUES_MAX + 1, 0, &e), -1);
	assert_int_equal(e.kind, ERR_JSON);
	assert_non_null(strstr(e.about, "250001 values"));
	assert_non_null(strstr(e.about, "at most 250000 may be"));
	/* What is empty costs most. */
	assert_int_equal(read_many("{}", JSON_VALUES_MAX / 2, 0, &e), 0);
	assert_int_equal(read_many("{}", JSON_VALUES_MAX / 2 + 1, 0, &e), -1);
	assert_int_equal(read_many("[]", JSON_VALUES_MAX / 2 + 1, 0, &e), -1);
	assert_int_equal(read_many("{\"a\":{\"a\":{}}}", JSON_VALUES_MAX / 4 + 1, 0, &e), -1);
	/* In a string they are none. */
	assert_int_equal(read_many("\"{[,,,,,,,,,,\\\",,,,\"", JSON_VALUES_MAX / 10, 0, &e), 0);
	/* An answer that is known to be long has a limit of its own. */
	assert_int_equal(read_many("1", 3, 3, &e), 0);
	assert_int_equal(read_many("1", 4, 3, &e), -1);
	assert_int_equal(read_many("1", JSON_VALUES_MAX + 1, JSON_VALUES_MAX + 1, &e), 0);
}

static void
values_are_named_and_quoted_for_people(void **state)
{
	static const struct {
		const char *in, *type, *quoted;
	} row[] = {
		{ "\"red\"", "a string", "'red'" },
		{ "\"a\\nb\"", "a string", "'a?b'" },
		{ "5", "an integer", "5" },
		{ "-5", "an integer", "-5" },
		{ "1.5", "a decimal number", "1.5" },
		{ "true", "a boolean", "a boolean" },
		{ "false", "a boolean", "a boolean" },
		{ "null", "null", "null" },
		{ "[]", "an array", "an array" },
		{ "{}", "an object", "an object" },
	};
	struct err e;
	char out[200], tiny[8];
	json_t *v;

	(void)state;
	for (size_t i = 0; i < COUNT(row); i++) {
		assert_int_equal(json_read(row[i].in, strlen(row[i].in), &v, &e), 0);
		assert_string_equal(json_type_name(v), row[i].type);
		json_quote(v, out, sizeof(out));
		assert_string_equal(out, row[i].quoted);
		json_quote(v, tiny, sizeof(tiny));
		assert_true(strlen(tiny) < sizeof(tiny));
		json_decref(v);
	}
	v = json_string("12345678901234567890123456789012345678901234567890");
	json_quote(v, out, sizeof(out));
	assert_string_equal(out, "'1234567890123456789012345678901234567890…'");
	json_decref(v);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_strict_value_is_read),
		cmocka_unit_test(anything_else_is_invalid_and_says_where),
		cmocka_unit_test(what_is_quoted_from_the_body_is_harmless),
		cmocka_unit_test(a_key_that_stands_twice_is_named),
		cmocka_unit_test(nesting_has_an_end),
		cmocka_unit_test(values_have_an_end),
		cmocka_unit_test(values_are_named_and_quoted_for_people),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
