#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/cleanup.h"
#include "http/multipart.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int
on_begin(void *self, const struct multipart_part *p, struct err *e)
{
	(void)e;
	return buf_addf(self, "%s|%s|%s=", p->name, p->filename, p->type);
}

static int
on_data(void *self, const char *p, size_t n, struct err *e)
{
	(void)e;
	return buf_add(self, p, n);
}

static int
on_end(void *self, struct err *e)
{
	(void)e;
	return buf_adds(self, ";");
}

static int
run(const uint8_t *data, size_t size, size_t step, struct buf *out, struct err *e)
{
	const struct multipart_handler to = { on_begin, on_data, on_end, out };
	struct multipart m;

	if (multipart_begin(&m, "multipart/form-data; boundary=b", &to, e) < 0)
		__builtin_trap();
	for (size_t at = 0, k; at < size; at += k) {
		char *piece;
		int rc;

		k = size - at < step ? size - at : step;
		piece = malloc(k);
		if (!piece)
			abort();
		memcpy(piece, data + at, k);
		rc = multipart_bytes(&m, piece, k, e);
		free(piece);
		if (rc < 0)
			return -1;
	}
	return multipart_end(&m, e);
}

/* However a body is cut, the same parts or the same error come of it. */
int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	AUTO(buf) whole = BUF_INIT(1 << 22);
	AUTO(buf) cut = BUF_INIT(1 << 22);
	struct err a = { 0 }, b = { 0 };
	int rc;

	if (size < 1)
		return 0;
	rc = run(data + 1, size - 1, size, &whole, &a);
	if (run(data + 1, size - 1, data[0] % 67 + 1, &cut, &b) != rc || a.kind != b.kind ||
	    strcmp(a.about, b.about) != 0)
		__builtin_trap();
	if (rc == 0 && (whole.len != cut.len ||
			memcmp(whole.p ? whole.p : "", cut.p ? cut.p : "", whole.len) != 0))
		__builtin_trap();
	return 0;
}
