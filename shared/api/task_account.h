#ifndef EASEL_API_TASK_ACCOUNT_H
#define EASEL_API_TASK_ACCOUNT_H
/*
 * task_account - a caller's own account at a provider, from the request to the call
 *
 * Sealed (access/seal.h) when its task is taken in, opened by the worker that claimed it, for the time of one run.
 * Private to api/.  Does not log.
 */
#include <jansson.h>

#include "store/store_task.h"

/* A token, or an e-mail address with its password; the others are "". */
struct task_account {
	const char *token, *email, *password;
};

/*
 * Puts it into t->secret; NULL: nothing.  t->id is set.  peer: who sent it (http/peer.h).  0 or -1: ERR_INTERNAL.
 */
int task_account_seal(const struct task_account *a, const char *peer, struct task_record *t,
		      struct err *e);

/* One that was opened: what image_job.credential and .password are to be; both NULL: there is none. */
struct task_account_opened {
	const char *credential, *password;
	const char *peer; /* who guesses, with a password; "" when that is not known */
	char *text;
	json_t *o;
};

/* 0 or -1: ERR_CONFIG, it was sealed elsewhere; ERR_INTERNAL.  In either case to be ended with _opened_done(). */
int task_account_open(const struct task_record *t, struct task_account_opened *out, struct err *e);
/* Wipes it. */
void task_account_opened_done(struct task_account_opened *a);

#endif
