#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "base/base64.h"
#include "base/cleanup.h"
#include "net/upstream.h"
#include "provider/grok.h"
#include "provider/grok_pictures.h"
#include "state_folder.h"
#include "wire_server.h"

#define LARGE (FINAL_CHARS / 4 * 3 + 300) /* bytes: old clients take it for a final one */
#define SMALL 3000

/* ---- pictures ---- */

/* Base64 of as much of a PNG as anybody here reads; the caller's. */
static char *
picture_text(size_t bytes, unsigned char seed)
{
	static const unsigned char start[] = { 0x89, 'P', 'N', 'G', '\r', '\n', 0x1a, '\n', 0, 0,
					       0,    13,  'I', 'H', 'D',  'R',  0,    0,    2, 0,
					       0,    0,   3,   0,   8,    2,    0,    0,    0 };
	static const unsigned char end[] = {
		0, 0, 0, 0, 'I', 'E', 'N', 'D', 0xae, 0x42, 0x60, 0x82
	};
	size_t chunk = bytes - 33 - sizeof(end) - 12;
	unsigned char *p = calloc(1, bytes);
	char *text = calloc(1, BASE64_ENCODED(bytes) + 1);

	assert_non_null(p);
	assert_non_null(text);
	memset(p, seed, bytes);
	memcpy(p, start, sizeof(start));
	p[33] = 0;
	p[34] = (unsigned char)(chunk >> 16);
	p[35] = (unsigned char)(chunk >> 8);
	p[36] = (unsigned char)chunk;
	memcpy(p + 37, "IDAT", 4);
	memcpy(p + bytes - sizeof(end), end, sizeof(end));
	(void)base64_encode(text, p, bytes);
	free(p);
	return text;
}

/* ---- a request that is answered message by message ---- */

struct box {
	struct image_request rq;
	struct image_call call;
	struct ledger ledger;
	struct receipt receipt;
	struct grok_pictures g;
	char partials[256]; /* "0:3000 1:3000 ": picture and bytes */
};

static void
on_partial(void *self, unsigned image, const struct source *so_far)
{
	struct box *b = self;
	size_t n = strlen(b->partials), got;
	char head[8];
	struct err e;

	assert_int_equal(source_read(so_far, 0, head, sizeof(head), &got, &e), 0);
	assert_memory_equal(head + 1, "PNG", 3);
	(void)snprintf(b->partials + n, sizeof(b->partials) - n, "%u:%llu ", image,
		       (unsigned long long)so_far->bytes);
}

static struct box *
box_new(unsigned want)
{
	struct box *b = calloc(1, sizeof(*b));

	assert_non_null(b);
	b->rq.n = want;
	b->call = (struct image_call){ .rq = &b->rq,
				       .files = files,
				       .deadline = deadline_in_ms(60000),
				       .ledger = &b->ledger,
				       .receipt = &b->receipt,
				       .on_partial = on_partial,
				       .self = b };
	grok_pictures_init(&b->g, &b->call, want);
	return b;
}

static void
box_free(struct box *b)
{
	if (!b)
		return;
	if (!b->call.nimages)
		grok_pictures_deliver(&b->g);
	grok_pictures_done(&b->g);
	for (unsigned i = 0; i < b->call.nimages; i++)
		filestore_remove(files, &b->call.images[i]);
	image_call_done(&b->call);
	receipt_done(&b->receipt);
	free(b);
	assert_int_equal(files_stored(), 0);
}
DEFINE_FREEP(box);

/* In pieces, as a socket would. */
static void
say(struct box *b, const char *text, size_t step)
{
	json_t *error = NULL;
	size_t n = strlen(text);
	struct err e;

	for (size_t at = 0; at < n; at += step)
		assert_int_equal(grok_pictures_data(&b->g, text + at, n - at < step ? n - at : step,
						    &e),
				 0);
	assert_int_equal(grok_pictures_end(&b->g, &error, &e), 0);
	assert_null(error);
}

/* An image with a picture of so many bytes in it; -1: not said. */
static void
play(struct box *b, const char *id, int percent, size_t bytes, int moderated)
{
	AUTO_FREE char *blob = picture_text(bytes, (unsigned char)*id), *text = NULL;
	char said[80] = "", fate[40] = "";

	if (percent >= 0)
		(void)snprintf(said, sizeof(said), "\"percentage_complete\":%d,", percent);
	if (moderated >= 0)
		(void)snprintf(fate, sizeof(fate), "\"moderated\":%s,",
			       moderated ? "true" : "false");
	assert_true(asprintf(&text, "{\"type\":\"image\",%s%s\"blob\":\"%s\",\"id\":\"%s\"}", said,
			     fate, blob, id) > 0);
	say(b, text, 5000);
}

static void
state_of(struct box *b, const char *id, const char *status, int moderated)
{
	char text[160];

	(void)snprintf(text, sizeof(text),
		       "{\"type\":\"json\",\"current_status\":\"%s\",\"image_id\":\"%s\"%s}",
		       status, id,
		       moderated < 0 ? ""
		       : moderated   ? ",\"moderated\":true"
				     : ",\"moderated\":false");
	say(b, text, 7);
}

/* ---- tests ---- */

static void
a_picture_is_final_when_its_state_says_so(void **state)
{
	(void)state;
	for (int order = 0; order < 2; order++) {
		AUTO_PTR(box) b = box_new(1);

		state_of(b, "a", "start_stage", -1);
		play(b, "a", 20, SMALL, -1);
		play(b, "a", 50, LARGE, -1); /* however large, it is a medium one */
		assert_int_equal(b->g.finals, 0);
		if (order)
			state_of(b, "a", "completed", 0);
		play(b, "a", 100, SMALL, -1);
		assert_int_equal(b->g.finals, order);
		if (!order)
			state_of(b, "a", "completed", 0);
		assert_int_equal(b->g.finals, 1);
		assert_int_equal(files_stored(), 1);
		grok_pictures_deliver(&b->g);
		assert_int_equal(b->call.nimages, 1);
		assert_int_equal(b->call.images[0].bytes, SMALL);
	}
}

static void
previews_are_shown_and_the_final_one_is_not_one(void **state)
{
	AUTO_PTR(box) b = box_new(2);

	(void)state;
	play(b, "a", 20, SMALL, 0);
	play(b, "b", 20, SMALL + 3, 0);
	play(b, "a", 10, SMALL + 6, 0); /* an older one that comes late is not better */
	play(b, "a", 50, SMALL + 9, 0);
	play(b, "a", 100, SMALL + 12, 0);
	play(b, "c", 50, SMALL, 0); /* not one of two */
	assert_string_equal(b->partials, "0:3000 1:3003 0:3009 ");
	assert_int_equal(b->g.finals, 1);
	assert_true(grok_pictures_open(&b->g));
}

static void
without_percentages_and_states_the_size_decides(void **state)
{
	AUTO_PTR(box) b = box_new(2);

	(void)state;
	play(b, "a", -1, SMALL, -1);
	assert_int_equal(b->g.finals, 0);
	play(b, "a", -1, LARGE, -1);
	assert_int_equal(b->g.finals, 1);
	/* From here on the server is known to say more. */
	state_of(b, "b", "start_stage", -1);
	play(b, "b", -1, LARGE, -1);
	assert_int_equal(b->g.finals, 1);
	state_of(b, "b", "completed", 0);
	assert_int_equal(b->g.finals, 2);
}

static void
both_sides_of_the_size(void **state)
{
	(void)state;
	for (int over = 0; over < 2; over++) {
		AUTO_PTR(box) b = box_new(1);

		/* Four characters are three bytes. */
		play(b, "a", -1, FINAL_CHARS / 4 * 3 - (over ? 0 : 3), -1);
		assert_int_equal(b->g.finals, over);
	}
}

static void
a_moderated_picture_is_none(void **state)
{
	AUTO_PTR(box) b = box_new(3);

	(void)state;
	play(b, "a", 50, SMALL, -1);
	state_of(b, "a", "completed", 1);
	play(b, "a", 100, LARGE, -1); /* too late */
	play(b, "b", 100, LARGE, 1);
	play(b, "c", 50, SMALL, 1); /* may yet become one */
	assert_int_equal(b->g.moderated, 2);
	assert_int_equal(b->g.finals, 0);
	assert_int_equal(grok_pictures_ended(&b->g), 2);
	assert_int_equal(files_stored(), 0);
}

static void
what_is_no_picture_counts_only_at_the_end(void **state)
{
	static const char preview[] = "{\"type\":\"image\",\"id\":\"a\",\"percentage_complete\":50,"
				      "\"blob\":\"PGh0bWw+PGJvZHk+\"}",
			  last[] = "{\"type\":\"image\",\"id\":\"b\",\"percentage_complete\":100,"
				   "\"blob\":\"PGh0bWw+PGJvZHk+\"}";
	AUTO_PTR(box) b = box_new(2);

	(void)state;
	say(b, preview, 11);
	assert_int_equal(b->g.bad, 0);
	play(b, "a", 100, SMALL, 0);
	assert_int_equal(b->g.finals, 1);
	say(b, last, 11);
	assert_int_equal(b->g.bad, 1);
	assert_int_equal(b->g.why.kind, ERR_RESULT_NOT_IMAGE);
}

static void
a_last_look_takes_what_must_be_final(void **state)
{
	static const struct {
		int percent;
		size_t bytes;
		bool completed;
		unsigned finals;
	} rows[] = {
		{ 100, SMALL, false, 1 }, { 99, LARGE, false, 0 }, { 99, LARGE, true, 1 },
		{ 99, SMALL, true, 0 },   { -1, SMALL, true, 1 },  { -1, SMALL, false, 0 },
		{ -1, LARGE, false, 1 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		AUTO_PTR(box) b = box_new(1);
		struct err e;

		state_of(b, "a", "start_stage", -1);
		play(b, "a", rows[i].percent, rows[i].bytes, -1);
		if (rows[i].completed)
			state_of(b, "a", "completed", -1);
		assert_int_equal(grok_pictures_settle(&b->g, &e), 0);
		if (b->g.finals != rows[i].finals)
			fail_msg("row %zu: %u", i, b->g.finals);
	}
}

static void
pictures_are_delivered_in_their_order(void **state)
{
	static const char *const ids[] = { "c", "a", "b" };
	AUTO_PTR(box) b = box_new(3);
	struct err e;

	(void)state;
	for (int i = 0; i < 3; i++) {
		AUTO_FREE char *blob = picture_text(SMALL + (size_t)(ids[i][0] - 'a'), 1), *text;

		assert_true(
			asprintf(&text,
				 "{\"type\":\"image\",\"id\":\"%s\",\"order\":%d,"
				 "\"percentage_complete\":100,\"moderated\":false,\"blob\":\"%s\"}",
				 ids[i], ids[i][0] - 'a', blob) > 0);
		say(b, text, 3000);
		if (i == 1)
			assert_int_equal(grok_pictures_round(&b->g, &e), 0);
	}
	grok_pictures_deliver(&b->g);
	assert_int_equal(b->call.nimages, 3);
	assert_int_equal(b->call.images[0].bytes, SMALL);     /* a, of the first round */
	assert_int_equal(b->call.images[1].bytes, SMALL + 2); /* c */
	assert_int_equal(b->call.images[2].bytes, SMALL + 1); /* b, of the second */
}

static void
more_than_there_is_room_for_is_not_looked_at(void **state)
{
	AUTO_PTR(box) b = box_new(10);

	(void)state;
	for (int i = 0; i <= GROK_PICTURES_MAX; i++) {
		char id[16];

		(void)snprintf(id, sizeof(id), "id%d", i);
		state_of(b, id, "start_stage", -1);
		assert_int_equal(b->g.n, i < GROK_PICTURES_MAX ? i + 1 : GROK_PICTURES_MAX);
	}
	play(b, "id999", 100, SMALL, 0);
	assert_int_equal(b->g.finals, 0);
}

static void
a_message_that_is_no_json_is_kept_to_be_quoted(void **state)
{
	AUTO_PTR(box) b = box_new(1);

	(void)state;
	say(b, "{this is none", 4);
	assert_string_equal(buf_str(&b->g.quote), "{this is none");
	play(b, "a", 100, SMALL, 0);
	assert_int_equal(b->g.finals, 1);
}

/* ---- an edit by the official API ---- */

static void
serve_edit(struct wire *w, int fd, int number)
{
	(void)number;
	while (wire_request(w, fd) == 0)
		(void)wire_answer(fd, "200 OK", "Content-Type: application/json\r\n", w->arg);
}

static void
sources_go_as_data_urls(void **state)
{
	char base[96], key[] = "xai-fake", name[] = "acme", none[] = "";
	char *keys[] = { key };
	AUTO_FREE char *picture = picture_text(SMALL, 5), *answer = NULL;
	struct image_conf image = { 0 };
	struct wire w;

	(void)state;
	assert_true(asprintf(&answer, "{\"data\":[{\"b64_json\":\"%s\"}]}", picture) > 0);
	wire_start(&w, serve_edit, answer);
	(void)snprintf(base, sizeof(base), "%s/v1", w.url);
	for (unsigned n = 1; n <= 2; n++) {
		struct provider_conf p = { .name = name,
					   .dialect = DIALECT_GROK,
					   .base_url = base,
					   .proxy = none,
					   .api_keys = { keys, 1 } };
		AUTO_PTR(box) b = box_new(1);
		AUTO_FREE char *want = NULL;
		struct source sources[2] = { 0 };
		struct err e;

		for (unsigned i = 0; i < n; i++)
			assert_int_equal(source_from_text(files, picture, strlen(picture), "image",
							  &sources[i], &e),
					 0);
		b->rq.prompt = "a \"panda\"";
		b->rq.sources = sources;
		b->rq.nsources = n;
		b->call.provider = &p;
		b->call.model = "grok-imagine-image";
		b->call.credential = key;
		b->call.image = &image;
		assert_int_equal(provider_grok.generate(&b->call, &e), 0);
		assert_int_equal(b->call.nimages, 1);
		assert_string_equal(b->call.mode, "http");
		assert_non_null(strstr(w.last, "POST /v1/images/edits HTTP/1.1"));
		assert_non_null(strstr(w.last, "\"prompt\":\"a \\\"panda\\\"\""));
		assert_true(asprintf(&want,
				     "%s{\"type\":\"image_url\",\"url\":\"data:image/png;"
				     "base64,%s\"}%s",
				     n > 1 ? "\"images\":[" : "\"image\":", picture,
				     n > 1 ? ",{\"type\"" : "}") > 0);
		assert_non_null(strstr(w.last, want));
		for (unsigned i = 0; i < n; i++)
			source_done(&sources[i]);
	}
	wire_stop(&w);
}

static void
sources_and_masks_are_refused_where_nobody_takes_them(void **state)
{
	static const struct {
		bool official, mask;
		const char *param;
	} rows[] = { { false, false, "image" }, { true, true, "mask" } };

	(void)state;
	for (size_t i = 0; i < 2; i++)
		for (int ws = 0; ws < 2; ws++) {
			char base[] = "http://127.0.0.1:9/v1", key[] = "xai-fake", name[] = "acme",
			     none[] = "";
			char *keys[] = { key };
			struct provider_conf p = { .name = name,
						   .dialect = DIALECT_GROK,
						   .base_url = base,
						   .ws_url = base,
						   .tokens = { keys, 1 },
						   .proxy = none,
						   .api_keys = { keys, rows[i].official } };
			struct image_conf image = { .image_ws = ws };
			AUTO_PTR(box) b = box_new(1);
			struct source one = { 0 };
			struct err e;

			b->rq.prompt = "x";
			b->rq.sources = &one;
			b->rq.nsources = 1;
			b->rq.mask = rows[i].mask ? &one : NULL;
			b->call.provider = &p;
			b->call.model = "m";
			b->call.credential = key;
			b->call.image = &image;
			assert_int_equal(provider_grok.generate(&b->call, &e), -1);
			assert_int_equal(e.kind, ERR_UNSUPPORTED);
			assert_string_equal(e.param, rows[i].param);
		}
}

/* ---- the frame ---- */

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_picture_is_final_when_its_state_says_so),
		cmocka_unit_test(previews_are_shown_and_the_final_one_is_not_one),
		cmocka_unit_test(without_percentages_and_states_the_size_decides),
		cmocka_unit_test(both_sides_of_the_size),
		cmocka_unit_test(a_moderated_picture_is_none),
		cmocka_unit_test(what_is_no_picture_counts_only_at_the_end),
		cmocka_unit_test(a_last_look_takes_what_must_be_final),
		cmocka_unit_test(pictures_are_delivered_in_their_order),
		cmocka_unit_test(more_than_there_is_room_for_is_not_looked_at),
		cmocka_unit_test(a_message_that_is_no_json_is_kept_to_be_quoted),
		cmocka_unit_test(sources_go_as_data_urls),
		cmocka_unit_test(sources_and_masks_are_refused_where_nobody_takes_them),
	};

	return cmocka_run_group_tests(tests, folder_setup, folder_teardown);
}
