#include "base/buf.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int
buf_room(struct buf *b, size_t n)
{
	size_t need, cap;
	char *p;

	if (n > b->max || b->len > b->max - n)
		return -1;
	need = b->len + n + 1;
	if (need <= b->cap)
		return 0;
	cap = b->cap ? b->cap * 2 : 256;
	if (cap > b->max + 1)
		cap = b->max + 1;
	if (cap < need)
		cap = need;
	p = realloc(b->p, cap);
	if (!p)
		return -1;
	b->p = p;
	b->cap = cap;
	return 0;
}

int
buf_add(struct buf *b, const void *mem, size_t n)
{
	if (buf_room(b, n) < 0)
		return -1;
	if (n)
		memcpy(b->p + b->len, mem, n);
	b->len += n;
	b->p[b->len] = '\0';
	return 0;
}

int
buf_adds(struct buf *b, const char *s)
{
	return buf_add(b, s, strlen(s));
}

int
buf_addc(struct buf *b, char c)
{
	return buf_add(b, &c, 1);
}

int
buf_addi(struct buf *b, int64_t n)
{
	char digits[24], *at = digits + sizeof(digits);
	uint64_t left = n < 0 ? -(uint64_t)n : (uint64_t)n;

	do {
		*--at = (char)('0' + left % 10);
		left /= 10;
	} while (left);
	if (n < 0)
		*--at = '-';
	return buf_add(b, at, (size_t)(digits + sizeof(digits) - at));
}

int
buf_vaddf(struct buf *b, const char *fmt, va_list ap)
{
	va_list again;
	size_t room;
	int n;

	if (!b->cap && buf_room(b, b->max < 256 ? b->max : 256) < 0)
		return -1;
	room = b->cap - b->len;
	va_copy(again, ap);
	n = vsnprintf(b->p + b->len, room, fmt, again);
	va_end(again);
	if (n >= 0 && (size_t)n >= room) {
		/* It did not fit: what was written of it is undone or written once more. */
		b->p[b->len] = '\0';
		if (buf_room(b, (size_t)n) < 0)
			return -1;
		n = vsnprintf(b->p + b->len, (size_t)n + 1, fmt, ap);
	}
	if (n < 0)
		return -1;
	b->len += (size_t)n;
	return 0;
}

int
buf_addf(struct buf *b, const char *fmt, ...)
{
	va_list ap;
	int rc;

	va_start(ap, fmt);
	rc = buf_vaddf(b, fmt, ap);
	va_end(ap);
	return rc;
}

void
buf_clear(struct buf *b)
{
	b->len = 0;
	if (b->p)
		b->p[0] = '\0';
}

void
buf_done(struct buf *b)
{
	free(b->p);
	*b = (struct buf){ .max = b->max };
}

const char *
buf_str(const struct buf *b)
{
	return b->p ? b->p : "";
}
