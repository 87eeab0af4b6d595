#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "base/utf8.h"

#define COUNT(a) (sizeof(a) / sizeof(*(a)))

static void
only_well_formed_text_is_valid(void **state)
{
	static const struct {
		const char *in;
		bool valid;
	} row[] = {
		{ "", true },
		{ "plain", true },
		{ "caf\xc3\xa9", true },
		{ "\xe7\x8c\xab", true },
		{ "\xf0\x9f\x90\xbc", true },
		{ "\xf4\x8f\xbf\xbf", true },  /* U+10FFFF */
		{ "\xf4\x90\x80\x80", false }, /* beyond it */
		{ "\xc0\x80", false },         /* overlong U+0000 */
		{ "\xc1\xbf", false },
		{ "\xe0\x9f\xbf", false },     /* overlong in three */
		{ "\xf0\x8f\xbf\xbf", false }, /* overlong in four */
		{ "\xed\x9f\xbf", true },      /* U+D7FF */
		{ "\xed\xa0\x80", false },     /* a surrogate */
		{ "\xed\xbf\xbf", false },
		{ "\xee\x80\x80", true },
		{ "\x80", false },
		{ "a\xbf", false },
		{ "\xc3", false },
		{ "\xe7\x8c", false },
		{ "\xf0\x9f\x90", false },
		{ "\xc3(", false },
		{ "\xf8\x88\x80\x80\x80", false },
		{ "\xff", false },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(row); i++)
		assert_int_equal(utf8_valid(row[i].in, strlen(row[i].in)), row[i].valid);
	assert_true(utf8_valid("a\0b", 3));
	/* Nothing behind the n bytes is looked at. */
	assert_false(utf8_valid("\xe7\x8c\xab", 2));
}

static void
characters_are_counted_not_bytes(void **state)
{
	static const char text[] = "a\xc3\xa9\xe7\x8c\xab\xf0\x9f\x90\xbc";

	(void)state;
	assert_int_equal(utf8_count("", 0), 0);
	assert_int_equal(utf8_count(text, strlen(text)), 4);
}

static void
a_cut_splits_no_character(void **state)
{
	static const char text[] = "a\xc3\xa9\xe7\x8c\xab\xf0\x9f\x90\xbcz";
	/* For each n, where the cut may be. */
	static const size_t cut[] = { 0, 1, 1, 3, 3, 3, 6, 6, 6, 6, 10, 11 };

	(void)state;
	for (size_t n = 0; n < COUNT(cut); n++)
		assert_int_equal(utf8_cut(text, n), cut[n]);
	assert_int_equal(utf8_cut("\x80\x80\x80\x80\x80", 5), 5); /* nothing to keep whole */
}

static void
clipped_text_is_harmless(void **state)
{
	static const struct {
		const char *in, *out;
	} row[] = {
		{ "plain", "plain" },
		{ "line\nbreak\r\t", "line?break??" },
		{ "esc\x1b[31m", "esc?[31m" },
		{ "del\x7f", "del?" },
		{ "c1\xc2\x9b", "c1?" },                  /* U+009B, CSI */
		{ "a\xe2\x80\xa8z\xe2\x80\xa9", "a?z?" }, /* U+2028/9 */
		{ "a\xe2\x80\xaez", "a?z" },              /* U+202E */
		{ "a\xe2\x81\xa6z", "a?z" },              /* U+2066 */
		{ "a\xd8\x9cz", "a?z" },                  /* U+061C */
		{ "bad\xffz", "bad?z" },
		{ "half\xe7\x8c", "half??" },
		{ "\xe7\x8c\xab", "\xe7\x8c\xab" },
	};
	char out[64];

	(void)state;
	for (size_t i = 0; i < COUNT(row); i++) {
		utf8_clip(out, sizeof(out), row[i].in, strlen(row[i].in), 50);
		assert_string_equal(out, row[i].out);
	}
}

static void
clipping_says_when_something_is_missing(void **state)
{
	static const struct {
		const char *in;
		size_t size, chars;
		const char *out;
	} row[] = {
		{ "abcdef", 64, 6, "abcdef" },
		{ "abcdefg", 64, 6, "abcdef…" },
		{ "猫猫猫", 64, 3, "猫猫猫" },
		{ "猫猫猫猫", 64, 3, "猫猫猫…" },
		{ "abcdefg", 8, 50, "abcdefg" }, /* it just fits */
		{ "abcdefgh", 8, 50, "abcd…" },  /* it just does not */
		{ "猫猫", 7, 50, "猫猫" },
		{ "猫猫猫", 9, 50, "猫…" },
		{ "猫猫猫", 10, 50, "猫猫猫" },
		{ "猫", 3, 50, "" },
		{ "abc", 1, 50, "" },
		{ "abc", 64, 0, "…" },
		{ "", 64, 0, "" },
	};
	char out[64];

	(void)state;
	for (size_t i = 0; i < COUNT(row); i++) {
		memset(out, 'X', sizeof(out));
		utf8_clip(out, row[i].size, row[i].in, strlen(row[i].in), row[i].chars);
		assert_string_equal(out, row[i].out);
		if (row[i].size < sizeof(out))
			assert_int_equal(out[row[i].size], 'X');
	}
}

static void
mended_text_is_valid_and_the_rest_of_it_stays(void **state)
{
	static const struct {
		const char *in, *out;
	} row[] = {
		{ "", "" },
		{ "plain\n\t", "plain\n\t" },
		{ "caf\xc3\xa9 猫 🐼", "café 猫 🐼" },
		{ "\xff", "?" },
		{ "a\xff\xfe", "a??" },
		{ "caf\xc3", "caf?" },
		{ "\xf0\x9f\x90", "???" },
		{ "\xc3(\xa9", "?(?" },
		{ "\xed\xa0\x80猫", "???猫" },
	};
	char text[64];

	(void)state;
	for (size_t i = 0; i < COUNT(row); i++) {
		memcpy(text, row[i].in, strlen(row[i].in) + 1);
		utf8_mend(text);
		assert_string_equal(text, row[i].out);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(only_well_formed_text_is_valid),
		cmocka_unit_test(characters_are_counted_not_bytes),
		cmocka_unit_test(a_cut_splits_no_character),
		cmocka_unit_test(mended_text_is_valid_and_the_rest_of_it_stays),
		cmocka_unit_test(clipped_text_is_harmless),
		cmocka_unit_test(clipping_says_when_something_is_missing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
