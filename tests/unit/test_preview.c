/* The dialect `preview`. */
#include "imaging_fixture.h"

#include "provider/provider.h"

static struct ledger ledger;
static struct receipt receipt;
static char stages[200];

static void
note_stage(void *self, const char *stage)
{
	size_t len = strlen(stages);

	assert_ptr_equal(self, &ledger);
	(void)snprintf(stages + len, sizeof(stages) - len, "%s ", stage);
}

static struct image_request
request(const char *prompt)
{
	return (struct image_request){
		.prompt = prompt, .n = 1, .seed = -1, .output_compression = -1
	};
}

static int
generate(const struct image_request *rq, int64_t ms, struct image_call *call, struct err *e)
{
	*call = (struct image_call){
		.rq = rq,
		.model = "easel-preview",
		.credential = "",
		.files = fx.fs,
		.deadline = deadline_in_ms(ms),
		.ledger = &ledger,
		.receipt = &receipt,
		.on_stage = note_stage,
		.self = &ledger,
	};
	ledger = (struct ledger){ .us = { 0 } };
	stages[0] = '\0';
	*e = (struct err){ .kind = ERR_NONE };
	return provider_preview.generate(call, e);
}

static void
it_says_what_it_can_do(void **state)
{
	const struct image_caps *c = provider_preview.caps("easel-preview");

	(void)state;
	assert_int_equal(provider_preview.dialect, DIALECT_PREVIEW);
	assert_int_equal(c->keeps, PARAM_BIT(PARAM_N) | PARAM_BIT(PARAM_SIZE) |
					   PARAM_BIT(PARAM_SEED) | PARAM_BIT(PARAM_OUTPUT_FORMAT) |
					   PARAM_BIT(PARAM_OUTPUT_COMPRESSION));
	assert_int_equal(c->n_max, IMAGES_MAX);
	assert_int_equal(c->prompt_max, 32000);
	assert_false(c->b64_default);
	assert_non_null(c->sizes);
}

static void
without_parameters_it_draws_a_square_png(void **state)
{
	struct image_request rq = request("一只可爱的熊猫");
	struct image_call call;
	struct err e;

	(void)state;
	assert_int_equal(generate(&rq, PATIENCE_MS, &call, &e), 0);
	assert_int_equal(call.nimages, 1);
	assert_int_equal(call.images[0].type, PICTURE_PNG);
	assert_int_equal(call.images[0].width, 1024);
	assert_int_equal(call.images[0].height, 1024);
	assert_string_equal(stages, "provider.submit provider.wait ");
	assert_true(ledger.us[LEDGER_PROVIDER] > 0);
	assert_int_equal(call.usage_total, -1);
	assert_null(call.revised_prompt[0]);
}

static void
the_prompt_stands_in_for_a_missing_seed(void **state)
{
	struct image_request rq = request("rose"), other = request("roses");
	struct image_call a, b, c, d;
	struct err e;

	(void)state;
	rq.width = rq.height = other.width = other.height = 64;
	assert_int_equal(generate(&rq, PATIENCE_MS, &a, &e), 0);
	assert_int_equal(generate(&rq, PATIENCE_MS, &b, &e), 0);
	assert_int_equal(generate(&other, PATIENCE_MS, &c, &e), 0);
	rq.seed = 5;
	assert_int_equal(generate(&rq, PATIENCE_MS, &d, &e), 0);
	assert_true(same_content(&a.images[0], &b.images[0]));
	assert_false(same_content(&a.images[0], &c.images[0]));
	assert_false(same_content(&a.images[0], &d.images[0]));
}

static void
n_pictures_come_and_differ(void **state)
{
	struct image_request rq = request("sea");
	struct image_call call;
	struct err e;

	(void)state;
	rq.n = IMAGES_MAX;
	rq.width = 96;
	rq.height = 64;
	rq.output_type = PICTURE_WEBP;
	rq.output_compression = 50;
	assert_int_equal(generate(&rq, PATIENCE_MS, &call, &e), 0);
	assert_int_equal(call.nimages, IMAGES_MAX);
	for (unsigned i = 0; i < IMAGES_MAX; i++) {
		assert_int_equal(call.images[i].type, PICTURE_WEBP);
		assert_int_equal(call.images[i].width, 96);
		assert_int_equal(call.images[i].height, 64);
		for (unsigned j = 0; j < i; j++)
			assert_false(same_content(&call.images[i], &call.images[j]));
	}
}

static void
a_size_out_of_range_is_the_callers_mistake(void **state)
{
	static const uint32_t sizes[][2] = { { 63, 64 }, { 64, 63 }, { 4097, 64 },     { 64, 4097 },
					     { 0, 64 },  { 64, 0 },  { 60000, 60000 }, { 1, 1 } };

	(void)state;
	for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
		struct image_request rq = request("sea");
		struct image_call call;
		struct err e;

		rq.width = sizes[i][0];
		rq.height = sizes[i][1];
		assert_int_equal(generate(&rq, PATIENCE_MS, &call, &e), -1);
		assert_int_equal(e.kind, ERR_VALUE);
		assert_string_equal(e.param, "size");
		assert_string_equal(stages, "");
		assert_int_equal(call.nimages, 0);
	}
}

static void
the_installations_pixel_limit_is_about_the_size(void **state)
{
	struct filestore *all = fx.fs, *few;
	struct image_request rq = request("sea");
	struct image_call call;
	struct err e;

	(void)state;
	assert_int_equal(filestore_open(&few, "file:files", fx.dir, IMAGE_BYTES, 100 * 100, 0, &e),
			 0);
	rq.width = rq.height = 101;
	fx.fs = few;
	assert_int_equal(generate(&rq, PATIENCE_MS, &call, &e), -1);
	fx.fs = all;
	filestore_free(few);
	assert_int_equal(e.kind, ERR_VALUE);
	assert_string_equal(e.param, "size");
	assert_no_children();
}

static void
what_was_drawn_before_the_deadline_is_kept(void **state)
{
	struct image_request rq = request("panda");
	struct image_call call;
	struct err e;

	(void)state;
	rq.n = IMAGES_MAX;
	rq.width = rq.height = 4096;
	assert_int_equal(generate(&rq, 300, &call, &e), -1);
	assert_int_equal(e.kind, ERR_DEADLINE);
	assert_false(e.may_have_been_billed);
	assert_true(call.nimages < IMAGES_MAX);
	for (unsigned i = 0; i < call.nimages; i++) {
		struct buf b = content(&call.images[i]);

		assert_int_equal(b.len, call.images[i].bytes);
		buf_done(&b);
	}
	assert_no_children();
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(it_says_what_it_can_do),
		cmocka_unit_test(without_parameters_it_draws_a_square_png),
		cmocka_unit_test(the_prompt_stands_in_for_a_missing_seed),
		cmocka_unit_test(n_pictures_come_and_differ),
		cmocka_unit_test(a_size_out_of_range_is_the_callers_mistake),
		cmocka_unit_test(the_installations_pixel_limit_is_about_the_size),
		cmocka_unit_test(what_was_drawn_before_the_deadline_is_kept),
	};

	return cmocka_run_group_tests(tests, fixture_setup, fixture_teardown);
}
