#include "store/fields.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/num.h"
#include "store/store_idem.h"
#include "store/store_task.h"
#include "store/store_usage.h"
#include "store/store_user.h"

#define F(type, member, kind)                                                                    \
	{                                                                                        \
#member, kind, offsetof(struct type, member), sizeof(((struct type *)0)->member) \
	}
#define TABLE(type, list, name)                                                     \
	_Static_assert(sizeof(list) / sizeof(*(list)) <= FIELDS_MAX, "FIELDS_MAX"); \
	const struct fields name = { list, sizeof(list) / sizeof(*(list)), sizeof(struct type) }

static const struct field key_list[] = {
	F(key_record, id, FIELD_TEXT),        F(key_record, name, FIELD_TEXT),
	F(key_record, hash, FIELD_FIXED),     F(key_record, scopes, FIELD_UINT),
	F(key_record, created_ms, FIELD_I64), F(key_record, expires_ms, FIELD_I64),
	F(key_record, revoked_ms, FIELD_I64), F(key_record, hint, FIELD_TEXT),
};
TABLE(key_record, key_list, key_fields);

static const struct field job_list[] = {
	F(job_record, id, FIELD_TEXT),          F(job_record, request_id, FIELD_TEXT),
	F(job_record, key_id, FIELD_TEXT),      F(job_record, program, FIELD_TEXT),
	F(job_record, model, FIELD_TEXT),       F(job_record, provider, FIELD_TEXT),
	F(job_record, stage, FIELD_TEXT),       F(job_record, outcome, FIELD_TEXT),
	F(job_record, upstream_id, FIELD_TEXT), F(job_record, created_ms, FIELD_I64),
	F(job_record, ended_ms, FIELD_I64),
};
TABLE(job_record, job_list, job_fields);

static const struct field task_list[] = {
	F(task_record, id, FIELD_TEXT),
	F(task_record, request_id, FIELD_TEXT),
	F(task_record, owner, FIELD_TEXT),
	F(task_record, lane, FIELD_TEXT),
	F(task_record, model, FIELD_TEXT),
	F(task_record, provider, FIELD_TEXT),
	F(task_record, stage, FIELD_TEXT),
	F(task_record, upstream_id, FIELD_TEXT),
	F(task_record, worker, FIELD_TEXT),
	F(task_record, status, FIELD_UINT),
	F(task_record, dispatched, FIELD_BOOL),
	F(task_record, cancel_requested, FIELD_BOOL),
	F(task_record, attempts, FIELD_UINT),
	F(task_record, created_ms, FIELD_I64),
	F(task_record, started_ms, FIELD_I64),
	F(task_record, ended_ms, FIELD_I64),
	F(task_record, due_ms, FIELD_I64),
	F(task_record, expires_ms, FIELD_I64),
	F(task_record, lease_until_ms, FIELD_I64),
	F(task_record, fence, FIELD_I64),
	F(task_record, callback_due_ms, FIELD_I64),
	F(task_record, callback_tries, FIELD_I64),
	F(task_record, request, FIELD_LONG),
	F(task_record, input, FIELD_LONG),
	F(task_record, history, FIELD_LONG),
	F(task_record, progress, FIELD_LONG),
	F(task_record, result, FIELD_LONG),
	F(task_record, error, FIELD_LONG),
	F(task_record, callback, FIELD_LONG),
	F(task_record, secret, FIELD_BYTES),
};
TABLE(task_record, task_list, task_fields);

static const struct field idem_list[] = {
	F(idem_record, owner, FIELD_TEXT),     F(idem_record, key, FIELD_TEXT),
	F(idem_record, hash, FIELD_FIXED),     F(idem_record, request_id, FIELD_TEXT),
	F(idem_record, task_id, FIELD_TEXT),   F(idem_record, done, FIELD_BOOL),
	F(idem_record, status, FIELD_I64),     F(idem_record, created_ms, FIELD_I64),
	F(idem_record, expires_ms, FIELD_I64), F(idem_record, answer, FIELD_LONG),
};
TABLE(idem_record, idem_list, idem_fields);

static const struct field user_list[] = {
	F(user_record, id, FIELD_TEXT),       F(user_record, email, FIELD_TEXT),
	F(user_record, role, FIELD_UINT),     F(user_record, password, FIELD_TEXT),
	F(user_record, disabled, FIELD_BOOL), F(user_record, created_ms, FIELD_I64),
};
TABLE(user_record, user_list, user_fields);

static const struct field session_list[] = {
	F(session_record, hash, FIELD_FIXED),     F(session_record, user_id, FIELD_TEXT),
	F(session_record, created_ms, FIELD_I64), F(session_record, expires_ms, FIELD_I64),
	F(session_record, revoked_ms, FIELD_I64),
};
TABLE(session_record, session_list, session_fields);

static const struct field usage_list[] = {
	F(usage_record, day, FIELD_TEXT),     F(usage_record, key_id, FIELD_TEXT),
	F(usage_record, model, FIELD_TEXT),   F(usage_record, requests, FIELD_I64),
	F(usage_record, pictures, FIELD_I64), F(usage_record, price_micro, FIELD_I64),
};
TABLE(usage_record, usage_list, usage_fields);

static const struct field picture_list[] = {
	F(picture_record, id, FIELD_TEXT),         F(picture_record, owner, FIELD_TEXT),
	F(picture_record, request_id, FIELD_TEXT), F(picture_record, task_id, FIELD_TEXT),
	F(picture_record, type, FIELD_TEXT),       F(picture_record, size, FIELD_TEXT),
	F(picture_record, model, FIELD_TEXT),      F(picture_record, provider, FIELD_TEXT),
	F(picture_record, file, FIELD_TEXT),       F(picture_record, created_ms, FIELD_I64),
	F(picture_record, bytes, FIELD_I64),       F(picture_record, seed, FIELD_I64),
	F(picture_record, prompt, FIELD_LONG),     F(picture_record, parameters, FIELD_LONG),
	F(picture_record, receipt, FIELD_LONG),
};
TABLE(picture_record, picture_list, picture_fields);

static void
bytes_wipe(struct store_bytes *b)
{
	if (b->p)
		explicit_bzero(b->p, b->len);
	free(b->p);
	*b = (struct store_bytes){ 0 };
}

void
fields_done(const struct fields *f, void *record)
{
	for (size_t i = 0; i < f->n; i++) {
		void *at = (char *)record + f->field[i].at;

		if (f->field[i].kind == FIELD_LONG)
			free(*(char **)at);
		else if (f->field[i].kind == FIELD_BYTES)
			bytes_wipe(at);
	}
	memset(record, 0, f->record_bytes);
}

int
field_own(const struct field *f, void *record, const void *bytes, size_t n, struct err *e)
{
	void *at = (char *)record + f->at;
	char *copy = n ? malloc(n + 1) : NULL;

	if (n && !copy)
		return err_set(e, ERR_INTERNAL, "out of memory");
	if (copy) {
		memcpy(copy, bytes, n);
		copy[n] = '\0';
	}
	if (f->kind == FIELD_LONG) {
		free(*(char **)at);
		*(char **)at = copy;
	} else {
		bytes_wipe(at);
		*(struct store_bytes *)at = (struct store_bytes){ (unsigned char *)copy, n };
	}
	return 0;
}

void
task_record_done(struct task_record *t)
{
	fields_done(&task_fields, t);
}

void
idem_record_done(struct idem_record *r)
{
	fields_done(&idem_fields, r);
}

void
picture_record_done(struct picture_record *p)
{
	fields_done(&picture_fields, p);
}

static const char *const names[TASK__MAX] = { "PENDING", "STARTED", "RETRY",
					      "SUCCESS", "FAILURE", "REVOKED" };

const char *
task_status_name(enum task_status status)
{
	return (unsigned)status < TASK__MAX ? names[status] : "";
}

int64_t
task_lane_width(const char *lane)
{
	const char *star = strrchr(lane, '*');
	int64_t n = 1;

	if (star)
		(void)num_i64(star + 1, 1, INT32_MAX, &n);
	return n;
}

int
task_status_by_name(const char *name)
{
	for (int i = 0; i < TASK__MAX; i++)
		if (!strcmp(name, names[i]))
			return i;
	return -1;
}
