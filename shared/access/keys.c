#include "access/keys.h"

#include <pthread.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#include "access/bearer.h"
#include "access/fingerprint.h"
#include "access/sessions.h"
#include "access/token.h"
#include "base/id.h"
#include "base/utf8.h"

#define HINT_RANDOM 4 /* characters after the prefix that a key is recognised by */

/*
 * Less than the second in which a revocation must work everywhere.  The cache is asked once a request,
 * the store once a second and key.
 */
#define CACHE_TTL_US 900000
/*
 * A key lives in the set that its hash names.  The last way of each set is for hashes that are no key:
 * guessing pushes out other guesses, never a key.
 */
#define CACHE_SETS 64
#define CACHE_WAYS 4

static const struct {
	unsigned bit;
	const char *name;
} scope_names[] = {
	{ SCOPE_IMAGES, "images" },     { SCOPE_CHAT, "chat" },       { SCOPE_TASKS, "tasks" },
	{ SCOPE_REQUESTS, "requests" }, { SCOPE_METRICS, "metrics" }, { SCOPE_ADMIN, "admin" },
};
#define SCOPES      (sizeof(scope_names) / sizeof(*scope_names))
#define SCOPE_WORDS "images, chat, tasks, requests, metrics, admin"

/* What is known of a hash. */
struct verdict {
	bool found;
	int64_t revoked_ms;
	struct principal who;
};

struct entry {
	unsigned char hash[KEY_HASH_BYTES];
	int64_t until_us; /* 0: empty */
	struct verdict v;
};

struct authenticator {
	struct store *store;
	bool required;
	pthread_mutex_t mutex;
	struct entry cache[CACHE_SETS][CACHE_WAYS];
};

int
scopes_parse(const char *text, unsigned *out, struct err *e)
{
	unsigned bits = 0;

	for (const char *p = text;; p++) {
		size_t n, i;

		p += strspn(p, " ");
		n = strcspn(p, ", ");
		for (i = 0; i < SCOPES; i++)
			if (strlen(scope_names[i].name) == n && !memcmp(p, scope_names[i].name, n))
				break;
		if (i == SCOPES) {
			char shown[48];

			utf8_clip(shown, sizeof(shown), p, n, 32);
			return err_field(e, ERR_VALUE, "scopes", "some of " SCOPE_WORDS, "'%s'",
					 shown);
		}
		bits |= scope_names[i].bit;
		p += n;
		p += strspn(p, " ");
		if (!*p)
			break;
		if (*p != ',')
			return err_field(e, ERR_VALUE, "scopes", "words with commas between them",
					 "a space");
	}
	*out = bits;
	return 0;
}

void
scopes_text(unsigned scopes, char out[SCOPES_TEXT])
{
	size_t len = 0;

	out[0] = '\0';
	for (size_t i = 0; i < SCOPES; i++)
		if (scopes & scope_names[i].bit)
			len += (size_t)snprintf(out + len, SCOPES_TEXT - len, "%s%s",
						len ? "," : "", scope_names[i].name);
}

json_t *
scopes_json(unsigned scopes)
{
	json_t *list = json_array();

	for (size_t i = 0; i < SCOPES; i++)
		if (scopes & scope_names[i].bit)
			(void)json_array_append_new(list, json_string(scope_names[i].name));
	return list;
}

int
key_create(struct store *s, const char *name, unsigned scopes, int64_t expires_ms,
	   struct key_record *out, char key_text[KEY_TEXT], const struct deadline *d, struct err *e)
{
	struct key_record k = { .scopes = scopes, .expires_ms = expires_ms };
	size_t n = strlen(name);

	if (!n || n >= sizeof(k.name) || !utf8_valid(name, n))
		return err_field(e, ERR_VALUE, "name", "1 to 127 bytes of UTF-8", "%zu bytes", n);
	if (!scopes || scopes & ~(unsigned)SCOPE_ALL)
		return err_field(e, ERR_VALUE, "scopes", "some of " SCOPE_WORDS, "none of them");
	if (token_make(KEY_PREFIX, key_text, e) < 0)
		return -1;

	id_make("key_", k.id, sizeof(k.id));
	memcpy(k.name, name, n + 1);
	(void)snprintf(k.hint, sizeof(k.hint), "%.*s", (int)sizeof(KEY_PREFIX) - 1 + HINT_RANDOM,
		       key_text);
	k.created_ms = clock_wall_ms();
	(void)crypto_hash_sha256(k.hash, (const unsigned char *)key_text, strlen(key_text));
	if (store_key_add(s, &k, d, e) < 0) {
		/* A key that is not stored is no key: no copy is left. */
		explicit_bzero(key_text, KEY_TEXT);
		return -1;
	}
	*out = k;
	return 0;
}

int
authenticator_open(struct authenticator **out, struct store *s, const char *state_dir,
		   bool required, struct err *e)
{
	struct authenticator *a;

	if (fingerprint_init(state_dir, e) < 0)
		return -1;
	/* Not of the heap: of 64 kB for keys that nobody has shown yet no page is there. */
	a = mmap(NULL, sizeof(*a), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (a == MAP_FAILED)
		return err_set(e, ERR_INTERNAL, "out of memory");
	(void)pthread_mutex_init(&a->mutex, NULL);
	a->store = s;
	a->required = required;
	*out = a;
	return 0;
}

void
authenticator_free(struct authenticator *a)
{
	if (!a)
		return;
	(void)pthread_mutex_destroy(&a->mutex);
	(void)munmap(a, sizeof(*a));
}

static struct entry *
cache_set(struct authenticator *a, const unsigned char *hash)
{
	return a->cache[hash[0] % CACHE_SETS];
}

static bool
cache_get(struct authenticator *a, const unsigned char *hash, int64_t now_us, struct verdict *v)
{
	struct entry *set = cache_set(a, hash);
	bool hit = false;

	(void)pthread_mutex_lock(&a->mutex);
	for (int w = 0; w < CACHE_WAYS && !hit; w++)
		if (set[w].until_us > now_us && !sodium_memcmp(set[w].hash, hash, KEY_HASH_BYTES)) {
			*v = set[w].v;
			hit = true;
		}
	(void)pthread_mutex_unlock(&a->mutex);
	return hit;
}

static void
cache_put(struct authenticator *a, const unsigned char *hash, int64_t until_us,
	  const struct verdict *v)
{
	struct entry *set = cache_set(a, hash), *to = &set[CACHE_WAYS - 1];

	(void)pthread_mutex_lock(&a->mutex);
	if (v->found) {
		/* The same key's old entry, else the one that ends first. */
		to = &set[0];
		for (int w = 0; w < CACHE_WAYS - 1; w++) {
			if (!sodium_memcmp(set[w].hash, hash, KEY_HASH_BYTES)) {
				to = &set[w];
				break;
			}
			if (set[w].until_us < to->until_us)
				to = &set[w];
		}
	}
	memcpy(to->hash, hash, KEY_HASH_BYTES);
	to->until_us = until_us;
	to->v = *v;
	(void)pthread_mutex_unlock(&a->mutex);
}

static int
ask_for_key(struct authenticator *a, const unsigned char *hash, struct verdict *v,
	    const struct deadline *d, struct err *e)
{
	struct key_record k;
	bool found;

	if (store_key_by_hash(a->store, hash, &k, &found, d, e) < 0)
		return -1;
	/* The store found it by an index, which is not constant in time; this comparison decides. */
	if (!found || sodium_memcmp(k.hash, hash, KEY_HASH_BYTES) != 0)
		return 0;
	v->found = true;
	v->revoked_ms = k.revoked_ms;
	v->who.kind = BY_KEY;
	v->who.scopes = k.scopes;
	v->who.expires_ms = k.expires_ms;
	memcpy(v->who.id, k.id, sizeof(v->who.id));
	memcpy(v->who.name, k.name, sizeof(v->who.name));
	return 0;
}

/* Limits, pictures and tasks are the user's, whichever session asks. */
static int
ask_for_session(struct authenticator *a, const unsigned char *hash, struct verdict *v,
		const struct deadline *d, struct err *e)
{
	struct session_record r;
	struct user_record u;
	bool found;

	if (store_session_get(a->store, hash, &r, &u, &found, d, e) < 0)
		return -1;
	if (!found || sodium_memcmp(r.hash, hash, SESSION_HASH_BYTES) != 0)
		return 0;
	v->found = true;
	v->revoked_ms = u.disabled ? 1 : r.revoked_ms;
	v->who.kind = BY_SESSION;
	v->who.scopes = session_scopes(u.role);
	v->who.expires_ms = r.expires_ms;
	(void)snprintf(v->who.id, sizeof(v->who.id), "%.31s", u.id);
	utf8_clip(v->who.name, sizeof(v->who.name), u.email, strlen(u.email),
		  sizeof(v->who.name) - 4);
	return 0;
}

/* What the store says of the token, at most CACHE_TTL_US ago. */
static int
look_up(struct authenticator *a, const char *token, size_t n, struct verdict *v,
	const struct deadline *d, struct err *e)
{
	unsigned char hash[KEY_HASH_BYTES];
	int64_t now_us = clock_us();

	(void)crypto_hash_sha256(hash, (const unsigned char *)token, n);
	if (cache_get(a, hash, now_us, v))
		return 0;
	*v = (struct verdict){ 0 };
	if ((session_is(token, n) ? ask_for_session(a, hash, v, d, e)
				  : ask_for_key(a, hash, v, d, e)) < 0)
		return -1;
	fingerprint(token, n, v->who.fingerprint);
	cache_put(a, hash, now_us + CACHE_TTL_US, v);
	return 0;
}

static int
refuse_expired(struct err *e, const struct principal *who)
{
	time_t at = (time_t)(who->expires_ms / 1000);
	char text[32] = "";
	struct tm tm;

	if (gmtime_r(&at, &tm))
		(void)strftime(text, sizeof(text), " on %Y-%m-%dT%H:%M:%SZ", &tm);
	return bearer_refuse(e, who->kind == BY_SESSION ? CAUSE_SESSION_EXPIRED : CAUSE_KEY_EXPIRED,
			     "%s", text);
}

static int
judge_scope(const struct principal *who, unsigned scope, struct err *e)
{
	char expected[SCOPES_TEXT], found[SCOPES_TEXT];

	if (who->scopes & SCOPE_ADMIN || (who->scopes & scope) == scope)
		return 0;
	scopes_text(scope, expected);
	scopes_text(who->scopes, found);
	(void)err_field(e, ERR_SCOPE, "", expected, "%s", found);
	e->stage = "auth";
	return -1;
}

int
authenticate(struct authenticator *a, const char *authorization, const char *query, unsigned scope,
	     struct principal *out, const struct deadline *d, struct err *e)
{
	struct verdict v = { 0 };
	const char *token;
	size_t n;

	if (!a->required) {
		*out = (struct principal){ .id = "anonymous",
					   .name = "anonymous",
					   .fingerprint = "00000000",
					   .scopes = SCOPE_ALL };
		return 0;
	}
	if (bearer_token(authorization, query, &token, &n, e) < 0)
		return -1;
	if (look_up(a, token, n, &v, d, e) < 0) {
		e->stage = "auth";
		return -1;
	}
	if (session_is(token, n) && (!v.found || v.revoked_ms))
		return bearer_refuse(e, CAUSE_SESSION_ENDED, "fingerprint %s", v.who.fingerprint);
	if (!v.found)
		return bearer_refuse(e, CAUSE_UNKNOWN, "%zu characters, fingerprint %s", n,
				     v.who.fingerprint);
	if (v.revoked_ms)
		return bearer_refuse(e, CAUSE_REVOKED, "%s", "");
	if (v.who.expires_ms && v.who.expires_ms <= clock_wall_ms())
		return refuse_expired(e, &v.who);
	if (judge_scope(&v.who, scope, e) < 0)
		return -1;
	*out = v.who;
	return 0;
}
