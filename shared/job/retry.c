#include "job/retry.h"

#define FIRST_MS 500
#define MAX_MS   8000

bool
retry_may_pass(const struct err *e)
{
	if (e->may_have_been_billed)
		return false;
	switch (e->kind) {
	case ERR_UP_RATE:
	case ERR_UP_DNS:
	case ERR_UP_CONNECT:
	case ERR_UP_RESET: /* before a byte had left */
	case ERR_UP_FAILED: /* not billed: too busy to begin */ return true;
	default: return false;
	}
}

bool
retry_elsewhere(const struct err *e)
{
	if (e->may_have_been_billed)
		return false;
	switch (e->kind) {
	case ERR_UP_REJECTED: return err_status(e) >= 500; /* else the caller's parameters */
	case ERR_UP_AUTH:
	case ERR_UP_CHALLENGE:
	case ERR_UP_QUOTA:
	case ERR_UP_RATE:
	case ERR_UP_ASYNC:
	case ERR_UP_NOT_FOUND:
	case ERR_UP_MOVED:
	case ERR_UP_FAILED:
	case ERR_UP_DNS:
	case ERR_UP_CONNECT:
	case ERR_UP_TLS:
	case ERR_UP_RESET:
	case ERR_UP_GARBAGE:
	case ERR_CONFIG: /* of that provider: a key with a line break, a dialect that is not built in */
		return true;
	default: return false;
	}
}

int64_t
retry_wait_ms(unsigned waits, int64_t asked_ms, uint32_t random)
{
	int64_t ms = waits < 5 ? (int64_t)FIRST_MS << waits : MAX_MS;

	if (ms > MAX_MS)
		ms = MAX_MS;
	ms += ms / 4 * ((int64_t)(random % 2001) - 1000) / 1000;
	/* Not all at the same moment, but none before it. */
	if (ms < asked_ms)
		ms = asked_ms + random % (FIRST_MS / 2);
	return ms;
}
