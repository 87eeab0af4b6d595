#ifndef EASEL_STORE_REDIS_CONN_H
#define EASEL_STORE_REDIS_CONN_H
/*
 * redis_conn - commands to a Redis, over connections that threads share one after the other
 *
 * Every command has an end: the deadline, or REDIS_COMMAND_MS if that is sooner, so that a Redis that hangs
 * is a 503 and not a silence.  A Redis that is just being restarted is waited for, REDIS_RETRY_MS at most.
 * A command whose answer did not come may have been carried out: it is sent again only if that does no
 * harm (`once` says that it would).
 *
 * The password is in no error and no detail.  Descriptors are CLOEXEC.  Thread-safe.
 */
#include <hiredis/hiredis.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/cleanup.h"
#include "base/deadline.h"
#include "base/err.h"
#include "store/fields.h"

#define REDIS_COMMAND_MS 5000
#define REDIS_RETRY_MS   3000
#define REDIS_POOL_MAX   16
#define REDIS_ARGS       128 /* of one command */
#define REDIS_NUMBERS    48  /* of those, written by us */

struct redis;

/* `rest` is what follows "redis:" or, with `local`, "redis+unix:".  Does not connect.  -1: ERR_CONFIG. */
int redis_new(struct redis **out, const char *rest, bool local, struct err *e);
void redis_free(struct redis *r); /* accepts NULL */
DEFINE_FREEP(redis);

/* A command's words.  What they point to is the caller's until the command has run. */
struct redis_args {
	int n, numbers;
	bool once; /* not to be sent again when it may have been carried out */
	const char *v[REDIS_ARGS];
	size_t len[REDIS_ARGS];
	char number[REDIS_NUMBERS][24];
	char text[72]; /* a hash in digits */
};
/* Begins with `first`, which may be NULL for a script. */
void args_begin(struct redis_args *a, const char *first);
void arg_text(struct redis_args *a, const char *s); /* NULL: "" */
void arg_mem(struct redis_args *a, const void *p, size_t n);
void arg_i64(struct redis_args *a, int64_t n);
void arg_pair(struct redis_args *a, const char *name,
	      const char *value); /* nothing when value is NULL */
/* Name and value of each field that is not empty or 0. */
void arg_record(struct redis_args *a, const struct fields *f, const void *record);

static inline void
redis_reply_free(redisReply *reply)
{
	if (reply)
		freeReplyObject(reply);
}
static inline void
redisReply_freep(redisReply **reply)
{
	redis_reply_free(*reply);
}
#define AUTO_REPLY __attribute__((cleanup(redisReply_freep))) redisReply *

/* The answer, never an error's; or NULL: ERR_STORE. */
redisReply *
redis_run(struct redis *r, struct redis_args *a, const struct deadline *d, struct err *e);

/* A script, and its name at the server once it is known there. */
struct redis_script {
	char *text; /* redis_scripts.c made it */
	char sha[41];
};
redisReply *redis_script_run(struct redis *r, const struct redis_script *script,
			     struct redis_args *a, const struct deadline *d, struct err *e);

/* ---- reading answers ---- */

/* Fills a record from name, value, name, value… from element `first` on.  -1: out of memory. */
int answer_record(const redisReply *reply, size_t first, const struct fields *f, void *record,
		  struct err *e);
int64_t answer_i64(const redisReply *reply); /* an integer, or a text that is one; else 0 */
const redisReply *answer_at(const redisReply *reply, size_t i); /* NULL: there is none */
const char *answer_text(const redisReply *reply);               /* "" when it is none */

#endif
