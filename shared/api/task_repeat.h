#ifndef EASEL_API_TASK_REPEAT_H
#define EASEL_API_TASK_REPEAT_H
/*
 * task_repeat - a task that is asked for once more
 *
 * By its Idempotency-Key or by an SDK that tries again (api/repeat.h).  The record is stored in one transaction with
 * the task, so that there is never one without the other.  Without a key it counts as long as the answer can have
 * been lost on its way, which is not long: a task is answered at once.  Private to api/.
 */
#include "api/repeat.h"
#include "api/task_add.h"

struct task_repeat {
	struct repeat repeat;
	json_t *sent; /* what makes it the same beside its pictures */
	struct idem_record record;
};

/*
 * body: as it was sent, without the pictures, which are rq's.  An account is told apart by its fingerprint: a hash of
 * it in the store could be guessed at.  *found: *first is the record of the first.
 * 0, or -1: ERR_TOO_LONG, ERR_VALUE, ERR_IDEMPOTENCY, ERR_STORE.  To be ended in either case.
 */
int task_repeat_open(struct task_repeat *p, struct request *r, const struct task_wish *wish,
		     const struct image_request *rq, struct idem_record *first, bool *found,
		     struct err *e);
void task_repeat_done(struct task_repeat *p);

/* What is to be stored with the task, as *out; NULL: nothing, nobody can repeat it.  0 or -1. */
int task_repeat_record(struct task_repeat *p, const char *task_id, const struct idem_record **out,
		       struct err *e);

#endif
