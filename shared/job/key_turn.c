#include "job/key_turn.h"

#include <openssl/sha.h>
#include <string.h>

#include "base/scrub.h"
#include "job/aside.h"
#include "job/retry.h"
#include "provider/provider.h"

/*
 * A provider's keys or tokens in their order; the e-mail address of an account, is the only one; ""
 * where none is needed.
 */
void
key_turn_init(struct key_turn *t, const struct model_conf *m, struct store *store)
{
	static const char *const none = "";
	const struct provider_conf *p = m->provider_conf;

	const struct strings *of =
		p->api_keys.n && !provider_by_token(p) ? &p->api_keys : &p->tokens;

	*t = (struct key_turn){ .model = m, .store = store, .keys = (const char *const *)of->v };
	t->nkeys = of->n < SLOT_KEYS_MAX ? (unsigned)of->n : SLOT_KEYS_MAX;
	if (t->nkeys)
		return;
	t->nkeys = 1;
	t->keys = &none;
	if (p->email && *p->email && p->password) {
		t->keys = (const char *const *)&p->email;
		t->password = p->password;
	}
}

void
key_turn_only(struct key_turn *t, const char *const *credential, const char *password)
{
	t->keys = credential;
	t->nkeys = 1;
	t->password = password;
}

int64_t
key_turn_wait_ms(const struct key_turn *t, unsigned k)
{
	if (t->used[k] >= RETRY_ATTEMPTS_MAX)
		return -1;
	return t->nkeys > 1 ? aside_ms(t->keys[k], t->model) : 0;
}

int64_t
key_turn_soonest_ms(const struct key_turn *t)
{
	int64_t soonest = -1;

	for (unsigned k = 0; k < t->nkeys; k++) {
		int64_t ms = key_turn_wait_ms(t, k);

		if (ms >= 0 && (soonest < 0 || ms < soonest))
			soonest = ms;
	}
	return soonest;
}

/* The numbers of the keys that may be used now, in their order. */
static unsigned
keys_ready(const struct key_turn *t, unsigned ready[SLOT_KEYS_MAX])
{
	unsigned n = 0;

	for (unsigned k = 0; k < t->nkeys; k++)
		if (key_turn_wait_ms(t, k) == 0)
			ready[n++] = k;
	return n;
}

bool
key_turn_ready(const struct key_turn *t)
{
	unsigned ready[SLOT_KEYS_MAX];

	return keys_ready(t, ready) > 0;
}

/*
 * What stands for a credential in the line: the same on every machine, so no fingerprint, whose key is one
 * installation's.  32 bits of a hash tell a provider's few keys apart and are too few to find one by.
 */
static uint64_t
slot_key(const char *credential)
{
	unsigned char hash[SHA256_DIGEST_LENGTH];

	(void)SHA256((const unsigned char *)credential, strlen(credential), hash);
	return 1 + ((uint64_t)hash[0] << 24 | (uint64_t)hash[1] << 16 | (uint64_t)hash[2] << 8 |
		    hash[3]);
}

static int
take_slot(const struct key_turn *t, const unsigned *ready, unsigned n, struct slot *slot,
	  const struct deadline *until, struct ledger *ledger, struct err *e)
{
	const struct provider_conf *p = t->model->provider_conf;
	struct deadline d = { .at_us = until->at_us - SUBMIT_LEAST_MS * 1000 };
	uint64_t keys[SLOT_KEYS_MAX];
	struct slot_wish wish = { p->name, keys, n, p->concurrency };
	int64_t start_us = clock_us();
	int rc;

	for (unsigned i = 0; i < n; i++)
		keys[i] = slot_key(t->keys[ready[i]]);
	rc = store_slot_take(t->store, slot, &wish, &d, e);
	ledger->us[LEDGER_WAIT] += clock_us() - start_us;
	return rc;
}

int
key_turn_take(struct key_turn *t, struct slot *slot, const struct deadline *d,
	      struct ledger *ledger, struct err *e)
{
	for (;;) {
		unsigned ready[SLOT_KEYS_MAX], n = keys_ready(t, ready), k;
		int probe = -1;

		if (!n && t->tried)
			return -1;
		if (!n) {
			probe = aside_probe(t->keys, t->nkeys, t->model);
			if (probe < 0)
				return aside_error(t->keys, t->nkeys, t->model, e);
			ready[n++] = (unsigned)probe;
		}
		if (t->model->provider_conf->concurrency <= 0)
			return (int)ready[0];
		if (take_slot(t, ready, n, slot, d, ledger, e) < 0)
			return -1;
		k = ready[slot->key];
		/* Others may have learned something about it while we waited. */
		if (probe >= 0 || key_turn_wait_ms(t, k) == 0)
			return (int)k;
		store_slot_done(slot);
	}
}

void
key_turn_use(struct key_turn *t, unsigned k)
{
	t->tried = true;
	t->used[k]++;
}

void
key_turn_scrub(const struct key_turn *t, char *text)
{
	for (unsigned k = 0; k < t->nkeys; k++)
		scrub_secret(text, t->keys[k]);
}

void
key_turn_scrub_err(const struct key_turn *t, struct err *e)
{
	for (unsigned k = 0; k < t->nkeys; k++)
		scrub_err(e, t->keys[k]);
	scrub_err(e, t->password);
}

void
key_turn_scrub_bytes(const struct key_turn *t, char *bytes, size_t n)
{
	for (unsigned k = 0; k < t->nkeys; k++)
		scrub_bytes(bytes, n, t->keys[k]);
}

bool
key_turn_is_in(const struct key_turn *t, const char *bytes, size_t n)
{
	for (unsigned k = 0; k < t->nkeys; k++)
		if (*t->keys[k] && memmem(bytes, n, t->keys[k], strlen(t->keys[k])))
			return true;
	return false;
}
