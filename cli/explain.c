/*
 * easel explain: the catalogue of errors, for people
 */
#include "cli.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>

static const struct cause {
	enum err_kind kind;
	const char *name, *en, *zh, *hint_en, *hint_zh;
} causes[] = {
#define X(cause, kind, name, en, zh, hint_en, hint_zh, confidence) \
	{ kind, name, en, zh, hint_en, hint_zh },
	ERR_CAUSES(X)
#undef X
};
#define NCAUSES (sizeof(causes) / sizeof(causes[0]))

/* Whose move it is, in words. */
static const char *
party_words(enum err_party p)
{
	switch (p) {
	case PARTY_CLIENT: return "the caller's request or key";
	case PARTY_WEB_SERVER: return "the web server";
	case PARTY_GATEWAY_CONFIG: return "the operator's settings";
	case PARTY_GATEWAY: return "Easel itself";
	case PARTY_PROVIDER_CREDENTIAL: return "the operator's account at the provider";
	case PARTY_PROVIDER_POLICY: return "the provider's rules";
	case PARTY_PROVIDER: return "the provider";
	case PARTY_NETWORK: return "the network";
	default: return "";
	}
}

/* The next cause of such an error from `c` on, NULL behind the last. */
static const struct cause *
cause_from(const struct cause *c, enum err_kind k)
{
	while (c < causes + NCAUSES && c->kind != k)
		c++;
	return c < causes + NCAUSES ? c : NULL;
}

/* A catalogue text with its places shown as <name>; {said} and {cause_hint} say nothing by themselves. */
static const char *
shown(const char *text, char *out, size_t size)
{
	size_t n = 0;

	for (; *text && n + 2 < size; text++) {
		if (!strncmp(text, "{said}", 6))
			text += 5;
		else if (!strncmp(text, "{cause_hint}", 12))
			text += 11;
		else
			out[n++] = *text == '{' ? '<' : (char)(*text == '}' ? '>' : *text);
	}
	out[n] = '\0';
	return out;
}

static void
explain_text(enum err_kind k)
{
	const struct err_row *r = err_row(k);
	char text[1024];

	(void)printf("%s\n  status    %d %s%s\n  party     %s: %s\n", r->code, r->status, r->type,
		     r->retry ? ", worth a retry" : "", err_party_name(r->party),
		     party_words(r->party));
	(void)printf("  message   %s\n", shown(r->en, text, sizeof(text)));
	(void)printf("            %s\n", shown(r->zh, text, sizeof(text)));
	if (shown(r->hint_en, text, sizeof(text))[0]) {
		(void)printf("  hint      %s\n", text);
		(void)printf("            %s\n", shown(r->hint_zh, text, sizeof(text)));
	}
	if (r->command)
		(void)printf("  command   %s\n", shown(r->command, text, sizeof(text)));
	for (const struct cause *c = cause_from(causes, k); c; c = cause_from(c + 1, k))
		(void)printf("  cause     %s: %s\n            %s\n            %s\n", c->name,
			     shown(c->en, text, sizeof(text)), c->hint_en, c->hint_zh);
}

static json_t *
explain_json(enum err_kind k)
{
	const struct err_row *r = err_row(k);
	json_t *o =
		json_pack("{s:s, s:i, s:s, s:s, s:b, s:{s:s, s:s}, s:{s:s, s:s}, s:s?}", "code",
			  r->code, "status", r->status, "type", r->type, "party",
			  err_party_name(r->party), "retry", r->retry, "message", "en", r->en, "zh",
			  r->zh, "hint", "en", r->hint_en, "zh", r->hint_zh, "command", r->command);
	const struct cause *c = cause_from(causes, k);
	json_t *list = c ? json_array() : NULL;

	for (; c; c = cause_from(c + 1, k))
		(void)json_array_append_new(list, json_string(c->name));
	if (list)
		(void)json_object_set_new(o, "causes", list);
	return o;
}

static void
explain_markdown(enum err_kind k)
{
	const struct err_row *r = err_row(k);
	const struct cause *c = cause_from(causes, k);
	char text[1024], zh[1024];

	(void)printf("## `%s`\n\n%d `%s` · party `%s`%s\n\n", r->code, r->status, r->type,
		     err_party_name(r->party), r->retry ? " · worth a retry" : "");
	(void)printf("> %s\n>\n", shown(r->en, text, sizeof(text)));
	(void)printf("> %s\n\n", shown(r->zh, text, sizeof(text)));
	if (shown(r->hint_en, text, sizeof(text))[0]) {
		(void)printf("%s\n\n", text);
		(void)printf("%s\n\n", shown(r->hint_zh, text, sizeof(text)));
	}
	if (r->command)
		(void)printf("`%s`\n\n", shown(r->command, text, sizeof(text)));
	if (!c)
		return;
	(void)printf("| cause | what arrived | what to do |\n| --- | --- | --- |\n");
	for (; c; c = cause_from(c + 1, k))
		(void)printf("| `%s` | %s<br>%s | %s<br>%s |\n", c->name,
			     shown(c->en, text, sizeof(text)), shown(c->zh, zh, sizeof(zh)),
			     c->hint_en, c->hint_zh);
	(void)printf("\n");
}

static int
explain_all(bool json, bool markdown)
{
	json_t *list = json ? json_array() : NULL;

	if (markdown)
		(void)printf(
			"# Errors\n\nWritten by `easel explain --markdown` from the catalogue. "
			"`<name>` stands for a fact of the occurrence.\n\n");
	for (int k = ERR_NONE + 1; k < ERR__MAX; k++) {
		if (json)
			(void)json_array_append_new(list, explain_json((enum err_kind)k));
		else if (markdown)
			explain_markdown((enum err_kind)k);
		else
			(void)printf("%-28s %d  %s\n", err_row((enum err_kind)k)->code,
				     err_row((enum err_kind)k)->status,
				     err_party_name(err_row((enum err_kind)k)->party));
	}
	return json ? print_json(json_pack("{s:s, s:o}", "object", "list", "data", list)) : CLI_OK;
}

int
cmd_explain(const struct command *c, int argc, char **argv)
{
	const char *code = NULL, *meant, *codes[ERR__MAX];
	bool json = false, markdown = false;
	const struct opt opts[] = { OPT_JSON(json),
				    { "--markdown", NULL, "print Markdown", NULL, &markdown },
				    { NULL } };
	int n = options_read(c, opts, argc, argv, &code, 1);
	enum err_kind k;

	if (n < 0)
		return OPTIONS_EXIT(n);
	if (json && markdown)
		return usage_error(c, "--json or --markdown, not both");
	if (!code)
		return explain_all(json, markdown);
	k = err_by_code(code);
	if (k == ERR_NONE) {
		for (int i = ERR_NONE + 1; i < ERR__MAX; i++)
			codes[i - 1] = err_row((enum err_kind)i)->code;
		meant = nearest_word(code, codes, ERR__MAX - 1);
		say("there is no error code '%s'%s%s%s", code, meant ? "; did you mean '" : "",
		    meant ? meant : "", meant ? "'?" : "; 'easel explain' lists them");
		return CLI_NOT_FOUND;
	}
	if (json)
		return print_json(explain_json(k));
	if (markdown)
		explain_markdown(k);
	else
		explain_text(k);
	return CLI_OK;
}
