/*
 * easel keys: create, list, revoke
 */
#include "cli.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "access/keys.h"
#include "base/num.h"
#include "base/utf8.h"

#define STORE_WAIT_MS 10000 /* a busy store is waited for this long */

/* Opens the configuration's store, with its tables made. */
static int
open_store(const char *file, bool json, struct config **conf, struct store **store)
{
	struct err e;
	int status = load_config(file, json, conf);

	if (status)
		return status;
	if (store_open(store, (*conf)->store.url, (*conf)->state_dir, true, &e) < 0)
		return report(&e, json);
	return CLI_OK;
}

static json_t *
seconds(int64_t ms)
{
	return ms ? json_integer(ms / 1000) : json_null();
}

struct same_name {
	const char *name;
	bool found;
};

static void
look_for_name(const struct key_record *k, void *arg)
{
	struct same_name *s = arg;

	if (!k->revoked_ms && !strcmp(k->name, s->name))
		s->found = true;
}

static int
check_name(const struct command *c, const char *name)
{
	struct key_record k;
	size_t len = name ? strlen(name) : 0;

	if (!len)
		return usage_error(c, "--name is needed: the name that lists and logs show");
	if (len >= sizeof(k.name))
		return usage_error(c, "--name is longer than %zu bytes", sizeof(k.name) - 1);
	if (!utf8_valid(name, len) || strpbrk(name, "\n\r\t\033"))
		return usage_error(c, "--name must be printable UTF-8");
	return CLI_OK;
}

int
cmd_keys_create(const struct command *c, int argc, char **argv)
{
	const char *file = NULL, *name = NULL, *scope = NULL, *expires = NULL;
	bool json = false;
	const struct opt opts[] = {
		{ "--name", "NAME", "the name that lists and logs show", &name, NULL },
		{ "--scope", "A,B", "images, chat, tasks, requests, metrics, admin", &scope, NULL },
		{ "--expires", "TIME", "how long it is valid: 12h, 30d; without it: for ever",
		  &expires, NULL },
		OPT_CONFIG(file),
		OPT_JSON(json),
		{ NULL }
	};
	AUTO_PTR(config) conf = NULL;
	AUTO_PTR(store) store = NULL;
	struct key_record k;
	struct same_name same = { .name = NULL };
	struct deadline d = deadline_in_ms(STORE_WAIT_MS);
	char text[KEY_TEXT];
	unsigned scopes = SCOPES_DEFAULT;
	int64_t valid_ms = 0;
	struct err e;
	int n = options_read(c, opts, argc, argv, NULL, 0), status;

	if (n < 0)
		return OPTIONS_EXIT(n);
	status = check_name(c, name);
	if (status)
		return status;
	if (scope && scopes_parse(scope, &scopes, &e) < 0)
		return report(&e, json);
	if (expires && (num_duration_ms(expires, &valid_ms) < 0 || valid_ms <= 0))
		return usage_error(c, "--expires: expected a time like 12h or 30d, found '%s'",
				   expires);
	status = open_store(file, json, &conf, &store);
	if (status)
		return status;
	same.name = name;
	if (store_key_each(store, look_for_name, &same, &d, &e) < 0)
		return report(&e, json);
	if (same.found) {
		say("there is a key named '%s' already; choose another name, or revoke it first: "
		    "easel keys revoke '%s'",
		    name, name);
		return CLI_FAILED;
	}
	if (key_create(store, name, scopes, valid_ms ? clock_wall_ms() + valid_ms : 0, &k, text, &d,
		       &e) < 0)
		return report(&e, json);
	if (json)
		return print_json(json_pack("{s:s, s:s, s:s, s:o, s:o}", "id", k.id, "name", k.name,
					    "key", text, "scopes", scopes_json(k.scopes),
					    "expires_at", seconds(k.expires_ms)));
	(void)printf("%s\n", text);
	explicit_bzero(text, sizeof(text));
	return CLI_OK;
}

static const char *
key_status(const struct key_record *k)
{
	if (k->revoked_ms)
		return "revoked";
	if (k->expires_ms && k->expires_ms <= clock_wall_ms())
		return "expired";
	return "active";
}

static const char *
day(int64_t ms, char out[32])
{
	time_t t = (time_t)(ms / 1000);
	struct tm tm;

	if (!ms || !gmtime_r(&t, &tm) || !strftime(out, 32, "%Y-%m-%d %H:%M", &tm))
		(void)snprintf(out, 32, "%s", "never");
	return out;
}

static void
list_key(const struct key_record *k, void *arg)
{
	json_t *list = arg;
	char scopes[SCOPES_TEXT], created[32], expires[32], name[128];

	if (list) {
		(void)json_array_append_new(list,
					    json_pack("{s:s, s:s, s:s, s:o, s:o, s:o, s:o, s:s}",
						      "id", k->id, "name", k->name, "hint", k->hint,
						      "scopes", scopes_json(k->scopes), "created",
						      seconds(k->created_ms), "expires_at",
						      seconds(k->expires_ms), "revoked_at",
						      seconds(k->revoked_ms), "status",
						      key_status(k)));
		return;
	}
	scopes_text(k->scopes, scopes);
	utf8_clip(name, sizeof(name), k->name, strlen(k->name), sizeof(name));
	(void)printf("%-31s %-8s %-16s %-16s  %-16s  %-30s %s\n", k->id, key_status(k), k->hint,
		     day(k->created_ms, created), day(k->expires_ms, expires), scopes, name);
}

int
cmd_keys_list(const struct command *c, int argc, char **argv)
{
	const char *file = NULL;
	bool json = false;
	const struct opt opts[] = { OPT_CONFIG(file), OPT_JSON(json), { NULL } };
	AUTO_PTR(config) conf = NULL;
	AUTO_PTR(store) store = NULL;
	struct deadline d = deadline_in_ms(STORE_WAIT_MS);
	struct err e;
	int n = options_read(c, opts, argc, argv, NULL, 0), status;
	json_t *list;

	if (n < 0)
		return OPTIONS_EXIT(n);
	status = open_store(file, json, &conf, &store);
	if (status)
		return status;
	list = json ? json_array() : NULL;
	if (!json)
		(void)printf("%-31s %-8s %-16s %-16s  %-16s  %-30s %s\n", "ID", "STATUS", "KEY",
			     "CREATED (UTC)", "EXPIRES (UTC)", "SCOPES", "NAME");
	if (store_key_each(store, list_key, list, &d, &e) < 0) {
		json_decref(list);
		return report(&e, json);
	}
	if (json)
		return print_json(json_pack("{s:s, s:o}", "object", "list", "data", list));
	return CLI_OK;
}

int
cmd_keys_revoke(const struct command *c, int argc, char **argv)
{
	const char *file = NULL, *which = NULL;
	bool json = false, found = false;
	const struct opt opts[] = { OPT_CONFIG(file), OPT_JSON(json), { NULL } };
	AUTO_PTR(config) conf = NULL;
	AUTO_PTR(store) store = NULL;
	struct deadline d = deadline_in_ms(STORE_WAIT_MS);
	struct err e;
	int n = options_read(c, opts, argc, argv, &which, 1), status;

	if (n < 0)
		return OPTIONS_EXIT(n);
	if (!which)
		return usage_error(c, "which key? Give its id or its name");
	status = open_store(file, json, &conf, &store);
	if (status)
		return status;
	if (store_key_revoke(store, which, clock_wall_ms(), &found, &d, &e) < 0)
		return report(&e, json);
	if (!found) {
		say("there is no valid key '%s'; 'easel keys list' lists them", which);
		(void)err_set(&e, ERR_NOT_FOUND, "valid key");
		return json ? report_json(&e) : CLI_NOT_FOUND;
	}
	if (json)
		return print_json(json_pack("{s:s, s:b}", "key", which, "revoked", 1));
	say("revoked %s", which);
	return CLI_OK;
}
