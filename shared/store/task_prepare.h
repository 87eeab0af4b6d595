#ifndef EASEL_STORE_TASK_PREPARE_H
#define EASEL_STORE_TASK_PREPARE_H
/*
 * task_prepare - how a new task is stored, in both drivers
 */
#include "store/store_task.h"

/* *t is a copy that shares the original's long texts. */
static inline void
task_prepare(struct task_record *t, const struct task_add *how, int64_t now_ms)
{
	t->expired = t->cancel_requested = false;
	t->expires_ms = t->ended_ms = t->callback_due_ms = t->callback_tries = 0;
	if (t->status == TASK_STARTED) {
		t->lane[0] = '\0';
		t->fence = 1;
		t->attempts = 1;
		t->lease_until_ms = now_ms + how->lease_ms;
		if (!t->started_ms)
			t->started_ms = now_ms;
		return;
	}
	t->status = TASK_PENDING;
	t->dispatched = false;
	t->worker[0] = '\0';
	t->fence = t->attempts = 0;
	t->started_ms = t->lease_until_ms = 0;
	if (t->due_ms < now_ms)
		t->due_ms = now_ms;
}

#endif
