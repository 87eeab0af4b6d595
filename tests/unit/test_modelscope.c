#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <jansson.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>

#include "base/base64.h"
#include "base/cleanup.h"
#include "net/upstream.h"
#include "provider/modelscope_size.h"
#include "provider/provider.h"
#include "state_folder.h"
#include "wire_server.h"

#define KEY     "ms-fake-01234567-89ab-cdef"
#define QWEN    "Qwen/Qwen-Image"
#define LATE_MS 400 /* how late a call may return; generous, for slow machines */

/* ---- time: pauses are noted, and cut short unless a test is about the deadline ---- */

#define PAUSES 32

static struct {
	bool real;
	unsigned n;
	int ms[PAUSES];
} pauses;

int
nanosleep(const struct timespec *want, struct timespec *left)
{
	struct timespec ts = *want;

	if (pauses.n < PAUSES)
		pauses.ms[pauses.n++] = (int)(want->tv_sec * 1000 + want->tv_nsec / 1000000);
	if (!pauses.real)
		ts = (struct timespec){ 0, 2000000 };
	if (left)
		*left = (struct timespec){ 0, 0 };
	return (int)syscall(SYS_nanosleep, &ts, NULL);
}

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

/* ---- a provider that answers from a script ---- */

#define STEPS 24

/*
 * What is said to the next submission or poll.  status NULL: the connection is closed; "silence": it
 * stays open and nothing comes.  A body that begins with '<' is text/html.  Pictures lie at /p/0, /p/1, …
 */
struct step {
	const char *status, *body, *header;
};

struct script {
	const struct step *steps; /* the last one is repeated */
	unsigned n;
	struct wire w;
	char base_url[96];
	atomic_uint said, fetched;
	char *requests[STEPS]; /* submissions and polls */
	char picture_request[2048];
};

static int
serve_picture(struct script *s, int fd, const char *request)
{
	unsigned char p[PICTURE_BYTES];
	unsigned seed = (unsigned)(request[strlen("GET /p/")] - '0');

	(void)snprintf(s->picture_request, sizeof(s->picture_request), "%.2000s", request);
	atomic_fetch_add(&s->fetched, 1);
	if (seed > 9)
		return wire_answer(fd, "404 Not Found", "", "");
	picture_make(p, seed);
	if (wire_say(fd,
		     "HTTP/1.1 200 OK\r\nContent-Type: image/png\r\nContent-Length: 3000\r\n\r\n") <
	    0)
		return -1;
	return wire_write(fd, p, sizeof(p));
}

static void
serve(struct wire *w, int fd, int number)
{
	struct script *s = (struct script *)(uintptr_t)w->arg;

	(void)number;
	while (wire_request(w, fd) == 0) {
		const struct step *step;
		AUTO_FREE char *request = NULL;
		char headers[512];
		unsigned i;

		/* The next connection's thread writes there too. */
		(void)pthread_mutex_lock(&w->lock);
		request = strdup(w->last);
		(void)pthread_mutex_unlock(&w->lock);
		if (!request)
			abort();
		if (!strncmp(request, "GET /p/", 7)) {
			if (serve_picture(s, fd, request) < 0)
				return;
			continue;
		}
		i = atomic_fetch_add(&s->said, 1);
		if (i < STEPS)
			s->requests[i] = TAKE_PTR(request);
		step = &s->steps[i < s->n ? i : s->n - 1];
		if (!step->status)
			return;
		if (!strcmp(step->status, "silence")) {
			wire_wait_gone(fd);
			return;
		}
		(void)snprintf(headers, sizeof(headers), "Content-Type: %s\r\n%s",
			       step->body[0] == '<' ? "text/html" : "application/json",
			       step->header ? step->header : "");
		if (wire_answer(fd, step->status, headers, step->body) < 0)
			return;
	}
}

static void
script_start(struct script *s, const struct step *steps, unsigned n)
{
	s->steps = steps;
	s->n = n;
	memset(&pauses, 0, sizeof(pauses));
	wire_start(&s->w, serve, s);
	(void)snprintf(s->base_url, sizeof(s->base_url), "%s/v1", s->w.url);
}

#define START(s, steps) script_start(s, steps, sizeof(steps) / sizeof((steps)[0]))

static void
script_done(struct script *s)
{
	if (s->w.url[0])
		wire_stop(&s->w);
	for (int i = 0; i < STEPS; i++)
		free(s->requests[i]);
}

/* ---- a call ---- */

struct attempt {
	struct image_request rq;
	struct provider_conf provider;
	struct ledger ledger;
	struct receipt receipt;
	struct image_call call;
	struct err e;
	char stages[160], ids[160];
	int rc;
	int64_t ms;
};

static void
note_stage(void *self, const char *stage)
{
	struct attempt *t = self;
	size_t n = strlen(t->stages);

	(void)snprintf(t->stages + n, sizeof(t->stages) - n, "%s ", stage);
}

static void
note_id(void *self, const char *id)
{
	struct attempt *t = self;
	size_t n = strlen(t->ids);

	(void)snprintf(t->ids + n, sizeof(t->ids) - n, "[%s]", id);
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
	int64_t start = clock_us();

	t->provider = (struct provider_conf){ .name = (char *)(uintptr_t) "acme",
					      .dialect = DIALECT_MODELSCOPE,
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
				       .on_upstream_id = note_id,
				       .self = t };
	t->rc = provider_driver(DIALECT_MODELSCOPE)->generate(&t->call, &t->e);
	t->ms = (clock_us() - start) / 1000;
}

static void
attempt_done(struct attempt *t)
{
	for (unsigned i = 0; i < t->call.nimages; i++)
		filestore_remove(files, &t->call.images[i]);
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
}

static void
expect_pictures(const struct attempt *t, unsigned n, const char *about)
{
	if (t->rc != 0)
		fail_msg("%s\n%s: about '%s', message '%s', detail '%s'", about, err_code(&t->e),
			 t->e.about, t->e.upstream.message, t->e.detail);
	assert_int_equal(t->call.nimages, n);
	assert_int_equal(files_stored(), n);
	for (unsigned i = 0; i < n; i++)
		expect_picture(t, i, i);
}

static void
expect_failure(const struct attempt *t, enum err_kind kind, const char *stage, bool billed,
	       const char *about)
{
	char text[2048];

	if (t->rc != -1 || t->e.kind != kind || t->e.may_have_been_billed != billed ||
	    strcmp(t->e.stage ? t->e.stage : "-", stage) != 0)
		fail_msg("%s\nrc %d, %s at %s with %u pictures, billed %d, about '%s', message "
			 "'%s', detail '%s'; expected %s at %s, billed %d",
			 about, t->rc, t->e.kind ? err_code(&t->e) : "-",
			 t->e.stage ? t->e.stage : "-", t->call.nimages, t->e.may_have_been_billed,
			 t->e.about, t->e.upstream.message, t->e.detail, err_row(kind)->code, stage,
			 billed);
	assert_string_equal(t->e.upstream.name, "acme");
	err_message(&t->e, LANG_EN, text, sizeof(text));
	assert_null(strstr(text, KEY));
	for (unsigned i = 0; i < t->call.nimages; i++)
		expect_picture(t, i, i);
}

/* The JSON that was sent with submission or poll i; the caller's. */
static json_t *
sent(const struct script *s, int i)
{
	const char *body = s->requests[i] ? strstr(s->requests[i], "\r\n\r\n") : NULL;
	json_t *o = body ? json_loads(body + 4, 0, NULL) : NULL;

	assert_non_null(o);
	return o;
}

/* ---- steps that return ---- */

#define ACCEPTED                                                                 \
	{                                                                        \
		"200 OK", "{\"task_id\":\"task-1\",\"request_id\":\"req-body\"}" \
	}
#define STATE(word)                                                               \
	{                                                                         \
		"200 OK", "{\"task_id\":\"task-1\",\"task_status\":\"" word "\"}" \
	}
#define PICTURE_IN(number)                                                              \
	{                                                                               \
		"200 OK", "{\"task_id\":\"task-1\",\"task_status\":\"SUCCEED\","        \
			  "\"output_images\":[\"/p/" number "\"],\"request_id\":\"r\"}" \
	}

/* ---- the way of a task ---- */

static void
a_task_is_submitted_polled_and_its_picture_fetched(void **state)
{
	static const struct step steps[] = {
		{ "200 OK", "{\"task_id\":\"caffccb8-7999\",\"request_id\":\"req-body\"}",
		  "modelscope-ratelimit-requests-remaining: 1999\r\n"
		  "modelscope-ratelimit-model-requests-remaining: 42\r\n" },
		STATE("PENDING"),
		STATE("PROCESSING"),
		PICTURE_IN("0"),
	};
	AUTO(script) s = { .n = 0 };
	AUTO(attempt) t = { .rq = wish(1) };
	json_auto_t *body = NULL;

	(void)state;
	START(&s, steps);
	attempt_run(&t, &s, QWEN, 20000);
	expect_pictures(&t, 1, "");
	body = sent(&s, 0);
	assert_int_equal(json_object_size(body), 2);
	assert_string_equal(json_string_value(json_object_get(body, "model")), QWEN);
	assert_string_equal(json_string_value(json_object_get(body, "prompt")), "一只可爱的熊猫");
	assert_non_null(strstr(s.requests[0], "POST /v1/images/generations HTTP/1.1\r\n"));
	assert_non_null(strstr(s.requests[0], "\r\nX-ModelScope-Async-Mode: true\r\n"));
	assert_non_null(strstr(s.requests[0], "\r\nAuthorization: Bearer " KEY "\r\n"));
	for (int i = 1; i <= 3; i++) {
		assert_non_null(strstr(s.requests[i], "GET /v1/tasks/caffccb8-7999 HTTP/1.1\r\n"));
		assert_non_null(
			strstr(s.requests[i], "\r\nX-ModelScope-Task-Type: image_generation\r\n"));
		assert_non_null(strstr(s.requests[i], "\r\nAuthorization: Bearer " KEY "\r\n"));
	}
	assert_int_equal(atomic_load(&s.said), 4);
	assert_null(strcasestr(s.picture_request, "authorization"));
	assert_string_equal(t.ids, "[caffccb8-7999]");
	assert_string_equal(t.stages, "provider.submit provider.wait fetch ");
	assert_string_equal(t.call.upstream_request_id, "req-body");
	assert_int_equal(t.call.quota_left, 42);
}

static void
polls_come_slower_and_slower_and_heed_retry_after(void **state)
{
	static const struct step steps[] = {
		ACCEPTED,
		STATE("PENDING"),
		STATE("PENDING"),
		{ "429 Too Many Requests", "{\"errors\":{\"message\":\"slow\"}}",
		  "Retry-After: 7\r\n" },
		STATE("RUNNING"),
		STATE("RUNNING"),
		STATE("RUNNING"),
		STATE("RUNNING"),
		STATE("RUNNING"),
		PICTURE_IN("0"),
	};
	static const int expected[] = { 500, 750, 1125, 7000, 2530, 3795, 5000, 5000, 5000 };
	AUTO(script) s = { .n = 0 };
	AUTO(attempt) t = { .rq = wish(1) };

	(void)state;
	START(&s, steps);
	attempt_run(&t, &s, QWEN, 60000);
	expect_pictures(&t, 1, "");
	assert_int_equal(pauses.n, sizeof(expected) / sizeof(expected[0]));
	for (size_t i = 0; i < pauses.n; i++)
		if (abs(pauses.ms[i] - expected[i]) > 10)
			fail_msg("pause %zu is %d ms, not %d", i, pauses.ms[i], expected[i]);
}

static void
whatever_may_pass_is_asked_again(void **state)
{
	static const struct step steps[] = {
		ACCEPTED,
		{ "502 Bad Gateway", "<html><title>502 Bad Gateway</title></html>" },
		{ "500 Internal Server Error", "{\"errors\":{\"message\":\"oops\"}}" },
		{ "503 Service Unavailable", "" },
		{ "429 Too Many Requests", "{\"errors\":{\"message\":\"slow\"}}" },
		{ "408 Request Timeout", "" },
		{ NULL },
		{ "200 OK", "<html><title>Welcome</title></html>" },
		{ "200 OK", "{\"task_status\":" },
		{ "200 OK", "" },
		{ "404 Not Found", "{\"errors\":{\"message\":\"task not found\"}}" },
		{ "404 Not Found", "{\"errors\":{\"message\":\"task not found\"}}" },
		STATE("PENDING"),
		{ "404 Not Found", "{\"errors\":{\"message\":\"task not found\"}}" },
		{ "200 OK", "{\"task_id\":\"task-1\"}" },
		STATE("WARMING_UP_THE_OVEN"),
		PICTURE_IN("0"),
	};
	AUTO(script) s = { .n = 0 };
	AUTO(attempt) t = { .rq = wish(1) };

	(void)state;
	START(&s, steps);
	attempt_run(&t, &s, QWEN, 120000);
	expect_pictures(&t, 1, "");
	assert_int_equal(atomic_load(&s.fetched), 1);
}

/* ---- parameters ---- */

static void
the_parameters_are_put_into_its_ranges_and_its_words(void **state)
{
	static const struct {
		const char *model;
		uint32_t w, h;
		int64_t seed;
		int steps;
		double guidance;
		const char *sent, *receipt;
	} rows[] = {
		{ QWEN, 1024, 1024, 12345, 30, 3.5,
		  "\"size\":\"1024x1024\",\"seed\":12345,\"steps\":30,\"guidance\":3.5", "" },
		{ QWEN, 2048, 1024, -1, 0, -1, "\"size\":\"1664x832\"", "size=1664x832" },
		{ "MAILAND/majicflus_v1", 1536, 1024, -1, 0, -1, "\"size\":\"1024x680\"",
		  "size=1024x680" },
		{ QWEN, 0, 0, INT64_C(2147483647), 100, 20,
		  "\"seed\":2147483647,\"steps\":100,\"guidance\":20", "" },
		{ QWEN, 0, 0, INT64_C(2147483650), 101, 20.5,
		  "\"seed\":2,\"steps\":100,\"guidance\":20", "seed=2; steps=100; guidance=20" },
		{ QWEN, 0, 0, 0, 1, 0, "\"seed\":0,\"steps\":1,\"guidance\":1.5", "guidance=1.5" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		static const struct step steps[] = { ACCEPTED, PICTURE_IN("0") };
		AUTO(script) s = { .n = 0 };
		AUTO(attempt) t = { .rq = wish(1) };
		json_auto_t *body = NULL, *expected = NULL;
		char text[512];

		t.rq.given = ~PARAM_BIT(PARAM__MAX) & ~PARAM_BIT(PARAM_SIZE);
		t.rq.width = rows[i].w;
		t.rq.height = rows[i].h;
		t.rq.seed = rows[i].seed;
		t.rq.steps = rows[i].steps;
		t.rq.guidance = rows[i].guidance;
		t.rq.negative_prompt = "低质量";
		t.rq.quality = "high";
		t.rq.style = "vivid";
		t.rq.background = "opaque";
		t.rq.moderation = "low";
		t.rq.user = "u1";
		t.rq.sampler = "euler";
		t.rq.response_format = RESPONSE_B64;
		START(&s, steps);
		attempt_run(&t, &s, rows[i].model, 10000);
		expect_pictures(&t, 1, rows[i].sent);
		body = sent(&s, 0);
		(void)snprintf(text, sizeof(text),
			       "{\"model\":\"%s\",\"prompt\":\"一只可爱的熊猫\","
			       "\"negative_prompt\":\"低质量\",%s}",
			       rows[i].model, rows[i].sent);
		expected = json_loads(text, 0, NULL);
		assert_non_null(expected);
		/* 20.0 and 20 are the same guidance. */
		if (json_is_integer(json_object_get(expected, "guidance")))
			(void)json_object_set_new(expected, "guidance",
						  json_real(json_number_value(
							  json_object_get(expected, "guidance"))));
		if (!json_equal(body, expected))
			fail_msg("sent: %s\nexpected: %s", strstr(s.requests[0], "\r\n\r\n") + 4,
				 text);
		receipt_text(&t.receipt, text, sizeof(text));
		assert_string_equal(text, rows[i].receipt);
	}
}

static void
auto_is_the_models_own_size(void **state)
{
	static const struct step steps[] = { ACCEPTED, PICTURE_IN("0") };
	AUTO(script) s = { .n = 0 };
	AUTO(attempt) t = { .rq = wish(1) };
	json_auto_t *body = NULL;

	(void)state;
	t.rq.given = PARAM_BIT(PARAM_SIZE);
	START(&s, steps);
	attempt_run(&t, &s, QWEN, 10000);
	expect_pictures(&t, 1, "");
	body = sent(&s, 0);
	assert_null(json_object_get(body, "size"));
	assert_string_equal(receipt_of(&t.receipt, PARAM_SIZE), "=the model's default");
}

static void
sizes_are_brought_into_the_models_range(void **state)
{
	static const struct {
		const char *model;
		uint32_t w, h, as_w, as_h;
	} rows[] = {
		{ QWEN, 64, 64, 64, 64 },
		{ QWEN, 1664, 928, 1664, 928 },
		{ QWEN, 1001, 77, 1001, 77 },
		{ QWEN, 1665, 1665, 1664, 1664 },
		{ QWEN, 2048, 2048, 1664, 1664 },
		{ QWEN, 1024, 2048, 832, 1664 },
		{ QWEN, 63, 63, 64, 64 },
		{ QWEN, 32, 64, 64, 128 },
		{ QWEN, 16384, 16, 1664, 64 },
		{ QWEN, 1, 1000, 64, 1664 },
		{ "someone/my-qwen-image-lora", 2000, 1000, 1664, 832 },
		{ "black-forest-labs/FLUX.1-Krea-dev", 1024, 1024, 1024, 1024 },
		{ "black-forest-labs/FLUX.1-Krea-dev", 1792, 1024, 1024, 584 },
		{ "MAILAND/majicflus_v1", 1025, 1025, 1024, 1024 },
		{ "fluxlover/stable-diffusion-xl", 2048, 1024, 2048, 1024 },
		{ "Tongyi-MAI/Z-Image-Turbo", 4096, 1024, 2048, 512 },
		{ "plain", 2048, 2049, 2048, 2048 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		uint32_t w = rows[i].w, h = rows[i].h;
		bool changed = modelscope_size(rows[i].model, &w, &h);

		if (w != rows[i].as_w || h != rows[i].as_h ||
		    changed != (w != rows[i].w || h != rows[i].h))
			fail_msg("%s %ux%u became %ux%u, changed %d", rows[i].model, rows[i].w,
				 rows[i].h, w, h, changed);
	}
}

static void
a_negative_prompt_that_is_too_long_is_refused_before_anything_is_sent(void **state)
{
	static const struct step steps[] = { ACCEPTED, PICTURE_IN("0") };
	static char text[3 * 2000 + 1];
	AUTO(script) s = { .n = 0 };

	(void)state;
	for (size_t i = 0; i + 1 < sizeof(text); i++)
		text[i] = "猫"[i % 3];
	START(&s, steps);
	for (unsigned cut = 0; cut < 2; cut++) {
		AUTO(attempt) t = { .rq = wish(1) };

		t.rq.negative_prompt = text + 3 * cut;
		attempt_run(&t, &s, QWEN, 10000);
		if (cut) {
			expect_pictures(&t, 1, "1,999 characters");
			continue;
		}
		assert_int_equal(t.rc, -1);
		assert_int_equal(t.e.kind, ERR_TOO_LONG);
		assert_string_equal(t.e.param, "negative_prompt");
		assert_string_equal(t.e.found, "2000");
		assert_int_equal(atomic_load(&s.said), 0);
	}
}

static void
the_capabilities_say_what_is_kept(void **state)
{
	const struct image_caps *c = provider_driver(DIALECT_MODELSCOPE)->caps(QWEN);
	static const enum image_param kept[] = { PARAM_N,    PARAM_SIZE,  PARAM_NEGATIVE_PROMPT,
						 PARAM_SEED, PARAM_STEPS, PARAM_GUIDANCE };
	unsigned expected = 0;

	(void)state;
	for (size_t i = 0; i < sizeof(kept) / sizeof(kept[0]); i++)
		expected |= PARAM_BIT(kept[i]);
	assert_int_equal(c->keeps, expected);
	assert_int_equal(c->n_max, 1);
	assert_int_equal(c->prompt_max, 1999);
	assert_false(c->b64_default);
	assert_non_null(strstr(c->sizes, "1664"));
}

/* ---- shapes ---- */

static char b64[BASE64_ENCODED(PICTURE_BYTES) + 1], b64_answer[sizeof(b64) + 128];

static void
b64_make(void)
{
	unsigned char p[PICTURE_BYTES];

	picture_make(p, 0);
	b64[base64_encode(b64, p, sizeof(p))] = '\0';
	(void)snprintf(b64_answer, sizeof(b64_answer),
		       "{\"task_id\":\"t\",\"task_status\":\"SUCCEED\",\"data\":[{\"b64_json\":\"%"
		       "s\"}]}",
		       b64);
}

static void
pictures_are_found_in_every_shape_in_both_answers(void **state)
{
	static const char *const shapes[] = {
		"{\"images\":[{\"url\":\"/p/0\"}],\"request_id\":\"r\"}",
		"{\"data\":[{\"url\":\"/p/0\"}]}",
		"{\"output_images\":[\"/p/0\"]}",
		"{\"output_images\":[{\"url\":\"/p/0\"}]}",
		"{\"task_id\":\"t\",\"task_status\":\"SUCCEED\",\"output_images\":[\"/p/0\"]}",
		"{\"task_id\":\"t\",\"task_status\":\"SUCCEEDED\",\"images\":[{\"url\":\"/p/0\"}]}",
		"{\"task_status\":\"Success\",\"data\":{\"image_url\":\"/p/0\"}}",
		"{\"status\":\"done\",\"output_images\":[\"/p/0\"]}",
		"{\"task_status\":\"FINISHED_AT_LAST\",\"output_images\":[\"/p/0\",\"/p/1\"]}",
		b64_answer,
	};

	(void)state;
	b64_make();
	for (size_t i = 0; i < sizeof(shapes) / sizeof(shapes[0]); i++) {
		const struct step direct[] = { { "200 OK", shapes[i] } };
		const struct step polled[] = { ACCEPTED,
					       STATE("PENDING"),
					       { "200 OK", shapes[i] } };
		AUTO(script) s = { .n = 0 }, later = { .n = 0 };

		{
			AUTO(attempt) t = { .rq = wish(1) };

			START(&s, direct);
			attempt_run(&t, &s, "MAILAND/majicflus_v1", 10000);
			expect_pictures(&t, 1, shapes[i]);
			assert_int_equal(atomic_load(&s.said), 1);
			assert_string_equal(t.ids, "");
		}
		{
			AUTO(attempt) t = { .rq = wish(1) };

			START(&later, polled);
			attempt_run(&t, &later, QWEN, 10000);
			expect_pictures(&t, 1, shapes[i]);
			assert_int_equal(atomic_load(&later.said), 3);
		}
	}
}

static void
a_task_is_found_in_what_relays_wrap_around_it(void **state)
{
	static const char *const shapes[] = {
		"{\"output\":{\"task_id\":\"t-9\",\"task_status\":\"PENDING\"}}",
		"{\"code\":200,\"data\":[{\"status\":\"submitted\",\"task_id\":\"t-9\"}]}",
		"{\"data\":{\"task_id\":\"t-9\"}}",
		"{\"task_id\":\"t-9\",\"task_status\":\"SUCCEED\"}",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(shapes) / sizeof(shapes[0]); i++) {
		const struct step steps[] = { { "200 OK", shapes[i] }, PICTURE_IN("0") };
		AUTO(script) s = { .n = 0 };
		AUTO(attempt) t = { .rq = wish(1) };

		START(&s, steps);
		attempt_run(&t, &s, QWEN, 10000);
		expect_pictures(&t, 1, shapes[i]);
		assert_string_equal(t.ids, "[t-9]");
	}
}

/* ---- failures ---- */

static void
a_task_that_failed_says_why(void **state)
{
	static const struct {
		const char *status, *body;
		enum err_kind kind;
		const char *message, *request_id;
	} rows[] = {
		{ "200 OK",
		  "{\"task_status\":\"FAILED\",\"errors\":{\"message\":\"out of memory\"},"
		  "\"request_id\":\"83e4\"}",
		  ERR_UP_FAILED, "out of memory", "83e4" },
		{ "200 OK", "{\"task_status\":\"FAILED\",\"message\":\"no luck\"}", ERR_UP_FAILED,
		  "no luck", "" },
		{ "200 OK", "{\"task_status\":\"failed\",\"error\":\"no luck\"}", ERR_UP_FAILED,
		  "no luck", "" },
		{ "200 OK", "{\"task_status\":\"FAILED\",\"task_msg\":\"no luck\"}", ERR_UP_FAILED,
		  "no luck", "" },
		{ "200 OK",
		  "{\"task_status\":\"FAILED\",\"error\":{\"message\":\"bad\",\"code\":400}}",
		  ERR_UP_FAILED, "bad", "" },
		{ "200 OK", "{\"task_status\":\"FAILED\"}", ERR_UP_FAILED, "task_status FAILED",
		  "" },
		{ "200 OK", "{\"task_status\":\"CANCELED\"}", ERR_UP_FAILED, "task_status CANCELED",
		  "" },
		{ "200 OK", "{\"task_status\":\"ERROR\"}", ERR_UP_FAILED, "task_status ERROR", "" },
		{ "200 OK", "{\"task_status\":\"TIMEOUT\"}", ERR_UP_FAILED, "task_status TIMEOUT",
		  "" },
		{ "500 Internal Server Error",
		  "{\"task_status\":\"FAILED\",\"errors\":{\"message\":\"no luck\"}}",
		  ERR_UP_FAILED, "no luck", "" },
		{ "200 OK",
		  "{\"task_status\":\"FAILED\",\"errors\":{\"message\":\"blocked by moderation\"}}",
		  ERR_UP_POLICY, "blocked by moderation", "" },
		{ "200 OK", "{\"task_status\":\"FAILED\",\"task_msg\":\"图片包含敏感内容\"}",
		  ERR_UP_POLICY, "图片包含敏感内容", "" },
		{ "200 OK", "{\"errors\":{\"message\":\"worker lost\"}}", ERR_UP_FAILED,
		  "worker lost", "" },
		{ "200 OK", "{\"task_status\":\"SUCCEED\",\"output_images\":[]}", ERR_UP_GARBAGE,
		  NULL, "" },
		{ "200 OK", "{\"task_status\":\"SUCCEED\"}", ERR_UP_GARBAGE, NULL, "" },
		{ "401 Unauthorized", "{\"errors\":{\"message\":\"Authentication failed\"}}",
		  ERR_UP_AUTH, "Authentication failed", "" },
		{ "400 Bad Request", "{\"errors\":{\"message\":\"task type is required\"}}",
		  ERR_UP_REJECTED, "task type is required", "" },
		{ "429 Too Many Requests",
		  "{\"errors\":{\"message\":\"You have exceeded today's quota for model x\"}}",
		  ERR_UP_QUOTA, "You have exceeded today's quota for model x", "" },
		{ "404 Not Found", "{\"errors\":{\"message\":\"task not found\"}}",
		  ERR_OUTCOME_UNKNOWN, "task not found", "" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const struct step steps[] = { ACCEPTED,
					      STATE("PENDING"),
					      { rows[i].status, rows[i].body } };
		AUTO(script) s = { .n = 0 };
		AUTO(attempt) t = { .rq = wish(1) };

		START(&s, steps);
		attempt_run(&t, &s, QWEN, 10000);
		expect_failure(&t, rows[i].kind, "provider.poll", true, rows[i].body);
		assert_int_equal(err_status(&t.e), rows[i].kind == ERR_UP_POLICY ? 400 : 502);
		if (rows[i].message)
			assert_string_equal(t.e.upstream.message, rows[i].message);
		assert_string_equal(t.e.upstream.request_id, rows[i].request_id);
		assert_false(err_retry(&t.e) && err_status(&t.e) == 429);
	}
}

static void
a_refused_submission_says_why(void **state)
{
	static const struct {
		struct step step;
		enum err_kind kind;
		bool billed;
		const char *message;
	} rows[] = {
		{ { "400 Bad Request", "{\"errors\":{\"message\":\"image-gen task currently does "
				       "not support synchronous "
				       "calls.\"},\"request_id\":\"r\"}" },
		  ERR_UP_ASYNC,
		  false,
		  NULL },
		{ { "400 Bad Request",
		    "{\"errors\":{\"message\":\"submit image generation task error\"},"
		    "\"request_id\":\"r\"}" },
		  ERR_UP_REJECTED,
		  false,
		  "submit image generation task error" },
		{ { "400 Bad Request",
		    "{\"error\":{\"message\":\"bad size\",\"request_id\":\"r\"}}" },
		  ERR_UP_REJECTED,
		  false,
		  "bad size" },
		{ { "401 Unauthorized",
		    "{\"errors\":{\"message\":\"Authentication failed\"},\"request_id\":\"r\"}" },
		  ERR_UP_AUTH,
		  false,
		  "Authentication failed" },
		{ { "429 Too Many Requests",
		    "{\"errors\":{\"message\":\"one at a time\"},\"request_id\":\"r\"}" },
		  ERR_UP_RATE,
		  false,
		  "one at a time" },
		{ { "429 Too Many Requests",
		    "{\"errors\":{\"message\":\"too many\"},\"request_id\":\"r\"}",
		    "modelscope-ratelimit-model-requests-remaining: 0\r\n" },
		  ERR_UP_QUOTA,
		  false,
		  "too many" },
		{ { "429 Too Many Requests",
		    "{\"errors\":{\"message\":\"You have exceeded today's quota for model "
		    "x\"},\"request_id\":\"r\"}" },
		  ERR_UP_QUOTA,
		  false,
		  NULL },
		{ { "503 Service Unavailable",
		    "{\"errors\":{\"message\":\"Server is busy, please try again later\"},"
		    "\"request_id\":\"r\"}" },
		  ERR_UP_FAILED,
		  false,
		  "Server is busy, please try again later" },
		{ { "500 Internal Server Error",
		    "{\"errors\":{\"message\":\"oops\"},\"request_id\":\"r\"}" },
		  ERR_UP_FAILED,
		  true,
		  "oops" },
		{ { "200 OK", "{\"errors\":{\"message\":\"oops\"},\"request_id\":\"r\"}" },
		  ERR_UP_FAILED,
		  true,
		  "oops" },
		{ { "200 OK", "{\"task_id\":\"t\",\"task_status\":\"FAILED\",\"message\":\"oops\","
			      "\"request_id\":\"r\"}" },
		  ERR_UP_FAILED,
		  true,
		  "oops" },
		{ { "200 OK", "{\"task_id\":\"../admin\"}" }, ERR_UP_GARBAGE, true, "../admin" },
		{ { "200 OK", "{\"task_id\":\"a/b?c\"}" }, ERR_UP_GARBAGE, true, NULL },
		{ { "200 OK", "{\"task_id\":\"\"}" }, ERR_UP_GARBAGE, true, NULL },
		{ { "200 OK", "{}" }, ERR_UP_GARBAGE, true, NULL },
		{ { "200 OK", "" }, ERR_UP_GARBAGE, true, NULL },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		AUTO(script) s = { .n = 0 };
		AUTO(attempt) t = { .rq = wish(1) };
		const char *stage;

		script_start(&s, &rows[i].step, 1);
		attempt_run(&t, &s, QWEN, 10000);
		/* What was no refusal is told where it is read. */
		stage = t.e.stage ? t.e.stage : "-";
		expect_failure(&t, rows[i].kind, stage, rows[i].billed, rows[i].step.body);
		assert_true(!strncmp(stage, "provider.", 9));
		if (rows[i].message)
			assert_string_equal(t.e.upstream.message, rows[i].message);
		if (strstr(rows[i].step.body, "request_id"))
			assert_string_equal(t.e.upstream.request_id, "r");
		assert_int_equal(atomic_load(&s.said), 1);
		assert_string_equal(t.ids, "");
	}
}

static void
an_async_refusal_is_certain(void **state)
{
	static const struct step steps[] = {
		{ "400 Bad Request", "{\"errors\":{\"message\":\"image-gen task currently does not "
				     "support synchronous calls\"}}" }
	};
	AUTO(script) s = { .n = 0 };
	AUTO(attempt) t = { .rq = wish(1) };

	(void)state;
	START(&s, steps);
	attempt_run(&t, &s, QWEN, 10000);
	expect_failure(&t, ERR_UP_ASYNC, "provider.submit", false, "");
	assert_string_equal(err_confidence(&t.e), "certain");
}

static void
a_submission_without_an_answer_may_have_been_billed_and_is_not_repeated(void **state)
{
	static const struct step steps[] = { { NULL } };
	AUTO(script) s = { .n = 0 };
	AUTO(attempt) t = { .rq = wish(1) };

	(void)state;
	START(&s, steps);
	attempt_run(&t, &s, QWEN, 10000);
	expect_failure(&t, ERR_UP_RESET, "provider.wait", true, "");
	assert_int_equal(atomic_load(&s.said), 1);
}

static void
a_picture_that_cannot_be_fetched_says_so(void **state)
{
	static const char *const urls[] = { "/p/x", "http://169.254.169.254/latest/" };
	static const enum err_kind kinds[] = { ERR_FETCH_FAILED, ERR_FETCH_REFUSED };

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		char body[256];
		const struct step steps[] = { ACCEPTED, { "200 OK", body } };
		AUTO(script) s = { .n = 0 };
		AUTO(attempt) t = { .rq = wish(1) };

		(void)snprintf(body, sizeof(body),
			       "{\"task_status\":\"SUCCEED\",\"output_images\":[\"%s\"]}", urls[i]);
		START(&s, steps);
		attempt_run(&t, &s, QWEN, 10000);
		expect_failure(&t, kinds[i], "fetch", true, urls[i]);
		assert_int_equal(atomic_load(&s.fetched), i ? 0 : 3);
	}
}

/* ---- the deadline ---- */

static void
a_task_that_never_ends_is_left_at_the_deadline(void **state)
{
	static const struct step steps[][3] = {
		{ ACCEPTED, STATE("PENDING"), STATE("PROCESSING") },
		{ ACCEPTED, STATE("PROCESSING"), { "silence" } },
		{ ACCEPTED,
		  STATE("PROCESSING"),
		  { "502 Bad Gateway", "<title>502 Bad Gateway</title>" } },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
		AUTO(script) s = { .n = 0 };
		AUTO(attempt) t = { .rq = wish(1) };
		int64_t sum = 0;

		START(&s, steps[i]);
		pauses.real = true;
		attempt_run(&t, &s, QWEN, 2000);
		expect_failure(&t, ERR_DEADLINE, "provider.poll", true, "");
		if (t.ms < 1995 || t.ms > 2000 + LATE_MS)
			fail_msg("row %zu ended after %d ms", i, (int)t.ms);
		assert_non_null(strstr(t.e.about, "PROCESSING"));
		assert_string_equal(t.ids, "[task-1]");
		if (i == 2)
			assert_int_equal(t.e.upstream.status, 502);
		/* The ledger knows where the time went. */
		for (int k = 0; k < LEDGER__MAX; k++)
			sum += t.ledger.us[k];
		if (sum / 1000 < t.ms - 100 || sum / 1000 > t.ms + 100)
			fail_msg("row %zu: the ledger knows of %d of %d ms", i, (int)(sum / 1000),
				 (int)t.ms);
	}
}

static void
there_is_a_last_look_before_the_deadline(void **state)
{
	/* After 0.5, 1.25, 2.4 s the next poll would come at 4.1 s: there is one at 2.6 s. */
	static const struct step steps[] = { ACCEPTED, STATE("PENDING"), STATE("PENDING"),
					     PICTURE_IN("0") };
	AUTO(script) s = { .n = 0 };
	AUTO(attempt) t = { .rq = wish(1) };

	(void)state;
	START(&s, steps);
	pauses.real = true;
	attempt_run(&t, &s, QWEN, 2300);
	expect_pictures(&t, 1, "");
	assert_true(pauses.ms[2] < 1125);
}

/* ---- several ---- */

static void
several_pictures_are_several_tasks_one_after_the_other(void **state)
{
	static const struct step steps[] = {
		{ "200 OK", "{\"task_id\":\"a\"}" },
		STATE("RUNNING"),
		PICTURE_IN("0"),
		{ "200 OK", "{\"task_id\":\"b\"}" },
		PICTURE_IN("1"),
		{ "200 OK", "{\"images\":[{\"url\":\"/p/2\"}]}" },
	};
	AUTO(script) s = { .n = 0 };
	AUTO(attempt) t = { .rq = wish(3) };
	static const int submissions[] = { 0, 3, 5 };

	(void)state;
	t.rq.given |= PARAM_BIT(PARAM_SEED);
	t.rq.seed = 0x7fffffff;
	START(&s, steps);
	attempt_run(&t, &s, QWEN, 10000);
	expect_pictures(&t, 3, "");
	assert_string_equal(receipt_of(&t.receipt, PARAM_N), "=3 tasks");
	assert_string_equal(receipt_of(&t.receipt, PARAM_SEED),
			    "=2147483647, one more for each picture");
	for (int i = 0; i < 3; i++) {
		json_auto_t *body = sent(&s, submissions[i]);
		static const json_int_t seeds[] = { 2147483647, 0, 1 };

		assert_int_equal(json_integer_value(json_object_get(body, "seed")), seeds[i]);
		assert_null(json_object_get(body, "n"));
	}
	/* No id of an ended task stands while the next one is submitted. */
	assert_string_equal(t.ids, "[a][][b][]");
}

static void
pictures_that_came_stay_when_a_later_task_fails(void **state)
{
	static const struct step steps[] = {
		ACCEPTED,
		PICTURE_IN("0"),
		ACCEPTED,
		{ "200 OK", "{\"task_status\":\"FAILED\",\"message\":\"no luck\"}" }
	};
	AUTO(script) s = { .n = 0 };
	AUTO(attempt) t = { .rq = wish(3) };

	(void)state;
	START(&s, steps);
	attempt_run(&t, &s, QWEN, 10000);
	/* That some came is said by whoever asked for them all: job/image_run.c. */
	expect_failure(&t, ERR_UP_FAILED, "provider.poll", true, "");
	assert_int_equal(t.call.nimages, 1);
	assert_string_equal(t.e.upstream.message, "no luck");
	assert_int_equal(atomic_load(&s.said), 4);
}

static void
pictures_that_came_stay_at_the_deadline(void **state)
{
	static const struct step steps[] = { ACCEPTED, PICTURE_IN("0"), ACCEPTED,
					     STATE("RUNNING") };
	AUTO(script) s = { .n = 0 };
	AUTO(attempt) t = { .rq = wish(2) };

	(void)state;
	START(&s, steps);
	pauses.real = true;
	attempt_run(&t, &s, QWEN, 1800);
	expect_failure(&t, ERR_DEADLINE, "provider.poll", true, "");
	assert_int_equal(t.call.nimages, 1);
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_task_is_submitted_polled_and_its_picture_fetched),
		cmocka_unit_test(polls_come_slower_and_slower_and_heed_retry_after),
		cmocka_unit_test(whatever_may_pass_is_asked_again),
		cmocka_unit_test(the_parameters_are_put_into_its_ranges_and_its_words),
		cmocka_unit_test(auto_is_the_models_own_size),
		cmocka_unit_test(sizes_are_brought_into_the_models_range),
		cmocka_unit_test(
			a_negative_prompt_that_is_too_long_is_refused_before_anything_is_sent),
		cmocka_unit_test(the_capabilities_say_what_is_kept),
		cmocka_unit_test(pictures_are_found_in_every_shape_in_both_answers),
		cmocka_unit_test(a_task_is_found_in_what_relays_wrap_around_it),
		cmocka_unit_test(a_task_that_failed_says_why),
		cmocka_unit_test(a_refused_submission_says_why),
		cmocka_unit_test(an_async_refusal_is_certain),
		cmocka_unit_test(
			a_submission_without_an_answer_may_have_been_billed_and_is_not_repeated),
		cmocka_unit_test(a_picture_that_cannot_be_fetched_says_so),
		cmocka_unit_test(a_task_that_never_ends_is_left_at_the_deadline),
		cmocka_unit_test(there_is_a_last_look_before_the_deadline),
		cmocka_unit_test(several_pictures_are_several_tasks_one_after_the_other),
		cmocka_unit_test(pictures_that_came_stay_when_a_later_task_fails),
		cmocka_unit_test(pictures_that_came_stay_at_the_deadline),
	};

	return cmocka_run_group_tests(tests, folder_setup, folder_teardown);
}
