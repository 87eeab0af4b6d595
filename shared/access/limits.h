#ifndef EASEL_ACCESS_LIMITS_H
#define EASEL_ACCESS_LIMITS_H
/*
 * limits - how much one API key may ask for, over all processes and programs of an installation
 *
 * requests_per_minute is a bucket: it holds as many requests as the limit says and fills up again
 * evenly over a minute.  That is what OpenAI's headers describe ("remaining" of "limit", "reset": until
 * it is full again), and a caller that waits as long as it is told is let in.  concurrent counts
 * requests that are being worked on; images_per_day the pictures asked for since midnight UTC, those
 * that did not come are given back.
 *
 * All of it lies in one mapped file, state_dir/run/limits, so that it is exact whoever asks, and the
 * day's pictures survive a restart.  A process that dies, however it dies, gives back its requests: the
 * next one that asks in vain, or starts, notices.  There is room for LIMITS_KEYS keys; one more takes
 * the place of the one that was used longest ago, which then begins anew.
 *
 * Nothing in this interface says that it is a file: a store that several machines share can stand
 * behind the same functions.  Thread-safe.  Does not log.
 */
#include <stdbool.h>
#include <stdint.h>

#include "base/cleanup.h"
#include "base/deadline.h"
#include "base/err.h"

#define LIMITS_KEYS      2048
#define LIMITS_PROCESSES 512 /* that have the file open at once */

struct limits;

/* Opens the table, making it where there is none.  Once a process, after fork.  0 or -1: ERR_CONFIG,
 * ERR_STORAGE_FULL, ERR_OVERLOADED (more than LIMITS_PROCESSES). */
int limits_open(struct limits **out, const char *state_dir, struct err *e);
/* What was not given back by then is given back. */
void limits_free(struct limits *l);
DEFINE_FREEP(limits);

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

/* One request's share, from limits_take() to limits_give(); zeroed before. */
struct grant {
	struct limit_state requests, images; /* as they stood at the last call, refused or not */
	int64_t retry_ms;                    /* after a refusal: when to ask again */
	/* limits.c's own */
	struct limit_set set;
	bool held, left;
	uint32_t key;
	uint32_t day;
	int64_t pictures;
};

/*
 * Lets one request of the key in.  0, or -1: ERR_RATE_LIMITED with retry_after_s, and nothing was
 * taken; ERR_OVERLOADED: the table did not answer before *d.
 */
int limits_take(struct limits *l, const char *key_id, const struct limit_set *set, struct grant *g,
		const struct deadline *d, struct err *e);
/* Takes `pictures` of the day's for a request that was let in.  As limits_take(). */
int limits_take_images(struct limits *l, struct grant *g, int64_t pictures,
		       const struct deadline *d, struct err *e);
/* It is no longer being worked on for anybody who waits; its pictures are still its own until limits_give(). */
void limits_leave(struct limits *l, struct grant *g);
/* The request is done; `came` of its pictures are there, the others go back.  Once or more often. */
void limits_give(struct limits *l, struct grant *g, int64_t came);

/* "1s", "6m0s", "1h2m3s", "20ms": a duration as OpenAI's headers write it. */
#define LIMITS_DURATION_TEXT 32
void limits_duration(int64_t ms, char out[LIMITS_DURATION_TEXT]);

#endif
