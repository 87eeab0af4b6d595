/* shared/job/retry, aside: what may be tried again, when, and with which key. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "job/aside.h"
#include "job/retry.h"

static struct err
failure(enum err_kind kind, int status, bool billed)
{
	struct err e;

	(void)err_set(&e, kind, "%s", "");
	e.upstream.status = status;
	e.may_have_been_billed = billed;
	(void)snprintf(e.upstream.name, sizeof(e.upstream.name), "sim");
	return e;
}

static void
only_what_cannot_have_bought_anything_is_tried_again(void **state)
{
	static const struct {
		enum err_kind kind;
		bool may_pass, elsewhere, by_key;
	} rows[] = {
		{ ERR_UP_RATE, true, true, true },
		{ ERR_UP_DNS, true, true, false },
		{ ERR_UP_CONNECT, true, true, false },
		{ ERR_UP_RESET, true, true, false },
		{ ERR_UP_FAILED, true, true, false },
		{ ERR_UP_QUOTA, false, true, true },
		{ ERR_UP_AUTH, false, true, true },
		{ ERR_UP_CHALLENGE, false, true, false },
		{ ERR_UP_NOT_FOUND, false, true, false },
		{ ERR_UP_ASYNC, false, true, false },
		{ ERR_UP_TLS, false, true, false },
		{ ERR_UP_GARBAGE, false, true, false },
		{ ERR_CONFIG, false, true, false },
		/* the request's own fault, and ours */
		{ ERR_UP_POLICY, false, false, false },
		{ ERR_UP_REJECTED, false, false, false },
		{ ERR_VALUE, false, false, false },
		{ ERR_STORAGE_FULL, false, false, false },
		{ ERR_OVERLOADED, false, false, false },
		{ ERR_DEADLINE, false, false, false },
		{ ERR_INTERNAL, false, false, false },
		{ ERR_IMAGES_INCOMPLETE, false, false, false },
		{ ERR_UP_TRUNCATED, false, false, false },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		struct err e = failure(rows[i].kind, 0, false);

		if (retry_may_pass(&e) != rows[i].may_pass ||
		    retry_elsewhere(&e) != rows[i].elsewhere ||
		    aside_is_reason(&e) != rows[i].by_key)
			fail_msg("%s: may pass %d, elsewhere %d, by key %d", err_code(&e),
				 retry_may_pass(&e), retry_elsewhere(&e), aside_is_reason(&e));
		/* Nothing of all that once it may have been bought. */
		e.may_have_been_billed = true;
		assert_false(retry_may_pass(&e) || retry_elsewhere(&e) || aside_is_reason(&e));
	}
	{
		/* Parameters that are at fault are the caller's; a 409 is not. */
		struct err e = failure(ERR_UP_REJECTED, 409, false);

		e.status = 502;
		assert_true(retry_elsewhere(&e));
	}
}

static void
the_waits_double_and_are_spread(void **state)
{
	static const struct {
		unsigned waits;
		int64_t asked_ms, least_ms, most_ms;
	} rows[] = {
		{ 0, 0, 375, 625 },      { 1, 0, 750, 1250 },
		{ 2, 0, 1500, 2500 },    { 3, 0, 3000, 5000 },
		{ 4, 0, 6000, 10000 },   { 9, 0, 6000, 10000 },
		{ 200, 0, 6000, 10000 }, { 0, 2000, 2000, 2249 },
		{ 0, 100, 375, 625 },    { 0, 86400000, 86400000, 86400249 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		int64_t least = INT64_MAX, most = 0;

		for (uint32_t r = 0; r < 20000; r++) {
			int64_t ms =
				retry_wait_ms(rows[i].waits, rows[i].asked_ms, r * 2654435761U);

			least = ms < least ? ms : least;
			most = ms > most ? ms : most;
		}
		if (least < rows[i].least_ms || most > rows[i].most_ms ||
		    most - least < (rows[i].most_ms - rows[i].least_ms) * 9 / 10)
			fail_msg("row %zu: %lld to %lld ms", i, (long long)least, (long long)most);
	}
}

/* ---- keys left aside ---- */

static const char a[] = "sk-a", b[] = "sk-b";
static const char *const both[] = { a, b };
static const struct model_conf one_model, other_model;

static int
forget(void **state)
{
	(void)state;
	aside_forget();
	return 0;
}

static void
a_key_is_left_aside_as_the_failure_says(void **state)
{
	static const struct {
		enum err_kind kind;
		int status, retry_after_s;
		int64_t ms;
		bool every_model;
	} rows[] = {
		{ ERR_UP_RATE, 429, 0, 60000, false }, { ERR_UP_RATE, 429, 7, 7000, false },
		{ ERR_UP_QUOTA, 429, 0, 60000, true }, { ERR_UP_QUOTA, 402, 90, 90000, true },
		{ ERR_UP_AUTH, 401, 0, 600000, true }, { ERR_UP_AUTH, 403, 0, 600000, false },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		struct err e = failure(rows[i].kind, rows[i].status, false);

		e.retry_after_s = rows[i].retry_after_s;
		assert_int_equal(aside_ms(a, &one_model), 0);
		assert_int_equal(aside_put(a, &one_model, &e), rows[i].ms);
		assert_in_range(aside_ms(a, &one_model), rows[i].ms - 5000, rows[i].ms);
		assert_int_equal(aside_ms(a, &other_model) > 0, rows[i].every_model);
		assert_int_equal(aside_ms(b, &one_model), 0);
		aside_clear(a, &one_model);
		assert_int_equal(aside_ms(a, &one_model), 0);
	}
}

static void
when_all_are_aside_the_error_says_so(void **state)
{
	struct err slow = failure(ERR_UP_RATE, 429, false), no = failure(ERR_UP_AUTH, 401, false),
		   e;
	char text[512];

	(void)state;
	slow.retry_after_s = 30;
	(void)aside_put(a, &one_model, &slow);
	slow.retry_after_s = 12;
	(void)aside_put(b, &one_model, &slow);
	assert_int_equal(aside_error(both, 2, &one_model, &e), -1);
	assert_int_equal(e.kind, ERR_UP_RATE);
	assert_in_range(e.retry_after_s, 8, 12);
	assert_int_equal(aside_probe(both, 2, &one_model), -1); /* one will be ready */

	/* One that waits for its turn counts for more than one that was refused. */
	(void)aside_put(b, &one_model, &no);
	(void)aside_error(both, 2, &one_model, &e);
	assert_int_equal(e.kind, ERR_UP_RATE);
	assert_in_range(e.retry_after_s, 26, 30);

	(void)aside_put(a, &one_model, &no);
	(void)aside_error(both, 2, &one_model, &e);
	assert_int_equal(e.kind, ERR_UP_AUTH);
	assert_int_equal(err_status(&e), 502);
	err_message(&e, LANG_EN, text, sizeof(text));
	assert_non_null(strstr(text, "None of its 2 keys can be used now."));
	/* They were refused this very moment: no need to ask again. */
	assert_int_equal(aside_probe(both, 2, &one_model), -1);
}

static void
the_table_forgets_rather_than_overflows(void **state)
{
	static char keys[300][8];
	struct err no = failure(ERR_UP_AUTH, 401, false);
	int aside = 0;

	(void)state;
	for (int i = 0; i < 300; i++) {
		(void)snprintf(keys[i], sizeof(keys[i]), "k%d", i);
		(void)aside_put(keys[i], &one_model, &no);
		assert_true(aside_ms(keys[i], &one_model) > 0);
	}
	for (int i = 0; i < 300; i++)
		aside += aside_ms(keys[i], &one_model) > 0;
	assert_in_range(aside, 100, 299);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(only_what_cannot_have_bought_anything_is_tried_again),
		cmocka_unit_test(the_waits_double_and_are_spread),
		cmocka_unit_test_setup(a_key_is_left_aside_as_the_failure_says, forget),
		cmocka_unit_test_setup(when_all_are_aside_the_error_says_so, forget),
		cmocka_unit_test_setup(the_table_forgets_rather_than_overflows, forget),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
