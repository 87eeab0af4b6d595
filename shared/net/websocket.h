#ifndef EASEL_NET_WEBSOCKET_H
#define EASEL_NET_WEBSOCKET_H
/*
 * websocket - a client's connection (RFC 6455), in the thread that asks for it
 *
 * libcurl makes TCP, the proxy's tunnel and TLS (CURLOPT_CONNECT_ONLY: Debian 12's libcurl speaks no
 * WebSocket), wslay the frames.  Blocking, bounded by a deadline in every function; base/tick.h is
 * called in every wait.  A text message is handed on in pieces as it arrives, so its size costs no
 * memory.  Pings are answered, and sent every WEBSOCKET_PING_MS.  One thread.  Does not log.
 */
#include <stdbool.h>

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/deadline.h"
#include "base/err.h"
#include "base/ledger.h"
#include "net/upstream.h"

#define WEBSOCKET_PING_MS     20000
#define WEBSOCKET_MESSAGE_MAX (64ull * 1024 * 1024) /* bytes; more is ERR_UP_TOO_LARGE */

struct websocket;

struct websocket_req {
	const char *url; /* "wss://host/path", "ws://…": the operator's own, any address */
	const char *const *headers; /* "Name: value", NULL at the end */
	const char *proxy;          /* "" or NULL: none */
	int64_t connect_timeout_ms; /* 0: the deadline's alone */
	const char *provider;       /* its name, for errors */
};

/*
 * 0: *out is open.  Or 0 with *out NULL: the server answered the handshake with something else than 101:
 * *head is what it said, *refusal the beginning of its body (up to refusal->max).
 * -1: as upstream_call() says of an exchange that did not come to an answer; ERR_UP_GARBAGE, a 101 that
 * is none; ERR_GONE, nobody waits for it any more (base/tick.h).  Nothing can have been bought.
 */
int
websocket_open(struct websocket **out, const struct websocket_req *rq, struct upstream_head *head,
	       struct buf *refusal, const struct deadline *d, struct ledger *ledger, struct err *e);

/* Says goodbye when it is open still, and closes it. */
void websocket_free(struct websocket *ws);
DEFINE_FREEP(websocket);

/* One text message.  0 or -1: ERR_UP_RESET, ERR_DEADLINE. */
int websocket_send(struct websocket *ws, const char *text, size_t n, const struct deadline *d,
		   struct err *e);

/*
 * Hands the pieces of the next text message to data(); binary messages are passed over.
 * 1: the message is whole.  0: the server closed (websocket_close_code()).  -1: ERR_UP_RESET (it broke),
 * ERR_UP_TRUNCATED (inside of a message), ERR_UP_GARBAGE (no WebSocket), ERR_UP_TOO_LARGE, ERR_DEADLINE, or
 * what data() said.  After ERR_DEADLINE, and after it alone, it may be called again: it goes on where it
 * was, inside of a message too.
 */
int websocket_receive(struct websocket *ws,
		      int (*data)(void *self, const char *p, size_t n, struct err *e), void *self,
		      const struct deadline *d, struct err *e);

int websocket_close_code(const struct websocket *ws); /* 1005: it said none */

#endif
