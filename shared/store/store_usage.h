#ifndef EASEL_STORE_USAGE_H
#define EASEL_STORE_USAGE_H
/*
 * store_usage - what was used: sums by day, key and model; and the pictures that are kept
 */
#include "store/store.h"

/* ---- sums ---- */

struct usage_record {
	char day[16]; /* "2026-02-13", UTC */
	char key_id[40];
	char model[128];
	int64_t requests, pictures;
	int64_t price_micro; /* millionths of the unit that `price` is in */
};

enum usage_by { USAGE_BY_KEY, USAGE_BY_MODEL, USAGE_BY_DAY };
/* Summed; what it is not summed by is "".  Days from `since` to `until`, both included; NULL: no bound.
 * In the order of the name. */
int store_usage_sum(struct store *s, enum usage_by by, const char *since, const char *until,
		    void (*fn)(const struct usage_record *u, void *arg), void *arg,
		    const struct deadline *d, struct err *e);

/* ---- pictures ---- */

struct picture_record {
	char id[64]; /* the file's name without its ending */
	char owner[40], request_id[40], task_id[40];
	char type[32]; /* "image/png" */
	char size[24]; /* "1024x1024" */
	char model[128], provider[64];
	char file[128]; /* under the file store */
	int64_t created_ms, bytes;
	int64_t seed;               /* -1: not known */
	char *prompt;               /* these are the record's own */
	char *parameters, *receipt; /* JSON */
};
void picture_record_done(struct picture_record *p);

int store_picture_get(struct store *s, const char *id, struct picture_record *out, bool *found,
		      const struct deadline *d, struct err *e);
/* *found: there was one of that owner (NULL: anybody's), and it is gone. */
int store_picture_delete(struct store *s, const char *id, const char *owner, bool *found,
			 const struct deadline *d, struct err *e);

/* A picture and what it adds to the sums. */
struct picture_entry {
	struct picture_record picture;
	struct usage_record used;
};
/*
 * Adds them in order, in SQLite all or none; an id that is there already changes nothing.  What is used counts when its picture is new, and with it or
 * not at all: after -1 it may be done again.
 */
int store_picture_add_all(struct store *s, const struct picture_entry *v, size_t n,
			  const struct deadline *d, struct err *e);

struct picture_query {
	const char *owner; /* NULL: everybody's */
	const char *q;     /* stands in the prompt, letters A-Z alike; NULL or "": all */
	const char *model; /* NULL or "": all */
	const char *after; /* id of the last of the page before */
	size_t limit;
};
/* The newest first, by created_ms: records may be added late. */
int store_picture_list(struct store *s, const struct picture_query *q,
		       void (*fn)(const struct picture_record *p, void *arg), void *arg,
		       const struct deadline *d, struct err *e);

/*
 * Removes the records of the oldest pictures: those made before `before_ms`, then as many as it takes to
 * have no more than max_bytes (0: no bound); at most `limit` of them.  fn sees each after it is gone, to
 * remove its file: a record never promises a file that is not there.
 */
int store_picture_prune(struct store *s, int64_t before_ms, int64_t max_bytes, size_t limit,
			void (*fn)(const struct picture_record *p, void *arg), void *arg,
			const struct deadline *d, struct err *e);

#endif
