#ifndef EASEL_STORE_TASK_H
#define EASEL_STORE_TASK_H
/*
 * store_task - tasks: a queue with lanes, leases and an end that never changes
 *
 *	PENDING ─claim→ STARTED ─finish→ SUCCESS | FAILURE | REVOKED
 *	   ↑               │ requeue
 *	   └──── RETRY ←───┘             cancel: PENDING, RETRY → REVOKED; STARTED → asked to stop
 *
 * Lanes.  Tasks of one lane run one at a time, in the order they were added: its first task alone may be
 * claimed, also while that one waits for its next try, and the next when it has ended.  Of a lane whose
 * name ends in "*N" the first N may.  The lane "" holds nothing back.  Between lanes whoever has been due
 * longest comes first.
 *
 * Leases.  A claim gives the task to one worker for lease_ms; it renews at a third of that.  A lease
 * that ran out is handed to the next claimer with everything that is known (dispatched, upstream_id,
 * stage), which decides: requeue, go on by the upstream id, or end it as outcome_unknown.  Each claim
 * raises the fence; a write with an older fence is refused: *held is false and nothing was written.
 *
 * What is durable.  A function that returned 0 has written for good: SQLite as synchronous=FULL says,
 * Redis as its AOF does.  After -1 (ERR_STORE) it may have been written or not; every function here may
 * be called again with the same arguments and does no harm by it.
 *
 * Clocks.  The store's clock decides about leases and due times: this machine's, or the Redis server's.
 */
#include "store/store.h"

enum task_status { /* the order is in databases: states that have not ended come first */
		   TASK_PENDING,
		   TASK_STARTED,
		   TASK_RETRY, /* queued again, not before due_ms */
		   TASK_SUCCESS,
		   TASK_FAILURE,
		   TASK_REVOKED,
		   TASK__MAX
};
const char *task_status_name(enum task_status status); /* "PENDING" */
int task_status_by_name(const char *name);             /* -1: none of them */
static inline bool
task_has_ended(enum task_status status)
{
	return status >= TASK_SUCCESS;
}

#define TASK_LANE_TEXT 128
int64_t task_lane_width(const char *lane); /* 1, or what "*N" says */

/* A sealed box's bytes, or any others.  Wiped before they are freed. */
struct store_bytes {
	unsigned char *p;
	size_t len;
};

/*
 * The long texts are the record's own (malloc; NULL counts as "", and "" is read back as NULL).  They
 * are the caller's to shape; JSON throughout.  Zeroed, it is an empty record.
 */
struct task_record {
	char id[40];         /* "task_…" */
	char request_id[40]; /* the request that made it */
	char owner[40];      /* key or user: whoever may see it */
	char lane[TASK_LANE_TEXT];
	char model[128], provider[64];
	char stage[32];        /* how far it got: "provider.wait" */
	char upstream_id[128]; /* the provider's own id for it; "" unknown */
	char worker[64];       /* who holds the lease, or held it last */
	enum task_status status;
	bool dispatched;       /* the provider may have been reached in this attempt */
	bool cancel_requested; /* while STARTED: end it as REVOKED */
	bool expired;          /* only id and owner are left of it */
	unsigned attempts;     /* claims that counted */
	int64_t created_ms, started_ms, ended_ms; /* wall clock; started: the first claim */
	int64_t due_ms;                           /* queued: not to be claimed before */
	int64_t expires_ms;                       /* ended: removed after that; 0: never */
	int64_t lease_until_ms;                   /* STARTED */
	int64_t fence;
	int64_t callback_due_ms; /* ended: when the webhook is to be sent next; 0: not */
	int64_t callback_tries;  /* how often it was claimed for that */
	char *request;           /* what was asked for */
	char *input;             /* input pictures: paths of files */
	char *history;           /* attempts so far */
	char *progress;          /* the newest */
	char *result, *error;    /* at the end */
	char *callback;          /* webhook: address, outcome so far */
	struct store_bytes
		secret; /* the caller's sealed credential; from claim only, wiped at the end */
};
void task_record_done(struct task_record *t);

struct idem_record;

/* How store_task_add() adds; zeroed: queued, without limit. */
struct task_add {
	uint64_t queue_length; /* refuse when that many are queued (PENDING, RETRY); 0: no limit */
	int64_t lease_ms;      /* with status STARTED: worker's lease */
	const struct idem_record
		*idem; /* stored in the same transaction; its task_id must be set */
};

/*
 * Adds `t`: id, owner and created_ms are set; of the rest as much as is known.  status PENDING, due_ms
 * 0 or later than now; or STARTED, which is work that already runs (a request that is handed off): it
 * belongs to t->worker under fence 1, is in no lane and counts in no queue_length.
 * Adding the same id again adds nothing and succeeds.
 * *added false: with `idem`, there is a record of that owner and key already, put into *other
 * (store_idem.h; may be NULL without idem); nothing was added.
 * -1: also ERR_RATE_LIMITED, the queue is full.
 */
int store_task_add(struct store *s, const struct task_record *t, const struct task_add *how,
		   struct idem_record *other, bool *added, const struct deadline *d, struct err *e);

/*
 * Everything but the secret.  The owner is the caller's to check.  *found with out->expired: it was
 * there, and its time is over (410); absent: never heard of (404), or long ago.
 */
int store_task_get(struct store *s, const char *id, struct task_record *out, bool *found,
		   const struct deadline *d, struct err *e);

struct task_query {
	const char *owner; /* NULL: everybody's */
	int status;        /* enum task_status, or -1: any */
	const char *after; /* the id of the last one of the page before; NULL: from the start */
	size_t limit;
};
/* The newest first.  The record is the store's, until fn returns.  An unknown `after` gives nothing. */
int store_task_list(struct store *s, const struct task_query *q,
		    void (*fn)(const struct task_record *t, void *arg), void *arg,
		    const struct deadline *d, struct err *e);

/*
 * Hands `worker` one task for lease_ms: one whose lease ran out (*found TASK_ORPHAN; attempts is not
 * raised), else the one that has been due longest (TASK_FRESH; dispatched and upstream_id are empty).
 * Never the same to two.
 */
enum task_found { TASK_NONE, TASK_FRESH, TASK_ORPHAN };
int store_task_claim(struct store *s, const char *worker, int64_t lease_ms, struct task_record *out,
		     enum task_found *found, const struct deadline *d, struct err *e);

/* lease_ms from now.  *cancel: it shall end. */
int store_task_renew(struct store *s, const char *id, int64_t fence, int64_t lease_ms, bool *held,
		     bool *cancel, const struct deadline *d, struct err *e);

/* What changed; NULL: as before. */
struct task_step {
	bool dispatched; /* true: from now on the provider may have been reached */
	const char *stage, *upstream_id, *model, *provider, *history, *progress;
};
int store_task_advance(struct store *s, const char *id, int64_t fence, const struct task_step *step,
		       bool *held, const struct deadline *d, struct err *e);

struct task_end {
	enum task_status status;              /* SUCCESS, FAILURE or REVOKED */
	const char *result, *error, *history; /* NULL: as before */
	int64_t keep_ms;                      /* expires that long from now; 0: never */
	bool callback;                        /* a webhook is due */
};
/*
 * Ends it, wipes the secret, lets the lane's next go on.  When its cancelling was asked for meanwhile it
 * ends REVOKED, without a result, whatever end->status says; *ended is what it became.  Calling again
 * under the same fence changes nothing and tells how it had ended.
 */
int store_task_finish(struct store *s, const char *id, int64_t fence, const struct task_end *end,
		      bool *held, enum task_status *ended, const struct deadline *d, struct err *e);

#define TASK_CLAIMS_MAX 3 /* so often a task is run at most */

struct task_again {
	int64_t delay_ms;    /* RETRY, not before */
	bool uncounted;      /* this attempt was none: the worker ends, the slot was taken */
	const char *history; /* NULL: as before */
	int64_t keep_ms;     /* as in task_end, should it end here */
	bool callback;
};
/* Back into the queue, nothing dispatched; at its old place in its lane.  When its cancelling was asked
 * for it ends REVOKED instead.  *now: RETRY or REVOKED. */
int
store_task_requeue(struct store *s, const char *id, int64_t fence, const struct task_again *again,
		   bool *held, enum task_status *now, const struct deadline *d, struct err *e);

/*
 * PENDING, RETRY → REVOKED at once; STARTED: its worker is asked.  *status is what it is afterwards.
 * *changed false with *found: it had ended before.  A webhook is due where the record has a callback.
 */
int store_task_cancel(struct store *s, const char *id, int64_t keep_ms, bool *found, bool *changed,
		      enum task_status *status, const struct deadline *d, struct err *e);

/*
 * How many queued tasks of its lane (of those without a lane) stand before it, plus 1; 0: not queued.  Far
 * back in a long line it may be a moment old.  `lane`: the task's, where it is known, which spares Redis a script;
 * else NULL.
 */
int store_task_position(struct store *s, const char *id, const char *lane, uint64_t *position,
			const struct deadline *d, struct err *e);

struct task_counts {
	uint64_t n[TASK__MAX]; /* the ended ones: not yet removed */
};
int store_task_counts(struct store *s, struct task_counts *out, const struct deadline *d,
		      struct err *e);

/*
 * Webhooks.  Claims an ended task whose callback is due, and puts off the next try by `again_ms`; out->
 * callback_tries is raised.  Afterwards _done() keeps the outcome and sets when it is next due
 * (`due_in_ms` from now), or never (-1).
 */
int store_task_callback(struct store *s, int64_t again_ms, struct task_record *out, bool *found,
			const struct deadline *d, struct err *e);
int store_task_callback_done(struct store *s, const char *id, const char *callback,
			     int64_t due_in_ms, const struct deadline *d, struct err *e);

/*
 * Waiting without asking all the time.  *seen is 0 at first; returns 0 when anything of that kind happened
 * since *seen was set, or when *d is over, and sets *seen.  So: wait-set, look, wait, look…  What becomes
 * due by itself (a lease that runs out, a delay) wakes nobody: do not wait for much longer than 250 ms.
 */
enum task_wait {
	TASK_WAIT_QUEUE, /* something may be claimed */
	TASK_WAIT_CHANGE /* a task changed */
};
int store_task_wait(struct store *s, enum task_wait what, uint32_t *seen, const struct deadline *d,
		    struct err *e);

#endif
