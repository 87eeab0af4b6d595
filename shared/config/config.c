#include "config/config.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"
#include "config/loader.h"
#include "config/nearest.h"

#define PROFILE_SPARE_MS 1000 /* so much sooner than the platform would cut us off */

struct problem {
	struct problem *next;
	const char *text;
	unsigned long line; /* of the file; 0: of something else */
};

void
problem(struct loader *l, const char *where, const char *fmt, ...)
{
	struct problem *p = arena_alloc(&l->rest->arena, sizeof(*p)), **at = &l->problems;
	size_t file = strlen(l->c->file);
	char text[1024];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	p->text = arena_printf(&l->rest->arena, "%s: %s\n", where, text);
	if (!strncmp(where, l->c->file, file) && where[file] == ':')
		p->line = strtoul(where + file + 1, NULL, 10);
	/* In the order of the file, which is the order in which they will be mended. */
	while (*at && (p->line == 0 || (*at)->line == 0 || (*at)->line <= p->line))
		at = &(*at)->next;
	p->next = *at;
	*at = p;
	l->nproblems++;
}

/* -1 when there are any: then they are said. */
static int
report(const struct loader *l, struct buf *out, struct err *e)
{
	if (!l->problems)
		return 0;
	/* A buffer that is full has shown enough of them. */
	for (const struct problem *p = l->problems; p && out; p = p->next)
		if (buf_adds(out, p->text) < 0)
			break;
	(void)err_set(e, ERR_CONFIG, "%zu problem%s", l->nproblems, l->nproblems == 1 ? "" : "s");
	err_detail(e, "%.*s", (int)strcspn(l->problems->text, "\n"), l->problems->text);
	return -1;
}

/* ---- tables ---- */

const struct section *
section_of_kind(enum section_kind kind)
{
	size_t i = 0;

	while (sections[i].kind != kind)
		i++;
	return &sections[i];
}

static struct table *
first_of(struct table *t, enum section_kind kind)
{
	while (t && t->section->kind != kind)
		t = t->next;
	return t;
}

struct table *
table_next(const struct table *t)
{
	return first_of(t->next, t->section->kind);
}

struct table *
table_find(const struct rest *r, enum section_kind kind, const char *name)
{
	struct table *t = first_of(r->tables, kind);

	while (t && name && strcmp(t->name, name) != 0)
		t = table_next(t);
	return t;
}

struct table *
table_fixed(const struct rest *r, const char *section)
{
	for (EACH_OF(r, SECTION_FIXED, t))
		if (!strcmp(t->section->name, section))
			return t;
	return NULL;
}

struct value *
table_value(const struct table *t, const char *key)
{
	for (size_t i = 0; i < t->section->nrows; i++)
		if (!strcmp(t->section->rows[i].key, key))
			return (struct value *)&t->values[i];
	return NULL;
}

struct table *
table_new(struct loader *l, const struct section *s, const char *name, const char *origin)
{
	struct arena *a = &l->rest->arena;
	struct table *t = arena_alloc(a, sizeof(*t) + s->nrows * sizeof(t->values[0]));

	t->section = s;
	t->origin = origin;
	t->base = s->kind == SECTION_FIXED ? (char *)l->c + s->base : arena_alloc(a, s->base);
	if (name) {
		char *up = arena_printf(a, "%s", name);

		t->name = arena_printf(a, "%s", name);
		for (size_t i = 0; up[i]; i++)
			if (up[i] >= 'a' && up[i] <= 'z')
				up[i] = (char)(up[i] - 'a' + 'A');
			else if (!(up[i] >= 'A' && up[i] <= 'Z') && !(up[i] >= '0' && up[i] <= '9'))
				up[i] = '_';
		t->env_name = up;
	}
	*l->rest->last = t;
	l->rest->last = &t->next;
	return t;
}

void
table_label(const struct table *t, const char *key, char out[LABEL_BYTES])
{
	const char *space = *key ? " " : "";
	char name[160];

	utf8_clip(name, sizeof(name), t->name ? t->name : "", t->name ? strlen(t->name) : 0, 80);
	if (!t->name)
		(void)snprintf(out, LABEL_BYTES, "[%s]%s%s", t->section->name, space, key);
	else if (t->section->kind == SECTION_MODEL)
		(void)snprintf(out, LABEL_BYTES, "[models.\"%s\"]%s%s", name, space, key);
	else
		(void)snprintf(out, LABEL_BYTES, "[%s.%s]%s%s", t->section->name, name, space, key);
}

void
value_give(struct value *v, enum source from, const struct toml_entry *raw, const char *origin)
{
	*v = (struct value){ .source = from, .raw = raw, .origin = origin };
}

void
value_give_text(struct loader *l, struct value *v, enum source from, const char *text,
		const char *origin)
{
	struct toml_entry *raw = arena_alloc(&l->rest->arena, sizeof(*raw));

	raw->type = TOML_STRING;
	raw->kind = "a string";
	raw->text = arena_printf(&l->rest->arena, "%s", text);
	value_give(v, from, raw, origin);
}

/* ---- loading ---- */

static void
load(struct loader *l, const char *file)
{
	const char *sealed = file ? NULL : env_given("EASEL_CONFIG_FD");

	l->c->file = arena_printf(&l->rest->arena, "%s", "");
	for (size_t i = 0; i < nsections; i++)
		if (sections[i].kind == SECTION_FIXED)
			(void)table_new(l, &sections[i], NULL, "default");
	l->folder = "/";
	if (sealed) {
		snapshot_collect(l, sealed);
	} else {
		if (file_find(l, file) < 0)
			return;
		file_collect(l);
		env_collect(l);
	}
	for (struct table *t = l->rest->tables; t; t = t->next)
		table_resolve(l, t);
	if (!sealed) {
		derive_providers(l);
		derive_models(l);
	}
	gather(l);
	verify(l);
}

int
config_load(const char *file, struct config **out, struct buf *problems, struct err *e)
{
	struct rest *rest = calloc(1, sizeof(*rest));
	AUTO_PTR(config) c = rest ? &rest->config : NULL;
	struct loader l = { .c = c, .rest = rest };

	if (!rest)
		return err_set(e, ERR_CONFIG, "out of memory");
	c->rest = rest;
	rest->last = &rest->tables;
	load(&l, file);
	if (report(&l, problems, e) < 0)
		return -1;
	*out = TAKE_PTR(c);
	return 0;
}

void
config_free(struct config *c)
{
	struct rest *rest = c ? c->rest : NULL;

	if (!rest)
		return;
	arena_done(&rest->arena);
	free(rest);
}

/* ---- asking ---- */

struct process_conf
config_process(const struct config *c, const char *program)
{
	const struct table *t = table_find(c->rest, SECTION_PROGRAM, program);

	return t ? *(const struct process_conf *)t->base : c->process;
}

const struct model_conf *
config_model(const struct config *c, const char *id)
{
	for (size_t i = 0; i < c->nmodels; i++)
		if (!strcmp(c->models[i].id, id))
			return &c->models[i];
	for (size_t i = 0; i < c->nmodels; i++)
		for (size_t a = 0; a < c->models[i].aliases.n; a++)
			if (!strcmp(c->models[i].aliases.v[a], id))
				return &c->models[i];
	return NULL;
}

const struct provider_conf *
config_provider(const struct config *c, const char *name)
{
	for (size_t i = 0; i < c->nproviders; i++)
		if (!strcmp(c->providers[i].name, name))
			return &c->providers[i];
	return NULL;
}

bool
config_grok_is_official(const struct provider_conf *p)
{
	size_t n = strlen(p->base_url);

	return p->api_keys.n && n > 3 && !strcmp(p->base_url + n - 3, "/v1");
}

const char *
config_nearest_model(const struct config *c, const char *id)
{
	struct nearest n = nearest_to(id);

	for (size_t i = 0; i < c->nmodels; i++) {
		nearest_try(&n, c->models[i].id);
		for (size_t a = 0; a < c->models[i].aliases.n; a++)
			nearest_try(&n, c->models[i].aliases.v[a]);
	}
	return n.best;
}

const char *
config_dialect_name(enum dialect d)
{
	return dialects[d].name;
}

const char *
config_dialect_base_url(enum dialect d)
{
	return dialects[d].base_url;
}

const struct profile *
config_profile(const struct config *c)
{
	for (const struct profile *p = profiles; p->name; p++)
		if (!strcmp(p->name, c->deadline.profile))
			return p;
	return NULL;
}

int64_t
config_ceiling_ms(const struct config *c, int64_t ms)
{
	const struct profile *p = config_profile(c);

	return p && ms > p->limit_ms - PROFILE_SPARE_MS ? p->limit_ms - PROFILE_SPARE_MS : ms;
}

int64_t
config_ceiling_bytes(const struct config *c, int64_t bytes)
{
	const struct profile *p = config_profile(c);

	return p && p->body_bytes && bytes > p->body_bytes ? p->body_bytes : bytes;
}
