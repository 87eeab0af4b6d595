/*
 * easel config web-server: the configuration of a web server that `easel serve` does not run
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"
#include "front.h"
#include "serve.h"

static const struct kind {
	const char *name, *template;
	bool alone; /* no `easel serve` runs beside it: the folders are made here */
} kinds[] = {
	{ "apache", "apache/easel.conf.in", false },
	{ "lighttpd-cgi", "cgi/lighttpd-cgi.conf.in", true },
};
#define NKINDS (sizeof(kinds) / sizeof(kinds[0]))

static int
print(const struct kind *k, const struct config *conf, struct err *e)
{
	AUTO_FREE struct programs *p = calloc(1, sizeof(*p));
	AUTO(buf) text = BUF_INIT(FRONT_TEXT_MAX_BYTES);
	struct state s;
	const struct front_facts facts = { .conf = conf,
					   .state = &s,
					   .programs = p,
					   .max_fds = FRONT_FDS,
					   .drain_ms = serve_drain_ms(conf) };

	if (!p)
		return err_set(e, ERR_INTERNAL, "out of memory");
	if (state_names(&s, conf, e) < 0 || programs_find(p, &s, e) < 0 ||
	    front_text(k->template, &facts, &text, e) < 0)
		return -1;
	if (k->alone && (state_folders(&s, e) < 0 || front_errors(&s, e) < 0))
		return -1;
	(void)fputs(buf_str(&text), stdout);
	return 0;
}

int
cmd_config_web_server(const struct command *c, int argc, char **argv)
{
	const char *file = NULL, *name = "", *names[NKINDS], *near;
	AUTO_PTR(config) conf = NULL;
	const struct opt opts[] = { OPT_CONFIG(file), { NULL } };
	int n = options_read(c, opts, argc, argv, &name, 1), status;
	struct err e;

	if (n < 0)
		return OPTIONS_EXIT(n);
	if (n == 0)
		return usage_error(c, "which web server?");
	for (size_t i = 0; i < NKINDS; i++) {
		names[i] = kinds[i].name;
		if (strcmp(kinds[i].name, name) != 0)
			continue;
		status = load_config(file, false, &conf);
		if (status)
			return status;
		return print(&kinds[i], conf, &e) < 0 ? report(&e, false) : CLI_OK;
	}
	near = nearest_word(name, names, NKINDS);
	return usage_error(c, "there is no configuration for '%s'%s%s%s", name,
			   near ? "; did you mean " : "", near ? near : "", near ? "?" : "");
}
