#include "provider/modelscope_answer.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/utf8.h"

#define ID_MAX 95 /* what an intent has room for */

static const struct {
	const char *word;
	enum task_state state;
} states[] = {
	{ "PENDING", TASK_RUNNING },     { "PROCESSING", TASK_RUNNING },
	{ "RUNNING", TASK_RUNNING },     { "QUEUED", TASK_RUNNING },
	{ "SUBMITTED", TASK_RUNNING },   { "SUCCEED", TASK_SUCCEEDED },
	{ "SUCCEEDED", TASK_SUCCEEDED }, { "SUCCESS", TASK_SUCCEEDED },
	{ "DONE", TASK_SUCCEEDED },      { "COMPLETED", TASK_SUCCEEDED },
	{ "FAILED", TASK_FAILED },       { "FAILURE", TASK_FAILED },
	{ "ERROR", TASK_FAILED },        { "CANCELED", TASK_FAILED },
	{ "CANCELLED", TASK_FAILED },    { "TIMEOUT", TASK_FAILED },
};

/* A text of that name: at the top, or in what relays wrap around it. */
static const char *
text_of(const json_t *root, const char *key)
{
	const json_t *data = json_object_get(root, "data");
	const json_t *const places[] = { root, json_object_get(root, "output"),
					 json_is_array(data) ? json_array_get(data, 0) : data };
	const char *text = NULL;

	for (size_t i = 0; i < sizeof(places) / sizeof(places[0]) && !text; i++)
		text = json_string_value(json_object_get(places[i], key));
	return text && *text ? text : NULL;
}

static bool
is_picture(const json_t *item)
{
	static const char *const keys[] = { "url", "b64_json", "image_url" };

	if (json_string_length(item))
		return true;
	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
		const json_t *v = json_object_get(item, keys[i]);

		/* A number stands for a picture that was in the answer itself. */
		if (json_string_length(v) || json_is_integer(v) || json_object_size(v))
			return true;
	}
	return false;
}

static bool
has_picture(const json_t *root)
{
	static const char *const keys[] = { "output_images", "images", "data" };

	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
		const json_t *v = json_object_get(root, keys[i]);

		if (json_is_array(v))
			v = json_array_get(v, 0);
		else if (!json_is_object(v))
			continue;
		if (is_picture(v))
			return true;
	}
	return false;
}

void
modelscope_read(const struct picture_answer *a, const json_t *root, struct task_said *said)
{
	const char *word = text_of(root, "task_status");

	*said = (struct task_said){ .id = text_of(root, "task_id") };
	said->pictures = a->scan.pictures > 0 || has_picture(root);
	if (!word)
		word = text_of(root, "status");
	if (!word)
		return;
	utf8_clip(said->word, sizeof(said->word), word, strlen(word), TASK_WORD - 4);
	for (size_t i = 0; i < sizeof(states) / sizeof(states[0]); i++)
		if (!strcasecmp(word, states[i].word))
			said->state = states[i].state;
}

bool
modelscope_is_id(const char *id)
{
	size_t n = strlen(id);

	if (n > ID_MAX || !isalnum((unsigned char)*id))
		return false;
	for (size_t i = 0; i < n; i++)
		if (!isalnum((unsigned char)id[i]) && !strchr("-_.:~", id[i]))
			return false;
	return true;
}

int
modelscope_failed(const struct upstream_failure *f, const json_t *root,
		  const struct task_said *said, struct err *e)
{
	(void)upstream_error_json(f, root, e);
	/* A status that its words would mean says nothing here: the task was accepted, then failed. */
	if (e->kind != ERR_UP_POLICY && e->kind != ERR_UP_QUOTA) {
		e->kind = ERR_UP_FAILED;
		e->param[0] = '\0';
	}
	e->status = e->party = e->retry_after_s = 0;
	e->may_have_been_billed = true;
	if (!e->upstream.message[0])
		(void)snprintf(e->upstream.message, sizeof(e->upstream.message), "task_status %s",
			       said->word);
	return -1;
}
