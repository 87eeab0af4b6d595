#ifndef EASEL_STORE_STORE_H
#define EASEL_STORE_STORE_H
/*
 * store - what must outlive every process: keys, jobs; later users, sessions, tasks, limits
 *
 * One interface, one driver a kind of store (store_driver below), chosen by [store] url.  A struct
 * store may be used by any number of threads; a driver keeps connections in a pool of its own.  It is
 * opened after fork and never carried across one.  No function waits past *d.  Does not log.
 */
#include <stdbool.h>
#include <stdint.h>

#include "base/cleanup.h"
#include "base/deadline.h"
#include "base/err.h"

struct store;

/*
 * Opens the store at `url` ("sqlite:easel.db", relative to state_dir).  With `migrate`, makes or
 * upgrades its tables; without, a missing table is ERR_SCHEMA_MISSING.
 * 0 or -1: ERR_STORE, ERR_SCHEMA_MISSING, ERR_SCHEMA_TOO_NEW, ERR_CONFIG (unknown kind of url).
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

/* ---- drivers ---- */

struct store_driver {
	const char *scheme; /* "sqlite" */
	int (*open)(void **self, const char *rest, const char *state_dir, bool migrate,
		    struct err *e);
	void (*close)(void *self); /* accepts NULL */
	int (*ping)(void *self, const struct deadline *d, struct err *e);
	int (*key_add)(void *self, const struct key_record *k, const struct deadline *d,
		       struct err *e);
	int (*key_by_hash)(void *self, const unsigned char *hash, struct key_record *out,
			   bool *found, const struct deadline *d, struct err *e);
	int (*key_revoke)(void *self, const char *id_or_name, int64_t now_ms, bool *found,
			  const struct deadline *d, struct err *e);
	int (*key_each)(void *self, void (*fn)(const struct key_record *, void *), void *arg,
			const struct deadline *d, struct err *e);
	int (*job_add)(void *self, const struct job_record *j, const struct deadline *d,
		       struct err *e);
	int (*job_each)(void *self, size_t limit, void (*fn)(const struct job_record *, void *),
			void *arg, const struct deadline *d, struct err *e);
};
extern const struct store_driver store_sqlite;

#endif
