#ifndef EASEL_STORE_LIMIT_H
#define EASEL_STORE_LIMIT_H
/*
 * store_limit - how much one API key may ask for, over all processes, programs and machines of a store
 *
 * requests_per_minute is a bucket: it holds as many requests as the limit says and fills up again
 * evenly over a minute.  That is what OpenAI's headers describe ("remaining" of "limit", "reset": until
 * it is full again), and a caller that waits as long as it is told is let in.  concurrent counts
 * requests that are being worked on; images_per_day the pictures asked for since midnight UTC, those
 * that did not come are given back.
 *
 * With SQLite all of it lies in a mapped file (limit_table.h) and costs a fraction of a microsecond; with
 * Redis it is there, measured by its clock, at a round trip for a request that comes and one for a request
 * that goes.  A process that dies gives back its requests as soon as one of its machine's asks in vain; a
 * machine's lapse STORE_LIMIT_MARGIN_MS after they had to be done.
 *
 * A grant belongs to one thread at a time.
 */
#include <stdbool.h>
#include <stdint.h>

#include "store/store.h"

/* Beyond a request's deadline: the time that a client is given to take its answer, twice. */
#define STORE_LIMIT_MARGIN_MS 60000

/*
 * By programs that count, before all else here; after fork, before threads.  It is closed with the store,
 * and what was not given back by then is given back.
 * 0 or -1: ERR_CONFIG, ERR_STORAGE_FULL, ERR_OVERLOADED (more processes than there is room for).
 */
int store_limit_open(struct store *s, const char *state_dir, struct err *e);

/* What a key may; 0: as much as it likes. */
struct limit_set {
	int64_t requests_per_minute, concurrent, images_per_day;
};

/* How one of its limits stands. */
struct limit_state {
	int64_t limit; /* 0: none */
	int64_t remaining;
	int64_t reset_ms; /* until everything is there again */
};

/* One request's share, from store_limit_take() to store_limit_give(); zeroed before. */
struct grant {
	struct limit_state requests, images; /* as they stood at the last call, refused or not */
	int64_t retry_ms;                    /* after a refusal: when to ask again */
	/* the store's own */
	struct limit_set set;
	bool held, left;
	uint32_t day;
	int64_t pictures;
	uint64_t place;  /* SQLite: the key's in its table; Redis: this request's number */
	char key_id[32]; /* Redis */
};

/*
 * Lets one request of the key in.  0, or -1: ERR_RATE_LIMITED with retry_after_s, and nothing was
 * taken; ERR_OVERLOADED, ERR_STORE: there was no answer before *d.
 */
int store_limit_take(struct store *s, const char *key_id, const struct limit_set *set,
		     struct grant *g, const struct deadline *d, struct err *e);
/* Takes `pictures` of the day's for a request that was let in.  As store_limit_take(). */
int store_limit_take_images(struct store *s, struct grant *g, int64_t pictures,
			    const struct deadline *d, struct err *e);
/*
 * These never fail, and nobody waits for long: what Redis does not take back within STORE_LIMIT_GIVE_MS is
 * kept and given later.  A grant that holds nothing is left alone.
 */
#define STORE_LIMIT_GIVE_MS 250
/* It may be in hand until then, which is later than the deadline it was let in with. */
void store_limit_keep(struct store *s, struct grant *g, const struct deadline *until);
/* It is no longer being worked on for anybody who waits; its pictures are still its own until store_limit_give(). */
void store_limit_leave(struct store *s, struct grant *g);
/* The request is done; `came` of its pictures are there, the others go back.  Once or more often. */
void store_limit_give(struct store *s, struct grant *g, int64_t came);

#endif
