#ifndef EASEL_NET_WEBSOCKET_WIRE_H
#define EASEL_NET_WEBSOCKET_WIRE_H
/*
 * websocket_wire - what the two halves of net/websocket.h share: the handshake and the frames
 *
 * Private to net/.
 */
#include <curl/curl.h>
#include <poll.h>
#include <wslay/wslay.h>

#include "net/handle_pool.h"
#include "net/websocket.h"

#define WEBSOCKET_CONTROL_BYTES 125 /* RFC 6455 section 5.5 */

struct websocket {
	struct handle *h;
	CURL *easy;
	curl_socket_t fd;
	wslay_frame_context_ptr frames;
	const char *provider;
	void *store;    /* of trusted certificates, while it connects */
	int64_t tls_us; /* when TLS began; 0: not yet */
	/* What came behind the handshake's answer: the first frames. */
	struct buf early;
	size_t early_at;
	/* The frame that is arriving. */
	uint64_t frame_left, message_bytes;
	unsigned char opcode;
	bool in_frame, final, in_message, text;
	unsigned char control[WEBSOCKET_CONTROL_BYTES];
	size_t control_len;
	int close_code;
	bool closed, broken;
	bool opening;    /* nothing is bought yet */
	bool forsaken;   /* … and nobody waits for it any more */
	int64_t ping_us; /* when the next one is due */
	const struct deadline *d;
};

/* Waits for the socket.  0: it is time to try again; also when a ping is due while nothing comes. */
int websocket_wait(struct websocket *ws, short events, const struct deadline *d, struct err *e);

int websocket_send_all(struct websocket *ws, const void *p, size_t n, const struct deadline *d,
		       struct err *e);

/* >0: bytes; 0: the connection ended; -1: none there yet; -2: broken. */
ssize_t websocket_receive_some(struct websocket *ws, void *p, size_t n);

/* Before the first frame. */
int websocket_frames_init(struct websocket *ws, struct err *e);

/* Adds who and where to an error.  Always -1. */
int websocket_sign(const struct websocket *ws, const char *stage, struct err *e);

#endif
