#ifndef EASEL_API_OUTCOME_H
#define EASEL_API_OUTCOME_H
/*
 * outcome - what became of an image job, as a text that a later answer can be made of
 *
 * What task_json_result() writes (api/task_json.h) and what only an answer needs besides: "created",
 * "model", "attempts", "usage", "background", "quality"; of a failure "status" and "error".  Private to api/.
 */
#include "api/task_json.h"

/* rc: image_run()'s; e: why it failed.  The caller's (free), NULL: out of memory. */
char *outcome_text(const struct image_job *job, const char *task_id, int rc, const struct err *e);

/* Pictures, receipt and the rest, back into a job that is empty otherwise. */
void outcome_read(const json_t *outcome, const struct config *c, struct image_job *job);

/* The failure in it, borrowed, with its HTTP status; NULL: it succeeded. */
const json_t *outcome_error(const json_t *outcome, int *status);

/* Was anything bought, as far as is known?  Else the same request may begin anew. */
bool outcome_bought(const struct image_job *job, int rc, const struct err *e);

#endif
