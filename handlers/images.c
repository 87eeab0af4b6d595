/*
 * images - GET /v1/images, GET and DELETE /v1/images/{id}
 *
 * The caller's stored pictures.  Another key's picture does not exist here.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/num.h"
#include "files/imaging.h"
#include "files/thumbnails.h"
#include "http/app.h"
#include "http/query.h"
#include "store/store_usage.h"

#define LIMIT_DEFAULT 20
#define LIMIT_MAX     100
#define SEARCH_BYTES  513  /* of q, with its NUL */
#define LIST_WAIT_MS  1000 /* for thumbnails that are missing */
#define ONE_WAIT_MS   5000
#define URL_BYTES     640

struct images {
	const struct config *config;
	struct store *store;
	struct filestore *files;
	struct thumbnails *thumbnails; /* NULL: the helper is not installed */
};

/* ---- a picture ---- */

/* What the file store needs to know of it. */
static struct picture
picture_of(const struct picture_record *p)
{
	struct picture out = { .type = picture_by_name(p->file), .bytes = (uint64_t)p->bytes };

	(void)snprintf(out.id, sizeof(out.id), "%.26s", p->id);
	(void)num_size(p->size, 1, UINT32_MAX, &out.width, &out.height);
	return out;
}

static json_t *
object_or_empty(const char *text)
{
	json_t *o = text ? json_loads(text, 0, NULL) : NULL;

	if (json_is_object(o))
		return o;
	json_decref(o);
	return json_object();
}

static json_t *
text_or_null(const char *s)
{
	return s && *s ? json_string(s) : json_null();
}

static json_t *
thumbnail_url(const struct images *s, const char *base, const struct picture *p, const char *url)
{
	char path[THUMBNAIL_PATH], text[URL_BYTES];

	if (thumbnail_is_needless(p))
		return json_string(url);
	if (!filestore_has_thumbnail(s->files, p))
		return json_null();
	thumbnail_path(p, path);
	(void)snprintf(text, sizeof(text), "%s%s", base, path);
	return json_string(text);
}

static json_t *
picture_json(const struct images *s, const char *base, const struct picture_record *p)
{
	const struct picture file = picture_of(p);
	char url[URL_BYTES];

	(void)snprintf(url, sizeof(url), "%s/files/%s", base, p->file);
	return json_pack("{s:s, s:s, s:I, s:s, s:o, s:s, s:I, s:s, s:s, s:s, s:s, s:o, s:o, s:o, "
			 "s:o, s:o}",
			 "id", p->id, "object", "image", "created",
			 (json_int_t)(p->created_ms / 1000), "url", url, "thumbnail_url",
			 thumbnail_url(s, base, &file, url), "type", p->type, "bytes",
			 (json_int_t)p->bytes, "size", p->size, "model", p->model, "provider",
			 p->provider, "prompt", p->prompt ? p->prompt : "", "seed",
			 p->seed >= 0 ? json_integer(p->seed) : json_null(), "parameters",
			 object_or_empty(p->parameters), "receipt", object_or_empty(p->receipt),
			 "request_id", text_or_null(p->request_id), "task_id",
			 text_or_null(p->task_id));
}

static void
want_thumbnails(const struct images *s, struct request *r, const struct picture *p, size_t n,
		int64_t wait_ms)
{
	struct deadline d = deadline_sooner(request_deadline(r), wait_ms);

	if (s->thumbnails)
		thumbnails_want(s->thumbnails, p, n, &d);
}

static int
no_such_picture(struct err *e)
{
	return err_set(e, ERR_NOT_FOUND, "picture");
}

/* The caller's picture with that id.  -1 also: ERR_NOT_FOUND. */
static int
find(const struct images *s, struct request *r, const char *id, struct picture_record *out,
     struct err *e)
{
	bool found = false;

	if (store_picture_get(s->store, id, out, &found, request_deadline(r), e) < 0)
		return -1;
	if (!found || strcmp(out->owner, request_principal(r)->id) != 0)
		return no_such_picture(e);
	return 0;
}

/* ---- the list ---- */

struct page {
	struct picture_record v[LIMIT_MAX + 1];
	struct picture file[LIMIT_MAX];
	size_t n;
	bool no_memory;
};

static void
page_free(struct page *p)
{
	for (size_t i = 0; i < p->n; i++)
		picture_record_done(&p->v[i]);
	free(p);
}

static char *
copy(struct page *page, const char *s)
{
	char *text = strdup(s ? s : "");

	page->no_memory |= !text;
	return text;
}

/* The record is the store's: its texts are copied. */
static void
collect(const struct picture_record *p, void *arg)
{
	struct page *page = arg;
	struct picture_record *to = &page->v[page->n];

	if (page->n > LIMIT_MAX)
		return;
	*to = *p;
	to->prompt = copy(page, p->prompt);
	to->parameters = copy(page, p->parameters);
	to->receipt = copy(page, p->receipt);
	page->n++;
}

struct list_query {
	char q[SEARCH_BYTES], model[160], after[80], limit[24], unknown[QUERY_UNKNOWN];
	int64_t n;
};

static int
read_query(const struct images *s, struct request *r, struct list_query *q, struct err *e)
{
	struct query_param v[] = { { "q", q->q, sizeof(q->q), false },
				   { "model", q->model, sizeof(q->model), false },
				   { "after", q->after, sizeof(q->after), false },
				   { "limit", q->limit, sizeof(q->limit), false } };
	AUTO(picture_record) after = { 0 };

	if (query_read(request_query(r), v, 4, q->unknown, e) < 0 ||
	    query_number(&v[3], 1, LIMIT_MAX, LIMIT_DEFAULT, &q->n, e) < 0)
		return -1;
	/* A list that goes on behind a picture that is gone would silently end there. */
	if (q->after[0] && find(s, r, q->after, &after, e) < 0)
		return e->kind == ERR_NOT_FOUND
			       ? err_field(e, ERR_VALUE, "after", "the id of one of your pictures",
					   "another")
			       : -1;
	return 0;
}

static int
answer_page(const struct images *s, struct request *r, struct page *page, size_t limit,
	    struct err *e)
{
	size_t n = page->n < limit ? page->n : limit;
	json_t *data = json_array();
	char base[URL_BYTES - 128];

	for (size_t i = 0; i < n; i++)
		page->file[i] = picture_of(&page->v[i]);
	want_thumbnails(s, r, page->file, n, LIST_WAIT_MS);
	request_base_url(r, base, sizeof(base));
	for (size_t i = 0; i < n; i++)
		(void)json_array_append_new(data, picture_json(s, base, &page->v[i]));
	return reply_json(r, 200,
			  json_pack("{s:s, s:o, s:b}", "object", "list", "data", data, "has_more",
				    page->n > limit),
			  e);
}

static int
list_into(const struct images *s, struct request *r, struct page *page, struct err *e)
{
	struct list_query q = { .n = 0 };
	const struct model_conf *model;
	struct picture_query pq = { .owner = request_principal(r)->id, .q = q.q, .model = q.model };

	if (read_query(s, r, &q, e) < 0)
		return -1;
	query_receipt(r, q.unknown);
	model = config_model(s->config, q.model);
	if (model) /* an alias is in no record */
		pq.model = model->id;
	pq.after = q.after[0] ? q.after : NULL;
	pq.limit = (size_t)q.n + 1; /* one more says whether there are more */
	if (store_picture_list(s->store, &pq, collect, page, request_deadline(r), e) < 0)
		return -1;
	if (page->no_memory)
		return err_set(e, ERR_OVERLOADED, "no memory for the list");
	return answer_page(s, r, page, (size_t)q.n, e);
}

static int
list(struct request *r, void *state, struct err *e)
{
	struct page *page = calloc(1, sizeof(*page));
	int rc;

	if (!page)
		return err_set(e, ERR_OVERLOADED, "no memory for the list");
	rc = list_into(state, r, page, e);
	page_free(page);
	return rc;
}

/* ---- one picture ---- */

static int
retrieve(struct request *r, void *state, struct err *e)
{
	const struct images *s = state;
	AUTO(picture_record) p = { 0 };
	struct picture file;
	char base[URL_BYTES - 128];

	if (find(s, r, request_rest(r), &p, e) < 0)
		return -1;
	file = picture_of(&p);
	want_thumbnails(s, r, &file, 1, ONE_WAIT_MS);
	request_base_url(r, base, sizeof(base));
	return reply_json(r, 200, picture_json(s, base, &p), e);
}

static int
remove_one(struct request *r, void *state, struct err *e)
{
	const struct images *s = state;
	AUTO(picture_record) p = { 0 };
	struct picture file;
	bool found = false;

	if (find(s, r, request_rest(r), &p, e) < 0)
		return -1;
	/* The record first: none promises a file that is not there. */
	if (store_picture_delete(s->store, p.id, request_principal(r)->id, &found,
				 request_deadline(r), e) < 0)
		return -1;
	if (!found)
		return no_such_picture(e);
	file = picture_of(&p);
	filestore_remove(s->files, &file);
	filestore_remove_thumbnail(s->files, &file);
	return reply_json(r, 200,
			  json_pack("{s:s, s:s, s:b}", "id", p.id, "object", "image", "deleted", 1),
			  e);
}

/* ---- the program ---- */

static int
init(void *state, const struct app_env *env, struct err *e)
{
	struct images *s = state;
	const struct config *c = env->config;

	s->config = c;
	s->store = env->store;
	if (filestore_open(&s->files, c->files.url, c->state_dir, (uint64_t)c->limits.image_bytes,
			   (uint64_t)c->limits.image_pixels, (uint64_t)c->files.max_bytes, e) < 0)
		return -1;
	if (imaging_init(e) < 0) {
		log_warn(NULL, "there will be no thumbnails: %s", e->about);
		return 0;
	}
	return thumbnails_open(&s->thumbnails, s->files, e);
}

static void
done(void *state)
{
	struct images *s = state;

	thumbnails_free(s->thumbnails);
	filestore_free(s->files);
}

static const struct route routes[] = { { "GET", "/v1/images", list, .scope = SCOPE_IMAGES },
				       { "GET", "/v1/images/*", retrieve, .scope = SCOPE_IMAGES },
				       { "DELETE", "/v1/images/*", remove_one,
					 .scope = SCOPE_IMAGES },
				       { 0 } };

int
main(int argc, char **argv)
{
	static const char *const sections[] = { "server", "auth",    "store", "files",
						"limits", "process", "log",   NULL };

	return app_main(&(const struct app){ .name = "images",
					     .summary = "lists the stored pictures",
					     .routes = routes,
					     .sections = sections,
					     .state_size = sizeof(struct images),
					     .init = init,
					     .done = done },
			argc, argv);
}
