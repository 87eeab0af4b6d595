/*
 * login - POST, GET, DELETE /login
 *
 * POST with an e-mail address and a password begins a session; with a provider's name it tries that
 * provider's login and keeps nothing.  GET says who asks.  DELETE ends the session.
 */
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "access/bearer.h"
#include "access/fingerprint.h"
#include "access/guesses.h"
#include "access/passwords.h"
#include "access/sessions.h"
#include "base/json.h"
#include "base/log.h"
#include "http/app.h"
#include "http/peer.h"
#include "net/upstream.h"
#include "provider/provider_login.h"

struct login {
	const struct config *config;
	struct store *store;
};

/* ---- the body ---- */

#define WORD_MAX_BYTES 64 /* of a provider's name */

struct login_body {
	char *email, *password; /* trimmed; within the buffers below */
	char provider[WORD_MAX_BYTES];
	char email_bytes[PASSWORD_MAX_BYTES + 1], password_bytes[PASSWORD_MAX_BYTES + 1];
};

static void
login_body_free(struct login_body *b)
{
	if (b)
		explicit_bzero(b, sizeof(*b));
	free(b);
}
DEFINE_FREEP(login_body);

/* Nothing of the document is needed any more; its texts hold a password. */
static void
wipe(json_t *doc, char *text, size_t n)
{
	const char *key;
	json_t *v;

	json_object_foreach(doc, key, v) if (json_is_string(v))
		explicit_bzero((char *)json_string_value(v), json_string_length(v));
	json_decref(doc);
	explicit_bzero(text, n);
	free(text);
}

/* Copies a text member; one that is not there leaves out empty. */
static int
copy_text(const json_t *doc, const char *name, const char *what, char *out, size_t size,
	  struct err *e)
{
	const json_t *v = json_object_get(doc, name);
	char expected[48];

	out[0] = '\0';
	if (!v)
		return err_field(e, ERR_MISSING, name, what, "nothing");
	if (!json_is_string(v))
		return err_field(e, ERR_TYPE, name, "a string", "%s", json_type_name(v));
	if (json_string_length(v) >= size) {
		(void)snprintf(expected, sizeof(expected), "at most %zu bytes", size - 1);
		return err_field(e, ERR_TOO_LONG, name, expected, "%zu", json_string_length(v));
	}
	memcpy(out, json_string_value(v), json_string_length(v) + 1);
	return 0;
}

static int
read_members(json_t *doc, struct login_body *b, struct err *e)
{
	const char *key;
	json_t *v;

	json_object_foreach(doc, key, v) if (strcmp(key, "email") != 0 &&
					     strcmp(key, "password") != 0 &&
					     strcmp(key, "provider") != 0)
	{
		(void)err_set(e, ERR_UNSUPPORTED, "a login has email, password and provider");
		(void)snprintf(e->param, sizeof(e->param), "%.48s", key);
		return -1;
	}
	if (json_object_get(doc, "provider") && copy_text(doc, "provider", "a provider's name",
							  b->provider, sizeof(b->provider), e) < 0)
		return -1;
	if (copy_text(doc, "email", "an e-mail address", b->email_bytes, sizeof(b->email_bytes),
		      e) < 0 ||
	    copy_text(doc, "password", "a password", b->password_bytes, sizeof(b->password_bytes),
		      e) < 0)
		return -1;
	if (json_object_get(doc, "provider") && !b->provider[0])
		return err_field(e, ERR_VALUE, "provider", "a provider's name", "nothing");
	b->email = password_trim(b->email_bytes);
	b->password = password_trim(b->password_bytes);
	if (!*b->email)
		return err_field(e, ERR_VALUE, "email", "an e-mail address", "nothing");
	if (!*b->password)
		return err_field(e, ERR_VALUE, "password", "a password", "nothing");
	return 0;
}

static int
read_body(struct request *r, struct login_body *b, struct err *e)
{
	json_t *doc;
	char *text;
	size_t n;
	int rc;

	b->provider[0] = '\0';
	if (request_json_text(r, &doc, &text, &n, e) < 0)
		return -1;
	rc = read_members(doc, b, e);
	wipe(doc, text, n);
	return rc;
}

/* ---- POST: a session ---- */

static int
refuse(struct err *e)
{
	(void)err_set(e, ERR_LOGIN, "%s", "");
	e->stage = "auth";
	return -1;
}

/*
 * With a turn, so that no more guesses pass the lock at once than run at once.  The same steps, whether
 * there is such a user or not.
 */
static int
check(struct request *r, const struct login *l, const struct guess *g, const char *email,
      const char *password, struct user_record *user, struct err *e)
{
	const struct deadline *d = request_deadline(r);
	bool found, right;

	if (guess_allowed(l->store, g, d, e) < 0 ||
	    store_user_by_email(l->store, email, user, &found, d, e) < 0 ||
	    password_check(found ? user->password : NULL, password, &right, e) < 0)
		return -1;
	if (right && !user->disabled)
		return guess_was_right(l->store, g, d, e);
	return guess_was_wrong(l->store, g, d, e) < 0 ? -1 : refuse(e);
}

static int
answer_session(struct request *r, const struct login *l, const struct user_record *user,
	       const char *address, struct err *e)
{
	char token[SESSION_TEXT], shown[FINGERPRINT_TEXT];
	json_t *doc;
	int64_t ttl_ms = l->config->auth.session_ttl_ms;

	if (session_begin(l->store, user, ttl_ms, token, request_deadline(r), e) < 0)
		return -1;
	fingerprint(token, strlen(token), shown);
	log_info(request_id(r), "Login: user=%s, address=%s, token=fp:%s", user->id, address,
		 shown);
	doc = json_pack("{s:b, s:s, s:s, s:I, s:{s:s, s:s}}", "success", 1, "token", token,
			"token_type", "Bearer", "expires_in", (json_int_t)(ttl_ms / 1000), "user",
			"email", user->email, "role", session_role(user->role));
	explicit_bzero(token, sizeof(token));
	reply_header(r, "cache-control", "no-store");
	return reply_json(r, 200, doc, e);
}

static int
log_in(struct request *r, const struct login *l, const struct login_body *b, const char *address,
       struct err *e)
{
	char email[EMAIL_TEXT], shown[FINGERPRINT_TEXT];
	struct user_record user;
	struct guess g;
	struct err is_none;
	int rc;

	/* What is no address is nobody's: it goes the same way. */
	if (email_normalise(b->email, email, &is_none) < 0)
		(void)snprintf(email, sizeof(email), "%s", "nobody");
	guess_of(&g, "easel", email, address);
	if (password_turn_take(request_deadline(r), e) < 0)
		return -1;
	rc = check(r, l, &g, email, b->password, &user, e);
	password_turn_give();
	if (rc < 0 && (e->kind == ERR_LOGIN || e->kind == ERR_RATE_LIMITED)) {
		fingerprint(email, strlen(email), shown);
		log_warn(request_id(r), "Login refused: account=fp:%s, address=%s, %s", shown,
			 address, e->kind == ERR_LOGIN ? "wrong" : "locked");
	}
	return rc < 0 ? -1 : answer_session(r, l, &user, address, e);
}

/* ---- POST: a provider's login ---- */

/* The provider of that name or, where no configured one has a login, the service itself. */
static int
find_provider(const struct config *c, const char *name, struct provider_conf *own,
	      const struct provider_conf **out, struct err *e)
{
	const char *dialect = config_dialect_name(DIALECT_NOVELAI);

	*out = config_provider(c, name);
	if (*out && provider_has_login((*out)->dialect))
		return 0;
	for (size_t i = 0; !strcmp(name, dialect) && i < c->nproviders; i++)
		if (provider_has_login(c->providers[i].dialect)) {
			*out = &c->providers[i];
			return 0;
		}
	if (strcmp(name, dialect) != 0)
		return err_field(e, ERR_VALUE, "provider",
				 "'novelai', or a configured provider of that dialect",
				 "another text");
	*own = (struct provider_conf){ .name = (char *)dialect,
				       .dialect = DIALECT_NOVELAI,
				       .base_url = (char *)config_dialect_base_url(DIALECT_NOVELAI),
				       .proxy = (char *)"",
				       .connect_timeout_ms = 10000 };
	*out = own;
	return 0;
}

static int
try_provider(struct request *r, const struct login *l, const struct login_body *b,
	     const char *address, struct err *e)
{
	const struct deadline *d = request_deadline(r);
	const struct provider_conf *p;
	struct provider_conf own;
	struct guess g;
	int rc;

	if (request_authenticate(r, 0, e) < 0 ||
	    find_provider(l->config, b->provider, &own, &p, e) < 0)
		return -1;
	/* Nobody guesses strangers' passwords through us. */
	guess_of(&g, p->name, b->email, address);
	if (guess_allowed(l->store, &g, d, e) < 0)
		return -1;
	rc = provider_login_try(p, b->email, b->password, d, request_ledger(r), e);
	if (rc < 0 && e->kind == ERR_UP_LOGIN) {
		struct err other;

		(void)guess_was_wrong(l->store, &g, d, &other);
	}
	if (rc < 0 || guess_was_right(l->store, &g, d, e) < 0)
		return -1;
	reply_header(r, "cache-control", "no-store");
	return reply_json(r, 200,
			  json_pack("{s:b, s:s, s:b}", "success", 1, "provider", p->name, "stored",
				    0),
			  e);
}

static int
post(struct request *r, void *state, struct err *e)
{
	AUTO_PTR(login_body) b = calloc(1, sizeof(*b));
	char address[PEER_TEXT];

	if (!b)
		return err_set(e, ERR_OVERLOADED, "no memory");
	if (read_body(r, b, e) < 0)
		return -1;
	request_peer(r, address);
	return b->provider[0] ? try_provider(r, state, b, address, e)
			      : log_in(r, state, b, address, e);
}

/* ---- GET ---- */

static int
show(struct request *r, void *state, struct err *e)
{
	static const char *const kinds[] = {
		[BY_NOTHING] = "none", [BY_KEY] = "key", [BY_SESSION] = "session"
	};
	const struct principal *who = request_principal(r);

	(void)state;
	reply_header(r, "cache-control", "no-store");
	return reply_json(r, 200,
			  json_pack("{s:b, s:{s:s, s:s, s:s, s:o, s:o}}", "authenticated", 1,
				    "credential", "kind", kinds[who->kind], "name", who->name,
				    "fingerprint", who->fingerprint, "scopes",
				    scopes_json(who->scopes), "expires_at",
				    who->expires_ms ? json_integer(who->expires_ms / 1000)
						    : json_null()),
			  e);
}

/* ---- DELETE ---- */

static int
log_out(struct request *r, void *state, struct err *e)
{
	const struct login *l = state;
	const struct principal *who = request_principal(r);
	const char *token;
	size_t n;
	bool found;

	if (who->kind != BY_SESSION)
		return err_field(e, ERR_NO_SESSION, "", "", "%s",
				 who->kind == BY_KEY ? "an API key" : "no credential");
	if (bearer_token(request_header(r, "HTTP_AUTHORIZATION"), request_query(r), &token, &n, e) <
		    0 ||
	    session_end(l->store, token, n, &found, request_deadline(r), e) < 0)
		return -1;
	if (!found) /* it was remembered, and had been ended since */
		return bearer_refuse(e, CAUSE_SESSION_ENDED, "fingerprint %s", who->fingerprint);
	log_info(request_id(r), "Logout: user=%s, token=fp:%s", who->id, who->fingerprint);
	reply_header(r, "cache-control", "no-store");
	return reply_json(r, 200, json_pack("{s:b, s:b}", "success", 1, "authenticated", 0), e);
}

/* ---- the program ---- */

static int
init(void *state, const struct app_env *env, struct err *e)
{
	struct login *l = state;

	l->config = env->config;
	l->store = env->store;
	return upstream_init(e);
}

static void
done(void *state)
{
	(void)state;
	upstream_shutdown();
}

#define BUDGET     offsetof(struct config, deadline.login_ms)
#define BODY_BYTES 65536 /* the longest address and password fit in, all of them escaped */

/*
 * POST is open: it is how one comes by a credential.  So a stranger's body is held in memory: let it be small.
 * Of a provider's login the handler asks for a credential.
 */
static const struct route routes[] = {
	{ "POST", "/login", post, .flags = ROUTE_OPEN, .budget_offset = BUDGET,
	  .body_offset = offsetof(struct config, limits.json_bytes), .body_most = BODY_BYTES },
	{ "GET", "/login", show, .budget_offset = BUDGET },
	{ "DELETE", "/login", log_out, .budget_offset = BUDGET },
	{ 0 }
};

int
main(int argc, char **argv)
{
	static const char *const sections[] = { "server",   "auth",    "store",     "limits",
						"deadline", "process", "providers", NULL };

	return app_main(&(const struct app){ .name = "login",
					     .summary = "begins, shows and ends login sessions",
					     .routes = routes,
					     .sections = sections,
					     .state_size = sizeof(struct login),
					     .prepare = upstream_prepare,
					     .init = init,
					     .done = done },
			argc, argv);
}
