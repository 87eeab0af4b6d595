#include "base/json_text.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"

#define TEXT_BYTES SIZE_MAX / 2 /* memory is the limit, as with json_dumps() */
#define NUMBER     64

static bool
is_plain(char c)
{
	return (unsigned char)c >= 0x20 && c != '"' && c != '\\';
}

static int
escape_add(struct buf *b, char c)
{
	static const char named[] = "\"\\\b\f\n\r\t", names[] = "\"\\bfnrt";
	const char *at = c ? strchr(named, c) : NULL;
	char text[8];

	if (at)
		(void)snprintf(text, sizeof(text), "\\%c", names[at - named]);
	else
		(void)snprintf(text, sizeof(text), "\\u%04X", (unsigned)(unsigned char)c);
	return buf_adds(b, text);
}

int
json_text_string(struct buf *b, const char *s, size_t n)
{
	int rc = buf_room(b, n + 2) < 0 || buf_addc(b, '"') < 0 ? -1 : 0;

	for (size_t at = 0; rc == 0 && at < n;) {
		size_t run = 0;

		while (at + run < n && is_plain(s[at + run]))
			run++;
		rc = buf_add(b, s + at, run);
		at += run;
		if (rc == 0 && at < n)
			rc = escape_add(b, s[at++]);
	}
	return rc == 0 ? buf_addc(b, '"') : -1;
}

enum form {
	READABLE,
	SORTED, /* … and decimal numbers with all their digits */
};

static int value_add(struct buf *b, const json_t *v, enum form form);

static int
member_add(struct buf *b, void *at, enum form form)
{
	const char *key = json_object_iter_key(at);

	if (b->p[b->len - 1] != '{' && buf_addc(b, ',') < 0)
		return -1;
	return json_text_string(b, key, strlen(key)) < 0 || buf_addc(b, ':') < 0
		       ? -1
		       : value_add(b, json_object_iter_value(at), form);
}

static int
by_key(const void *a, const void *b)
{
	return strcmp(json_object_iter_key(*(void *const *)a),
		      json_object_iter_key(*(void *const *)b));
}

static int
members_add_sorted(struct buf *b, json_t *o)
{
	size_t n = json_object_size(o), i = 0;
	AUTO_FREE void **list = malloc((n + 1) * sizeof(*list));
	int rc = list ? 0 : -1;

	if (list)
		for (void *at = json_object_iter(o); at; at = json_object_iter_next(o, at))
			list[i++] = at;
	if (i)
		qsort(list, i, sizeof(*list), by_key);
	for (size_t k = 0; rc == 0 && k < i; k++)
		rc = member_add(b, list[k], SORTED);
	return rc;
}

static int
object_add(struct buf *b, const json_t *v, enum form form)
{
	json_t *o = (json_t *)v; /* jansson's iterators take no const */
	int rc = buf_addc(b, '{');

	if (rc == 0 && form == SORTED)
		rc = members_add_sorted(b, o);
	else
		for (void *at = json_object_iter(o); rc == 0 && at;
		     at = json_object_iter_next(o, at))
			rc = member_add(b, at, form);
	return rc == 0 ? buf_addc(b, '}') : -1;
}

static int
array_add(struct buf *b, const json_t *v, enum form form)
{
	int rc = buf_addc(b, '[');

	for (size_t i = 0; rc == 0 && i < json_array_size(v); i++)
		if ((i && buf_addc(b, ',') < 0) || value_add(b, json_array_get(v, i), form) < 0)
			rc = -1;
	return rc == 0 ? buf_addc(b, ']') : -1;
}

/* Decimal numbers are jansson's: theirs is the same text in every locale. */
static int
real_add(struct buf *b, const json_t *v, enum form form)
{
	size_t digits = form == SORTED ? 0 : JSON_REAL_PRECISION(JSON_TEXT_DIGITS);
	char text[NUMBER];
	size_t n = json_dumpb(v, text, sizeof(text), JSON_ENCODE_ANY | digits);

	return n && n <= sizeof(text) ? buf_add(b, text, n) : -1;
}

int
json_text_real(struct buf *b, double value)
{
	json_t *v = json_real(value);
	int rc = v ? real_add(b, v, READABLE) : -1;

	json_decref(v);
	return rc;
}

static int
value_add(struct buf *b, const json_t *v, enum form form)
{
	switch (json_typeof(v)) {
	case JSON_OBJECT: return object_add(b, v, form);
	case JSON_ARRAY: return array_add(b, v, form);
	case JSON_STRING: return json_text_string(b, json_string_value(v), json_string_length(v));
	case JSON_INTEGER: return buf_addi(b, json_integer_value(v));
	case JSON_REAL: return real_add(b, v, form);
	case JSON_TRUE: return buf_adds(b, "true");
	case JSON_FALSE: return buf_adds(b, "false");
	case JSON_NULL: return buf_adds(b, "null");
	}
	return -1;
}

int
json_text_add(struct buf *b, const json_t *v)
{
	return value_add(b, v, READABLE);
}

static char *
text_of(const json_t *v, enum form form)
{
	struct buf b = BUF_INIT(TEXT_BYTES);

	if (v && value_add(&b, v, form) == 0)
		return b.p;
	buf_done(&b);
	return NULL;
}

char *
json_text(const json_t *v)
{
	return text_of(v, READABLE);
}

char *
json_text_sorted(const json_t *v)
{
	return text_of(v, SORTED);
}

char *
json_text_take(json_t *v)
{
	char *text = json_text(v);

	json_decref(v);
	return text;
}
