#include "access/bearer.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#define SCHEME_SHOWN_MAX   16 /* longer "schemes" are tokens without one */
#define VARIABLE_SHOWN_MAX 40

/* A stretch of the header: borrowed, not terminated. */
struct span {
	const char *p;
	size_t n;
};

int
bearer_refuse(struct err *e, enum err_cause cause, const char *about_fmt, ...)
{
	va_list ap;

	(void)err_set(e, err_cause_kind(cause), "%s", "");
	e->cause = cause;
	e->stage = "auth";
	va_start(ap, about_fmt);
	(void)vsnprintf(e->about, sizeof(e->about), about_fmt, ap);
	va_end(ap);
	return -1;
}

/* ctype.h depends on the locale; headers do not. */
static bool
is_space(char c)
{
	return c == ' ' || (c >= '\t' && c <= '\r');
}

static bool
is_letter(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool
is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static struct span
trim(struct span s)
{
	while (s.n && is_space(s.p[0]))
		s = (struct span){ s.p + 1, s.n - 1 };
	while (s.n && is_space(s.p[s.n - 1]))
		s.n--;
	return s;
}

static bool
span_is(struct span s, const char *word)
{
	return s.n == strlen(word) && !strncasecmp(s.p, word, s.n);
}

static bool
span_starts(struct span s, const char *word)
{
	return s.n >= strlen(word) && !strncasecmp(s.p, word, strlen(word));
}

static bool
span_has(struct span s, const char *part)
{
	return memmem(s.p, s.n, part, strlen(part)) != NULL;
}

/* Up to the first white space. */
static struct span
first_word(struct span s)
{
	size_t n = 0;

	while (n < s.n && !is_space(s.p[n]))
		n++;
	return (struct span){ s.p, n };
}

/* Is it a scheme: letters, few of them, and something after it? */
static bool
is_scheme(struct span word, struct span whole)
{
	for (size_t i = 0; i < word.n; i++)
		if (!is_letter(word.p[i]))
			return false;
	return word.n > 0 && word.n <= SCHEME_SHOWN_MAX && word.n < whole.n;
}

/*
 * Web servers join two headers with a comma.  A comma in a Bearer value is that; elsewhere (Digest has
 * commas of its own) it is when another scheme follows, or when there was no scheme before it.
 */
static bool
is_several(struct span s, bool bearer)
{
	const char *comma = memchr(s.p, ',', s.n);
	struct span before, after;

	if (!comma || bearer)
		return comma != NULL;
	before = trim((struct span){ s.p, (size_t)(comma - s.p) });
	if (first_word(before).n == before.n)
		return true;
	for (; comma; comma = memchr(after.p, ',', after.n)) {
		after = (struct span){ comma + 1, s.n - (size_t)(comma + 1 - s.p) };
		after = trim(after);
		if (is_scheme(first_word(after), after))
			return true;
	}
	return false;
}

static bool
query_has_key(const char *query)
{
	static const char *const names[] = { "api_key=", "key=", "token=", "access_token=" };

	for (;; query++) {
		size_t n = strcspn(query, "&");

		for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++)
			if (n > strlen(names[i]) && !strncasecmp(query, names[i], strlen(names[i])))
				return true;
		query += n;
		if (!*query)
			return false;
	}
}

/* Takes `open` and `close` off both ends, if they are there. */
static bool
unwrap(struct span *s, const char *open, const char *close)
{
	size_t a = strlen(open), b = strlen(close);

	if (s->n <= a + b || memcmp(s->p, open, a) != 0 || memcmp(s->p + s->n - b, close, b) != 0)
		return false;
	*s = trim((struct span){ s->p + a, s->n - a - b });
	return true;
}

static bool
is_identifier(struct span s)
{
	for (size_t i = 0; i < s.n; i++)
		if (!is_letter(s.p[i]) && s.p[i] != '_' && (i == 0 || !is_digit(s.p[i])))
			return false;
	return s.n > 0;
}

/*
 * May the name be shown?  Only one that is written as variables are, in capitals, with an underscore
 * where there are digits: a key that was pasted behind a '$' never is.
 */
static bool
is_showable(struct span s)
{
	bool digit = false, underscore = false;

	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] >= 'a' && s.p[i] <= 'z')
			return false;
		digit |= is_digit(s.p[i]);
		underscore |= s.p[i] == '_';
	}
	return s.n <= VARIABLE_SHOWN_MAX && (underscore || !digit);
}

/* OPENAI_API_KEY, YOUR_API_KEY, your-key-here: a place for a key, as documentation writes it. */
static bool
is_placeholder(struct span s)
{
	static const char *const nothing[] = { "undefined", "null", "none", "nil" };
	static const char *const parts[] = { "KEY", "TOKEN", "SECRET" };

	for (size_t i = 0; i < sizeof(nothing) / sizeof(*nothing); i++)
		if (span_is(s, nothing[i]))
			return true;
	if (span_starts(s, "your_") || span_starts(s, "your-"))
		return true;
	for (size_t i = 0; i < sizeof(parts) / sizeof(*parts); i++)
		if (is_identifier(s) && is_showable(s) && span_has(s, "_") && span_has(s, parts[i]))
			return true;
	return false;
}

/* Is the token a variable that nobody expanded?  *name is what stands inside. */
static bool
is_unexpanded(struct span s, struct span *name)
{
	struct span inner;

	while (unwrap(&s, "\"", "\"") || unwrap(&s, "'", "'"))
		;
	/* ${NAME:-default}, ${{ secrets.NAME }}: wrapped in what no key is ever wrapped in. */
	inner = s;
	if (unwrap(&inner, "${{", "}}") || unwrap(&inner, "{{", "}}") ||
	    unwrap(&inner, "${", "}") || unwrap(&inner, "$(", ")") || unwrap(&inner, "$env:", "")) {
		*name = inner;
		return true;
	}
	if ((unwrap(&inner, "{", "}") || unwrap(&inner, "%", "%") || unwrap(&inner, "$", "")) &&
	    is_identifier(inner)) {
		*name = inner;
		return true;
	}
	(void)unwrap(&s, "<", ">");
	*name = s;
	return is_placeholder(s);
}

/* What makes it no token, or NULL. */
static const char *
defect(struct span s)
{
	const char *found = NULL;

	if (memchr(s.p, '\n', s.n) || memchr(s.p, '\r', s.n))
		return "a line break";
	if (span_has(s, "\"") || span_has(s, "'") || span_has(s, "`") || span_has(s, "“") ||
	    span_has(s, "”") || span_has(s, "‘") || span_has(s, "’"))
		return "quotation marks";
	for (size_t i = 0; i < s.n; i++) {
		unsigned char c = (unsigned char)s.p[i];

		if (c == ' ' || c == '\t')
			found = found ? found : "white space inside";
		else if (c < 0x20 || c == 0x7f)
			return "a control character";
		else if (c > 0x7f)
			return "a character outside ASCII";
	}
	if (found)
		return found;
	/* RFC 6750's b64token, without insisting that '=' stands at the end. */
	for (size_t i = 0; i < s.n; i++)
		if (!is_letter(s.p[i]) && !is_digit(s.p[i]) && !strchr("-._~+/=", s.p[i]))
			return s.p[i] == '<' || s.p[i] == '>' ? "angle brackets"
							      : "a character that no key has";
	return NULL;
}

static int
refuse_scheme(struct err *e, struct span whole)
{
	struct span word = first_word(whole);

	if (!whole.n)
		return bearer_refuse(e, CAUSE_WRONG_SCHEME, " (it is empty)");
	if (!is_scheme(word, whole))
		return bearer_refuse(e, CAUSE_WRONG_SCHEME, "%s", "");
	return bearer_refuse(e, CAUSE_WRONG_SCHEME, " (it starts with '%.*s')", (int)word.n,
			     word.p);
}

static int
judge_token(struct span s, struct err *e)
{
	struct span name, word = first_word(s);
	const char *what;

	if (span_is(word, "Bearer") || span_is(word, "Bearer:"))
		return bearer_refuse(e, CAUSE_DOUBLE_BEARER, "%s", "");
	if (is_unexpanded(s, &name)) {
		bool show = is_identifier(name) && is_showable(name);

		return bearer_refuse(e, CAUSE_UNEXPANDED, show ? " (%.*s)" : "%.*s",
				     show ? (int)name.n : 0, name.p);
	}
	if ((what = defect(s)))
		return bearer_refuse(e, CAUSE_MALFORMED, "%s", what);
	return 0;
}

int
bearer_token(const char *authorization, const char *query, const char **token, size_t *n,
	     struct err *e)
{
	struct span whole, word, s;
	bool bearer;

	if (!authorization)
		return bearer_refuse(e,
				     query_has_key(query) ? CAUSE_IN_QUERY_ONLY
							  : CAUSE_HEADER_ABSENT,
				     "%s", "");
	whole = trim((struct span){ authorization, strlen(authorization) });
	word = first_word(whole);
	bearer = span_is(word, "Bearer");
	if (is_several(whole, bearer))
		return bearer_refuse(e, CAUSE_MULTIPLE_VALUES, "%s", "");
	if (!bearer)
		return refuse_scheme(e, whole);
	s = trim((struct span){ word.p + word.n, whole.n - word.n });
	if (!s.n)
		return bearer_refuse(e, CAUSE_EMPTY_TOKEN, "%s", "");
	if (judge_token(s, e) < 0)
		return -1;
	*token = s.p;
	*n = s.n;
	return 0;
}
