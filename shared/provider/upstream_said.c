#include "provider/upstream_said.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/json.h"
#include "base/num.h"
#include "base/scrub.h"
#include "base/utf8.h"

/* None of these is the place for a key, wherever it comes from. */
static void
copy(char *out, size_t size, const char *s)
{
	utf8_clip(out, size, s, strlen(s), size);
	scrub_shapes(out);
}

static void
message_set(struct said *s, const char *text, size_t n)
{
	while (n && isspace((unsigned char)*text)) {
		text++;
		n--;
	}
	while (n && isspace((unsigned char)text[n - 1]))
		n--;
	if (!s->message && n)
		s->message = strndup(text, n);
}

static void
code_read(struct said *s, const json_t *v)
{
	int64_t number;

	if (json_is_integer(v)) {
		s->number = (int)(json_integer_value(v) % 1000000);
		(void)snprintf(s->code, sizeof(s->code), "%d", s->number);
	} else if (json_is_string(v) && !s->code[0]) {
		copy(s->code, sizeof(s->code), json_string_value(v));
		if (num_i64(s->code, 100, 999, &number) == 0)
			s->number = (int)number;
	}
}

static const char *
text_of(const json_t *o, const char *key)
{
	const char *v = json_string_value(json_object_get(o, key));

	return v && *v ? v : NULL;
}

/* The members that an error object, or a bare answer, may have. */
static void
object_read(struct said *s, const json_t *o)
{
	static const char *const keys[] = { "message",     "msg",
					    "detail",      "error_message",
					    "error_msg",   "errmsg",
					    "description", "error_description",
					    "task_msg" };
	const char *v;

	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
		v = text_of(o, keys[i]);
		if (v)
			message_set(s, v, strlen(v));
	}
	code_read(s, json_object_get(o, "code"));
	v = text_of(o, "type");
	if (v && !s->type[0])
		copy(s->type, sizeof(s->type), v);
	v = text_of(o, "param");
	if (v && !s->param[0])
		copy(s->param, sizeof(s->param), v);
	v = text_of(o, "request_id");
	if (v && !s->request_id[0])
		copy(s->request_id, sizeof(s->request_id), v);
}

/* FastAPI: {"detail":[{"loc":["body","size"],"msg":"field required"}]} */
static void
list_read(struct said *s, const json_t *list)
{
	const json_t *first = json_array_get(list, 0);
	const json_t *loc = json_object_get(first, "loc");
	const json_t *last = json_array_get(loc, json_array_size(loc) - 1);

	if (json_is_string(first))
		message_set(s, json_string_value(first), json_string_length(first));
	object_read(s, first);
	if (json_is_string(last) && !s->param[0])
		copy(s->param, sizeof(s->param), json_string_value(last));
}

static void
value_read(struct said *s, const json_t *v)
{
	if (json_is_string(v))
		message_set(s, json_string_value(v), json_string_length(v));
	else if (json_is_object(v))
		object_read(s, v);
	else if (json_is_array(v))
		list_read(s, v);
}

void
said_read_json(struct said *s, const json_t *root)
{
	*s = (struct said){ .json = true };
	value_read(s, json_object_get(root, "error"));
	value_read(s, json_object_get(root, "errors"));
	if (json_is_object(root))
		object_read(s, root);
	value_read(s, json_object_get(root, "detail"));
	if (json_is_string(root))
		value_read(s, root);
	if (!s->message && (s->code[0] || s->type[0]))
		s->message = strdup(s->code[0] ? s->code : s->type);
}

bool
said_is_error(const json_t *root)
{
	static const char *const keys[] = { "error", "errors" };

	for (size_t i = 0; i < 2; i++) {
		const json_t *v = json_object_get(root, keys[i]);

		if (json_string_length(v) || json_object_size(v) || json_array_size(v))
			return true;
	}
	return false;
}

static void
title_read(struct said *s, const char *body)
{
	const char *start = strcasestr(body, "<title"), *end;

	start = start ? strchr(start, '>') : NULL;
	if (!start)
		return;
	end = strcasestr(++start, "</title");
	message_set(s, start, end ? (size_t)(end - start) : strlen(start));
}

void
said_read(struct said *s, const char *content_type, const char *body, size_t n)
{
	json_t *root = NULL;
	struct err ignored;
	size_t i = 0;

	*s = (struct said){ 0 };
	while (i < n && isspace((unsigned char)body[i]))
		i++;
	if (i < n && body[i] != '<' && json_read(body, n, &root, &ignored) == 0) {
		said_read_json(s, root);
		json_decref(root);
		return;
	}
	s->html = !strcmp(content_type, "text/html") || (i < n && body[i] == '<');
	if (s->html)
		title_read(s, n ? body : "");
	else
		message_set(s, body, n);
}

void
said_done(struct said *s)
{
	free(s->message);
	s->message = NULL;
}

void
said_count_add(int64_t *sum, const json_t *o, const char *name)
{
	const json_t *v = json_object_get(o, name);
	int64_t so_far = *sum < 0 ? 0 : *sum;

	if (!json_is_integer(v) || json_integer_value(v) < 0)
		return;
	*sum = json_integer_value(v) < SAID_COUNT_MAX - so_far ? so_far + json_integer_value(v)
							       : SAID_COUNT_MAX;
}
