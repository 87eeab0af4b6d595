#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "access/bearer.h"

#define KEY "sk-easel-FAKEfakeFAKEfakeFAKEfakeFAKEfakeFAKEfakeFAK"

static void
takes_the_token_of_a_good_header(void **state)
{
	static const char *const rows[] = {
		"Bearer " KEY,   "bearer " KEY,        "BEARER " KEY,           "Bearer   " KEY,
		"Bearer\t" KEY,  "  Bearer " KEY "  ", "Bearer " KEY "\r\n",    "Bearer " KEY "\n",
		"Bearer \n" KEY, "\r\nBearer " KEY,    "Bearer \t" KEY " \v\f",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		struct err e = { 0 };
		const char *token;
		size_t n;

		assert_int_equal(bearer_token(rows[i], "key=ignored", &token, &n, &e), 0);
		assert_int_equal(n, strlen(KEY));
		assert_memory_equal(token, KEY, n);
	}
}

static void
tells_each_mistake_apart(void **state)
{
	static const struct {
		const char *header, *query, *code, *cause, *about;
	} rows[] = {
		{ NULL, "", "missing_bearer_token", "header_absent", "" },
		{ NULL, "n=1&size=1024x1024", "missing_bearer_token", "header_absent", "" },
		{ NULL, "monkey=1&mykey=2", "missing_bearer_token", "header_absent", "" },
		{ NULL, "api_key=", "missing_bearer_token", "header_absent", "" },
		{ NULL, "api_key=" KEY, "missing_bearer_token", "in_query_only", "" },
		{ NULL, "n=1&key=" KEY, "missing_bearer_token", "in_query_only", "" },
		{ NULL, "TOKEN=x", "missing_bearer_token", "in_query_only", "" },
		{ NULL, "a&access_token=x&b", "missing_bearer_token", "in_query_only", "" },

		{ "", "", "missing_bearer_token", "wrong_scheme", " (it is empty)" },
		{ " \r\n", "key=x", "missing_bearer_token", "wrong_scheme", " (it is empty)" },
		{ KEY, "", "missing_bearer_token", "wrong_scheme", "" },
		{ "Basic dXNlcjpwYXNz", "", "missing_bearer_token", "wrong_scheme",
		  " (it starts with 'Basic')" },
		{ "Token " KEY, "", "missing_bearer_token", "wrong_scheme",
		  " (it starts with 'Token')" },
		{ "Digest username=\"a\", realm=\"b c\"", "", "missing_bearer_token",
		  "wrong_scheme", " (it starts with 'Digest')" },
		{ "Bearer:" KEY, "", "missing_bearer_token", "wrong_scheme", "" },
		{ "Bearer: " KEY, "", "missing_bearer_token", "wrong_scheme", "" },
		{ "Bearer" KEY, "", "missing_bearer_token", "wrong_scheme", "" },
		{ "secret", "", "missing_bearer_token", "wrong_scheme", "" },
		{ "averylongsecretword x", "", "missing_bearer_token", "wrong_scheme", "" },
		{ "s3cret x", "", "missing_bearer_token", "wrong_scheme", "" },

		{ "Bearer", "", "missing_bearer_token", "empty_token", "" },
		{ "bearer  \n", "", "missing_bearer_token", "empty_token", "" },

		{ "Bearer a, Bearer b", "", "missing_bearer_token", "multiple_values", "" },
		{ "Bearer " KEY ", Bearer " KEY, "", "missing_bearer_token", "multiple_values",
		  "" },
		{ "Bearer a,b", "", "missing_bearer_token", "multiple_values", "" },
		{ "Bearer , Bearer b", "", "missing_bearer_token", "multiple_values", "" },
		{ "Basic eDp5, Bearer b", "", "missing_bearer_token", "multiple_values", "" },
		{ "Basic eDp5,Basic eDp5", "", "missing_bearer_token", "multiple_values", "" },
		{ KEY ", " KEY, "", "missing_bearer_token", "multiple_values", "" },

		{ "Bearer Bearer " KEY, "", "invalid_api_key", "double_bearer", "" },
		{ "Bearer bearer\t" KEY, "", "invalid_api_key", "double_bearer", "" },
		{ "Bearer Bearer: " KEY, "", "invalid_api_key", "double_bearer", "" },
		{ "Bearer Bearer", "", "invalid_api_key", "double_bearer", "" },

		{ "Bearer $OPENAI_API_KEY", "", "invalid_api_key", "unexpanded_variable",
		  " (OPENAI_API_KEY)" },
		{ "Bearer ${EASEL_KEY}", "", "invalid_api_key", "unexpanded_variable",
		  " (EASEL_KEY)" },
		{ "Bearer ${EASEL_KEY:-none}", "", "invalid_api_key", "unexpanded_variable", "" },
		{ "Bearer {{API_KEY}}", "", "invalid_api_key", "unexpanded_variable",
		  " (API_KEY)" },
		{ "Bearer {{ API_KEY }}", "", "invalid_api_key", "unexpanded_variable",
		  " (API_KEY)" },
		{ "Bearer ${{ secrets.KEY }}", "", "invalid_api_key", "unexpanded_variable", "" },
		{ "Bearer $(cat key)", "", "invalid_api_key", "unexpanded_variable", "" },
		{ "Bearer {API_KEY}", "", "invalid_api_key", "unexpanded_variable", " (API_KEY)" },
		{ "Bearer %API_KEY%", "", "invalid_api_key", "unexpanded_variable", " (API_KEY)" },
		{ "Bearer $env:API_KEY", "", "invalid_api_key", "unexpanded_variable",
		  " (API_KEY)" },
		{ "Bearer \"$API_KEY\"", "", "invalid_api_key", "unexpanded_variable",
		  " (API_KEY)" },
		{ "Bearer '${API_KEY}'", "", "invalid_api_key", "unexpanded_variable",
		  " (API_KEY)" },
		{ "Bearer $KEY2", "", "invalid_api_key", "unexpanded_variable", "" },
		{ "Bearer $apiKey", "", "invalid_api_key", "unexpanded_variable", "" },
		{ "Bearer $FAKEFAKE1234FAKEFAKE1234FAKEFAKE1234FAKE", "", "invalid_api_key",
		  "unexpanded_variable", "" },
		{ "Bearer YOUR_API_KEY", "", "invalid_api_key", "unexpanded_variable",
		  " (YOUR_API_KEY)" },
		{ "Bearer <YOUR_API_KEY>", "", "invalid_api_key", "unexpanded_variable",
		  " (YOUR_API_KEY)" },
		{ "Bearer OPENAI_API_KEY", "", "invalid_api_key", "unexpanded_variable",
		  " (OPENAI_API_KEY)" },
		{ "Bearer your-key-here", "", "invalid_api_key", "unexpanded_variable", "" },
		{ "Bearer undefined", "", "invalid_api_key", "unexpanded_variable", "" },
		{ "Bearer None", "", "invalid_api_key", "unexpanded_variable", "" },

		{ "Bearer \"" KEY "\"", "", "invalid_api_key", "malformed_token",
		  "quotation marks" },
		{ "Bearer '" KEY, "", "invalid_api_key", "malformed_token", "quotation marks" },
		{ "Bearer “" KEY "”", "", "invalid_api_key", "malformed_token", "quotation marks" },
		{ "Bearer sk-easel- FAKE", "", "invalid_api_key", "malformed_token",
		  "white space inside" },
		{ "Bearer sk-easel-\tFAKE", "", "invalid_api_key", "malformed_token",
		  "white space inside" },
		{ "Bearer sk-easel-\r\n FAKE", "", "invalid_api_key", "malformed_token",
		  "a line break" },
		{ "Bearer sk-easel-\x01"
		  "FAKE",
		  "", "invalid_api_key", "malformed_token", "a control character" },
		{ "Bearer sk-easel-\x7f", "", "invalid_api_key", "malformed_token",
		  "a control character" },
		{ "Bearer ｓｋ-easel", "", "invalid_api_key", "malformed_token",
		  "a character outside ASCII" },
		{ "Bearer \xef\xbb\xbf" KEY, "", "invalid_api_key", "malformed_token",
		  "a character outside ASCII" },
		{ "Bearer " KEY "\xc2\xa0", "", "invalid_api_key", "malformed_token",
		  "a character outside ASCII" },
		{ "Bearer $" KEY, "", "invalid_api_key", "malformed_token",
		  "a character that no key has" },
		{ "Bearer %20" KEY, "", "invalid_api_key", "malformed_token",
		  "a character that no key has" },
		{ "Bearer <" KEY ">", "", "invalid_api_key", "malformed_token", "angle brackets" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		struct err e = { 0 };
		const char *token;
		size_t n;

		if (bearer_token(rows[i].header, rows[i].query, &token, &n, &e) != -1)
			fail_msg("row %zu was accepted", i);
		if (strcmp(err_cause(&e), rows[i].cause) != 0)
			fail_msg("row %zu: %s, not %s", i, err_cause(&e), rows[i].cause);
		assert_string_equal(err_code(&e), rows[i].code);
		assert_string_equal(e.about, rows[i].about);
		assert_string_equal(e.stage, "auth");
		assert_int_equal(err_status(&e), 401);
	}
}

static void
shows_no_part_of_the_token(void **state)
{
	static const char *const shapes[] = { "%s",           "Bearer \"%s\"", "Bearer $%s",
					      "Bearer ${%s}", "Bearer %s x",   "Bearer Bearer %s",
					      "Basic %s",     "Bearer %s,%s",  "Bearer <%s>",
					      "%s x" };

	(void)state;
	for (size_t i = 0; i < sizeof(shapes) / sizeof(*shapes); i++) {
		char header[256] = "", message[512], hint[512];
		struct err e = { 0 };
		const char *token, *at = shapes[i];
		size_t n;

		for (; *at; at++) {
			size_t len = strlen(header);

			if (at[0] == '%' && at[1] == 's') {
				memcpy(header + len, KEY, sizeof(KEY));
				at++;
			} else {
				header[len] = *at;
			}
		}
		assert_int_equal(bearer_token(header, "", &token, &n, &e), -1);
		err_message(&e, LANG_EN, message, sizeof(message));
		err_hint(&e, LANG_EN, hint, sizeof(hint));
		assert_null(strstr(message, "FAKE"));
		assert_null(strstr(hint, "FAKE"));
		assert_null(strstr(e.detail, "FAKE"));
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(takes_the_token_of_a_good_header),
		cmocka_unit_test(tells_each_mistake_apart),
		cmocka_unit_test(shows_no_part_of_the_token),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
