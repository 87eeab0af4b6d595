/* NovelAI's driver: pictures made from others, masks, previews, logins, against a server of our own. */
#include "imaging_fixture.h"
#include "png_help.h"

#include <jansson.h>

#include "base/cleanup.h"
#include "base/base64.h"
#include "base/deadline.h"
#include "net/upstream.h"
#include "provider/novelai_login.h"
#include "provider/provider.h"
#include "wire_server.h"

#define TOKEN "pst-fake-0123456789abcdef"

/* A quarter is transparent: the upper left one. */
static unsigned char
quarter(uint32_t x, uint32_t y, int band)
{
	return band < 3 ? (unsigned char)(x + y) : x < 64 && y < 32 ? 0 : 255;
}

static unsigned char
slope(uint32_t x, uint32_t y, int band)
{
	return (unsigned char)(x + y * 2 + (uint32_t)band * 50);
}

/* ---- a provider that says one thing ---- */

struct script {
	struct wire w;
	struct buf answer;
	const char *status, *login; /* login NULL: {"accessToken"} with a number */
	size_t piece;               /* so many bytes at a time */
	atomic_int logins, asked;
	int refuse_first; /* so many requests: 401 */
	char login_seen[256], path[64], token[64];
	json_t *body; /* of the last request */
};

static void
serve(struct wire *w, int fd, int number)
{
	struct script *s = (struct script *)(uintptr_t)w->arg;
	char text[256];

	(void)number;
	while (wire_request(w, fd) == 0) {
		const char *body = strstr(w->last, "\r\n\r\n") + 4, *from;
		size_t piece, whole;

		if (!strncmp(w->last, "POST /user/login ", 17)) {
			int n = atomic_fetch_add(&s->logins, 1);

			(void)snprintf(s->login_seen, sizeof(s->login_seen), "%.200s", body);
			(void)snprintf(text, sizeof(text), "{\"accessToken\":\"eyJ-fake-%d\"}", n);
			if (wire_answer(fd, s->login ? "401 Unauthorized" : "201 Created", "",
					s->login ? s->login : text) < 0)
				return;
			continue;
		}
		(void)snprintf(s->path, sizeof(s->path), "%.*s", (int)strcspn(w->last + 5, " "),
			       w->last + 5);
		from = strstr(w->last, "Authorization: Bearer ") + 22;
		(void)snprintf(s->token, sizeof(s->token), "%.*s", (int)strcspn(from, "\r"), from);
		json_decref(s->body);
		s->body = json_loads(body, 0, NULL);
		if (atomic_fetch_add(&s->asked, 1) < s->refuse_first) {
			if (wire_answer(fd, "401 Unauthorized", "",
					"{\"statusCode\":401,\"message\":\"Invalid "
					"accessToken\"}") < 0)
				return;
			continue;
		}
		(void)snprintf(text, sizeof(text), "HTTP/1.1 %s\r\nContent-Length: %zu\r\n\r\n",
			       s->status ? s->status : "200 OK", s->answer.len);
		if (wire_say(fd, text) < 0)
			return;
		/* With the last byte the test goes on and prepares its next answer. */
		piece = s->piece;
		whole = s->answer.len;
		for (size_t at = 0; at < whole; at += piece) {
			size_t left = whole - at;

			if (wire_write(fd, s->answer.p + at, left < piece ? left : piece) < 0)
				return;
		}
	}
}

static void
script_start(struct script *s)
{
	*s = (struct script){ .answer = BUF_INIT(1 << 20), .piece = 1 << 20 };
	wire_start(&s->w, serve, s);
}

static void
script_stop(struct script *s)
{
	wire_stop(&s->w);
	buf_done(&s->answer);
	json_decref(s->body);
	novelai_login_forget();
}

/* ---- a call ---- */

struct seen {
	struct image_request rq;
	struct provider_conf provider;
	struct image_call call;
	struct receipt receipt;
	struct ledger ledger;
	struct err e;
	unsigned partials, of_image;
	uint32_t partial_width;
};

static void
on_partial(void *self, unsigned image, const struct source *so_far)
{
	struct seen *c = self;

	c->partials++;
	c->of_image = image;
	c->partial_width = so_far->width;
}

static void
seen_done(struct seen *c)
{
	receipt_done(&c->receipt);
}

static void
seen_init(struct seen *c, struct script *s, const char *model)
{
	*c = (struct seen){ .rq = { .prompt = "1girl",
				    .n = 1,
				    .seed = 7,
				    .guidance = -1,
				    .strength = -1,
				    .noise = -1,
				    .output_compression = -1 } };
	c->provider = (struct provider_conf){ .name = (char *)"novelai",
					      .dialect = DIALECT_NOVELAI,
					      .base_url = s->w.url,
					      .proxy = (char *)"" };
	c->call = (struct image_call){ .rq = &c->rq,
				       .provider = &c->provider,
				       .model = model,
				       .credential = TOKEN,
				       .files = fx.fs,
				       .deadline = deadline_in_ms(PATIENCE_MS),
				       .ledger = &c->ledger,
				       .receipt = &c->receipt,
				       .self = c };
}

static int
generate(struct seen *c)
{
	int rc = provider_driver(DIALECT_NOVELAI)->generate(&c->call, &c->e);

	image_call_done(&c->call);
	return rc;
}

/* The answer is JSON with that picture. */
static void
answer_json(struct script *s)
{
	struct buf png = png_make(64, 64, 2, slope);
	char *text = malloc(BASE64_ENCODED(png.len) + 1);

	assert_non_null(text);
	text[base64_encode(text, png.p, png.len)] = '\0';
	buf_clear(&s->answer);
	assert_int_equal(buf_addf(&s->answer,
				  "{\"images\":[{\"image\":\"%s\",\"index\":0,\"seed\":7}]}", text),
			 0);
	free(text);
	buf_done(&png);
}

static const json_t *
parameter(const struct script *s, const char *name)
{
	return json_object_get(json_object_get(s->body, "parameters"), name);
}

static double
number(const struct script *s, const char *name)
{
	const json_t *v = parameter(s, name);

	assert_true(json_is_number(v));
	return json_number_value(v);
}

/* A PNG that was sent. */
static struct pixels
sent(const struct script *s, const char *name)
{
	const char *text = json_string_value(parameter(s, name));
	struct buf b = BUF_INIT(1 << 20);
	struct pixels p;
	size_t n;

	assert_non_null(text);
	n = strlen(text);
	assert_int_equal(n % 4, 0);
	assert_int_equal(buf_room(&b, n + 64), 0);
	(void)base64_decode(b.p, text, n);
	b.len = n / 4 * 3;
	p = png_read(&b);
	buf_done(&b);
	return p;
}

/* ---- pictures from pictures ---- */

static void
a_picture_from_another_has_the_size_it_is_sent_in(void **state)
{
	static const struct {
		uint32_t w, h, ask_w, ask_h, sent_w, sent_h;
	} rows[] = {
		{ 128, 64, 0, 0, 128, 64 },  { 100, 100, 0, 0, 128, 128 },
		{ 30, 200, 0, 0, 64, 192 },  { 128, 64, 64, 128, 64, 128 },
		{ 128, 64, 90, 64, 64, 64 },
	};
	struct script s;

	(void)state;
	script_start(&s);
	answer_json(&s);
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		struct source from = source_made(rows[i].w, rows[i].h, 2, slope);
		AUTO(seen) c = { 0 };
		struct pixels p;

		seen_init(&c, &s, i % 2 ? "nai-diffusion-3" : "nai-diffusion-4-5-full");
		c.rq.sources = &from;
		c.rq.nsources = 1;
		c.rq.width = rows[i].ask_w;
		c.rq.height = rows[i].ask_h;
		if (generate(&c) < 0)
			fail_msg("%s %s %s", err_code(&c.e), c.e.about, c.e.detail);
		assert_int_equal(c.call.nimages, 1);
		assert_string_equal(json_string_value(json_object_get(s.body, "action")),
				    "img2img");
		p = sent(&s, "image");
		assert_int_equal(p.w, rows[i].sent_w);
		assert_int_equal(p.h, rows[i].sent_h);
		assert_int_equal((int)number(&s, "width"), rows[i].sent_w);
		assert_int_equal((int)number(&s, "height"), rows[i].sent_h);
		assert_true(number(&s, "strength") == 0.7 && number(&s, "noise") == 0);
		assert_int_equal((int)number(&s, "extra_noise_seed"), 7);
		assert_true(json_is_true(parameter(&s, "color_correct")));
		assert_null(parameter(&s, "mask"));
		free(p.p);
		source_done(&from);
	}
	script_stop(&s);
}

static void
strength_and_noise_are_kept_within_their_range(void **state)
{
	static const struct {
		double strength, noise, sent_strength, sent_noise;
	} rows[] = { { 0.4, 0.2, 0.4, 0.2 }, { 0, 0, 0.01, 0 }, { 1, 1, 0.99, 0.99 } };
	struct source from = source_made(64, 64, 2, slope);
	struct script s;

	(void)state;
	script_start(&s);
	answer_json(&s);
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		AUTO(seen) c = { 0 };

		seen_init(&c, &s, "nai-diffusion-3");
		c.rq.sources = &from;
		c.rq.nsources = 1;
		c.rq.strength = rows[i].strength;
		c.rq.noise = rows[i].noise;
		c.rq.given = PARAM_BIT(PARAM_STRENGTH) | PARAM_BIT(PARAM_NOISE);
		assert_int_equal(generate(&c), 0);
		assert_true(number(&s, "strength") == rows[i].sent_strength);
		assert_true(number(&s, "noise") == rows[i].sent_noise);
		assert_int_equal(*receipt_of(&c.receipt, PARAM_STRENGTH) != '\0', i > 0);
	}
	source_done(&from);
	script_stop(&s);
}

static void
a_mask_goes_to_the_model_that_fills_masks(void **state)
{
	struct source from = source_made(128, 64, 6, quarter);
	struct script s;
	AUTO(seen) c = { 0 };
	struct pixels p;

	(void)state;
	script_start(&s);
	answer_json(&s);
	seen_init(&c, &s, "nai-v4.5");
	c.rq.sources = c.rq.mask = &from;
	c.rq.nsources = 1;
	assert_int_equal(generate(&c), 0);
	assert_string_equal(json_string_value(json_object_get(s.body, "action")), "infill");
	assert_string_equal(json_string_value(json_object_get(s.body, "model")),
			    "nai-diffusion-4-5-full-inpainting");
	p = sent(&s, "image");
	assert_int_equal(p.bands, 3);
	assert_int_equal(at(&p, 10, 10, 0), 255); /* transparent: white */
	free(p.p);
	p = sent(&s, "mask");
	assert_int_equal(p.w, 128);
	assert_int_equal(p.h, 64);
	assert_int_equal(at(&p, 63, 31, 0), 255);
	assert_int_equal(at(&p, 64, 31, 0), 0);
	assert_int_equal(at(&p, 63, 32, 0), 0);
	free(p.p);
	assert_true(json_is_false(parameter(&s, "add_original_image")));
	assert_true(json_number_value(json_object_get(parameter(&s, "img2img"), "strength")) ==
		    0.7);
	source_done(&from);
	script_stop(&s);
}

static void
a_mask_without_transparency_buys_nothing(void **state)
{
	struct source from = source_made(64, 64, 2, slope);
	struct script s;
	AUTO(seen) c = { 0 };

	(void)state;
	script_start(&s);
	seen_init(&c, &s, "nai-diffusion-3");
	c.rq.sources = c.rq.mask = &from;
	c.rq.nsources = 1;
	assert_int_equal(generate(&c), -1);
	assert_int_equal(c.e.kind, ERR_VALUE);
	assert_string_equal(c.e.param, "mask");
	assert_int_equal(atomic_load(&s.asked), 0);
	source_done(&from);
	script_stop(&s);
}

/* ---- streams ---- */

static void
add_key(struct buf *b, const char *key)
{
	assert_int_equal(buf_addc(b, (char)(0xa0 + strlen(key))), 0);
	assert_int_equal(buf_adds(b, key), 0);
}

/* One frame: {"event_type","step_ix","image"}; the last first when `backwards`. */
static void
add_frame(struct buf *out, const char *event, int step, const void *image, size_t n, bool backwards)
{
	struct buf b = BUF_INIT(1 << 20);

	assert_int_equal(buf_addc(&b, (char)0x83), 0);
	for (int i = 0; i < 3; i++)
		switch (backwards ? 2 - i : i) {
		case 0:
			add_key(&b, "event_type");
			add_key(&b, event);
			break;
		case 1:
			add_key(&b, "step_ix");
			assert_int_equal(buf_addc(&b, (char)step), 0);
			break;
		default:
			add_key(&b, "image");
			assert_int_equal(buf_addc(&b, (char)0xc6), 0);
			add_u32(&b, (uint32_t)n);
			assert_int_equal(buf_add(&b, image, n), 0);
		}
	add_u32(out, (uint32_t)b.len);
	assert_int_equal(buf_add(out, b.p, b.len), 0);
	buf_done(&b);
}

static void
add_failure(struct buf *out)
{
	static const char frame[] = "\0\0\0\x2c\x83\xaa"
				    "event_type\xa5"
				    "error\xa7message\xb0"
				    "Not enough Anlas\xa4"
				    "code\xcd\1\x92";

	add_u32(out, sizeof(frame) - 1 - 4);
	assert_int_equal(buf_add(out, frame + 4, sizeof(frame) - 1 - 4), 0);
}

static void
previews_are_handed_on_and_the_last_picture_is_stored_as_it_came(void **state)
{
	struct buf preview = png_make(16, 24, 2, slope), last = png_make(64, 64, 2, slope);
	struct script s;

	(void)state;
	for (int backwards = 0; backwards < 2; backwards++) {
		script_start(&s);
		for (int step = 0; step < 28; step++)
			add_frame(&s.answer, "intermediate", step, preview.p, preview.len,
				  backwards);
		add_frame(&s.answer, "final", 28, last.p, last.len, backwards);
		for (int want = 0; want <= 3; want++) {
			AUTO(seen) c = { 0 };
			struct buf got;

			s.piece = want == 1 ? 1000 : want == 2 ? 7 : 1 << 20;
			seen_init(&c, &s, "nai-diffusion-4-5-full");
			c.call.on_partial = on_partial;
			c.rq.stream = true;
			c.rq.partial_images = want;
			if (generate(&c) < 0)
				fail_msg("%s %s %s", err_code(&c.e), c.e.about, c.e.detail);
			assert_int_equal(c.partials, want);
			assert_int_equal(c.call.nimages, 1);
			assert_string_equal(s.path, want ? "/ai/generate-image-stream"
							 : "/ai/generate-image");
			if (want) {
				assert_int_equal(c.partial_width, 16);
				assert_string_equal(json_string_value(parameter(&s, "stream")),
						    "msgpack");
			}
			got = content(&c.call.images[0]);
			assert_int_equal(got.len, last.len);
			assert_memory_equal(got.p, last.p, last.len);
			buf_done(&got);
		}
		script_stop(&s);
	}
	buf_done(&preview);
	buf_done(&last);
}

static void
a_stream_that_fails_may_have_been_billed(void **state)
{
	struct buf preview = png_make(16, 24, 2, slope), last = png_make(64, 64, 2, slope);
	static const enum err_kind kinds[] = { ERR_UP_QUOTA, ERR_UP_TRUNCATED, ERR_UP_TRUNCATED,
					       ERR_RESULT_NOT_IMAGE, ERR_UP_GARBAGE };
	unsigned files = each_file(NULL);
	struct script s;

	(void)state;
	for (size_t i = 0; i < sizeof(kinds) / sizeof(*kinds); i++) {
		AUTO(seen) c = { 0 };

		script_start(&s);
		add_frame(&s.answer, "intermediate", 20, i == 1 ? "no picture" : preview.p,
			  i == 1 ? 10 : preview.len, false);
		if (i == 0)
			add_failure(&s.answer);
		if (i == 2) {
			add_frame(&s.answer, "final", 28, last.p, last.len, false);
			s.answer.len -= 5;
		}
		if (i == 3)
			add_frame(&s.answer, "final", 28, last.p, last.len - 20, false);
		if (i == 4)
			assert_int_equal(buf_adds(&s.answer, "<html>not a frame"), 0);
		seen_init(&c, &s, "nai-diffusion-4-5-full");
		c.call.on_partial = on_partial;
		c.rq.stream = true;
		c.rq.partial_images = 1;
		assert_int_equal(generate(&c), -1);
		if (c.e.kind != kinds[i] && !(i == 4 && c.e.kind == ERR_UP_TOO_LARGE))
			fail_msg("row %zu: %s %s", i, err_code(&c.e), c.e.about);
		assert_true(c.e.may_have_been_billed);
		assert_string_equal(c.e.upstream.name, "novelai");
		assert_int_equal(c.partials, i == 1 ? 0 : 1);
		assert_int_equal(each_file(NULL), files);
		script_stop(&s);
	}
	buf_done(&preview);
	buf_done(&last);
}

/* ---- credentials ---- */

static void
a_token_is_trimmed(void **state)
{
	struct script s;
	AUTO(seen) c = { 0 };

	(void)state;
	script_start(&s);
	answer_json(&s);
	seen_init(&c, &s, "nai-diffusion-3");
	c.call.credential = "  " TOKEN "\r\n";
	assert_int_equal(generate(&c), 0);
	assert_string_equal(s.token, TOKEN);
	assert_int_equal(atomic_load(&s.logins), 0);
	script_stop(&s);
}

static void
a_given_token_that_is_refused_is_refused(void **state)
{
	struct script s;
	AUTO(seen) c = { 0 };

	(void)state;
	script_start(&s);
	s.refuse_first = 9;
	seen_init(&c, &s, "nai-diffusion-3");
	assert_int_equal(generate(&c), -1);
	assert_int_equal(c.e.kind, ERR_UP_AUTH);
	assert_int_equal(atomic_load(&s.asked), 1);
	script_stop(&s);
}

static void
each_account_has_a_login_of_its_own(void **state)
{
	static const char *const rows[][2] = { { "user@example.com", "password123" },
					       { "user@example.com", "abcde" },
					       { "user@example.com", "password123" },
					       { "xxxx@yyyy.zzz", "hogehero" } };
	static const int logins[] = { 1, 2, 2, 3 };
	static const char *const tokens[] = { "eyJ-fake-0", "eyJ-fake-1", "eyJ-fake-0",
					      "eyJ-fake-2" };
	struct script s;

	(void)state;
	script_start(&s);
	answer_json(&s);
	for (size_t i = 0; i < 4; i++) {
		AUTO(seen) c = { 0 };

		seen_init(&c, &s, "nai-diffusion-3");
		c.call.credential = rows[i][0];
		c.call.password = rows[i][1];
		assert_int_equal(generate(&c), 0);
		assert_int_equal(atomic_load(&s.logins), logins[i]);
		assert_string_equal(s.token, tokens[i]);
	}
	assert_string_equal(s.login_seen,
			    "{\"key\":\"vtQmbCKY3JMbibT54ctxmAaAL-nZOK5BLVMSmF4M75yasKIK"
			    "KPconLnx_L0ybh3P\"}");
	script_stop(&s);
}

static void
a_cached_login_that_is_refused_is_renewed_once(void **state)
{
	struct script s;

	(void)state;
	script_start(&s);
	answer_json(&s);
	for (int i = 0; i < 3; i++) {
		AUTO(seen) c = { 0 };

		seen_init(&c, &s, "nai-diffusion-3");
		c.call.credential = "user@example.com";
		c.call.password = "password123";
		if (i == 1)
			s.refuse_first = atomic_load(&s.asked) + 1;
		if (i == 2)
			s.refuse_first = 99;
		assert_int_equal(generate(&c), i == 2 ? -1 : 0);
		assert_int_equal(atomic_load(&s.logins), i + 1);
	}
	assert_int_equal(atomic_load(&s.asked), 5);
	script_stop(&s);
}

static void
more_accounts_than_there_is_room_for_push_out_the_oldest(void **state)
{
	struct script s;

	(void)state;
	script_start(&s);
	answer_json(&s);
	for (int i = 0; i <= NOVELAI_ACCOUNTS; i++) {
		char email[32];
		AUTO(seen) c = { 0 };

		(void)snprintf(email, sizeof(email), "user%d@example.com",
			       i == NOVELAI_ACCOUNTS ? 0
			       : i == 0              ? 9999
						     : i);
		seen_init(&c, &s, "nai-diffusion-3");
		c.call.credential = email;
		c.call.password = "password123";
		assert_int_equal(generate(&c), 0);
	}
	assert_int_equal(atomic_load(&s.logins), NOVELAI_ACCOUNTS + 1);
	script_stop(&s);
}

static void
what_a_refused_login_said_is_not_quoted(void **state)
{
	struct script s;

	(void)state;
	script_start(&s);
	s.login = "{\"statusCode\":401,\"message\":\"no: user@example.com hunter2-secret\"}";
	for (int i = 0; i < 3; i++) {
		AUTO(seen) c = { 0 };

		seen_init(&c, &s, "nai-diffusion-3");
		c.call.credential = "user@example.com";
		c.call.password = "hunter2-secret";
		assert_int_equal(generate(&c), -1);
		assert_int_equal(c.e.kind, ERR_UP_AUTH);
		assert_string_equal(c.e.upstream.message, "");
		assert_null(strstr(c.e.about, "hunter2"));
		assert_null(strstr(c.e.detail, "hunter2"));
		assert_false(c.e.may_have_been_billed);
		assert_int_equal(atomic_load(&s.logins), 1);
	}
	script_stop(&s);
}

static int
setup(void **state)
{
	struct err e;

	return fixture_setup(state) < 0 || upstream_init(&e) < 0 ? -1 : 0;
}

static int
teardown(void **state)
{
	upstream_shutdown();
	return fixture_teardown(state);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_picture_from_another_has_the_size_it_is_sent_in),
		cmocka_unit_test(strength_and_noise_are_kept_within_their_range),
		cmocka_unit_test(a_mask_goes_to_the_model_that_fills_masks),
		cmocka_unit_test(a_mask_without_transparency_buys_nothing),
		cmocka_unit_test(previews_are_handed_on_and_the_last_picture_is_stored_as_it_came),
		cmocka_unit_test(a_stream_that_fails_may_have_been_billed),
		cmocka_unit_test(a_token_is_trimmed),
		cmocka_unit_test(a_given_token_that_is_refused_is_refused),
		cmocka_unit_test(each_account_has_a_login_of_its_own),
		cmocka_unit_test(a_cached_login_that_is_refused_is_renewed_once),
		cmocka_unit_test(more_accounts_than_there_is_room_for_push_out_the_oldest),
		cmocka_unit_test(what_a_refused_login_said_is_not_quoted),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
