#include "files/inventory.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Room for one more element of `size` bytes, or NULL. */
static void *
grow(void *list, size_t n, size_t *room, size_t size)
{
	size_t more = *room ? *room * 2 : 64;
	void *p;

	if (n < *room)
		return list;
	p = reallocarray(list, more, size);
	if (p)
		*room = more;
	return p;
}

static void
add_record(const struct picture_record *p, void *arg)
{
	struct inventory *v = arg;
	struct inventory_record *list =
		grow(v->records, v->nrecords, &v->records_room, sizeof(*list));

	if (!list) {
		v->no_memory = true;
		return;
	}
	v->records = list;
	list += v->nrecords++;
	*list = (struct inventory_record){ .picture = { .type = picture_by_name(p->file),
							.bytes = (uint64_t)p->bytes },
					   .created_ms = p->created_ms,
					   .file_bytes = -1 };
	(void)snprintf(list->picture.id, sizeof(list->picture.id), "%.26s", p->id);
}

static int
by_id(const void *a, const void *b)
{
	return strcmp(((const struct inventory_record *)a)->picture.id,
		      ((const struct inventory_record *)b)->picture.id);
}

static int
by_age(const void *a, const void *b)
{
	int64_t x = ((const struct file_found *)a)->changed_ms;
	int64_t y = ((const struct file_found *)b)->changed_ms;

	return (x > y) - (x < y);
}

static void
add_file(const struct file_found *f, void *arg)
{
	struct inventory *v = arg;
	struct inventory_record key = { .created_ms = 0 }, *r = NULL;
	struct file_found *list;

	if (v->nrecords && (f->kind == FILE_PICTURE || f->kind == FILE_THUMBNAIL)) {
		memcpy(key.picture.id, f->picture.id, sizeof(key.picture.id));
		r = bsearch(&key, v->records, v->nrecords, sizeof(*v->records), by_id);
	}
	if (r && f->kind == FILE_THUMBNAIL)
		return;
	if (r && f->picture.type == r->picture.type) {
		r->file_bytes = f->bytes;
		v->picture_bytes += f->bytes;
		return;
	}
	list = grow(v->strays, v->nstrays, &v->strays_room, sizeof(*list));
	if (!list) {
		v->no_memory = true;
		return;
	}
	v->strays = list;
	list[v->nstrays++] = *f;
}

int
inventory_read(struct inventory *v, struct filestore *fs, struct store *s, const struct deadline *d,
	       struct err *e)
{
	const struct picture_query all = { .limit = SIZE_MAX };

	*v = (struct inventory){ .records = NULL };
	if (store_picture_list(s, &all, add_record, v, d, e) < 0)
		return -1;
	if (v->nrecords)
		qsort(v->records, v->nrecords, sizeof(*v->records), by_id);
	if (filestore_each(fs, add_file, v, e) < 0)
		return -1;
	if (v->nstrays)
		qsort(v->strays, v->nstrays, sizeof(*v->strays), by_age);
	return v->no_memory ? err_set(e, ERR_INTERNAL, "out of memory") : 0;
}

void
inventory_done(struct inventory *v)
{
	free(v->records);
	free(v->strays);
	*v = (struct inventory){ .records = NULL };
}
