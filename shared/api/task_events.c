#include "api/task_events.h"

#include <string.h>

#include "api/task_json.h"
#include "api/task_partial.h"
#include "base/cleanup.h"
#include "http/sse.h"
#include "job/owed_task.h"

#define LOOK_MS 250 /* a client that has left, a comment that is due */

struct watch {
	struct request *r;
	struct store *store;
	struct sse sse;
	const char *state_dir;
	int64_t partials; /* the last one that was shown */
	char base[TASK_BASE_BYTES];
	char *last; /* the object that was told last */
};

/* Tells the task when it has changed. */
static int
tell(struct watch *w, const struct task_record *t, struct err *e)
{
	json_auto_t *o = NULL;
	uint64_t position = 0;
	bool queued = !task_has_ended(t->status) && t->status != TASK_STARTED;
	char *text;

	if (queued &&
	    store_task_position(w->store, t->id, t->lane, &position, request_deadline(w->r), e) < 0)
		return -1;
	/* It was claimed between the two looks: the next one says so. */
	if (queued && !position && w->last)
		return 0;
	o = task_json_in(t, position, w->base, request_lang(w->r));
	text = o ? json_dumps(o, JSON_COMPACT) : NULL;
	if (!text)
		return err_set(e, ERR_INTERNAL, "out of memory");
	if (w->last && !strcmp(w->last, text)) {
		free(text);
		return 0;
	}
	free(w->last);
	w->last = text;
	return sse_event(&w->sse, "task", text, e);
}

static int
show_partials(struct watch *w, const struct task_record *t, struct err *e)
{
	return task_partial_send(&w->sse, w->state_dir, t->progress, &w->partials, e);
}

/* Until the task has ended, the client has left, or time is up. */
static int
follow(struct watch *w, struct task_record *t, struct err *e)
{
	const struct deadline *d = request_deadline(w->r);
	struct deadline now = deadline_in_ms(0);
	char id[sizeof(t->id)];
	uint32_t seen = 0;
	bool found = true;

	memcpy(id, t->id, sizeof(id));
	if (store_task_wait(w->store, TASK_WAIT_CHANGE, &seen, &now, e) < 0)
		return -1;
	for (;;) {
		struct deadline soon = deadline_sooner(d, LOOK_MS);

		task_record_done(t);
		if (owed_task_find(w->state_dir, w->store, id, t, &found, d, e) < 0)
			return -1;
		if (!found || t->expired)
			return err_set(e, ERR_EXPIRED, "task");
		/* The object stands first, and last. */
		if (w->last && show_partials(w, t, e) < 0)
			return -1;
		if (tell(w, t, e) < 0 || show_partials(w, t, e) < 0)
			return -1;
		if (task_has_ended(t->status))
			return sse_event(&w->sse, "done", w->last, e);
		if (deadline_over(d))
			return 0;
		if (store_task_wait(w->store, TASK_WAIT_CHANGE, &seen, &soon, e) < 0)
			return -1;
		if (!sse_keep_alive(&w->sse))
			return err_set(e, ERR_GONE, "%s", "");
	}
}

int
task_events(struct request *r, struct store *store, const char *state_dir, struct task_record *t,
	    struct err *e)
{
	struct watch w = { .r = r, .store = store, .state_dir = state_dir };
	int rc;

	sse_init(&w.sse, r);
	request_base_url(r, w.base, sizeof(w.base));
	rc = follow(&w, t, e);
	/* Time that is up while the store is asked is no failure of the stream. */
	if (rc < 0 && deadline_over(request_deadline(r)) && w.sse.begun)
		rc = 0;
	if (rc < 0)
		sse_error(&w.sse, e, NULL, NULL);
	free(w.last);
	return rc;
}
