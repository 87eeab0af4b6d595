/* The table for people: `config show`, --help, the reference page. */
#include <inttypes.h>
#include <jansson.h>
#include <string.h>

#include "config/loader.h"

static const char masked[] = "***";

/* Is this value of the table shown? */
static bool
shown(const struct table *t, size_t i)
{
	const struct row *row = &t->section->rows[i];

	if (t->values[i].source != FROM_DEFAULT)
		return true;
	if (t->section->kind == SECTION_PROGRAM || (row->flags & ROW_ONE))
		return false;
	/* api_keys, where the one api_key is shown already. */
	if (row->kind == K_SECRETS && ((const struct strings *)(t->base + row->offset))->n)
		return false;
	return t->section->kind != SECTION_PROVIDER || !row->dialects ||
	       (row->dialects & 1u << ((const struct provider_conf *)t->base)->dialect);
}

/* user:password@ becomes ***@. */
static json_t *
hidden_json(const char *text)
{
	const char *at = strrchr(text, '@'), *host = strstr(text, "://");

	if (!at)
		return json_string(text);
	return json_sprintf("%.*s%s%s", host && host < at ? (int)(host + 3 - text) : 0, text,
			    masked, at);
}

static json_t *
value_json(const struct table *t, size_t i)
{
	const struct row *row = &t->section->rows[i];
	const void *field = t->base + row->offset;
	const char *text = t->values[i].text;
	const struct strings *list = field;
	json_t *out;

	switch (row->kind) {
	case K_BOOL: return json_boolean(*(const bool *)field);
	case K_INT:
		/* Not the field: there, a 0 = none is the largest number. */
		if ((row->flags & ROW_ZERO_IS_MAX) && !strcmp(text, "0"))
			return json_integer(0);
		return json_integer(*(const int64_t *)field);
	case K_NUMBER: return json_real(*(const double *)field);
	case K_LIST:
	case K_SECRETS:
		out = json_array();
		for (size_t n = 0; n < list->n; n++)
			(void)json_array_append_new(out,
						    json_string(row_is_secret(row) ? masked
										   : list->v[n]));
		return out;
	default: break;
	}
	if (row_is_secret(row))
		return json_string(*text ? masked : "");
	return row->flags & ROW_HIDE ? hidden_json(text) : json_string(text);
}

static const char *
origin_of(const struct table *t, size_t i)
{
	return t->values[i].origin ? t->values[i].origin : "default";
}

/* ---- config show ---- */

static void
show_text(const struct config *c, bool origin, FILE *out)
{
	const struct rest *rest = c->rest;
	char label[LABEL_BYTES];

	(void)fprintf(out, "# %s\n", *c->file ? c->file : "no configuration file");
	for (size_t s = 0; s < nsections; s++)
		for (struct table *t = rest->tables; t; t = t->next) {
			if (t->section != &sections[s])
				continue;
			table_label(t, "", label);
			(void)fprintf(out, "\n%s\n", label);
			for (size_t i = 0; i < t->section->nrows; i++) {
				json_t *v;

				if (!shown(t, i))
					continue;
				/* JSON's notation of texts, numbers and lists is TOML's too. */
				v = value_json(t, i);
				(void)fprintf(out, "%s = ", t->section->rows[i].key);
				(void)json_dumpf(v, out, JSON_ENCODE_ANY | JSON_REAL_PRECISION(15));
				if (origin)
					(void)fprintf(out, "  # %s", origin_of(t, i));
				(void)fputc('\n', out);
				json_decref(v);
			}
		}
}

static void
show_json(const struct config *c, bool origin, FILE *out)
{
	const struct rest *rest = c->rest;
	json_t *all = json_object(), *into, *group, *v;

	(void)json_object_set_new(all, "file", json_string(c->file));
	for (size_t s = 0; s < nsections; s++)
		for (struct table *t = rest->tables; t; t = t->next) {
			if (t->section != &sections[s])
				continue;
			group = json_object_get(all, t->section->name);
			if (!group) {
				group = json_object();
				(void)json_object_set_new(all, t->section->name, group);
			}
			into = t->name ? json_object() : group;
			if (t->name)
				(void)json_object_set_new(group, t->name, into);
			for (size_t i = 0; i < t->section->nrows; i++) {
				if (!shown(t, i))
					continue;
				v = value_json(t, i);
				if (origin)
					v = json_pack("{s:o, s:s}", "value", v, "origin",
						      origin_of(t, i));
				(void)json_object_set_new(into, t->section->rows[i].key, v);
			}
		}
	(void)json_dumpf(all, out, JSON_INDENT(2) | JSON_REAL_PRECISION(15));
	(void)fputc('\n', out);
	json_decref(all);
}

void
config_show(const struct config *c, bool origin, bool json, FILE *out)
{
	if (json)
		show_json(c, origin, out);
	else
		show_text(c, origin, out);
}

/* ---- the settings themselves ---- */

static const char *const titles[] = {
	[SECTION_FIXED] = "",
	[SECTION_PROGRAM] = ".NAME",
	[SECTION_PROVIDER] = ".NAME",
	[SECTION_MODEL] = ".\"ID\"",
};

/* "a, b" as ["a", "b"] */
static void
print_list(const char *text, FILE *out)
{
	(void)fputs("[\"", out);
	for (; *text; text++)
		if (!strncmp(text, ", ", 2))
			(void)fputs("\", \"", out), text++;
		else
			(void)fputc(*text, out);
	(void)fputs("\"]", out);
}

/* The default as it would stand in the file. */
static void
print_fallback(const struct row *row, FILE *out)
{
	const char *text = row->fallback ? row->fallback : "";

	if (row->flags & ROW_REQUIRED)
		(void)fputs("needed", out);
	else if (row->kind == K_LIST && *text)
		print_list(text, out);
	else if (row->kind == K_LIST || row->kind == K_SECRETS)
		(void)fputs("[]", out);
	else if (row->kind == K_BOOL || row->kind == K_INT || row->kind == K_NUMBER)
		(void)fputs(text, out);
	else
		(void)fprintf(out, "\"%s\"", text);
}

static void
print_words(const struct row *row, const char *before, const char *after, FILE *out)
{
	if (!row->words)
		return;
	(void)fputs(before, out);
	for (size_t i = 0; row->words[i]; i++)
		(void)fprintf(out, "%s%s", i ? ", " : "", row->words[i]);
	(void)fputs(after, out);
}

static void
print_upper(const char *s, FILE *out)
{
	for (; *s; s++)
		(void)fputc(*s >= 'a' && *s <= 'z' ? *s - 'a' + 'A' : *s, out);
}

static void
print_variable(const struct section *s, const struct row *row, FILE *out)
{
	(void)fputs("EASEL_", out);
	print_upper(s->name, out);
	(void)fputs(s->kind == SECTION_PROVIDER ? "_NAME_" : "_", out);
	print_upper(row->key, out);
}

static bool
has_variables(const struct section *s)
{
	return s->kind == SECTION_FIXED || s->kind == SECTION_PROVIDER;
}

void
config_help(FILE *out, const char *const *wanted)
{
	for (size_t s = 0; s < nsections; s++) {
		const struct section *sec = &sections[s];
		bool is_wanted = !wanted;

		for (size_t i = 0; wanted && wanted[i]; i++)
			is_wanted |= !strcmp(wanted[i], sec->name);
		if (!is_wanted)
			continue;
		(void)fprintf(out, "[%s%s]  %s\n", sec->name, titles[sec->kind], sec->help);
		for (size_t i = 0; i < sec->nrows && sec->kind != SECTION_PROGRAM; i++) {
			const struct row *row = &sec->rows[i];

			(void)fprintf(out, "  %s = ", row->key);
			print_fallback(row, out);
			(void)fprintf(out, "\n      %s", row->help);
			print_words(row, " (", ")", out);
			(void)fputc('\n', out);
		}
		(void)fputc('\n', out);
	}
	(void)fputs("Settings stand in easel.toml (--config FILE, $EASEL_CONFIG, ./easel.toml,\n"
		    "/etc/easel/easel.toml); EASEL_SECTION_KEY in the environment overrides one,\n"
		    "EASEL_PROVIDERS_NAME_KEY one of a provider.\n",
		    out);
}

void
config_reference_markdown(FILE *out)
{
	(void)fputs(
		"# Settings\n\n"
		"This page is written by `make docs` from the table that the programs read.\n\n"
		"The file is TOML 1.0, searched as `--config FILE`, `$EASEL_CONFIG`, "
		"`./easel.toml`, "
		"`/etc/easel/easel.toml`. Relative paths are relative to its folder. "
		"`\"${NAME}\"`, whole or within a text, is the environment's variable (unset: an "
		"error); a secret may be `\"file:PATH\"` (the file's text, trailing newline "
		"dropped); "
		"`$${` is a plain `${`. Durations are texts like `\"20s\"` (ms, s, m, h, d; empty: "
		"none), sizes like `\"32MB\"` (powers of 1024). `easel config show --origin` "
		"prints "
		"what is in effect and where it came from.\n",
		out);
	for (size_t s = 0; s < nsections; s++) {
		const struct section *sec = &sections[s];

		(void)fprintf(out, "\n## [%s%s]\n\n%s\n", sec->name, titles[sec->kind], sec->help);
		if (sec->kind == SECTION_PROGRAM) {
			(void)fputs("\nNAME is one of: ", out);
			for (size_t i = 0; i < NPROGRAMS; i++)
				(void)fprintf(out, "%s%s", i ? ", " : "", program_names[i]);
			(void)fputs(".\n", out);
			continue;
		}
		(void)fprintf(out, "\n| key | default | meaning |%s\n| --- | --- | --- |%s\n",
			      has_variables(sec) ? " variable |" : "",
			      has_variables(sec) ? " --- |" : "");
		for (size_t i = 0; i < sec->nrows; i++) {
			const struct row *row = &sec->rows[i];

			(void)fprintf(out, "| `%s` | `", row->key);
			print_fallback(row, out);
			(void)fprintf(out, "` | %s", row->help);
			print_words(row, ": `", "`", out);
			(void)fputs(" |", out);
			if (has_variables(sec)) {
				(void)fputs(" `", out);
				print_variable(sec, row, out);
				(void)fputs("` |", out);
			}
			(void)fputc('\n', out);
		}
	}
	(void)fputs("\n## Conventional variables\n\nRead for a provider that no file names; an "
		    "empty one counts as not set.\n\n| variable | meaning |\n| --- | --- |\n",
		    out);
	for (size_t i = 0; conventions[i].name; i++)
		(void)fprintf(out, "| `%s` | %s |\n", conventions[i].name, conventions[i].help);
}
