#include "provider/grok_frame.h"

#include <stdio.h>
#include <string.h>

#define PLACE_MAX 1000

static const char *
text_of(const json_t *root, const char *key)
{
	const char *text = json_string_value(json_object_get(root, key));

	return text ? text : "";
}

/* ".../images/<id>.jpg?x" → "<id>" */
static bool
id_of_url(const char *url, char out[GROK_ID])
{
	const char *start = strstr(url, "/images/");
	size_t n;

	if (!start)
		return false;
	start += 8;
	n = strcspn(start, "/?#.");
	if (!n || n >= GROK_ID)
		return false;
	memcpy(out, start, n);
	out[n] = '\0';
	return true;
}

static void
read_id(const json_t *root, char out[GROK_ID])
{
	static const char *const keys[] = { "image_id", "job_id", "id" };

	out[0] = '\0';
	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
		const char *id = text_of(root, keys[i]);

		if (*id && strlen(id) < GROK_ID) {
			(void)snprintf(out, GROK_ID, "%s", id);
			return;
		}
	}
	(void)id_of_url(text_of(root, "url"), out);
}

static int
read_place(const json_t *root)
{
	static const char *const keys[] = { "side_by_side_index", "order", "grid_index" };
	int first = -1;

	/* One of them is often 0 for all, another then tells them apart. */
	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
		const json_t *v = json_object_get(root, keys[i]);

		if (!json_is_integer(v) || json_integer_value(v) < 0 ||
		    json_integer_value(v) > PLACE_MAX)
			continue;
		if (json_integer_value(v) > 0)
			return (int)json_integer_value(v);
		first = 0;
	}
	return first;
}

static int
read_percent(const json_t *root)
{
	const json_t *v = json_object_get(root, "percentage_complete");
	double percent = json_number_value(v);

	if (!json_is_number(v))
		return -1;
	return percent >= 100 ? 100 : percent > 0 ? (int)percent : 0;
}

void
grok_frame_read(const json_t *root, struct grok_frame *f)
{
	const char *type = text_of(root, "type");
	const json_t *moderated = json_object_get(root, "moderated");

	*f = (struct grok_frame){ .place = read_place(root),
				  .percent = read_percent(root),
				  .moderated = json_is_boolean(moderated) ? json_is_true(moderated)
									  : -1 };
	read_id(root, f->id);
	if (!strcmp(type, "image")) {
		f->type = FRAME_IMAGE;
		/* A number stands where the picture was. */
		f->blob = json_is_integer(json_object_get(root, "blob"));
	} else if (!strcmp(type, "json") && *text_of(root, "current_status") && *f->id) {
		f->type = FRAME_STATUS;
		f->completed = !strcmp(text_of(root, "current_status"), "completed");
	} else if (!strcmp(type, "error")) {
		f->type = FRAME_ERROR;
	}
}
