/*
 * chat-completions - POST /v1/chat/completions
 *
 * A model that makes pictures makes one of the conversation; any other model is passed through to its provider.
 */
#include <stddef.h>

#include "api/chat_image.h"
#include "api/chat_models.h"
#include "api/chat_proxy.h"
#include "api/image_program.h"
#include "base/cleanup.h"
#include "net/upstream.h"

struct chat_completions {
	struct image_engine engine;
	struct chat_models *models;
};

static int
complete(struct request *r, void *state, struct err *e)
{
	struct chat_completions *s = state;
	const struct model_conf *model;
	struct chat_proxy proxy = { .config = s->engine.config };
	AUTO_FREE char *text = NULL;
	json_auto_t *body = NULL;
	struct chat_request rq;

	if (request_json_text(r, &body, &text, &proxy.text_len, e) < 0 ||
	    chat_request_read(body, &rq, e) < 0)
		return -1;
	model = chat_models_resolve(s->models, &rq, request_deadline(r), request_ledger(r), e);
	if (!model)
		return -1;
	if (model->type == MODEL_IMAGE) {
		free(TAKE_PTR(text)); /* the tree is enough */
		return chat_image(r, &s->engine, &rq, model, body, e);
	}
	proxy.model = model;
	proxy.text = text;
	proxy.stream = rq.stream;
	json_decref(TAKE_PTR(body)); /* the text is enough */
	return chat_proxy(r, &proxy, e);
}

static int
init(void *state, const struct app_env *env, struct err *e)
{
	struct chat_completions *s = state;

	if (image_program_engine(&s->engine, env, e) < 0)
		return -1;
	return chat_models_open(&s->models, env->config, e);
}

static void
done(void *state)
{
	struct chat_completions *s = state;

	chat_models_free(s->models);
	image_engine_done(&s->engine);
}

static const struct route routes[] = {
	{ "POST", "/v1/chat/completions", complete, .scope = SCOPE_CHAT, .flags = ROUTE_SPENDS,
	  .budget_offset = offsetof(struct config, deadline.chat_completions_ms),
	  .body_offset = offsetof(struct config, limits.json_bytes) },
	{ 0 }
};

int
main(int argc, char **argv)
{
	return app_main(&(const struct app){ .name = "chat-completions",
					     .summary =
						     "chat; a model that makes pictures makes one",
					     .routes = routes,
					     .sections = image_program_sections,
					     .state_size = sizeof(struct chat_completions),
					     .prepare = upstream_prepare,
					     .init = init,
					     .done = done },
			argc, argv);
}
