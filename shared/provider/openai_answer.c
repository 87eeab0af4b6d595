#include "provider/openai_answer.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "base/utf8.h"
#include "provider/result_fetch.h"
#include "provider/upstream_said.h"

/* A relay that says both names has left one of them at 0. */
static void
add_either(int64_t *sum, const json_t *usage, const char *key, const char *in_chat)
{
	const json_t *a = json_object_get(usage, key), *b = json_object_get(usage, in_chat);
	bool chat = !a || json_integer_value(b) > json_integer_value(a);

	said_count_add(sum, usage, chat ? in_chat : key);
}

void
openai_facts_read(struct image_call *call, const json_t *root)
{
	const json_t *usage = json_object_get(root, "usage");
	const json_t *details = json_object_get(usage, "input_tokens_details");
	const char *text;

	add_either(&call->usage_input, usage, "input_tokens", "prompt_tokens");
	add_either(&call->usage_output, usage, "output_tokens", "completion_tokens");
	said_count_add(&call->usage_total, usage, "total_tokens");
	said_count_add(&call->usage_input_text, details, "text_tokens");
	said_count_add(&call->usage_input_image, details, "image_tokens");
	text = json_string_value(json_object_get(root, "background"));
	if (text)
		utf8_clip(call->background, sizeof(call->background), text, strlen(text), 15);
	text = json_string_value(json_object_get(root, "quality"));
	if (text)
		utf8_clip(call->quality, sizeof(call->quality), text, strlen(text), 15);
}

/* "url" or "image_url": a number (a picture that was in it), a URL, or {"url": …}. */
static int
url_take(struct picture_answer *a, const json_t *v, struct err *e)
{
	struct image_call *call = a->call;
	struct picture p;

	if (json_is_object(v))
		v = json_object_get(v, "url");
	if (json_is_integer(v)) {
		(void)picture_answer_take(a, json_integer_value(v));
		return 0;
	}
	if (!json_string_length(v))
		return 0;
	if (result_fetch(call, json_string_value(v), &p, e) < 0)
		return -1;
	call->images[call->nimages++] = p;
	return 0;
}

/* 0, also when there is no picture in it. */
static int
item_take(struct picture_answer *a, const json_t *item, struct err *e)
{
	struct image_call *call = a->call;
	const json_t *b64 = json_object_get(item, "b64_json");
	unsigned before = call->nimages;
	const char *revised;
	int rc = 0;

	if (!json_is_integer(b64) || !picture_answer_take(a, json_integer_value(b64)))
		rc = url_take(a, json_is_string(item) ? item : json_object_get(item, "url"), e);
	if (rc == 0 && call->nimages == before)
		rc = url_take(a, json_object_get(item, "image_url"), e);
	revised = json_string_value(json_object_get(item, "revised_prompt"));
	if (rc == 0 && call->nimages > before && revised) {
		size_t n = strlen(revised);

		/* Without it the picture is as good: no memory for it is no error. */
		call->revised_prompt[before] =
			strndup(revised, n < REVISED_PROMPT_BYTES
						 ? n
						 : utf8_cut(revised, REVISED_PROMPT_BYTES));
	}
	return rc;
}

/* Where relays put the list. */
static const json_t *
items_of(const json_t *root)
{
	static const char *const keys[] = { "data", "images", "output_images" };
	const json_t *list = NULL;

	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]) && !json_array_size(list) &&
			   !json_object_size(list);
	     i++)
		list = json_object_get(root, keys[i]);
	return list;
}

/* Takes pictures until there are `want` in the call.  -1: the first one that could not be had. */
static int
items_take(struct picture_answer *a, const json_t *root, unsigned want, struct err *e)
{
	const json_t *list = items_of(root), *item;
	struct err other;
	int rc = 0;
	size_t i;

	if (json_is_object(list)) /* one alone, without the list */
		rc = item_take(a, list, e);
	json_array_foreach(list, i, item)
	{
		if (a->call->nimages >= want)
			break;
		if (item_take(a, item, rc < 0 ? &other : e) < 0)
			rc = -1;
	}
	picture_answer_take_rest(a, want);
	return a->call->nimages >= want ? 0 : rc;
}

int
openai_event_read(struct picture_answer *a, const json_t *root, unsigned want, struct err *e)
{
	openai_facts_read(a->call, root);
	if (a->call->nimages >= want)
		return 0;
	return items_of(root) ? items_take(a, root, want, e) : item_take(a, root, e);
}

static bool
is_task(const json_t *root)
{
	const json_t *first = json_array_get(items_of(root), 0);

	return json_object_get(root, "task_id") || json_object_get(first, "task_id");
}

/* Adds what the provider's head says to an error about its answer. */
static int
about_answer(const struct image_call *call, const struct upstream_head *head, struct err *e)
{
	e->stage = "provider.recv";
	e->may_have_been_billed = true;
	e->upstream.status = head->status;
	(void)snprintf(e->upstream.name, sizeof(e->upstream.name), "%s", call->provider->name);
	(void)snprintf(e->upstream.request_id, sizeof(e->upstream.request_id), "%s",
		       head->request_id);
	return -1;
}

int
openai_answer_incomplete(const struct picture_answer *a, const struct upstream_failure *f,
			 const char *why, struct err *e)
{
	const struct image_call *call = a->call;
	char detail[sizeof(e->detail)];

	(void)snprintf(detail, sizeof(detail), "%s", why);
	(void)err_set(e, ERR_IMAGES_INCOMPLETE, "%s", "");
	(void)snprintf(e->expected, sizeof(e->expected), "%u", call->rq->n);
	(void)snprintf(e->found, sizeof(e->found), "%u", call->nimages);
	err_detail(e, "%s", detail);
	return about_answer(call, f->head, e);
}

int
openai_answer_cut(const struct picture_answer *a, const struct upstream_failure *f, struct err *e)
{
	(void)err_set(e, ERR_UP_TRUNCATED, "%s", "");
	return about_answer(a->call, f->head, e);
}

/* Fewer pictures than wanted, although the answer is JSON. */
static int
too_few(struct picture_answer *a, const struct upstream_failure *f, const json_t *root, int fetched,
	struct err *e)
{
	const char *rest = buf_str(&a->scan.rest);

	if (fetched < 0 && (!a->call->nimages || e->kind == ERR_DEADLINE)) {
		/* The exchange that counts for the provider's support is the first one. */
		(void)snprintf(e->upstream.request_id, sizeof(e->upstream.request_id), "%s",
			       f->head->request_id);
		return -1;
	}
	if (a->call->nimages)
		return openai_answer_incomplete(a, f, fetched < 0 ? e->about : "", e);
	if (said_is_error(root))
		return upstream_error_json(f, root, e);
	if (is_task(root))
		return upstream_garbage(f, "it answered with a task instead of a picture", NULL, 0,
					e);
	return upstream_garbage(f, "it answered without a picture", rest, strlen(rest), e);
}

/* What arrived is no JSON: cut off, or never was any. */
static int
broken_read(struct picture_answer *a, const struct upstream_failure *f, unsigned want,
	    const struct err *why, struct err *e)
{
	const struct buf *rest = &a->scan.rest;

	picture_answer_take_rest(a, want);
	if (rest->len && picture_answer_is_cut(a))
		return openai_answer_cut(a, f, e);
	/* A key that stands twice, something after the end: not worth a picture that is there. */
	if (a->call->nimages >= want)
		return 0;
	(void)upstream_garbage(f, rest->len ? "it is not JSON" : "it is empty", rest->p, rest->len,
			       e);
	err_detail(e, "%s", why->about);
	return -1;
}

/* The answer arrived whole, with a status of success. */
int
openai_answer_read(struct picture_answer *a, const struct upstream_failure *f, unsigned want,
		   struct err *e)
{
	const struct buf *rest = &a->scan.rest;
	json_auto_t *root = NULL;
	struct err why;
	int rc;

	if (json_read(buf_str(rest), rest->len, &root, &why) < 0)
		return broken_read(a, f, want, &why, e);
	openai_facts_read(a->call, root);
	rc = items_take(a, root, want, e);
	return a->call->nimages >= want ? 0 : too_few(a, f, root, rc, e);
}
