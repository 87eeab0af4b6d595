/*
 * images-generations - POST /v1/images/generations
 *
 * Pictures from text.
 */
#include <stddef.h>

#include "api/image_answer.h"
#include "http/app.h"
#include "net/upstream.h"

static int
generate(struct request *r, void *state, struct err *e)
{
	struct image_request rq;
	json_auto_t *body = NULL;
	const char *model;

	if (request_json(r, &body, e) < 0 || image_params_read(body, &rq, &model, e) < 0)
		return -1;
	return image_answer(r, state, &rq, body, model, e);
}

static int
init(void *state, const struct app_env *env, struct err *e)
{
	/* Requests that wait to be shed hold no slot, so max_in_flight of them are enough. */
	return image_engine_open(state, env->config, "images-generations", env->store,
				 (unsigned)env->process->max_in_flight, e);
}

static void
done(void *state)
{
	image_engine_done(state);
}

static const struct route routes[] = {
	{ "POST", "/v1/images/generations", generate, .scope = SCOPE_IMAGES, .flags = ROUTE_SPENDS,
	  .budget_offset = offsetof(struct config, deadline.images_generations_ms),
	  .body_offset = offsetof(struct config, limits.json_bytes) },
	{ 0 }
};

int
main(int argc, char **argv)
{
	static const char *const sections[] = { "server", "auth",      "store",   "files",
						"limits", "deadline",  "process", "defaults",
						"log",    "providers", "models",  NULL };

	return app_main(&(const struct app){ .name = "images-generations",
					     .summary = "makes pictures from text",
					     .routes = routes,
					     .sections = sections,
					     .state_size = sizeof(struct image_engine),
					     .prepare = upstream_prepare,
					     .init = init,
					     .done = done },
			argc, argv);
}
