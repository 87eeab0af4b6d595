#ifndef EASEL_JOB_USUAL_TIME_H
#define EASEL_JOB_USUAL_TIME_H
/*
 * usual_time - how long a model usually takes
 *
 * The median of its last 20 successes, whichever process saw them: one mapped file of counters,
 * state_dir/run/usual-times.v1, read and written without a lock, because a value that is torn or lost
 * matters to nobody.  Thread-safe.  Does not log.
 */
#include <stdint.h>

#include "base/err.h"

/* Once a process, after fork.  Without it nothing is remembered and nothing known. */
int usual_time_open(const char *state_dir, struct err *e);
void usual_time_close(void);

/*
 * level: 0 for what was asked, else the number of the degrade step that was taken, because less work
 * takes less time.
 */
void usual_time_add(const char *model, unsigned level, int64_t ms);
int64_t usual_time_ms(const char *model, unsigned level); /* 0: not known */

#endif
