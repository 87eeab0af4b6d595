#ifndef EASEL_JOB_ASIDE_H
#define EASEL_JOB_ASIDE_H
/*
 * aside - credentials that are not to be used for a while
 *
 * Of a provider with several keys, one that was told "not now" or "not you" is left aside by this
 * process, and the next one is used:
 *
 *	429             until Retry-After, else 60 s    for this model: providers count by model
 *	quota           60 s                            for every model
 *	refused: 401    10 min                          for every model
 *	refused: 403    10 min                          for this model: often only that is not allowed
 *
 * A provider's only key is never left aside: there is nothing better, and whoever mends it wants to see
 * it work.  Of several that are all refused or empty one is tried again every five seconds, for the
 * same reason.  In memory only, so that a restart begins afresh.  Thread-safe.  Does not log.
 *
 * Credentials are told apart by address: they live in the configuration as long as the process.
 */
#include <stdbool.h>
#include <stdint.h>

#include "config/config.h"

/* Is it about the credential that was used, so that another one may do? */
bool aside_is_reason(const struct err *why);

/* For how long, in milliseconds. */
int64_t aside_put(const char *credential, const struct model_conf *m, const struct err *why);
/* It works after all, as a call showed that was begun then: what was learned since stays. */
void aside_clear(const char *credential, const struct model_conf *m, int64_t begun_us);

/* How many milliseconds it is still to be left aside; 0: it may be used. */
int64_t aside_ms(const char *credential, const struct model_conf *m);

/*
 * When all n are aside and none only waits for its turn: one that may be tried all the same, or -1.
 * Until it is put aside again nobody else is told so for five seconds.
 */
int aside_probe(const char *const *credentials, unsigned n, const struct model_conf *m);

/*
 * Always -1: *e says why none of the n can be used: ERR_UP_RATE with the earliest time in retry_after_s
 * when one will be ready, else the reason of the one that was put aside last.
 */
int
aside_error(const char *const *credentials, unsigned n, const struct model_conf *m, struct err *e);

/* Forgets everything: for tests. */
void aside_forget(void);

#endif
