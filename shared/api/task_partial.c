#include "api/task_partial.h"

#include <stdio.h>
#include <string.h>

#include "api/image_common.h"
#include "api/task_input.h"
#include "base/cleanup.h"

#define EVENT_BYTES 4096 /* of an event, its picture aside */

/* ---- the worker's side ---- */

static json_t *
list_of(json_t *progress)
{
	json_t *list = json_object_get(progress, "partials");

	if (!list) {
		list = json_array();
		(void)json_object_set_new(progress, "partials", list);
	}
	return list;
}

int
task_partial_save(const char *state_dir, const char *task_id, const struct image_job *job,
		  unsigned index, const struct source *so_far, json_t *progress, struct err *e)
{
	json_int_t n = json_integer_value(json_object_get(progress, "partial_n")) + 1;
	AUTO(buf) after = BUF_INIT(EVENT_BYTES);
	char name[TASK_INPUT_NAME];

	image_common_facts(job, &after, so_far->type, so_far->width, so_far->height);
	if (buf_addf(&after, ",\"partial_image_index\":%u}", index) < 0)
		return err_set(e, ERR_INTERNAL, "the event is too large");
	(void)snprintf(name, sizeof(name), "%s-partial-%lld", task_id, (long long)n);
	if (task_input_add(state_dir, name, so_far, e) < 0)
		return -1;
	(void)json_object_set_new(progress, "partial_n", json_integer(n));
	(void)json_array_append_new(list_of(progress),
				    json_pack("{s:I, s:s, s:I, s:s, s:s}", "n", n, "file", name,
					      "bytes", (json_int_t)so_far->bytes, "type",
					      job->rq->nsources ? "image_edit" : "image_generation",
					      "after", buf_str(&after)));
	return 0;
}

void
task_partial_remove(const char *state_dir, json_t *progress)
{
	const json_t *list = json_object_get(progress, "partials");

	for (size_t i = 0; i < json_array_size(list); i++)
		task_input_drop(state_dir,
				json_string_value(
					json_object_get(json_array_get(list, i), "file")));
	(void)json_object_del(progress, "partials");
}

/* ---- the streams' side ---- */

static int
send_one(struct sse *sse, const char *state_dir, const json_t *v, struct err *e)
{
	const char *type = json_string_value(json_object_get(v, "type"));
	const char *after = json_string_value(json_object_get(v, "after"));
	AUTO_FD int fd = task_input_get(state_dir, json_string_value(json_object_get(v, "file")));
	char before[96];

	if (fd < 0 || !type || !after)
		return 0;
	(void)snprintf(before, sizeof(before), "{\"type\":\"%s.partial_image\",\"b64_json\":\"",
		       type);
	return sse_event_base64(sse, "partial_image", before, fd,
				(uint64_t)json_integer_value(json_object_get(v, "bytes")), after,
				e);
}

int
task_partial_send(struct sse *sse, const char *state_dir, const char *progress, int64_t *shown,
		  struct err *e)
{
	json_auto_t *o = progress ? json_loads(progress, 0, NULL) : NULL;
	const json_t *list = json_object_get(o, "partials");

	for (size_t i = 0; i < json_array_size(list); i++) {
		const json_t *v = json_array_get(list, i);
		json_int_t n = json_integer_value(json_object_get(v, "n"));

		if (n <= *shown)
			continue;
		*shown = n;
		if (send_one(sse, state_dir, v, e) < 0)
			return -1;
	}
	return 0;
}
