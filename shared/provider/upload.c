#include "provider/upload.h"

#include <stdio.h>
#include <string.h>

#include "base/base64.h"
#include "base/id.h"

/* Of a picture at a time, when it is encoded: whole groups, and small enough for a stack. */
#define GROUPS 1024

void
upload_init(struct upload *u)
{
	char id[PICTURE_ID];

	*u = (struct upload){ .text = BUF_INIT(UPLOAD_TEXT_BYTES) };
	/* 128 random bits: no prompt and no picture holds them. */
	id_make("", id, sizeof(id));
	(void)snprintf(u->boundary, sizeof(u->boundary), "easel-%s", id);
	(void)snprintf(u->content_type, sizeof(u->content_type),
		       "Content-Type: multipart/form-data; boundary=%s", u->boundary);
}

void
upload_done(struct upload *u)
{
	buf_done(&u->text);
}

struct upload *
upload_new(void)
{
	struct upload *u = malloc(sizeof(*u));

	if (u)
		upload_init(u);
	return u;
}

void
upload_free(struct upload *u)
{
	if (u)
		upload_done(u);
	free(u);
}

void
upload_text(struct upload *u, const char *s, size_t n)
{
	if (buf_add(&u->text, s, n) < 0)
		u->failed = true;
	else
		u->bytes += n;
}

static void
cut(struct upload *u, const struct source *s, bool base64)
{
	if (u->ncuts == sizeof(u->cuts) / sizeof(u->cuts[0])) {
		u->failed = true;
		return;
	}
	u->cuts[u->ncuts++] = (struct upload_cut){ u->text.len, s, base64 };
	u->bytes += base64 ? BASE64_ENCODED(s->bytes) : s->bytes;
}

void
upload_source(struct upload *u, const struct source *s)
{
	cut(u, s, false);
}

void
upload_base64(struct upload *u, const struct source *s)
{
	cut(u, s, true);
}

/* ---- multipart ---- */

__attribute__((format(printf, 2, 3))) static void
text(struct upload *u, const char *fmt, ...)
{
	size_t before = u->text.len;
	va_list ap;

	va_start(ap, fmt);
	if (buf_vaddf(&u->text, fmt, ap) < 0)
		u->failed = true;
	va_end(ap);
	u->bytes += u->text.len - before;
}

void
upload_form_field(struct upload *u, const char *name, const char *value)
{
	text(u, "--%s\r\nContent-Disposition: form-data; name=\"%s\"\r\n\r\n%s\r\n", u->boundary,
	     name, value);
}

void
upload_form_file(struct upload *u, const char *name, const char *filename, const struct source *s)
{
	text(u,
	     "--%s\r\nContent-Disposition: form-data; name=\"%s\"; filename=\"%s.%s\"\r\n"
	     "Content-Type: %s\r\n\r\n",
	     u->boundary, name, filename, picture_extension(s->type), picture_mime(s->type));
	upload_source(u, s);
	text(u, "\r\n");
}

void
upload_form_end(struct upload *u)
{
	text(u, "--%s--\r\n", u->boundary);
}

/* ---- reading ---- */

/* A picture's base64 text from `at` on. */
static int
read_base64(const struct source *s, uint64_t at, char *p, size_t n, size_t *got, struct err *e)
{
	unsigned char raw[3 * GROUPS];
	char encoded[4 * GROUPS];
	size_t skip = at % 4, len;

	if (source_read(s, at / 4 * 3, raw, sizeof(raw), &len, e) < 0)
		return -1;
	len = base64_encode(encoded, raw, len) - skip;
	*got = len < n ? len : n;
	memcpy(p, encoded + skip, *got);
	return 0;
}

int
upload_read(void *self, uint64_t at, void *p, size_t n, size_t *got, struct err *e)
{
	const struct upload *u = self;
	size_t from = 0; /* in the text */

	*got = 0;
	for (unsigned i = 0; i <= u->ncuts; i++) {
		const struct upload_cut *c = i < u->ncuts ? &u->cuts[i] : NULL;
		size_t len = (c ? c->at : u->text.len) - from;
		uint64_t bytes;

		if (at < len) {
			*got = len - at < n ? len - (size_t)at : n;
			memcpy(p, u->text.p + from + at, *got);
			return 0;
		}
		at -= len;
		if (!c)
			break;
		from = c->at;
		bytes = c->base64 ? BASE64_ENCODED(c->source->bytes) : c->source->bytes;
		if (at < bytes)
			return c->base64 ? read_base64(c->source, at, p, n, got, e)
					 : source_read(c->source, at, p, n, got, e);
		at -= bytes;
	}
	return 0;
}
