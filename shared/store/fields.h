#ifndef EASEL_STORE_FIELDS_H
#define EASEL_STORE_FIELDS_H
/*
 * fields - each record's fields, told once for both drivers
 *
 * The order is that of the columns in SQLite; the names are columns there and fields of a hash in Redis.
 * For shared/store only.
 */
#include <stddef.h>

#include "base/err.h"

enum field_kind {
	FIELD_TEXT, /* char[size] */
	FIELD_I64,  /* int64_t */
	FIELD_UINT, /* unsigned, or an enum */
	FIELD_BOOL,
	FIELD_LONG,  /* char *, the record's own; "" is NULL */
	FIELD_FIXED, /* unsigned char[size] */
	FIELD_BYTES, /* struct store_bytes */
};

struct field {
	const char *name;
	enum field_kind kind;
	size_t at, size;
};

struct fields {
	const struct field *field;
	size_t n, record_bytes;
};

extern const struct fields key_fields, job_fields, task_fields, idem_fields, user_fields,
	session_fields, usage_fields, picture_fields;

#define FIELDS_MAX 32 /* of any record */

/* Frees what a record owns and zeroes it. */
void fields_done(const struct fields *f, void *record);
/* Sets one long text or bytes, freeing what was there.  -1: out of memory. */
int field_own(const struct field *f, void *record, const void *bytes, size_t n, struct err *e);

#endif
