#include "api/task_json.h"

#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "files/picture_json.h"
#include "http/reply.h"

#define URL_BYTES (TASK_BASE_BYTES + PICTURE_PATH + 64)

static json_t *
text_or_null(const char *s)
{
	return s && *s ? json_string(s) : json_null();
}

/* Seconds, or null. */
static json_t *
seconds(int64_t ms)
{
	return ms ? json_integer(ms / 1000) : json_null();
}

/* A text of the record; it was written here, so what cannot be read is as good as absent. */
static json_t *
parsed(const char *text)
{
	return text ? json_loads(text, JSON_DECODE_ANY, NULL) : NULL;
}

/* ---- pictures ---- */

/* What the caller sees of them. */
static json_t *
images(const json_t *result, const char *base)
{
	const json_t *list = json_object_get(result, "images");
	json_t *out = json_array();
	char url[URL_BYTES], path[PICTURE_PATH];

	for (size_t i = 0; i < json_array_size(list); i++) {
		const json_t *v = json_array_get(list, i),
			     *revised = json_object_get(v, "revised_prompt");
		struct picture p;
		json_t *o;

		if (!picture_json_read(v, &p))
			continue;
		picture_path(&p, path);
		(void)snprintf(url, sizeof(url), "%s%s", base, path);
		o = json_pack("{s:s, s:s, s:s, s:o, s:I}", "id", p.id, "url", url, "type",
			      picture_mime(p.type), "size",
			      json_sprintf("%ux%u", p.width, p.height), "bytes",
			      (json_int_t)p.bytes);
		if (revised)
			(void)json_object_set(o, "revised_prompt", (json_t *)revised);
		(void)json_array_append_new(out, o);
	}
	return out;
}

/* ---- the object ---- */

static json_t *
progress(const struct task_record *t)
{
	json_auto_t *told = parsed(t->progress);
	json_t *usual = json_object_get(told, "usual_s");
	const char *stage = t->stage;

	if (task_has_ended(t->status))
		return json_null();
	if (t->status != TASK_STARTED || !*stage)
		stage = "queue";
	return json_pack("{s:s, s:n, s:O}", "stage", stage, "percent", "usual_s",
			 usual ? usual : json_null());
}

static json_t *
urls(const struct task_record *t, const char *base)
{
	char self[URL_BYTES];

	(void)snprintf(self, sizeof(self), "%s/v1/tasks/%s", base, t->id);
	/* Cancelling is DELETE. */
	return json_pack("{s:s, s:o, s:s}", "self", self, "events", json_sprintf("%s/events", self),
			 "cancel", self);
}

json_t *
task_json_error_read(const struct task_record *t, enum err_lang lang)
{
	json_t *error = parsed(t->error);
	json_auto_t *zh = json_incref(json_object_get(error, "zh"));
	const json_t *hint = json_object_get(zh, "hint"), *message = json_object_get(zh, "message");

	if (error)
		(void)json_object_del(error, "zh");
	if (lang == LANG_ZH && message)
		(void)json_object_set(error, "message", (json_t *)message);
	if (lang == LANG_ZH && hint)
		(void)json_object_set(json_object_get(error, "hint"), "text", (json_t *)hint);
	return error;
}

json_t *
task_json(const struct task_record *t, uint64_t position, const char *base)
{
	return task_json_in(t, position, base, LANG_EN);
}

json_t *
task_json_in(const struct task_record *t, uint64_t position, const char *base, enum err_lang lang)
{
	json_auto_t *result = parsed(t->result);
	json_t *history = parsed(t->history), *error = task_json_error_read(t, lang);
	json_t *receipt = json_object_get(result, "receipt");

	return json_pack("{s:s, s:s, s:s, s:I, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:O, s:o, "
			 "s:o, s:o}",
			 "id", t->id, "object", "task", "status", task_status_name(t->status),
			 "created", (json_int_t)(t->created_ms / 1000), "started",
			 seconds(t->started_ms), "ended", seconds(t->ended_ms), "model",
			 text_or_null(t->model), "provider", text_or_null(t->provider),
			 "queue_position",
			 position ? json_integer((json_int_t)position) : json_null(), "progress",
			 progress(t), "attempts", history ? history : json_array(), "images",
			 images(result, base), "receipt", receipt ? receipt : json_null(), "error",
			 error ? error : json_null(), "request_id", text_or_null(t->request_id),
			 "urls", urls(t, base));
}

/* ---- the end ---- */

char *
task_json_result(const struct image_job *job)
{
	json_t *list = pictures_json(job->call.images, job->call.nimages);
	json_auto_t *o = json_pack("{s:o, s:o, s:s?}", "images", list, "receipt",
				   receipt_json(&job->receipt), "mode", job->mode);

	for (unsigned i = 0; i < job->call.nimages; i++)
		if (job->call.revised_prompt[i])
			(void)json_object_set_new(json_array_get(list, i), "revised_prompt",
						  json_string(job->call.revised_prompt[i]));
	return o ? json_dumps(o, JSON_COMPACT) : NULL;
}

char *
task_json_error(const struct err *e, const char *request_id, const char *task_id)
{
	json_auto_t *o = error_json(e, LANG_EN, request_id);
	char message[1536], hint[768];

	/* Who reads it may want it in Chinese, and the facts that the texts are made of end with *e. */
	err_message(e, LANG_ZH, message, sizeof(message));
	err_hint(e, LANG_ZH, hint, sizeof(hint));
	(void)json_object_set_new(o, "zh",
				  json_pack("{s:s, s:s?}", "message", message, "hint",
					    hint[0] ? hint : NULL));
	(void)json_object_set_new(o, "task_id", json_string(task_id));
	return o ? json_dumps(o, JSON_COMPACT) : NULL;
}
