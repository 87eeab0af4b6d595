#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "base/cleanup.h"
#include "base/json.h"
#include "provider/grok.h"
#include "provider/grok_frame.h"
#include "provider/grok_lines.h"

/* ---- messages of the socket ---- */

static void
a_message_is_read_whatever_lacks(void **state)
{
#define UUID "0000a5e1-0000-0000-0000-000000000007"
	static const struct {
		const char *text;
		struct grok_frame f;
	} rows[] = {
		{ "{\"type\":\"image\",\"id\":\"a\",\"job_id\":\"b\",\"image_id\":\"c\",\"blob\":0,"
		  "\"percentage_complete\":50,\"order\":2,\"moderated\":false}",
		  { FRAME_IMAGE, "c", 2, 50, 0, false, true } },
		{ "{\"type\":\"image\",\"id\":\"a\",\"job_id\":\"b\"}",
		  { FRAME_IMAGE, "b", -1, -1, -1, false, false } },
		{ "{\"type\":\"image\",\"id\":\"a\",\"percentage_complete\":100.5,\"moderated\":"
		  "true}",
		  { FRAME_IMAGE, "a", -1, 100, 1, false, false } },
		{ "{\"type\":\"image\",\"id\":7,\"percentage_complete\":\"50\",\"moderated\":"
		  "\"yes\","
		  "\"order\":-1,\"blob\":\"\"}",
		  { FRAME_IMAGE, "", -1, -1, -1, false, false } },
		{ "{\"type\":\"image\",\"url\":\"https://h/p/images/" UUID ".jpg?x=1\"}",
		  { FRAME_IMAGE, UUID, -1, -1, -1, false, false } },
		{ "{\"type\":\"image\",\"id\":\"\",\"side_by_side_index\":0,\"order\":0,\"grid_"
		  "index\":3}",
		  { FRAME_IMAGE, "", 3, -1, -1, false, false } },
		{ "{\"type\":\"image\",\"percentage_complete\":-5,\"order\":0}",
		  { FRAME_IMAGE, "", 0, 0, -1, false, false } },
		{ "{\"type\":\"json\",\"current_status\":\"start_stage\",\"image_id\":\"a\"}",
		  { FRAME_STATUS, "a", -1, -1, -1, false, false } },
		{ "{\"type\":\"json\",\"current_status\":\"completed\",\"image_id\":\"a\","
		  "\"moderated\":true,\"order\":1}",
		  { FRAME_STATUS, "a", 1, -1, 1, true, false } },
		{ "{\"type\":\"json\",\"current_status\":\"completed\"}",
		  { FRAME_OTHER, "", -1, -1, -1, false, false } },
		{ "{\"type\":\"error\",\"err_code\":\"x\"}",
		  { FRAME_ERROR, "", -1, -1, -1, false, false } },
		{ "{\"type\":\"session_notice\"}", { FRAME_OTHER, "", -1, -1, -1, false, false } },
		{ "{\"type\":5}", { FRAME_OTHER, "", -1, -1, -1, false, false } },
		{ "[]", { FRAME_OTHER, "", -1, -1, -1, false, false } },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		json_auto_t *root = NULL;
		const struct grok_frame *want = &rows[i].f;
		struct grok_frame f;
		struct err e;

		assert_int_equal(json_read(rows[i].text, strlen(rows[i].text), &root, &e), 0);
		grok_frame_read(root, &f);
		if (f.type != want->type || f.place != want->place || f.percent != want->percent ||
		    f.moderated != want->moderated || f.completed != want->completed ||
		    f.blob != want->blob || strcmp(f.id, want->id) != 0)
			fail_msg("%s: type %d, id '%s', place %d, percent %d, moderated %d, "
				 "completed %d, blob %d",
				 rows[i].text, (int)f.type, f.id, f.place, f.percent, f.moderated,
				 f.completed, f.blob);
	}
}

/* ---- ratios ---- */

static void
a_ratio_is_read_or_none(void **state)
{
	static const struct {
		const char *text;
		double ratio;
	} rows[] = { { "2:3", 2.0 / 3 }, { "19.5:9", 19.5 / 9 },
		     { "1:1", 1 },       { "", 0 },
		     { "2", 0 },         { "2:", 0 },
		     { ":3", 0 },        { "0:1", 0 },
		     { "1:0", 0 },       { "2:3:4", 0 },
		     { "-1:2", 0 },      { "inf:1", 0 },
		     { " 1:2", 0 },      { "1:2 ", 0 },
		     { "0x1:2", 0 },     { "1::2", 0 },
		     { "1000000:1", 0 }, { "auto", 0 } };

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		if (fabs(grok_ratio_read(rows[i].text) - rows[i].ratio) > 1e-9)
			fail_msg("'%s' is %g", rows[i].text, grok_ratio_read(rows[i].text));
}

static void
sizes_become_the_nearest_ratio_and_the_receipt_says_so(void **state)
{
	static const struct {
		uint32_t width, height;
		const char *asked, *ws, *official, *size, *aspect; /* receipt over the socket */
	} rows[] = {
		{ 0, 0, NULL, "2:3", NULL, "", "" },
		{ 1024, 1024, NULL, "1:1", "1:1", "→aspect_ratio=1:1", "" },
		{ 1024, 1536, NULL, "2:3", "2:3", "→aspect_ratio=2:3", "" },
		{ 1536, 1024, NULL, "3:2", "3:2", "→aspect_ratio=3:2", "" },
		{ 1792, 1024, NULL, "16:9", "16:9", "→aspect_ratio=16:9", "" },
		{ 720, 1280, NULL, "9:16", "9:16", "→aspect_ratio=9:16", "" },
		{ 800, 600, NULL, "3:2", "4:3", "→aspect_ratio=3:2", "" },
		{ 64, 4096, NULL, "9:16", "9:20", "→aspect_ratio=9:16", "" },
		{ 0, 0, "16:9", "16:9", "16:9", "", "" },
		{ 1024, 1024, "16:9", "16:9", "16:9", "dropped", "" },
		{ 0, 0, "32:18", "16:9", "16:9", "", "=16:9" },
		{ 0, 0, "4:3", "3:2", "4:3", "", "=3:2" },
		{ 0, 0, "auto", "2:3", NULL, "", "" },
		{ 1024, 1024, "auto", "1:1", "1:1", "→aspect_ratio=1:1", "" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct image_request rq = { .width = rows[i].width,
					    .height = rows[i].height,
					    .aspect_ratio = rows[i].asked };
		AUTO(receipt) receipt = { 0 };
		AUTO(receipt) other = { 0 };
		struct image_call call = { .rq = &rq, .receipt = &receipt };
		const char *ratio;
		struct err e;

		rq.given = (rq.width ? PARAM_BIT(PARAM_SIZE) : 0) |
			   (rq.aspect_ratio ? PARAM_BIT(PARAM_ASPECT_RATIO) : 0);
		assert_int_equal(grok_ratio(&call, grok_ws_ratios, "2:3", &ratio, &e), 0);
		assert_string_equal(ratio, rows[i].ws);
		assert_string_equal(receipt_of(&receipt, PARAM_SIZE), rows[i].size);
		assert_string_equal(receipt_of(&receipt, PARAM_ASPECT_RATIO), rows[i].aspect);
		call.receipt = &other;
		assert_int_equal(grok_ratio(&call, grok_official_ratios, NULL, &ratio, &e), 0);
		if (!rows[i].official)
			assert_null(ratio);
		else
			assert_string_equal(ratio, rows[i].official);
	}
}

static void
what_is_no_ratio_is_refused(void **state)
{
	struct image_request rq = { .aspect_ratio = "wide",
				    .given = PARAM_BIT(PARAM_ASPECT_RATIO) };
	AUTO(receipt) receipt = { 0 };
	struct image_call call = { .rq = &rq, .receipt = &receipt };
	const char *ratio;
	struct err e;

	(void)state;
	assert_int_equal(grok_ratio(&call, grok_ws_ratios, "2:3", &ratio, &e), -1);
	assert_int_equal(e.kind, ERR_VALUE);
	assert_string_equal(e.param, "aspect_ratio");
	assert_string_equal(e.found, "'wide'");
}

/* ---- which door ---- */

static void
the_door_follows_from_the_settings_alone(void **state)
{
	char base[] = "https://api.x.ai/v1", page[] = "https://grok.com", key[] = "xai-0",
	     token[] = "t";
	char *keys[] = { key }, *tokens[] = { token };
	const struct {
		struct provider_conf p;
		bool ws;
		enum grok_mode mode;
		const char *said;
		bool by_token;
	} rows[] = {
		{ { .base_url = base, .api_keys = { keys, 1 } },
		  true,
		  GROK_OFFICIAL,
		  "http",
		  false },
		{ { .base_url = base, .api_keys = { keys, 1 }, .tokens = { tokens, 1 } },
		  false,
		  GROK_OFFICIAL,
		  "http",
		  false },
		{ { .base_url = base, .tokens = { tokens, 1 } }, true, GROK_WS, "ws", true },
		{ { .base_url = page, .api_keys = { keys, 1 }, .tokens = { tokens, 1 } },
		  true,
		  GROK_WS,
		  "ws",
		  true },
		{ { .base_url = page, .tokens = { tokens, 1 } }, false, GROK_HTTP, "http", true },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct image_conf image = { .image_ws = rows[i].ws };
		struct provider_conf p = rows[i].p;

		struct model_conf m = { .provider_conf = &p };

		p.dialect = DIALECT_GROK;
		assert_int_equal(grok_mode(&p, &image), rows[i].mode);
		assert_string_equal(provider_mode(&m, &image), rows[i].said);
		assert_int_equal(provider_by_token(&p), rows[i].by_token);
	}
}

static void
a_cookie_is_made_of_a_token_and_of_nothing_else(void **state)
{
	static const char *const bad[] = { "a;b", "a b", "a\r\nX: y", "a,b", "a\"", "\x80" };
	AUTO_SECRET char *one = NULL, *two = NULL;
	struct err e;

	(void)state;
	assert_int_equal(grok_cookie("abc", false, &one, &e), 0);
	assert_string_equal(one, "Cookie: sso=abc");
	assert_int_equal(grok_cookie("sso=abc", true, &two, &e), 0);
	assert_string_equal(two, "Cookie: sso=abc; sso-rw=abc");
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		char *none = NULL;

		assert_int_equal(grok_cookie(bad[i], true, &none, &e), -1);
		assert_int_equal(e.kind, ERR_CONFIG);
		assert_null(strstr(e.about, bad[i]));
		assert_null(none);
	}
}

/* ---- lines ---- */

/* "url url|moderated|error" of what came. */
static void
lines_say(const char *text, size_t step, const char *want)
{
	AUTO(grok_lines) g;
	AUTO(buf) said = BUF_INIT(4096);
	size_t n = strlen(text);
	struct err e;

	grok_lines_init(&g);
	for (size_t at = 0; at < n; at += step)
		assert_int_equal(grok_lines_feed(&g, text + at, n - at < step ? n - at : step, &e),
				 0);
	grok_lines_end(&g);
	for (unsigned i = 0; i < g.nurls; i++)
		(void)buf_addf(&said, "%s%s", i ? " " : "", g.urls[i]);
	(void)buf_addf(&said, "|%u|%s|%s", g.moderated, g.error ? "error" : "", g.quote);
	assert_string_equal(buf_str(&said), want);
}

#define RESPONSE(inside) "{\"result\":{\"response\":{" inside "}}}"

static void
addresses_are_found_wherever_they_stand(void **state)
{
	static const struct {
		const char *text, *want;
	} rows[] = {
		{ RESPONSE(
			  "\"modelResponse\":{\"generatedImageUrls\":[\"u/a.jpg\",\"u/b.jpg\"]}") "\n",
		  "u/a.jpg u/b.jpg|0||" },
		{ "data: " RESPONSE("\"imageUrls\":\"a\"") "\r\n\r\ndata:[DONE]\n", "a|0||" },
		{ RESPONSE("\"x\":[{\"imageURLs\":[\"a\",\"a\",5,\"\"]}]"), "a|0||" },
		{ RESPONSE(
			  "\"streamingImageGenerationResponse\":{\"imageUrl\":\"a\",\"progress\":"
			  "50}") "\n" RESPONSE("\"streamingImageGenerationResponse\":{\"imageUrl\":"
					       "\"u/x-part-0/i\","
					       "\"progress\":100}") "\n" RESPONSE("\"streamingImage"
										  "GenerationRespon"
										  "se\":"
										  "{\"imageUrl\":"
										  "\"b\","
										  "\"progress\":"
										  "100,"
										  "\"moderated\":"
										  "true}") "\n" RESPONSE("\"streamingImageGenerationResponse\":{\"imageUrl\":\"c\",\"progress\":"
													 "100,\"moderated\":false}"),
		  "c|1||" },
		{ RESPONSE("\"jsonData\":\"{\\\"image_chunk\\\":{\\\"imageUrl\\\":\\\"a\\\","
			   "\\\"progress\\\":100}}\""),
		  "a|0||" },
		{ RESPONSE("\"jsonData\":\"no json\""), "|0||" },
		{ "{\"error\":{\"code\":8,\"message\":\"m\"}}\n", "|0|error|" },
		{ "{\"result\":{\"error\":{\"code\":8}}}\n", "|0|error|" },
		{ "not json\n" RESPONSE("\"imageUrls\":[\"a\"]"), "a|0||not json" },
		{ "", "|0||" },
		{ "\n\n  \n", "|0||" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		lines_say(rows[i].text, 100000, rows[i].want);
		lines_say(rows[i].text, 1, rows[i].want);
		lines_say(rows[i].text, 7, rows[i].want);
	}
}

static void
a_line_has_a_limit_on_both_sides(void **state)
{
	AUTO_FREE char *text = malloc(GROK_LINE_BYTES + 1);
	AUTO(grok_lines) g;
	struct err e;

	(void)state;
	memset(text, ' ', GROK_LINE_BYTES + 1);
	grok_lines_init(&g);
	assert_int_equal(grok_lines_feed(&g, text, GROK_LINE_BYTES, &e), 0);
	assert_int_equal(grok_lines_feed(&g, "\n", 1, &e), 0);
	assert_int_equal(grok_lines_feed(&g, text, GROK_LINE_BYTES + 1, &e), -1);
	assert_int_equal(e.kind, ERR_UP_TOO_LARGE);
}

static void
no_more_addresses_are_kept_than_there_is_room(void **state)
{
	AUTO(grok_lines) g;
	struct err e;

	(void)state;
	grok_lines_init(&g);
	for (int i = 0; i < GROK_URLS_MAX + 1; i++) {
		char line[80];
		int n = snprintf(line, sizeof(line), "{\"imageUrls\":[\"u%d\"]}\n", i);

		assert_int_equal(grok_lines_feed(&g, line, (size_t)n, &e), 0);
		assert_int_equal(g.nurls, i < GROK_URLS_MAX ? i + 1 : GROK_URLS_MAX);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_message_is_read_whatever_lacks),
		cmocka_unit_test(a_ratio_is_read_or_none),
		cmocka_unit_test(sizes_become_the_nearest_ratio_and_the_receipt_says_so),
		cmocka_unit_test(what_is_no_ratio_is_refused),
		cmocka_unit_test(the_door_follows_from_the_settings_alone),
		cmocka_unit_test(a_cookie_is_made_of_a_token_and_of_nothing_else),
		cmocka_unit_test(addresses_are_found_wherever_they_stand),
		cmocka_unit_test(a_line_has_a_limit_on_both_sides),
		cmocka_unit_test(no_more_addresses_are_kept_than_there_is_room),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
