/*
 * images-generations - POST /v1/images/generations
 *
 * Pictures from text.
 */
#include <stddef.h>

#include "api/image_answer.h"
#include "api/image_program.h"

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

static const struct route routes[] = {
	{ "POST", "/v1/images/generations", generate, .scope = SCOPE_IMAGES, .flags = ROUTE_SPENDS,
	  .budget_offset = offsetof(struct config, deadline.images_generations_ms),
	  .body_offset = offsetof(struct config, limits.json_bytes) },
	{ 0 }
};

int
main(int argc, char **argv)
{
	return image_program_main("images-generations", "makes pictures from text", routes, argc,
				  argv);
}
