#include "provider/openai_edit.h"

#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"

/* The endpoint's multipart form has no such parameters. */
static const enum image_param not_of_edits[] = { PARAM_MODERATION, PARAM_STYLE };
#define NOT_OF_EDITS (sizeof(not_of_edits) / sizeof(not_of_edits[0]))

static bool
is_of_edits(const char *name)
{
	for (size_t i = 0; i < NOT_OF_EDITS; i++)
		if (!strcmp(name, image_param_name(not_of_edits[i])))
			return false;
	return true;
}

void
openai_edit_receipt(struct image_call *call)
{
	const struct image_request *rq = call->rq;

	if (!rq->nsources && (rq->given & PARAM_BIT(PARAM_INPUT_FIDELITY)))
		receipt_note(call->receipt, PARAM_INPUT_FIDELITY, "dropped");
	for (size_t i = 0; rq->nsources && i < NOT_OF_EDITS; i++)
		if (rq->given & PARAM_BIT(not_of_edits[i]))
			receipt_note(call->receipt, not_of_edits[i], "dropped");
}

void
openai_edit_form(struct upload *u, const json_t *fields, const struct image_request *rq)
{
	const char *name;
	char number[24];
	const json_t *v;

	json_object_foreach((json_t *)fields, name, v)
	{
		AUTO_FREE char *text =
			json_dumps(v, JSON_COMPACT | JSON_ENCODE_ANY | JSON_REAL_PRECISION(6));

		if (!is_of_edits(name))
			continue;
		if (!text)
			u->failed = true;
		else
			upload_form_field(u, name, json_is_string(v) ? json_string_value(v) : text);
	}
	for (unsigned i = 0; i < rq->nsources; i++) {
		(void)snprintf(number, sizeof(number), "image-%u", i + 1);
		upload_form_file(u, rq->nsources > 1 ? "image[]" : "image", number,
				 &rq->sources[i]);
	}
	if (rq->mask)
		upload_form_file(u, "mask", "mask", rq->mask);
	upload_form_end(u);
}
