#include "provider/chat_answer.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/json.h"
#include "base/utf8.h"
#include "files/sink.h"
#include "provider/openai_answer.h"
#include "provider/picture_text.h"
#include "provider/result_fetch.h"
#include "provider/upstream_said.h"

#define WORDS_BYTES ((size_t)256 << 20) /* the whole answer is smaller */

#define SAID_BYTES 4096 /* of words that may be a refusal */

/* Why a model ends without a picture, where it says so. */
#define REASON_BYTES 64

struct found {
	struct image_call *call;
	unsigned want;
	struct buf words;          /* what it says; pictures may stand in it */
	char reason[REASON_BYTES]; /* of its end */
	json_t *error;             /* borrowed: an answer that is one */
	bool failed;               /* a picture that could not be had: *why */
	struct err *why;
};

/* ---- one picture ---- */

static void
failed(struct found *f, const struct err *e)
{
	if (!f->failed)
		*f->why = *e;
	f->failed = true;
}

static int
store_base64(struct found *f, const char *text, size_t n, struct picture *out, struct err *e)
{
	AUTO(sink) s;
	int64_t start_us = clock_us();
	int rc;

	sink_init(&s, f->call->files);
	rc = sink_base64(&s, text, n, e);
	if (rc == 0)
		rc = sink_finish(&s, out, e);
	f->call->ledger->us[LEDGER_STORE] += clock_us() - start_us;
	return rc;
}

static void
store(struct found *f, const char *text, size_t n, bool is_url)
{
	struct image_call *call = f->call;
	AUTO_FREE char *url = NULL;
	struct picture p;
	struct err e;
	int rc;

	if (call->nimages >= f->want || !n)
		return;
	if (!is_url || (n > 5 && !strncmp(text, "data:", 5))) {
		rc = store_base64(f, text, n, &p, &e);
		e.may_have_been_billed = true;
	} else {
		url = strndup(text, n);
		rc = url ? result_fetch(call, url, &p, &e)
			 : err_set(&e, ERR_INTERNAL, "out of memory");
	}
	if (rc == 0)
		call->images[call->nimages++] = p;
	else
		failed(f, &e);
}

/* {"url"}, "url", {"image_url": either}, {"b64_json"} */
static void
store_item(struct found *f, const json_t *item)
{
	const json_t *v = json_object_get(item, "image_url"),
		     *b64 = json_object_get(item, "b64_json");

	if (json_string_length(b64)) {
		store(f, json_string_value(b64), json_string_length(b64), false);
		return;
	}
	if (!v)
		v = item;
	if (json_is_object(v))
		v = json_object_get(v, "url");
	if (json_is_string(v))
		store(f, json_string_value(v), json_string_length(v), true);
}

static void
store_items(struct found *f, const json_t *list)
{
	const json_t *item;
	size_t i;

	json_array_foreach(list, i, item) store_item(f, item);
}

/* ---- messages ---- */

static void
add_words(struct found *f, const json_t *v)
{
	if (json_is_string(v))
		(void)buf_add(&f->words, json_string_value(v), json_string_length(v));
}

static void
note_reason(struct found *f, const json_t *v)
{
	if (json_string_length(v))
		(void)snprintf(f->reason, sizeof(f->reason), "%s", json_string_value(v));
}

/* OpenAI's content parts and Gemini's. */
static void
read_parts(struct found *f, const json_t *parts)
{
	const json_t *part, *data;
	size_t i;

	json_array_foreach(parts, i, part)
	{
		add_words(f, json_object_get(part, "text"));
		if (json_object_get(part, "image_url"))
			store_item(f, part);
		data = json_object_get(part, "inlineData");
		if (!data)
			data = json_object_get(part, "inline_data");
		data = json_object_get(data, "data");
		if (data)
			store(f, json_string_value(data), json_string_length(data), false);
	}
}

static void
read_message(struct found *f, const json_t *m)
{
	add_words(f, json_object_get(m, "content"));
	read_parts(f, json_object_get(m, "content"));
	store_items(f, json_object_get(m, "images"));
	store_item(f, json_object_get(m, "image")); /* LiteLLM before 1.77 */
	add_words(f, json_object_get(m, "refusal"));
}

static void
read_root(struct found *f, json_t *root)
{
	const json_t *list, *v;
	size_t i;

	if (said_is_error(root))
		f->error = root;
	list = json_object_get(root, "choices");
	json_array_foreach(list, i, v)
	{
		read_message(f, json_object_get(v, "message"));
		read_message(f, json_object_get(v, "delta"));
		note_reason(f, json_object_get(v, "finish_reason"));
	}
	list = json_object_get(root, "candidates");
	json_array_foreach(list, i, v)
	{
		read_parts(f, json_object_get(json_object_get(v, "content"), "parts"));
		note_reason(f, json_object_get(v, "finishReason"));
	}
	note_reason(f, json_object_get(json_object_get(root, "promptFeedback"), "blockReason"));
	store_items(f, json_object_get(root, "data"));
	openai_facts_read(f->call, root);
}

/* ---- the whole ---- */

/* The events of a stream, one after the other; events that are no JSON say nothing. */
static void
read_events(struct found *f, const struct buf *text, json_t *keep)
{
	const char *p = text->p, *end = text->p + text->len;

	while (p < end) {
		const char *line_end = memchr(p, '\n', (size_t)(end - p));
		size_t n = (size_t)((line_end ? line_end : end) - p);
		struct err ignored;
		json_t *root;

		if (n > 5 && !strncmp(p, "data:", 5) &&
		    json_read(p + 5, n - 5, &root, &ignored) == 0) {
			read_root(f, root);
			(void)json_array_append_new(keep, root); /* errors are borrowed */
		}
		p += n + 1;
	}
}

static void
read_words(struct found *f)
{
	struct picture_text t;
	const char *url;
	size_t n;

	picture_text_init(&t, buf_str(&f->words), f->words.len);
	while (f->call->nimages < f->want && (url = picture_text_next(&t, &n)))
		store(f, url, n, true);
}

/* No picture: is what it says, or how it ended, a refusal of the content? */
static int
without_picture(struct found *f, const struct upstream_failure *u, struct err *e)
{
	const char *words = buf_str(&f->words);
	json_auto_t *said = NULL;

	if (f->failed) {
		*e = *f->why;
		return -1;
	}
	if (f->error)
		return upstream_error_json(u, f->error, e);
	said = json_pack("{s:{s:s%, s:s}}", "error", "message", words,
			 f->words.len < SAID_BYTES ? f->words.len : utf8_cut(words, SAID_BYTES),
			 "code", f->reason);
	if (said && upstream_error_json(u, said, e) < 0 && e->kind == ERR_UP_POLICY) {
		e->may_have_been_billed = true; /* it has thought about it */
		return -1;
	}
	if (*words)
		return upstream_garbage(u, "it answered with words instead of a picture", words,
					f->words.len, e);
	return upstream_garbage(u, "it answered without a picture", NULL, 0, e);
}

static int
incomplete(struct found *f, const struct upstream_failure *u, struct err *e)
{
	(void)err_set(e, ERR_IMAGES_INCOMPLETE, "%s", "");
	(void)snprintf(e->expected, sizeof(e->expected), "%u", f->call->rq->n);
	(void)snprintf(e->found, sizeof(e->found), "%u", f->call->nimages);
	(void)snprintf(e->upstream.name, sizeof(e->upstream.name), "%s", u->provider);
	e->upstream.status = u->head->status;
	e->stage = "provider.recv";
	e->may_have_been_billed = true;
	if (f->failed)
		err_detail(e, "%s", f->why->about);
	return -1;
}

int
chat_answer_read(struct image_call *call, const struct buf *text, const struct upstream_failure *u,
		 unsigned want, struct err *e)
{
	struct err why, bad;
	struct found f = {
		.call = call, .want = want, .words = BUF_INIT(WORDS_BYTES), .why = &why
	};
	json_t *root = NULL, *events = json_array();
	const char *s = buf_str(text);
	int rc = 0;

	s += strspn(s, " \t\r\n");
	if (*s == '{' && json_read(buf_str(text), text->len, &root, &bad) == 0)
		read_root(&f, root);
	else if (*s != '{' && text->len)
		read_events(&f, text, events);
	if (call->nimages < want)
		read_words(&f);
	if (call->nimages < want) {
		if (!root && !json_array_size(events))
			rc = upstream_garbage(u, *s ? "it is not JSON" : "it is empty", text->p,
					      text->len, e);
		else if (call->nimages && !f.error)
			rc = incomplete(&f, u, e);
		else
			rc = without_picture(&f, u, e);
	}
	buf_done(&f.words);
	json_decref(root);
	json_decref(events);
	return rc;
}
