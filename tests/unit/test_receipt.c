#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "provider/receipt.h"

static void
an_empty_receipt_says_nothing(void **state)
{
	AUTO(receipt) r = { 0 };
	char out[64] = "x";

	(void)state;
	receipt_text(&r, out, sizeof(out));
	assert_string_equal(out, "");
}

static void
notes_stand_in_the_order_of_the_parameters(void **state)
{
	AUTO(receipt) r = { 0 };
	char out[256];

	(void)state;
	receipt_note(&r, PARAM_STYLE, "dropped");
	receipt_note(&r, PARAM_RESPONSE_FORMAT, "served-here");
	receipt_note(&r, PARAM_SIZE, "→aspect_ratio=%d:%d", 3, 2);
	receipt_note(&r, PARAM_N, "=%u calls", 3u);
	receipt_text(&r, out, sizeof(out));
	assert_string_equal(out, "n=3 calls; size→aspect_ratio=3:2; response_format=served-here; "
				 "style=dropped");
}

static void
the_later_word_replaces_the_earlier(void **state)
{
	AUTO(receipt) r = { 0 };
	char out[64];

	(void)state;
	receipt_note(&r, PARAM_SIZE, "dropped");
	receipt_note(&r, PARAM_SIZE, "=1024x1024");
	receipt_text(&r, out, sizeof(out));
	assert_string_equal(out, "size=1024x1024");
	receipt_note(&r, PARAM_SIZE, "%s", "");
	receipt_text(&r, out, sizeof(out));
	assert_string_equal(out, "");
}

static void
unknown_parameters_are_dropped_one_by_one(void **state)
{
	AUTO(receipt) r = { 0 };
	char out[64];

	(void)state;
	receipt_unknown(&r, "watermark, loras");
	receipt_text(&r, out, sizeof(out));
	assert_string_equal(out, "watermark=dropped; loras=dropped");
}

static void
nothing_in_a_name_can_break_the_header(void **state)
{
	AUTO(receipt) r = { 0 };
	char out[128];

	(void)state;
	receipt_unknown(&r, "a\r\nX-Evil: 1; b");
	receipt_text(&r, out, sizeof(out));
	assert_string_equal(out, "a??X-Evil: 1? b=dropped");
}

static void
what_does_not_fit_is_left_out_whole(void **state)
{
	AUTO(receipt) r = { 0 };
	char out[21];

	(void)state;
	receipt_unknown(&r, "long_name_one, b, c");
	receipt_text(&r, out, sizeof(out));
	assert_string_equal(out, "b=dropped; c=dropped");
}

static void
a_long_note_is_cut_at_a_character(void **state)
{
	AUTO(receipt) r = { 0 };
	char text[200] = "";

	(void)state;
	for (int i = 0; i < 40; i++)
		memcpy(text + i * 3, "熊", 4);
	receipt_note(&r, PARAM_SIZE, "%s", text);
	assert_int_equal(strlen(receipt_of(&r, PARAM_SIZE)), 63);
	receipt_note(&r, PARAM_SIZE, "x%s", text);
	assert_int_equal(strlen(receipt_of(&r, PARAM_SIZE)), 61);
}

static void
every_parameter_has_its_name(void **state)
{
	(void)state;
	for (int p = 0; p < PARAM__MAX; p++)
		assert_true(strlen(image_param_name((enum image_param)p)) > 0);
	assert_string_equal(image_param_name(PARAM_OUTPUT_COMPRESSION), "output_compression");
	assert_true(PARAM__MAX <= 32);
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_empty_receipt_says_nothing),
		cmocka_unit_test(notes_stand_in_the_order_of_the_parameters),
		cmocka_unit_test(the_later_word_replaces_the_earlier),
		cmocka_unit_test(unknown_parameters_are_dropped_one_by_one),
		cmocka_unit_test(nothing_in_a_name_can_break_the_header),
		cmocka_unit_test(what_does_not_fit_is_left_out_whole),
		cmocka_unit_test(a_long_note_is_cut_at_a_character),
		cmocka_unit_test(every_parameter_has_its_name),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
