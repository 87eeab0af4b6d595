#include "files/source.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"

void
source_done(struct source *s)
{
	if (s->type != PICTURE_NONE)
		(void)close(s->fd);
	*s = (struct source){ 0 };
}

int
source_read(const struct source *s, uint64_t at, void *p, size_t n, size_t *got, struct err *e)
{
	*got = 0;
	if (at >= s->bytes)
		return 0;
	if (n > s->bytes - at)
		n = (size_t)(s->bytes - at);
	while (*got < n) {
		ssize_t m = pread(s->fd, (char *)p + *got, n - *got, (off_t)(at + *got));

		if (m < 0 && errno == EINTR)
			continue;
		if (m <= 0)
			return err_set(e, ERR_INTERNAL, "an input picture cannot be read");
		*got += (size_t)m;
	}
	return 0;
}

/* ---- on its way in ---- */

/* What picture_head() and the sink say of it, as something that was found. */
static void
name_found(const char *why, char *out, size_t size)
{
	static const struct {
		const char *begins, *instead;
		bool whole; /* it stands for all of the sentence */
	} rows[] = {
		{ "it is no PNG", "bytes of another kind", true },
		{ "it is not base64", "text that is not base64", true },
		{ "it is empty", "nothing", true },
		{ "it is ", "", false },
		{ "it looks", "what looks", false },
		{ "it begins", "what begins", false },
		{ "it ends", "one that ends", false },
		{ "its ", "something whose ", false },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		size_t n = strlen(rows[i].begins);

		if (strncmp(why, rows[i].begins, n) != 0)
			continue;
		(void)snprintf(out, size, "%s%s", rows[i].instead, rows[i].whole ? "" : why + n);
		return;
	}
	(void)snprintf(out, size, "%s", why);
}

/* The sink's errors are about a provider's picture; this one is the caller's, and nothing was bought. */
static int
failed(const struct intake *in, struct err *e)
{
	char text[sizeof(e->about)];
	const struct sink *s = &in->sink;

	(void)snprintf(text, sizeof(text), "%s", e->about);
	e->may_have_been_billed = false;
	if (e->kind == ERR_RESULT_NOT_IMAGE) {
		char found[sizeof(text)];

		name_found(text, found, sizeof(found));
		return err_field(e, ERR_VALUE, in->param, "a PNG, JPEG or WebP", "%s", found);
	}
	if (e->kind == ERR_UP_TOO_LARGE) {
		uint64_t bytes = filestore_image_bytes(s->fs);
		uint64_t pixels = filestore_image_pixels(s->fs);

		if (s->type != PICTURE_NONE && (uint64_t)s->width * s->height > pixels) {
			(void)snprintf(text, sizeof(text), "at most %llu pixels in '%s'",
				       (unsigned long long)pixels, in->param);
			return err_field(e, ERR_BODY_TOO_LARGE, in->param, text, "%ux%u", s->width,
					 s->height);
		}
		(void)snprintf(text, sizeof(text), "at most %llu bytes in '%s'",
			       (unsigned long long)bytes, in->param);
		return err_field(e, ERR_BODY_TOO_LARGE, in->param, text, "more");
	}
	return -1;
}

int
intake_begin(struct intake *in, struct filestore *fs, const char *param, struct err *e)
{
	(void)e;
	sink_init_unnamed(&in->sink, fs);
	(void)snprintf(in->param, sizeof(in->param), "%s", param);
	return 0;
}

int
intake_bytes(struct intake *in, const void *p, size_t n, struct err *e)
{
	return sink_bytes(&in->sink, p, n, e) < 0 ? failed(in, e) : 0;
}

int
intake_end(struct intake *in, struct source *out, struct err *e)
{
	struct picture p;
	int fd;

	if (sink_take(&in->sink, &p, &fd, e) < 0)
		return failed(in, e);
	*out = (struct source){ fd, p.type, p.width, p.height, p.bytes };
	return 0;
}

void
intake_done(struct intake *in)
{
	sink_done(&in->sink);
}

int
source_from_text(struct filestore *fs, const char *text, size_t n, const char *param,
		 struct source *out, struct err *e)
{
	AUTO(intake) in;

	(void)intake_begin(&in, fs, param, e);
	if (sink_base64(&in.sink, text, n, e) < 0)
		return failed(&in, e);
	return intake_end(&in, out, e);
}
