#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "files/answer_scan.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int
on_begin(void *self, unsigned index, struct err *e)
{
	(void)e;
	return buf_addf(self, "<%u>", index);
}

static int
on_text(void *self, const char *text, size_t n, struct err *e)
{
	(void)e;
	if (!n)
		__builtin_trap();
	return buf_add(self, text, n);
}

static int
on_end(void *self, struct err *e)
{
	(void)e;
	return buf_adds(self, "</>");
}

struct result {
	struct answer_scan s;
	struct buf text;
	struct err e;
	int rc;
};

/* Feeds pieces of `step` bytes and more, each of its own for the address sanitizer. */
static void
run(struct result *r, const uint8_t *data, size_t size, size_t step)
{
	*r = (struct result){ .text = BUF_INIT(1 << 22) };
	answer_scan_init(&r->s, 4096);
	r->s.picture_begin = on_begin;
	r->s.picture_text = on_text;
	r->s.picture_end = on_end;
	r->s.self = &r->text;
	for (size_t at = 0, k; at < size && r->rc == 0; at += k, step = step % 67 + 1) {
		char *piece;

		k = size - at < step ? size - at : step;
		piece = malloc(k);
		if (!piece)
			abort();
		memcpy(piece, data + at, k);
		r->rc = answer_scan_feed(&r->s, piece, k, &r->e);
		free(piece);
	}
}

/* However an answer is cut, the same comes out of it. */
int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct result whole, cut;

	if (!size)
		return 0;
	run(&whole, data + 1, size - 1, size);
	run(&cut, data + 1, size - 1, data[0] % 67 + 1);
	if (whole.rc != cut.rc || whole.e.kind != cut.e.kind ||
	    strcmp(buf_str(&whole.text), buf_str(&cut.text)) != 0)
		__builtin_trap();
	if (whole.rc == 0 && (strcmp(buf_str(&whole.s.rest), buf_str(&cut.s.rest)) != 0 ||
			      answer_scan_complete(&whole.s) != answer_scan_complete(&cut.s)))
		__builtin_trap();
	answer_scan_done(&whole.s);
	answer_scan_done(&cut.s);
	buf_done(&whole.text);
	buf_done(&cut.text);
	return 0;
}
