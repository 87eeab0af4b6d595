/*
 * task-create - POST /v1/tasks, POST /generate
 *
 * Takes work in and answers at once; task-worker does it.
 */
#include <stddef.h>
#include <string.h>

#include "access/seal.h"
#include "api/task_add.h"
#include "api/task_json.h"
#include "api/task_older.h"
#include "base/json.h"
#include "http/app.h"

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

static int
answer(struct request *r, struct create *c, const struct task_record *t, struct err *e)
{
	char base[TASK_BASE_BYTES];
	uint64_t position = 0;
	struct err ignored;

	request_base_url(r, base, sizeof(base));
	/* It is in the queue whether its place can be told or not. */
	(void)store_task_position(c->store, t->id, &position, request_deadline(r), &ignored);
	reply_header(r, "location", "%s/v1/tasks/%s", base, t->id);
	return reply_json(r, 202, task_json(t, position, base), e);
}

static int
create(struct request *r, void *state, struct err *e)
{
	struct create *c = state;
	json_auto_t *body = NULL, *callback = NULL;
	struct task_wish wish = { 0 };
	struct task_record t = { 0 };
	int rc;

	if (request_json(r, &body, e) < 0 || take_callback(body, &callback, e) < 0)
		return -1;
	wish.body = body;
	wish.callback_url = json_string_value(callback);
	rc = task_add(r, &c->engine, c->store, &wish, &t, e);
	if (rc == 0)
		rc = answer(r, c, &t, e);
	task_record_done(&t);
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
	int rc;

	if (task_older_read(r, c->engine.config, &older, e) < 0)
		return -1;
	wish.body = older.body;
	wish.model = older.model;
	wish.account = older.has_account ? &older.account : NULL;
	rc = task_add(r, &c->engine, c->store, &wish, &t, e);
	if (rc < 0)
		task_older_name(e);
	else
		rc = reply_json(r, 200,
				json_pack("{s:b, s:s, s:s}", "success", 1, "task_id", t.id,
					  "message", "图像生成任务已提交"),
				e);
	task_record_done(&t);
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
	return image_engine_open(&c->engine, env->config, "task-create", env->store,
				 (unsigned)env->process->max_in_flight, e);
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
	static const char *const sections[] = { "server", "auth",      "store",   "files",
						"limits", "deadline",  "process", "defaults",
						"log",    "providers", "models",  NULL };

	return app_main(&(const struct app){ .name = "task-create",
					     .summary = "takes pictures' tasks in",
					     .routes = routes,
					     .sections = sections,
					     .state_size = sizeof(struct create),
					     .init = init,
					     .done = done },
			argc, argv);
}
