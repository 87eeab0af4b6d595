/*
 * The sealed memory file that `easel serve` hands to the programs: JSON of the effective values,
 * secrets included, with the words for where each came from.
 *
 *	{"file": "…", "warnings": […], "secret_vars": […], "tables":
 *	 [{"section": "providers", "kind": 2, "name": "x", "origin": "easel.toml:9",
 *	   "values": {"base_url": ["https://…", "easel.toml:11"], "api_keys": [["a", "b"], "…"]}}]}
 *
 * A value that is its row's default is not in it, but for paths: they are absolute by now.
 */
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/json.h"
#include "base/num.h"
#include "config/loader.h"

#define SNAPSHOT_BYTES_MAX (4 << 20)

/* ---- writing ---- */

static json_t *
strings_json(const struct strings *s)
{
	json_t *list = json_array();

	for (size_t i = 0; i < s->n; i++)
		(void)json_array_append_new(list, json_string(s->v[i]));
	return list;
}

static json_t *
table_json(const struct table *t)
{
	json_t *values = json_object();

	for (size_t i = 0; i < t->section->nrows; i++) {
		const struct row *row = &t->section->rows[i];
		const struct value *v = &t->values[i];
		bool list = row->kind == K_LIST || row->kind == K_SECRETS;

		if (v->source == FROM_DEFAULT && row->kind != K_PATH)
			continue;
		(void)json_object_set_new(values, row->key,
					  json_pack("[o, s]",
						    list ? strings_json((const struct strings
										 *)(t->base +
										    row->offset))
							 : json_string(v->text),
						    v->origin));
	}
	return json_pack("{s:s, s:i, s:s?, s:s, s:o}", "section", t->section->name, "kind",
			 (int)t->section->kind, "name", t->name, "origin", t->origin, "values",
			 values);
}

static json_t *
config_json(const struct config *c)
{
	const struct rest *rest = c->rest;
	json_t *tables = json_array();

	for (struct table *t = rest->tables; t; t = t->next)
		(void)json_array_append_new(tables, table_json(t));
	return json_pack("{s:s, s:o, s:o, s:o}", "file", c->file, "warnings",
			 strings_json(&c->warnings), "secret_vars",
			 strings_json(&rest->secret_vars), "tables", tables);
}

/* jansson frees its strings as they are; these are overwritten before. */
static void
wipe(const json_t *v)
{
	const char *key;
	json_t *item;
	size_t i;

	if (json_is_string(v))
		explicit_bzero((char *)json_string_value(v), json_string_length(v));
	json_array_foreach(v, i, item) wipe(item);
	json_object_foreach((json_t *)v, key, item) wipe(item);
}

static int
write_all(const char *p, size_t n, void *fd)
{
	while (n > 0) {
		ssize_t put = write(*(int *)fd, p, n);

		if (put < 0)
			return -1;
		p += put;
		n -= (size_t)put;
	}
	return 0;
}

int
config_snapshot(const struct config *c, struct err *e)
{
	AUTO_FD int fd = memfd_create("easel-config", MFD_ALLOW_SEALING);
	int given = fd, seals = F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE, rc;
	json_t *json;

	if (fd < 0) {
		(void)err_set(e, ERR_INTERNAL, "no memory file for the settings");
		err_detail(e, "memfd_create: %s", strerror(errno));
		return -1;
	}
	json = config_json(c);
	/* In pieces, so that no buffer with all secrets is left behind. */
	rc = json ? json_dump_callback(json, write_all, &fd, JSON_COMPACT) : -1;
	wipe(json);
	json_decref(json);
	if (rc < 0 || fcntl(fd, F_ADD_SEALS, seals) < 0) {
		(void)err_set(e, ERR_INTERNAL, "the settings cannot be handed on");
		err_detail(e, "memory file: %s", strerror(errno));
		return -1;
	}
	fd = -1;
	return given;
}

/* ---- reading ---- */

static void
read_strings(struct loader *l, struct strings *out, const json_t *list)
{
	json_t *item;
	size_t i;

	json_array_foreach(list, i, item) if (json_is_string(item))
		strings_add(&l->rest->arena, out, json_string_value(item));
}

/* The raw value of [value, origin]. */
static const struct toml_entry *
read_raw(struct loader *l, const json_t *value)
{
	struct toml_entry *raw = arena_alloc(&l->rest->arena, sizeof(*raw));
	struct strings items = { 0 };

	raw->text = "";
	if (json_is_string(value)) {
		raw->type = TOML_STRING;
		raw->text = arena_printf(&l->rest->arena, "%s", json_string_value(value));
	} else {
		raw->type = TOML_STRINGS;
		read_strings(l, &items, value);
		raw->items = (const char *const *)items.v;
		raw->nitems = items.n;
	}
	return raw;
}

static int
read_table(struct loader *l, const json_t *json)
{
	struct arena *a = &l->rest->arena;
	json_t *pair, *values = json_object_get(json, "values");
	const char *name = json_string_value(json_object_get(json, "name")); /* NULL: none */
	const char *section, *origin, *key;
	struct table *t = NULL;
	int kind;

	if (json_unpack((json_t *)json, "{s:s, s:i, s:s}", "section", &section, "kind", &kind,
			"origin", &origin) < 0)
		return -1;
	if (kind == SECTION_FIXED)
		t = table_fixed(l->rest, section);
	else if (kind > SECTION_FIXED && kind <= SECTION_MODEL && name)
		t = table_new(l, section_of_kind((enum section_kind)kind), name,
			      arena_printf(a, "%s", origin));
	if (!t)
		return -1;
	json_object_foreach(values, key, pair)
	{
		struct value *v = table_value(t, key);
		const char *from = json_string_value(json_array_get(pair, 1));

		if (!v || !from)
			return -1;
		value_give(v, FROM_PLAIN, read_raw(l, json_array_get(pair, 0)),
			   arena_printf(a, "%s", from));
	}
	return 0;
}

void
snapshot_collect(struct loader *l, const char *fd_text)
{
	static const char where[] = "environment EASEL_CONFIG_FD";
	json_t *json = NULL, *table;
	struct err e;
	int64_t fd;
	char *text;
	size_t n, i;

	if (num_i64(fd_text, 0, INT32_MAX, &fd) < 0) {
		problem(l, where, "expected the number of a descriptor");
		return;
	}
	text = file_text((int)fd, SNAPSHOT_BYTES_MAX, &n);
	if (!text) {
		problem(l, where, "the descriptor cannot be read: %s", strerror(errno));
		return;
	}
	if (json_read(text, n, &json, &e) < 0 || !json_is_string(json_object_get(json, "file"))) {
		problem(l, where, "there is no configuration behind it");
	} else {
		l->c->file = arena_printf(&l->rest->arena, "%s",
					  json_string_value(json_object_get(json, "file")));
		read_strings(l, &l->c->warnings, json_object_get(json, "warnings"));
		read_strings(l, &l->rest->secret_vars, json_object_get(json, "secret_vars"));
		json_array_foreach(json_object_get(json, "tables"), i,
				   table) if (read_table(l, table) < 0)
			problem(l, where, "the configuration is another version's");
	}
	file_text_free(text, n);
	if (json)
		wipe(json);
	json_decref(json);
}
