#include "provider/novelai_login.h"

#include <ctype.h>
#include <jansson.h>
#include <pthread.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/json.h"
#include "net/upstream.h"
#include "provider/novelai_error.h"
#include "provider/novelai_key.h"
#include "base/scrub.h"

#define ANSWER_BYTES   65536
#define TOKEN_BYTES    16384
#define REFUSED_US     (60 * 1000000LL)
#define EXPIRY_MAX_S   1e12  /* what is later than that is no time */
#define SPARE_MS       60000 /* a token that expires this soon is not used any more */
#define DERIVE_AT_ONCE 2

struct account {
	unsigned char id[crypto_generichash_BYTES]; /* of base_url, address and password */
	char *token;                                /* NULL: none */
	int64_t expires_ms;                         /* since 1970; 0: it does not say */
	int64_t refused_until_us, used_us;
	bool taken, logging_in;
};

static struct {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	struct account accounts[NOVELAI_ACCOUNTS];
	unsigned deriving;
} book = { .lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER };

static void
secret_freep(char **s)
{
	if (*s)
		sodium_memzero(*s, strlen(*s));
	free(*s);
	*s = NULL;
}

void
novelai_token_done(struct novelai_token *t)
{
	secret_freep(&t->text);
}

/* ---- errors ---- */

/* A login buys nothing. */
static int
failed(const struct image_call *call, struct err *e)
{
	e->stage = "provider.login";
	e->may_have_been_billed = false;
	(void)snprintf(e->upstream.name, sizeof(e->upstream.name), "%s", call->provider->name);
	return -1;
}

static int
refused(const struct image_call *call, const char *why, int status, struct err *e)
{
	(void)err_set(e, ERR_UP_AUTH, " %s", why);
	e->upstream.status = status;
	return failed(call, e);
}

#define WRONG "The e-mail address or the password is wrong."

static int
late(const struct image_call *call, struct err *e)
{
	(void)err_set(e, ERR_DEADLINE, "another login of the account was awaited");
	return failed(call, e);
}

/* ---- the book ---- */

static void
account_id(const struct image_call *call, unsigned char id[crypto_generichash_BYTES])
{
	const char *const parts[] = { call->provider->base_url, call->credential, call->password };
	crypto_generichash_state s;

	(void)crypto_generichash_init(&s, NULL, 0, crypto_generichash_BYTES);
	for (size_t i = 0; i < 3; i++)
		(void)crypto_generichash_update(&s, (const unsigned char *)parts[i],
						strlen(parts[i]) + 1);
	(void)crypto_generichash_final(&s, id, crypto_generichash_BYTES);
}

static struct account *
find(const unsigned char *id)
{
	for (size_t i = 0; i < NOVELAI_ACCOUNTS; i++)
		if (book.accounts[i].taken &&
		    !memcmp(book.accounts[i].id, id, crypto_generichash_BYTES))
			return &book.accounts[i];
	return NULL;
}

/* A place for it: a free one, else that of the account that was not used for longest.  NULL: all log in. */
static struct account *
place(const unsigned char *id)
{
	struct account *best = find(id);

	if (best)
		return best;
	for (size_t i = 0; i < NOVELAI_ACCOUNTS; i++) {
		struct account *a = &book.accounts[i];

		if (!a->logging_in && (!best || a->used_us < best->used_us))
			best = a;
	}
	if (!best)
		return NULL;
	secret_freep(&best->token);
	*best = (struct account){ .taken = true };
	memcpy(best->id, id, sizeof(best->id));
	return best;
}

static bool
wait_changed(const struct deadline *d)
{
	struct timespec until = { d->at_us / 1000000, d->at_us % 1000000 * 1000 };

	return pthread_cond_clockwait(&book.changed, &book.lock, CLOCK_MONOTONIC, &until) == 0;
}

/* ---- logging in ---- */

/* Seconds since 1970 at which a JWT says it ends, in milliseconds; 0: it does not say. */
static int64_t
expiry_ms(const char *token)
{
	const char *start = strchr(token, '.'), *end = start ? strchr(start + 1, '.') : NULL;
	char text[2048];
	size_t n = 0;
	json_auto_t *o = NULL;
	struct err e;
	double exp_s;

	if (!end ||
	    sodium_base642bin((unsigned char *)text, sizeof(text), start + 1,
			      (size_t)(end - start - 1), NULL, &n, NULL,
			      sodium_base64_VARIANT_URLSAFE_NO_PADDING) != 0 ||
	    json_read(text, n, &o, &e) < 0)
		return 0;
	exp_s = json_number_value(json_object_get(o, "exp"));
	return exp_s > 0 && exp_s < EXPIRY_MAX_S ? (int64_t)exp_s * 1000 : 0;
}

static bool
is_token(const char *s)
{
	size_t n = 0;

	for (; s[n]; n++)
		if (s[n] < 0x21 || s[n] > 0x7e)
			return false;
	return n > 0 && n <= TOKEN_BYTES;
}

/* The answer of a success; nothing of it is quoted. */
static int
read_token(const struct image_call *call, const struct buf *body, int status, char **token,
	   struct err *e)
{
	static const char *const more[] = { "otp", "mfa", "challenge" };
	json_auto_t *o = NULL;
	const char *text;
	struct err ignored;

	if (json_read(buf_str(body), body->len, &o, &ignored) < 0)
		o = NULL;
	for (size_t i = 0; i < sizeof(more) / sizeof(*more); i++)
		if (json_object_get(o, more[i]))
			return refused(call, "The account asks for a second factor: use a token.",
				       status, e);
	text = json_string_value(json_object_get(o, "accessToken"));
	if (text && is_token(text) && (*token = strdup(text)))
		return 0;
	(void)err_set(e, ERR_UP_GARBAGE, "it answered a login without a token");
	e->upstream.status = status;
	return failed(call, e);
}

static int
post_login(struct image_call *call, const char *key, char **token, struct err *e)
{
	static const char *const headers[] = { "Accept: application/json",
					       "Content-Type: application/json", NULL };
	AUTO(buf) answer = BUF_INIT(ANSWER_BYTES);
	AUTO_FREE char *url = NULL;
	char body[NOVELAI_KEY + 16];
	AUTO(upstream_head) head = { 0 };
	struct upstream_body receiver = upstream_to_buf(&answer);
	struct upstream_req rq = { .method = "POST",
				   .headers = headers,
				   .body = body,
				   .proxy = call->provider->proxy,
				   .connect_timeout_ms = call->provider->connect_timeout_ms,
				   .policy = UPSTREAM_TRUSTED,
				   .provider = call->provider->name,
				   .item = LEDGER_PROVIDER };
	struct upstream_failure f = { call->provider->name, call->password, &head };
	int rc;

	if (asprintf(&url, "%s/user/login", call->provider->base_url) < 0)
		return err_set(e, ERR_INTERNAL, "out of memory");
	rq.url = url;
	rq.body_len = (size_t)snprintf(body, sizeof(body), "{\"key\":\"%s\"}", key);
	rc = upstream_call(&rq, &receiver, &head, &call->deadline, call->ledger, e);
	sodium_memzero(body, sizeof(body));
	if (rc == 0 && head.status >= 200 && head.status < 300)
		rc = read_token(call, &answer, head.status, token, e);
	else if (rc == 0 && head.status == 401)
		rc = refused(call, WRONG, 401, e);
	else if (rc == 0) {
		rc = novelai_error(&f, buf_str(&answer), answer.len, e);
		/* Whatever it is, it is not the caller's parameters. */
		if (e->kind == ERR_UP_REJECTED)
			e->kind = ERR_UP_AUTH;
		if (e->kind != ERR_UP_MOVED)
			e->upstream.message[0] = '\0';
		e->param[0] = '\0';
	}
	if (answer.p)
		sodium_memzero(answer.p, answer.cap);
	return rc < 0 ? failed(call, e) : 0;
}

static int
derive(const struct image_call *call, const char *email, char key[NOVELAI_KEY], struct err *e)
{
	int rc;

	pthread_mutex_lock(&book.lock);
	while (book.deriving >= DERIVE_AT_ONCE)
		if (!wait_changed(&call->deadline) && book.deriving >= DERIVE_AT_ONCE) {
			pthread_mutex_unlock(&book.lock);
			return late(call, e);
		}
	book.deriving++;
	pthread_mutex_unlock(&book.lock);
	rc = novelai_key(email, call->password, key, e);
	pthread_mutex_lock(&book.lock);
	book.deriving--;
	pthread_cond_broadcast(&book.changed);
	pthread_mutex_unlock(&book.lock);
	return rc < 0 ? failed(call, e) : 0;
}

static int
login_as(struct image_call *call, const char *email, char **token, struct err *e)
{
	char key[NOVELAI_KEY];
	int rc = derive(call, email, key, e);

	if (rc == 0)
		rc = post_login(call, key, token, e);
	if (rc < 0)
		scrub_err(e, key);
	sodium_memzero(key, sizeof(key));
	return rc;
}

static bool
is_wrong(const struct err *e)
{
	return e->kind == ERR_UP_AUTH && e->upstream.status == 401;
}

/*
 * Clients disagree whether the service folds capitals of the address: its site seems to, so that is tried
 * first, and as it was typed once, when that differs and was refused.
 */
static int
login(struct image_call *call, char **token, struct err *e)
{
	char email[NOVELAI_EMAIL];
	bool capitals = novelai_email(call->credential, true, email);
	int rc = login_as(call, email, token, e);

	if (rc < 0 && capitals && is_wrong(e)) {
		(void)novelai_email(call->credential, false, email);
		rc = login_as(call, email, token, e);
	}
	return rc;
}

/* ---- tokens ---- */

/* With the lock.  1: *t is the account's; 0: somebody has to log in, and *a is the place for it. */
static int
look(struct image_call *call, const unsigned char *id, struct account **a, struct novelai_token *t,
     struct err *e)
{
	while ((*a = place(id)) && (*a)->logging_in)
		if (!wait_changed(&call->deadline) && (!(*a = find(id)) || (*a)->logging_in))
			return late(call, e);
	if (!*a) {
		(void)err_set(e, ERR_OVERLOADED, "too many accounts log in at once");
		return failed(call, e);
	}
	(*a)->used_us = clock_us();
	if ((*a)->refused_until_us > clock_us())
		return refused(call, WRONG, 401, e);
	if (!(*a)->token || ((*a)->expires_ms && (*a)->expires_ms < clock_wall_ms() + SPARE_MS))
		return 0;
	t->text = strdup((*a)->token);
	t->cached = true;
	return t->text ? 1 : err_set(e, ERR_INTERNAL, "out of memory");
}

static int
token_of_account(struct image_call *call, struct novelai_token *t, struct err *e)
{
	unsigned char id[crypto_generichash_BYTES];
	struct account *a;
	char *token = NULL;
	int rc;

	account_id(call, id);
	pthread_mutex_lock(&book.lock);
	rc = look(call, id, &a, t, e);
	if (rc == 0)
		a->logging_in = true; /* nobody takes its place until this ends */
	pthread_mutex_unlock(&book.lock);
	if (rc != 0)
		return rc < 0 ? -1 : 0;
	rc = login(call, &token, e);
	pthread_mutex_lock(&book.lock);
	a->logging_in = false;
	secret_freep(&a->token);
	if (rc == 0 && token) {
		a->expires_ms = expiry_ms(token);
		a->token = strdup(token);
	} else if (is_wrong(e)) {
		a->refused_until_us = clock_us() + REFUSED_US;
	}
	pthread_cond_broadcast(&book.changed);
	pthread_mutex_unlock(&book.lock);
	*t = (struct novelai_token){ token, false };
	return rc;
}

int
novelai_token_get(struct image_call *call, struct novelai_token *t, struct err *e)
{
	const char *start = call->credential;
	size_t n;

	*t = (struct novelai_token){ 0 };
	if (call->password)
		return sodium_init() < 0 ? err_set(e, ERR_INTERNAL, "libsodium does not start")
					 : token_of_account(call, t, e);
	/* Copied from a web page: white space around it is not part of it. */
	while (isspace((unsigned char)*start))
		start++;
	for (n = strlen(start); n && isspace((unsigned char)start[n - 1]);)
		n--;
	t->text = strndup(start, n);
	return t->text ? 0 : err_set(e, ERR_INTERNAL, "out of memory");
}

void
novelai_token_forget(const struct image_call *call, const struct novelai_token *t)
{
	unsigned char id[crypto_generichash_BYTES];
	struct account *a;

	account_id(call, id);
	pthread_mutex_lock(&book.lock);
	a = find(id);
	/* Another thread may have a newer one by now. */
	if (a && !a->logging_in && a->token && !strcmp(a->token, t->text))
		secret_freep(&a->token);
	pthread_mutex_unlock(&book.lock);
}

void
novelai_login_forget(void)
{
	pthread_mutex_lock(&book.lock);
	for (size_t i = 0; i < NOVELAI_ACCOUNTS; i++) {
		secret_freep(&book.accounts[i].token);
		book.accounts[i] = (struct account){ 0 };
	}
	pthread_mutex_unlock(&book.lock);
}
