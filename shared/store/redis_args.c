/* What is said to Redis, and what it says. */
#include <stdio.h>
#include <string.h>

#include "base/num.h"
#include "store/redis_conn.h"
#include "store/store_task.h"

void
args_begin(struct redis_args *a, const char *first)
{
	a->n = a->numbers = 0;
	a->once = false;
	if (first)
		arg_text(a, first);
	else
		a->n = 3;
}

void
arg_mem(struct redis_args *a, const void *p, size_t n)
{
	if (a->n >= REDIS_ARGS)
		return;
	a->v[a->n] = p ? p : "";
	a->len[a->n++] = n;
}

void
arg_text(struct redis_args *a, const char *s)
{
	arg_mem(a, s, s ? strlen(s) : 0);
}

void
arg_i64(struct redis_args *a, int64_t n)
{
	char *to = a->number[a->numbers < REDIS_NUMBERS - 1 ? a->numbers++ : a->numbers];

	(void)snprintf(to, sizeof(a->number[0]), "%lld", (long long)n);
	arg_text(a, to);
}

void
arg_pair(struct redis_args *a, const char *name, const char *value)
{
	if (!value)
		return;
	arg_text(a, name);
	arg_text(a, value);
}

static bool
is_zero(const unsigned char *p, size_t n)
{
	while (n && !*p)
		p++, n--;
	return !n;
}

static void
arg_field(struct redis_args *a, const struct field *f, const void *at)
{
	const struct store_bytes *bytes = at;

	arg_text(a, f->name);
	switch (f->kind) {
	case FIELD_TEXT: arg_text(a, at); break;
	case FIELD_I64: arg_i64(a, *(const int64_t *)at); break;
	case FIELD_UINT: arg_i64(a, *(const unsigned *)at); break;
	case FIELD_BOOL: arg_i64(a, *(const bool *)at); break;
	case FIELD_LONG: arg_text(a, *(char *const *)at); break;
	case FIELD_FIXED: arg_mem(a, at, f->size); break;
	case FIELD_BYTES: arg_mem(a, bytes->p, bytes->len); break;
	}
}

void
arg_record(struct redis_args *a, const struct fields *f, const void *record)
{
	for (size_t i = 0; i < f->n; i++) {
		const struct field *one = &f->field[i];
		const void *at = (const char *)record + one->at;

		/* A text is over at its NUL, whatever stands behind it. */
		if (one->kind == FIELD_TEXT ? *(const char *)at : !is_zero(at, one->size))
			arg_field(a, one, at);
	}
}

int64_t
answer_i64(const redisReply *reply)
{
	int64_t n = 0;

	if (!reply)
		return 0;
	if (reply->type == REDIS_REPLY_INTEGER)
		return reply->integer;
	if (reply->type == REDIS_REPLY_STRING)
		(void)num_i64(reply->str, INT64_MIN, INT64_MAX, &n);
	return n;
}

const redisReply *
answer_at(const redisReply *reply, size_t i)
{
	return reply && reply->type == REDIS_REPLY_ARRAY && i < reply->elements ? reply->element[i]
										: NULL;
}

const char *
answer_text(const redisReply *reply)
{
	return reply && (reply->type == REDIS_REPLY_STRING || reply->type == REDIS_REPLY_STATUS)
		       ? reply->str
		       : "";
}

static int
read_field(const redisReply *v, const struct field *f, void *record, struct err *e)
{
	void *at = (char *)record + f->at;

	switch (f->kind) {
	case FIELD_TEXT: (void)snprintf(at, f->size, "%s", answer_text(v)); break;
	case FIELD_I64: *(int64_t *)at = answer_i64(v); break;
	case FIELD_UINT: *(unsigned *)at = (unsigned)answer_i64(v); break;
	case FIELD_BOOL: *(bool *)at = answer_i64(v) != 0; break;
	case FIELD_FIXED:
		if (v->type == REDIS_REPLY_STRING && (size_t)v->len == f->size)
			memcpy(at, v->str, f->size);
		break;
	case FIELD_LONG:
	case FIELD_BYTES:
		if (v->type == REDIS_REPLY_STRING)
			return field_own(f, record, v->str, (size_t)v->len, e);
		break;
	}
	return 0;
}

int
answer_record(const redisReply *reply, size_t first, const struct fields *f, void *record,
	      struct err *e)
{
	size_t guess = 0;

	memset(record, 0, f->record_bytes);
	for (size_t i = first; answer_at(reply, i + 1); i += 2) {
		const char *name = answer_text(reply->element[i]);

		/* They come in the order in which they were written: mostly that of the table. */
		for (size_t k = 0; k < f->n; k++) {
			const struct field *one = &f->field[(guess + k) % f->n];

			if (strcmp(one->name, name) != 0)
				continue;
			if (read_field(reply->element[i + 1], one, record, e) < 0) {
				fields_done(f, record);
				return -1;
			}
			guess = (guess + k + 1) % f->n;
			break;
		}
	}
	return 0;
}
