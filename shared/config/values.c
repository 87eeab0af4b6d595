/* From texts to fields: parsing by the row. */
#include <inttypes.h>
#include <jansson.h>
#include <stdarg.h>
#include <string.h>

#include "base/num.h"
#include "base/scrub.h"
#include "base/utf8.h"
#include "config/loader.h"

#define EXPECTED_BYTES 240

void
complain(const struct where *w, const char *fmt, ...)
{
	char label[LABEL_BYTES], text[512];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	table_label(w->t, w->row->key, label);
	problem(w->l, w->v->origin ? w->v->origin : w->t->origin, "%s: %s", label, text);
	w->v->failed = true;
}

/* A secret is quoted nowhere; nor is a URL that may hold a password. */
static void
complain_found(const struct where *w, const char *expected, const char *found)
{
	char quoted[128];

	utf8_clip(quoted, sizeof(quoted), found, strlen(found), 60);
	scrub(quoted, NULL); /* a key in the wrong row */
	if (row_is_secret(w->row) || strchr(found, '@'))
		complain(w, "%s", expected);
	else
		complain(w, "%s, got '%s'", expected, quoted);
}

/* ---- by kind ---- */

static void
word_list(const char *const *words, char *out, size_t size)
{
	size_t len = 0;

	for (; *words && len < size; words++)
		len += (size_t)snprintf(out + len, size - len, "%s%s", *words,
					!words[1]  ? ""
					: words[2] ? ", "
						   : " or ");
}

static int
word_index(const char *const *words, const char *s)
{
	for (int i = 0; words[i]; i++)
		if (!strcmp(words[i], s))
			return i;
	return -1;
}

static int
read_integer(const struct row *row, const char *s, int64_t *out, char *expected)
{
	int64_t v = 0;
	bool ok;

	switch (row->kind) {
	case K_DURATION:
		ok = num_duration_ms(s, &v) == 0;
		(void)snprintf(expected, EXPECTED_BYTES,
			       "expected a duration, such as \"20s\", "
			       "\"5m\" or \"24h\"");
		break;
	case K_BYTES:
		ok = num_bytes(s, &v) == 0;
		(void)snprintf(expected, EXPECTED_BYTES,
			       "expected a size, such as \"512kB\", "
			       "\"32MB\" or \"10GB\"");
		break;
	default:
		ok = num_i64(s, INT64_MIN, INT64_MAX, &v) == 0;
		(void)snprintf(expected, EXPECTED_BYTES,
			       "expected an integer from %" PRId64 " to %" PRId64, row->min,
			       row->max);
		break;
	}
	if (!ok)
		return -1;
	if (v < row->min || v > row->max) {
		const char *unit = row->kind == K_DURATION ? " ms"
				   : row->kind == K_BYTES  ? " B"
							   : "";

		(void)snprintf(expected, EXPECTED_BYTES,
			       "out of range: expected %" PRId64 "%s to %" PRId64 "%s", row->min,
			       unit, row->max, unit);
		return -1;
	}
	*out = v == 0 && (row->flags & ROW_ZERO_IS_MAX) ? row->max : v;
	return 0;
}

/* By jansson, whose numbers know no locale. */
static int
read_number(const char *s, double *out)
{
	json_t *v = json_loads(s, JSON_DECODE_ANY | JSON_DECODE_INT_AS_REAL, NULL);
	int rc = -1;

	if (json_is_real(v) && json_real_value(v) >= 0) {
		*out = json_real_value(v);
		rc = 0;
	}
	json_decref(v);
	return rc;
}

static char *
text_normal(const struct where *w, const char *s)
{
	struct arena *a = &w->l->rest->arena;
	char *out;
	size_t n;

	if (w->row->kind == K_PATH && *s && *s != '/') {
		while (!strncmp(s, "./", 2))
			s += 2;
		return arena_printf(a, "%s/%s", strcmp(w->l->folder, "/") ? w->l->folder : "", s);
	}
	out = arena_text(a, s, strlen(s));
	if (w->row->flags & ROW_URL)
		for (n = strlen(out); n > 0 && out[n - 1] == '/'; n--)
			out[n - 1] = '\0';
	return out;
}

static void
put_text(const struct where *w, const char *s, void *field)
{
	char expected[EXPECTED_BYTES] = "expected ";
	const struct row *row = w->row;
	const char *wrong = row->wrong ? row->wrong(s) : NULL;
	char *text;

	if (!wrong && row->words && *s && word_index(row->words, s) < 0) {
		word_list(row->words, expected + strlen(expected),
			  sizeof(expected) - strlen(expected));
		wrong = expected;
	}
	if (wrong) {
		complain_found(w, wrong, s);
		return;
	}
	text = text_normal(w, s);
	w->v->text = text;
	if (!(row->flags & ROW_ONE)) {
		*(char **)field = text;
	} else if (*text) {
		*(struct strings *)field = (struct strings){ 0 };
		strings_add(&w->l->rest->arena, field, text);
	}
}

/* Parses one scalar into its field. */
static void
put_scalar(const struct where *w, const char *s)
{
	const struct row *row = w->row;
	void *field = w->t->base + row->offset;
	char expected[EXPECTED_BYTES];
	int i;

	w->v->text = s;
	switch (row->kind) {
	case K_BOOL:
		if (strcmp(s, "true") != 0 && strcmp(s, "false") != 0)
			complain_found(w, "expected true or false", s);
		else
			*(bool *)field = *s == 't';
		break;
	case K_INT:
	case K_DURATION:
	case K_BYTES:
		if (read_integer(row, s, field, expected) < 0)
			complain_found(w, expected, s);
		break;
	case K_NUMBER:
		if (read_number(s, field) < 0)
			complain_found(w, "expected a number, 0 or more", s);
		break;
	case K_ENUM:
		i = word_index(row->words, s);
		if (i < 0) {
			(void)snprintf(expected, sizeof(expected), "expected ");
			word_list(row->words, expected + 9, sizeof(expected) - 9);
			complain_found(w, expected, s);
		} else {
			*(int *)field = i;
		}
		break;
	default: put_text(w, s, field); break;
	}
}

/* ---- lists ---- */

static void
put_item(const struct where *w, const char *written, struct strings *list)
{
	const char *s = text_meant(w, written), *wrong;

	if (!s)
		return;
	wrong = w->row->wrong ? w->row->wrong(s) : NULL;
	if (!wrong && w->row->kind == K_SECRETS)
		wrong = wrong_empty(s);
	if (wrong)
		complain_found(w, wrong, s);
	else
		strings_add(&w->l->rest->arena, list, s);
}

/* "a, b" as the environment has it; white space around the commas is no part of an item. */
static void
put_split(const struct where *w, const char *s, struct strings *list)
{
	struct arena *a = &w->l->rest->arena;

	while (*s) {
		size_t n = strcspn(s, ","), from = strspn(s, " \t"), to = n;

		while (to > from && (s[to - 1] == ' ' || s[to - 1] == '\t'))
			to--;
		if (to > from)
			put_item(w, arena_text(a, s + from, to - from), list);
		s += s[n] ? n + 1 : n;
	}
}

static void
put_list(const struct where *w)
{
	struct strings *list = (struct strings *)(w->t->base + w->row->offset);
	const struct toml_entry *raw = w->v->raw;
	const char *s;

	*list = (struct strings){ 0 };
	if (raw->type == TOML_STRINGS) {
		for (size_t i = 0; i < raw->nitems; i++)
			put_item(w, raw->items[i], list);
	} else if (raw->type == TOML_STRING && w->v->source != FROM_FILE) {
		put_split(w, raw->text, list);
	} else if (raw->type == TOML_STRING && strstr(raw->text, "${")) {
		s = text_meant(w, raw->text);
		/* What came out of a variable is not looked through for references again. */
		if (s) {
			w->v->source = FROM_PLAIN;
			put_split(w, s, list);
			w->v->source = FROM_FILE;
		}
	} else {
		complain(w, "expected an array of strings, got %s", raw->kind);
	}
}

/* ---- a table ---- */

static const char *
type_wanted(const struct row *row)
{
	switch (row->kind) {
	case K_BOOL: return "a boolean (true or false, without quotes)";
	case K_INT: return "an integer (without quotes)";
	case K_NUMBER: return "a number";
	case K_DURATION: return "a duration as a string, such as \"20s\"";
	case K_BYTES: return "a size as a string, such as \"32MB\"";
	default: return "a string";
	}
}

/* Is the type that the file has the row's?  "${NAME}" stands for any. */
static bool
type_fits(const struct row *row, const struct toml_entry *raw)
{
	if (raw->type == TOML_STRING && strstr(raw->text, "${"))
		return true;
	switch (row->kind) {
	case K_BOOL: return raw->type == TOML_BOOL;
	case K_INT: return raw->type == TOML_INTEGER;
	case K_NUMBER: return raw->type == TOML_INTEGER || raw->type == TOML_FLOAT;
	case K_DURATION:
	case K_BYTES:
		/* 0 needs no unit. */
		return raw->type == TOML_STRING ||
		       (raw->type == TOML_INTEGER && !strcmp(raw->text, "0"));
	default: return raw->type == TOML_STRING;
	}
}

static void
resolve_default(const struct where *w)
{
	const struct row *row = w->row;
	bool list = row->kind == K_LIST || row->kind == K_SECRETS || (row->flags & ROW_ONE);

	if (row->flags & ROW_REQUIRED) {
		char words[EXPECTED_BYTES] = "";

		w->v->failed = true;
		if (w->t->broken)
			return;
		if (row->words)
			word_list(row->words, words, sizeof(words));
		complain(w, "is missing%s%s", row->words ? ": " : "", words);
		return;
	}
	w->v->origin = "default";
	w->v->text = "";
	if (row->kind == K_LIST && row->fallback)
		put_split(w, row->fallback, (struct strings *)(w->t->base + row->offset));
	if (!list)
		put_scalar(w, row->fallback ? row->fallback : "");
}

/* Two rows that fill the same list: the environment's replaces the other form of it. */
static void
choose_form(struct loader *l, struct table *t, const char *single, const char *several)
{
	struct value *one = table_value(t, single), *many = table_value(t, several);

	if (!one || one->source == FROM_DEFAULT || many->source == FROM_DEFAULT)
		return;
	if (one->source == many->source)
		problem(l, many->origin, "[providers.%s] has both %s and %s", t->name, single,
			several);
	*(many->source == FROM_ENV ? one : many) = (struct value){ 0 };
}

void
table_resolve(struct loader *l, struct table *t)
{
	t->resolved = true;
	choose_form(l, t, "api_key", "api_keys");
	choose_form(l, t, "token", "tokens");
	for (size_t i = 0; i < t->section->nrows; i++) {
		struct where w = { l, t, &t->section->rows[i], &t->values[i] };
		const struct toml_entry *raw = w.v->raw;
		const char *s;

		if (w.v->source == FROM_DEFAULT) {
			resolve_default(&w);
		} else if (w.row->kind == K_LIST || w.row->kind == K_SECRETS) {
			put_list(&w);
		} else if (w.v->source == FROM_FILE && !type_fits(w.row, raw)) {
			complain(&w, "expected %s, got %s", type_wanted(w.row), raw->kind);
		} else {
			s = text_meant(&w, raw->text);
			if (s)
				put_scalar(&w, s);
		}
	}
}
