#include "base/json.h"

#include <stdio.h>
#include <string.h>

#include "base/utf8.h"

/*
 * jansson recurses up to a depth fixed at its build (2048): too deep for the small stacks of request
 * threads.  And it makes of "{}" a hundred times as much memory.
 */
static int
size_check(const char *s, size_t n, size_t most, struct err *e)
{
	int depth = 0;
	size_t values = 0;
	bool string = false;

	for (size_t i = 0; i < n; i++) {
		if (string) {
			if (s[i] == '\\')
				i++;
			else if (s[i] == '"')
				string = false;
		} else if (s[i] == '"') {
			string = true;
		} else if (s[i] == '{' || s[i] == '[') {
			values++;
			if (++depth > JSON_DEPTH_MAX)
				return err_set(e, ERR_JSON,
					       "nested deeper than %d levels (offset %zu).",
					       JSON_DEPTH_MAX, i);
		} else if (s[i] == '}' || s[i] == ']') {
			depth--;
		} else if (s[i] == ',') {
			values++;
		}
	}
	if (values > most)
		return err_set(e, ERR_JSON, "it holds about %zu values, where at most %zu may be.",
			       values, most);
	return 0;
}

/*
 * jansson stops right behind the key that stands twice; its own words name it only when it is short,
 * and with its escapes.
 */
static int
duplicate(const char *text, size_t end, struct err *e)
{
	size_t start = 0;
	bool string = false;
	json_t *key;

	for (size_t i = 0; i < end; i++)
		if (string && text[i] == '\\') {
			i++;
		} else if (text[i] == '"') {
			if (!string)
				start = i;
			string = !string;
		}
	key = json_loadb(text + start, end - start, JSON_DECODE_ANY, NULL);
	(void)err_set(e, ERR_DUPLICATE_KEY, "%s", "");
	if (json_is_string(key))
		utf8_clip(e->param, sizeof(e->param), json_string_value(key),
			  json_string_length(key), 40);
	json_decref(key);
	return -1;
}

int
json_read(const char *text, size_t n, json_t **out, struct err *e)
{
	return json_read_up_to(text, n, JSON_VALUES_MAX, out, e);
}

int
json_read_up_to(const char *text, size_t n, size_t values, json_t **out, struct err *e)
{
	json_error_t je;
	json_t *v;
	char said[sizeof(je.text)];

	if (size_check(text, n, values, e) < 0)
		return -1;
	v = json_loadb(text, n, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &je);
	if (v) {
		*out = v;
		return 0;
	}
	switch (json_error_code(&je)) {
	case json_error_duplicate_key: return duplicate(text, (size_t)je.position, e);
	case json_error_null_character:
		(void)snprintf(said, sizeof(said), "a string may not hold U+0000");
		break;
	default:
		/* jansson quotes the body. */
		utf8_clip(said, sizeof(said), je.text, strlen(je.text), sizeof(said));
		break;
	}
	return err_set(e, ERR_JSON, "%s (line %d, column %d, offset %d).", said, je.line, je.column,
		       je.position);
}

const char *
json_type_name(const json_t *v)
{
	switch (json_typeof(v)) {
	case JSON_OBJECT: return "an object";
	case JSON_ARRAY: return "an array";
	case JSON_STRING: return "a string";
	case JSON_INTEGER: return "an integer";
	case JSON_REAL: return "a decimal number";
	case JSON_TRUE:
	case JSON_FALSE: return "a boolean";
	case JSON_NULL: return "null";
	}
	return "nothing";
}

void
json_quote(const json_t *v, char *out, size_t size)
{
	char text[128];

	if (json_is_string(v)) {
		utf8_clip(text, sizeof(text), json_string_value(v), json_string_length(v), 40);
		(void)snprintf(out, size, "'%s'", text);
	} else if (json_is_integer(v)) {
		(void)snprintf(out, size, "%" JSON_INTEGER_FORMAT, json_integer_value(v));
	} else if (json_is_real(v)) {
		(void)snprintf(out, size, "%g", json_real_value(v));
	} else {
		(void)snprintf(out, size, "%s", json_type_name(v));
	}
}
