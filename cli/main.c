/*
 * easel - the command line: the table of commands and what finds the right row in it
 */
#include "cli.h"

#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

static const struct command commands[] = {
	{ "serve", "[--config FILE]", "Run the installation in the foreground", cmd_serve },
	{ "config check", "[--config FILE] [--json]", "Check the configuration", cmd_config_check },
	{ "config webhook-secret", "[--config FILE] [--json]",
	  "Print the secret that webhooks are signed with", cmd_config_webhook_secret },
	{ "config show", "[--config FILE] [--origin] [--json]",
	  "Print the effective configuration, secrets masked", cmd_config_show },
	{ "config reference", "", "Print the page of all settings as Markdown",
	  cmd_config_reference },
	{ "providers reference", "", "Print the page of what providers' models can do as Markdown",
	  cmd_providers_reference },
	{ "config web-server", "apache | lighttpd-cgi [--config FILE]",
	  "Print the configuration for another web server", cmd_config_web_server },
	{ "explain", "[CODE] [--json | --markdown]",
	  "Say what an error code means and what mends it", cmd_explain },
	{ "keys create", "--name NAME [--scope A,B] [--expires 30d] [--json]",
	  "Make an API key and print it, once", cmd_keys_create },
	{ "keys list", "[--json]", "List the API keys", cmd_keys_list },
	{ "keys revoke", "ID_OR_NAME [--json]", "Revoke an API key", cmd_keys_revoke },
	{ "users add", "EMAIL [--role user|admin] [--json]",
	  "Add a user; the password comes from standard input", cmd_users_add },
	{ "users list", "[--json]", "List the users", cmd_users_list },
	{ "users passwd", "EMAIL [--json]", "Set a user's password and end the user's sessions",
	  cmd_users_passwd },
	{ "users disable", "EMAIL [--json]", "Shut a user out and end the user's sessions",
	  cmd_users_disable },
	{ "users enable", "EMAIL [--json]", "Let a disabled user in again", cmd_users_enable },
	{ "files prune", "[--dry-run] [--json]",
	  "Remove what is too old or too much, and what nobody needs any more", cmd_files_prune },
	{ "files verify", "[--json]", "Compare the stored pictures with their records",
	  cmd_files_verify },
	{ "usage", "[--by key|model|day] [--since DAY] [--until DAY] [--json]",
	  "Say how many pictures were made and what they cost", cmd_usage },
	{ "db migrate", "[--json]", "Create or upgrade the tables of the store", cmd_db_migrate },
	{ "version", "[--json]", "Print the version", cmd_version },
};
#define NCOMMANDS (sizeof(commands) / sizeof(commands[0]))
#define WORD_MAX  32 /* bytes of a command's name */

static void
print_commands(FILE *out, const char *group)
{
	size_t n = group ? strlen(group) : 0;

	for (size_t i = 0; i < NCOMMANDS; i++)
		if (!group || (!strncmp(commands[i].name, group, n) && commands[i].name[n] == ' '))
			(void)fprintf(out, "  easel %-18s%s\n", commands[i].name,
				      commands[i].summary);
}

static int
help(FILE *out)
{
	(void)fprintf(out, "Easel: a self-hosted gateway for image generation.\n\n"
			   "Usage: easel COMMAND [OPTION]...\n\n");
	print_commands(out, NULL);
	(void)fprintf(out,
		      "\neasel COMMAND --help says more.  Exit status: 0 ok, 1 failed, 2 usage,\n"
		      "3 configuration, 4 authentication, 5 not found, 6 provider failed.\n");
	return CLI_OK;
}

/* Is `word` the first word of commands of two words? */
static bool
is_group(const char *word)
{
	size_t n = strlen(word);

	for (size_t i = 0; i < NCOMMANDS; i++)
		if (!strncmp(commands[i].name, word, n) && commands[i].name[n] == ' ')
			return true;
	return false;
}

static const struct command *
find(const char *name)
{
	for (size_t i = 0; i < NCOMMANDS; i++)
		if (!strcmp(commands[i].name, name))
			return &commands[i];
	return NULL;
}

static int
unknown(const char *name)
{
	const char *names[NCOMMANDS * 2 + 1];
	char groups[NCOMMANDS][WORD_MAX];
	const char *meant;
	size_t n = 0;

	for (size_t i = 0; i < NCOMMANDS; i++) {
		(void)snprintf(groups[i], sizeof(groups[i]), "%.*s",
			       (int)strcspn(commands[i].name, " "), commands[i].name);
		names[n++] = commands[i].name;
		names[n++] = groups[i];
	}
	names[n++] = "help";
	meant = nearest_word(name, names, n);
	if (meant)
		say("there is no command '%s'; did you mean 'easel %s'?", name, meant);
	else
		say("there is no command '%s'; 'easel help' lists them", name);
	return CLI_USAGE;
}

static bool
is_help(const char *word)
{
	return !strcmp(word, "help") || !strcmp(word, "--help") || !strcmp(word, "-h");
}

static int
dispatch(int argc, char **argv)
{
	char two[WORD_MAX * 2];
	const struct command *c;

	if (argc < 2) {
		(void)help(stderr);
		return CLI_USAGE;
	}
	if (!strcmp(argv[1], "--version"))
		return cmd_version(find("version"), 0, argv + 2);
	if (is_help(argv[1]) && argc == 2)
		return help(stdout);
	if (is_help(argv[1])) { /* "help keys create" is "keys create --help" */
		char flag[] = "--help";
		char *again[] = { argv[0], argv[2], argc > 3 ? argv[3] : flag, flag, NULL };

		return dispatch(4, again);
	}
	c = find(argv[1]);
	if (c)
		return c->run(c, argc - 2, argv + 2);
	if (!is_group(argv[1]))
		return unknown(argv[1]);
	if (argc == 2 || is_help(argv[2])) {
		print_commands(argc == 2 ? stderr : stdout, argv[1]);
		return argc == 2 ? CLI_USAGE : CLI_OK;
	}
	(void)snprintf(two, sizeof(two), "%s %s", argv[1], argv[2]);
	c = find(two);
	return c ? c->run(c, argc - 3, argv + 3) : unknown(two);
}

int
cmd_version(const struct command *c, int argc, char **argv)
{
	bool json = false;
	const struct opt opts[] = { OPT_JSON(json), { NULL } };
	int n = options_read(c, opts, argc, argv, NULL, 0);

	if (n < 0)
		return OPTIONS_EXIT(n);
	if (json)
		return print_json(
			json_pack("{s:s, s:s}", "name", "easel", "version", EASEL_VERSION));
	(void)printf("easel %s\n", EASEL_VERSION);
	return CLI_OK;
}

/* Keys and passwords go through here: no core, and no debugger but the administrator's. */
static void
keep_memory(void)
{
	const struct rlimit none = { 0, 0 };

	(void)setrlimit(RLIMIT_CORE, &none);
#ifndef EASEL_SANITIZED /* the leak checker attaches to its own process */
	(void)prctl(PR_SET_DUMPABLE, 0);
#endif
}

int
main(int argc, char **argv)
{
	int status, fd;

	keep_memory();
	/* Started with a closed descriptor 0, 1 or 2, a socket or a file would take its place. */
	do
		fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	while (fd >= 0 && fd <= STDERR_FILENO && fcntl(fd, F_SETFD, 0) == 0);
	if (fd >= 0)
		(void)close(fd);

	status = dispatch(argc, argv);
	if (fflush(stdout) || ferror(stdout)) {
		say("standard output cannot be written");
		return status ? status : CLI_FAILED;
	}
	return status;
}
