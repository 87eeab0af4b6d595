/* The TOML file: where it is, what it says, and what nobody understands in it. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/utf8.h"
#include "config/loader.h"
#include "config/nearest.h"

#define FILE_BYTES_MAX (1 << 20)

static const char system_file[] = "/etc/easel/easel.toml";

char *
file_text(int fd, size_t max, size_t *n)
{
	struct stat st;
	char *text;
	ssize_t got;

	if (fstat(fd, &st) < 0)
		return NULL;
	if (S_ISDIR(st.st_mode) || st.st_size > (off_t)max) {
		errno = S_ISDIR(st.st_mode) ? EISDIR : EFBIG;
		return NULL;
	}
	/* A pipe has no size; one byte more than allowed tells that there was too much. */
	if (S_ISREG(st.st_mode))
		max = (size_t)st.st_size;
	text = malloc(max + 1);
	if (!text)
		return NULL;
	for (*n = 0; *n <= max; *n += (size_t)got) {
		/* Not read(): the processes that share a snapshot's descriptor share its offset. */
		got = S_ISREG(st.st_mode) ? pread(fd, text + *n, max + 1 - *n, (off_t)*n)
					  : read(fd, text + *n, max + 1 - *n);
		if (got < 0) {
			file_text_free(text, *n);
			return NULL;
		}
		if (got == 0) {
			text[*n] = '\0';
			return text;
		}
	}
	file_text_free(text, *n);
	errno = EFBIG;
	return NULL;
}

void
file_text_free(char *text, size_t n)
{
	int saved = errno;

	explicit_bzero(text, n);
	free(text);
	errno = saved;
}

int
file_find(struct loader *l, const char *arg)
{
	struct arena *a = &l->rest->arena;
	const char *named = arg ? arg : env_given("EASEL_CONFIG");
	const char *found = named, *slash;
	char cwd[4096];

	if (!named && access("easel.toml", F_OK) == 0)
		found = "easel.toml";
	else if (!named && access(system_file, F_OK) == 0)
		found = system_file;
	l->c->file = arena_printf(a, "%s", found ? found : "");
	slash = strrchr(l->c->file, '/');
	if (*l->c->file == '/') {
		l->folder = arena_text(a, l->c->file, (size_t)(slash - l->c->file));
		if (!*l->folder)
			l->folder = "/";
		return 0;
	}
	if (!getcwd(cwd, sizeof(cwd))) {
		problem(l, *l->c->file ? l->c->file : "configuration",
			"the current folder cannot be named: %s", strerror(errno));
		return -1;
	}
	for (found = l->c->file; !strncmp(found, "./", 2);)
		found += 2;
	if (slash > found)
		l->folder = arena_printf(a, "%s/%.*s", cwd, (int)(slash - found), found);
	else
		l->folder = arena_printf(a, "%s", cwd);
	return 0;
}

/* ---- names that nobody knows ---- */

static void __attribute__((format(printf, 4, 5)))
unknown(struct loader *l, const struct toml_entry *e, const char *meant, const char *fmt, ...)
{
	char where[LABEL_BYTES], what[200], clipped[200];
	va_list ap;

	(void)snprintf(where, sizeof(where), "%s:%u", l->c->file, e->line);
	va_start(ap, fmt);
	(void)vsnprintf(what, sizeof(what), fmt, ap);
	va_end(ap);
	utf8_clip(clipped, sizeof(clipped), what, strlen(what), sizeof(clipped));
	if (meant && *meant)
		problem(l, where, "%s; did you mean %s?", clipped, meant);
	else
		problem(l, where, "%s", clipped);
}

static void
unknown_table(struct loader *l, const struct toml_entry *e)
{
	struct nearest n = nearest_to(e->path[0]);
	char meant[LABEL_BYTES] = "";

	for (size_t i = 0; i < nsections; i++)
		nearest_try(&n, sections[i].name);
	if (n.best)
		(void)snprintf(meant, sizeof(meant), "[%s]", n.best);
	unknown(l, e, meant, "unknown table [%s]", e->path[0]);
}

/* The fixed section that has a row of that name. */
static const char *
section_with(const char *key)
{
	for (size_t i = 0; i < nsections; i++)
		for (size_t r = 0; r < sections[i].nrows; r++)
			if (sections[i].kind == SECTION_FIXED &&
			    !strcmp(sections[i].rows[r].key, key))
				return sections[i].name;
	return NULL;
}

static void
unknown_key(struct loader *l, const struct toml_entry *e, const struct table *t, const char *key)
{
	struct nearest n = nearest_to(key);
	char meant[LABEL_BYTES] = "", label[LABEL_BYTES];
	const char *home = section_with(key);

	for (size_t i = 0; t && i < t->section->nrows; i++)
		nearest_try(&n, t->section->rows[i].key);
	if (n.best)
		(void)snprintf(meant, sizeof(meant), "%s", n.best);
	else if (home)
		(void)snprintf(meant, sizeof(meant), "%s in [%s]", key, home);
	if (!t) {
		unknown(l, e, meant, "unknown key %s before the first table", key);
		return;
	}
	table_label(t, "", label);
	unknown(l, e, meant, "%s has no key %s", label, key);
}

static void
unknown_program(struct loader *l, const struct toml_entry *e)
{
	struct nearest n = nearest_to(e->path[1]);

	for (size_t i = 0; i < NPROGRAMS; i++)
		nearest_try(&n, program_names[i]);
	unknown(l, e, n.best, "[process.%s]: there is no program of that name", e->path[1]);
}

/* ---- the entries ---- */

static const struct section *
named_section(const char *name)
{
	const struct section *found = NULL;

	/* "process" is twice there: fixed first, which is what a plain name means. */
	for (size_t i = 0; i < nsections && !found; i++)
		if (!strcmp(sections[i].name, name))
			found = &sections[i];
	return found;
}

static bool
name_fits(struct loader *l, const struct toml_entry *e, const struct section *s)
{
	const char *name = e->path[1], *wrong = NULL;

	if (s->kind == SECTION_MODEL)
		wrong = wrong_model_id(name);
	else if (!*name || strlen(name) > PROVIDER_NAME_MAX)
		wrong = "a provider's name has 1 to 63 bytes";
	for (const char *p = name; !wrong && *p; p++)
		if ((unsigned char)*p < ' ' || *p == 0x7f)
			wrong = "a name may hold no control character";
	if (wrong)
		unknown(l, e, NULL, "[%s]: %s", s->name, wrong);
	return !wrong;
}

/* path[0] and path[1] of [process.X], [providers.X], [models.X]: their table, NULL: reported. */
static struct table *
named_table(struct loader *l, const struct toml_entry *e, const struct section *s)
{
	struct table *t = table_find(l->rest, s->kind, e->path[1]);

	if (t)
		return t;
	if (e->npath > 2)
		return NULL; /* its table was reported */
	if (e->type != TOML_TABLE) {
		unknown(l, e, NULL, "[%s] holds tables: expected [%s.%s], got %s", s->name, s->name,
			s->kind == SECTION_MODEL ? "\"ID\"" : "NAME", e->kind);
		return NULL;
	}
	if (s->kind == SECTION_PROGRAM) {
		for (size_t i = 0; i < NPROGRAMS; i++)
			if (!strcmp(program_names[i], e->path[1]))
				return table_new(l, s, e->path[1],
						 arena_printf(&l->rest->arena, "%s:%u", l->c->file,
							      e->line));
		unknown_program(l, e);
		return NULL;
	}
	if (!name_fits(l, e, s))
		return NULL;
	return table_new(l, s, e->path[1],
			 arena_printf(&l->rest->arena, "%s:%u", l->c->file, e->line));
}

static void
give(struct loader *l, struct table *t, const struct toml_entry *e, const char *key)
{
	struct value *v = table_value(t, key);
	char label[LABEL_BYTES];

	if (v && e->type != TOML_TABLE) {
		value_give(v, FROM_FILE, e,
			   arena_printf(&l->rest->arena, "%s:%u", l->c->file, e->line));
		return;
	}
	t->broken = true;
	table_label(t, v ? key : "", label);
	if (v)
		unknown(l, e, NULL, "%s: got a table", label);
	else if (t->section->kind == SECTION_MODEL && e->type == TOML_TABLE)
		unknown(l, e, NULL,
			"%s has no table %s; a model's name with a dot needs quotes: "
			"[models.\"%s.%s\"]",
			label, key, t->name, key);
	else
		unknown_key(l, e, t, key);
}

static void
collect_entry(struct loader *l, const struct toml_entry *e)
{
	const struct section *s = named_section(e->path[0]);
	bool fixed = s && s->kind == SECTION_FIXED;
	size_t depth = fixed ? 2 : 3;
	struct table *t;

	if (!s) {
		if (e->npath > 1)
			return; /* its table was reported */
		if (e->type == TOML_TABLE)
			unknown_table(l, e);
		else
			unknown_key(l, e, NULL, e->path[0]);
		return;
	}
	if (e->npath == 1) {
		if (e->type != TOML_TABLE)
			unknown(l, e, NULL, "[%s]: expected a table, got %s", s->name, e->kind);
		return;
	}
	/* A table in [process] is a program's; anything else there is a key. */
	if (fixed && !strcmp(s->name, "process") &&
	    (e->npath > 2 || (e->type == TOML_TABLE &&
			      !table_value(table_fixed(l->rest, "process"), e->path[1])))) {
		s = section_of_kind(SECTION_PROGRAM);
		fixed = false;
		depth = 3;
	}
	t = fixed ? table_fixed(l->rest, s->name) : named_table(l, e, s);
	/* What lies deeper than a key lies in a table that was reported. */
	if (t && e->npath == depth)
		give(l, t, e, e->path[depth - 1]);
}

void
file_collect(struct loader *l)
{
	AUTO_FD int fd = -1;
	struct toml_error error;
	struct toml_doc doc;
	char *text, where[LABEL_BYTES];
	size_t n;
	int rc;

	if (!*l->c->file)
		return;
	fd = open(l->c->file, O_RDONLY | O_CLOEXEC);
	text = fd < 0 ? NULL : file_text(fd, FILE_BYTES_MAX, &n);
	if (!text) {
		problem(l, l->c->file, "the configuration file cannot be read: %s",
			strerror(errno));
		return;
	}
	rc = toml_read(text, n, arena_alloc, &l->rest->arena, &doc, &error);
	file_text_free(text, n);
	if (rc < 0) {
		char said[sizeof(error.message)];

		utf8_clip(said, sizeof(said), error.message, strlen(error.message), sizeof(said));
		(void)snprintf(where, sizeof(where), "%s:%u", l->c->file, error.line);
		problem(l, where, "%s (column %u)", said, error.column);
		return;
	}
	for (size_t i = 0; i < doc.n; i++)
		collect_entry(l, &doc.v[i]);
}
