#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <jansson.h>
#include <string.h>

#include "base/base64.h"
#include "base/cleanup.h"
#include "net/upstream.h"
#include "provider/openai_answer.h"
#include "provider/provider.h"
#include "provider/upstream_said.h"
#include "state_folder.h"
#include "wire_server.h"

#define KEY "sk-fake-0123456789abcdef"

/* ---- pictures ---- */

#define PICTURE_BYTES 3000

/* As much of a PNG as anybody here reads; each `seed` gives another. */
static void
picture_make(unsigned char p[PICTURE_BYTES], unsigned seed)
{
	static const unsigned char start[] = { 0x89, 'P', 'N', 'G', '\r', '\n', 0x1a, '\n', 0, 0,
					       0,    13,  'I', 'H', 'D',  'R',  0,    0,    2, 0,
					       0,    0,   3,   0,   8,    2,    0,    0,    0 };
	static const unsigned char end[] = {
		0, 0, 0, 0, 'I', 'E', 'N', 'D', 0xae, 0x42, 0x60, 0x82
	};
	size_t data = PICTURE_BYTES - 33 - sizeof(end) - 12;

	for (size_t i = 0; i < PICTURE_BYTES; i++)
		p[i] = (unsigned char)(seed + i * 7 + i / 255);
	memcpy(p, start, sizeof(start));
	p[33] = p[34] = 0;
	p[35] = (unsigned char)(data >> 8);
	p[36] = (unsigned char)data;
	memcpy(p + 37, "IDAT", 4);
	memcpy(p + PICTURE_BYTES - sizeof(end), end, sizeof(end));
}

static const char *
picture_text(unsigned seed)
{
	static char text[4][BASE64_ENCODED(PICTURE_BYTES) + 1];
	unsigned char p[PICTURE_BYTES];

	picture_make(p, seed);
	text[seed % 4][base64_encode(text[seed % 4], p, sizeof(p))] = '\0';
	return text[seed % 4];
}

/* ---- a provider that answers from a script ---- */

#define ANSWERS 10

struct script {
	char *answers[ANSWERS]; /* whole answers, in order; NULL: closes without one */
	unsigned n;
	bool close; /* after each */
	struct wire w;
	char base_url[96];
	char *requests[ANSWERS]; /* what was sent */
};

static void
serve(struct wire *w, int fd, int number)
{
	struct script *s = (struct script *)(uintptr_t)w->arg;

	(void)number;
	while (wire_request(w, fd) == 0) {
		int i = atomic_load(&w->requests) - 1;

		if (i < ANSWERS)
			s->requests[i] = strdup(w->last);
		if (i >= ANSWERS || !s->answers[i] || wire_say(fd, s->answers[i]) < 0 || s->close)
			return;
	}
}

static void script_add(struct script *s, const char *status, const char *type, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));

static void
script_add(struct script *s, const char *status, const char *type, const char *fmt, ...)
{
	char *body = NULL;
	va_list ap;

	va_start(ap, fmt);
	assert_true(vasprintf(&body, fmt, ap) >= 0);
	va_end(ap);
	assert_true(asprintf(&s->answers[s->n++],
			     "HTTP/1.1 %s\r\nContent-Type: %s\r\nx-request-id: req_up\r\n"
			     "Content-Length: %zu\r\n\r\n%s",
			     status, type, strlen(body), body) > 0);
	free(body);
}

static void
script_start(struct script *s)
{
	wire_start(&s->w, serve, s);
	(void)snprintf(s->base_url, sizeof(s->base_url), "%s/v1", s->w.url);
}

static void
script_done(struct script *s)
{
	if (s->w.url[0])
		wire_stop(&s->w);
	for (int i = 0; i < ANSWERS; i++) {
		free(s->answers[i]);
		free(s->requests[i]);
	}
}

/* ---- a call ---- */

struct attempt {
	struct image_request rq;
	struct provider_conf provider;
	struct ledger ledger;
	struct receipt receipt;
	struct image_call call;
	struct err e;
	char stages[128];
	int rc;
};

static void
note_stage(void *self, const char *stage)
{
	struct attempt *t = self;
	size_t n = strlen(t->stages);

	(void)snprintf(t->stages + n, sizeof(t->stages) - n, "%s ", stage);
}

static struct image_request
wish(unsigned n)
{
	return (struct image_request){ .prompt = "一只可爱的熊猫",
				       .n = n,
				       .given = n > 1 ? PARAM_BIT(PARAM_N) : 0,
				       .output_compression = -1,
				       .seed = -1,
				       .guidance = -1,
				       .strength = -1,
				       .noise = -1 };
}

static void
attempt_run(struct attempt *t, const struct script *s, const char *model, int64_t ms)
{
	t->provider = (struct provider_conf){ .name = (char *)(uintptr_t) "acme",
					      .base_url = (char *)(uintptr_t)s->base_url,
					      .proxy = (char *)(uintptr_t) "" };
	t->call = (struct image_call){ .rq = &t->rq,
				       .provider = &t->provider,
				       .model = model,
				       .credential = KEY,
				       .files = files,
				       .deadline = deadline_in_ms(ms),
				       .ledger = &t->ledger,
				       .receipt = &t->receipt,
				       .on_stage = note_stage,
				       .self = t };
	t->rc = provider_openai.generate(&t->call, &t->e);
}

static void
attempt_done(struct attempt *t)
{
	for (unsigned i = 0; i < t->call.nimages; i++)
		filestore_remove(files, &t->call.images[i]);
	image_call_done(&t->call);
	receipt_done(&t->receipt);
	/* Nothing but what the call answered with was left behind. */
	assert_int_equal(files_stored(), 0);
}

static void
expect_picture(const struct attempt *t, unsigned i, unsigned seed)
{
	unsigned char expected[PICTURE_BYTES], found[PICTURE_BYTES + 1];
	struct err e;
	AUTO_FD int fd = filestore_read(files, &t->call.images[i], &e);

	assert_true(fd >= 0);
	picture_make(expected, seed);
	assert_int_equal(read(fd, found, sizeof(found)), PICTURE_BYTES);
	assert_memory_equal(found, expected, PICTURE_BYTES);
	assert_int_equal(t->call.images[i].width, 512);
	assert_int_equal(t->call.images[i].height, 768);
	assert_int_equal(t->call.images[i].type, PICTURE_PNG);
}

static void
expect_pictures(const struct attempt *t, unsigned n)
{
	if (t->rc != 0)
		fail_msg("%s: about '%s', message '%s', detail '%s'", err_code(&t->e), t->e.about,
			 t->e.upstream.message, t->e.detail);
	assert_int_equal(t->call.nimages, n);
	assert_int_equal(files_stored(), n);
	for (unsigned i = 0; i < n; i++)
		expect_picture(t, i, i);
}

static void
expect_failure(const struct attempt *t, enum err_kind kind, unsigned n, bool billed)
{
	char text[2048];

	if (t->rc != -1 || t->e.kind != kind || t->call.nimages != n ||
	    t->e.may_have_been_billed != billed)
		fail_msg("rc %d, %s with %u pictures, billed %d, about '%s', message '%s', detail "
			 "'%s'; expected %s with %u, billed %d",
			 t->rc, t->e.kind ? err_code(&t->e) : "-", t->call.nimages,
			 t->e.may_have_been_billed, t->e.about, t->e.upstream.message, t->e.detail,
			 err_row(kind)->code, n, billed);
	assert_string_equal(t->e.upstream.name, "acme");
	assert_non_null(t->e.stage);
	err_message(&t->e, LANG_EN, text, sizeof(text));
	assert_null(strstr(text, KEY));
	for (unsigned i = 0; i < n; i++)
		expect_picture(t, i, i);
}

/* The JSON that was sent with request i; the caller's. */
static json_t *
sent(const struct script *s, int i)
{
	const char *body = s->requests[i] ? strstr(s->requests[i], "\r\n\r\n") : NULL;
	json_t *o = body ? json_loads(body + 4, 0, NULL) : NULL;

	assert_non_null(o);
	return o;
}

/* ---- what is sent ---- */

static void
each_model_is_asked_in_its_own_words(void **state)
{
	static const struct {
		const char *model, *expected;
	} rows[] = {
		{ "gpt-image-1",
		  "{\"model\":\"gpt-image-1\",\"prompt\":\"一只可爱的熊猫\",\"n\":1,\"size\":"
		  "\"512x768\","
		  "\"quality\":\"high\",\"output_format\":\"webp\",\"output_compression\":80,"
		  "\"background\":\"opaque\",\"moderation\":\"low\",\"user\":\"u1\"}" },
		{ "chatgpt-image-latest",
		  "{\"model\":\"chatgpt-image-latest\",\"prompt\":\"一只可爱的熊猫\",\"n\":1,"
		  "\"size\":"
		  "\"512x768\",\"quality\":\"high\",\"output_format\":\"webp\",\"output_"
		  "compression\":80,"
		  "\"background\":\"opaque\",\"moderation\":\"low\",\"user\":\"u1\"}" },
		{ "dall-e-2",
		  "{\"model\":\"dall-e-2\",\"prompt\":\"一只可爱的熊猫\",\"n\":1,\"size\":"
		  "\"512x768\","
		  "\"quality\":\"high\",\"user\":\"u1\",\"response_format\":\"b64_json\"}" },
		{ "openai/dall-e-3",
		  "{\"model\":\"openai/dall-e-3\",\"prompt\":\"一只可爱的熊猫\",\"n\":1,\"size\":"
		  "\"512x768\",\"quality\":\"high\",\"style\":\"vivid\",\"user\":\"u1\","
		  "\"response_format\":\"b64_json\"}" },
		{ "flux-relay",
		  "{\"model\":\"flux-relay\",\"prompt\":\"一只可爱的熊猫\",\"n\":1,\"size\":"
		  "\"512x768\","
		  "\"quality\":\"high\",\"output_format\":\"webp\",\"output_compression\":80,"
		  "\"background\":\"opaque\",\"moderation\":\"low\",\"style\":\"vivid\",\"user\":"
		  "\"u1\","
		  "\"negative_prompt\":\"lowres\",\"seed\":7,\"steps\":30,\"guidance\":3.5,"
		  "\"sampler\":\"euler\",\"aspect_ratio\":\"2:3\",\"strength\":0.7,\"noise\":0."
		  "1}" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		AUTO(script) s = { .n = 0 };
		AUTO(attempt) t = { .rq = wish(1) };
		json_auto_t *body = NULL, *expected = json_loads(rows[i].expected, 0, NULL);

		t.rq.given = ~PARAM_BIT(PARAM__MAX);
		t.rq.width = 512;
		t.rq.height = 768;
		t.rq.quality = "high";
		t.rq.background = "opaque";
		t.rq.moderation = "low";
		t.rq.style = "vivid";
		t.rq.user = "u1";
		t.rq.negative_prompt = "lowres";
		t.rq.sampler = "euler";
		t.rq.aspect_ratio = "2:3";
		t.rq.output_type = PICTURE_WEBP;
		t.rq.output_compression = 80;
		t.rq.response_format = RESPONSE_URL;
		t.rq.seed = 7;
		t.rq.steps = 30;
		t.rq.guidance = 3.5;
		t.rq.strength = 0.7;
		t.rq.noise = 0.1;
		script_add(&s, "200 OK", "application/json", "{\"data\":[{\"b64_json\":\"%s\"}]}",
			   picture_text(0));
		script_start(&s);
		attempt_run(&t, &s, rows[i].model, 10000);
		expect_pictures(&t, 1);
		body = sent(&s, 0);
		if (!json_equal(body, expected))
			fail_msg("%s was asked: %s", rows[i].model,
				 strstr(s.requests[0], "\r\n\r\n") + 4);
		assert_non_null(strstr(s.requests[0], "POST /v1/images/generations HTTP/1.1\r\n"));
		assert_non_null(strstr(s.requests[0], "\r\nAuthorization: Bearer " KEY "\r\n"));
		assert_non_null(strstr(s.requests[0], "\r\nContent-Type: application/json\r\n"));
		assert_string_equal(receipt_of(&t.receipt, PARAM_RESPONSE_FORMAT), "served-here");
		assert_string_equal(t.stages, "provider.submit ");
	}
}

static void
what_was_not_given_is_not_sent(void **state)
{
	static const char *const models[] = { "gpt-image-1", "relay" };

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		AUTO(script) s = { .n = 0 };
		AUTO(attempt) t = { .rq = wish(1) };
		json_auto_t *body = NULL;

		script_add(&s, "200 OK", "application/json", "{\"data\":[{\"b64_json\":\"%s\"}]}",
			   picture_text(0));
		script_start(&s);
		attempt_run(&t, &s, models[i], 10000);
		expect_pictures(&t, 1);
		body = sent(&s, 0);
		assert_int_equal(json_object_size(body), 2);
		assert_string_equal(receipt_of(&t.receipt, PARAM_RESPONSE_FORMAT), "");
	}
}

static void
auto_size_is_passed_on_where_it_is_known(void **state)
{
	static const struct {
		const char *model, *size, *note;
	} rows[] = {
		{ "gpt-image-1.5", "auto", "" },
		{ "relay", "auto", "" },
		{ "dall-e-2", NULL, "=the model's default" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		AUTO(script) s = { .n = 0 };
		AUTO(attempt) t = { .rq = wish(1) };
		json_auto_t *body = NULL;
		const char *size;

		t.rq.given = PARAM_BIT(PARAM_SIZE);
		script_add(&s, "200 OK", "application/json", "{\"data\":[{\"b64_json\":\"%s\"}]}",
			   picture_text(0));
		script_start(&s);
		attempt_run(&t, &s, rows[i].model, 10000);
		expect_pictures(&t, 1);
		body = sent(&s, 0);
		size = json_string_value(json_object_get(body, "size"));
		assert_string_equal(size ? size : "-", rows[i].size ? rows[i].size : "-");
		assert_string_equal(receipt_of(&t.receipt, PARAM_SIZE), rows[i].note);
	}
}

static void
without_a_credential_no_header_is_sent(void **state)
{
	AUTO(script) s = { .n = 0 };
	AUTO(attempt) t = { .rq = wish(1) };

	(void)state;
	script_add(&s, "200 OK", "application/json", "{\"data\":[{\"b64_json\":\"%s\"}]}",
		   picture_text(0));
	script_start(&s);
	t.provider = (struct provider_conf){ .name = (char *)(uintptr_t) "acme",
					     .base_url = s.base_url };
	t.call = (struct image_call){ .rq = &t.rq,
				      .provider = &t.provider,
				      .model = "relay",
				      .credential = "",
				      .files = files,
				      .deadline = deadline_in_ms(10000),
				      .ledger = &t.ledger,
				      .receipt = &t.receipt };
	t.rc = provider_openai.generate(&t.call, &t.e);
	expect_pictures(&t, 1);
	assert_null(strcasestr(s.requests[0], "authorization"));
}

/* ---- what comes back ---- */

static void
the_facts_of_an_answer_are_kept(void **state)
{
	AUTO(script) s = { .n = 0 };
	AUTO(attempt) t = { .rq = wish(2) };

	(void)state;
	script_add(&s, "200 OK", "application/json",
		   "{\"created\":1713833628,\"background\":\"opaque\",\"output_format\":\"png\","
		   "\"quality\":\"high\",\"data\":[{\"b64_json\":\"%s\",\"revised_prompt\":\"a "
		   "\\\"熊\\\"\"},"
		   "{\"revised_prompt\":null,\"b64_json\":\"%s\"}],\"usage\":{\"total_tokens\":100,"
		   "\"input_tokens\":50,\"output_tokens\":51,\"input_tokens_details\":"
		   "{\"text_tokens\":10,\"image_tokens\":40}}}",
		   picture_text(0), picture_text(1));
	script_start(&s);
	attempt_run(&t, &s, "gpt-image-1", 10000);
	expect_pictures(&t, 2);
	assert_string_equal(t.call.background, "opaque");
	assert_string_equal(t.call.quality, "high");
	assert_string_equal(t.call.revised_prompt[0], "a \"熊\"");
	assert_null(t.call.revised_prompt[1]);
	assert_string_equal(t.call.upstream_request_id, "req_up");
	assert_int_equal(t.call.usage_total, 100);
	assert_int_equal(t.call.usage_input, 50);
	assert_int_equal(t.call.usage_output, 51);
	assert_int_equal(t.call.usage_input_text, 10);
	assert_int_equal(t.call.usage_input_image, 40);
	assert_true(t.ledger.us[LEDGER_PROVIDER] > 0);
	assert_true(t.ledger.us[LEDGER_STORE] > 0);
}

static void
pictures_are_found_in_every_shape(void **state)
{
	static const char *const shapes[] = {
		"{\"data\":[{\"b64_json\":\"data:image/png;base64,%s\"}]}",
		"{\"data\":[{\"url\":\"data:image/png;base64,%s\"}]}",
		"{\"data\":[{\"url\":\"https://never.test/x\",\"b64_json\":\"%s\"}]}",
		"{\"data\":[{\"b64_json\":null,\"url\":\"data:image/png;base64,%s\"}]}",
		"{\"data\":[{\"b64_json\":\"\",\"url\":\"data:image/png;base64,%s\"}]}",
		"{\"images\":[{\"image_url\":{\"url\":\"data:image/png;base64,%s\"}}]}",
		"{\"data\":{\"b64_json\":\"%s\"}}",
		"{\"output\":{\"content\":[{\"b64_json\":\"%s\"}]}}",
		"\n\n  {\"error\":null,\"data\":[{\"b64_json\":\"%s\"}]}",
		"{\"data\":[],\"data\":[{\"b64_json\":\"%s\"}]}",
		"{\"data\":[{\"b64_json\":\"%s\"}]}\nthanks",
	};
	static const char *const types[] = { "application/json", "text/plain", "text/html" };

	(void)state;
	for (size_t i = 0; i < sizeof(shapes) / sizeof(shapes[0]); i++) {
		AUTO_FREE char *body = NULL;
		AUTO(script) s = { .n = 0 };
		AUTO(attempt) t = { .rq = wish(1) };
		const char *mark = strstr(shapes[i], "%s");

		assert_true(asprintf(&body, "%.*s%s%s", (int)(mark - shapes[i]), shapes[i],
				     picture_text(0), mark + 2) > 0);
		/* Relays do not always say that it is JSON. */
		script_add(&s, "200 OK", types[i % 3], "%s", body);
		script_start(&s);
		attempt_run(&t, &s, "relay", 10000);
		expect_pictures(&t, 1);
		assert_int_equal(atomic_load(&s.w.requests), 1);
	}
}

static void
a_surplus_of_pictures_is_dropped(void **state)
{
	AUTO(script) s = { .n = 0 };
	AUTO(attempt) t = { .rq = wish(2) };

	(void)state;
	script_add(&s, "200 OK", "application/json",
		   "{\"data\":[{\"b64_json\":\"%s\"},{\"b64_json\":\"%s\"},{\"b64_json\":\"%s\"}]}",
		   picture_text(0), picture_text(1), picture_text(2));
	script_start(&s);
	attempt_run(&t, &s, "relay", 10000);
	expect_pictures(&t, 2);
}

static void
too_few_pictures_are_an_error_that_keeps_them(void **state)
{
	AUTO(script) s = { .n = 0 };
	AUTO(attempt) t = { .rq = wish(3) };

	(void)state;
	script_add(&s, "200 OK", "application/json",
		   "{\"data\":[{\"b64_json\":\"%s\"},{\"b64_json\":\"%s\"}]}", picture_text(0),
		   picture_text(1));
	script_start(&s);
	attempt_run(&t, &s, "relay", 10000);
	expect_failure(&t, ERR_IMAGES_INCOMPLETE, 2, true);
	assert_string_equal(t.e.expected, "3");
	assert_string_equal(t.e.found, "2");
	assert_string_equal(t.e.upstream.request_id, "req_up");
}

static void
a_model_that_makes_one_at_a_time_is_asked_several_times(void **state)
{
	AUTO(script) s = { .n = 0 };
	AUTO(attempt) t = { .rq = wish(3) };

	(void)state;
	for (unsigned i = 0; i < 3; i++)
		script_add(&s, "200 OK", "application/json",
			   "{\"data\":[{\"b64_json\":\"%s\",\"revised_prompt\":\"r%u\"}],"
			   "\"usage\":{\"total_tokens\":%u}}",
			   picture_text(i), i, i + 1);
	script_start(&s);
	attempt_run(&t, &s, "dall-e-3", 10000);
	expect_pictures(&t, 3);
	assert_string_equal(receipt_of(&t.receipt, PARAM_N), "=3 calls");
	assert_string_equal(t.call.revised_prompt[2], "r2");
	assert_int_equal(t.call.usage_total, 6);
	for (int i = 0; i < 3; i++) {
		json_auto_t *body = sent(&s, i);

		assert_int_equal(json_integer_value(json_object_get(body, "n")), 1);
	}
}

static void
what_lacks_after_a_failure_can_be_asked_for_again(void **state)
{
	AUTO(script) s = { .n = 0 };
	AUTO(attempt) t = { .rq = wish(3) };

	(void)state;
	for (unsigned i = 0; i < 2; i++)
		script_add(&s, "200 OK", "application/json", "{\"data\":[{\"b64_json\":\"%s\"}]}",
			   picture_text(i));
	script_add(&s, "429 Too Many", "application/json", "{\"error\":{\"message\":\"slow\"}}");
	script_add(&s, "200 OK", "application/json", "{\"data\":[{\"b64_json\":\"%s\"}]}",
		   picture_text(2));
	script_start(&s);
	attempt_run(&t, &s, "dall-e-3", 10000);
	/* What was refused was not billed; that two pictures came is seen by their number. */
	expect_failure(&t, ERR_UP_RATE, 2, false);
	t.rc = provider_openai.generate(&t.call, &t.e);
	expect_pictures(&t, 3);
}

static void
answers_without_a_picture_say_why(void **state)
{
	static const struct {
		const char *status, *type, *body;
		enum err_kind kind;
		const char *about;
		bool billed;
	} rows[] = {
		{ "400 Bad", "application/json",
		  "{\"error\":{\"message\":\"Unknown parameter: 'x'.\",\"param\":\"x\"}}",
		  ERR_UP_REJECTED, "", false },
		{ "401 No", "application/json", "{\"error\":{\"message\":\"bad key " KEY "\"}}",
		  ERR_UP_AUTH, "", false },
		{ "403 No", "text/html", "<html><title>Just a moment...</title>", ERR_UP_CHALLENGE,
		  "", false },
		{ "500 Oh", "application/json", "{}", ERR_UP_FAILED, "", true },
		{ "302 Found", "text/plain", "", ERR_UP_GARBAGE, "redirects to", false },
		{ "200 OK", "application/json", "{\"error\":{\"message\":\"boom\"}}", ERR_UP_FAILED,
		  "", true },
		{ "200 OK", "application/json",
		  "{\"error\":{\"message\":\"x\",\"code\":"
		  "\"content_policy_violation\"}}",
		  ERR_UP_POLICY, "", false },
		{ "200 OK", "application/json", "{\"data\":[]}", ERR_UP_GARBAGE,
		  "without a picture", true },
		{ "200 OK", "application/json", "{\"data\":[{}]}", ERR_UP_GARBAGE,
		  "without a picture", true },
		{ "200 OK", "application/json", "{\"data\":[{\"b64_json\":0}]}", ERR_UP_GARBAGE,
		  "without a picture", true },
		{ "200 OK", "application/json", "{\"data\":[{\"b64_json\":\"\"}]}", ERR_UP_GARBAGE,
		  "without a picture", true },
		{ "200 OK", "application/json", "[1,2]", ERR_UP_GARBAGE, "without a picture",
		  true },
		{ "200 OK", "application/json",
		  "{\"data\":[{\"task_id\":\"t\",\"status\":\"submitted\"}]}", ERR_UP_GARBAGE,
		  "a task", true },
		{ "200 OK", "application/json", "", ERR_UP_GARBAGE, "empty", true },
		{ "200 OK", "application/json", "surprise", ERR_UP_GARBAGE, "not JSON", true },
		{ "200 OK", "application/json", "{\"data\":[", ERR_UP_TRUNCATED, "", true },
		{ "200 OK", "application/json", "{\"a\":\"b", ERR_UP_TRUNCATED, "", true },
		{ "200 OK", "text/html", "<title>Welcome to nginx!</title>", ERR_UP_GARBAGE,
		  "web page", true },
		{ "200 OK", "text/plain", "<title>Welcome to nginx!</title>", ERR_UP_GARBAGE,
		  "web page", true },
		{ "200 OK", "application/json",
		  "{\"data\":[{\"b64_json\":\"bm8gcGljdHVyZSBhdCBhbGw=\"}]}", ERR_RESULT_NOT_IMAGE,
		  "", true },
		{ "200 OK", "application/json", "{\"data\":[{\"b64_json\":\"!!!!\"}]}",
		  ERR_RESULT_NOT_IMAGE, "", true },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		AUTO(script) s = { .n = 0 };
		AUTO(attempt) t = { .rq = wish(1) };

		script_add(&s, rows[i].status, rows[i].type, "%s", rows[i].body);
		script_start(&s);
		attempt_run(&t, &s, "relay", 10000);
		print_message("             %s: %s %s '%s'\n", rows[i].body, t.e.stage, t.e.about,
			      t.e.upstream.message);
		expect_failure(&t, rows[i].kind, 0, rows[i].billed);
		assert_non_null(strstr(t.e.about, rows[i].about));
		assert_int_equal(t.e.upstream.status, strtol(rows[i].status, NULL, 10));
		assert_string_equal(t.e.upstream.request_id, "req_up");
	}
}

static void
an_answer_around_the_pictures_has_its_limit(void **state)
{
	AUTO(script) s = { .n = 0 };
	AUTO(attempt) t = { .rq = wish(1) };
	AUTO_FREE char *filler = malloc(300001);

	(void)state;
	memset(filler, 'x', 300000);
	filler[300000] = '\0';
	script_add(&s, "200 OK", "application/json", "{\"x\":\"%s\"}", filler);
	script_start(&s);
	attempt_run(&t, &s, "relay", 10000);
	expect_failure(&t, ERR_UP_TOO_LARGE, 0, true);
}

static void
pictures_that_came_whole_survive_a_cut(void **state)
{
	static const bool with_length[] = { true, false };

	(void)state;
	for (int i = 0; i < 2; i++) {
		AUTO(script) s = { .n = 1, .close = true };
		AUTO(attempt) t = { .rq = wish(2) };

		assert_true(asprintf(&s.answers[0],
				     "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n%s\r\n"
				     "{\"data\":[{\"b64_json\":\"%s\"},{\"b64_json\":\"%.2000s",
				     with_length[i] ? "Content-Length: 9999\r\n" : "",
				     picture_text(0), picture_text(1)) > 0);
		script_start(&s);
		attempt_run(&t, &s, "relay", 10000);
		expect_failure(&t, ERR_UP_TRUNCATED, 1, true);
	}
}

static void
serve_slowly(struct wire *w, int fd, int number)
{
	struct script *s = (struct script *)(uintptr_t)w->arg;

	(void)number;
	if (wire_request(w, fd) == 0 && wire_say(fd, s->answers[0]) == 0)
		wire_wait_gone(fd);
}

static void
pictures_that_came_whole_survive_the_deadline(void **state)
{
	AUTO(script) s = { .n = 1 };
	AUTO(attempt) t = { .rq = wish(2) };

	(void)state;
	assert_true(asprintf(&s.answers[0],
			     "HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n"
			     "{\"data\":[{\"b64_json\":\"%s\"},{\"b64_json\":\"%.1000s",
			     picture_text(0), picture_text(1)) > 0);
	wire_start(&s.w, serve_slowly, &s);
	(void)snprintf(s.base_url, sizeof(s.base_url), "%s/v1", s.w.url);
	attempt_run(&t, &s, "relay", 500);
	expect_failure(&t, ERR_DEADLINE, 1, true);
	assert_string_equal(t.e.stage, "provider.recv");
}

static void
nobody_there_is_not_billed(void **state)
{
	struct script s = { .base_url = "http://127.0.0.1:1/v1" };
	AUTO(attempt) t = { .rq = wish(1) };

	(void)state;
	attempt_run(&t, &s, "relay", 5000);
	expect_failure(&t, ERR_UP_CONNECT, 0, false);
}

static void
a_purchase_without_an_answer_may_have_been_billed(void **state)
{
	AUTO(script) s = { .n = 0 };
	AUTO(attempt) t = { .rq = wish(1) };

	(void)state;
	script_start(&s);
	attempt_run(&t, &s, "relay", 5000);
	expect_failure(&t, ERR_UP_RESET, 0, true);
	assert_int_equal(atomic_load(&s.w.requests), 1);
}

/* ---- pictures as URLs ---- */

/* Its body is the picture itself. */
static void
script_add_picture(struct script *s, unsigned seed)
{
	(void)seed;
	s->answers[s->n++] = NULL;
}

/* Like serve(), but an answer that is missing is the picture with the number in the path: /p/0.png. */
static void
serve_pictures(struct wire *w, int fd, int number)
{
	struct script *s = (struct script *)(uintptr_t)w->arg;

	(void)number;
	while (wire_request(w, fd) == 0) {
		int i = atomic_load(&w->requests) - 1;
		const char *path = strstr(w->last, "/p/");
		unsigned char p[PICTURE_BYTES];
		char head[200];

		if (i < ANSWERS)
			s->requests[i] = strdup(w->last);
		if (i < ANSWERS && s->answers[i]) {
			if (wire_say(fd, s->answers[i]) < 0)
				return;
			continue;
		}
		picture_make(p, path ? (unsigned)(path[3] - '0') : 9);
		(void)snprintf(head, sizeof(head),
			       "HTTP/1.1 200 OK\r\nContent-Type: image/png\r\nContent-Length: "
			       "%d\r\n\r\n",
			       PICTURE_BYTES);
		if (wire_say(fd, head) < 0 || wire_write(fd, p, sizeof(p)) < 0)
			return;
	}
}

static void
script_start_pictures(struct script *s)
{
	wire_start(&s->w, serve_pictures, s);
	(void)snprintf(s->base_url, sizeof(s->base_url), "%s/v1", s->w.url);
}

static void
pictures_are_fetched_from_the_providers_own_host_without_a_credential(void **state)
{
	AUTO(script) s = { .n = 0 };
	AUTO(attempt) t = { .rq = wish(3) };

	(void)state;
	script_start_pictures(&s);
	script_add(&s, "200 OK", "application/json",
		   "{\"data\":[{\"url\":\"%s/p/0.png?sig=abc\",\"revised_prompt\":\"r\"},"
		   "\"%s/p/1.png\",{\"url\":\"\\/p\\/2.png\"}]}",
		   s.w.url, s.w.url);
	for (unsigned i = 0; i < 3; i++)
		script_add_picture(&s, i);
	attempt_run(&t, &s, "relay", 10000);
	expect_pictures(&t, 3);
	assert_string_equal(t.call.revised_prompt[0], "r");
	assert_string_equal(t.stages, "provider.submit fetch fetch fetch ");
	assert_true(t.ledger.us[LEDGER_FETCH] > 0);
	assert_non_null(strstr(s.requests[1], "GET /p/0.png?sig=abc HTTP/1.1\r\n"));
	for (int i = 1; i < 4; i++) {
		assert_null(strcasestr(s.requests[i], "authorization"));
		assert_null(strcasestr(s.requests[i], "referer"));
		assert_null(strcasestr(s.requests[i], "cookie"));
		assert_null(strstr(s.requests[i], KEY));
	}
}

static void
a_picture_that_is_missing_for_a_moment_is_fetched_again(void **state)
{
	AUTO(script) s = { .n = 0 };
	AUTO(attempt) t = { .rq = wish(1) };

	(void)state;
	script_start_pictures(&s);
	script_add(&s, "200 OK", "application/json", "{\"data\":[{\"url\":\"%s/p/0.png\"}]}",
		   s.w.url);
	script_add(&s, "404 Not Found", "text/plain", "not yet");
	script_add(&s, "404 Not Found", "text/plain", "not yet");
	script_add_picture(&s, 0);
	attempt_run(&t, &s, "relay", 20000);
	expect_pictures(&t, 1);
	assert_int_equal(atomic_load(&s.w.requests), 4);
	assert_true(t.ledger.us[LEDGER_FETCH] < 20000000);
}

static void
redirects_are_followed_three_times_at_most(void **state)
{
	(void)state;
	for (int hops = 3; hops <= 4; hops++) {
		AUTO(script) s = { .n = 0 };
		AUTO(attempt) t = { .rq = wish(1) };

		script_start_pictures(&s);
		script_add(&s, "200 OK", "application/json", "{\"data\":[{\"url\":\"%s/a\"}]}",
			   s.w.url);
		for (int i = 0; i < hops; i++)
			script_add(&s, "302 Found\r\nLocation: /p/0.png", "text/plain", "there");
		script_add_picture(&s, 0);
		attempt_run(&t, &s, "relay", 10000);
		if (hops == 3) {
			expect_pictures(&t, 1);
		} else {
			expect_failure(&t, ERR_FETCH_FAILED, 0, true);
			assert_non_null(strstr(t.e.about, "redirects"));
			assert_int_equal(atomic_load(&s.w.requests), 5);
		}
	}
}

static void
a_picture_elsewhere_must_be_public_also_after_a_redirect(void **state)
{
	AUTO(script) other = { .n = 0 };
	static const char *const ways[] = { "direct", "redirected", "a file", "userinfo" };

	(void)state;
	script_start_pictures(&other);
	for (int i = 0; i < 4; i++) {
		AUTO(script) s = { .n = 0 };
		AUTO(attempt) t = { .rq = wish(1) };
		char redirect[160];

		print_message("             %s\n", ways[i]);
		script_start_pictures(&s);
		switch (i) {
		case 0:
			script_add(&s, "200 OK", "application/json",
				   "{\"data\":[{\"url\":\"%s/p/0.png\"}]}", other.w.url);
			break;
		case 1:
			script_add(&s, "200 OK", "application/json",
				   "{\"data\":[{\"url\":\"%s/a\"}]}", s.w.url);
			(void)snprintf(redirect, sizeof(redirect),
				       "307 Temporary Redirect\r\nLocation: %s/p/0.png",
				       other.w.url);
			script_add(&s, redirect, "text/plain", "%s", "");
			break;
		case 2:
			script_add(&s, "200 OK", "application/json",
				   "{\"data\":[{\"url\":\"file:///etc/hostname\"}]}");
			break;
		case 3:
			script_add(&s, "200 OK", "application/json",
				   "{\"data\":[{\"url\":\"http://a:b@127.0.0.1:%d/p/0.png\"}]}",
				   s.w.port);
			break;
		}
		attempt_run(&t, &s, "relay", 10000);
		expect_failure(&t, ERR_FETCH_REFUSED, 0, true);
		assert_string_equal(t.e.stage, "fetch");
	}
	assert_int_equal(atomic_load(&other.w.connections), 0);
}

static void
a_picture_that_cannot_be_fetched_says_why(void **state)
{
	static const struct {
		const char *status, *type, *body;
		enum err_kind kind;
		const char *about;
	} rows[] = {
		{ "403 Forbidden", "application/xml", "<Error>SignatureDoesNotMatch</Error>",
		  ERR_FETCH_FAILED, "HTTP 403" },
		{ "200 OK", "image/png", "<html>not found</html>", ERR_RESULT_NOT_IMAGE, "" },
		{ "302 Found", "text/plain", "nowhere", ERR_FETCH_FAILED, "HTTP 302" },
		{ "204 No Content", "text/plain", "", ERR_FETCH_FAILED, "HTTP 204" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		AUTO(script) s = { .n = 0 };
		AUTO(attempt) t = { .rq = wish(1) };

		script_start_pictures(&s);
		script_add(&s, "200 OK", "application/json",
			   "{\"data\":[{\"url\":\"%s/p/0.png\"}]}", s.w.url);
		script_add(&s, rows[i].status, rows[i].type, "%s", rows[i].body);
		attempt_run(&t, &s, "relay", 10000);
		expect_failure(&t, rows[i].kind, 0, true);
		assert_non_null(strstr(t.e.about, rows[i].about));
		assert_int_equal(atomic_load(&s.w.requests), 2);
	}
}

static void
one_url_that_fails_leaves_the_other_pictures(void **state)
{
	AUTO(script) s = { .n = 0 };
	AUTO(attempt) t = { .rq = wish(2) };

	(void)state;
	script_start_pictures(&s);
	script_add(&s, "200 OK", "application/json",
		   "{\"data\":[{\"url\":\"%s/gone\"},{\"url\":\"%s/p/0.png\"}]}", s.w.url, s.w.url);
	script_add(&s, "410 Gone", "text/plain", "gone");
	script_add_picture(&s, 0);
	attempt_run(&t, &s, "relay", 10000);
	expect_failure(&t, ERR_IMAGES_INCOMPLETE, 1, true);
}

static void
the_capabilities_follow_the_model(void **state)
{
	static const struct {
		const char *model;
		unsigned n_max, prompt_max;
		bool b64;
		enum image_param kept, not_kept;
	} rows[] = {
		{ "gpt-image-1", 10, 32000, true, PARAM_BACKGROUND, PARAM_STYLE },
		{ "GPT-Image-2-2026-04-21", 10, 32000, true, PARAM_OUTPUT_FORMAT, PARAM_SEED },
		{ "dall-e-2", 10, 1000, false, PARAM_SIZE, PARAM_STYLE },
		{ "dall-e-3", 1, 4000, false, PARAM_STYLE, PARAM_BACKGROUND },
		{ "Qwen/Qwen-Image", 10, 32000, false, PARAM_NEGATIVE_PROMPT, PARAM_STREAM },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const struct image_caps *c = provider_openai.caps(rows[i].model);

		assert_int_equal(c->n_max, rows[i].n_max);
		assert_int_equal(c->prompt_max, rows[i].prompt_max);
		assert_int_equal(c->b64_default, rows[i].b64);
		assert_true(c->keeps & PARAM_BIT(rows[i].kept));
		assert_false(c->keeps & PARAM_BIT(rows[i].not_kept));
		assert_true(c->keeps & PARAM_BIT(PARAM_RESPONSE_FORMAT));
	}
}

static void
tokens_without_end_stay_a_number(void **state)
{
	json_t *root = json_pack("{s:{s:I, s:i}}", "usage", "total_tokens", (json_int_t)INT64_MAX,
				 "input_tokens", 5);
	struct image_call call = { .usage_total = -1, .usage_input = -1 };

	(void)state;
	for (int i = 0; i < 3; i++)
		openai_facts_read(&call, root);
	assert_true(call.usage_total == SAID_COUNT_MAX);
	assert_int_equal(call.usage_input, 15);
	json_decref(root);
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_model_is_asked_in_its_own_words),
		cmocka_unit_test(what_was_not_given_is_not_sent),
		cmocka_unit_test(auto_size_is_passed_on_where_it_is_known),
		cmocka_unit_test(without_a_credential_no_header_is_sent),
		cmocka_unit_test(the_facts_of_an_answer_are_kept),
		cmocka_unit_test(pictures_are_found_in_every_shape),
		cmocka_unit_test(a_surplus_of_pictures_is_dropped),
		cmocka_unit_test(too_few_pictures_are_an_error_that_keeps_them),
		cmocka_unit_test(a_model_that_makes_one_at_a_time_is_asked_several_times),
		cmocka_unit_test(what_lacks_after_a_failure_can_be_asked_for_again),
		cmocka_unit_test(answers_without_a_picture_say_why),
		cmocka_unit_test(an_answer_around_the_pictures_has_its_limit),
		cmocka_unit_test(pictures_that_came_whole_survive_a_cut),
		cmocka_unit_test(pictures_that_came_whole_survive_the_deadline),
		cmocka_unit_test(nobody_there_is_not_billed),
		cmocka_unit_test(a_purchase_without_an_answer_may_have_been_billed),
		cmocka_unit_test(
			pictures_are_fetched_from_the_providers_own_host_without_a_credential),
		cmocka_unit_test(a_picture_that_is_missing_for_a_moment_is_fetched_again),
		cmocka_unit_test(redirects_are_followed_three_times_at_most),
		cmocka_unit_test(a_picture_elsewhere_must_be_public_also_after_a_redirect),
		cmocka_unit_test(a_picture_that_cannot_be_fetched_says_why),
		cmocka_unit_test(one_url_that_fails_leaves_the_other_pictures),
		cmocka_unit_test(the_capabilities_follow_the_model),
		cmocka_unit_test(tokens_without_end_stay_a_number),
	};

	return cmocka_run_group_tests(tests, folder_setup, folder_teardown);
}
