/*
 * easel db: migrate
 */
#include "cli.h"

#include <jansson.h>
#include <stdio.h>

int
cmd_db_migrate(const struct command *c, int argc, char **argv)
{
	const char *file = NULL;
	bool json = false;
	AUTO_PTR(config) conf = NULL;
	AUTO_PTR(store) store = NULL;
	const struct opt opts[] = { OPT_CONFIG(file), OPT_JSON(json), { NULL } };
	int n = options_read(c, opts, argc, argv, NULL, 0), status;
	struct err e;

	if (n < 0)
		return OPTIONS_EXIT(n);
	status = load_config(file, json, &conf);
	if (status)
		return status;
	if (store_open(&store, conf->store.url, conf->state_dir, true, &e) < 0)
		return report(&e, json);
	if (json)
		return print_json(json_pack("{s:b}", "ok", 1));
	say("the store's tables are up to date");
	return CLI_OK;
}
