#ifndef EASEL_NET_UPSTREAM_H
#define EASEL_NET_UPSTREAM_H
/*
 * upstream - one HTTP exchange with somebody else's server
 *
 * Blocking, bounded by the deadline and nothing else; the thread's tick (base/tick.h) goes on, up to a
 * second late.  libcurl 7.87 or newer: easy handles from a
 * LIFO pool of the process, one X509_STORE for them all, DNS and TLS sessions shared; QUICK_EXIT, so
 * that a slow resolver breaks no deadline.  Redirects are not followed.  Environment proxies are
 * ignored.  HTTP/1.1.  Thread-safe.  Does not log.
 *
 * A request is sent once.  libcurl by itself repeats one, POST included, when a connection that was
 * kept alive dies before the first byte of an answer; the server may have read it by then, so that
 * would buy a second picture.  Here only GET and HEAD are repeated, and others when no byte had left.
 * To make that case rare, connections idle for longer than three seconds are not used again, and
 * libcurl looks whether a connection still lives before it uses it.
 *
 * Every exchange holds three descriptors, the connection and two of libcurl's, and each idle handle
 * (256 at most) as many: a process with 1,000 in flight needs RLIMIT_NOFILE well above 4,000.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/deadline.h"
#include "base/err.h"
#include "base/ledger.h"

/* What the server said before its body.  Zeroed before its first call; upstream_head_done() frees what it has. */
struct upstream_head {
	int status;
	char content_type[96]; /* lower case, without parameters */
	/* Of x-request-id, x-oneapi-request-id, cf-ray: the first there is; what looks like a key is hidden. */
	char request_id[96];
	char *location; /* where a redirect leads, absolute, once the call has ended; NULL: nowhere */
	bool mitigated;    /* cf-mitigated: the edge refused it, not the API behind */
	int retry_after_s; /* both forms of Retry-After, and retry-after-ms rounded up; at most a
	                            day; 0: none */
	int64_t content_length; /* -1: not said */
	bool quota_said; /* modelscope-ratelimit-requests-remaining or -model-requests-remaining */
	int64_t quota_left; /* the lower of them: calls left today */
	int id_rank;        /* upstream_head.c's own */
};

void upstream_head_done(struct upstream_head *h);

#define UPSTREAM_URL_BYTES  2048  /* of a URL that is followed, with its NUL */
#define UPSTREAM_HEAD_BYTES 65536 /* all headers of an answer together; more is ERR_UP_GARBAGE */

/*
 * The receiver of a body.  begin is called once, before the first byte (with an empty body: at the
 * end), and chooses; each may end the transfer by returning -1 with *e filled, which upstream_call()
 * then returns.
 */
struct upstream_body {
	int (*begin)(void *self, const struct upstream_head *h, struct err *e); /* may be NULL */
	int (*data)(void *self, const char *p, size_t n, struct err *e);
	void *self;
	/*
	 * NULL, or: was all received that is wanted?  Then it does not matter any more how the answer ends, and
	 * it is not waited for much longer (UPSTREAM_LINGER_MS, and up to a second more).
	 */
	bool (*enough)(void *self);
	/*
	 * NULL, or: nothing more is there at the moment.  Data comes in many small pieces; who passes them on does
	 * so here, once for all that came together.  Called now and then while it waits, too, before begin and right
	 * after the tick: what that found may end the exchange.  -1 as above.
	 */
	int (*caught_up)(void *self, struct err *e);
};

#define UPSTREAM_LINGER_MS 100

/* Which addresses may be connected to. */
enum upstream_policy {
	UPSTREAM_TRUSTED, /* the operator's own base_url: anything */
	UPSTREAM_PUBLIC,  /* a URL from outside: public addresses and ports 443 and 80 only.  The
	                     address is judged when the socket is made, so no name, number or
	                     rebinding gets around it; and never through a proxy, which would
	                     connect to what we cannot see */
};

struct upstream_req {
	const char *method; /* "GET", "POST" */
	const char *url;
	const char *const *headers; /* "Name: value", NULL at the end; NULL: none */
	const void *body;           /* NULL: none */
	size_t body_len;
	/*
	 * Instead of body: gives up to n of the body_len bytes from `at` on, at least one; 0 or -1 with *e.
	 * A body of any length, of which libcurl holds 64 KB while it leaves.
	 */
	int (*body_read)(void *self, uint64_t at, void *p, size_t n, size_t *got, struct err *e);
	void *body_self;
	const char *proxy;          /* "" or NULL: none */
	int64_t connect_timeout_ms; /* 0: the deadline's alone */
	int64_t idle_ms; /* once it is sent: so long the server may send nothing; 0: until the deadline.
	                    Seen up to a second later */
	enum upstream_policy policy;
	const char *provider;     /* its name, for errors */
	enum ledger_item item;    /* LEDGER_PROVIDER or LEDGER_FETCH: where waiting is booked */
	const char *allow_origin; /* with UPSTREAM_PUBLIC: a URL whose scheme, host and port (the
	                               provider's own base_url) are trusted all the same; NULL: none */
};

/*
 * Starts the machinery: once a process, after fork, before threads.  Loads the CA certificates on
 * the first use of https only.  SIGPIPE is ignored from here on unless the process handles it.
 */
int upstream_init(struct err *e);
/* The part of it that needs no process of its own, before fork: what OpenSSL sets up is then there once for all workers. */
int upstream_prepare(struct err *e);
void upstream_shutdown(void);

/*
 * 0: the server answered and the whole body went to *body; *head is what it said, whatever status.
 * -1: ERR_DEADLINE, ERR_UP_DNS, ERR_UP_CONNECT, ERR_UP_TLS, ERR_UP_RESET, ERR_UP_TRUNCATED, ERR_UP_STALLED (idle_ms),
 *     ERR_UP_GARBAGE (no HTTP), ERR_FETCH_REFUSED (the policy), ERR_CONFIG (a trusted URL that is
 *     none, or a header with a control character), ERR_GONE (a request to a provider that is no GET was not
 *     sent, because this thread's tick found that nobody waits any more), ERR_INTERNAL, or whatever
 *     *body answered.
 *     e->upstream.name is req->provider, e->stage the stage (provider.dns, provider.connect,
 *     provider.tls, provider.send, provider.wait, provider.recv; fetch for LEDGER_FETCH), and
 *     e->may_have_been_billed is set when the request may have reached the server (any byte of it
 *     was sent) and the item is LEDGER_PROVIDER.
 */
int upstream_call(const struct upstream_req *req, const struct upstream_body *body,
		  struct upstream_head *head, const struct deadline *d, struct ledger *ledger,
		  struct err *e);

/*
 * From a tick, in the middle of this thread's exchange: where it is ("provider.wait"); its time so far is
 * added to its ledger.  NULL: there is none.
 */
const char *upstream_now(void);
/* Has nothing left yet that is no GET?  Not for a WebSocket. */
bool upstream_is_connecting(void);
/*
 * fn is called in this thread when a request to a provider that is no GET is about to leave, on a connection that
 * stands.  NULL: nobody is.  Who sends by other ways looks at tick_forsaken() first, as is done here, and says so with
 * upstream_sends().
 */
void upstream_on_sending(void (*fn)(void *self), void *self);
void upstream_sends(void);

/*
 * *out is `location` as a URL found at `base` means it ("/a.png", "//h/a", "b.png", "https://…").
 * 0, or -1: it is no URL or longer than `size`.
 */
int upstream_url_join(const char *base, const char *location, char *out, size_t size);

/* Have both URLs the same scheme, host and port? */
bool upstream_same_origin(const char *a, const char *b);

/*
 * May a URL that a user gives be called at all?  What the URL itself says: scheme, port, a number as its
 * host.  A name is judged when it is resolved.  0 or -1: ERR_FETCH_REFUSED.
 */
int upstream_url_judge(const char *url, struct err *e);

/* A receiver that collects up to out->max bytes and drops the rest silently. */
struct upstream_body upstream_to_buf(struct buf *out);

#endif
