/* NovelAI: access keys, models, samplers, sizes, and what is asked for. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <jansson.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "provider/novelai_body.h"
#include "provider/novelai_error.h"
#include "provider/novelai_key.h"
#include "provider/novelai_model.h"

/* ---- access keys ---- */

/* The first is public, from another client's tests; libsodium and libargon2 agreed on the others. */
static void
access_keys_are_those_of_the_service(void **state)
{
	static const struct {
		const char *email, *password, *key;
	} rows[] = {
		{ "xxxx@yyyy.zzz", "hogehero",
		  "vtQmbCKY3JMbibT54ctxmAaAL-nZOK5BLVMSmF4M75yasKIKKPconLnx_L0ybh3P" },
		{ "user@example.com", "password123",
		  "MJHRm_FkFBi8S-Ld8VFwX9IxrgsfiyNZBj_-KwnVag6arJ_oofQpBIho43MlnAcW" },
		{ "User@Example.com", "password123",
		  "Pbags7huaY4289kx2YNpiNYDJJqM-tRSRsNs8aZj1PBRGoebvNPSTnvpzydrNH76" },
		{ "user@example.com", "abcde",
		  "2dQ25xkecYLDdcMYC8Zvlxcn6YMPvT_3abCFhrGYvUp8kG67yy6xZq9efiexEP9I" },
		/* the sixth character has two bytes */
		{ "user@example.com", "Passw\xc3\xb6rd-\xe6\x97\xa5\xe6\x9c\xac\xe8\xaa\x9e",
		  "_HBQMAlSy53yQvo_KWpv8cNRq-nccGqJlO3wjOHPjeetJsIhvAdKIBXNZ5fZbh1q" },
	};
	char key[NOVELAI_KEY];
	struct err e;

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		assert_int_equal(novelai_key(rows[i].email, rows[i].password, key, &e), 0);
		assert_string_equal(key, rows[i].key);
	}
}

static void
a_password_that_breaks_off_in_a_character_still_has_a_key(void **state)
{
	/* An emoji as the sixth character is half within; what is no UTF-8 counts in bytes. */
	static const char *const passwords[] = { "",
						 "a",
						 "abcde\xf0\x9f\x90\xbc-panda",
						 "\xf0\x9f\x90\xbc",
						 "abc\xe6\x97",
						 "\xff\xfe\xfd" };
	char keys[6][NOVELAI_KEY];
	struct err e;

	(void)state;
	for (size_t i = 0; i < 6; i++) {
		assert_int_equal(novelai_key("a@b.c", passwords[i], keys[i], &e), 0);
		assert_int_equal(strlen(keys[i]), 64);
		assert_int_equal(strspn(keys[i], "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvw"
						 "xyz0123456789-_"),
				 64);
		for (size_t k = 0; k < i; k++)
			assert_string_not_equal(keys[i], keys[k]);
	}
}

static void
addresses_are_trimmed_and_folded(void **state)
{
	static const struct {
		const char *typed, *folded, *verbatim;
		bool capitals;
	} rows[] = {
		{ "user@example.com", "user@example.com", "user@example.com", false },
		{ " User@Example.COM\r\n", "user@example.com", "User@Example.COM", true },
		{ "\xc3\x84@x.de", "\xc3\x84@x.de", "\xc3\x84@x.de", false },
		{ "  ", "", "", false },
	};
	char out[NOVELAI_EMAIL];

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		assert_int_equal(novelai_email(rows[i].typed, true, out), rows[i].capitals);
		assert_string_equal(out, rows[i].folded);
		assert_int_equal(novelai_email(rows[i].typed, false, out), rows[i].capitals);
		assert_string_equal(out, rows[i].verbatim);
	}
}

/* ---- models, samplers, sizes ---- */

static void
names_lead_to_models(void **state)
{
	static const struct {
		const char *name, *id, *row, *inpaint;
		bool v4;
		double scale;
		int uc_none;
	} rows[] = {
		{ "nai-diffusion-3", "nai-diffusion-3", "nai-diffusion-3",
		  "nai-diffusion-3-inpainting", false, 5, 3 },
		{ "nai-v3", "nai-diffusion-3", "nai-diffusion-3", "nai-diffusion-3-inpainting",
		  false, 5, 3 },
		{ "nai-diffusion-3-furry", "nai-diffusion-furry-3", "nai-diffusion-furry-3",
		  "nai-diffusion-furry-3-inpainting", false, 5, 3 },
		{ "nai-diffusion-4-curated-preview", "nai-diffusion-4-curated-preview",
		  "nai-diffusion-4-curated", "nai-diffusion-4-curated-inpainting", true, 5.5, 2 },
		{ "nai-v4-full", "nai-diffusion-4-full", "nai-diffusion-4-full",
		  "nai-diffusion-4-full-inpainting", true, 5.5, 2 },
		{ "nai-diffusion-4-5-curated", "nai-diffusion-4-5-curated",
		  "nai-diffusion-4-5-curated", "nai-diffusion-4-5-curated-inpainting", true, 5, 3 },
		{ "NAI-v4.5", "nai-diffusion-4-5-full", "nai-diffusion-4-5-full",
		  "nai-diffusion-4-5-full-inpainting", true, 5, 4 },
		{ "nai-diffusion-9", "nai-diffusion-9", "", "nai-diffusion-4-5-full-inpainting",
		  true, 5, 4 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		const struct novelai_model *m = novelai_model(rows[i].name);

		assert_string_equal(novelai_model_id(rows[i].name), rows[i].id);
		assert_string_equal(m->id, rows[i].row);
		assert_string_equal(m->inpaint, rows[i].inpaint);
		assert_int_equal(m->v4, rows[i].v4);
		assert_true(m->scale == rows[i].scale);
		assert_int_equal(m->uc_none, rows[i].uc_none);
		assert_true(novelai_caps(rows[i].name)->mask);
	}
	assert_non_null(novelai_caps_row(1));
	assert_null(novelai_caps_row(2));
}

static void
samplers_have_their_aliases_and_models(void **state)
{
	static const struct {
		const char *name, *v3, *v4, *schedule;
	} rows[] = {
		{ NULL, "k_euler_ancestral", "k_euler_ancestral", "karras" },
		{ "", "k_euler_ancestral", "k_euler_ancestral", "karras" },
		{ "k_euler_a", "k_euler_ancestral", "k_euler_ancestral", "karras" },
		{ "Euler_A", "k_euler_ancestral", "k_euler_ancestral", "karras" },
		{ "euler", "k_euler", "k_euler", "karras" },
		{ "k_dpmpp_2m_sde", "k_dpmpp_2m_sde", "k_dpmpp_2m_sde", "karras" },
		{ "dpmpp_sde", "k_dpmpp_sde", "k_dpmpp_sde", "karras" },
		{ "ddim", "ddim_v3", NULL, NULL },
		{ "ddim_v3", "ddim_v3", NULL, NULL },
		{ "k_dpm_2", "k_dpm_2", NULL, "exponential" },
		{ "nai_smea_dyn", "k_euler_ancestral", NULL, "karras" },
		{ "plms", NULL, NULL, NULL },
		{ "k_", NULL, NULL, NULL },
	};
	const struct novelai_model *v3 = novelai_model("nai-diffusion-3");
	const struct novelai_model *v4 = novelai_model("nai-diffusion-4-full");
	char names[240];

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		const struct novelai_sampler *a = novelai_sampler(v3, rows[i].name);
		const struct novelai_sampler *b = novelai_sampler(v4, rows[i].name);

		assert_int_equal(a != NULL, rows[i].v3 != NULL);
		assert_int_equal(b != NULL, rows[i].v4 != NULL);
		if (a)
			assert_string_equal(a->name, rows[i].v3);
		if (a && rows[i].schedule)
			assert_string_equal(a->schedule, rows[i].schedule);
		else if (a)
			assert_null(a->schedule);
		if (b)
			assert_string_equal(b->name, rows[i].v4);
	}
	assert_true(novelai_sampler(v3, "nai_smea_dyn")->smea_dyn);
	assert_false(novelai_sampler(v3, "nai_smea")->smea_dyn);
	novelai_sampler_names(v4, names, sizeof(names));
	assert_string_equal(names, "k_euler_ancestral, k_euler, k_dpmpp_2s_ancestral, k_dpmpp_2m, "
				   "k_dpmpp_2m_sde, k_dpmpp_sde");
	novelai_sampler_names(v3, names, 20); /* cut, not beyond its end */
	assert_int_equal(strlen(names), 19);
}

static void
sizes_become_multiples_of_64_within_the_limit(void **state)
{
	static const struct {
		uint32_t w, h, pixels, out_w, out_h;
	} rows[] = {
		{ 832, 1216, NOVELAI_PIXELS, 832, 1216 },
		{ 1, 1, NOVELAI_PIXELS, 64, 64 },
		{ 95, 96, NOVELAI_PIXELS, 64, 128 },
		{ 1000, 700, NOVELAI_PIXELS, 1024, 704 },
		{ 1024, 3072, NOVELAI_PIXELS, 1024, 3072 },
		{ 1024, 3136, NOVELAI_PIXELS, 1024, 3072 },
		{ 8192, 8192, NOVELAI_PIXELS, 1728, 1728 },
		{ 16384, 64, NOVELAI_PIXELS, 4096, 64 },
		{ 1, 16384, NOVELAI_PIXELS, 64, 4096 },
		{ 1024, 1024, NOVELAI_PIXELS_FREE, 1024, 1024 },
		{ 1088, 1024, NOVELAI_PIXELS_FREE, 1024, 1024 },
		{ 3000, 2000, NOVELAI_PIXELS_FREE, 1216, 832 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		uint32_t w = rows[i].w, h = rows[i].h;
		bool changed = novelai_size(&w, &h, rows[i].pixels);

		if (w != rows[i].out_w || h != rows[i].out_h)
			fail_msg("%ux%u became %ux%u", rows[i].w, rows[i].h, w, h);
		assert_int_equal(changed, w != rows[i].w || h != rows[i].h);
	}
	for (uint32_t w = 1; w <= 16384; w = w * 3 / 2 + 1)
		for (uint32_t h = 1; h <= 16384; h = h * 3 / 2 + 1) {
			uint32_t a = w, b = h;

			(void)novelai_size(&a, &b, NOVELAI_PIXELS);
			assert_true(a >= 64 && b >= 64 && a % 64 == 0 && b % 64 == 0);
			assert_true(a <= NOVELAI_SIDE && b <= NOVELAI_SIDE &&
				    a * b <= NOVELAI_PIXELS);
			assert_false(novelai_size(&a, &b, NOVELAI_PIXELS));
		}
}

static void
ratios_and_names_have_sizes(void **state)
{
	static const struct {
		const char *text;
		uint32_t w, h; /* 0: it is none */
	} rows[] = {
		{ "2:3", 832, 1216 },
		{ "3:2", 1216, 832 },
		{ "1:1", 1024, 1024 },
		{ "16:9", 1344, 768 },
		{ "1.5:1", 1216, 832 },
		{ "portrait", 832, 1216 },
		{ "Landscape", 1216, 832 },
		{ "large_square", 1472, 1472 },
		{ "wallpaper_portrait", 1088, 1920 },
		{ "small_landscape", 768, 512 },
		{ "", 0, 0 },
		{ "wide", 0, 0 },
		{ "2", 0, 0 },
		{ "2:", 0, 0 },
		{ "2:3x", 0, 0 },
		{ "0:3", 0, 0 },
		{ "17:1", 0, 0 },
		{ "-2:-3", 0, 0 },
		{ "nan:1", 0, 0 },
		{ "1e999:1", 0, 0 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		uint32_t w = 0, h = 0;

		assert_int_equal(novelai_ratio(rows[i].text, &w, &h), rows[i].w != 0);
		if (rows[i].w && (w != rows[i].w || h != rows[i].h))
			fail_msg("%s became %ux%u", rows[i].text, w, h);
	}
}

/* ---- bodies ---- */

struct wanted {
	struct image_request rq;
	struct receipt receipt;
	struct image_call call;
	struct novelai_wish wish;
};

static void
wanted_done(struct wanted *w)
{
	receipt_done(&w->receipt);
}

static void
wanted_init(struct wanted *w, const char *model)
{
	wanted_done(w);
	*w = (struct wanted){ .rq = { .prompt = "1girl, cat ears",
				      .negative_prompt = "lowres",
				      .n = 1,
				      .seed = 7,
				      .guidance = -1,
				      .strength = -1,
				      .noise = -1 } };
	w->call = (struct image_call){ .rq = &w->rq, .model = model, .receipt = &w->receipt };
}

static json_t *
body_of(struct wanted *w, unsigned number)
{
	struct err e;
	json_t *o;
	AUTO_FREE char *text = NULL;

	assert_int_equal(novelai_wish_read(&w->call, &w->wish, &e), 0);
	text = novelai_body(&w->call, &w->wish, number, &e);
	assert_non_null(text);
	o = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
	assert_non_null(o);
	return o;
}

static void
assert_json(json_t *got, const char *expected)
{
	json_auto_t *want = json_loads(expected, 0, NULL);
	AUTO_FREE char *text = json_dumps(got, JSON_SORT_KEYS);

	assert_non_null(want);
	if (!json_equal(got, want)) {
		AUTO_FREE char *other = json_dumps(want, JSON_SORT_KEYS);

		fail_msg("got  %s\nwant %s", text, other);
	}
	json_decref(got);
}

#define COMMON                                                                              \
	"\"params_version\":3,\"width\":832,\"height\":1216,\"steps\":28,\"seed\":7,"       \
	"\"n_samples\":1,\"dynamic_thresholding\":false,\"controlnet_strength\":1,"         \
	"\"legacy\":false,\"cfg_rescale\":0.0,\"legacy_v3_extend\":false,"                  \
	"\"skip_cfg_above_sigma\":null,\"deliberate_euler_ancestral_bug\":false,"           \
	"\"prefer_brownian\":true,\"image_format\":\"png\",\"negative_prompt\":\"lowres\"," \
	"\"noise_schedule\":\"karras\",\"sampler\":\"k_euler_ancestral\""

static void
a_body_of_v3_says_everything(void **state)
{
	AUTO(wanted) w = { 0 };

	(void)state;
	wanted_init(&w, "nai-v3");
	assert_json(body_of(&w, 0),
		    "{\"input\":\"1girl, cat ears\",\"model\":\"nai-diffusion-3\",\"action\":"
		    "\"generate\",\"parameters\":{" COMMON
		    ",\"scale\":5.0,\"ucPreset\":3,\"qualityToggle\":false,\"sm\":false,"
		    "\"sm_dyn\":false,\"add_original_image\":true,"
		    "\"reference_image_multiple\":[],\"reference_information_extracted_multiple\":["
		    "]"
		    ",\"reference_strength_multiple\":[]}}");
}

static void
a_body_of_v4_has_its_prompts_as_objects_too(void **state)
{
	AUTO(wanted) w = { 0 };

	(void)state;
	wanted_init(&w, "nai-diffusion-4-full");
	w.rq.quality = "high";
	assert_json(
		body_of(&w, 0),
		"{\"input\":\"1girl, cat ears, no text, best quality, very aesthetic, absurdres\","
		"\"model\":\"nai-diffusion-4-full\",\"action\":\"generate\",\"parameters\":{" COMMON
		",\"scale\":5.5,\"ucPreset\":2,\"qualityToggle\":true,\"autoSmea\":false,"
		"\"use_coords\":false,\"legacy_uc\":false,\"add_original_image\":true,"
		"\"normalize_reference_strength_multiple\":true,\"inpaintImg2ImgStrength\":1.0,"
		"\"characterPrompts\":[],\"v4_prompt\":{\"caption\":{\"base_caption\":"
		"\"1girl, cat ears, no text, best quality, very aesthetic, absurdres\","
		"\"char_captions\":[]},\"use_coords\":false,\"use_order\":true},"
		"\"v4_negative_prompt\":{\"caption\":{\"base_caption\":\"lowres\","
		"\"char_captions\":[]},\"legacy_uc\":false}}}");
	assert_string_equal(receipt_of(&w.receipt, PARAM_QUALITY), "→quality tags");
}

static json_t *
parameter(json_t *body, const char *name)
{
	return json_object_get(json_object_get(body, "parameters"), name);
}

static void
values_are_brought_into_range(void **state)
{
	static const struct {
		int64_t seed, sent_seed;
		int steps, sent_steps;
		double guidance, sent_scale;
	} rows[] = {
		{ 0, 1, 0, 28, -1, 5 },
		{ 1, 1, 1, 1, 0, 0 },
		{ 4294967295, 4294967295, 50, 50, 10, 10 },
		{ 4294967296, 1, 51, 50, 11, 5.5 },
		{ INT64_MAX, 4294967295, 1000, 50, 100, 10 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		AUTO(wanted) w = { 0 };
		json_t *o;

		wanted_init(&w, "nai-diffusion-3");
		w.rq.seed = rows[i].seed;
		w.rq.steps = rows[i].steps;
		w.rq.guidance = rows[i].guidance;
		o = body_of(&w, 0);
		assert_int_equal(json_integer_value(parameter(o, "seed")), rows[i].sent_seed);
		assert_int_equal(json_integer_value(parameter(o, "steps")), rows[i].sent_steps);
		assert_true(json_number_value(parameter(o, "scale")) == rows[i].sent_scale);
		assert_int_equal(*receipt_of(&w.receipt, PARAM_STEPS) != '\0', rows[i].steps > 50);
		assert_int_equal(*receipt_of(&w.receipt, PARAM_GUIDANCE) != '\0',
				 rows[i].guidance > 10);
		json_decref(o);
	}
}

static void
each_picture_has_a_seed_of_its_own(void **state)
{
	AUTO(wanted) w = { 0 };

	(void)state;
	wanted_init(&w, "nai-diffusion-3");
	w.rq.n = 3;
	w.rq.seed = 4294967294;
	for (unsigned i = 0; i < 3; i++) {
		static const int64_t seeds[] = { 4294967294, 4294967295, 1 };
		json_t *o = body_of(&w, i);

		assert_int_equal(json_integer_value(parameter(o, "seed")), seeds[i]);
		json_decref(o);
	}
	assert_string_equal(receipt_of(&w.receipt, PARAM_N), "=3 requests");
}

static void
smea_is_only_of_v3(void **state)
{
	AUTO(wanted) w = { 0 };
	struct err e;
	json_t *o;

	(void)state;
	wanted_init(&w, "nai-diffusion-3");
	w.rq.sampler = "nai_smea";
	o = body_of(&w, 0);
	assert_true(json_is_true(parameter(o, "sm")) && json_is_false(parameter(o, "sm_dyn")));
	assert_string_equal(receipt_of(&w.receipt, PARAM_SAMPLER), "=k_euler_ancestral with SMEA");
	json_decref(o);
	wanted_init(&w, "nai-diffusion-4-full");
	w.rq.sampler = "nai_smea";
	assert_int_equal(novelai_wish_read(&w.call, &w.wish, &e), -1);
	assert_int_equal(e.kind, ERR_VALUE);
	assert_string_equal(e.param, "sampler");
}

static void
a_prompt_of_any_text_stays_one_string(void **state)
{
	AUTO(wanted) w = { 0 };
	json_t *o;

	(void)state;
	wanted_init(&w, "nai-diffusion-4-full");
	w.rq.prompt = "\"}},\n\\ 猫 {{{best}}} \x01";
	w.rq.negative_prompt = NULL;
	o = body_of(&w, 0);
	assert_string_equal(json_string_value(json_object_get(o, "input")), w.rq.prompt);
	assert_string_equal(json_string_value(parameter(o, "negative_prompt")), "");
	json_decref(o);
}

/* ---- errors ---- */

#ifdef EASEL_SANITIZED
#define STACK_BYTES (1 << 20)
#else
#define STACK_BYTES (64 << 10) /* a quarter of a request's */
#endif

static void
refusals_are_told_apart(void **state)
{
	static const struct {
		int status;
		const char *body;
		enum err_kind kind;
		int retry_after_s;
	} rows[] = {
		{ 400,
		  "{\"statusCode\":400,\"message\":\"Please refresh NovelAI.net. If using a "
		  "third-party tool, update to the image URL.\"}",
		  ERR_UP_MOVED, 0 },
		{ 404, "{\"message\":\"we announced the deprecation of api.novelai.net\"}",
		  ERR_UP_MOVED, 0 },
		{ 404, "{\"message\":\"Cannot POST /x\"}", ERR_UP_NOT_FOUND, 0 },
		{ 400, "{\"message\":\"model x doesn't exist\"}PK\3\4\1\2", ERR_UP_NOT_FOUND, 0 },
		{ 400, "{\"message\":\"A validation error occurred.\"}", ERR_UP_REJECTED, 0 },
		{ 401, "{\"message\":\"Invalid accessToken\"}", ERR_UP_AUTH, 0 },
		{ 402, "{\"message\":\"Not enough Anlas\"}", ERR_UP_QUOTA, 0 },
		{ 409, "", ERR_UP_RATE, 3 },
		{ 429, "{\"message\":\"Concurrent generation is locked\"}", ERR_UP_RATE, 3 },
		{ 500, "", ERR_UP_FAILED, 0 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		struct upstream_head head = { .status = rows[i].status };
		struct upstream_failure f = { "novelai", "pst-fake-token-000", &head };
		struct err e;

		assert_int_equal(novelai_error(&f, rows[i].body, strlen(rows[i].body), &e), -1);
		assert_int_equal(e.kind, rows[i].kind);
		assert_int_equal(e.retry_after_s, rows[i].retry_after_s);
		assert_int_equal(e.may_have_been_billed, rows[i].status >= 500);
		assert_null(strstr(e.upstream.message, "PK"));
	}
}

static void *
read_deep(void *deep)
{
	struct upstream_head head = { .status = 400 };
	struct upstream_failure f = { "novelai", "pst-fake-token-000", &head };
	struct err e;

	(void)novelai_error(&f, deep, strlen(deep), &e);
	return e.kind == ERR_UP_REJECTED ? deep : NULL;
}

static void
a_deep_refusal_needs_no_deep_stack(void **state)
{
	char deep[2001] = "";
	pthread_attr_t attr;
	pthread_t t;
	void *read = NULL;

	(void)state;
	memset(deep, '[', sizeof(deep) - 1);
	assert_int_equal(pthread_attr_init(&attr), 0);
	assert_int_equal(pthread_attr_setstacksize(&attr, STACK_BYTES), 0);
	assert_int_equal(pthread_create(&t, &attr, read_deep, deep), 0);
	assert_int_equal(pthread_join(t, &read), 0);
	assert_ptr_equal(read, deep);
	(void)pthread_attr_destroy(&attr);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(access_keys_are_those_of_the_service),
		cmocka_unit_test(a_password_that_breaks_off_in_a_character_still_has_a_key),
		cmocka_unit_test(addresses_are_trimmed_and_folded),
		cmocka_unit_test(names_lead_to_models),
		cmocka_unit_test(samplers_have_their_aliases_and_models),
		cmocka_unit_test(sizes_become_multiples_of_64_within_the_limit),
		cmocka_unit_test(ratios_and_names_have_sizes),
		cmocka_unit_test(a_body_of_v3_says_everything),
		cmocka_unit_test(a_body_of_v4_has_its_prompts_as_objects_too),
		cmocka_unit_test(values_are_brought_into_range),
		cmocka_unit_test(each_picture_has_a_seed_of_its_own),
		cmocka_unit_test(smea_is_only_of_v3),
		cmocka_unit_test(a_prompt_of_any_text_stays_one_string),
		cmocka_unit_test(refusals_are_told_apart),
		cmocka_unit_test(a_deep_refusal_needs_no_deep_stack),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
