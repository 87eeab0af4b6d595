#ifndef EASEL_STORE_REDIS_STORE_H
#define EASEL_STORE_REDIS_STORE_H
/*
 * redis_store - what the parts of the Redis driver share
 */
#include "store/redis_conn.h"
#include "store/redis_scripts.h"
#include "store/store_driver.h"

#define REDIS_SCHEMA 1   /* "easel:schema" */
#define REDIS_PAGE   100 /* records asked for at once */

static inline struct redis *
redis_of(const struct store *s)
{
	return s->self;
}

redisReply *redis_eval(struct store *s, enum redis_script_name name, struct redis_args *a,
		       const struct deadline *d, struct err *e);
/* The same, for an answer that is a number. */
int redis_eval_i64(struct store *s, enum redis_script_name name, struct redis_args *a, int64_t *out,
		   const struct deadline *d, struct err *e);
/* The same, for an answer that is one record or nothing. */
int redis_eval_record(struct store *s, enum redis_script_name name, struct redis_args *a,
		      const struct fields *f, void *out, bool *found, const struct deadline *d,
		      struct err *e);
/* Each record of a set whose members carry their place: see SCRIPT_EACH. */
int redis_each(struct store *s, const char *set, const char *prefix, bool up, size_t limit,
	       const struct fields *f, void *record, void (*fn)(const void *record, void *arg),
	       void *arg, const struct deadline *d, struct err *e);

struct redis_list {
	const char *kind, *set, *owner, *after, *field, *wanted, *q;
	size_t limit;
	const struct fields *fields;
	void *record;
	void (*fn)(void *record, void *arg);
	void *arg;
};
/* Pages through tasks or pictures, the newest first: see SCRIPT_LIST. */
int
redis_list(struct store *s, const struct redis_list *l, const struct deadline *d, struct err *e);

/* 64 hexadecimal digits of a SHA-256. */
void redis_hex(const unsigned char hash[32], char out[65]);

extern const struct key_driver redis_key;
extern const struct task_driver redis_task;
extern const struct idem_driver redis_idem;
extern const struct user_driver redis_user;
extern const struct usage_driver redis_usage;
extern const struct limit_driver redis_limit;
extern const struct slot_driver redis_slot;

#endif
