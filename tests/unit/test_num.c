#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/num.h"

#define COUNT(a)  (sizeof(a) / sizeof(*(a)))
#define UNTOUCHED 77

static void
an_integer_is_the_whole_string_and_in_range(void **state)
{
	static const struct {
		const char *in;
		int rc;
		int64_t out;
	} row[] = {
		{ "0", 0, 0 },
		{ "7", 0, 7 },
		{ "-5", 0, -5 },
		{ "10", 0, 10 },
		{ "11", -1, UNTOUCHED },
		{ "-6", -1, UNTOUCHED },
		{ "", -1, UNTOUCHED },
		{ "-", -1, UNTOUCHED },
		{ "+5", -1, UNTOUCHED },
		{ " 5", -1, UNTOUCHED },
		{ "5 ", -1, UNTOUCHED },
		{ "5x", -1, UNTOUCHED },
		{ "0x5", -1, UNTOUCHED },
		{ "1.0", -1, UNTOUCHED },
		{ "--5", -1, UNTOUCHED },
		{ "99999999999999999999", -1, UNTOUCHED },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(row); i++) {
		int64_t out = UNTOUCHED;

		assert_int_equal(num_i64(row[i].in, -5, 10, &out), row[i].rc);
		assert_int_equal(out, row[i].out);
	}
}

static void
an_integer_reaches_both_ends_of_its_type(void **state)
{
	int64_t out = 0;

	(void)state;
	assert_int_equal(num_i64("9223372036854775807", INT64_MIN, INT64_MAX, &out), 0);
	assert_true(out == INT64_MAX);
	assert_int_equal(num_i64("-9223372036854775808", INT64_MIN, INT64_MAX, &out), 0);
	assert_true(out == INT64_MIN);
	assert_int_equal(num_i64("9223372036854775808", INT64_MIN, INT64_MAX, &out), -1);
	assert_int_equal(num_i64("-9223372036854775809", INT64_MIN, INT64_MAX, &out), -1);
	assert_true(out == INT64_MIN);
}

static void
a_size_is_two_sides_in_range(void **state)
{
	static const struct {
		const char *in;
		int rc;
		uint32_t w, h;
	} row[] = {
		{ "1024x768", 0, 1024, 768 },
		{ "64x64", 0, 64, 64 },
		{ "4096x64", 0, 4096, 64 },
		{ "63x64", -1, 7, 7 },
		{ "64x63", -1, 7, 7 },
		{ "4097x64", -1, 7, 7 },
		{ "", -1, 7, 7 },
		{ "x", -1, 7, 7 },
		{ "1024", -1, 7, 7 },
		{ "1024x", -1, 7, 7 },
		{ "x768", -1, 7, 7 },
		{ "1024X768", -1, 7, 7 },
		{ "1024x768x1", -1, 7, 7 },
		{ " 64x64", -1, 7, 7 },
		{ "64 x64", -1, 7, 7 },
		{ "+64x64", -1, 7, 7 },
		{ "-64x64", -1, 7, 7 },
		{ "64x9223372036854775808", -1, 7, 7 },
		{ "99999999999999999999x64", -1, 7, 7 },
		{ "auto", -1, 7, 7 },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(row); i++) {
		uint32_t w = 7, h = 7;

		assert_int_equal(num_size(row[i].in, 64, 4096, &w, &h), row[i].rc);
		assert_int_equal(w, row[i].w);
		assert_int_equal(h, row[i].h);
	}
}

static void
a_duration_needs_its_unit(void **state)
{
	static const struct {
		const char *in;
		int rc;
		int64_t ms;
	} row[] = {
		{ "", 0, 0 },
		{ "0", 0, 0 },
		{ "250ms", 0, 250 },
		{ "20s", 0, 20000 },
		{ "2m", 0, 120000 },
		{ "24h", 0, 86400000 },
		{ "30d", 0, 2592000000 },
		{ "0s", 0, 0 },
		{ "20", -1, UNTOUCHED },
		{ "s", -1, UNTOUCHED },
		{ "-1s", -1, UNTOUCHED },
		{ "1.5s", -1, UNTOUCHED },
		{ "20S", -1, UNTOUCHED },
		{ "20 s", -1, UNTOUCHED },
		{ "20sec", -1, UNTOUCHED },
		{ "1h30m", -1, UNTOUCHED },
		{ "9223372036854775807ms", 0, INT64_MAX },
		{ "9223372036854775807s", -1, UNTOUCHED },
		{ "99999999999999999999s", -1, UNTOUCHED },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(row); i++) {
		int64_t ms = UNTOUCHED;

		assert_int_equal(num_duration_ms(row[i].in, &ms), row[i].rc);
		assert_true(ms == row[i].ms);
	}
}

static void
bytes_need_their_unit(void **state)
{
	static const struct {
		const char *in;
		int rc;
		int64_t bytes;
	} row[] = {
		{ "0", 0, 0 },
		{ "100B", 0, 100 },
		{ "512kB", 0, 524288 },
		{ "512KB", 0, 524288 },
		{ "32MB", 0, 33554432 },
		{ "10GB", 0, 10737418240 },
		{ "2TB", 0, 2199023255552 },
		{ "", -1, UNTOUCHED },
		{ "32", -1, UNTOUCHED },
		{ "MB", -1, UNTOUCHED },
		{ "32mb", -1, UNTOUCHED },
		{ "32M", -1, UNTOUCHED },
		{ "-32MB", -1, UNTOUCHED },
		{ "1.5GB", -1, UNTOUCHED },
		{ "32 MB", -1, UNTOUCHED },
		{ "8388607TB", 0, 8388607 * ((int64_t)1 << 40) },
		{ "8388608TB", -1, UNTOUCHED },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(row); i++) {
		int64_t bytes = UNTOUCHED;

		assert_int_equal(num_bytes(row[i].in, &bytes), row[i].rc);
		assert_true(bytes == row[i].bytes);
	}
}

static void
a_hexadecimal_digit_has_its_value_in_either_case(void **state)
{
	static const char digits[] = "0123456789abcdef", upper[] = "0123456789ABCDEF";
	int found = 0;

	(void)state;
	for (int i = 0; i < 16; i++) {
		assert_int_equal(num_hex_digit(digits[i]), i);
		assert_int_equal(num_hex_digit(upper[i]), i);
	}
	for (int c = -128; c < 128; c++)
		found += num_hex_digit((char)c) >= 0;
	assert_int_equal(found, 10 + 6 + 6);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_integer_is_the_whole_string_and_in_range),
		cmocka_unit_test(an_integer_reaches_both_ends_of_its_type),
		cmocka_unit_test(a_size_is_two_sides_in_range),
		cmocka_unit_test(a_duration_needs_its_unit),
		cmocka_unit_test(bytes_need_their_unit),
		cmocka_unit_test(a_hexadecimal_digit_has_its_value_in_either_case),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
