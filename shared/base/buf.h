#ifndef EASEL_BASE_BUF_H
#define EASEL_BASE_BUF_H
/*
 * buf - a growing byte buffer with a ceiling
 *
 * There is no way to make one without saying how large it may become; going past that is an error,
 * not an abort.  `p` is NUL-terminated once anything was added, and NULL before.  Not thread-safe.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

struct buf {
	char *p;
	size_t len, cap, max; /* bytes; the NUL is not counted */
};

#define BUF_INIT(limit_bytes)        \
	{                            \
		.max = (limit_bytes) \
	}

/* 0, or -1: past the ceiling or out of memory, and nothing was added. */
int buf_add(struct buf *b, const void *mem, size_t n);
int buf_adds(struct buf *b, const char *s);
int buf_addc(struct buf *b, char c);
int buf_addi(struct buf *b, int64_t n); /* in decimal digits; a tenth of what buf_addf() costs */
int buf_addf(struct buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
int buf_vaddf(struct buf *b, const char *fmt, va_list ap) __attribute__((format(printf, 2, 0)));

/* Makes room for n more bytes; afterwards b->p + b->len may be written up to n.  0 or -1. */
int buf_room(struct buf *b, size_t n);

void buf_clear(struct buf *b); /* empty, the memory stays */
void buf_done(struct buf *b);  /* frees; b is empty again */

/* The text, "" when empty.  Borrowed from b until it changes. */
const char *buf_str(const struct buf *b);

#endif
