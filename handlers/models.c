/*
 * models - GET /v1/models, GET /v1/models/{id}
 *
 * The models of the configuration, as OpenAI lists its own; of a single one also what it can do.  An id
 * may hold a slash, plain or as %2F.
 */
#include <stdio.h>
#include <string.h>

#include "base/utf8.h"
#include "http/app.h"
#include "provider/capability.h"

#define CREATED 1767225600 /* 2026-01-01: OpenAI's type has a date, a configured model has none */

struct models {
	const struct config *config;
};

static json_t *
model_json(const struct model_conf *m)
{
	return json_pack("{s:s, s:s, s:i, s:s}", "id", m->id, "object", "model", "created", CREATED,
			 "owned_by", m->provider);
}

static int
list(struct request *r, void *state, struct err *e)
{
	const struct config *c = ((struct models *)state)->config;
	json_t *data = json_array();

	for (size_t i = 0; i < c->nmodels; i++)
		json_array_append_new(data, model_json(&c->models[i]));
	return reply_json(r, 200, json_pack("{s:s, s:o}", "object", "list", "data", data), e);
}

static int
retrieve(struct request *r, void *state, struct err *e)
{
	const struct config *c = ((struct models *)state)->config;
	const struct model_conf *m = config_model(c, request_rest(r));
	const char *nearest;
	char shown[120];

	if (m) {
		json_t *o = model_json(m);

		(void)json_object_set_new(o, "easel", capability_json(m));
		return reply_json(r, 200, o, e);
	}
	nearest = config_nearest_model(c, request_rest(r));
	utf8_clip(shown, sizeof(shown), request_rest(r), strlen(request_rest(r)), 60);
	(void)err_set(e, ERR_MODEL_NOT_FOUND, nearest ? " Did you mean '%.80s'?" : "%s",
		      nearest ? nearest : "");
	(void)snprintf(e->param, sizeof(e->param), "model");
	(void)snprintf(e->found, sizeof(e->found), "'%s'", shown);
	return -1;
}

static int
init(void *state, const struct app_env *env, struct err *e)
{
	(void)e;
	((struct models *)state)->config = env->config;
	return 0;
}

static const struct route routes[] = { { "GET", "/v1/models", list, .scope = 0 },
				       { "GET", "/v1/models/*", retrieve, .scope = 0 },
				       { 0 } };

int
main(int argc, char **argv)
{
	static const char *const sections[] = { "server",    "auth",   "store", "process",
						"providers", "models", NULL };

	return app_main(&(const struct app){ .name = "models",
					     .summary = "lists the models there are",
					     .routes = routes,
					     .sections = sections,
					     .state_size = sizeof(struct models),
					     .init = init },
			argc, argv);
}
