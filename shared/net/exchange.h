#ifndef EASEL_NET_EXCHANGE_H
#define EASEL_NET_EXCHANGE_H
/*
 * exchange - how far one call got, and what its failure means
 *
 * Private to net/.  upstream.c fills the struct from libcurl's callbacks; here it is read: where the
 * time went, which stage failed, whether the request may have reached the server.
 */
#include <curl/curl.h>
#include <stdbool.h>

#include "net/handle_pool.h"
#include "net/upstream.h"

struct exchange {
	const struct upstream_req *rq;
	const struct upstream_body *body;
	struct upstream_head *head;
	const struct deadline *deadline;
	struct deadline to_begin; /* what is no GET must begin to leave before that */
	struct ledger *ledger;
	struct err *e;
	CURL *easy;
	struct handle *handle;
	const char *words; /* libcurl's own, for the log */
	size_t head_bytes;
	uint64_t body_at; /* of a body that is read piece by piece */
	int64_t start_us;
	int64_t heard_us;      /* when the server was last heard, or the request began to leave */
	int64_t trim_after_us; /* when the unused stack goes back, since the start */
	int64_t tls_us; /* when TCP, and the proxy's tunnel, were there and TLS began; 0: not */
	long overhead;  /* bytes that had been sent before the request: a proxy's CONNECT */
	void *store;    /* X509_STORE, with https */
	bool tls;
	bool guarded;      /* only public addresses */
	bool repeatable;   /* GET or HEAD */
	bool sending;      /* connected: the request began to leave */
	bool died;         /* the connection was lost, and libcurl kept from sending again */
	bool refused;      /* an address was not public */
	bool head_whole;   /* the empty line after the headers came */
	bool begun;        /* the receiver's begin was called */
	bool failed;       /* a callback filled *e */
	bool forsaken;     /* not sent, because nobody waits for it any more */
	int64_t looked_us; /* when libcurl came by last */
	curl_off_t moved;  /* how many bytes had moved then */
	int64_t enough_us; /* since when the receiver has all it wants; 0: it has not */
};

/* The request is about to be sent. */
void exchange_ready(struct exchange *x);

/* Would sending now be the second time, on a connection of its own?  Notes it in x->died. */
bool exchange_may_not_repeat(struct exchange *x);

/* Where it is: "provider.wait". */
const char *exchange_stage(const struct exchange *x);

/* Adds the call's times to the ledger. */
void exchange_book(const struct exchange *x, CURLcode rc);

/* Always -1: *e from libcurl's verdict, or untouched when a callback had filled it. */
int exchange_error(const struct exchange *x, CURLcode rc, struct err *e);

/* Adds who, where and whether it may have been billed to an error of this call. */
void exchange_sign(const struct exchange *x, struct err *e);

#endif
