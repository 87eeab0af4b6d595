/* However a stream is cut, the same events come out of it. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "net/sse_read.h"

static int
on_data(void *self, const char *p, size_t n, struct err *e)
{
	(void)e;
	return buf_add(self, p, n);
}

static int
on_end(void *self, const char *name, struct err *e)
{
	(void)e;
	return buf_addf(self, "<%s>", name);
}

static struct buf
run(const uint8_t *data, size_t size, size_t step, bool *cut)
{
	struct buf text = BUF_INIT(1 << 22);
	struct sse_read s;
	struct err e;

	sse_read_init(&s);
	s.data = on_data;
	s.end = on_end;
	s.self = &text;
	for (size_t at = 0, k; at < size; at += k, step = step % 67 + 1) {
		char *piece;

		k = size - at < step ? size - at : step;
		piece = malloc(k);
		if (!piece)
			abort();
		memcpy(piece, data + at, k);
		if (sse_read_feed(&s, piece, k, &e) < 0)
			abort();
		free(piece);
	}
	*cut = sse_read_is_cut(&s);
	return text;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct buf whole, cut;
	bool whole_cut, cut_cut;

	if (!size)
		return 0;
	whole = run(data + 1, size - 1, size, &whole_cut);
	cut = run(data + 1, size - 1, data[0] % 67 + 1, &cut_cut);
	if (whole.len != cut.len || whole_cut != cut_cut ||
	    (whole.len && memcmp(whole.p, cut.p, whole.len) != 0))
		__builtin_trap();
	buf_done(&whole);
	buf_done(&cut);
	return 0;
}
