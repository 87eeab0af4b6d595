/*
 * task-status - /v1/tasks…, and the older /task_status/{id}, /queue_status, /cancel_task/{id}
 *
 * What has become of tasks.  Everything here is read from the store, but for cancelling.
 */
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "api/task_events.h"
#include "api/task_input.h"
#include "api/task_json.h"
#include "base/base64.h"
#include "base/id.h"
#include "files/picture_json.h"
#include "http/app.h"
#include "http/query.h"
#include "http/reply_base64.h"
#include "job/owed_task.h"

#define LIST_DEFAULT 20
#define LIST_MAX     100

struct status {
	const struct config *config;
	struct store *store;
	struct filestore *files;
};

/* The caller's task of that id.  Another's does not exist. */
static int
find(struct request *r, const struct status *s, const char *id, struct task_record *t,
     struct err *e)
{
	bool found = false;

	/* What no id can be is not asked for: it may hold anything. */
	if (strlen(id) < sizeof(t->id) && owed_task_find(s->config->state_dir, s->store, id, t,
							 &found, request_deadline(r), e) < 0)
		return -1;
	if (!found || strcmp(t->owner, request_principal(r)->id) != 0)
		return err_set(e, ERR_NOT_FOUND, "task");
	/* Its time is over, whether or not somebody has tidied up since. */
	if (t->expired || (t->expires_ms && t->expires_ms <= clock_wall_ms()))
		return err_set(e, ERR_EXPIRED, "task");
	return 0;
}

static int
answer(struct request *r, struct store *s, const struct task_record *t, struct err *e)
{
	char base[TASK_BASE_BYTES];
	uint64_t position = 0;

	request_base_url(r, base, sizeof(base));
	if (!task_has_ended(t->status) && t->status != TASK_STARTED &&
	    store_task_position(s, t->id, t->lane, &position, request_deadline(r), e) < 0)
		return -1;
	return reply_json(r, 200, task_json_in(t, position, base, request_lang(r)), e);
}

/* ---- GET, DELETE /v1/tasks/{id}, GET /v1/tasks/{id}/events ---- */

static int
show(struct request *r, void *state, struct err *e)
{
	struct status *s = state;
	struct task_record t = { 0 };
	int rc = find(r, s, request_rest(r), &t, e);

	if (rc == 0)
		rc = answer(r, s->store, &t, e);
	task_record_done(&t);
	return rc;
}

static int
events(struct request *r, void *state, struct err *e)
{
	struct status *s = state;
	struct task_record t = { 0 };
	int rc = find(r, s, request_rest(r), &t, e);

	if (rc == 0)
		rc = task_events(r, s->store, s->config->state_dir, &t, e);
	task_record_done(&t);
	return rc;
}

/* Ends it, or asks its worker to; *t is then as it is afterwards. */
static int
cancel(struct request *r, struct status *s, struct task_record *t, struct err *e)
{
	const char *id = request_rest(r);
	enum task_status now = TASK_PENDING;
	bool found, changed;

	if (find(r, s, id, t, e) < 0 ||
	    store_task_cancel(s->store, id, s->config->store.keep_tasks_ms, &found, &changed, &now,
			      request_deadline(r), e) < 0)
		return -1;
	if (!found) /* it was, here: job/owed_task.h */
		return err_set(e, ERR_STORE, "the task is not in the store yet");
	if (!changed && task_has_ended(now)) {
		(void)err_set(e, ERR_TASK_TERMINAL, "%s", "");
		(void)snprintf(e->found, sizeof(e->found), "%s", task_status_name(now));
		return -1;
	}
	/* One that runs is its worker's to tidy up after. */
	if (task_has_ended(now))
		task_input_remove(s->config->state_dir, t);
	task_record_done(t);
	return find(r, s, id, t, e);
}

static int
cancel_task(struct request *r, void *state, struct err *e)
{
	struct status *s = state;
	struct task_record t = { 0 };
	int rc = cancel(r, s, &t, e);

	if (rc == 0)
		rc = answer(r, s->store, &t, e);
	task_record_done(&t);
	return rc;
}

/* ---- GET /v1/tasks ---- */

struct page {
	struct store *store;
	const struct deadline *deadline;
	json_t *data;
	size_t limit;
	bool more;
	enum err_lang lang;
	char base[TASK_BASE_BYTES];
};

static void
add(const struct task_record *t, void *arg)
{
	struct page *p = arg;

	p->more = json_array_size(p->data) == p->limit;
	if (!p->more)
		(void)json_array_append_new(p->data, task_json_in(t, 0, p->base, p->lang));
}

/* The places of those that wait, asked for when the list is no longer held. */
static int
add_places(const struct page *p, struct err *e)
{
	size_t i;
	json_t *o;

	json_array_foreach(p->data, i, o)
	{
		const char *status = json_string_value(json_object_get(o, "status"));
		uint64_t place = 0;

		if (task_has_ended((enum task_status)task_status_by_name(status)) ||
		    !strcmp(status, "STARTED"))
			continue;
		if (store_task_position(p->store, json_string_value(json_object_get(o, "id")), NULL,
					&place, p->deadline, e) < 0)
			return -1;
		if (place)
			(void)json_object_set_new(o, "queue_position",
						  json_integer((json_int_t)place));
	}
	return 0;
}

struct list_query {
	char status[24], limit[24], after[80], unknown[QUERY_UNKNOWN];
};

static int
read_query(struct request *r, const struct status *s, struct list_query *in, struct task_query *q,
	   struct err *e)
{
	struct query_param v[] = { { "status", in->status, sizeof(in->status), false },
				   { "after", in->after, sizeof(in->after), false },
				   { "limit", in->limit, sizeof(in->limit), false } };
	struct task_record after = { 0 };
	int64_t n;
	int rc;

	if (query_read(request_query(r), v, 3, in->unknown, e) < 0 ||
	    query_number(&v[2], 1, LIST_MAX, LIST_DEFAULT, &n, e) < 0)
		return -1;
	q->limit = (size_t)n;
	q->status = in->status[0] ? task_status_by_name(in->status) : -1;
	if (in->status[0] && q->status < 0)
		return err_field(e, ERR_VALUE, "status",
				 "PENDING, STARTED, RETRY, SUCCESS, FAILURE or REVOKED", "'%s'",
				 in->status);
	if (!in->after[0])
		return 0;
	/* A list that goes on behind a task that is gone would silently end there. */
	q->after = in->after;
	rc = find(r, s, in->after, &after, e);
	task_record_done(&after);
	if (rc < 0 && (e->kind == ERR_NOT_FOUND || e->kind == ERR_EXPIRED))
		return err_field(e, ERR_VALUE, "after", "the id of one of your tasks", "another");
	return rc;
}

static int
list(struct request *r, void *state, struct err *e)
{
	struct status *s = state;
	struct list_query in = { "", "", "", "" };
	struct task_query q = { .owner = request_principal(r)->id };
	struct page p = { .store = s->store,
			  .deadline = request_deadline(r),
			  .lang = request_lang(r) };

	if (read_query(r, s, &in, &q, e) < 0)
		return -1;
	query_receipt(r, in.unknown);
	p.data = json_array();
	p.limit = q.limit++; /* one more says whether there are more */
	request_base_url(r, p.base, sizeof(p.base));
	if (store_task_list(s->store, &q, add, &p, p.deadline, e) < 0 || add_places(&p, e) < 0) {
		json_decref(p.data);
		return -1;
	}
	return reply_json(r, 200,
			  json_pack("{s:s, s:o, s:b}", "object", "list", "data", p.data, "has_more",
				    p.more),
			  e);
}

/* ---- the older shapes ---- */

/* The picture in the JSON, read from its file in pieces. */
static int
answer_picture(struct request *r, struct status *s, const struct task_record *t, struct err *e)
{
	static const char end[] = "\"}";
	struct picture p[IMAGES_MAX];
	char head[256];
	int n;
	AUTO_FD int fd = -1;

	if (!pictures_json_read(t->result, p, IMAGES_MAX))
		return err_set(e, ERR_INTERNAL, "the task has no picture");
	fd = filestore_read(s->files, &p[0], e);
	if (fd < 0 && e->kind == ERR_NOT_FOUND)
		return err_set(e, ERR_EXPIRED, "picture");
	if (fd < 0)
		return -1;
	n = snprintf(head, sizeof(head),
		     "{\"task_id\":\"%s\",\"status\":\"SUCCESS\",\"done\":true,\"success\":true,"
		     "\"image_url\":\"data:%s;base64,",
		     t->id, picture_mime(p[0].type));
	if (reply_begin(r, 200, "application/json",
			n + (int64_t)BASE64_ENCODED(p[0].bytes) + (int64_t)sizeof(end) - 1,
			e) < 0 ||
	    reply_write(r, head, (size_t)n, e) < 0 || reply_base64(r, fd, p[0].bytes, e) < 0)
		return -1;
	return reply_write(r, end, sizeof(end) - 1, e);
}

/* The message of an ended task without a picture. */
static json_t *
message_of(const struct request *r, const struct task_record *t)
{
	json_auto_t *error = task_json_error_read(t, request_lang(r));
	json_t *message = json_object_get(error, "message");

	return message ? json_incref(message) : json_string("任务已取消");
}

static int
older_status(struct request *r, void *state, struct err *e)
{
	struct status *s = state;
	struct task_record t = { 0 };
	int rc = find(r, s, request_rest(r), &t, e);

	if (rc == 0 && t.status == TASK_SUCCESS)
		rc = answer_picture(r, s, &t, e);
	else if (rc == 0 && task_has_ended(t.status))
		rc = reply_json(r, 200,
				json_pack("{s:s, s:s, s:b, s:b, s:o}", "task_id", t.id, "status",
					  task_status_name(t.status), "done", 1, "success", 0,
					  "error", message_of(r, &t)),
				e);
	else if (rc == 0)
		rc = reply_json(r, 200,
				json_pack("{s:s, s:s, s:b}", "task_id", t.id, "status",
					  task_status_name(t.status), "done", 0),
				e);
	task_record_done(&t);
	return rc;
}

static int
older_queue(struct request *r, void *state, struct err *e)
{
	struct status *s = state;
	struct task_counts c;

	if (store_task_counts(s->store, &c, request_deadline(r), e) < 0)
		return -1;
	return reply_json(r, 200,
			  json_pack("{s:b, s:{s:I, s:I, s:I}}", "success", 1, "queue_info",
				    "total_pending",
				    (json_int_t)c.n[TASK_PENDING] + (json_int_t)c.n[TASK_RETRY],
				    "running", (json_int_t)c.n[TASK_STARTED], "queue_length",
				    (json_int_t)s->config->limits.queue_length),
			  e);
}

static int
older_cancel(struct request *r, void *state, struct err *e)
{
	struct task_record t = { 0 };
	int rc = cancel(r, state, &t, e);

	if (rc == 0)
		rc = reply_json(r, 200,
				json_pack("{s:b, s:s, s:s, s:s}", "success", 1, "task_id", t.id,
					  "status", task_status_name(t.status), "message",
					  task_has_ended(t.status) ? "任务已取消" : "正在取消任务"),
				e);
	task_record_done(&t);
	return rc;
}

/* ---- the program ---- */

static int
init(void *state, const struct app_env *env, struct err *e)
{
	const struct config *c = env->config;
	struct status *s = state;

	s->config = c;
	s->store = env->store;
	return filestore_open(&s->files, c->files.url, c->state_dir,
			      (uint64_t)c->limits.image_bytes, (uint64_t)c->limits.image_pixels,
			      (uint64_t)c->files.max_bytes, e);
}

static void
done(void *state)
{
	filestore_free(((struct status *)state)->files);
}

#define READS .budget_offset = offsetof(struct config, deadline.task_status_ms)

static const struct route routes[] = {
	{ "GET", "/v1/tasks", list, .scope = SCOPE_TASKS, READS },
	/* As long as a task may run. */
	{ "GET", "/v1/tasks/*/events", events, .scope = SCOPE_TASKS,
	  .budget_offset = offsetof(struct config, deadline.task_run_ms) },
	{ "GET", "/v1/tasks/*", show, .scope = SCOPE_TASKS, READS },
	{ "DELETE", "/v1/tasks/*", cancel_task, .scope = SCOPE_TASKS, READS },
	{ "GET", "/task_status/*", older_status, .scope = SCOPE_TASKS, .flags = ROUTE_OLDER,
	  READS },
	{ "GET", "/queue_status", older_queue, .scope = SCOPE_TASKS, .flags = ROUTE_OLDER, READS },
	{ "POST", "/cancel_task/*", older_cancel, .scope = SCOPE_TASKS, .flags = ROUTE_OLDER,
	  READS },
	{ 0 }
};

int
main(int argc, char **argv)
{
	static const char *const sections[] = { "server",   "auth",    "store", "files",
						"deadline", "process", "log",   NULL };

	return app_main(&(const struct app){ .name = "task-status",
					     .summary = "says what has become of tasks",
					     .routes = routes,
					     .sections = sections,
					     .state_size = sizeof(struct status),
					     .init = init,
					     .done = done },
			argc, argv);
}
