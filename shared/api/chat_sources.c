#include "api/chat_sources.h"

#include <string.h>

#include "base/cleanup.h"
#include "job/source_clean.h"
#include "job/source_fetch.h"

#define READ_BYTES 4096
#define BASE_BYTES 512
#define OWN_PATH   "/files/"

bool
chat_sources_own(const char *url, const char *base, struct picture *out)
{
	static const enum picture_type types[] = { PICTURE_PNG, PICTURE_JPEG, PICTURE_WEBP };
	size_t n = strlen(base);
	const char *extension;

	if (*base && !strncmp(url, base, n))
		url += n;
	if (strncmp(url, OWN_PATH, sizeof(OWN_PATH) - 1) != 0)
		return false;
	url += sizeof(OWN_PATH) - 1;
	n = strspn(url, "0123456789abcdefghjkmnpqrstvwxyz");
	if (n != PICTURE_ID - 1 || url[n] != '.')
		return false;
	*out = (struct picture){ .type = PICTURE_NONE };
	memcpy(out->id, url, n);
	extension = url + n + 1;
	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++)
		if (!strcmp(extension, picture_extension(types[i])))
			out->type = types[i];
	return out->type != PICTURE_NONE;
}

static void
intake_clean(struct intake *in)
{
	intake_done(in);
}

/* A stored picture, read as any other that comes in. */
static int
take_own(struct filestore *fs, const struct picture *p, const char *param, struct source *out,
	 struct err *e)
{
	__attribute__((cleanup(intake_clean))) struct intake in = { 0 };
	AUTO_FD int fd = filestore_read(fs, p, e);
	char piece[READ_BYTES];
	ssize_t n;

	if (fd < 0)
		return -1;
	if (intake_begin(&in, fs, param, e) < 0)
		return -1;
	while ((n = read(fd, piece, READ_BYTES)) > 0)
		if (intake_bytes(&in, piece, (size_t)n, e) < 0)
			return -1;
	if (n < 0)
		return err_set(e, ERR_INTERNAL, "a stored picture cannot be read");
	return intake_end(&in, out, e);
}

static int
take(struct request *r, struct filestore *fs, const struct chat_picture *p, struct source *out,
     struct err *e)
{
	char base[BASE_BYTES];
	struct picture own;
	int rc;

	request_base_url(r, base, sizeof(base));
	if (chat_sources_own(p->url, base, &own))
		return take_own(fs, &own, p->param, out, e);
	rc = source_fetch(fs, p->url, p->param, out, request_deadline(r), request_ledger(r), e);
	if (rc == 0 && source_clean(fs, out, 1, p->param, request_deadline(r), e) < 0) {
		source_done(out);
		rc = -1;
	}
	return rc;
}

static int
no_pictures(const struct chat_turn *t, struct err *e)
{
	(void)err_set(e, ERR_UNSUPPORTED, "this model takes no input pictures");
	memcpy(e->param, t->asked[0].param, sizeof(e->param));
	return -1;
}

int
chat_sources_take(struct request *r, struct filestore *fs, const struct chat_turn *t, unsigned max,
		  struct chat_sources *out, struct err *e)
{
	struct err ignored;

	*out = (struct chat_sources){ 0 };
	if (t->nasked && !max)
		return no_pictures(t, e);
	for (unsigned i = 0; i < t->nasked; i++) {
		if (take(r, fs, &t->asked[i], &out->v[i], e) < 0) {
			chat_sources_done(out);
			return -1;
		}
		out->n++;
	}
	for (unsigned i = 0; !t->nasked && i < t->nearlier && out->n < max; i++)
		if (take(r, fs, &t->earlier[i], &out->v[out->n], &ignored) == 0)
			out->n++;
	return 0;
}

void
chat_sources_done(struct chat_sources *s)
{
	for (unsigned i = 0; i < SOURCES_MAX; i++)
		source_done(&s->v[i]);
	s->n = 0;
}
