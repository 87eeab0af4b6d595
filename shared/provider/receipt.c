#include "provider/receipt.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/json_text.h"
#include "base/utf8.h"

#define ARROW "→"

void
receipt_note(struct receipt *r, enum image_param p, const char *fmt, ...)
{
	char *note = r->note[p];
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(note, RECEIPT_NOTE, fmt, ap);
	va_end(ap);
	if (n >= RECEIPT_NOTE)
		note[utf8_cut(note, RECEIPT_NOTE - 1)] = '\0';
}

struct out {
	char *p;
	size_t len, size;
};

/* "; name=note", whole or not at all.  Names may be a caller's: nothing may break the header. */
static void
add(struct out *o, const char *name, size_t n, const char *note)
{
	char entry[2 * RECEIPT_NOTE + 64];
	const char *equals = note[0] == '=' || !strncmp(note, ARROW, sizeof(ARROW) - 1) ? "" : "=";
	int len;

	if (n > RECEIPT_NOTE)
		n = utf8_cut(name, RECEIPT_NOTE);
	len = snprintf(entry, sizeof(entry), "%s%.*s%s%s", o->len ? "; " : "", (int)n, name, equals,
		       note);
	if (len < 0 || (size_t)len >= sizeof(entry) || o->len + (size_t)len >= o->size)
		return;
	for (int i = o->len ? 2 : 0; i < len; i++) {
		unsigned char c = (unsigned char)entry[i];

		o->p[o->len + (size_t)i] = (char)(c < 0x20 || c == 0x7f || c == ';' ? '?' : c);
	}
	if (o->len)
		memcpy(o->p + o->len, "; ", 2);
	o->len += (size_t)len;
	o->p[o->len] = '\0';
}

void
receipt_text(const struct receipt *r, char *out, size_t size)
{
	struct out o = { out, 0, size };
	const char *name = r->unknown;

	out[0] = '\0';
	for (int p = 0; p < PARAM__MAX; p++)
		if (r->note[p][0])
			add(&o, image_param_name((enum image_param)p),
			    strlen(image_param_name((enum image_param)p)), r->note[p]);
	while (*name) {
		size_t n = strcspn(name, ",");

		add(&o, name, n, "dropped");
		name += n;
		name += strspn(name, ", ");
	}
}

json_t *
receipt_json(const struct receipt *r)
{
	json_t *o = json_object();
	const char *name = r->unknown;

	for (int p = 0; p < PARAM__MAX; p++) {
		const char *note = r->note[p];

		if (*note)
			(void)json_object_set_new(o, image_param_name((enum image_param)p),
						  json_string(note + (*note == '=')));
	}
	while (*name) {
		size_t n = strcspn(name, ",");
		char key[RECEIPT_NOTE + 1];

		(void)snprintf(key, sizeof(key), "%.*s",
			       (int)(n < RECEIPT_NOTE ? n : utf8_cut(name, RECEIPT_NOTE)), name);
		(void)json_object_set_new(o, key, json_string("dropped"));
		name += n;
		name += strspn(name, ", ");
	}
	return o;
}

static bool
is_empty(const struct receipt *r)
{
	for (int p = 0; p < PARAM__MAX; p++)
		if (r->note[p][0])
			return false;
	return !r->unknown[0];
}

int
receipt_json_text(const struct receipt *r, struct buf *b)
{
	json_auto_t *o = NULL;

	if (is_empty(r)) /* as of nearly every request */
		return buf_adds(b, "{}");
	o = receipt_json(r);
	return o ? json_text_add(b, o) : -1;
}
