#ifndef EASEL_PROVIDER_MODELSCOPE_POLL_H
#define EASEL_PROVIDER_MODELSCOPE_POLL_H
/*
 * modelscope_poll - waits for a task that ModelScope has accepted, and fetches its picture
 *
 * GET {base_url}/tasks/{id} with X-ModelScope-Task-Type: image_generation, first after half a second,
 * then with growing pauses up to five seconds, never past the deadline.  A poll buys nothing, so
 * whatever may pass (5xx, 429, a broken connection, a page instead of JSON, silence for ten seconds)
 * is asked again; Retry-After is heeded.  Private to provider/.  Thread-safe.
 */
#include "provider/provider.h"

/*
 * 0: one more picture is in the call.  -1, always with may_have_been_billed:
 *	ERR_DEADLINE            still running; stage provider.poll
 *	ERR_UP_FAILED, ERR_UP_POLICY, ERR_UP_QUOTA   the task failed
 *	ERR_OUTCOME_UNKNOWN     the provider says three times that there is no such task
 *	ERR_UP_GARBAGE          the task succeeded without a picture
 *	ERR_UP_AUTH, …          the poll itself was refused
 *	what result_fetch() and a sink say.
 */
int modelscope_wait(struct image_call *call, const char *task_id, struct err *e);

#endif
