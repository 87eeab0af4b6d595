#include "provider/grok_lines.h"

#include <string.h>

#include "base/json.h"
#include "base/utf8.h"

#define DEPTH_MAX 16

static void look(struct grok_lines *g, const json_t *v, int depth);

void
grok_lines_init(struct grok_lines *g)
{
	*g = (struct grok_lines){ .line = BUF_INIT(GROK_LINE_BYTES) };
}

void
grok_lines_done(struct grok_lines *g)
{
	for (unsigned i = 0; i < g->nurls; i++)
		free(g->urls[i]);
	g->nurls = 0;
	json_decref(g->error);
	g->error = NULL;
	buf_done(&g->line);
}

/* "users/…-part-0/image.jpg" is a preview. */
static void
add_url(struct grok_lines *g, const char *url)
{
	if (!url || !*url || strstr(url, "-part-") || g->nurls == GROK_URLS_MAX)
		return;
	for (unsigned i = 0; i < g->nurls; i++)
		if (!strcmp(g->urls[i], url))
			return;
	g->urls[g->nurls] = strdup(url);
	g->nurls += g->urls[g->nurls] != NULL;
}

static void
add_urls(struct grok_lines *g, const json_t *v)
{
	const json_t *item;
	size_t i;

	add_url(g, json_string_value(v));
	json_array_foreach(v, i, item) add_url(g, json_string_value(item));
}

/* {"imageUrl","progress","moderated"} */
static void
look_at_progress(struct grok_lines *g, const json_t *o)
{
	const json_t *progress = json_object_get(o, "progress");
	const char *url = json_string_value(json_object_get(o, "imageUrl"));

	if (!url || (json_is_number(progress) && json_number_value(progress) < 100))
		return;
	if (json_is_true(json_object_get(o, "moderated")))
		g->moderated++;
	else
		add_url(g, url);
}

/* JSON inside of a text. */
static void
look_into(struct grok_lines *g, const char *text, int depth)
{
	json_auto_t *root = NULL;
	struct err ignored;

	if (text && json_read(text, strlen(text), &root, &ignored) == 0)
		look(g, root, depth);
}

static void
look(struct grok_lines *g, const json_t *v, int depth)
{
	static const char *const lists[] = { "generatedImageUrls", "imageUrls", "imageURLs" };
	const char *key;
	json_t *member;
	size_t i;

	if (depth > DEPTH_MAX)
		return;
	json_array_foreach(v, i, member) look(g, member, depth + 1);
	if (!json_is_object(v))
		return;
	look_at_progress(g, v);
	for (i = 0; i < sizeof(lists) / sizeof(lists[0]); i++)
		add_urls(g, json_object_get(v, lists[i]));
	look_into(g, json_string_value(json_object_get(v, "jsonData")), depth + 1);
	json_object_foreach((json_t *)v, key, member) look(g, member, depth + 1);
}

static bool
is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static void
take_line(struct grok_lines *g)
{
	json_auto_t *root = NULL;
	const char *at = buf_str(&g->line);
	size_t n = g->line.len;
	struct err ignored;

	while (n && is_blank(at[n - 1]))
		n--;
	while (n && is_blank(*at)) {
		at++;
		n--;
	}
	if (n >= 5 && !strncmp(at, "data:", 5)) {
		at += 5;
		n -= 5;
		while (n && is_blank(*at)) {
			at++;
			n--;
		}
	}
	if (!n || (n == 6 && !strncmp(at, "[DONE]", 6)))
		return;
	if (json_read(at, n, &root, &ignored) < 0) {
		if (!*g->quote)
			utf8_clip(g->quote, sizeof(g->quote), at, n, sizeof(g->quote) - 4);
		return;
	}
	g->json = true;
	if (!g->error && json_object_size(json_object_get(root, "error")))
		g->error = json_incref(root);
	else if (!g->error &&
		 json_object_size(json_object_get(json_object_get(root, "result"), "error")))
		g->error = json_incref(json_object_get(root, "result"));
	look(g, root, 0);
}

int
grok_lines_feed(struct grok_lines *g, const char *p, size_t n, struct err *e)
{
	while (n) {
		const char *end = memchr(p, '\n', n);
		size_t k = end ? (size_t)(end - p) : n;

		if (buf_add(&g->line, p, k) < 0)
			return err_set(e, ERR_UP_TOO_LARGE, "a line of more than %d kB",
				       GROK_LINE_BYTES / 1024);
		if (!end)
			return 0;
		take_line(g);
		buf_clear(&g->line);
		p += k + 1;
		n -= k + 1;
	}
	return 0;
}

void
grok_lines_end(struct grok_lines *g)
{
	take_line(g);
	buf_clear(&g->line);
}
