#ifndef EASEL_CLI_CLI_H
#define EASEL_CLI_CLI_H
/*
 * cli - what the files of the command `easel` share
 *
 * Data goes to standard output, messages to standard error.  A command is a row of the table in
 * main.c and a function; its options are a table too, from which --help is written.
 */
#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"
#include "config/config.h"
#include "store/store.h"

/* Exit statuses.  The last two are for commands that ask a gateway, of which there is none yet. */
enum {
	CLI_OK = 0,
	CLI_FAILED = 1,
	CLI_USAGE = 2,
	CLI_CONFIG = 3,
	CLI_AUTH = 4,
	CLI_NOT_FOUND = 5,
	CLI_PROVIDER = 6,
	CLI_UNREACHABLE = 7,
	CLI_PENDING = 8
};

struct command {
	const char *name;    /* "keys create" */
	const char *args;    /* what stands after it in the usage line */
	const char *summary; /* one line */
	int (*run)(const struct command *c, int argc,
		   char **argv); /* argv[0] is its first argument */
};

/* An option takes a value (`value` set) or is a flag (`flag` set).  A zero row ends a table. */
struct opt {
	const char *name; /* "--config" */
	const char *arg;  /* "FILE"; NULL for a flag */
	const char *help;
	const char **value;
	bool *flag;
};

#define OPT_CONFIG(var)                                                               \
	{                                                                             \
		"--config", "FILE",                                                   \
			"the configuration file (also: $EASEL_CONFIG, ./easel.toml, " \
			"/etc/easel/easel.toml)",                                     \
			&(var), NULL                                                  \
	}
#define OPT_JSON(var)                                      \
	{                                                  \
		"--json", NULL, "print JSON", NULL, &(var) \
	}

/*
 * Reads the arguments into the options' variables and up to max_words words.  The number of words, or
 * a negative number that says to return -1 - it as the exit status: help was printed (CLI_OK), or the
 * usage was wrong and said (CLI_USAGE).  A word that begins with "--" after "--" is a word.
 */
int options_read(const struct command *c, const struct opt *opts, int argc, char **argv,
		 const char **words, int max_words);
#define OPTIONS_EXIT(n) (-1 - (n))

/* Says that the usage is wrong; CLI_USAGE. */
int
usage_error(const struct command *c, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* The one of n words nearest to `word`, near enough to have been meant, or NULL. */
const char *nearest_word(const char *word, const char *const *words, size_t n);

/* Says "easel: …" on standard error. */
void say(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* Says the error with its hint; as JSON on standard output too when asked.  Its exit status. */
int report(const struct err *e, bool json);
/* Prints the error object alone. */
int report_json(const struct err *e);

/* Loads the configuration and says every problem.  CLI_OK with *out the caller's, or CLI_CONFIG. */
int load_config(const char *file, bool json, struct config **out);

/* Prints doc to standard output, indented, and frees it.  CLI_OK. */
int print_json(json_t *doc);

int cmd_serve(const struct command *c, int argc, char **argv);
int cmd_config_check(const struct command *c, int argc, char **argv);
int cmd_config_webhook_secret(const struct command *c, int argc, char **argv);
int cmd_config_show(const struct command *c, int argc, char **argv);
int cmd_config_reference(const struct command *c, int argc, char **argv);
int cmd_providers_reference(const struct command *c, int argc, char **argv);
int cmd_config_web_server(const struct command *c, int argc, char **argv);
int cmd_explain(const struct command *c, int argc, char **argv);
int cmd_keys_create(const struct command *c, int argc, char **argv);
int cmd_keys_list(const struct command *c, int argc, char **argv);
int cmd_keys_revoke(const struct command *c, int argc, char **argv);
int cmd_users_add(const struct command *c, int argc, char **argv);
int cmd_users_list(const struct command *c, int argc, char **argv);
int cmd_users_passwd(const struct command *c, int argc, char **argv);
int cmd_users_disable(const struct command *c, int argc, char **argv);
int cmd_users_enable(const struct command *c, int argc, char **argv);
int cmd_files_prune(const struct command *c, int argc, char **argv);
int cmd_files_verify(const struct command *c, int argc, char **argv);
int cmd_usage(const struct command *c, int argc, char **argv);
int cmd_db_migrate(const struct command *c, int argc, char **argv);
int cmd_version(const struct command *c, int argc, char **argv);

#endif
