#include "template.h"

#include <string.h>

#define NAME_CHARACTERS "ABCDEFGHIJKLMNOPQRSTUVWXYZ_"

static const struct place *
find(const struct place *places, const char *name, size_t n)
{
	for (; places->name; places++)
		if (strlen(places->name) == n && !memcmp(places->name, name, n))
			return places;
	return NULL;
}

static bool
is_harmless(const char *value)
{
	for (; *value; value++)
		if ((unsigned char)*value < ' ' || *value == 0x7f || strchr("\"'\\`", *value))
			return false;
	return true;
}

int
template_fill(const char *text, const struct place *places, struct buf *out, struct err *e)
{
	const char *at;

	while ((at = strchr(text, '@'))) {
		size_t n = strspn(at + 1, NAME_CHARACTERS);
		const struct place *p;

		if (!n || at[1 + n] != '@')
			return err_set(e, ERR_INTERNAL, "the template has a lone @");
		p = find(places, at + 1, n);
		if (!p)
			return err_set(e, ERR_INTERNAL,
				       "the template asks for @%.*s@, unknown here", (int)n,
				       at + 1);
		if (!is_harmless(p->value))
			return err_set(e, ERR_CONFIG,
				       "%s has a quote, a backslash or a control character.",
				       p->value);
		if (buf_add(out, text, (size_t)(at - text)) < 0 || buf_adds(out, p->value) < 0)
			return err_set(e, ERR_INTERNAL,
				       "the web server's configuration is too large");
		text = at + 1 + n + 1;
	}
	if (buf_adds(out, text) < 0)
		return err_set(e, ERR_INTERNAL, "the web server's configuration is too large");
	return 0;
}
