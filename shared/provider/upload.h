#ifndef EASEL_PROVIDER_UPLOAD_H
#define EASEL_PROVIDER_UPLOAD_H
/*
 * upload - a request's body that holds pictures: text in memory, pictures in their files
 *
 * Its length is known before the first byte leaves, and it can be read again from the start; no more of
 * a picture is in memory than what is being sent.  As it is, or as base64 (in a JSON text); on top of
 * that multipart/form-data (RFC 7578).  One thread at a time.
 */
#include "base/buf.h"
#include "files/source.h"

#define UPLOAD_TEXT_BYTES (4 << 20) /* all of its text; a prompt of 32,000 characters is 128 KB */

struct upload {
	struct buf text;
	struct upload_cut {
		size_t at; /* in the text: here stands the picture */
		const struct source *source;
		bool base64;
	} cuts[SOURCES_MAX + 1];
	unsigned ncuts;
	uint64_t bytes; /* its length so far */
	bool failed;    /* no memory, or more pictures than there may be */
	char boundary[40];
	char content_type[96]; /* the header "Content-Type: multipart/form-data; boundary=…" */
};

void upload_init(struct upload *u);
void upload_done(struct upload *u);

/* The same on the heap; NULL: out of memory. */
struct upload *upload_new(void);
void upload_free(struct upload *u);
DEFINE_FREEP(upload);

void upload_text(struct upload *u, const char *s, size_t n);
void upload_source(struct upload *u, const struct source *s); /* borrowed */
void upload_base64(struct upload *u, const struct source *s);

/* ---- multipart ---- */

void upload_form_field(struct upload *u, const char *name, const char *value);
/* `filename` goes without its extension, which follows, as the type does, from what the file holds. */
void upload_form_file(struct upload *u, const char *name, const char *filename,
		      const struct source *s);
void upload_form_end(struct upload *u);

/*
 * For struct upstream_req: up to n bytes from `at` on, at least one before the end.  0 or -1:
 * ERR_INTERNAL.
 */
int upload_read(void *self, uint64_t at, void *p, size_t n, size_t *got, struct err *e);

#endif
