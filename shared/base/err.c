#include "base/err.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/utf8.h"

static const struct err_row rows[ERR__MAX] = {
#define X(kind, status, type, code, party, retry, en, zh, hint_en, hint_zh, command) \
	[kind] = { status, type, code, party, retry, en, zh, hint_en, hint_zh, command },
	ERR_CATALOGUE(X)
#undef X
};

static const struct cause_row {
	enum err_kind kind;
	const char *name, *en, *zh, *hint_en, *hint_zh, *confidence;
} causes[CAUSE__MAX] = {
#define X(cause, kind, name, en, zh, hint_en, hint_zh, confidence) \
	[cause] = { kind, name, en, zh, hint_en, hint_zh, confidence },
	ERR_CAUSES(X)
#undef X
};

static const char *const parties[PARTY__MAX] = {
	[PARTY_CLIENT] = "client",
	[PARTY_WEB_SERVER] = "web-server",
	[PARTY_GATEWAY_CONFIG] = "gateway-config",
	[PARTY_GATEWAY] = "gateway",
	[PARTY_PROVIDER_CREDENTIAL] = "provider-credential",
	[PARTY_PROVIDER_POLICY] = "provider-policy",
	[PARTY_PROVIDER] = "provider",
	[PARTY_NETWORK] = "network",
};

/* Cuts at a character, so that a quoted Chinese prompt never ends in half a letter. */
static void
format_cut(char *out, size_t size, const char *fmt, va_list ap)
{
	int n = vsnprintf(out, size, fmt, ap);

	if (n < 0)
		out[0] = '\0';
	else if ((size_t)n >= size)
		out[utf8_cut(out, size - 1)] = '\0';
}

int
err_set(struct err *e, enum err_kind kind, const char *about_fmt, ...)
{
	va_list ap;

	*e = (struct err){ .kind = kind };
	va_start(ap, about_fmt);
	format_cut(e->about, sizeof(e->about), about_fmt, ap);
	va_end(ap);
	return -1;
}

int
err_field(struct err *e, enum err_kind kind, const char *param, const char *expected,
	  const char *found_fmt, ...)
{
	va_list ap;

	*e = (struct err){ .kind = kind };
	(void)snprintf(e->param, sizeof(e->param), "%s", param);
	e->param[utf8_cut(e->param, strlen(e->param))] = '\0';
	(void)snprintf(e->expected, sizeof(e->expected), "%s", expected);
	e->expected[utf8_cut(e->expected, strlen(e->expected))] = '\0';
	va_start(ap, found_fmt);
	format_cut(e->found, sizeof(e->found), found_fmt, ap);
	va_end(ap);
	return -1;
}

void
err_detail(struct err *e, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	format_cut(e->detail, sizeof(e->detail), fmt, ap);
	va_end(ap);
}

int
err_status(const struct err *e)
{
	return e->status ? e->status : rows[e->kind].status;
}

const char *
err_type(const struct err *e)
{
	return rows[e->kind].type;
}

const char *
err_code(const struct err *e)
{
	return rows[e->kind].code;
}

const char *
err_party_name(enum err_party party)
{
	return parties[party];
}

const char *
err_party(const struct err *e)
{
	return parties[e->party ? (enum err_party)(e->party - 1) : rows[e->kind].party];
}

bool
err_retry(const struct err *e)
{
	return rows[e->kind].retry && !e->may_have_been_billed;
}

enum err_kind
err_cause_kind(enum err_cause cause)
{
	return causes[cause].kind;
}

const char *
err_cause(const struct err *e)
{
	return e->cause ? causes[e->cause].name : NULL;
}

const char *
err_command(const struct err *e)
{
	return rows[e->kind].command;
}

const char *
err_confidence(const struct err *e)
{
	if (e->cause)
		return causes[e->cause].confidence;
	/* The provider says itself which header it misses. */
	return e->kind == ERR_UP_ASYNC ? "certain" : "likely";
}

enum err_kind
err_by_code(const char *code)
{
	for (int k = ERR_NONE + 1; k < ERR__MAX; k++)
		if (!strcmp(rows[k].code, code))
			return (enum err_kind)k;
	return ERR_NONE;
}

const struct err_row *
err_row(enum err_kind kind)
{
	return &rows[kind];
}

struct text {
	char *p;
	size_t len, size;
};

static void
text_add(struct text *t, const char *s, size_t n)
{
	size_t room = t->size - 1 - t->len;

	if (n > room)
		n = utf8_cut(s, room);
	memcpy(t->p + t->len, s, n);
	t->len += n;
	t->p[t->len] = '\0';
}

static void fill(struct text *t, const struct err *e, enum err_lang lang, const char *template);

/* False: there is no place of that name. */
static bool
fill_place(struct text *t, const struct err *e, enum err_lang lang, const char *name, size_t n)
{
	const struct cause_row *cause = &causes[e->cause];
	bool zh = lang == LANG_ZH;
	char number[16];

#define IS(s) (n == sizeof(s) - 1 && !memcmp(name, s, n))
	if (IS("param")) {
		text_add(t, e->param, strlen(e->param));
	} else if (IS("expected")) {
		text_add(t, e->expected, strlen(e->expected));
	} else if (IS("found")) {
		text_add(t, e->found, strlen(e->found));
	} else if (IS("about")) {
		text_add(t, e->about, strlen(e->about));
	} else if (IS("task_id")) {
		text_add(t, e->task_id, strlen(e->task_id));
	} else if (IS("provider")) {
		text_add(t, e->upstream.name, strlen(e->upstream.name));
	} else if (IS("status")) {
		int len = snprintf(number, sizeof(number), "%d", e->upstream.status);

		text_add(t, number, (size_t)len);
	} else if (IS("said")) {
		const char *intro = zh ? "它说：“" : " It said: \"";
		const char *end = zh ? "”" : "\"";

		if (!e->upstream.message[0])
			return true;
		text_add(t, intro, strlen(intro));
		text_add(t, e->upstream.message, strlen(e->upstream.message));
		text_add(t, end, strlen(end));
	} else if (IS("cause")) {
		if (e->cause)
			fill(t, e, lang, zh ? cause->zh : cause->en);
	} else if (IS("cause_hint")) {
		if (e->cause)
			fill(t, e, lang, zh ? cause->hint_zh : cause->hint_en);
	} else {
		return false;
	}
#undef IS
	return true;
}

/* A place is a word in braces; any other brace means itself (a hint quotes Python). */
static void
fill(struct text *t, const struct err *e, enum err_lang lang, const char *template)
{
	const char *open;

	while ((open = strchr(template, '{'))) {
		size_t n = strspn(open + 1, "abcdefghijklmnopqrstuvwxyz_");
		bool place = n > 0 && open[n + 1] == '}';

		text_add(t, template, (size_t)(open - template));
		if (!place || !fill_place(t, e, lang, open + 1, n))
			text_add(t, open, place ? n + 2 : 1);
		template = open + (place ? n + 2 : 1);
	}
	text_add(t, template, strlen(template));
}

void
err_message(const struct err *e, enum err_lang lang, char *out, size_t size)
{
	struct text t = { out, 0, size };

	out[0] = '\0';
	fill(&t, e, lang, lang == LANG_ZH ? rows[e->kind].zh : rows[e->kind].en);
	utf8_mend(out);
}

void
err_hint(const struct err *e, enum err_lang lang, char *out, size_t size)
{
	struct text t = { out, 0, size };

	out[0] = '\0';
	if (e->task_id[0])
		fill(&t, e, lang, lang == LANG_ZH ? ERR_TASK_HINT_ZH : ERR_TASK_HINT_EN);
	else
		fill(&t, e, lang, lang == LANG_ZH ? rows[e->kind].hint_zh : rows[e->kind].hint_en);
	utf8_mend(out);
}
