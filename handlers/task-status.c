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
#include "base/num.h"
#include "http/app.h"
#include "http/reply_base64.h"

#define LIST_DEFAULT 20
#define LIST_MAX     100

struct status {
	const struct config *config;
	struct store *store;
	struct filestore *files;
};

/* The caller's task of that id.  Another's does not exist. */
static int
find(struct request *r, struct store *s, const char *id, struct task_record *t, struct err *e)
{
	bool found = false;

	/* What no id can be is not asked for: it may hold anything. */
	if (strlen(id) < sizeof(t->id) &&
	    store_task_get(s, id, t, &found, request_deadline(r), e) < 0)
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
	    store_task_position(s, t->id, &position, request_deadline(r), e) < 0)
		return -1;
	return reply_json(r, 200, task_json(t, position, base), e);
}

/* ---- GET, DELETE /v1/tasks/{id}, GET /v1/tasks/{id}/events ---- */

static int
show(struct request *r, void *state, struct err *e)
{
	struct status *s = state;
	struct task_record t = { 0 };
	int rc = find(r, s->store, request_rest(r), &t, e);

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
	int rc = find(r, s->store, request_rest(r), &t, e);

	if (rc == 0)
		rc = task_events(r, s->store, &t, e);
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

	if (find(r, s->store, id, t, e) < 0 ||
	    store_task_cancel(s->store, id, s->config->store.keep_tasks_ms, &found, &changed, &now,
			      request_deadline(r), e) < 0)
		return -1;
	if (!found)
		return err_set(e, ERR_NOT_FOUND, "task");
	if (!changed && task_has_ended(now)) {
		(void)err_set(e, ERR_TASK_TERMINAL, "%s", "");
		(void)snprintf(e->found, sizeof(e->found), "%s", task_status_name(now));
		return -1;
	}
	/* One that runs is its worker's to tidy up after. */
	if (task_has_ended(now))
		task_input_remove(s->config->state_dir, t);
	task_record_done(t);
	return find(r, s->store, id, t, e);
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

/* A parameter of the query, "" when it is not there. */
static int
query_text(const struct request *r, const char *name, char *out, size_t size, struct err *e)
{
	size_t n = strlen(name);

	out[0] = '\0';
	for (const char *q = request_query(r); *q; q += strcspn(q, "&"), q += *q == '&') {
		size_t len = strcspn(q, "&");

		if (len <= n || strncmp(q, name, n) != 0 || q[n] != '=')
			continue;
		if (len - n - 1 >= size)
			return err_field(e, ERR_VALUE, name, "a shorter value", "%zu characters",
					 len - n - 1);
		(void)snprintf(out, size, "%.*s", (int)(len - n - 1), q + n + 1);
	}
	return 0;
}

struct page {
	json_t *data;
	size_t limit;
	bool more;
	char base[TASK_BASE_BYTES];
};

static void
add(const struct task_record *t, void *arg)
{
	struct page *p = arg;

	p->more = json_array_size(p->data) == p->limit;
	if (!p->more)
		(void)json_array_append_new(p->data, task_json(t, 0, p->base));
}

static int
read_query(const struct request *r, struct task_query *q, char after[ID_TEXT], struct err *e)
{
	char status[16], limit[16];
	int64_t n = LIST_DEFAULT;

	if (query_text(r, "status", status, sizeof(status), e) < 0 ||
	    query_text(r, "limit", limit, sizeof(limit), e) < 0 ||
	    query_text(r, "after", after, ID_TEXT, e) < 0)
		return -1;
	q->status = status[0] ? task_status_by_name(status) : -1;
	if (status[0] && q->status < 0)
		return err_field(e, ERR_VALUE, "status",
				 "PENDING, STARTED, RETRY, SUCCESS, FAILURE or REVOKED", "'%s'",
				 status);
	if (limit[0] && num_i64(limit, 1, LIST_MAX, &n) < 0)
		return err_field(e, ERR_VALUE, "limit", "a number from 1 to 100", "'%s'", limit);
	q->limit = (size_t)n;
	q->after = after[0] ? after : NULL;
	return 0;
}

static int
list(struct request *r, void *state, struct err *e)
{
	struct status *s = state;
	struct task_query q = { .owner = request_principal(r)->id };
	struct page p = { 0 };
	char after[ID_TEXT];

	if (read_query(r, &q, after, e) < 0)
		return -1;
	p.data = json_array();
	p.limit = q.limit++;
	request_base_url(r, p.base, sizeof(p.base));
	if (store_task_list(s->store, &q, add, &p, request_deadline(r), e) < 0) {
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

	if (!task_json_pictures_read(t->result, p))
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
message_of(const struct task_record *t)
{
	json_auto_t *error = t->error ? json_loads(t->error, 0, NULL) : NULL;
	json_t *message = json_object_get(error, "message");

	return message ? json_incref(message) : json_string("任务已取消");
}

static int
older_status(struct request *r, void *state, struct err *e)
{
	struct status *s = state;
	struct task_record t = { 0 };
	int rc = find(r, s->store, request_rest(r), &t, e);

	if (rc == 0 && t.status == TASK_SUCCESS)
		rc = answer_picture(r, s, &t, e);
	else if (rc == 0 && task_has_ended(t.status))
		rc = reply_json(r, 200,
				json_pack("{s:s, s:s, s:b, s:b, s:o}", "task_id", t.id, "status",
					  task_status_name(t.status), "done", 1, "success", 0,
					  "error", message_of(&t)),
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
				    (json_int_t)(c.n[TASK_PENDING] + c.n[TASK_RETRY]), "running",
				    (json_int_t)c.n[TASK_STARTED], "queue_length",
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
