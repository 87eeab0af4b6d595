#include "base/scrub.h"

#include <ctype.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include <strings.h>

#define STARS        "***"
#define SECRET_LEAST 6  /* characters; what is shorter would hide words */
#define SECRET_PIECE 12 /* so many of them in a row give it away */

/* How keys begin, and how long what follows must be, so that "ms-dos" stays readable. */
static const struct {
	const char *prefix;
	size_t min;
} shapes[] = {
	{ "sk-", 4 },    { "xai-", 6 },  { "pst-", 6 }, { "ms-", 16 },    { "eyJ", 12 },
	{ "AIza", 20 },  { "hf_", 12 },  { "r8_", 12 }, { "ghp_", 12 },   { "AKIA", 12 },
	{ "sess-", 12 }, { "key-", 16 }, { "pk-", 12 }, { "token-", 16 },
};

static const char *const names[] = {
	"api_key", "apikey",   "api-key", "access_token", "auth_token", "token",
	"secret",  "password", "passwd",  "signature",    "sig",        "authorization",
};

struct text {
	const char *start, *r; /* read */
	char *w;               /* written; never beyond r */
	bool in_url;
};

static bool
is_token(char c)
{
	return isalnum((unsigned char)c) || c == '_' || c == '-' || c == '.' || c == '*' ||
	       c == '+' || c == '/' || c == '=' || c == '~';
}

static size_t
token_length(const char *s)
{
	size_t n = 0;

	while (is_token(s[n]))
		n++;
	/* The full stop of a sentence is not the key's. */
	while (n && s[n - 1] == '.')
		n--;
	return n;
}

/* Would a word of a sentence look like this? */
static bool
is_secretive(const char *s, size_t n)
{
	bool digit = false;

	for (size_t i = 0; i < n; i++)
		digit = digit || isdigit((unsigned char)s[i]);
	return n >= 20 || (n >= 8 && digit);
}

/* How much of what stands at s is a piece of the secret: all of it, or so much that it would help. */
static size_t
piece_length(const char *s, const char *secret, size_t n)
{
	size_t least = n < SECRET_PIECE ? n : SECRET_PIECE, most = 0;

	if (n < SECRET_LEAST || strnlen(s, least) < least)
		return 0;
	for (const char *at = secret; (at = memmem(at, (size_t)(secret + n - at), s, least));
	     at++) {
		size_t same = least;

		while (at[same] && at[same] == s[same])
			same++;
		if (same > most)
			most = same;
	}
	return most;
}

/* Keeps `keep` characters and turns the next `drop` into stars. */
static void
hide(struct text *t, size_t keep, size_t drop)
{
	memmove(t->w, t->r, keep);
	memcpy(t->w + keep, STARS, sizeof(STARS) - 1);
	t->w += keep + sizeof(STARS) - 1;
	t->r += keep + drop;
}

static bool
hide_shape(struct text *t)
{
	for (size_t i = 0; i < sizeof(shapes) / sizeof(shapes[0]); i++) {
		size_t n = strlen(shapes[i].prefix), more;

		if (strncmp(t->r, shapes[i].prefix, n) != 0)
			continue;
		more = token_length(t->r + n);
		if (more >= shapes[i].min) {
			hide(t, n, more);
			return true;
		}
	}
	return false;
}

static bool
hide_bearer(struct text *t)
{
	size_t keep = 6, n;

	if (strncasecmp(t->r, "bearer", 6) != 0 || !strchr(" \t:=", t->r[6]) || !t->r[6])
		return false;
	keep += strspn(t->r + keep, " \t:=\"'");
	n = token_length(t->r + keep);
	if (!is_secretive(t->r + keep, n))
		return false;
	hide(t, keep, n);
	return true;
}

/* api_key=…, "token": "…" */
static bool
hide_named(struct text *t)
{
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		size_t keep = strlen(names[i]), n;

		if (strncasecmp(t->r, names[i], keep) != 0)
			continue;
		keep += strspn(t->r + keep, "\"'");
		n = strspn(t->r + keep, " ");
		if (t->r[keep + n] != ':' && t->r[keep + n] != '=')
			continue;
		keep += n + 1;
		keep += strspn(t->r + keep, " \"'");
		n = token_length(t->r + keep);
		if (!is_secretive(t->r + keep, n))
			continue;
		hide(t, keep, n);
		return true;
	}
	return false;
}

static bool
hide_run(struct text *t)
{
	size_t n = 0;
	bool digit = false, letter = false;

	for (; isalnum((unsigned char)t->r[n]); n++) {
		digit = digit || isdigit((unsigned char)t->r[n]);
		letter = letter || isalpha((unsigned char)t->r[n]);
	}
	if (n < 40 || !digit || !letter)
		return false;
	hide(t, 0, n);
	return true;
}

static bool
ends_url(char c)
{
	return !c || isspace((unsigned char)c) || strchr("\"'<>)]}", c) || (unsigned char)c >= 0x80;
}

/* After "://": user:password@; in a URL after ? or &: name=value.  Of many ? each looks as far as the next. */
static bool
hide_in_url(struct text *t)
{
	size_t n = 0;

	if (!strncmp(t->r, "://", 3)) {
		const char *host = t->r + 3;
		size_t authority = strcspn(host, "/?# \t\r\n\"'<>)]}");
		const char *at = memchr(host, '@', authority);

		t->in_url = true;
		/* A name too short for the stars is no secret. */
		if (at && (size_t)(at - host) >= sizeof(STARS) - 1) {
			hide(t, 3, (size_t)(at - host));
			return true;
		}
		return false;
	}
	if (!t->in_url || (*t->r != '?' && *t->r != '&'))
		return false;
	n = 1 + strcspn(t->r + 1, "=?&# \t\r\n\"'<>)]}");
	if (t->r[n] == '=') {
		size_t value = strcspn(t->r + n + 1, "&# \t\r\n\"'<>)]}");

		if (value >= sizeof(STARS) - 1) {
			hide(t, n + 1, value);
			return true;
		}
	}
	return false;
}

void
scrub(char *text, const char *secret)
{
	struct text t = { text, text, text, false };
	size_t secret_n = secret ? strlen(secret) : 0, piece;

	while (*t.r) {
		bool boundary = t.r == t.start || !isalnum((unsigned char)t.r[-1]);

		if (t.in_url && ends_url(*t.r))
			t.in_url = false;
		piece = piece_length(t.r, secret, secret_n);
		if (piece) {
			hide(&t, 0, piece);
			continue;
		}
		if (hide_in_url(&t) || (boundary && (hide_shape(&t) || hide_bearer(&t) ||
						     hide_named(&t) || hide_run(&t))))
			continue;
		*t.w++ = *t.r++;
	}
	*t.w = '\0';
}

void
scrub_shapes(char *text)
{
	struct text t = { text, text, text, false };

	while (*t.r) {
		bool boundary = t.r == t.start || !isalnum((unsigned char)t.r[-1]);

		if (!boundary || !hide_shape(&t))
			*t.w++ = *t.r++;
	}
	*t.w = '\0';
}

void
scrub_secret(char *text, const char *secret)
{
	struct text t = { text, text, text, false };
	size_t secret_n = secret ? strlen(secret) : 0, piece;

	while (secret_n && *t.r) {
		piece = piece_length(t.r, secret, secret_n);
		if (piece)
			hide(&t, 0, piece);
		else
			*t.w++ = *t.r++;
	}
	*t.w = secret_n ? '\0' : *t.w;
}

void
scrub_bytes(char *bytes, size_t n, const char *secret)
{
	size_t len = strlen(secret);
	char *at = bytes;

	while (len >= SECRET_LEAST && (at = memmem(at, (size_t)(bytes + n - at), secret, len))) {
		memset(at, '*', len);
		at += len;
	}
}

void
scrub_err(struct err *e, const char *secret)
{
	char *const texts[] = { e->param, e->expected,         e->found,
				e->about, e->upstream.message, e->upstream.request_id,
				e->detail };

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		scrub_secret(texts[i], secret);
}
