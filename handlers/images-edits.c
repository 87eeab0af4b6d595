/*
 * images-edits - POST /v1/images/edits
 *
 * Pictures from pictures: multipart/form-data, as the SDKs send it, or JSON.
 */
#include <stddef.h>

#include "api/edit_read.h"
#include "api/image_answer.h"
#include "api/image_program.h"

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
	return image_program_main("images-edits", "makes pictures from pictures", routes, argc,
				  argv);
}
