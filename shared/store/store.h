#ifndef EASEL_STORE_STORE_H
#define EASEL_STORE_STORE_H
/*
 * store - what must outlive every process
 *
 * Here: opening, keys, jobs, housekeeping.  Beside it: store_task.h (tasks and their queue), store_idem.h
 * (repeated requests), store_user.h (users, sessions, failed logins), store_usage.h (sums, pictures),
 * store_limit.h (what a key may ask for),
 * store_slot.h (a provider's concurrency).
 *
 * One interface, one driver a kind of store (store_driver.h), chosen by [store] url; what they must do
 * alike is tests/unit/test_store_conformance.c.  A struct store may be used by any number of threads; a
 * driver keeps connections in a pool of its own.  It is opened after fork and never carried across one.
 * No function waits past *d, except for a write that has begun.  Does not log.
 *
 * -1 is ERR_STORE, and ERR_SCHEMA_MISSING where a table is missing or damaged, unless more is said.
 */
#include <stdbool.h>
#include <stdint.h>

#include "base/cleanup.h"
#include "base/deadline.h"
#include "base/err.h"

struct store;

/*
 * Opens the store at `url`: "sqlite:easel.db" (relative to state_dir), "redis://[user:password@]host[:port]
 * [/db]", "redis+unix:///path[?db=N]" (with user:password@ before the path).  With `migrate`, makes or
 * upgrades its tables; without, a missing table is ERR_SCHEMA_MISSING.
 * 0 or -1: ERR_STORE, ERR_SCHEMA_MISSING, ERR_SCHEMA_TOO_NEW; ERR_CONFIG: a kind of url that there is not,
 * one that cannot be read, or a Redis that throws data away when it is full.  No password is in any of them.
 */
int
store_open(struct store **out, const char *url, const char *state_dir, bool migrate, struct err *e);
void store_free(struct store *s);
DEFINE_FREEP(store);

/* Does it answer, with the tables this program knows? */
int store_ping(struct store *s, const struct deadline *d, struct err *e);

/* ---- API keys ---- */

#define KEY_HASH_BYTES 32 /* SHA-256 of the whole key text */

struct key_record {
	char id[32]; /* "key_…" */
	char name[128];
	unsigned char hash[KEY_HASH_BYTES];
	unsigned scopes;    /* bits of enum scope, access/keys.h */
	int64_t created_ms; /* wall clock */
	int64_t expires_ms; /* 0: never */
	int64_t revoked_ms; /* 0: not revoked */
	char hint[16];      /* the first characters, to recognise it by: "sk-easel-AbCd" */
};

int
store_key_add(struct store *s, const struct key_record *k, const struct deadline *d, struct err *e);
/* *found tells whether *out was filled; a missing key is not an error. */
int store_key_by_hash(struct store *s, const unsigned char hash[KEY_HASH_BYTES],
		      struct key_record *out, bool *found, const struct deadline *d, struct err *e);
/* By id or name; *found: was there one, not revoked before. */
int store_key_revoke(struct store *s, const char *id_or_name, int64_t now_ms, bool *found,
		     const struct deadline *d, struct err *e);
/* Calls fn for each key, oldest first. */
int store_key_each(struct store *s, void (*fn)(const struct key_record *k, void *arg), void *arg,
		   const struct deadline *d, struct err *e);

/* ---- jobs: what is left of a picture's way when its process died ---- */

struct job_record {
	char id[40]; /* "job_…" or the request id */
	char request_id[40];
	char key_id[32];
	char program[32], model[128], provider[64];
	char stage[32];   /* how far it got */
	char outcome[32]; /* an error's code: "outcome_unknown", … */
	char upstream_id[96];
	int64_t created_ms, ended_ms;
};

int
store_job_add(struct store *s, const struct job_record *j, const struct deadline *d, struct err *e);
/* The newest first, at most `limit`. */
int store_job_each(struct store *s, size_t limit, void (*fn)(const struct job_record *j, void *arg),
		   void *arg, const struct deadline *d, struct err *e);

/* ---- housekeeping ---- */

/*
 * Removes what is over: ended tasks past expires_ms (their ids stay known as expired for STORE_GONE_MS),
 * jobs STORE_GONE_MS after their request, idempotency records, sessions and failed logins.  At most
 * `limit` of each kind a call, so that nobody waits long; *removed tells whether to call again.
 */
#define STORE_GONE_MS (30 * 86400000LL)
int store_prune(struct store *s, size_t limit, uint64_t *removed, const struct deadline *d,
		struct err *e);

/*
 * What an operator should mend in how this store keeps things, one sentence a call: a Redis without an
 * append-only file, or one that cannot write it.
 */
int store_remarks(struct store *s, void (*fn)(const char *sentence, void *arg), void *arg,
		  const struct deadline *d, struct err *e);

#endif
