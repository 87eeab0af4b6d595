#include "api/image_program.h"

#include <stddef.h>

#include "net/upstream.h"

const char *const image_program_sections[] = { "server", "auth",      "store",   "files",
					       "limits", "deadline",  "process", "defaults",
					       "log",    "providers", "models",  NULL };

int
image_program_engine(struct image_engine *g, const struct app_env *env, struct err *e)
{
	/* Requests that wait to be shed hold no slot, so max_in_flight of them are enough. */
	return image_engine_open(g, env->config, env->program, env->store,
				 (unsigned)env->process->max_in_flight, e);
}

static int
init(void *state, const struct app_env *env, struct err *e)
{
	return image_program_engine(state, env, e);
}

static void
done(void *state)
{
	image_engine_done(state);
}

int
image_program_main(const char *name, const char *summary, const struct route *routes, int argc,
		   char **argv)
{
	return app_main(&(const struct app){ .name = name,
					     .summary = summary,
					     .routes = routes,
					     .sections = image_program_sections,
					     .state_size = sizeof(struct image_engine),
					     .prepare = upstream_prepare,
					     .init = init,
					     .done = done },
			argc, argv);
}
