#include "files/picture_json.h"

#include <stdio.h>
#include <string.h>

json_t *
pictures_json(const struct picture *p, unsigned n)
{
	json_t *list = json_array();

	for (unsigned i = 0; i < n; i++)
		(void)json_array_append_new(list,
					    json_pack("{s:s, s:s, s:I, s:I, s:I}", "id", p[i].id,
						      "type", picture_format(p[i].type), "width",
						      (json_int_t)p[i].width, "height",
						      (json_int_t)p[i].height, "bytes",
						      (json_int_t)p[i].bytes));
	return list;
}

bool
picture_json_read(const json_t *v, struct picture *p)
{
	const char *id = json_string_value(json_object_get(v, "id"));
	const char *type = json_string_value(json_object_get(v, "type"));

	if (!id || strlen(id) != PICTURE_ID - 1 || !type)
		return false;
	*p = (struct picture){ .type = picture_by_format(type) };
	(void)snprintf(p->id, sizeof(p->id), "%s", id);
	p->width = (uint32_t)json_integer_value(json_object_get(v, "width"));
	p->height = (uint32_t)json_integer_value(json_object_get(v, "height"));
	p->bytes = (uint64_t)json_integer_value(json_object_get(v, "bytes"));
	return p->type != PICTURE_NONE;
}

unsigned
pictures_json_read(const char *text, struct picture *out, unsigned max)
{
	json_auto_t *root = text ? json_loads(text, 0, NULL) : NULL;
	const json_t *list = json_object_get(root, "images");
	unsigned n = 0;

	for (size_t i = 0; i < json_array_size(list) && n < max; i++)
		n += picture_json_read(json_array_get(list, i), &out[n]);
	return n;
}
