#ifndef EASEL_STORE_DRIVER_H
#define EASEL_STORE_DRIVER_H
/*
 * store_driver - what a kind of store must provide: the functions of store*.h, under the same contracts
 *
 * For shared/store only.  A driver's function is that of the interface: it finds its own in s->self.
 */
#include "store/store.h"
#include "store/store_idem.h"
#include "store/store_limit.h"
#include "store/store_slot.h"
#include "store/store_task.h"
#include "store/store_usage.h"
#include "store/store_user.h"

#define STORE_FN(name) __typeof__(store_##name) *name

struct key_driver {
	STORE_FN(key_add);
	STORE_FN(key_by_hash);
	STORE_FN(key_revoke);
	STORE_FN(key_each);
	STORE_FN(job_add);
	STORE_FN(job_each);
};

struct task_driver {
	STORE_FN(task_add);
	STORE_FN(task_get);
	STORE_FN(task_list);
	STORE_FN(task_claim);
	STORE_FN(task_renew);
	STORE_FN(task_advance);
	STORE_FN(task_finish);
	STORE_FN(task_requeue);
	STORE_FN(task_cancel);
	STORE_FN(task_position);
	STORE_FN(task_counts);
	STORE_FN(task_callback);
	STORE_FN(task_callback_done);
	STORE_FN(task_wait);
};

struct idem_driver {
	STORE_FN(idem_begin);
	STORE_FN(idem_by_key);
	STORE_FN(idem_by_body);
	STORE_FN(idem_task);
	STORE_FN(idem_finish);
	STORE_FN(idem_drop);
};

struct user_driver {
	STORE_FN(user_add);
	STORE_FN(user_by_email);
	STORE_FN(user_by_id);
	STORE_FN(user_set);
	STORE_FN(user_each);
	STORE_FN(session_add);
	STORE_FN(session_get);
	STORE_FN(session_revoke);
	STORE_FN(lockout_fail);
	STORE_FN(lockout_get);
	STORE_FN(lockout_clear);
};

struct usage_driver {
	STORE_FN(usage_sum);
	STORE_FN(picture_add_all);
	STORE_FN(picture_get);
	STORE_FN(picture_delete);
	STORE_FN(picture_list);
	STORE_FN(picture_prune);
};

struct limit_driver {
	STORE_FN(limit_open); /* sets s->limits */
	STORE_FN(limit_take);
	STORE_FN(limit_take_images);
	STORE_FN(limit_keep);
	STORE_FN(limit_leave);
	STORE_FN(limit_give);
	void (*close)(struct store *s); /* with s->limits set, before the store itself */
};

#define LIMIT_FULL_RETRY_MS 1000 /* nobody knows when a request in hand will be done */
#define LIMIT_DAY_MS        86400000
/* Always -1: the refusal by the limit of that name.  store_limit.c */
int limit_refuse(struct grant *g, int64_t retry_ms, struct err *e, const char *name, int64_t limit);

struct slot_driver {
	/* Sets *slots to what it keeps in a process, lazily: nothing is opened before the first take. */
	int (*open)(void **slots, const char *state_dir, struct err *e);
	void (*close)(void *slots); /* accepts NULL */
	STORE_FN(slot_take);
	STORE_FN(slot_done);
};

struct store_driver {
	const char *scheme; /* "sqlite" */
	/* Sets *self; `rest` is what stands behind the scheme and its colon. */
	int (*open)(void **self, const char *rest, const char *state_dir, bool migrate,
		    struct err *e);
	void (*close)(void *self); /* accepts NULL */
	STORE_FN(ping);
	STORE_FN(prune);
	STORE_FN(remarks);
	const struct key_driver *key;
	const struct task_driver *task;
	const struct idem_driver *idem;
	const struct user_driver *user;
	const struct usage_driver *usage;
	const struct limit_driver *limit;
	const struct slot_driver *slot;
};

struct store {
	const struct store_driver *driver;
	void *self;
	void *limits; /* NULL: nothing is counted by this program */
	void *slots; /* the slot driver's */
};

extern const struct store_driver store_sqlite, store_redis, store_redis_unix;

#endif
