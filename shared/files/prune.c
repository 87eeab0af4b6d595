#include "files/prune.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define STEP    100 /* records removed before the deadline is set anew */
#define READ_MS 120000

struct pruning {
	struct filestore *fs;
	struct store *store;
	const struct prune_rules *rules;
	struct prune_report *report;
	uint64_t *counter; /* of the report: what is removed now */
	size_t removed;    /* in this step */
	struct inventory seen;
};

/* ---- what has no record ---- */

static bool
is_older(const struct pruning *p, const struct file_found *f, int64_t ms)
{
	return f->changed_ms < p->rules->now_ms - ms;
}

static void
remove_stray(struct pruning *p, struct file_found *f, uint64_t *counter)
{
	if (!p->rules->dry_run)
		filestore_remove_found(p->fs, f);
	(*counter)++;
	p->report->bytes += f->bytes;
	f->kind = FILE_OTHER; /* it is gone */
}

/* A picture without a record; it may have got one since the records were read. */
static int
remove_picture(struct pruning *p, struct file_found *f, struct err *e)
{
	AUTO(picture_record) record = { .bytes = 0 };
	struct deadline d = deadline_in_ms(PRUNE_STEP_MS);
	bool found = false;

	if (store_picture_get(p->store, f->picture.id, &record, &found, &d, e) < 0)
		return -1;
	if (found)
		return 0;
	if (!p->rules->dry_run)
		filestore_remove_thumbnail(p->fs, &f->picture);
	remove_stray(p, f, &p->report->strays);
	return 0;
}

static int
strays_by_age(struct pruning *p, struct err *e)
{
	const struct prune_rules *rules = p->rules;
	int64_t picture_ms = rules->keep_ms > rules->stray_ms ? rules->keep_ms : rules->stray_ms;

	for (size_t i = 0; i < p->seen.nstrays; i++) {
		struct file_found *f = &p->seen.strays[i];

		if (f->kind == FILE_PICTURE && rules->keep_ms && is_older(p, f, picture_ms) &&
		    remove_picture(p, f, e) < 0)
			return -1;
		if (f->kind == FILE_THUMBNAIL && is_older(p, f, FILE_LEFTOVER_MS))
			remove_stray(p, f, &p->report->thumbnails);
		if (f->kind == FILE_TEMPORARY && is_older(p, f, FILE_LEFTOVER_MS))
			remove_stray(p, f, &p->report->temporary);
	}
	return 0;
}

/* Of the pictures that have no record. */
static int64_t
stray_bytes(const struct pruning *p)
{
	int64_t sum = 0;

	for (size_t i = 0; i < p->seen.nstrays; i++)
		if (p->seen.strays[i].kind == FILE_PICTURE)
			sum += p->seen.strays[i].bytes;
	return sum;
}

/* ---- what has one ---- */

static void
remove_recorded(const struct picture_record *record, void *arg)
{
	struct pruning *p = arg;
	struct picture picture = { .type = picture_by_name(record->file) };

	(void)snprintf(picture.id, sizeof(picture.id), "%.26s", record->id);
	filestore_remove(p->fs, &picture);
	filestore_remove_thumbnail(p->fs, &picture);
	p->report->bytes += record->bytes;
	(*p->counter)++;
	p->removed++;
}

static int
recorded(struct pruning *p, int64_t before_ms, int64_t max_bytes, uint64_t *counter, struct err *e)
{
	p->counter = counter;
	do {
		struct deadline d = deadline_in_ms(PRUNE_STEP_MS);

		p->removed = 0;
		if (store_picture_prune(p->store, before_ms, max_bytes, STEP, remove_recorded, p,
					&d, e) < 0)
			return -1;
	} while (p->removed == STEP);
	return 0;
}

static int
by_creation(const void *a, const void *b)
{
	int64_t x = ((const struct inventory_record *)a)->created_ms;
	int64_t y = ((const struct inventory_record *)b)->created_ms;

	return (x > y) - (x < y);
}

/* The same in thought. */
static void
recorded_dry(struct pruning *p, int64_t before_ms, int64_t max_bytes, uint64_t *counter)
{
	struct inventory_record *r = p->seen.records;
	size_t n = p->seen.nrecords, i = 0;
	int64_t total = 0;

	if (n)
		qsort(r, n, sizeof(*r), by_creation);
	for (size_t k = 0; k < n; k++)
		total += (int64_t)r[k].picture.bytes;
	while (i < n && (r[i].created_ms < before_ms || (max_bytes && total > max_bytes))) {
		total -= (int64_t)r[i].picture.bytes;
		p->report->bytes += (int64_t)r[i++].picture.bytes;
		(*counter)++;
	}
	if (i)
		memmove(r, r + i, (n - i) * sizeof(*r));
	p->seen.nrecords = n - i;
}

static int
pictures_by_age(struct pruning *p, struct err *e)
{
	int64_t before_ms = p->rules->now_ms - p->rules->keep_ms;

	if (!p->rules->keep_ms)
		return 0;
	if (!p->rules->dry_run)
		return recorded(p, before_ms, 0, &p->report->by_age, e);
	recorded_dry(p, before_ms, 0, &p->report->by_age);
	return 0;
}

static int64_t
recorded_bytes(const struct pruning *p)
{
	int64_t sum = 0;

	for (size_t i = 0; i < p->seen.nrecords; i++)
		sum += (int64_t)p->seen.records[i].picture.bytes;
	return sum;
}

/* Strays first, then the oldest with a record. */
static int
by_size(struct pruning *p, int64_t recorded_now, struct err *e)
{
	int64_t max = p->rules->max_bytes, others = stray_bytes(p);

	if (!max || recorded_now + others <= max)
		return 0;
	for (size_t i = 0; i < p->seen.nstrays && recorded_now + others > max; i++) {
		struct file_found *f = &p->seen.strays[i];
		int64_t bytes = f->bytes;

		if (f->kind != FILE_PICTURE || !is_older(p, f, p->rules->stray_ms))
			continue;
		if (remove_picture(p, f, e) < 0)
			return -1;
		if (f->kind == FILE_OTHER)
			others -= bytes;
	}
	max = max > others ? max - others : 1; /* 0 would be no limit */
	if (!p->rules->dry_run)
		return recorded(p, 0, max, &p->report->by_size, e);
	recorded_dry(p, 0, max, &p->report->by_size);
	return 0;
}

/* ---- the store's own ---- */

static int
store_records(struct pruning *p, struct err *e)
{
	uint64_t removed;

	if (p->rules->dry_run)
		return 0;
	do {
		struct deadline d = deadline_in_ms(PRUNE_STEP_MS);

		if (store_prune(p->store, STEP, &removed, &d, e) < 0)
			return -1;
		p->report->records += removed;
	} while (removed);
	return 0;
}

int
prune(struct filestore *fs, struct store *s, const struct prune_rules *rules,
      struct prune_report *report, struct err *e)
{
	struct pruning p = { .fs = fs, .store = s, .rules = rules, .report = report };
	struct deadline d = deadline_in_ms(READ_MS);
	int64_t before = 0;
	int rc;

	*report = (struct prune_report){ .bytes = 0 };
	rc = store_records(&p, e);
	if (rc == 0)
		rc = inventory_read(&p.seen, fs, s, &d, e);
	if (rc == 0)
		rc = strays_by_age(&p, e);
	if (rc == 0) {
		before = report->bytes;
		rc = pictures_by_age(&p, e);
	}
	if (rc == 0) {
		/* A dry run has taken them out of the inventory. */
		int64_t gone = rules->dry_run ? 0 : report->bytes - before;

		rc = by_size(&p, recorded_bytes(&p) - gone, e);
	}
	inventory_done(&p.seen);
	return rc;
}
