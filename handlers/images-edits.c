/*
 * images-edits - POST /v1/images/edits
 *
 * Pictures from pictures: multipart/form-data, as the SDKs send it, or JSON.
 */
#include <stddef.h>

#include "api/edit_read.h"
#include "api/image_answer.h"
#include "http/app.h"
#include "net/upstream.h"

static int
edit(struct request *r, void *state, struct err *e)
{
	struct edit ed;
	int rc = edit_read(r, state, &ed, e);

	if (rc == 0)
		rc = image_answer(r, state, &ed.rq, ed.body, ed.model, e);
	edit_done(&ed);
	return rc;
}

static int
init(void *state, const struct app_env *env, struct err *e)
{
	/* Requests that wait to be shed hold no slot, so max_in_flight of them are enough. */
	return image_engine_open(state, env->config, "images-edits", env->store,
				 (unsigned)env->process->max_in_flight, e);
}

static void
done(void *state)
{
	image_engine_done(state);
}

static const struct route routes[] = {
	/* The limit of a JSON body; a multipart one has its own. */
	{ "POST", "/v1/images/edits", edit, .scope = SCOPE_IMAGES, .flags = ROUTE_SPENDS,
	  .budget_offset = offsetof(struct config, deadline.images_edits_ms),
	  .body_offset = offsetof(struct config, limits.json_bytes) },
	{ 0 }
};

int
main(int argc, char **argv)
{
	static const char *const sections[] = { "server", "auth",      "store",   "files",
						"limits", "deadline",  "process", "defaults",
						"log",    "providers", "models",  NULL };

	return app_main(&(const struct app){ .name = "images-edits",
					     .summary = "makes pictures from pictures",
					     .routes = routes,
					     .sections = sections,
					     .state_size = sizeof(struct image_engine),
					     .prepare = upstream_prepare,
					     .init = init,
					     .done = done },
			argc, argv);
}
