/* Each function of the interface is the driver's. */
#include "store/store_driver.h"

int
store_ping(struct store *s, const struct deadline *d, struct err *e)
{
	return s->driver->ping(s, d, e);
}

int
store_key_add(struct store *s, const struct key_record *k, const struct deadline *d, struct err *e)
{
	return s->driver->key->key_add(s, k, d, e);
}

int
store_key_by_hash(struct store *s, const unsigned char hash[KEY_HASH_BYTES], struct key_record *out,
		  bool *found, const struct deadline *d, struct err *e)
{
	return s->driver->key->key_by_hash(s, hash, out, found, d, e);
}

int
store_key_revoke(struct store *s, const char *id_or_name, int64_t now_ms, bool *found,
		 const struct deadline *d, struct err *e)
{
	return s->driver->key->key_revoke(s, id_or_name, now_ms, found, d, e);
}

int
store_key_each(struct store *s, void (*fn)(const struct key_record *k, void *arg), void *arg,
	       const struct deadline *d, struct err *e)
{
	return s->driver->key->key_each(s, fn, arg, d, e);
}

int
store_job_add(struct store *s, const struct job_record *j, const struct deadline *d, struct err *e)
{
	return s->driver->key->job_add(s, j, d, e);
}

int
store_job_each(struct store *s, size_t limit, void (*fn)(const struct job_record *j, void *arg),
	       void *arg, const struct deadline *d, struct err *e)
{
	return s->driver->key->job_each(s, limit, fn, arg, d, e);
}

int
store_prune(struct store *s, size_t limit, uint64_t *removed, const struct deadline *d,
	    struct err *e)
{
	return s->driver->prune(s, limit, removed, d, e);
}

int
store_remarks(struct store *s, void (*fn)(const char *sentence, void *arg), void *arg,
	      const struct deadline *d, struct err *e)
{
	return s->driver->remarks(s, fn, arg, d, e);
}

int
store_task_add(struct store *s, const struct task_record *t, const struct task_add *how,
	       struct idem_record *other, bool *added, const struct deadline *d, struct err *e)
{
	return s->driver->task->task_add(s, t, how, other, added, d, e);
}

int
store_task_get(struct store *s, const char *id, struct task_record *out, bool *found,
	       const struct deadline *d, struct err *e)
{
	return s->driver->task->task_get(s, id, out, found, d, e);
}

int
store_task_list(struct store *s, const struct task_query *q,
		void (*fn)(const struct task_record *t, void *arg), void *arg,
		const struct deadline *d, struct err *e)
{
	return s->driver->task->task_list(s, q, fn, arg, d, e);
}

int
store_task_claim(struct store *s, const char *worker, int64_t lease_ms, struct task_record *out,
		 enum task_found *found, const struct deadline *d, struct err *e)
{
	return s->driver->task->task_claim(s, worker, lease_ms, out, found, d, e);
}

int
store_task_renew(struct store *s, const char *id, int64_t fence, int64_t lease_ms, bool *held,
		 bool *cancel, const struct deadline *d, struct err *e)
{
	return s->driver->task->task_renew(s, id, fence, lease_ms, held, cancel, d, e);
}

int
store_task_advance(struct store *s, const char *id, int64_t fence, const struct task_step *step,
		   bool *held, const struct deadline *d, struct err *e)
{
	return s->driver->task->task_advance(s, id, fence, step, held, d, e);
}

int
store_task_finish(struct store *s, const char *id, int64_t fence, const struct task_end *end,
		  bool *held, enum task_status *ended, const struct deadline *d, struct err *e)
{
	return s->driver->task->task_finish(s, id, fence, end, held, ended, d, e);
}

int
store_task_requeue(struct store *s, const char *id, int64_t fence, const struct task_again *again,
		   bool *held, enum task_status *now, const struct deadline *d, struct err *e)
{
	return s->driver->task->task_requeue(s, id, fence, again, held, now, d, e);
}

int
store_task_cancel(struct store *s, const char *id, int64_t keep_ms, bool *found, bool *changed,
		  enum task_status *status, const struct deadline *d, struct err *e)
{
	return s->driver->task->task_cancel(s, id, keep_ms, found, changed, status, d, e);
}

int
store_task_position(struct store *s, const char *id, const char *lane, uint64_t *position,
		    const struct deadline *d, struct err *e)
{
	return s->driver->task->task_position(s, id, lane, position, d, e);
}

int
store_task_counts(struct store *s, struct task_counts *out, const struct deadline *d, struct err *e)
{
	return s->driver->task->task_counts(s, out, d, e);
}

int
store_task_callback(struct store *s, int64_t again_ms, struct task_record *out, bool *found,
		    const struct deadline *d, struct err *e)
{
	return s->driver->task->task_callback(s, again_ms, out, found, d, e);
}

int
store_task_callback_done(struct store *s, const char *id, const char *callback, int64_t due_in_ms,
			 const struct deadline *d, struct err *e)
{
	return s->driver->task->task_callback_done(s, id, callback, due_in_ms, d, e);
}

int
store_task_wait(struct store *s, enum task_wait what, uint32_t *seen, const struct deadline *d,
		struct err *e)
{
	return s->driver->task->task_wait(s, what, seen, d, e);
}

int
store_idem_begin(struct store *s, const struct idem_record *r, struct idem_record *other,
		 bool *begun, const struct deadline *d, struct err *e)
{
	return s->driver->idem->idem_begin(s, r, other, begun, d, e);
}

int
store_idem_by_key(struct store *s, const char *owner, const char *key, struct idem_record *out,
		  bool *found, const struct deadline *d, struct err *e)
{
	return s->driver->idem->idem_by_key(s, owner, key, out, found, d, e);
}

int
store_idem_by_body(struct store *s, const char *owner, const unsigned char *hash,
		   struct idem_record *out, bool *found, const struct deadline *d, struct err *e)
{
	return s->driver->idem->idem_by_body(s, owner, hash, out, found, d, e);
}

int
store_idem_task(struct store *s, const char *request_id, const char *task_id, bool *found,
		const struct deadline *d, struct err *e)
{
	return s->driver->idem->idem_task(s, request_id, task_id, found, d, e);
}

int
store_idem_finish(struct store *s, const char *request_id, int64_t status, const char *answer,
		  int64_t expires_ms, bool *found, const struct deadline *d, struct err *e)
{
	return s->driver->idem->idem_finish(s, request_id, status, answer, expires_ms, found, d, e);
}

int
store_idem_drop(struct store *s, const char *request_id, const struct deadline *d, struct err *e)
{
	return s->driver->idem->idem_drop(s, request_id, d, e);
}

int
store_user_add(struct store *s, const struct user_record *u, bool *added, const struct deadline *d,
	       struct err *e)
{
	return s->driver->user->user_add(s, u, added, d, e);
}

int
store_user_by_email(struct store *s, const char *email, struct user_record *out, bool *found,
		    const struct deadline *d, struct err *e)
{
	return s->driver->user->user_by_email(s, email, out, found, d, e);
}

int
store_user_by_id(struct store *s, const char *id, struct user_record *out, bool *found,
		 const struct deadline *d, struct err *e)
{
	return s->driver->user->user_by_id(s, id, out, found, d, e);
}

int
store_user_set(struct store *s, const struct user_record *u, bool *found, const struct deadline *d,
	       struct err *e)
{
	return s->driver->user->user_set(s, u, found, d, e);
}

int
store_user_each(struct store *s, void (*fn)(const struct user_record *u, void *arg), void *arg,
		const struct deadline *d, struct err *e)
{
	return s->driver->user->user_each(s, fn, arg, d, e);
}

int
store_session_add(struct store *s, const struct session_record *r, const struct deadline *d,
		  struct err *e)
{
	return s->driver->user->session_add(s, r, d, e);
}

int
store_session_get(struct store *s, const unsigned char hash[SESSION_HASH_BYTES],
		  struct session_record *out, struct user_record *user, bool *found,
		  const struct deadline *d, struct err *e)
{
	return s->driver->user->session_get(s, hash, out, user, found, d, e);
}

int
store_session_revoke(struct store *s, const unsigned char hash[SESSION_HASH_BYTES], int64_t now_ms,
		     bool *found, const struct deadline *d, struct err *e)
{
	return s->driver->user->session_revoke(s, hash, now_ms, found, d, e);
}

int
store_lockout_fail(struct store *s, const char *subject, const struct lockout_rule *rule,
		   int64_t now_ms, struct lockout *out, const struct deadline *d, struct err *e)
{
	return s->driver->user->lockout_fail(s, subject, rule, now_ms, out, d, e);
}

int
store_lockout_get(struct store *s, const char *subject, int64_t now_ms, struct lockout *out,
		  const struct deadline *d, struct err *e)
{
	return s->driver->user->lockout_get(s, subject, now_ms, out, d, e);
}

int
store_lockout_clear(struct store *s, const char *subject, const struct deadline *d, struct err *e)
{
	return s->driver->user->lockout_clear(s, subject, d, e);
}

int
store_usage_sum(struct store *s, enum usage_by by, const char *since, const char *until,
		void (*fn)(const struct usage_record *u, void *arg), void *arg,
		const struct deadline *d, struct err *e)
{
	return s->driver->usage->usage_sum(s, by, since, until, fn, arg, d, e);
}

int
store_picture_add_all(struct store *s, const struct picture_entry *v, size_t n,
		      const struct deadline *d, struct err *e)
{
	return s->driver->usage->picture_add_all(s, v, n, d, e);
}

int
store_picture_get(struct store *s, const char *id, struct picture_record *out, bool *found,
		  const struct deadline *d, struct err *e)
{
	return s->driver->usage->picture_get(s, id, out, found, d, e);
}

int
store_picture_delete(struct store *s, const char *id, const char *owner, bool *found,
		     const struct deadline *d, struct err *e)
{
	return s->driver->usage->picture_delete(s, id, owner, found, d, e);
}

int
store_picture_list(struct store *s, const struct picture_query *q,
		   void (*fn)(const struct picture_record *p, void *arg), void *arg,
		   const struct deadline *d, struct err *e)
{
	return s->driver->usage->picture_list(s, q, fn, arg, d, e);
}

int
store_picture_prune(struct store *s, int64_t before_ms, int64_t max_bytes, size_t limit,
		    void (*fn)(const struct picture_record *p, void *arg), void *arg,
		    const struct deadline *d, struct err *e)
{
	return s->driver->usage->picture_prune(s, before_ms, max_bytes, limit, fn, arg, d, e);
}

int
store_slot_take(struct store *s, struct slot *slot, const struct slot_wish *w,
		const struct deadline *d, struct err *e)
{
	*slot = (struct slot){ 0 };
	if (!w->n || w->n > SLOT_KEYS_MAX || w->concurrency < 1)
		return err_set(e, ERR_INTERNAL, "store_slot_take: %u keys", w->n);
	return s->driver->slot->slot_take(s, slot, w, d, e);
}

void
store_slot_done(struct slot *slot)
{
	if (slot->store)
		slot->store->driver->slot->slot_done(slot);
	*slot = (struct slot){ 0 };
}
