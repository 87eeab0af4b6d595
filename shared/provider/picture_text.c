#include "provider/picture_text.h"

#include <ctype.h>
#include <stdbool.h>
#include <string.h>
#include <strings.h>

#define ALT_BYTES 1024 /* of "![…]" */

void
picture_text_init(struct picture_text *t, const char *text, size_t n)
{
	*t = (struct picture_text){ .text = text, .end = text + n, .at = text };
}

static bool
begins(const char *p, const char *end, const char *word)
{
	size_t n = strlen(word);

	return (size_t)(end - p) >= n && !strncasecmp(p, word, n);
}

static bool
is_address(const char *p, const char *end)
{
	return begins(p, end, "http://") || begins(p, end, "https://") ||
	       begins(p, end, "data:image/") || begins(p, end, "/files/");
}

/* Where an address that begins at p ends: white space and what Markdown and prose put behind one. */
static const char *
address_end(const char *p, const char *end)
{
	static const char stops[] = "\"'<>()[]`\\|";

	while (p < end && (unsigned char)*p > 0x20 && *p != 0x7f && !strchr(stops, *p) &&
	       (unsigned char)*p < 0x80)
		p++;
	return p;
}

/* In Markdown's parentheses an address may hold balanced ones. */
static const char *
target_end(const char *p, const char *end, char closing)
{
	int depth = 0;

	for (; p < end && (unsigned char)*p > 0x20; p++) {
		if (*p == '(' && closing == ')')
			depth++;
		else if (*p == closing && !depth--)
			break;
	}
	return p;
}

/* "![…](URL": from the "!" on. */
static const char *
markdown(struct picture_text *t, size_t *n)
{
	const char *close = t->at; /* the next "]" or line's end, which many "![" share */

	for (const char *p = t->at; p + 4 < t->end; p++) {
		const char *stop;

		if (p[0] != '!' || p[1] != '[')
			continue;
		if (close < p + 2)
			close = p + 2;
		while (close < t->end && *close != ']' && *close != '\n')
			close++;
		if (close + 1 >= t->end || close - p > ALT_BYTES || close[0] != ']' ||
		    close[1] != '(')
			continue;
		for (p = close + 2; p < t->end && (*p == ' ' || *p == '<'); p++)
			;
		stop = target_end(p, t->end, p[-1] == '<' ? '>' : ')');
		t->at = stop;
		if (stop > p && is_address(p, stop)) {
			*n = (size_t)(stop - p);
			return p;
		}
		p = stop - 1;
	}
	return NULL;
}

static bool
has_extension(const char *p, const char *end)
{
	static const char *const extensions[] = { ".png", ".jpg", ".jpeg", ".webp" };
	const char *path_end = p;

	while (path_end < end && *path_end != '?' && *path_end != '#')
		path_end++;
	for (size_t i = 0; i < sizeof(extensions) / sizeof(extensions[0]); i++) {
		size_t n = strlen(extensions[i]);

		if ((size_t)(path_end - p) > n && !strncasecmp(path_end - n, extensions[i], n))
			return true;
	}
	return false;
}

/* The target of a link, "[text](URL": relays repeat a picture so. */
static bool
is_link(const struct picture_text *t, const char *p)
{
	return p - t->text >= 2 && p[-1] == '(' && p[-2] == ']';
}

static const char *
bare(struct picture_text *t, size_t *n)
{
	for (const char *p = t->at; p < t->end; p++) {
		const char *stop;

		if (!(*p == 'h' || *p == 'H' || *p == 'd' || *p == 'D') ||
		    (p > t->text && isalnum((unsigned char)p[-1])) || !is_address(p, t->end))
			continue;
		stop = address_end(p, t->end);
		while (stop > p && strchr(".,;:!?", stop[-1]))
			stop--; /* of the sentence it stands in */
		t->at = stop;
		if (!is_link(t, p) && (begins(p, stop, "data:") || has_extension(p, stop))) {
			*n = (size_t)(stop - p);
			return p;
		}
		p = stop - 1;
	}
	return NULL;
}

const char *
picture_text_next(struct picture_text *t, size_t *n)
{
	const char *p = NULL;

	if (t->pass == 0) {
		p = markdown(t, n);
		if (!p) {
			t->pass = t->found ? 2 : 1;
			t->at = t->text;
		}
	}
	if (t->pass == 1)
		p = bare(t, n);
	t->found += p != NULL;
	return p;
}
