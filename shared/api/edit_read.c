#include "api/edit_read.h"

#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/json.h"
#include "job/source_clean.h"
#include "job/source_fetch.h"

void
edit_done(struct edit *ed)
{
	for (unsigned i = 0; i < SOURCES_MAX; i++)
		source_done(&ed->sources[i]);
	source_done(&ed->mask);
	json_decref(ed->body);
	ed->body = NULL;
	ed->nsources = 0;
}

static int
too_many(const char *param, struct err *e)
{
	char expected[40];

	(void)snprintf(expected, sizeof(expected), "at most %d pictures", SOURCES_MAX);
	return err_field(e, ERR_VALUE, param, expected, "more");
}

static int
missing(const char *param, struct err *e)
{
	(void)err_set(e, ERR_MISSING, "%s", "");
	(void)snprintf(e->param, sizeof(e->param), "%s", param);
	(void)snprintf(e->expected, sizeof(e->expected),
		       "a PNG, JPEG or WebP to start from, up to %d of them", SOURCES_MAX);
	return -1;
}

/* ---- multipart ---- */

/* Of all texts together: a prompt and a negative one at their longest, and room for the others. */
#define TEXTS_BYTES (1 << 20)

struct form {
	struct image_engine *g;
	struct edit *out;
	struct intake in;
	struct buf text;
	size_t texts; /* bytes of all so far */
	char name[MULTIPART_NAME];
	enum { FORM_TEXT, FORM_IMAGE, FORM_MASK } kind;
	bool nameless, empty; /* its file has no name; nothing of it came yet */
};

/* "image", "image[]" and "image[3]" are pictures; their order is that of the body. */
static bool
names_image(const char *name)
{
	size_t digits;

	if (strncmp(name, "image", 5) != 0)
		return false;
	name += 5;
	if (!*name)
		return true;
	digits = *name == '[' ? strspn(name + 1, "0123456789") : 0;
	return *name == '[' && !strcmp(name + 1 + digits, "]");
}

static int
form_begin(void *self, const struct multipart_part *part, struct err *e)
{
	struct form *f = self;
	char param[64];

	f->nameless = part->has_filename && !part->filename[0];
	f->empty = true;
	(void)snprintf(f->name, sizeof(f->name), "%s", part->name);
	if (names_image(part->name)) {
		f->kind = FORM_IMAGE;
		/* One part of the plain name is "image"; an array's are counted. */
		if (!part->name[5] && !f->out->nsources)
			(void)snprintf(param, sizeof(param), "image");
		else
			(void)snprintf(param, sizeof(param), "image[%u]", f->out->nsources);
		return f->out->nsources == SOURCES_MAX
			       ? too_many("image", e)
			       : intake_begin(&f->in, f->g->files, param, e);
	}
	if (!strcmp(part->name, "mask")) {
		f->kind = FORM_MASK;
		if (f->out->mask.type != PICTURE_NONE)
			return err_field(e, ERR_VALUE, "mask", "one mask", "two");
		return intake_begin(&f->in, f->g->files, "mask", e);
	}
	f->kind = FORM_TEXT;
	buf_clear(&f->text);
	return 0;
}

static int
form_data(void *self, const char *p, size_t n, struct err *e)
{
	struct form *f = self;

	f->empty = false;
	if (f->kind != FORM_TEXT)
		return intake_bytes(&f->in, p, n, e);
	f->texts += n;
	if (f->texts <= TEXTS_BYTES && buf_add(&f->text, p, n) == 0)
		return 0;
	(void)err_field(e, ERR_TOO_LONG, "", "at most 1 MB of text in all parameters", "more");
	(void)snprintf(e->param, sizeof(e->param), "%.60s", f->name);
	return -1;
}

static int
form_end(void *self, struct err *e)
{
	struct form *f = self;
	struct source *to;

	if (f->kind == FORM_TEXT)
		return image_param_from_text(f->out->body, f->name, buf_str(&f->text), f->text.len,
					     e);
	/* What a browser sends for a field that was left empty. */
	if (f->nameless && f->empty) {
		intake_done(&f->in);
		return 0;
	}
	to = f->kind == FORM_MASK ? &f->out->mask : &f->out->sources[f->out->nsources];
	if (intake_end(&f->in, to, e) < 0)
		return -1;
	f->out->nsources += f->kind == FORM_IMAGE;
	return 0;
}

__attribute__((noinline)) static int /* its buffers must not lie on a stack that waits */
read_form(struct request *r, struct image_engine *g, struct edit *out, struct err *e)
{
	struct form f = { .g = g, .out = out, .text = BUF_INIT(TEXTS_BYTES) };
	const struct multipart_handler to = { form_begin, form_data, form_end, &f };
	int rc;

	sink_init(&f.in.sink, g->files);
	out->body = json_object();
	rc = out->body ? request_multipart(r, &to, e) : err_set(e, ERR_INTERNAL, "out of memory");
	if (rc == 0)
		rc = image_params_read(out->body, &out->rq, &out->model, e);
	if (rc == 0 && !out->nsources)
		rc = missing("image", e);
	intake_done(&f.in);
	buf_done(&f.text);
	return rc;
}

/* ---- JSON ---- */

struct reader {
	struct image_engine *g;
	struct edit *out;
	const struct deadline *d;
	struct ledger *ledger;
};

static int
no_files(const char *param, struct err *e)
{
	(void)err_set(e, ERR_UNSUPPORTED, "no files are kept here that an id could name");
	(void)snprintf(e->param, sizeof(e->param), "%s.file_id", param);
	return -1;
}

/* One picture: a URL, {"image_url":"…"}, or as in chat {"image_url":{"url":"…"}}. */
static int
read_ref(const struct reader *rd, const char *param, const json_t *v, struct source *out,
	 struct err *e)
{
	const json_t *url = json_object_get(v, "image_url"), *file = json_object_get(v, "file_id");
	char at[64];

	if (json_is_string(v))
		return source_fetch(rd->g->files, json_string_value(v), param, out, rd->d,
				    rd->ledger, e);
	if (!json_is_object(v))
		return err_field(e, ERR_TYPE, param, "a string or an object with image_url", "%s",
				 json_type_name(v));
	if (url && !json_is_null(url) && file && !json_is_null(file))
		return err_field(e, ERR_VALUE, param, "exactly one of image_url and file_id",
				 "both");
	if (file && !json_is_null(file))
		return no_files(param, e);
	(void)snprintf(at, sizeof(at), "%.50s.image_url", param);
	if (json_is_object(url))
		url = json_object_get(url, "url");
	if (!url || json_is_null(url))
		return missing(at, e);
	if (!json_is_string(url))
		return err_field(e, ERR_TYPE, at, "a string", "%s", json_type_name(url));
	return source_fetch(rd->g->files, json_string_value(url), at, out, rd->d, rd->ledger, e);
}

static int
read_refs(const struct reader *rd, const char *name, const json_t *v, struct err *e)
{
	struct edit *out = rd->out;
	char param[40];

	if (!json_is_array(v)) {
		if (read_ref(rd, name, v, &out->sources[0], e) < 0)
			return -1;
		out->nsources = 1;
		return 0;
	}
	if (json_array_size(v) > SOURCES_MAX)
		return too_many(name, e);
	for (size_t i = 0; i < json_array_size(v); i++) {
		(void)snprintf(param, sizeof(param), "%s[%zu]", name, i);
		if (read_ref(rd, param, json_array_get(v, i), &out->sources[i], e) < 0)
			return -1;
		out->nsources = (unsigned)i + 1;
	}
	return out->nsources ? 0 : missing(name, e);
}

/* Takes a member out of the object; NULL when it is not there, or null. */
static json_t *
take(json_t *body, const char *name)
{
	json_t *v = json_incref(json_object_get(body, name));

	(void)json_object_del(body, name);
	if (!json_is_null(v))
		return v;
	json_decref(v);
	return NULL;
}

int
edit_sources_json(json_t *body, struct image_engine *g, struct edit *out, const struct deadline *d,
		  struct ledger *ledger, struct err *e)
{
	const struct reader rd = { g, out, d, ledger };
	json_auto_t *images = take(body, "images"), *image = take(body, "image");
	json_auto_t *mask = take(body, "mask");

	/* Judged before anything is fetched: that costs somebody something. */
	if (image_params_read(body, &out->rq, &out->model, e) < 0)
		return -1;
	if (images && image)
		return err_field(e, ERR_VALUE, "image", "either image or images", "both");
	if (!images && !image)
		return missing("images", e);
	if (images && !json_is_array(images))
		return err_field(e, ERR_TYPE, "images", "an array", "%s", json_type_name(images));
	if (read_refs(&rd, images ? "images" : "image", images ? images : image, e) < 0)
		return -1;
	return mask ? read_ref(&rd, "mask", mask, &out->mask, e) : 0;
}

static int
read_json(struct request *r, struct image_engine *g, struct edit *out, struct err *e)
{
	if (request_json(r, &out->body, e) == 0)
		return edit_sources_json(out->body, g, out, request_deadline(r), request_ledger(r),
					 e);
	if (e->kind == ERR_MEDIA_TYPE)
		(void)snprintf(e->expected, sizeof(e->expected),
			       "multipart/form-data or application/json");
	return -1;
}

/* ---- both ---- */

/* The pixels that are to be made anew are the transparent ones, of the first picture. */
static int
check_mask(const struct edit *ed, struct err *e)
{
	const struct source *mask = &ed->mask, *first = &ed->sources[0];
	char expected[80];

	if (mask->type == PICTURE_NONE)
		return 0;
	if (mask->type == PICTURE_JPEG)
		return err_field(e, ERR_VALUE, "mask", "a PNG with transparent pixels", "a JPEG");
	if (mask->width == first->width && mask->height == first->height)
		return 0;
	(void)snprintf(expected, sizeof(expected), "%ux%u, as the first picture is", first->width,
		       first->height);
	return err_field(e, ERR_VALUE, "mask", expected, "%ux%u", mask->width, mask->height);
}

int
edit_settle(struct edit *ed, struct image_engine *g, const struct deadline *d, struct err *e)
{
	if (source_clean(g->files, ed->sources, ed->nsources, "image", d, e) < 0 ||
	    source_clean(g->files, &ed->mask, 1, "mask", d, e) < 0 || check_mask(ed, e) < 0)
		return -1;
	ed->rq.sources = ed->sources;
	ed->rq.nsources = ed->nsources;
	ed->rq.mask = ed->mask.type != PICTURE_NONE ? &ed->mask : NULL;
	return 0;
}

int
edit_read(struct request *r, struct image_engine *g, struct edit *out, struct err *e)
{
	int rc;

	*out = (struct edit){ 0 };
	rc = request_is_multipart(r) ? read_form(r, g, out, e) : read_json(r, g, out, e);
	return rc < 0 ? -1 : edit_settle(out, g, request_deadline(r), e);
}
