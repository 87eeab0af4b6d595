#include "api/chat_request.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/json.h"
#include "base/utf8.h"
#include "job/image_run.h"
#include "provider/picture_text.h"

#define MODEL_CHARS        256
#define PROMPT_BYTES       (4 * PROMPT_CHARS_MAX) /* UTF-8 */
#define EARLIER_TEXT_BYTES ((size_t)64 << 20)

static int
missing(const char *param, const char *expected, struct err *e)
{
	(void)err_set(e, ERR_MISSING, "%s", "");
	(void)snprintf(e->param, sizeof(e->param), "%s", param);
	(void)snprintf(e->expected, sizeof(e->expected), "%s", expected);
	return -1;
}

static int
bad_type(const char *param, const char *expected, const json_t *v, struct err *e)
{
	return err_field(e, ERR_TYPE, param, expected, "%s", v ? json_type_name(v) : "nothing");
}

/* Null is "not given". */
static json_t *
given(const json_t *o, const char *name)
{
	json_t *v = json_object_get(o, name);

	return json_is_null(v) ? NULL : v;
}

static int
read_boolean(const json_t *o, const char *name, bool *out, struct err *e)
{
	const json_t *v = given(o, name);

	if (v && !json_is_boolean(v))
		return bad_type(name, "a boolean", v, e);
	*out = json_is_true(v);
	return 0;
}

int
chat_request_read(json_t *body, struct chat_request *out, struct err *e)
{
	const json_t *model = given(body, "model"), *messages = given(body, "messages");
	const json_t *modalities = given(body, "modalities"), *v;
	char expected[64];
	size_t i;

	*out = (struct chat_request){ .body = body, .model = json_string_value(model) };
	if (model && !out->model)
		return bad_type("model", "a string", model, e);
	if (model && utf8_count(out->model, json_string_length(model)) > MODEL_CHARS) {
		(void)snprintf(expected, sizeof(expected), "at most %d characters", MODEL_CHARS);
		return err_field(e, ERR_TOO_LONG, "model", expected, "%zu",
				 json_string_length(model));
	}
	if (model && !out->model[0])
		return err_field(e, ERR_VALUE, "model", "a model's name", "'%s'", "");
	if (read_boolean(body, "stream", &out->stream, e) < 0)
		return -1;
	if (!messages)
		return missing("messages", "the conversation, an array of messages", e);
	if (!json_is_array(messages))
		return bad_type("messages", "an array", messages, e);
	if (!json_array_size(messages))
		return err_field(e, ERR_VALUE, "messages", "at least one message", "%s",
				 "an empty array");
	out->include_usage =
		json_is_true(json_object_get(given(body, "stream_options"), "include_usage"));
	json_array_foreach(modalities, i,
			   v) if (json_is_string(v) && !strcmp(json_string_value(v), "image"))
		out->wants_image = true;
	return 0;
}

/* ---- the last user message ---- */

/* "image_url": a string, or an object with the string "url".  NULL: neither. */
static const char *
url_of(const json_t *v)
{
	return json_string_value(json_is_object(v) ? json_object_get(v, "url") : v);
}

static int
add_text(struct buf *b, const char *text, struct err *e)
{
	if ((b->len && buf_addc(b, '\n') < 0) || buf_adds(b, text) < 0)
		return err_field(e, ERR_TOO_LONG, "messages",
				 "at most 32000 characters of text in the last user message",
				 "more");
	return 0;
}

static int
read_picture(const json_t *part, struct chat_turn *t, size_t message, size_t n, struct err *e)
{
	const json_t *v = json_object_get(part, "image_url");
	struct chat_picture *p;
	char param[64];

	(void)snprintf(param, sizeof(param), "messages[%u].content[%u].image_url",
		       (unsigned)message, (unsigned)n);
	if (!url_of(v))
		return bad_type(param, "an object with a url", v, e);
	if (t->nasked == SOURCES_MAX)
		return err_field(e, ERR_ABOVE_MAX, "messages", "at most 16 pictures", "%u",
				 SOURCES_MAX + 1);
	p = &t->asked[t->nasked++];
	p->url = url_of(v);
	(void)snprintf(p->param, sizeof(p->param), "%s", param);
	return 0;
}

static int
read_part(const json_t *part, struct chat_turn *t, struct buf *text, size_t message, size_t n,
	  struct err *e)
{
	const char *type = json_string_value(json_object_get(part, "type"));
	char param[64], shown[64];

	(void)snprintf(param, sizeof(param), "messages[%zu].content[%zu]", message, n);
	if (!type)
		return bad_type(param, "an object with a type", part, e);
	if (!strcmp(type, "text") || !strcmp(type, "input_text")) {
		const json_t *v = json_object_get(part, "text");

		return json_is_string(v) ? add_text(text, json_string_value(v), e)
					 : bad_type(param, "a part with a text", v, e);
	}
	if (!strcmp(type, "image_url") || !strcmp(type, "input_image"))
		return read_picture(part, t, message, n, e);
	utf8_clip(shown, sizeof(shown), type, strlen(type), 30);
	(void)err_set(e, ERR_UNSUPPORTED, "a picture is made from text and pictures, not from '%s'",
		      shown);
	(void)snprintf(e->param, sizeof(e->param), "%s", param);
	return -1;
}

static int
read_asked(const json_t *message, size_t at, struct chat_turn *t, struct err *e)
{
	AUTO(buf) text = BUF_INIT(PROMPT_BYTES);
	const json_t *content = json_object_get(message, "content"), *part;
	char param[64];
	size_t i;

	(void)snprintf(param, sizeof(param), "messages[%zu].content", at);
	if (json_is_string(content)) {
		if (add_text(&text, json_string_value(content), e) < 0)
			return -1;
	} else if (!json_is_array(content)) {
		return bad_type(param, "a string or an array of parts", content, e);
	}
	json_array_foreach(content, i, part) if (read_part(part, t, &text, at, i, e) < 0) return -1;
	if (utf8_count(buf_str(&text), text.len) > PROMPT_CHARS_MAX)
		return err_field(e, ERR_TOO_LONG, param, "at most 32000 characters", "%zu",
				 utf8_count(buf_str(&text), text.len));
	if (!buf_str(&text)[strspn(buf_str(&text), " \t\r\n")])
		return err_field(e, ERR_VALUE, param, "a text that says what to draw", "'%s'", "");
	t->prompt = strdup(buf_str(&text));
	return t->prompt ? 0 : err_set(e, ERR_INTERNAL, "out of memory");
}

/* ---- the answer before it ---- */

/* Each address once: answers say a picture in Markdown and in images[]. */
static void
add_earlier(struct chat_turn *t, const char *url, size_t message)
{
	struct chat_picture *p = &t->earlier[t->nearlier];

	for (unsigned i = 0; i < t->nearlier; i++)
		if (!strcmp(t->earlier[i].url, url))
			return;
	if (t->nearlier == SOURCES_MAX)
		return;
	t->nearlier++;
	p->url = url;
	(void)snprintf(p->param, sizeof(p->param), "messages[%zu]", message);
}

/* The texts of a message, one after the other, in memory of their own: addresses in them are cut out there. */
static char *
texts_of(const json_t *message, size_t *n)
{
	struct buf text = BUF_INIT(EARLIER_TEXT_BYTES);
	const json_t *content = json_object_get(message, "content"), *part;
	size_t i;

	if (json_is_string(content))
		(void)buf_add(&text, json_string_value(content), json_string_length(content));
	json_array_foreach(content, i, part)
	{
		const char *s = json_string_value(json_object_get(part, "text"));

		if (s && buf_addc(&text, '\n') == 0)
			(void)buf_adds(&text, s);
	}
	*n = text.len;
	return text.p;
}

static void
read_earlier(const json_t *message, size_t at, struct chat_turn *t)
{
	const json_t *images = json_object_get(message, "images"), *v;
	struct picture_text found;
	char *url[SOURCES_MAX], *end[SOURCES_MAX];
	const char *p;
	size_t i, n;
	unsigned k = 0;

	json_array_foreach(images, i, v)
	{
		p = url_of(json_is_object(v) ? json_object_get(v, "image_url") : v);
		if (p)
			add_earlier(t, p, at);
	}
	t->texts = texts_of(message, &n);
	if (!t->texts)
		return;
	picture_text_init(&found, t->texts, n);
	while (k < SOURCES_MAX && (p = picture_text_next(&found, &n))) {
		url[k] = t->texts + (p - t->texts);
		end[k] = url[k] + n;
		k++;
	}
	for (i = 0; i < k; i++) {
		*end[i] = '\0'; /* what stood there is needed no more */
		add_earlier(t, url[i], at);
	}
}

static bool
is_role(const json_t *message, const char *role)
{
	const char *s = json_string_value(json_object_get(message, "role"));

	return s && !strcmp(s, role);
}

int
chat_turn_read(const struct chat_request *rq, struct chat_turn *t, struct err *e)
{
	const json_t *messages = json_object_get(rq->body, "messages");
	size_t n = json_array_size(messages), at = n;

	*t = (struct chat_turn){ 0 };
	while (at > 0 && !is_role(json_array_get(messages, at - 1), "user"))
		at--;
	if (!at)
		return missing("messages", "a message with the role user, which says what to draw",
			       e);
	at--;
	if (read_asked(json_array_get(messages, at), at, t, e) < 0) {
		chat_turn_done(t);
		return -1;
	}
	for (n = at; n > 0 && !t->nearlier; n--)
		if (is_role(json_array_get(messages, n - 1), "assistant")) {
			read_earlier(json_array_get(messages, n - 1), n - 1, t);
			break;
		}
	return 0;
}

void
chat_turn_done(struct chat_turn *t)
{
	free(t->prompt);
	free(t->texts);
	*t = (struct chat_turn){ 0 };
}

/* ---- parameters ---- */

int
chat_image_params(const struct chat_request *rq, struct image_request *out, struct err *e)
{
	/* These mean something else in chat, or are said elsewhere. */
	const unsigned not_here = PARAM_BIT(PARAM_STREAM) | PARAM_BIT(PARAM_PARTIAL_IMAGES) |
				  PARAM_BIT(PARAM_RESPONSE_FORMAT);
	const json_t *ratio = given(given(rq->body, "image_config"), "aspect_ratio");
	const char *name;
	json_t *v;

	image_params_init(out);
	json_object_foreach(rq->body, name, v)
	{
		int p = json_is_null(v) ? -1 : image_param_by_name(name);

		if (p < 0 || (not_here & PARAM_BIT(p)))
			continue;
		if (image_param_set(out, (enum image_param)p, v, e) < 0)
			return -1;
	}
	if (ratio && !(out->given & PARAM_BIT(PARAM_ASPECT_RATIO)))
		return image_param_set(out, PARAM_ASPECT_RATIO, ratio, e);
	return 0;
}
