#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "api/task_json.h"
#include "base/cleanup.h"
#include "base/err.h"
#include "base/utf8.h"
#include "http/reply.h"

#define COUNT(a) (sizeof(a) / sizeof(*(a)))
#define TEXT     2048

static void
every_code_of_the_catalogue_stands_once(void **state)
{
	(void)state;
	for (int k = ERR_NONE + 1; k < ERR__MAX; k++) {
		const struct err_row *row = err_row((enum err_kind)k);

		assert_int_equal(err_by_code(row->code), k);
		assert_true(row->status >= 400 && row->status <= 599);
		assert_true(*row->en && *row->zh);
		/* Both languages say what to do, or neither. */
		assert_int_equal(!*row->hint_en, !*row->hint_zh);
	}
	assert_int_equal(err_by_code("no_such_code"), ERR_NONE);
}

/* Every place in a text is one that err.c knows: nothing in braces is left when all are filled. */
static void
no_message_has_a_place_that_nothing_fills(void **state)
{
	char out[TEXT];

	(void)state;
	for (int k = ERR_NONE + 1; k < ERR__MAX; k++)
		for (int cause = CAUSE_NONE + 1; cause < CAUSE__MAX; cause++)
			for (int lang = LANG_EN; lang <= LANG_ZH; lang++) {
				struct err e = { .kind = (enum err_kind)k,
						 .cause = (enum err_cause)cause,
						 .param = "P",
						 .expected = "E",
						 .found = "F",
						 .about = "A",
						 .upstream = { "U", 502, "r", "M" } };

				err_message(&e, (enum err_lang)lang, out, sizeof(out));
				assert_true(strlen(out) > 3);
				assert_null(strchr(out, '{'));
				assert_true(utf8_valid(out, strlen(out)));
				err_hint(&e, (enum err_lang)lang, out, sizeof(out));
				/* Python's f'Bearer {key}' is meant as it stands. */
				if (strchr(out, '{'))
					assert_non_null(strstr(out, "{key}"));
			}
}

static void
setting_an_error_replaces_all_of_the_old_one(void **state)
{
	struct err e;

	(void)state;
	memset(&e, 0xff, sizeof(e));
	assert_int_equal(err_set(&e, ERR_NOT_FOUND, "picture %d", 7), -1);
	assert_int_equal(e.kind, ERR_NOT_FOUND);
	assert_string_equal(e.about, "picture 7");
	assert_string_equal(e.param, "");
	assert_string_equal(e.detail, "");
	assert_int_equal(e.status, 0);
	assert_false(e.may_have_been_billed);
	assert_null(e.stage);
	err_detail(&e, "errno %d", 2);
	assert_string_equal(e.detail, "errno 2");
	assert_string_equal(e.about, "picture 7");

	assert_int_equal(err_field(&e, ERR_TYPE, "n", "an integer", "'%s'", "two"), -1);
	assert_string_equal(e.param, "n");
	assert_string_equal(e.expected, "an integer");
	assert_string_equal(e.found, "'two'");
	assert_string_equal(e.about, "");
	assert_string_equal(e.detail, "");
}

static void
what_is_too_long_is_cut_at_a_character(void **state)
{
	char cats[1024] = "";
	struct err e;

	(void)state;
	for (size_t i = 0; i + 3 < sizeof(cats); i += 3)
		memcpy(cats + i, "猫", 4);
	(void)err_set(&e, ERR_INTERNAL, "x%s", cats);
	assert_true(strlen(e.about) > 200);
	assert_true(utf8_valid(e.about, strlen(e.about)));
	(void)err_field(&e, ERR_TYPE, cats, cats, "x%s", cats);
	assert_true(strlen(e.param) > 50 && utf8_valid(e.param, strlen(e.param)));
	assert_true(strlen(e.expected) > 200 && utf8_valid(e.expected, strlen(e.expected)));
	assert_true(strlen(e.found) > 100 && utf8_valid(e.found, strlen(e.found)));
	err_detail(&e, "xx%s", cats);
	assert_true(utf8_valid(e.detail, strlen(e.detail)));
}

static void
a_message_is_cut_to_the_room_there_is(void **state)
{
	char out[TEXT];
	struct err e;

	(void)state;
	(void)err_set(&e, ERR_NOT_FOUND, "图片");
	for (size_t size = 1; size < 80; size++) {
		memset(out, 'X', sizeof(out));
		err_message(&e, LANG_ZH, out, size);
		assert_true(strlen(out) < size);
		assert_true(utf8_valid(out, strlen(out)));
		assert_int_equal(out[size], 'X');
	}
}

static void
a_message_carries_its_facts_in_both_languages(void **state)
{
	char out[TEXT];
	struct err e;

	(void)state;
	(void)err_field(&e, ERR_TYPE, "n", "an integer", "%s", "a string");
	err_message(&e, LANG_EN, out, sizeof(out));
	assert_string_equal(out,
			    "Invalid type for 'n': expected an integer, but got a string instead.");
	err_message(&e, LANG_ZH, out, sizeof(out));
	assert_string_equal(out, "“n”的类型无效：应为 an integer，实际为 a string。");
	err_hint(&e, LANG_EN, out, sizeof(out));
	assert_string_equal(out, "Send 'n' as an integer.");
}

static void
a_fact_that_looks_like_a_place_stays_as_it_is(void **state)
{
	char out[TEXT];
	struct err e;

	(void)state;
	(void)err_field(&e, ERR_TYPE, "{found}", "{param}", "%s", "{expected}");
	err_message(&e, LANG_EN, out, sizeof(out));
	assert_string_equal(out, "Invalid type for '{found}': expected {param}, but got {expected} "
				 "instead.");
}

static void
a_providers_words_are_quoted_when_there_are_any(void **state)
{
	char out[TEXT];
	struct err e;

	(void)state;
	(void)err_set(&e, ERR_UP_FAILED, "%s", "");
	memcpy(e.upstream.name, "modelscope", sizeof("modelscope"));
	e.upstream.status = 500;
	err_message(&e, LANG_EN, out, sizeof(out));
	assert_string_equal(out, "modelscope failed (HTTP 500).");
	memcpy(e.upstream.message, "try later", sizeof("try later"));
	err_message(&e, LANG_EN, out, sizeof(out));
	assert_string_equal(out, "modelscope failed (HTTP 500). It said: \"try later\"");
}

static void
status_party_and_retry_are_the_catalogues_unless_said(void **state)
{
	struct err e;

	(void)state;
	(void)err_set(&e, ERR_RATE_LIMITED, "per minute");
	assert_int_equal(err_status(&e), 429);
	assert_string_equal(err_type(&e), "rate_limit_error");
	assert_string_equal(err_code(&e), "rate_limited");
	assert_string_equal(err_party(&e), "client");
	assert_true(err_retry(&e));

	e.status = 503;
	e.party = PARTY_NETWORK + 1;
	e.may_have_been_billed = true;
	assert_int_equal(err_status(&e), 503);
	assert_string_equal(err_party(&e), "network");
	assert_false(err_retry(&e)); /* a retry might buy a second picture */

	(void)err_set(&e, ERR_CONFIG, "1 problem");
	assert_false(err_retry(&e));
	assert_string_equal(err_command(&e), "easel config check");
	assert_string_equal(err_confidence(&e), "likely");
}

static void
a_401_says_why(void **state)
{
	char en[TEXT], zh[TEXT];

	(void)state;
	for (int cause = CAUSE_NONE + 1; cause < CAUSE__MAX; cause++) {
		struct err e = { .kind = ERR_BEARER, .cause = (enum err_cause)cause, .about = "A" };

		assert_non_null(err_cause(&e));
		err_message(&e, LANG_EN, en, sizeof(en));
		err_message(&e, LANG_ZH, zh, sizeof(zh));
		assert_true(strlen(en) > strlen("Missing bearer token: "));
		assert_string_not_equal(en, zh);
		err_hint(&e, LANG_EN, en, sizeof(en));
		assert_true(strlen(en) > 0);
		assert_true(!strcmp(err_confidence(&e), "certain") ||
			    !strcmp(err_confidence(&e), "likely") ||
			    !strcmp(err_confidence(&e), "possible"));
	}
	assert_null(err_cause(&(struct err){ .kind = ERR_TYPE }));
}

/* A header's bytes, and a name that was cut in the middle of a character. */
static void
an_error_is_told_whatever_bytes_it_is_about(void **state)
{
	struct err e = { .kind = ERR_VALUE,
			 .param = "caf\xc3",
			 .expected = "E\xff",
			 .found = "'\xff'",
			 .about = "A\xe9\xa6",
			 .task_id = "\xff",
			 .upstream = { "U\xff", 502, "\xff", "\xe9\xa6 M" } };
	json_auto_t *o = NULL;
	json_auto_t *record = NULL;
	AUTO_FREE char *text = NULL;
	char out[TEXT];

	(void)state;
	for (int k = ERR_NONE + 1; k < ERR__MAX; k++)
		for (int lang = LANG_EN; lang <= LANG_ZH; lang++) {
			e.kind = (enum err_kind)k;
			err_message(&e, (enum err_lang)lang, out, sizeof(out));
			assert_true(utf8_valid(out, strlen(out)));
			err_hint(&e, (enum err_lang)lang, out, sizeof(out));
			assert_true(utf8_valid(out, strlen(out)));
		}
	e.kind = ERR_VALUE;
	o = error_json(&e, LANG_EN, "req_0");
	assert_non_null(o);
	assert_string_equal(json_string_value(json_object_get(o, "code")), "invalid_value");
	assert_string_equal(json_string_value(json_object_get(o, "param")), "caf?");
	assert_string_equal(json_string_value(json_object_get(o, "expected")), "E?");
	assert_string_equal(json_string_value(json_object_get(o, "found")), "'?'");
	assert_non_null(strstr(json_string_value(json_object_get(o, "message")), "'caf?'"));
	assert_string_equal(json_string_value(
				    json_object_get(json_object_get(o, "upstream"), "message")),
			    "?? M");
	text = task_json_error(&e, "req_0", "task_0");
	assert_non_null(text);
	record = json_loads(text, 0, NULL);
	assert_non_null(json_object_get(json_object_get(record, "zh"), "message"));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_code_of_the_catalogue_stands_once),
		cmocka_unit_test(no_message_has_a_place_that_nothing_fills),
		cmocka_unit_test(setting_an_error_replaces_all_of_the_old_one),
		cmocka_unit_test(what_is_too_long_is_cut_at_a_character),
		cmocka_unit_test(a_message_is_cut_to_the_room_there_is),
		cmocka_unit_test(a_message_carries_its_facts_in_both_languages),
		cmocka_unit_test(a_fact_that_looks_like_a_place_stays_as_it_is),
		cmocka_unit_test(a_providers_words_are_quoted_when_there_are_any),
		cmocka_unit_test(status_party_and_retry_are_the_catalogues_unless_said),
		cmocka_unit_test(a_401_says_why),
		cmocka_unit_test(an_error_is_told_whatever_bytes_it_is_about),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
