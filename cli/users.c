/*
 * easel users: add, list, passwd, disable, enable
 */
#include "cli.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "access/guesses.h"
#include "access/passwords.h"
#include "access/sessions.h"
#include "base/id.h"
#include "secret_input.h"

#define STORE_WAIT_MS 10000 /* a busy store is waited for this long */

/* What these commands share. */
struct users {
	const char *file, *typed;
	bool json;
	char email[EMAIL_TEXT];
	struct config *conf;
	struct store *store;
	struct deadline d;
};

static void
users_done(struct users *u)
{
	store_free(u->store);
	config_free(u->conf);
}

static int
open_users(struct users *u)
{
	struct err e;
	int status = load_config(u->file, u->json, &u->conf);

	if (status)
		return status;
	u->d = deadline_in_ms(STORE_WAIT_MS);
	if (store_open(&u->store, u->conf->store.url, u->conf->state_dir, true, &e) < 0)
		return report(&e, u->json);
	return CLI_OK;
}

static int
check_email(const struct command *c, struct users *u)
{
	struct err e;

	if (!u->typed)
		return usage_error(c, "whose? Give the user's e-mail address");
	return email_normalise(u->typed, u->email, &e) < 0 ? report(&e, u->json) : CLI_OK;
}

static json_t *
user_json(const struct user_record *r)
{
	return json_pack("{s:s, s:s, s:s, s:b, s:I}", "id", r->id, "email", r->email, "role",
			 session_role(r->role), "disabled", (int)r->disabled, "created",
			 (json_int_t)(r->created_ms / 1000));
}

static int
print_user(const struct users *u, const struct user_record *r, const char *done)
{
	if (u->json)
		return print_json(user_json(r));
	say("%s %s", done, r->email);
	return CLI_OK;
}

/* Reads, judges and hashes. */
static int
new_password(const struct users *u, char hash[PASSWORD_TEXT])
{
	char text[PASSWORD_MAX_BYTES + 2];
	struct err e;
	int status = secret_read("password", text, sizeof(text));

	if (status)
		return status;
	if (password_judge(text, &e) < 0 || password_hash(text, hash, &e) < 0)
		status = report(&e, u->json);
	explicit_bzero(text, sizeof(text));
	return status;
}

/* ---- add ---- */

static int
check_role(const struct command *c, const char *word, enum user_role *role)
{
	*role = ROLE_USER;
	if (!word || !strcmp(word, session_role(ROLE_USER)))
		return CLI_OK;
	*role = ROLE_ADMIN;
	if (!strcmp(word, session_role(ROLE_ADMIN)))
		return CLI_OK;
	return usage_error(c, "--role: expected user or admin, found '%.40s'", word);
}

static int
exists(const struct users *u)
{
	struct err e;

	say("there is a user %s already; 'easel users passwd %s' sets a new password", u->email,
	    u->email);
	(void)err_field(&e, ERR_VALUE, "email", "the address of no user yet", "one of a user");
	if (u->json)
		(void)report_json(&e);
	return CLI_FAILED;
}

int
cmd_users_add(const struct command *c, int argc, char **argv)
{
	__attribute__((cleanup(users_done))) struct users u = { 0 };
	const char *word = NULL;
	const struct opt opts[] = { { "--role", "ROLE", "user (the default) or admin", &word,
				      NULL },
				    OPT_CONFIG(u.file),
				    OPT_JSON(u.json),
				    { NULL } };
	struct user_record r = { 0 }, other;
	bool added = false;
	struct err e;
	int n = options_read(c, opts, argc, argv, &u.typed, 1), status;

	if (n < 0)
		return OPTIONS_EXIT(n);
	if ((status = check_email(c, &u)) || (status = check_role(c, word, &r.role)) ||
	    (status = open_users(&u)))
		return status;
	/* Before somebody types a password in vain. */
	if (store_user_by_email(u.store, u.email, &other, &added, &u.d, &e) < 0)
		return report(&e, u.json);
	if (added)
		return exists(&u);
	if ((status = new_password(&u, r.password)))
		return status;
	id_make("user_", r.id, sizeof(r.id));
	(void)snprintf(r.email, sizeof(r.email), "%s", u.email);
	r.created_ms = clock_wall_ms();
	u.d = deadline_in_ms(STORE_WAIT_MS);
	if (store_user_add(u.store, &r, &added, &u.d, &e) < 0)
		return report(&e, u.json);
	return added ? print_user(&u, &r, "added") : exists(&u);
}

/* ---- list ---- */

static void
list_user(const struct user_record *r, void *arg)
{
	json_t *list = arg;
	time_t t = (time_t)(r->created_ms / 1000);
	char created[32] = "";
	struct tm tm;

	if (list) {
		(void)json_array_append_new(list, user_json(r));
		return;
	}
	if (gmtime_r(&t, &tm))
		(void)strftime(created, sizeof(created), "%Y-%m-%d %H:%M", &tm);
	(void)printf("%-31s %-6s %-8s %-16s  %s\n", r->id, session_role(r->role),
		     r->disabled ? "disabled" : "active", created, r->email);
}

int
cmd_users_list(const struct command *c, int argc, char **argv)
{
	__attribute__((cleanup(users_done))) struct users u = { 0 };
	const struct opt opts[] = { OPT_CONFIG(u.file), OPT_JSON(u.json), { NULL } };
	int n = options_read(c, opts, argc, argv, NULL, 0), status;
	struct err e;
	json_t *list;

	if (n < 0)
		return OPTIONS_EXIT(n);
	if ((status = open_users(&u)))
		return status;
	list = u.json ? json_array() : NULL;
	if (!u.json)
		(void)printf("%-31s %-6s %-8s %-16s  %s\n", "ID", "ROLE", "STATUS", "CREATED (UTC)",
			     "E-MAIL");
	if (store_user_each(u.store, list_user, list, &u.d, &e) < 0) {
		json_decref(list);
		return report(&e, u.json);
	}
	return u.json ? print_json(json_pack("{s:s, s:o}", "object", "list", "data", list))
		      : CLI_OK;
}

/* ---- passwd, disable, enable ---- */

static int
no_user(const struct users *u)
{
	struct err e;

	say("there is no user %s; 'easel users list' lists them", u->email);
	(void)err_set(&e, ERR_NOT_FOUND, "user");
	return u->json ? report_json(&e) : CLI_NOT_FOUND;
}

/* Reads the arguments and the user. */
static int
find_user(const struct command *c, int argc, char **argv, struct users *u, struct user_record *r)
{
	const struct opt opts[] = { OPT_CONFIG(u->file), OPT_JSON(u->json), { NULL } };
	int n = options_read(c, opts, argc, argv, &u->typed, 1), status;
	bool found;
	struct err e;

	if (n < 0)
		return OPTIONS_EXIT(n) ? OPTIONS_EXIT(n) : -1;
	if ((status = check_email(c, u)) || (status = open_users(u)))
		return status;
	if (store_user_by_email(u->store, u->email, r, &found, &u->d, &e) < 0)
		return report(&e, u->json);
	return found ? CLI_OK : no_user(u);
}

/* Stores the user; all its sessions end. */
static int
set_user(struct users *u, const struct user_record *r, const char *done)
{
	bool found;
	struct err e;

	u->d = deadline_in_ms(STORE_WAIT_MS);
	if (store_user_set(u->store, r, &found, &u->d, &e) < 0 ||
	    guesses_forget(u->store, "easel", r->email, &u->d, &e) < 0)
		return report(&e, u->json);
	return found ? print_user(u, r, done) : no_user(u);
}

int
cmd_users_passwd(const struct command *c, int argc, char **argv)
{
	__attribute__((cleanup(users_done))) struct users u = { 0 };
	struct user_record r;
	int status = find_user(c, argc, argv, &u, &r);

	if (status)
		return status < 0 ? CLI_OK : status;
	if ((status = new_password(&u, r.password)))
		return status;
	return set_user(&u, &r, "new password, and no session any more, for");
}

static int
set_disabled(const struct command *c, int argc, char **argv, bool disabled)
{
	__attribute__((cleanup(users_done))) struct users u = { 0 };
	struct user_record r;
	int status = find_user(c, argc, argv, &u, &r);

	if (status)
		return status < 0 ? CLI_OK : status;
	r.disabled = disabled;
	return set_user(&u, &r, disabled ? "disabled" : "enabled");
}

int
cmd_users_disable(const struct command *c, int argc, char **argv)
{
	return set_disabled(c, argc, argv, true);
}

int
cmd_users_enable(const struct command *c, int argc, char **argv)
{
	return set_disabled(c, argc, argv, false);
}
