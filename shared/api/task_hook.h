#ifndef EASEL_API_TASK_HOOK_H
#define EASEL_API_TASK_HOOK_H
/*
 * task_hook - tells a caller's server that a task has ended
 *
 * As Standard Webhooks (standardwebhooks.com, 1.0) has it: a POST with webhook-id (the same for every try),
 * webhook-timestamp and webhook-signature "v1,BASE64", HMAC-SHA-256 over "id.timestamp.body" with the secret
 * of this installation, state_dir/webhook.key; receivers are given it as "whsec_…".  The body is
 * {"type":"task.succeeded" | "task.failed" | "task.revoked","timestamp","data":the task}.
 *
 * A URL that a user gives may lead to public addresses on ports 443 and 80 only.  Anything but 2xx is tried
 * again, ever later, TASK_HOOK_TRIES times in all; 410 and a refused address are the end of it.
 */
#include "store/store_task.h"

#define TASK_HOOK_TRIES 8
#define HOOK_SECRET     64 /* bytes of "whsec_…" */
#define HOOK_SIGNATURE  64 /* bytes of "v1,…" */

int task_hook_init(const char *state_dir, struct err *e); /* as key_file() */

void task_hook_secret(char out[HOOK_SECRET]);
void task_hook_sign(const char *id, int64_t timestamp, const char *body, size_t n,
		    char out[HOOK_SIGNATURE]);
/* How long after so many tries the next one is made; -1: none is. */
int64_t task_hook_pause_ms(int64_t tries);

/* Sends one that is due.  False: none was.  Logs. */
bool task_hook_send(struct store *store);

#endif
