/*
 * task-worker - takes tasks from the queue and runs them
 *
 * One thread claims; each task has a thread of its own, at most TASKS_AT_ONCE of them or max_in_flight in
 * each process.  What the queue holds back (a lane, a delay) is the store's business.
 */
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "access/seal.h"
#include "api/task_hook.h"
#include "api/task_input.h"
#include "api/task_run.h"
#include "base/id.h"
#include "base/log.h"
#include "http/app.h"
#include "net/upstream.h"

#define TASKS_AT_ONCE    64
#define QUEUE_WAIT_MS    250 /* what becomes due by itself wakes nobody */
#define STORE_MS         5000
#define STORE_AGAIN_MS   500 /* before a store that did not answer is asked again */
#define HOOK_PAUSE_MS    500
#define RECOVER_EVERY_US (2 * 1000000LL)
#define SWEEP_EVERY_US   (600 * 1000000LL)
#define SWEEP_FILES      1000
#define PRUNE_EVERY_US   (60 * 1000000LL)
#define PRUNE_AT_ONCE    500
#ifdef EASEL_SANITIZED
#define STACK_BYTES (1 << 20)
#else
#define STACK_BYTES (256 << 10)
#endif

struct worker {
	struct image_engine engine;
	struct task_env env;
	char name[64]; /* who holds a lease */
	unsigned at_once;
	pthread_mutex_t lock;
	pthread_cond_t place; /* a thread has ended, or all is to end */
	unsigned running;     /* threads with a task */
	unsigned helpers;     /* the threads that claim and that send webhooks */
	int64_t served;
	bool stop;
};

struct errand {
	struct worker *w;
	struct task_record t;
	enum task_found found;
};

static bool
stopping(struct worker *w)
{
	bool stop;

	(void)pthread_mutex_lock(&w->lock);
	stop = w->stop;
	(void)pthread_mutex_unlock(&w->lock);
	return stop;
}

static int
start_thread(void *(*fn)(void *arg), void *arg)
{
	pthread_attr_t attr;
	pthread_t t;
	int rc;

	(void)pthread_attr_init(&attr);
	(void)pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	(void)pthread_attr_setstacksize(&attr, STACK_BYTES);
	rc = pthread_create(&t, &attr, fn, arg);
	(void)pthread_attr_destroy(&attr);
	return rc;
}

/* ---- one task ---- */

static void *
task_main(void *arg)
{
	struct errand *x = arg;
	struct worker *w = x->w;

	task_run(&w->env, &x->t, x->found);
	task_record_done(&x->t);
	free(x);
	(void)pthread_mutex_lock(&w->lock);
	w->running--;
	w->served++;
	(void)pthread_cond_signal(&w->place);
	(void)pthread_mutex_unlock(&w->lock);
	return NULL;
}

/* ---- claiming ---- */

/* Waits for a place for one more.  False: no more are to be begun. */
static bool
take_place(struct worker *w)
{
	bool go;

	(void)pthread_mutex_lock(&w->lock);
	while (!w->stop && w->running >= w->at_once)
		(void)pthread_cond_wait(&w->place, &w->lock);
	go = !w->stop;
	w->running += go;
	(void)pthread_mutex_unlock(&w->lock);
	return go;
}

static void
give_place(struct worker *w)
{
	(void)pthread_mutex_lock(&w->lock);
	w->running--;
	(void)pthread_mutex_unlock(&w->lock);
}

static void
say_store(const struct err *e, bool *said)
{
	if (!*said)
		log_error(NULL, "the queue cannot be read: %s %s", err_code(e), e->detail);
	*said = true;
}

/* TASK_NONE: nothing was there, or it could not be asked. */
static enum task_found
claim(struct worker *w, struct errand *x, bool *said)
{
	struct deadline d = deadline_in_ms(STORE_MS);
	struct err e;

	if (store_task_claim(w->env.store, w->name, w->engine.config->store.task_lease_ms, &x->t,
			     &x->found, &d, &e) == 0) {
		*said = false;
		return x->found;
	}
	say_store(&e, said);
	usleep(STORE_AGAIN_MS * 1000);
	return TASK_NONE;
}

static void
wait_for_tasks(struct worker *w, uint32_t *seen)
{
	struct deadline d = deadline_in_ms(QUEUE_WAIT_MS);
	struct err e;

	if (store_task_wait(w->env.store, TASK_WAIT_QUEUE, seen, &d, &e) < 0)
		usleep(QUEUE_WAIT_MS * 1000);
}

static void
helper_ends(struct worker *w)
{
	(void)pthread_mutex_lock(&w->lock);
	w->helpers--;
	(void)pthread_mutex_unlock(&w->lock);
}

static void *
claim_main(void *arg)
{
	struct worker *w = arg;
	uint32_t seen = 0;
	bool said = false;

	while (take_place(w)) {
		struct errand *x = calloc(1, sizeof(*x));

		if (x)
			x->w = w;
		if (x && claim(w, x, &said) != TASK_NONE) {
			if (start_thread(task_main, x) == 0)
				continue;
			log_error(x->t.request_id, "no thread for task %s: its lease runs out",
				  x->t.id);
			task_record_done(&x->t);
		}
		free(x);
		give_place(w);
		wait_for_tasks(w, &seen);
	}
	helper_ends(w);
	return NULL;
}

/* ---- beside it: webhooks, and pictures that nobody needs any more ---- */

static void
sweep(struct worker *w, int64_t *next_us)
{
	struct deadline d = deadline_in_ms(STORE_MS);
	struct err e;

	if (clock_us() < *next_us)
		return;
	*next_us = clock_us() + SWEEP_EVERY_US;
	(void)task_input_sweep(w->engine.config->state_dir, w->env.store, SWEEP_FILES, &d, &e);
}

/* Work whose process died when its successor was there already. */
static void
recover(struct worker *w, int64_t *next_us)
{
	struct err e;

	if (clock_us() < *next_us)
		return;
	*next_us = clock_us() + RECOVER_EVERY_US;
	if (image_engine_recover(&w->engine, &e) < 0)
		log_warn(NULL, "jobs that were lost cannot be looked for: %s %s", e.about,
			 e.detail);
}

/* Ended tasks whose time is over. */
static void
prune(struct worker *w, int64_t *next_us)
{
	struct deadline d = deadline_in_ms(STORE_MS);
	uint64_t removed = 1;
	struct err e;

	if (clock_us() < *next_us)
		return;
	*next_us = clock_us() + PRUNE_EVERY_US;
	while (removed && !stopping(w) && !deadline_over(&d))
		if (store_prune(w->env.store, PRUNE_AT_ONCE, &removed, &d, &e) < 0)
			return;
}

static void *
hook_main(void *arg)
{
	struct worker *w = arg;
	int64_t sweep_us = clock_us() + SWEEP_EVERY_US / 10, prune_us = sweep_us;
	int64_t recover_us = clock_us() + RECOVER_EVERY_US;

	while (!stopping(w)) {
		if (task_hook_send(w->env.store))
			continue;
		recover(w, &recover_us);
		sweep(w, &sweep_us);
		prune(w, &prune_us);
		usleep(HOOK_PAUSE_MS * 1000);
	}
	helper_ends(w);
	return NULL;
}

/* ---- the frame's side ---- */

static int
init(void *state, const struct app_env *env, struct err *e)
{
	struct worker *w = state;
	char host[24] = "", id[ID_TEXT];

	w->at_once = env->process->max_in_flight < TASKS_AT_ONCE
			     ? (unsigned)env->process->max_in_flight
			     : TASKS_AT_ONCE;
	(void)pthread_mutex_init(&w->lock, NULL);
	(void)pthread_cond_init(&w->place, NULL);
	if (image_engine_open(&w->engine, env->config, "task-worker", env->store, w->at_once, e) <
		    0 ||
	    seal_init(env->config->state_dir, e) < 0 ||
	    task_hook_init(env->config->state_dir, e) < 0)
		return -1;
	(void)gethostname(host, sizeof(host) - 1);
	id_make("", id, sizeof(id));
	(void)snprintf(w->name, sizeof(w->name), "%s:%d:%.8s", host, (int)getpid(), id);
	w->env.g = &w->engine;
	w->env.store = env->store;
	w->helpers = 2;
	if (start_thread(claim_main, w) != 0 || start_thread(hook_main, w) != 0)
		return err_set(e, ERR_OVERLOADED, "no thread can be started");
	return 0;
}

static void
done(void *state)
{
	image_engine_done(&((struct worker *)state)->engine);
}

static void
stop(void *state, bool leaving)
{
	struct worker *w = state;

	atomic_store(&w->env.leaving, leaving);
	(void)pthread_mutex_lock(&w->lock);
	w->stop = true;
	(void)pthread_cond_broadcast(&w->place);
	(void)pthread_mutex_unlock(&w->lock);
}

static unsigned
in_hand(void *state)
{
	struct worker *w = state;
	unsigned n;

	(void)pthread_mutex_lock(&w->lock);
	n = w->running + w->helpers;
	(void)pthread_mutex_unlock(&w->lock);
	return n;
}

static int64_t
served(void *state)
{
	struct worker *w = state;
	int64_t n;

	(void)pthread_mutex_lock(&w->lock);
	n = w->served;
	(void)pthread_mutex_unlock(&w->lock);
	return n;
}

int
main(int argc, char **argv)
{
	static const char *const sections[] = { "server",   "store",   "files", "limits",
						"deadline", "process", "log",   "providers",
						"models",   NULL };
	static const struct route none[] = { { 0 } };
	static const struct app_work work = { stop, in_hand, served };

	return app_main(&(const struct app){ .name = "task-worker",
					     .summary = "takes tasks from the queue and runs them",
					     .routes = none,
					     .sections = sections,
					     .state_size = sizeof(struct worker),
					     .prepare = upstream_prepare,
					     .init = init,
					     .done = done,
					     .work = &work },
			argc, argv);
}
