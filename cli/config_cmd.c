/*
 * easel config: check, show, webhook-secret, reference
 */
#include "api/task_hook.h"
#include "cli.h"
#include "tls.h"

#include <jansson.h>
#include <stdio.h>

int
cmd_config_check(const struct command *c, int argc, char **argv)
{
	const char *file = NULL;
	bool json = false;
	AUTO_PTR(config) conf = NULL;
	const struct opt opts[] = { OPT_CONFIG(file), OPT_JSON(json), { NULL } };
	int n = options_read(c, opts, argc, argv, NULL, 0), status;
	char seen[TLS_SEEN_BYTES];
	json_t *warnings;
	struct err e;

	if (n < 0)
		return OPTIONS_EXIT(n);
	status = load_config(file, json, &conf);
	if (status)
		return status;
	if (conf->server.tls_certificate[0] &&
	    tls_check(conf->server.tls_certificate, conf->server.tls_key, seen, &e) < 0)
		return report(&e, json);
	for (size_t i = 0; i < conf->warnings.n; i++)
		say("warning: %s", conf->warnings.v[i]);
	if (!json) {
		(void)printf("%s is fine: %zu provider(s), %zu model(s)\n",
			     conf->file[0] ? conf->file : "the configuration (no file)",
			     conf->nproviders, conf->nmodels);
		return CLI_OK;
	}
	warnings = json_array();
	for (size_t i = 0; i < conf->warnings.n; i++)
		(void)json_array_append_new(warnings, json_string(conf->warnings.v[i]));
	return print_json(json_pack("{s:b, s:s, s:s, s:I, s:I, s:o}", "ok", 1, "file", conf->file,
				    "state_dir", conf->state_dir, "providers",
				    (json_int_t)conf->nproviders, "models",
				    (json_int_t)conf->nmodels, "warnings", warnings));
}

int
cmd_config_show(const struct command *c, int argc, char **argv)
{
	const char *file = NULL;
	bool json = false, origin = false;
	AUTO_PTR(config) conf = NULL;
	const struct opt opts[] = { OPT_CONFIG(file),
				    { "--origin", NULL, "say where each value came from", NULL,
				      &origin },
				    OPT_JSON(json),
				    { NULL } };
	int n = options_read(c, opts, argc, argv, NULL, 0), status;

	if (n < 0)
		return OPTIONS_EXIT(n);
	status = load_config(file, json, &conf);
	if (status)
		return status;
	config_show(conf, origin, json, stdout);
	return CLI_OK;
}

int
cmd_config_reference(const struct command *c, int argc, char **argv)
{
	const struct opt opts[] = { { NULL } };
	int n = options_read(c, opts, argc, argv, NULL, 0);

	if (n < 0)
		return OPTIONS_EXIT(n);
	config_reference_markdown(stdout);
	return CLI_OK;
}

/* The secret that receivers of webhooks check signatures with. */
int
cmd_config_webhook_secret(const struct command *c, int argc, char **argv)
{
	const char *file = NULL;
	bool json = false;
	AUTO_PTR(config) conf = NULL;
	const struct opt opts[] = { OPT_CONFIG(file), OPT_JSON(json), { NULL } };
	int n = options_read(c, opts, argc, argv, NULL, 0), status;
	char secret[HOOK_SECRET];
	struct err e;

	if (n < 0)
		return OPTIONS_EXIT(n);
	status = load_config(file, json, &conf);
	if (status)
		return status;
	if (task_hook_init(conf->state_dir, &e) < 0)
		return report(&e, json);
	task_hook_secret(secret);
	if (json)
		return print_json(json_pack("{s:s}", "secret", secret));
	(void)printf("%s\n", secret);
	return CLI_OK;
}
