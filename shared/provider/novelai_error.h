#ifndef EASEL_PROVIDER_NOVELAI_ERROR_H
#define EASEL_PROVIDER_NOVELAI_ERROR_H
/*
 * novelai_error - what NovelAI's refusals mean beyond what upstream_error() knows
 *
 *	400 "Please refresh NovelAI.net …", 404 "… deprecation …"   ERR_UP_MOVED: the host in base_url
 *	400 "model … doesn't exist"                                 ERR_UP_NOT_FOUND
 *	409                                                         ERR_UP_RATE: one is still under way
 *	429 "Concurrent generation is locked"                       ERR_UP_RATE, retry_after_s 3 where none is
 *	                                                            said: the account makes one at a time
 *
 * What stands behind the first JSON value of an error is not looked at: an archive was seen there.
 * Private to provider/.  Thread-safe.
 */
#include "provider/upstream_error.h"

/* Always -1. */
int novelai_error(const struct upstream_failure *f, const char *body, size_t n, struct err *e);

#endif
