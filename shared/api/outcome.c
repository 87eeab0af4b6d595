#include "api/outcome.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/cleanup.h"
#include "files/picture_json.h"
#include "http/reply.h"

bool
outcome_bought(const struct image_job *job, int rc, const struct err *e)
{
	return rc == 0 || job->call.nimages || e->may_have_been_billed;
}

/* As answers say it, in this order. */
static json_t *
usage_json(const struct image_call *c)
{
	return json_pack("[I, I, I, I, I]", (json_int_t)c->usage_total, (json_int_t)c->usage_input,
			 (json_int_t)c->usage_output, (json_int_t)c->usage_input_text,
			 (json_int_t)c->usage_input_image);
}

char *
outcome_text(const struct image_job *job, const char *task_id, int rc, const struct err *e)
{
	AUTO_FREE char *result = task_json_result(job);
	json_auto_t *o = result ? json_loads(result, 0, NULL) : NULL;
	json_t *error;

	if (!o)
		return NULL;
	(void)json_object_set_new(o, "created", json_integer(time(NULL)));
	if (job->model)
		(void)json_object_set_new(o, "model", json_string(job->model->id));
	(void)json_object_set_new(o, "attempts", json_integer(job->attempts));
	(void)json_object_set_new(o, "usage", usage_json(&job->call));
	(void)json_object_set_new(o, "background", json_string(job->call.background));
	(void)json_object_set_new(o, "quality", json_string(job->call.quality));
	if (rc < 0) {
		error = error_json(e, LANG_EN, job->request_id);
		if (task_id && *task_id)
			(void)json_object_set_new(error, "task_id", json_string(task_id));
		(void)json_object_set_new(o, "error", error);
		(void)json_object_set_new(o, "status", json_integer(err_status(e)));
	}
	return json_dumps(o, JSON_COMPACT);
}

const json_t *
outcome_error(const json_t *outcome, int *status)
{
	const json_t *error = json_object_get(outcome, "error");
	const char *code = json_string_value(json_object_get(error, "code"));

	if (!json_is_object(error))
		return NULL;
	*status = (int)json_integer_value(json_object_get(outcome, "status"));
	if (*status < 400 || *status > 599)
		*status = code && err_by_code(code) ? err_row(err_by_code(code))->status : 502;
	return error;
}

static void
read_receipt(const json_t *o, struct receipt *r)
{
	char unknown[RECEIPT_UNKNOWN] = "";
	const char *name;
	size_t n = 0;
	json_t *v;

	json_object_foreach((json_t *)o, name, v)
	{
		const char *note = json_string_value(v);
		int p = 0;

		while (p < PARAM__MAX && strcmp(image_param_name((enum image_param)p), name) != 0)
			p++;
		if (!note)
			continue;
		if (p < PARAM__MAX)
			receipt_note(r, (enum image_param)p, "%s", note);
		else if (n + strlen(name) + 3 < sizeof(unknown))
			n += (size_t)snprintf(unknown + n, sizeof(unknown) - n, "%s%s",
					      n ? ", " : "", name);
	}
	receipt_unknown(r, unknown);
}

static void
read_usage(const json_t *list, struct image_call *c)
{
	int64_t *const to[] = { &c->usage_total, &c->usage_input, &c->usage_output,
				&c->usage_input_text, &c->usage_input_image };

	c->usage_total = -1;
	for (size_t i = 0; i < sizeof(to) / sizeof(to[0]) && i < json_array_size(list); i++)
		*to[i] = json_integer_value(json_array_get(list, i));
}

static void
read_text(const json_t *o, const char *name, char *out, size_t size)
{
	const char *text = json_string_value(json_object_get(o, name));

	(void)snprintf(out, size, "%s", text ? text : "");
}

void
outcome_read(const json_t *outcome, const struct config *c, struct image_job *job)
{
	static const char *const modes[] = { "http", "async", "local", "ws" };
	const json_t *list = json_object_get(outcome, "images");
	const char *model = json_string_value(json_object_get(outcome, "model"));
	const char *mode = json_string_value(json_object_get(outcome, "mode"));
	AUTO_FREE char *text = json_dumps(outcome, JSON_COMPACT);
	struct image_call *call = &job->call;

	call->nimages = text ? pictures_json_read(text, call->images, IMAGES_MAX) : 0;
	for (unsigned i = 0; i < call->nimages; i++) {
		const char *revised = json_string_value(
			json_object_get(json_array_get(list, i), "revised_prompt"));

		call->revised_prompt[i] = revised ? strdup(revised) : NULL;
	}
	read_usage(json_object_get(outcome, "usage"), call);
	read_text(outcome, "background", call->background, sizeof(call->background));
	read_text(outcome, "quality", call->quality, sizeof(call->quality));
	read_receipt(json_object_get(outcome, "receipt"), &job->receipt);
	job->created = json_integer_value(json_object_get(outcome, "created"));
	job->attempts = (unsigned)json_integer_value(json_object_get(outcome, "attempts"));
	job->model = model ? config_model(c, model) : NULL;
	job->mode = modes[0];
	for (size_t i = 0; mode && i < sizeof(modes) / sizeof(modes[0]); i++)
		if (!strcmp(mode, modes[i]))
			job->mode = modes[i];
}
