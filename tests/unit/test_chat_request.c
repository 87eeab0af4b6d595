/* What a chat body asks for: the prompt, its pictures, those of the answer before, the parameters. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "api/chat_request.h"
#include "api/chat_sources.h"
#include "base/json.h"

#define DATA "data:image/png;base64,iVBORw0KGgo="

struct read {
	json_t *body;
	struct chat_request rq;
	struct chat_turn turn;
	struct err e;
	int rc;
};

static struct read
read_text(const char *text)
{
	struct read r = { 0 };

	assert_int_equal(json_read(text, strlen(text), &r.body, &r.e), 0);
	r.rc = chat_request_read(r.body, &r.rq, &r.e);
	if (r.rc == 0)
		r.rc = chat_turn_read(&r.rq, &r.turn, &r.e);
	return r;
}

static void
done(struct read *r)
{
	chat_turn_done(&r->turn);
	json_decref(r->body);
}

static void
the_prompt_is_the_text_of_the_last_user_message(void **state)
{
	static const struct {
		const char *messages, *prompt;
		unsigned asked, earlier;
	} rows[] = {
		{ "[{'role':'user','content':'a cat'}]", "a cat", 0, 0 },
		{ "[{'role':'user','content':'a'},{'role':'user','content':'b'}]", "b", 0, 0 },
		{ "[{'role':'user','content':[{'type':'text','text':'a'},{'type':'text','text':'b'}"
		  "]}]",
		  "a\nb", 0, 0 },
		{ "[{'role':'user','content':'a'},{'role':'assistant','content':'![x](" DATA ")'}]",
		  "a", 0, 0 },
		{ "[{'role':'user','content':[{'type':'text','text':'a'},"
		  "{'type':'image_url','image_url':{'url':'" DATA "'}},"
		  "{'type':'image_url','image_url':'https://h/x.png'},"
		  "{'type':'input_image','image_url':'https://h/y.png'}]}]",
		  "a", 3, 0 },
		{ "[{'role':'assistant','content':'![x](" DATA ") and ![y](https://h/y.png)'},"
		  "{'role':'tool','content':'z'},{'role':'user','content':'c'}]",
		  "c", 0, 2 },
		{ "[{'role':'assistant','content':'![x](https://h/"
		  "y.png)','images':[{'type':'image_url',"
		  "'image_url':{'url':'https://h/y.png'}}]},{'role':'user','content':'c'}]",
		  "c", 0, 1 },
		{ "[{'role':'assistant','content':[{'type':'text','text':'![x](https://h/"
		  "y.png)'}]},"
		  "{'role':'user','content':'c'}]",
		  "c", 0, 1 },
		{ "[{'role':'assistant','content':null,'images':['https://h/y.png', 7, {}]},"
		  "{'role':'user','content':'c'}]",
		  "c", 0, 1 },
		{ "[{'role':'assistant','content':'![x](https://h/old.png)'},"
		  "{'role':'assistant','content':'no picture'},{'role':'user','content':'c'}]",
		  "c", 0, 0 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		char text[2048];
		struct read r;

		(void)snprintf(text, sizeof(text), "{'messages':%s}", rows[i].messages);
		for (char *p = text; *p; p++)
			if (*p == '\'')
				*p = '"';
		r = read_text(text);
		assert_int_equal(r.rc, 0);
		assert_string_equal(r.turn.prompt, rows[i].prompt);
		assert_int_equal(r.turn.nasked, rows[i].asked);
		assert_int_equal(r.turn.nearlier, rows[i].earlier);
		done(&r);
	}
}

static void
places_of_pictures_are_named(void **state)
{
	struct read r = read_text(
		"{\"messages\":[{\"role\":\"system\",\"content\":\"x\"},{\"role\":\"user\","
		"\"content\":["
		"{\"type\":\"text\",\"text\":\"a\"},{\"type\":\"image_url\",\"image_url\":\"" DATA
		"\"}]}]}");

	(void)state;
	assert_int_equal(r.rc, 0);
	assert_string_equal(r.turn.asked[0].param, "messages[1].content[1].image_url");
	assert_string_equal(r.turn.asked[0].url, DATA);
	done(&r);
}

/* A user message with n pictures. */
static struct read
with_pictures(unsigned n)
{
	static char text[4096];
	size_t len = (size_t)snprintf(text, sizeof(text),
				      "{\"messages\":[{\"role\":\"user\",\"content\":["
				      "{\"type\":\"text\",\"text\":\"a\"}");

	for (unsigned i = 0; i < n; i++)
		len += (size_t)
			snprintf(text + len, sizeof(text) - len,
				 ",{\"type\":\"image_url\",\"image_url\":\"https://h/%u.png\"}", i);
	(void)snprintf(text + len, sizeof(text) - len, "]}]}");
	return read_text(text);
}

static void
sixteen_pictures_are_taken_and_seventeen_refused(void **state)
{
	struct read most = with_pictures(SOURCES_MAX), more = with_pictures(SOURCES_MAX + 1);

	(void)state;
	assert_int_equal(most.rc, 0);
	assert_int_equal(most.turn.nasked, SOURCES_MAX);
	assert_int_equal(more.rc, -1);
	assert_int_equal(more.e.kind, ERR_ABOVE_MAX);
	done(&most);
	done(&more);
}

static void
a_history_full_of_pictures_keeps_sixteen(void **state)
{
	static char text[4096];
	size_t len = (size_t)snprintf(text, sizeof(text),
				      "{\"messages\":[{\"role\":\"assistant\",\"content\":\"");
	struct read r;

	(void)state;
	for (unsigned i = 0; i < SOURCES_MAX + 5; i++)
		len += (size_t)snprintf(text + len, sizeof(text) - len, "![x](https://h/%u.png)",
					i);
	(void)snprintf(text + len, sizeof(text) - len,
		       "\"},{\"role\":\"user\",\"content\":\"b\"}]}");
	r = read_text(text);
	assert_int_equal(r.rc, 0);
	assert_int_equal(r.turn.nearlier, SOURCES_MAX);
	assert_string_equal(r.turn.earlier[0].url, "https://h/0.png");
	assert_string_equal(r.turn.earlier[15].url, "https://h/15.png");
	done(&r);
}

static void
parameters_of_chat_mean_nothing_for_a_picture(void **state)
{
	struct read r = read_text(
		"{\"messages\":[{\"role\":\"user\",\"content\":\"a\"}],\"n\":2,\"size\":"
		"\"512x256\",\"seed\":7,"
		"\"temperature\":9,\"max_tokens\":-1,\"response_format\":{\"type\":\"json_object\"}"
		","
		"\"stream\":true,\"stream_options\":{\"include_usage\":true},\"quality\":null,"
		"\"modalities\":[\"text\",\"image\"],\"image_config\":{\"aspect_ratio\":\"3:2\"}}");
	struct image_request image;

	(void)state;
	assert_int_equal(r.rc, 0);
	assert_true(r.rq.stream && r.rq.include_usage && r.rq.wants_image);
	assert_int_equal(chat_image_params(&r.rq, &image, &r.e), 0);
	assert_int_equal(image.n, 2);
	assert_int_equal(image.width, 512);
	assert_int_equal(image.seed, 7);
	assert_string_equal(image.aspect_ratio, "3:2");
	assert_int_equal(image.given, PARAM_BIT(PARAM_N) | PARAM_BIT(PARAM_SIZE) |
					      PARAM_BIT(PARAM_SEED) |
					      PARAM_BIT(PARAM_ASPECT_RATIO));
	assert_string_equal(image.unknown, "");
	done(&r);
}

static void
our_own_pictures_are_known_by_their_address(void **state)
{
	static const char base[] = "http://h:8080";
	static const struct {
		const char *url;
		bool own;
	} rows[] = {
		{ "http://h:8080/files/0123456789abcdefghjkmnpqrs.png", true },
		{ "/files/0123456789abcdefghjkmnpqrs.jpg", true },
		{ "/files/0123456789abcdefghjkmnpqrs.webp", true },
		{ "http://other/files/0123456789abcdefghjkmnpqrs.png", false },
		{ "http://h:80800/files/0123456789abcdefghjkmnpqrs.png", false },
		{ "/files/0123456789abcdefghjkmnpqr.png", false },
		{ "/files/0123456789abcdefghjkmnpqrst.png", false },
		{ "/files/0123456789abcdefghjkmnpqrs.gif", false },
		{ "/files/0123456789abcdefghjkmnpqrs.png/..", false },
		{ "/files/../../../etc/passwd", false },
		{ "/files/0123456789ABCDEFGHJKMNPQRS.png", false },
		{ "", false },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct picture p;

		assert_int_equal(chat_sources_own(rows[i].url, base, &p), rows[i].own);
		if (rows[i].own)
			assert_string_equal(p.id, "0123456789abcdefghjkmnpqrs");
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_prompt_is_the_text_of_the_last_user_message),
		cmocka_unit_test(places_of_pictures_are_named),
		cmocka_unit_test(sixteen_pictures_are_taken_and_seventeen_refused),
		cmocka_unit_test(a_history_full_of_pictures_keeps_sixteen),
		cmocka_unit_test(parameters_of_chat_mean_nothing_for_a_picture),
		cmocka_unit_test(our_own_pictures_are_known_by_their_address),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
