#ifndef EASEL_JOB_KEY_TURN_H
#define EASEL_JOB_KEY_TURN_H
/*
 * key_turn - which of a provider's credentials is used next, and when
 *
 * In their order, but for those that were left aside (job/aside.h); waiting for a slot where the
 * provider's concurrency is limited; at most RETRY_ATTEMPTS_MAX times each in one request.  For pictures and
 * for chat alike: both cost money.
 */
#include "base/ledger.h"
#include "config/config.h"
#include "store/store_slot.h"

/* A call that is begun later than so long before the deadline buys something for nobody. */
#define SUBMIT_LEAST_MS 100

struct key_turn {
	const struct model_conf *model;
	struct store *store;     /* where the slots are */
	const char *const *keys; /* the provider's; "" where none is needed */
	const char *password;    /* that goes with the only one, an e-mail address; or NULL */
	unsigned char used[SLOT_KEYS_MAX]; /* attempts with that key */
	unsigned nkeys;
	bool tried; /* one was used */
};

void key_turn_init(struct key_turn *t, const struct model_conf *m, struct store *store);

/* Only this one is to be used, with its password where it is an e-mail address (NULL: it is none); borrowed. */
void key_turn_only(struct key_turn *t, const char *const *credential, const char *password);

/* How long until this key may be used, in milliseconds; -1: not in this request any more. */
int64_t key_turn_wait_ms(const struct key_turn *t, unsigned k);
/* Of all of them, the soonest. */
int64_t key_turn_soonest_ms(const struct key_turn *t);
/* May one be used at once? */
bool key_turn_ready(const struct key_turn *t);

/*
 * The number of the key to use, with its slot where there are slots; the caller ends that with
 * store_slot_done().
 * -1: none can be used; *e is then as it was when one had been tried before (the failure of the last
 * attempt), else it says why: as aside_error() and store_slot_take().
 */
int key_turn_take(struct key_turn *t, struct slot *slot, const struct deadline *d,
		  struct ledger *ledger, struct err *e);

/* It is about to be used. */
void key_turn_use(struct key_turn *t, unsigned k);

/*
 * Take every key out of what a provider has said, whichever it was sent: it may know them all.  As
 * scrub_secret(), scrub_err() and scrub_bytes().
 */
void key_turn_scrub(const struct key_turn *t, char *text);
void key_turn_scrub_err(const struct key_turn *t, struct err *e);
void key_turn_scrub_bytes(const struct key_turn *t, char *bytes, size_t n);
/* Is one of them in it, whole? */
bool key_turn_is_in(const struct key_turn *t, const char *bytes, size_t n);

#endif
