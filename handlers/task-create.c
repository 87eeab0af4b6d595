/*
 * task-create - POST /v1/tasks, POST /generate
 *
 * Takes work in and answers at once; task-worker does it.
 */
#include <stddef.h>
#include <string.h>

#include "access/seal.h"
#include "api/image_program.h"
#include "api/task_add.h"
#include "api/task_json.h"
#include "api/task_older.h"
#include "base/cleanup.h"
#include "base/json.h"
#include "net/upstream.h"
#include "store/store_idem.h"

struct create {
	struct image_engine engine;
	struct store *store;
};

/* ---- POST /v1/tasks ---- */

/* The member callback_url, taken out of the body; NULL: none. */
static int
take_callback(json_t *body, json_t **out, struct err *e)
{
	*out = json_incref(json_object_get(body, "callback_url"));
	(void)json_object_del(body, "callback_url");
	if (!*out || json_is_string(*out) || json_is_null(*out))
		return 0;
	return err_field(e, ERR_TYPE, "callback_url", "a string", "%s", json_type_name(*out));
}

/* With a key the same request will be answered with this text again. */
static int
answer_text(struct request *r, struct create *c, json_t *o, struct err *e)
{
	AUTO_FREE char *text = o ? json_dumps(o, JSON_COMPACT) : NULL;
	bool found;
	struct err ignored;

	json_decref(o);
	if (!text)
		return err_set(e, ERR_INTERNAL, "out of memory");
	/* Should it not be written down, the task as it is then is the answer. */
	if (request_header(r, "HTTP_IDEMPOTENCY_KEY"))
		(void)store_idem_finish(c->store, request_id(r), 202, text, 0, &found,
					request_deadline(r), &ignored);
	return reply_text(r, 202, "application/json", text, strlen(text), e);
}

static int
answer(struct request *r, struct create *c, const struct task_record *t, struct err *e)
{
	char base[TASK_BASE_BYTES];
	uint64_t position = 0;
	struct err ignored;

	request_base_url(r, base, sizeof(base));
	/* It is in the queue whether its place can be told or not. */
	(void)store_task_position(c->store, t->id, t->lane, &position, request_deadline(r),
				  &ignored);
	reply_header(r, "location", "%s/v1/tasks/%s", base, t->id);
	return answer_text(r, c, task_json(t, position, base), e);
}

static int
answer_again(struct request *r, struct create *c, const char *id, const struct idem_record *first,
	     struct err *e)
{
	AUTO(task_record) t = { 0 };
	char base[TASK_BASE_BYTES];
	bool found = false;

	request_base_url(r, base, sizeof(base));
	reply_header(r, "idempotent-replayed", "true");
	reply_header(r, "location", "%s/v1/tasks/%s", base, id);
	if (first->done && first->answer && *first->answer)
		return reply_text(r, (int)first->status, "application/json", first->answer,
				  strlen(first->answer), e);
	if (store_task_get(c->store, id, &t, &found, request_deadline(r), e) < 0)
		return -1;
	return found && !t.expired ? reply_json(r, 202, task_json(&t, 0, base), e)
				   : err_set(e, ERR_EXPIRED, "%s", "");
}

static int
create(struct request *r, void *state, struct err *e)
{
	struct create *c = state;
	json_auto_t *body = NULL, *callback = NULL;
	struct task_wish wish = { 0 };
	struct task_record t = { 0 };
	struct idem_record first = { 0 };
	int rc;

	if (request_json(r, &body, e) < 0 || take_callback(body, &callback, e) < 0)
		return -1;
	wish.body = body;
	wish.callback_url = json_string_value(callback);
	rc = task_add(r, &c->engine, c->store, &wish, &t, &first, e);
	if (rc == 0)
		rc = first.request_id[0] ? answer_again(r, c, t.id, &first, e)
					 : answer(r, c, &t, e);
	task_record_done(&t);
	idem_record_done(&first);
	return rc;
}

/* ---- POST /generate ---- */

static int
generate(struct request *r, void *state, struct err *e)
{
	struct create *c = state;
	AUTO(task_older) older = { 0 };
	struct task_wish wish = { 0 };
	struct task_record t = { 0 };
	struct idem_record first = { 0 };
	int rc;

	if (task_older_read(r, c->engine.config, &older, e) < 0)
		return -1;
	wish.body = older.body;
	wish.model = older.model;
	wish.account = older.has_account ? &older.account : NULL;
	rc = task_add(r, &c->engine, c->store, &wish, &t, &first, e);
	if (rc == 0 && first.request_id[0])
		reply_header(r, "idempotent-replayed", "true");
	if (rc < 0)
		task_older_name(e);
	else
		rc = reply_json(r, 200,
				json_pack("{s:b, s:s, s:s}", "success", 1, "task_id", t.id,
					  "message", "图像生成任务已提交"),
				e);
	task_record_done(&t);
	idem_record_done(&first);
	return rc;
}

/* ---- the program ---- */

static int
init(void *state, const struct app_env *env, struct err *e)
{
	struct create *c = state;

	c->store = env->store;
	if (seal_init(env->config->state_dir, e) < 0)
		return -1;
	return image_program_engine(&c->engine, env, e);
}

static void
done(void *state)
{
	image_engine_done(&((struct create *)state)->engine);
}

static const struct route routes[] = {
	{ "POST", "/v1/tasks", create, .scope = SCOPE_TASKS, .flags = ROUTE_SPENDS,
	  .budget_offset = offsetof(struct config, deadline.task_create_ms),
	  .body_offset = offsetof(struct config, limits.json_bytes) },
	{ "POST", "/generate", generate, .scope = SCOPE_TASKS, .flags = ROUTE_SPENDS | ROUTE_OLDER,
	  .budget_offset = offsetof(struct config, deadline.task_create_ms),
	  .body_offset = offsetof(struct config, limits.json_bytes) },
	{ 0 }
};

int
main(int argc, char **argv)
{
	return app_main(&(const struct app){ .name = "task-create",
					     .summary = "takes pictures' tasks in",
					     .routes = routes,
					     .sections = image_program_sections,
					     .state_size = sizeof(struct create),
					     .prepare = upstream_prepare,
					     .init = init,
					     .done = done },
			argc, argv);
}
