#ifndef EASEL_FILES_PICTURE_JSON_H
#define EASEL_FILES_PICTURE_JSON_H
/*
 * picture_json - pictures as the records of tasks and outcomes hold them: "images", a list of
 * {"id", "type", "width", "height", "bytes"}.  Thread-safe.
 */
#include <jansson.h>
#include <stdbool.h>

#include "files/picture.h"

/* The list, a new reference. */
json_t *pictures_json(const struct picture *p, unsigned n);
/* The "images" of a record's text (NULL: none), up to max of them; how many there are. */
unsigned pictures_json_read(const char *text, struct picture *out, unsigned max);
/* One of them; false: it is none. */
bool picture_json_read(const json_t *v, struct picture *p);

#endif
