/*
 * options - arguments by a table, and how a command speaks to the person who typed it
 */
#include "cli.h"

#include <jansson.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "config/nearest.h"
#include "http/reply.h"

#define OPTIONS_MAX 16 /* of one command */
#define WORD_MAX    64 /* bytes of an option with its value's name */

#define PROBLEMS_MAX_BYTES ((size_t)256 * 1024)

void
say(const char *fmt, ...)
{
	va_list ap;

	(void)fputs("easel: ", stderr);
	va_start(ap, fmt);
	(void)vfprintf(stderr, fmt, ap);
	va_end(ap);
	(void)fputc('\n', stderr);
}

int
usage_error(const struct command *c, const char *fmt, ...)
{
	va_list ap;

	(void)fprintf(stderr, "easel %s: ", c->name);
	va_start(ap, fmt);
	(void)vfprintf(stderr, fmt, ap);
	va_end(ap);
	(void)fprintf(stderr, "\nUsage: easel %s %s\n", c->name, c->args);
	return CLI_USAGE;
}

const char *
nearest_word(const char *word, const char *const *words, size_t n)
{
	struct nearest near = nearest_to(word);

	for (size_t i = 0; i < n; i++)
		nearest_try(&near, words[i]);
	return near.best;
}

static void
print_help(const struct command *c, const struct opt *opts)
{
	(void)printf("%s.\n\nUsage: easel %s %s\n", c->summary, c->name, c->args);
	if (opts->name)
		(void)printf("\n");
	for (; opts->name; opts++) {
		char left[WORD_MAX];

		(void)snprintf(left, sizeof(left), "%s%s%s", opts->name, opts->arg ? " " : "",
			       opts->arg ? opts->arg : "");
		(void)printf("  %-18s %s\n", left, opts->help);
	}
}

static int
unknown_option(const struct command *c, const struct opt *opts, const char *arg)
{
	const char *names[OPTIONS_MAX + 1], *meant;
	char word[WORD_MAX];
	size_t n = 0;

	for (; opts->name && n < OPTIONS_MAX; opts++)
		names[n++] = opts->name;
	names[n++] = "--help";
	(void)snprintf(word, sizeof(word), "%.*s", (int)strcspn(arg, "="), arg);
	meant = nearest_word(word, names, n);
	if (meant)
		return usage_error(c, "there is no option %s; did you mean %s?", word, meant);
	return usage_error(c, "there is no option %s", word);
}

/* Reads the option at argv[0]; the number of arguments used, or 0: the usage was wrong. */
static int
read_option(const struct command *c, const struct opt *opts, int argc, char **argv)
{
	size_t n = strcspn(argv[0], "=");
	const struct opt *o = opts;

	while (o->name && (strlen(o->name) != n || strncmp(o->name, argv[0], n) != 0))
		o++;
	if (!o->name)
		return (void)unknown_option(c, opts, argv[0]), 0;
	if (o->flag && argv[0][n])
		return (void)usage_error(c, "%s takes no value", o->name), 0;
	if (o->flag) {
		*o->flag = true;
		return 1;
	}
	if (argv[0][n]) {
		*o->value = argv[0] + n + 1;
		return 1;
	}
	if (argc < 2)
		return (void)usage_error(c, "%s needs a value: %s", o->name, o->arg), 0;
	*o->value = argv[1];
	return 2;
}

int
options_read(const struct command *c, const struct opt *opts, int argc, char **argv,
	     const char **words, int max_words)
{
	bool only_words = false;
	int nwords = 0;

	for (int i = 0; i < argc; i++)
		if (!strcmp(argv[i], "--help") || !strcmp(argv[i], "-h")) {
			print_help(c, opts);
			return -1 - CLI_OK;
		}
	for (int i = 0; i < argc;) {
		if (!only_words && !strcmp(argv[i], "--")) {
			only_words = true;
			i++;
		} else if (!only_words && argv[i][0] == '-' && argv[i][1]) {
			int used = read_option(c, opts, argc - i, argv + i);

			if (!used)
				return -1 - CLI_USAGE;
			i += used;
		} else if (nwords < max_words) {
			words[nwords++] = argv[i++];
		} else {
			(void)usage_error(c, "'%s' is one argument too many", argv[i]);
			return -1 - CLI_USAGE;
		}
	}
	return nwords;
}

int
print_json(json_t *doc)
{
	if (!doc || json_dumpf(doc, stdout, JSON_INDENT(2)) < 0) {
		say("out of memory");
		json_decref(doc);
		return CLI_FAILED;
	}
	(void)putchar('\n');
	json_decref(doc);
	return CLI_OK;
}

static int
exit_status(const struct err *e)
{
	switch (e->kind) {
	case ERR_CONFIG: return CLI_CONFIG;
	case ERR_BEARER:
	case ERR_KEY:
	case ERR_SCOPE: return CLI_AUTH;
	case ERR_NOT_FOUND: return CLI_NOT_FOUND;
	case ERR_VALUE:
	case ERR_MISSING: return CLI_USAGE;
	default: return e->upstream.name[0] ? CLI_PROVIDER : CLI_FAILED;
	}
}

int
report_json(const struct err *e)
{
	json_t *o = error_json(e, LANG_EN, "");

	(void)json_object_set_new(o, "request_id", json_null());
	(void)print_json(json_pack("{s:o}", "error", o));
	return exit_status(e);
}

int
report(const struct err *e, bool json)
{
	char text[1024];
	const char *command = err_command(e);

	/* Here this kind is the machine's refusal (a port in use), and there is no request id. */
	if (e->kind == ERR_INTERNAL) {
		say("%s%s%s%s", e->about, e->detail[0] ? " (" : "", e->detail,
		    e->detail[0] ? ")" : "");
		return json ? report_json(e) : exit_status(e);
	}
	err_message(e, LANG_EN, text, sizeof(text));
	say("%s%s%s%s", text, e->detail[0] ? " (" : "", e->detail, e->detail[0] ? ")" : "");
	err_hint(e, LANG_EN, text, sizeof(text));
	if (text[0])
		say("%s%s%s", text, command ? " " : "", command ? command : "");
	return json ? report_json(e) : exit_status(e);
}

int
load_config(const char *file, bool json, struct config **out)
{
	AUTO(buf) problems = BUF_INIT(PROBLEMS_MAX_BYTES);
	struct err e;

	if (config_load(file, out, &problems, &e) == 0)
		return CLI_OK;
	if (!problems.len)
		return report(&e, json);
	(void)fputs(buf_str(&problems), stderr);
	if (problems.p[problems.len - 1] != '\n')
		(void)fputc('\n', stderr);
	say("the configuration is not usable: %s", e.about);
	return json ? report_json(&e) : CLI_CONFIG;
}
