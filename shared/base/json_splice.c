#include "base/json_splice.h"

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/cleanup.h"

struct span {
	size_t from, to;
};

/* Behind the string that begins at `at`. */
static size_t
string_end(const char *s, size_t n, size_t at)
{
	for (at++; at < n && s[at] != '"'; at++)
		if (s[at] == '\\')
			at++;
	return at < n ? at + 1 : n;
}

static size_t
blanks(const char *s, size_t n, size_t at)
{
	while (at < n && (s[at] == ' ' || s[at] == '\t' || s[at] == '\r' || s[at] == '\n'))
		at++;
	return at;
}

size_t
json_value_end(const char *s, size_t n, size_t at)
{
	int depth = 0;

	for (; at < n; at++) {
		char c = s[at];

		if (c == '"') {
			at = string_end(s, n, at) - 1;
			if (!depth)
				return at + 1;
		} else if (c == '{' || c == '[') {
			depth++;
		} else if (c == '}' || c == ']') {
			if (!depth)
				return at;
			if (!--depth)
				return at + 1;
		} else if (!depth && (c == ',' || blanks(s, n, at) != at)) {
			return at;
		}
	}
	return n;
}

/* Is the string from..to, quotes included, that name, escapes undone? */
static bool
is_named(const char *s, struct span key, const char *name)
{
	size_t n = key.to - key.from;
	json_t *v;
	bool same;

	if (!memchr(s + key.from, '\\', n))
		return n == strlen(name) + 2 && !memcmp(s + key.from + 1, name, n - 2);
	v = json_loadb(s + key.from, n, JSON_DECODE_ANY, NULL);
	same = v && !strcmp(json_string_value(v), name);
	json_decref(v);
	return same;
}

/* Where the member's value stands; from == to: where the first member would begin. */
static struct span
find(const char *s, size_t n, const char *name)
{
	size_t first = blanks(s, n, 0) + 1, at = first;

	while (at < n && s[(at = blanks(s, n, at))] == '"') {
		struct span key = { at, string_end(s, n, at) }, value;

		value.from = blanks(s, n, blanks(s, n, key.to) + 1); /* past the colon */
		value.to = json_value_end(s, n, value.from);
		if (is_named(s, key, name))
			return value;
		at = blanks(s, n, value.to) + 1; /* past the comma or the end */
	}
	return (struct span){ first, first };
}

char *
json_splice_string(const char *text, size_t n, const char *name, const char *value, size_t *length)
{
	json_t *string = json_string(value);
	AUTO_FREE char *quoted = string ? json_dumps(string, JSON_ENCODE_ANY) : NULL;
	struct span at = find(text, n, name);
	struct buf out = BUF_INIT(SIZE_MAX / 2);
	bool is_new = at.from == at.to;
	int rc;

	json_decref(string);
	if (!quoted || buf_room(&out, n + strlen(name) + strlen(quoted) + 8) < 0)
		return NULL;
	rc = buf_add(&out, text, at.from);
	if (rc == 0 && is_new)
		rc = buf_addf(&out, "\"%s\":", name);
	if (rc == 0)
		rc = buf_adds(&out, quoted);
	if (rc == 0 && is_new && text[blanks(text, n, at.from)] != '}')
		rc = buf_addc(&out, ',');
	if (rc == 0)
		rc = buf_add(&out, text + at.to, n - at.to);
	if (rc < 0) {
		buf_done(&out);
		return NULL;
	}
	*length = out.len;
	return out.p;
}
