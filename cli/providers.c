/*
 * easel providers: reference
 */
#include "cli.h"

#include "provider/capability.h"

int
cmd_providers_reference(const struct command *c, int argc, char **argv)
{
	const struct opt opts[] = { { NULL } };
	int n = options_read(c, opts, argc, argv, NULL, 0);

	if (n < 0)
		return OPTIONS_EXIT(n);
	capability_markdown(stdout);
	return CLI_OK;
}
