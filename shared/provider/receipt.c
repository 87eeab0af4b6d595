#include "provider/receipt.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json_text.h"
#include "base/utf8.h"

#define ARROW "→"

struct receipt_words {
	char note[PARAM__MAX][RECEIPT_NOTE];
	char unknown[RECEIPT_UNKNOWN];
};

void
receipt_done(struct receipt *r)
{
	free(r->words);
	r->words = NULL;
}

static bool
may_write(struct receipt *r)
{
	if (!r->words)
		r->words = calloc(1, sizeof(*r->words));
	return r->words != NULL;
}

const char *
receipt_of(const struct receipt *r, enum image_param p)
{
	return r->words ? r->words->note[p] : "";
}

void
receipt_unknown(struct receipt *r, const char *names)
{
	if ((r->words || *names) && may_write(r))
		(void)snprintf(r->words->unknown, sizeof(r->words->unknown), "%s", names);
}

static const char *
unknown(const struct receipt *r)
{
	return r->words ? r->words->unknown : "";
}

void
receipt_note(struct receipt *r, enum image_param p, const char *fmt, ...)
{
	char *note;
	va_list ap;
	int n;

	if (!may_write(r))
		return;
	note = r->words->note[p];
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
	const char *name = unknown(r);

	out[0] = '\0';
	for (int p = 0; p < PARAM__MAX; p++)
		if (*receipt_of(r, (enum image_param)p))
			add(&o, image_param_name((enum image_param)p),
			    strlen(image_param_name((enum image_param)p)),
			    receipt_of(r, (enum image_param)p));
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
	const char *name = unknown(r);

	for (int p = 0; p < PARAM__MAX; p++) {
		const char *note = receipt_of(r, (enum image_param)p);

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
		if (*receipt_of(r, (enum image_param)p))
			return false;
	return !*unknown(r);
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
