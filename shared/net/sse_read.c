#include "net/sse_read.h"

#include <string.h>

enum state { S_MARK, S_LINE, S_KEY, S_SPACE, S_VALUE };
enum field { F_NONE, F_DATA, F_EVENT };

static const char mark[] = "\xef\xbb\xbf";

void
sse_read_init(struct sse_read *s)
{
	*s = (struct sse_read){ .state = S_MARK };
}

bool
sse_read_is_cut(const struct sse_read *s)
{
	return s->has_data || s->state > S_LINE;
}

/* A piece of a line's value. */
static int
value(struct sse_read *s, const char *p, size_t n, struct err *e)
{
	size_t room;

	switch (s->field) {
	case F_DATA: return n ? s->data(s->self, p, n, e) : 0;
	case F_EVENT:
		room = sizeof(s->name) - 1 - s->name_len;
		if (n > room)
			n = room;
		memcpy(s->name + s->name_len, p, n);
		s->name_len += (unsigned)n;
		s->name[s->name_len] = '\0';
		return 0;
	default: return 0;
	}
}

/* The name of a line's field is whole. */
static int
key_end(struct sse_read *s, struct err *e)
{
	bool more = s->has_data;

	s->field = F_NONE;
	if (s->key_len == 4 && !memcmp(s->key, "data", 4)) {
		s->field = F_DATA;
		s->has_data = true;
		return more ? s->data(s->self, "\n", 1, e) : 0;
	}
	if (s->key_len == 5 && !memcmp(s->key, "event", 5)) {
		s->field = F_EVENT;
		s->name_len = 0; /* the later one counts */
		s->name[0] = '\0';
	}
	return 0;
}

static int
line_end(struct sse_read *s, struct err *e)
{
	int rc = 0;

	if (s->state == S_KEY) { /* a field without a colon has an empty value */
		rc = key_end(s, e);
	} else if (s->state == S_LINE) {
		if (s->has_data)
			rc = s->end(s->self, s->name, e);
		s->has_data = false;
		s->name_len = 0;
		s->name[0] = '\0';
	}
	s->state = S_LINE;
	return rc;
}

/* One character of what stands before a value. */
static int
character(struct sse_read *s, char c, struct err *e)
{
	if (s->state == S_LINE) {
		s->state = S_KEY;
		s->key_len = 0;
	}
	if (c == ':') {
		s->state = S_SPACE;
		return key_end(s, e);
	}
	if (s->key_len < sizeof(s->key)) /* one that fills it is none that is known */
		s->key[s->key_len++] = c;
	return 0;
}

/* How many bytes stand before the end of the line, up to n. */
static size_t
line_length(const char *p, size_t n)
{
	const char *lf = memchr(p, '\n', n);
	const char *cr;

	if (lf)
		n = (size_t)(lf - p);
	cr = memchr(p, '\r', n);
	return cr ? (size_t)(cr - p) : n;
}

/* The beginning of the stream, character by character.  1: this one is taken. */
static int
skip_mark(struct sse_read *s, char c, struct err *e)
{
	if (c == mark[s->mark_len]) {
		if (++s->mark_len == sizeof(mark) - 1)
			s->state = S_LINE;
		return 1;
	}
	s->state = S_LINE;
	for (unsigned i = 0; i < s->mark_len; i++)
		if (character(s, mark[i], e) < 0)
			return -1;
	return 0;
}

/* Takes at least one byte, or changes the state; answers how many, or -1. */
static ptrdiff_t
step(struct sse_read *s, const char *p, size_t n, struct err *e)
{
	size_t len;

	if (s->state == S_MARK)
		return skip_mark(s, *p, e);
	if (*p == '\n' && s->after_cr) {
		s->after_cr = false;
		return 1;
	}
	s->after_cr = *p == '\r';
	if (*p == '\r' || *p == '\n')
		return line_end(s, e) < 0 ? -1 : 1;
	if (s->state == S_SPACE) {
		s->state = S_VALUE;
		return *p == ' ';
	}
	if (s->state != S_VALUE)
		return character(s, *p, e) < 0 ? -1 : 1;
	len = line_length(p, n);
	return value(s, p, len, e) < 0 ? -1 : (ptrdiff_t)len;
}

int
sse_read_feed(struct sse_read *s, const char *p, size_t n, struct err *e)
{
	while (n) {
		ptrdiff_t k = step(s, p, n, e);

		if (k < 0)
			return -1;
		p += k;
		n -= (size_t)k;
	}
	return 0;
}
