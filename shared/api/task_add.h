#ifndef EASEL_API_TASK_ADD_H
#define EASEL_API_TASK_ADD_H
/*
 * task_add - takes an images request in as a task
 *
 * Everything that can be judged is judged now: parameters, pictures, the model and what it can do, room,
 * the webhook's address.  What is left for the worker is what only the provider knows.
 */
#include "api/edit_read.h"
#include "api/task_account.h"
#include "store/store_task.h"

struct task_wish {
	json_t *body; /* an images request or, with image, images or mask, an edit; the pictures are taken out */
	const char *callback_url;           /* NULL: none */
	const struct model_conf *model;     /* NULL: as the body says */
	const struct task_account *account; /* NULL: the provider's own */
};

struct idem_record;

/*
 * 0: *t is in the queue; the caller ends it with task_record_done().  Or it was asked for before (api/task_repeat.h):
 * then first->request_id is set, *t has nothing but the id, and the caller ends *first with idem_record_done().
 * -1: what image_params_read(), edit_sources_json(), image_check() say; ERR_URL_NOT_ALLOWED;
 * ERR_RATE_LIMITED: the queue is full, the day's pictures are used up, or the account's passwords were wrong too often
 * (access/guesses.h); ERR_STORAGE_FULL; ERR_STORE; ERR_IDEMPOTENCY.
 */
int task_add(struct request *r, struct image_engine *g, struct store *store,
	     const struct task_wish *wish, struct task_record *t, struct idem_record *first,
	     struct err *e);

/*
 * The lane of tasks of which only so many may run at the same time: where a provider serves few requests
 * of an account, the others' tasks shall not wait behind them.  "" else.
 */
void task_lane(const struct model_conf *m, const struct task_account *account,
	       char lane[TASK_LANE_TEXT]);

#endif
