#ifndef EASEL_API_TASK_EVENTS_H
#define EASEL_API_TASK_EVENTS_H
/*
 * task_events - a task's way as an event stream
 *
 * "event: task" with the object at each change, at once the first time; when it has ended "event: done" with
 * the final object, and the stream ends.  In between "event: partial_image" where the task's body asked for
 * partial_images and the provider sends some.  It also ends with the request's deadline: whoever still wants to
 * know asks again.
 */
#include "http/request.h"
#include "store/store_task.h"

/* state_dir: where partial pictures lie.  *t as it was just read; it is read again into *t.  As a handler. */
int task_events(struct request *r, struct store *store, const char *state_dir,
		struct task_record *t, struct err *e);

#endif
