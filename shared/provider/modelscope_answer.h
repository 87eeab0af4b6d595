#ifndef EASEL_PROVIDER_MODELSCOPE_ANSWER_H
#define EASEL_PROVIDER_MODELSCOPE_ANSWER_H
/*
 * modelscope_answer - what ModelScope says about a task, when it was submitted and when it is polled
 *
 * {"task_id","task_status","output_images":["https://…"],"request_id"}; a failure's words stand in
 * errors.message, error, message or task_msg.  Older models, and relays, answer a submission with the
 * pictures themselves: "images", "data" or "output_images", of strings or of {"url"}.
 *
 * PENDING, PROCESSING and RUNNING go on; SUCCEED and its like, FAILED and its like (ERROR, CANCELED,
 * TIMEOUT) are the end; a state that nobody knows goes on.  Private to provider/.  Thread-safe.
 */
#include <jansson.h>

#include "provider/picture_answer.h"
#include "provider/upstream_error.h"

enum task_state { TASK_UNKNOWN, TASK_RUNNING, TASK_SUCCEEDED, TASK_FAILED };

#define TASK_WORD 32

struct task_said {
	const char *id;       /* NULL: none; borrowed from the answer */
	char word[TASK_WORD]; /* the state in its own word, clipped; "" when none is said */
	enum task_state state;
	bool pictures; /* there are some in it */
};

void modelscope_read(const struct picture_answer *a, const json_t *root, struct task_said *said);

/* Is that id fit for a path? */
bool modelscope_is_id(const char *id);

/*
 * The error of a task that failed, which was accepted and so may have been billed: ERR_UP_POLICY or
 * ERR_UP_QUOTA when its words say so, else ERR_UP_FAILED.  Always -1.
 */
int modelscope_failed(const struct upstream_failure *f, const json_t *root,
		      const struct task_said *said, struct err *e);

#endif
