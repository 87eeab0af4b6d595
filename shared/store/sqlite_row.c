#include <stdio.h>
#include <string.h>

#include "store/sqlite_store.h"

void
bind_text(sqlite3_stmt *s, int parameter, const char *text)
{
	(void)sqlite3_bind_text(s, parameter, text, -1, SQLITE_STATIC);
}

void
bind_i64(sqlite3_stmt *s, int parameter, int64_t n)
{
	(void)sqlite3_bind_int64(s, parameter, n);
}

static void
bind_one(sqlite3_stmt *s, int n, const struct field *f, const void *at)
{
	const struct store_bytes *bytes = at;
	const char *text;

	switch (f->kind) {
	case FIELD_TEXT: bind_text(s, n, at); break;
	case FIELD_I64: bind_i64(s, n, *(const int64_t *)at); break;
	case FIELD_UINT: bind_i64(s, n, *(const unsigned *)at); break;
	case FIELD_BOOL: bind_i64(s, n, *(const bool *)at); break;
	case FIELD_LONG:
		text = *(char *const *)at;
		bind_text(s, n, text ? text : "");
		break;
	case FIELD_FIXED: (void)sqlite3_bind_blob(s, n, at, (int)f->size, SQLITE_STATIC); break;
	case FIELD_BYTES:
		(void)sqlite3_bind_blob(s, n, bytes->p ? (const void *)bytes->p : "",
					(int)bytes->len, SQLITE_STATIC);
		break;
	}
}

void
row_bind(sqlite3_stmt *s, int first, const struct fields *f, const void *record)
{
	for (size_t i = 0; i < f->n; i++)
		bind_one(s, first + (int)i, &f->field[i], (const char *)record + f->field[i].at);
}

static int
read_one(sqlite3_stmt *s, int n, const struct field *f, void *record, struct err *e)
{
	void *at = (char *)record + f->at;
	const void *p;

	switch (f->kind) {
	case FIELD_TEXT:
		p = sqlite3_column_text(s, n);
		(void)snprintf(at, f->size, "%s", p ? (const char *)p : "");
		break;
	case FIELD_I64: *(int64_t *)at = sqlite3_column_int64(s, n); break;
	case FIELD_UINT: *(unsigned *)at = (unsigned)sqlite3_column_int64(s, n); break;
	case FIELD_BOOL: *(bool *)at = sqlite3_column_int64(s, n) != 0; break;
	case FIELD_FIXED:
		p = sqlite3_column_blob(s, n);
		if (p && sqlite3_column_bytes(s, n) == (int)f->size)
			memcpy(at, p, f->size);
		break;
	case FIELD_LONG:
	case FIELD_BYTES:
		p = sqlite3_column_blob(s, n);
		return field_own(f, record, p, (size_t)sqlite3_column_bytes(s, n), e);
	}
	return 0;
}

int
row_read(sqlite3_stmt *s, int first, const struct fields *f, void *record, struct err *e)
{
	memset(record, 0, f->record_bytes);
	for (size_t i = 0; i < f->n; i++)
		if (read_one(s, first + (int)i, &f->field[i], record, e) < 0) {
			fields_done(f, record);
			return -1;
		}
	return 0;
}

int
row_one(struct sqlite_conn *c, sqlite3_stmt *s, const struct fields *f, void *record, bool *found,
	struct err *e)
{
	int got = stmt_row(c, s, e);

	*found = got > 0;
	if (got > 0 && record && row_read(s, 0, f, record, e) < 0)
		return -1;
	/* To its end: what RETURNING changed is only then all there. */
	while (got > 0)
		got = stmt_row(c, s, e);
	if (got < 0 && *found && record)
		fields_done(f, record);
	return got;
}
