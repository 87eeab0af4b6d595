/* What an intent knows of a task that its row does not say. */
#include <string.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "job/intent.h"
#include "job/lost_job.h"
#include "job/owed_task.h"
#include "store/store_task.h"

/* Its attempts; the last one ended with its worker, and is told even when it had not got as far as an attempt. */
static char *
history_text(const struct task_record *t)
{
	json_t *history = t->history ? json_loads(t->history, 0, NULL) : NULL;
	json_t *last = json_array_get(history, json_array_size(history) - 1);
	char *text;

	if (!history)
		history = json_array();
	if (last && json_is_null(json_object_get(last, "outcome")))
		(void)json_object_set_new(last, "outcome", json_string("worker_lost"));
	else
		(void)json_array_append_new(history,
					    json_pack("{s:I, s:s, s:I, s:s, s:n}", "n",
						      (json_int_t)json_array_size(history) + 1,
						      "provider", t->provider, "started",
						      (json_int_t)(clock_wall_ms() / 1000),
						      "outcome", "worker_lost", "code"));
	text = json_dumps(history, JSON_COMPACT);
	json_decref(history);
	return text;
}

static int
give_back(const struct config *c, struct store *store, const struct intent_lost *l,
	  const struct task_record *t, const struct deadline *d, struct err *e)
{
	AUTO_FREE char *history = history_text(t);
	const struct task_again again = { .history = history,
					  .keep_ms = c->store.keep_tasks_ms,
					  .callback = t->callback != NULL };
	enum task_status now = t->status;
	bool held = false;

	if (store_task_requeue(store, t->id, l->fence, &again, &held, &now, d, e) < 0)
		return -1;
	if (held)
		log_info(t->request_id, "task %s: %s, its worker died and nothing %s been sent",
			 t->id, task_status_name(now), l->rest_unsent ? "more had" : "had");
	return held ? 0 : 1;
}

/* The provider had named it while the store was away. */
static int
tell_name(struct store *store, const struct intent_lost *l, const struct deadline *d, struct err *e)
{
	const struct task_step step = { .dispatched = true,
					.stage = "provider.wait",
					.upstream_id = l->job.upstream_id };
	bool held = false;

	if (store_task_advance(store, l->task_id, l->fence, &step, &held, d, e) < 0)
		return -1;
	if (held)
		log_info(l->job.request_id, "task %s: its worker died, %s knows it as %s",
			 l->task_id, l->job.provider, l->job.upstream_id);
	return held ? 0 : 1;
}

int
lost_task_end(const struct config *c, struct store *store, const struct intent_lost *l,
	      const struct deadline *d, struct err *e)
{
	AUTO(task_record) t = { 0 };
	bool found = false, unknown = !strcmp(l->job.outcome, "outcome_unknown");

	if (unknown && !l->rest_unsent && !(l->job.upstream_id[0] && l->request[0]))
		return 0;
	if (owed_task_waits(c->state_dir, l->task_id))
		return err_set(e, ERR_STORE, "its task is not there yet");
	if (store_task_get(store, l->task_id, &t, &found, d, e) < 0)
		return -1;
	/* What has a name is gone on with. */
	if (!found || t.status != TASK_STARTED || t.upstream_id[0])
		return 0;
	/* Taken over already: whoever has done so looks for it. */
	if (t.fence != l->fence)
		return t.fence == l->fence + 1 ? 1 : 0;
	if (unknown && !l->rest_unsent)
		return tell_name(store, l, d, e);
	/* Of what its workers die again and again its lease's end makes an end. */
	return t.attempts >= TASK_CLAIMS_MAX ? 0 : give_back(c, store, l, &t, d, e);
}
