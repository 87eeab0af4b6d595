#ifndef EASEL_STORE_SQLITE_STORE_H
#define EASEL_STORE_SQLITE_STORE_H
/*
 * sqlite_store - what the parts of the SQLite driver share
 *
 * Columns stand in the order of store/fields.c.  A row is bound and read by those tables.
 */
#include "store/fields.h"
#include "store/sqlite_pool.h"
#include "store/store_driver.h"

#define KEY_COLUMNS "id, name, hash, scopes, created_ms, expires_ms, revoked_ms, hint"
#define JOB_COLUMNS                                                                       \
	"id, request_id, key_id, program, model, provider, stage, outcome, upstream_id, " \
	"created_ms, ended_ms"
#define TASK_COLUMNS                                                                   \
	"id, request_id, owner, lane, model, provider, stage, upstream_id, worker, "   \
	"status, dispatched, cancel_requested, attempts, created_ms, started_ms, "     \
	"ended_ms, due_ms, expires_ms, lease_until_ms, fence, callback_due_ms, "       \
	"callback_tries, request, input, history, progress, result, error, callback, " \
	"secret"
#define IDEM_COLUMNS                                                                    \
	"owner, key, hash, request_id, task_id, done, status, created_ms, expires_ms, " \
	"answer"
#define USER_COLUMNS    "id, email, role, password, disabled, created_ms"
#define SESSION_COLUMNS "hash, user_id, created_ms, expires_ms, revoked_ms"
#define USAGE_COLUMNS   "day, key_id, model, requests, pictures, price_micro"
#define PICTURE_COLUMNS                                                                   \
	"id, owner, request_id, task_id, type, size, model, provider, file, created_ms, " \
	"bytes, seed, prompt, parameters, receipt"

/* As above, but for the secret. */
#define TASK_SEEN_COLUMNS                                                            \
	"id, request_id, owner, lane, model, provider, stage, upstream_id, worker, " \
	"status, dispatched, cancel_requested, attempts, created_ms, started_ms, "   \
	"ended_ms, due_ms, expires_ms, lease_until_ms, fence, callback_due_ms, "     \
	"callback_tries, request, input, history, progress, result, error, callback, x''"

extern const struct schema sqlite_schema; /* sqlite_schema.c */

struct sqlite_store {
	struct pool *pool;
	struct wake *wake; /* NULL: it could not be mapped, waits are short sleeps */
	struct places *places;
};

static inline struct pool *
sqlite_pool(const struct store *s)
{
	return ((struct sqlite_store *)s->self)->pool;
}

/* ---- rows, sqlite_row.c ---- */

/* Binds from parameter `first` on; the record stays where it is until the statement has run. */
void row_bind(sqlite3_stmt *s, int first, const struct fields *f, const void *record);
/* Reads from column `first` on into a record whose content is freed before.  -1: out of memory. */
int row_read(sqlite3_stmt *s, int first, const struct fields *f, void *record, struct err *e);
void bind_text(sqlite3_stmt *s, int parameter, const char *text); /* NULL: NULL */
void bind_i64(sqlite3_stmt *s, int parameter, int64_t n);
/* Runs a statement that gives at most one row; *found, and its record.  The record may be NULL. */
int row_one(struct sqlite_conn *c, sqlite3_stmt *s, const struct fields *f, void *record,
	    bool *found, struct err *e);

/* ---- waiting, sqlite_wake.c ---- */

/* A counter for each enum task_wait in a file that every process maps: a futex that outlives them. */
struct wake;
struct wake *wake_open(const char *path); /* NULL: no such file can be made */
void wake_free(struct wake *w);           /* accepts NULL */
void wake_all(struct wake *w, unsigned what);
void wake_wait(struct wake *w, unsigned what, uint32_t *seen, const struct deadline *d);

/* ---- places in long lines, sqlite_place.c ---- */

struct places;
struct places *places_new(void);    /* NULL: out of memory */
void places_free(struct places *p); /* accepts NULL */
int sqlite_task_position(struct store *s, const char *id, const char *lane, uint64_t *position,
			 const struct deadline *d, struct err *e);

/* ---- what each entity does in prune ---- */

int sqlite_task_prune(struct sqlite_conn *c, int64_t now_ms, size_t limit, uint64_t *removed,
		      struct err *e);

/* Inside a transaction: store_idem_begin(). */
int sqlite_idem_begin(struct sqlite_conn *c, const struct idem_record *r, struct idem_record *other,
		      bool *begun, struct err *e);

extern const struct key_driver sqlite_key;
extern const struct task_driver sqlite_task;
extern const struct idem_driver sqlite_idem;
extern const struct user_driver sqlite_user;
extern const struct usage_driver sqlite_usage;
extern const struct limit_driver sqlite_limit;
extern const struct slot_driver local_slot;

#endif
