#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"
#include "base/scrub.h"
#include "provider/upstream_error.h"

#include "cost_help.h"

#define CREDENTIAL "relay-key-of-no-known-shape"

static struct err
judge(const struct upstream_head *h, const char *body, size_t n)
{
	struct upstream_failure f = { "acme", CREDENTIAL, h };
	struct err e = { 0 };

	assert_int_equal(upstream_error(&f, body, n, &e), -1);
	assert_string_equal(e.upstream.name, "acme");
	assert_int_equal(e.upstream.status, h->status);
	assert_string_equal(e.stage, "provider.submit");
	return e;
}

struct row {
	int status;
	const char *type; /* NULL: application/json */
	const char *body;
	enum err_kind kind;
	int answer; /* our status; 0: the catalogue's */
	const char *message, *param;
	bool billed;
};

#define HTML "text/html"

static const struct row rows[] = {
	/* the credential */
	{ 401, NULL,
	  "{\"error\":{\"message\":\"Incorrect API key "
	  "provided.\",\"type\":\"invalid_request_error\","
	  "\"param\":null,\"code\":\"invalid_api_key\"}}",
	  ERR_UP_AUTH, 502, "Incorrect API key provided." },
	{ 401, NULL, "{\"errors\":{\"message\":\"Authentication failed\"},\"request_id\":\"83e4\"}",
	  ERR_UP_AUTH, 502, "Authentication failed" },
	{ 401, HTML, "<html><title>401 Unauthorized</title></html>", ERR_UP_AUTH, 502,
	  "401 Unauthorized" },
	{ 403, NULL,
	  "{\"error\":{\"message\":\"Your organization must be verified\",\"type\":"
	  "\"invalid_request_error\",\"param\":null,\"code\":null}}",
	  ERR_UP_AUTH, 502, "Your organization must be verified" },
	{ 400, NULL, "{\"error\":{\"code\":400,\"message\":\"API key not valid.\"}}", ERR_UP_AUTH,
	  502, "API key not valid." },
	{ 403, "", "", ERR_UP_AUTH, 502, "" },
	/* the edge */
	{ 403, HTML, "<!DOCTYPE html><html><head><TITLE> Just a moment...\n</TITLE>",
	  ERR_UP_CHALLENGE, 502, "Just a moment..." },
	{ 403, "", "\n <html>no title", ERR_UP_CHALLENGE, 502, "" },
	{ 200, HTML, "<html><title>Attention Required! | Cloudflare</title>", ERR_UP_CHALLENGE, 502,
	  "Attention Required! | Cloudflare" },
	/* quota */
	{ 402, NULL, "{\"error\":\"Payment required\"}", ERR_UP_QUOTA, 502, "Payment required" },
	{ 429, NULL,
	  "{\"error\":{\"message\":\"You exceeded your current quota, please check your plan and "
	  "billing details.\",\"type\":\"insufficient_quota\",\"code\":\"insufficient_quota\"}}",
	  ERR_UP_QUOTA, 502,
	  "You exceeded your current quota, please check your plan and billing details." },
	{ 429, NULL,
	  "{\"error\":{\"message\":\"-\",\"type\":\"insufficient_quota\",\"code\":"
	  "\"project_spend_limit_exceeded\"}}",
	  ERR_UP_QUOTA, 502, "-" },
	{ 400, NULL,
	  "{\"error\":{\"message\":\"Billing hard limit has been reached\",\"type\":"
	  "\"image_generation_user_error\",\"code\":\"billing_hard_limit_reached\"}}",
	  ERR_UP_QUOTA, 502, "Billing hard limit has been reached" },
	{ 403, NULL,
	  "{\"error\":{\"message\":\"用户额度不足\",\"type\":\"new_api_error\",\"param\":\"\","
	  "\"code\":\"insufficient_user_quota\"}}",
	  ERR_UP_QUOTA, 502, "用户额度不足" },
	{ 403, NULL, "{\"message\":\"余额不足，请充值\"}", ERR_UP_QUOTA, 502, "余额不足，请充值" },
	/* rate */
	{ 429, NULL,
	  "{\"error\":{\"message\":\"Rate limit reached for gpt-image-1\",\"type\":\"requests\","
	  "\"code\":\"rate_limit_exceeded\"}}",
	  ERR_UP_RATE, 429, "Rate limit reached for gpt-image-1" },
	{ 429, NULL,
	  "{\"errors\":{\"message\":\"You have exceeded today's quota for model Qwen/Qwen-Image, "
	  "please try again tomorrow\"},\"request_id\":\"83e4\"}",
	  ERR_UP_QUOTA, 502,
	  "You have exceeded today's quota for model Qwen/Qwen-Image, please try again tomorrow" },
	{ 429, HTML, "<title>429 Too Many Requests</title>", ERR_UP_RATE, 429,
	  "429 Too Many Requests" },
	{ 408, "", "", ERR_UP_RATE, 429, "" },
	{ 425, "", "Too Early", ERR_UP_RATE, 429, "Too Early" },
	/* policy */
	{ 400, NULL,
	  "{\"error\":{\"message\":\"Your request was rejected by the safety system. "
	  "safety_violations=[violence].\",\"type\":\"image_generation_user_error\",\"param\":null,"
	  "\"code\":\"moderation_blocked\"}}",
	  ERR_UP_POLICY, 400,
	  "Your request was rejected by the safety system. safety_violations=[violence]." },
	{ 400, NULL,
	  "{\"error\":{\"message\":\"Your request was "
	  "rejected\",\"code\":\"content_policy_violation\"}}",
	  ERR_UP_POLICY, 400, "Your request was rejected" },
	{ 451, "text/plain", "Unavailable For Legal Reasons", ERR_UP_POLICY, 400,
	  "Unavailable For Legal Reasons" },
	{ 403, NULL, "{\"error\":\"blocked by moderation\"}", ERR_UP_POLICY, 400,
	  "blocked by moderation" },
	{ 400, NULL, "{\"error\":{\"message\":\"提示词包含敏感内容\"}}", ERR_UP_POLICY, 400,
	  "提示词包含敏感内容" },
	{ 500, NULL, "{\"error\":{\"message\":\"x\",\"code\":\"moderation_blocked\"}}",
	  ERR_UP_POLICY, 400, "x", NULL, true },
	/* async */
	{ 400, NULL,
	  "{\"errors\":{\"message\":\"image-gen task currently does not support synchronous calls. "
	  "Please refer to the documentation and set header X-ModelScope-Async-Mode=true\"},"
	  "\"request_id\":\"ff94802f\"}",
	  ERR_UP_ASYNC, 502,
	  "image-gen task currently does not support synchronous calls. Please refer to the "
	  "documentation and set header X-ModelScope-Async-Mode=true" },
	{ 403, NULL, "{\"message\":\"current user api does not support synchronous calls\"}",
	  ERR_UP_ASYNC, 502, "current user api does not support synchronous calls" },
	{ 403, NULL, "{\"message\":\"current user api does not support asynchronous calls\"}",
	  ERR_UP_AUTH, 502, "current user api does not support asynchronous calls" },
	/* the parameters */
	{ 400, NULL,
	  "{\"error\":{\"message\":\"Invalid value: "
	  "'1254x836'.\",\"type\":\"invalid_request_error\","
	  "\"param\":\"size\",\"code\":\"invalid_value\"}}",
	  ERR_UP_REJECTED, 400, "Invalid value: '1254x836'.", "size" },
	{ 400, NULL,
	  "{\"error\":{\"message\":\"Invalid value for moderation: "
	  "'high'.\",\"param\":\"moderation\","
	  "\"code\":\"invalid_value\"}}",
	  ERR_UP_REJECTED, 400, "Invalid value for moderation: 'high'.", "moderation" },
	{ 400, NULL,
	  "{\"errors\":{\"message\":\"submit image generation task error\"},"
	  "\"request_id\":\"83e4\"}",
	  ERR_UP_REJECTED, 400, "submit image generation task error", "" },
	{ 422, NULL,
	  "{\"detail\":[{\"loc\":[\"body\",\"steps\"],\"msg\":\"value is not a valid integer\","
	  "\"type\":\"type_error.integer\"}]}",
	  ERR_UP_REJECTED, 400, "value is not a valid integer", "steps" },
	{ 422, NULL, "{\"detail\":\"no such sampler\"}", ERR_UP_REJECTED, 400, "no such sampler",
	  "" },
	{ 413, HTML, "<title>413 Request Entity Too Large</title>", ERR_UP_REJECTED, 400,
	  "413 Request Entity Too Large", "" },
	{ 400, "", "", ERR_UP_REJECTED, 400, "", "" },
	{ 409, NULL, "{\"error\":{\"message\":\"conflict\"}}", ERR_UP_REJECTED, 502, "conflict",
	  "" },
	{ 418, "text/plain", "I'm a teapot", ERR_UP_REJECTED, 502, "I'm a teapot", "" },
	{ 400, HTML, "<title>400 The plain HTTP request was sent to HTTPS port</title>",
	  ERR_UP_GARBAGE, 502, "400 The plain HTTP request was sent to HTTPS port" },
	/* nothing there */
	{ 404, NULL,
	  "{\"error\":{\"message\":\"The model `x` does not exist\",\"code\":\"model_not_found\"}}",
	  ERR_UP_NOT_FOUND, 502, "The model `x` does not exist" },
	{ 404, HTML, "<title>404 Not Found</title>", ERR_UP_NOT_FOUND, 502, "404 Not Found" },
	{ 405, "", "", ERR_UP_NOT_FOUND, 502, "" },
	/* its failures */
	{ 500, NULL,
	  "{\"error\":{\"message\":\"The server had an error\",\"type\":\"server_error\"}}",
	  ERR_UP_FAILED, 502, "The server had an error", NULL, true },
	{ 500, NULL,
	  "{\"error\":{\"message\":\"upstream said no (request id: 20260101abc)\",\"type\":"
	  "\"new_api_error\",\"param\":\"\",\"code\":\"channel:image_generation_failed\"}}",
	  ERR_UP_FAILED, 502, "upstream said no (request id: 20260101abc)", NULL, true },
	{ 502, HTML, "<html><head><title>502 Bad Gateway</title></head>", ERR_UP_FAILED, 502,
	  "502 Bad Gateway", NULL, true },
	{ 504, "", "", ERR_UP_FAILED, 502, "", NULL, true },
	{ 524, NULL,
	  "{\"error\":{\"message\":\"Gateway "
	  "timeout.\",\"type\":\"cf_gateway_timeout\",\"param\":null,"
	  "\"code\":524}}",
	  ERR_UP_FAILED, 502, "Gateway timeout.", NULL, true },
	{ 503, NULL,
	  "{\"error\":{\"message\":\"-\",\"type\":\"service_unavailable_error\",\"code\":"
	  "\"server_is_overloaded\"}}",
	  ERR_UP_FAILED, 502, "-", NULL, false },
	{ 503, NULL, "{\"error\":{\"message\":\"No available channel for model x\"}}",
	  ERR_UP_FAILED, 502, "No available channel for model x", NULL, false },
	{ 503, HTML, "<title>503 Service Temporarily Unavailable</title>", ERR_UP_FAILED, 502,
	  "503 Service Temporarily Unavailable", NULL, false },
	{ 503, "text/plain",
	  "upstream connect error or disconnect/reset before headers. reset reason: connection "
	  "termination",
	  ERR_UP_FAILED, 502,
	  "upstream connect error or disconnect/reset before headers. reset reason: connection "
	  "termination",
	  NULL, true },
	{ 500, NULL, "{\"error\":null}", ERR_UP_FAILED, 502, "", NULL, true },
	{ 500, NULL, "[]", ERR_UP_FAILED, 502, "", NULL, true },
	{ 500, NULL, "\"broken\"", ERR_UP_FAILED, 502, "broken", NULL, true },
	{ 500, NULL, "{\"error\":{\"message\":\"cut in the mid", ERR_UP_FAILED, 502,
	  "{\"error\":{\"message\":\"cut in the mid", NULL, true },
	/* errors inside a success */
	{ 200, NULL, "{\"error\":{\"message\":\"upstream error\"}}", ERR_UP_FAILED, 502,
	  "upstream error", NULL, true },
	{ 200, NULL,
	  "{\"error\":{\"message\":\"bad size\",\"type\":\"invalid_request_error\","
	  "\"param\":\"size\"}}",
	  ERR_UP_REJECTED, 400, "bad size", "size" },
	{ 200, NULL, "{\"error\":{\"message\":\"slow\",\"code\":429}}", ERR_UP_RATE, 429, "slow" },
	{ 200, NULL, "{\"error\":{\"message\":\"Gemini image generation blocked [IMAGE_SAFETY]\"}}",
	  ERR_UP_POLICY, 400, "Gemini image generation blocked [IMAGE_SAFETY]" },
	{ 200, NULL, "{\"error\":{\"message\":\"no\",\"code\":\"invalid_api_key\"}}", ERR_UP_AUTH,
	  502, "no" },
	{ 200, NULL, "{\"error\":\"insufficient balance\"}", ERR_UP_QUOTA, 502,
	  "insufficient balance" },
	{ 200, HTML, "<title>Welcome to nginx!</title>", ERR_UP_GARBAGE, 502, "Welcome to nginx!",
	  NULL, true },
};

static void
a_429_with_no_calls_left_today_is_a_quota(void **state)
{
	static const char body[] = "{\"errors\":{\"message\":\"Too many requests\"}}";
	struct upstream_head h = { .status = 429, .quota_said = true, .quota_left = 1 };

	(void)state;
	assert_int_equal(judge(&h, body, strlen(body)).kind, ERR_UP_RATE);
	h.quota_left = 0;
	assert_int_equal(judge(&h, body, strlen(body)).kind, ERR_UP_QUOTA);
	h.status = 500;
	assert_int_equal(judge(&h, body, strlen(body)).kind, ERR_UP_FAILED);
}

static void
each_answer_has_its_meaning(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const struct row *r = &rows[i];
		struct upstream_head h = { .status = r->status };
		struct err e;

		(void)snprintf(h.content_type, sizeof(h.content_type), "%s",
			       r->type ? r->type : "application/json");
		e = judge(&h, r->body, strlen(r->body));
		if (e.kind != r->kind || err_status(&e) != r->answer ||
		    strcmp(e.upstream.message, r->message) != 0 ||
		    (r->param && strcmp(e.param, r->param) != 0) ||
		    e.may_have_been_billed != r->billed)
			fail_msg("%d %s\n  is %s %d, param '%s', billed %d, message '%s'",
				 r->status, r->body, err_code(&e), err_status(&e), e.param,
				 e.may_have_been_billed, e.upstream.message);
	}
}

static void
an_edge_that_says_so_is_a_challenge_whatever_the_status(void **state)
{
	static const int statuses[] = { 200, 403, 429, 503 };

	(void)state;
	for (size_t i = 0; i < 4; i++) {
		struct upstream_head h = { .status = statuses[i], .mitigated = true };
		struct err e = judge(&h, "{}", 2);

		assert_int_equal(e.kind, ERR_UP_CHALLENGE);
		assert_false(e.may_have_been_billed);
	}
}

static void
a_redirect_names_its_host_and_nothing_else_of_it(void **state)
{
	struct upstream_head h = {
		.status = 301, .location = (char *)"https://user:pw@login.example:8443/x?token=abc"
	};
	struct err e = judge(&h, "", 0);

	(void)state;
	assert_int_equal(e.kind, ERR_UP_GARBAGE);
	assert_string_equal(e.about, "it redirects to login.example:8443");
	h.location = NULL;
	e = judge(&h, "", 0);
	assert_string_equal(e.about, "it redirects to nowhere");
}

static void
the_time_to_wait_comes_from_header_or_words(void **state)
{
	static const struct {
		int status, header_s;
		const char *message;
		int expected_s;
	} cases[] = {
		{ 429, 7, "Please try again in 12s.", 7 },
		{ 429, 0, "Please try again in 12s.", 12 },
		{ 429, 0, "Please try again in 1m30s.", 90 },
		{ 429, 0, "Please try again in 250ms.", 1 },
		{ 429, 0, "Please try again in 1.2 seconds", 2 },
		{ 429, 0, "Please try again in a while", 0 },
		{ 429, 0, "Please try again in 99999999999999999999s", 86400 },
		{ 503, 5, "overloaded", 5 },
		{ 500, 5, "broken", 0 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct upstream_head h = { .status = cases[i].status,
					   .retry_after_s = cases[i].header_s };
		struct err e = judge(&h, cases[i].message, strlen(cases[i].message));

		if (e.retry_after_s != cases[i].expected_s)
			fail_msg("'%s': %d s", cases[i].message, e.retry_after_s);
	}
}

static void
the_request_id_of_the_body_stands_in_for_a_missing_header(void **state)
{
	static const char body[] = "{\"errors\":{\"message\":\"x\"},\"request_id\":\"ff94\"}";
	struct upstream_head h = { .status = 400 };
	struct err e = judge(&h, body, strlen(body));

	(void)state;
	assert_string_equal(e.upstream.request_id, "ff94");
	(void)snprintf(h.request_id, sizeof(h.request_id), "req_1");
	e = judge(&h, body, strlen(body));
	assert_string_equal(e.upstream.request_id, "req_1");
}

static void
its_words_are_clipped_and_made_harmless(void **state)
{
	struct upstream_head h = { .status = 400 };
	static const char bear[3] = { (char)0xe7, (char)0x86, (char)0x8a }; /* 熊 */
	char body[3000];
	struct err e;

	(void)state;
	memset(body, 'a', sizeof(body));
	for (size_t i = 0; i < sizeof(body); i += 10)
		body[i] = ' ';
	e = judge(&h, body, sizeof(body));
	assert_true(strlen(e.upstream.message) <= 500);
	assert_true(strlen(e.upstream.message) > 400);
	for (size_t i = 0; i + 3 <= sizeof(body); i += 3)
		memcpy(body + i, bear, sizeof(bear));
	e = judge(&h, body, sizeof(body));
	assert_true(strlen(e.upstream.message) <= 500);
	assert_true(utf8_valid(e.upstream.message, strlen(e.upstream.message)));
	e = judge(&h, "a\x1b[31mred\r\nX: y\xff", 16);
	assert_string_equal(e.upstream.message, "a?[31mred X: y?");
}

static void
the_credential_itself_is_taken_out(void **state)
{
	struct upstream_head h = { .status = 401 };
	static const char body[] = "{\"error\":{\"message\":\"Bad key: " CREDENTIAL "!\"}}";
	struct err e = judge(&h, body, strlen(body));

	(void)state;
	assert_string_equal(e.upstream.message, "Bad key: ***!");
}

static void
deep_or_huge_answers_are_text(void **state)
{
	struct upstream_head h = { .status = 500 };
	char *body = malloc(UPSTREAM_ERROR_BYTES);
	struct err e;

	(void)state;
	memset(body, '[', UPSTREAM_ERROR_BYTES);
	e = judge(&h, body, UPSTREAM_ERROR_BYTES);
	assert_int_equal(e.kind, ERR_UP_FAILED);
	free(body);
}

/* A URL of nothing but questions. */
static void
scrub_questions(const void *length)
{
	size_t n = *(const size_t *)length;
	char *text = malloc(n + 1);

	assert_non_null(text);
	for (size_t i = 0; i < n; i++)
		text[i] = "?a"[i % 2];
	memcpy(text, "https://", 8);
	text[n] = '\0';
	scrub(text, CREDENTIAL);
	free(text);
}

static void
a_text_four_times_as_long_costs_four_times_as_much(void **state)
{
	const size_t n = 50000, more = 4 * n;

	(void)state;
	assert_true(cost_of(scrub_questions, &more) < 8 * cost_of(scrub_questions, &n));
}

/* The words of an error in JSON of any length, by way of a tree. */
static struct err
judge_words(const char *words, size_t n)
{
	struct upstream_head h = { .status = 400 };
	struct upstream_failure f = { "acme", CREDENTIAL, &h };
	json_t *root = json_pack("{s:{s:s%}}", "error", "message", words, n);
	struct err e = { 0 };

	assert_non_null(root);
	assert_int_equal(upstream_error_json(&f, root, &e), -1);
	json_decref(root);
	return e;
}

static void
of_very_many_words_the_first_are_quoted_and_none_in_half(void **state)
{
	const size_t n = UPSTREAM_ERROR_BYTES + 100;
	char *words = malloc(n);
	struct err e;

	(void)state;
	assert_non_null(words);
	/* It shrinks to its end: what stands there would be shown. */
	memset(words, 'x', n);
	memcpy(words, "no sk-", 6);
	memcpy(words + UPSTREAM_ERROR_BYTES - 20, " and xai-0123456789abcdef", 25);
	e = judge_words(words, n);
	assert_string_equal(e.upstream.message, "no sk-*** and ");
	memcpy(words + UPSTREAM_ERROR_BYTES - 30, " and xai-0123456789abcdef", 25);
	memcpy(words + UPSTREAM_ERROR_BYTES - 5, " all.", 5);
	e = judge_words(words + 1, UPSTREAM_ERROR_BYTES - 1);
	assert_string_equal(e.upstream.message, "o sk-*** and xai-*** all.");
	free(words);
}

static void
secrets_are_taken_out_and_words_stay(void **state)
{
	static const struct {
		const char *in, *out;
	} cases[] = {
		{ "Incorrect API key provided: sk-ab***yz. Go on.",
		  "Incorrect API key provided: sk-***. Go on." },
		{ "key sk-proj-AbC_123-456 is off", "key sk-*** is off" },
		{ "xai-0123456789abcdef", "xai-***" },
		{ "(pst-AbCdEf123456)", "(pst-***)" },
		{ "token eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2ln bad", "token eyJ*** bad" },
		{ "ms-01234567-89ab-cdef-0123-456789abcdef", "ms-***" },
		{ "ms-dos and items-list and task-force stay",
		  "ms-dos and items-list and task-force stay" },
		{ "Authorization: Bearer abcdef123456", "Authorization: Bearer ***" },
		{ "Missing bearer authentication in header",
		  "Missing bearer authentication in header" },
		{ "using Bearer auth (i.e. Authorization: Bearer YOUR_KEY)",
		  "using Bearer auth (i.e. Authorization: Bearer YOUR_KEY)" },
		{ "get https://user:passw0rd@h.example/p?a=1", "get https://***@h.example/p?a=1" },
		{ "see https://h/p.png?X-Amz-Signature=abc123&X-Amz-Date=2026&q=1.",
		  "see https://h/p.png?X-Amz-Signature=***&X-Amz-Date=***&q=1." },
		{ "see https://h/p.png now? a=bcde", "see https://h/p.png now? a=bcde" },
		{ "{\"api_key\": \"a1b2c3d4e5\"}", "{\"api_key\": \"***\"}" },
		{ "api_key=a1b2c3d4e5 token = expired", "api_key=*** token = expired" },
		{ "id 0123456789abcdef0123456789abcdef01234567 end", "id *** end" },
		{ "request ff94802f-1111-4222-8333-444455556666",
		  "request ff94802f-1111-4222-8333-444455556666" },
		{ "", "" },
		{ "Bearer", "Bearer" },
		{ "Bearer ", "Bearer " },
		{ "sk-", "sk-" },
		{ "https://", "https://" },
		{ "?", "?" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char *text = strdup(cases[i].in);

		scrub(text, NULL);
		if (strcmp(text, cases[i].out) != 0)
			fail_msg("'%s'\n  became '%s'", cases[i].in, text);
		free(text);
	}
}

static void
pieces_of_a_known_secret_are_taken_out(void **state)
{
	static const char secret[] = "zq4kd8Wm-2uT_9xLp0vB7sNf";
	static const struct {
		const char *in, *out;
	} cases[] = {
		{ "key zq4kd8Wm-2uT_9xLp0vB7sNf", "key ***" },
		{ "zq4kd8Wm-2uT_9xLp0vB7sNfzq4kd8Wm-2uT_9xLp0vB7sNf", "******" },
		{ "key zq4kd8Wm-2uT is", "key *** is" },        /* 12 of it */
		{ "key zq4kd8Wm-2u is", "key zq4kd8Wm-2u is" }, /* 11 */
		{ "ends in _9xLp0vB7sNf", "ends in ***" },
		{ "the m-2uT_9xLp0vB!", "the ***!" },
		{ "Zq4kd8Wm-2uT", "Zq4kd8Wm-2uT" },
		{ "", "" },
	};
	char id[] = "req_eyJhbGciOiJIUzI1NiJ9.e30.c2ln/sk-abcdefgh", plain[] = "req-ms-dos_4f1a";
	char whole[] = "data: zq4kd8Wm-2uT_9xLp0vB7sNf\0zq4kd8Wm-2uT_9xLp0vB7sNf.";
	struct err e = { .about = "about zq4kd8Wm-2uT", .found = "zq4kd8Wm-2uT_9xLp0vB7sNf" };

	(void)state;
	scrub_shapes(id);
	assert_string_equal(id, "req_eyJ***");
	scrub_shapes(plain);
	assert_string_equal(plain, "req-ms-dos_4f1a");
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char *text = strdup(cases[i].in), *other = strdup(cases[i].in);

		scrub_secret(text, secret);
		assert_string_equal(text, cases[i].out);
		scrub(other, secret);
		assert_string_equal(other, cases[i].out);
		scrub_secret(other, "short");
		scrub_secret(other, "");
		scrub_secret(other, NULL);
		assert_string_equal(other, cases[i].out);
		free(text);
		free(other);
	}
	scrub_bytes(whole, sizeof(whole) - 1, secret);
	assert_memory_equal(whole, "data: ************************\0************************.",
			    sizeof(whole));
	snprintf(e.upstream.request_id, sizeof(e.upstream.request_id), "r-%s", secret);
	scrub_err(&e, secret);
	assert_string_equal(e.about, "about ***");
	assert_string_equal(e.found, "***");
	assert_string_equal(e.upstream.request_id, "r-***");
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(pieces_of_a_known_secret_are_taken_out),
		cmocka_unit_test(each_answer_has_its_meaning),
		cmocka_unit_test(a_429_with_no_calls_left_today_is_a_quota),
		cmocka_unit_test(an_edge_that_says_so_is_a_challenge_whatever_the_status),
		cmocka_unit_test(a_redirect_names_its_host_and_nothing_else_of_it),
		cmocka_unit_test(the_time_to_wait_comes_from_header_or_words),
		cmocka_unit_test(the_request_id_of_the_body_stands_in_for_a_missing_header),
		cmocka_unit_test(its_words_are_clipped_and_made_harmless),
		cmocka_unit_test(the_credential_itself_is_taken_out),
		cmocka_unit_test(deep_or_huge_answers_are_text),
		cmocka_unit_test(a_text_four_times_as_long_costs_four_times_as_much),
		cmocka_unit_test(of_very_many_words_the_first_are_quoted_and_none_in_half),
		cmocka_unit_test(secrets_are_taken_out_and_words_stay),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
