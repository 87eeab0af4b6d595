#ifndef EASEL_API_TASK_PARTIAL_H
#define EASEL_API_TASK_PARTIAL_H
/*
 * task_partial - a task's partial pictures, from the worker that gets them to the streams that show them
 *
 * Each is a file state_dir/inputs/TASK-partial-N, mode 0600, that is there while the task runs.  The record's
 * `progress` says which there are: "partials": [{"n","file","bytes","type","after"}…]; n goes up over all
 * attempts, so that a stream knows what it has shown.  Streams on another machine than the worker's find
 * no file and show none.  Does not log.
 */
#include "http/sse.h"
#include "job/image_run.h"

/*
 * Keeps *so_far, the index-th of its picture, and notes it in `progress`.  0 or -1: as task_input_add(); then
 * nothing is noted.
 */
int task_partial_save(const char *state_dir, const char *task_id, const struct image_job *job,
		      unsigned index, const struct source *so_far, json_t *progress, struct err *e);
/* Removes the files, and what `progress` says of them. */
void task_partial_remove(const char *state_dir, json_t *progress);

/*
 * "event: partial_image", with OpenAI's fields, for each behind number *shown, which it raises; `progress` as
 * in the record.  One whose file is gone is passed over.  0 or -1: as sse_event_base64().
 */
int task_partial_send(struct sse *sse, const char *state_dir, const char *progress, int64_t *shown,
		      struct err *e);

#endif
