#include "api/task_end.h"

#include <time.h>

#include "api/task_input.h"
#include "api/task_json.h"
#include "base/cleanup.h"
#include "base/log.h"
#include "http/reply.h"

#define END_MS \
	120000 /* a store that does not answer is asked for so long: the pictures are paid for */
#define PAUSE_MS 500

/* Waits before the store is asked again.  False: it was asked for long enough. */
static bool
once_more(const struct task_record *t, const struct deadline *d, const struct err *e)
{
	const struct timespec pause = { .tv_nsec = PAUSE_MS * 1000000L };

	if (deadline_over(d)) {
		log_error(t->request_id, "task %s: its end cannot be written down: %s %s", t->id,
			  err_code(e), e->detail);
		return false;
	}
	(void)nanosleep(&pause, NULL);
	return true;
}

static void
finish(struct task_env *env, const struct task_record *t, const struct task_end *end)
{
	struct deadline d = deadline_in_ms(END_MS);
	enum task_status ended = end->status;
	bool held = true;
	struct err e;

	while (store_task_finish(env->store, t->id, t->fence, end, &held, &ended, &d, &e) < 0)
		if (!once_more(t, &d, &e))
			return;
	if (!held) {
		log_warn(t->request_id, "task %s: its lease was lost, the result is dropped",
			 t->id);
		return;
	}
	log_info(t->request_id, "task %s: %s after %lld ms, attempt %u", t->id,
		 task_status_name(ended), (long long)(clock_wall_ms() - t->created_ms),
		 t->attempts);
	task_input_remove(env->g->config->state_dir, t);
}

void
task_succeed(struct task_env *env, const struct task_record *t, json_t *history,
	     const struct image_job *job)
{
	AUTO_FREE char *result = task_json_result(job);
	AUTO_FREE char *told = json_dumps(history, JSON_COMPACT);

	finish(env, t,
	       &(struct task_end){ .status = TASK_SUCCESS,
				   .result = result,
				   .history = told,
				   .keep_ms = env->g->config->store.keep_tasks_ms,
				   .callback = t->callback != NULL });
}

void
task_fail(struct task_env *env, const struct task_record *t, json_t *history,
	  const struct image_job *job, const struct err *why)
{
	bool gone = why->kind == ERR_GONE;
	AUTO_FREE char *result = job && job->call.nimages ? task_json_result(job) : NULL;
	AUTO_FREE char *error = gone ? NULL : task_json_error(why, t->request_id, t->id);
	AUTO_FREE char *told = json_dumps(history, JSON_COMPACT);

	if (!gone)
		log_warn(t->request_id, "task %s: %s: stage=%s provider=%s status=%d %s %s", t->id,
			 err_code(why), why->stage ? why->stage : "-",
			 why->upstream.name[0] ? why->upstream.name : "-", why->upstream.status,
			 why->about, why->detail);
	finish(env, t,
	       &(struct task_end){ .status = gone ? TASK_REVOKED : TASK_FAILURE,
				   .result = result,
				   .error = gone || error ? error : ERROR_PLAIN,
				   .history = told,
				   .keep_ms = env->g->config->store.keep_tasks_ms,
				   .callback = t->callback != NULL });
}

void
task_requeue(struct task_env *env, const struct task_record *t, json_t *history,
	     const struct task_again *how, const char *code)
{
	AUTO_FREE char *told = json_dumps(history, JSON_COMPACT);
	struct task_again again = *how;
	struct deadline d = deadline_in_ms(END_MS);
	enum task_status now = TASK_RETRY;
	bool held = true;
	struct err e;

	again.history = told;
	again.keep_ms = env->g->config->store.keep_tasks_ms;
	again.callback = t->callback != NULL;
	while (store_task_requeue(env->store, t->id, t->fence, &again, &held, &now, &d, &e) < 0)
		if (!once_more(t, &d, &e))
			return;
	log_info(t->request_id, "task %s: %s because of %s, in %lld ms%s", t->id,
		 held ? task_status_name(now) : "not ours any more", code,
		 (long long)again.delay_ms, again.uncounted ? ", not counted" : "");
	if (held && task_has_ended(now))
		task_input_remove(env->g->config->state_dir, t);
}
