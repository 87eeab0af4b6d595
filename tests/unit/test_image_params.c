/* shared/job/image_params: what a form says, as the values that JSON would have. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <jansson.h>
#include <string.h>

#include "job/image_run.h"

#define COUNT(a) (sizeof(a) / sizeof(*(a)))

/* What lies behind the n bytes is nobody's, even where no NUL keeps it away. */
static void
an_empty_text_is_no_number_and_no_boolean(void **state)
{
	static const char *const names[] = {
		"n", "seed", "stream", "partial_images", "output_compression", "guidance"
	};
	json_auto_t *body = json_object();
	struct err e;

	(void)state;
	for (size_t i = 0; i < COUNT(names); i++) {
		const char *behind = !strcmp(names[i], "stream") ? "true" : "7";

		e = (struct err){ 0 };
		assert_int_equal(image_param_from_text(body, names[i], behind, 0, &e), -1);
		assert_int_equal(e.kind, ERR_TYPE);
		assert_string_equal(e.param, names[i]);
		assert_string_equal(e.found, "''");
	}
	assert_int_equal(json_object_size(body), 0);
	assert_int_equal(image_param_from_text(body, "user", "", 0, &e), 0);
	assert_string_equal(json_string_value(json_object_get(body, "user")), "");
}

static void
a_text_has_the_type_of_its_parameter(void **state)
{
	json_auto_t *body = json_object();
	struct err e;

	(void)state;
	assert_int_equal(image_param_from_text(body, "n", "2", 1, &e), 0);
	assert_int_equal(image_param_from_text(body, "stream", "TRUE", 4, &e), 0);
	assert_int_equal(image_param_from_text(body, "guidance", "5.5", 3, &e), 0);
	assert_int_equal(json_integer_value(json_object_get(body, "n")), 2);
	assert_true(json_is_true(json_object_get(body, "stream")));
	assert_true(json_real_value(json_object_get(body, "guidance")) == 5.5);
	assert_int_equal(image_param_from_text(body, "n", "3", 1, &e), -1);
	assert_int_equal(e.kind, ERR_DUPLICATE_KEY);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_empty_text_is_no_number_and_no_boolean),
		cmocka_unit_test(a_text_has_the_type_of_its_parameter),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
