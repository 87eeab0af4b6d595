#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "api/prefer.h"

static void
what_is_preferred_is_read_in_every_spelling(void **state)
{
	static const struct {
		const char *header;
		bool async;
		int64_t wait_s;
	} row[] = {
		{ NULL, false, -1 },
		{ "", false, -1 },
		{ ",,  ,", false, -1 },
		{ "respond-async", true, -1 },
		{ "Respond-Async, wait=10", true, 10 },
		{ "wait=10,respond-async", true, 10 },
		{ "wait = \"7\" , respond-async", true, 7 },
		{ "respond-async; foo=bar, wait=0", true, 0 },
		{ "handling=lenient, respond-async", true, -1 },
		{ "wait=3, wait=9", false, 3 },
		{ "wait=86400", false, 86400 },
		{ "wait=86401", false, PREFER_WAIT_S_MAX },
		{ "wait=99999999999999999999", false, PREFER_WAIT_S_MAX },
		{ "wait=", false, -1 },
		{ "wait=-1", false, -1 },
		{ "wait=1.5", false, -1 },
		{ "wait=soon, wait=2", false, 2 },
		{ "respond-asynchronously", false, -1 },
		{ "return=minimal", false, -1 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(row) / sizeof(row[0]); i++) {
		int64_t wait_s = 77;

		print_message("%s\n", row[i].header ? row[i].header : "(none)");
		assert_int_equal(prefer_read(row[i].header, &wait_s), row[i].async);
		assert_int_equal(wait_s, row[i].wait_s);
	}
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_preferred_is_read_in_every_spelling),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
