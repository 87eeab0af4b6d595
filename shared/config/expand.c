/* What a written text stands for: ${NAME}, file:PATH. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "base/utf8.h"
#include "config/loader.h"

#define SECRET_FILE_BYTES 16384

bool
row_is_secret(const struct row *row)
{
	return row->kind == K_SECRET || row->kind == K_SECRETS;
}

/* ---- ${NAME} ---- */

#define NAME_CHARS "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_0123456789"

/* The value of the variable whose reference starts at s ("${NAME}"), *end behind it, or NULL. */
static const char *
reference(const struct where *w, const char *s, const char **end)
{
	size_t n = strspn(s + 2, NAME_CHARS);
	const char *value;
	char name[128];

	if (s[2 + n] != '}' || n == 0 || n >= sizeof(name)) {
		complain(w, "expected ${NAME}, a variable's name in braces (a plain ${ is written "
			    "$${)");
		return NULL;
	}
	memcpy(name, s + 2, n);
	name[n] = '\0';
	*end = s + n + 3;
	value = env_get(name);
	if (!value || (row_is_secret(w->row) && !*value)) {
		complain(w, "the environment variable %s is %s", name, value ? "empty" : "not set");
		return NULL;
	}
	if (row_is_secret(w->row) || (w->row->flags & ROW_HIDE))
		strings_add(&w->l->rest->arena, &w->l->rest->secret_vars, name);
	return value;
}

/* Copies s with its references replaced into out (NULL: only measures).  The length, or -1. */
static int64_t
expand_into(const struct where *w, const char *s, char *out)
{
	int64_t len = 0;

	while (*s) {
		const char *piece = s, *next = s + 1;
		size_t n = 1;

		if (!strncmp(s, "$${", 3)) {
			piece = "${";
			n = 2;
			next = s + 3;
		} else if (!strncmp(s, "${", 2)) {
			piece = reference(w, s, &next);
			if (!piece)
				return -1;
			n = strlen(piece);
		}
		if (out)
			memcpy(out + len, piece, n);
		len += (int64_t)n;
		s = next;
	}
	return len;
}

/* ---- file: ---- */

static const char *
secret_file(const struct where *w, const char *path)
{
	struct arena *a = &w->l->rest->arena;
	char *full = *path == '/' ? arena_printf(a, "%s", path)
				  : arena_printf(a, "%s/%s", w->l->folder, path);
	AUTO_FD int fd = open(full, O_RDONLY | O_CLOEXEC);
	char *text, *copy;
	size_t n;

	text = fd < 0 ? NULL : file_text(fd, SECRET_FILE_BYTES, &n);
	if (!text) {
		complain(w, "the file %s cannot be read: %s", full, strerror(errno));
		return NULL;
	}
	copy = arena_text(a, text, n);
	file_text_free(text, n);
	while (n > 0 && (copy[n - 1] == '\n' || copy[n - 1] == '\r'))
		copy[--n] = '\0';
	if (n == 0 || strlen(copy) != n) {
		complain(w, "the file %s %s", full, n ? "holds a zero byte" : "is empty");
		return NULL;
	}
	return copy;
}

/* Line breaks in a credential would end up in a header; nothing here has a use for others. */
static bool
is_clean(const struct where *w, const char *s)
{
	if (!utf8_valid(s, strlen(s))) {
		complain(w, "is not UTF-8");
		return false;
	}
	for (; *s; s++)
		if ((unsigned char)*s < ' ' || *s == 0x7f) {
			complain(w, "holds a control character or line break");
			return false;
		}
	return true;
}

const char *
text_meant(const struct where *w, const char *written)
{
	bool may = row_is_secret(w->row) || (w->row->flags & ROW_FILE);
	bool file = w->v->source != FROM_PLAIN && may && !strncmp(written, "file:", 5);
	const char *s = written;

	if (w->v->source == FROM_FILE && strchr(s, '$')) {
		int64_t n = expand_into(w, s, NULL);
		char *out;

		if (n < 0)
			return NULL;
		out = arena_alloc(&w->l->rest->arena, (size_t)n + 1);
		(void)expand_into(w, s, out);
		s = out;
	}
	if (file) {
		s = secret_file(w, s + 5);
		if (!s)
			return NULL;
	}
	return is_clean(w, s) ? s : NULL;
}
