#include <openssl/rand.h>
#include <stdio.h>
#include <string.h>

#include "base/stack.h"
#include "base/tick.h"
#include "net/websocket_wire.h"

#define GOODBYE_MS 200
#define POLL_MS    60000

/* ---- bytes, in time ---- */

int
websocket_wait(struct websocket *ws, short events, const struct deadline *d, struct err *e)
{
	struct pollfd p = { .fd = ws->fd, .events = events };
	bool pinging = events == POLLIN && ws->ping_us;

	for (;;) {
		int64_t left_ms = deadline_left_ms(d), ping_ms;

		tick();
		if (ws->opening && tick_forsaken())
			return err_set(e, ERR_GONE, "%s", "");
		if (left_ms <= 0)
			return err_set(e, ERR_DEADLINE, "waiting for the answer of %s",
				       ws->provider);
		left_ms = tick_wait_ms(left_ms);
		ping_ms = (ws->ping_us - clock_us()) / 1000 + 1;
		if (pinging && ping_ms < left_ms)
			left_ms = ping_ms > 0 ? ping_ms : 0;
		if (poll(&p, 1, (int)(left_ms < POLL_MS ? left_ms : POLL_MS)) > 0)
			return 0;
		if (pinging && clock_us() >= ws->ping_us)
			return 0;
	}
}

int
websocket_send_all(struct websocket *ws, const void *p, size_t n, const struct deadline *d,
		   struct err *e)
{
	const char *at = p;

	while (n > 0) {
		size_t sent = 0;
		CURLcode rc = curl_easy_send(ws->easy, at, n, &sent);

		if (rc == CURLE_AGAIN) {
			if (websocket_wait(ws, POLLOUT, d, e) < 0)
				return -1;
			continue;
		}
		if (rc != CURLE_OK) {
			ws->broken = true;
			return err_set(e, ERR_UP_RESET, "%s", "");
		}
		at += sent;
		n -= sent;
	}
	return 0;
}

ssize_t
websocket_receive_some(struct websocket *ws, void *p, size_t n)
{
	size_t got = 0, early = ws->early.len - ws->early_at;
	CURLcode rc;

	if (early) {
		got = early < n ? early : n;
		memcpy(p, ws->early.p + ws->early_at, got);
		ws->early_at += got;
		return (ssize_t)got;
	}
	rc = curl_easy_recv(ws->easy, p, n, &got);
	if (rc == CURLE_AGAIN)
		return -1;
	return rc == CURLE_OK ? (ssize_t)got : -2;
}

int
websocket_sign(const struct websocket *ws, const char *stage, struct err *e)
{
	if (!e->upstream.name[0])
		(void)snprintf(e->upstream.name, sizeof(e->upstream.name), "%s", ws->provider);
	if (!e->stage)
		e->stage = stage;
	return -1;
}

/* ---- wslay's way to the connection ---- */

static ssize_t
on_send(const uint8_t *p, size_t n, int flags, void *self)
{
	struct websocket *ws = self;
	struct err ignored;

	(void)flags;
	return websocket_send_all(ws, p, n, ws->d, &ignored) < 0 ? -1 : (ssize_t)n;
}

static ssize_t
on_receive(uint8_t *p, size_t n, int flags, void *self)
{
	struct websocket *ws = self;
	ssize_t got = websocket_receive_some(ws, p, n);

	(void)flags;
	if (got == 0 || got == -2)
		ws->broken = true;
	return got > 0 ? got : -1;
}

static int
on_mask(uint8_t *p, size_t n, void *self)
{
	(void)self;
	return RAND_bytes(p, (int)n) == 1 ? 0 : -1;
}

int
websocket_frames_init(struct websocket *ws, struct err *e)
{
	static const struct wslay_frame_callbacks callbacks = { on_send, on_receive, on_mask };

	if (wslay_frame_context_init(&ws->frames, &callbacks, ws) != 0)
		return err_set(e, ERR_INTERNAL, "out of memory");
	ws->ping_us = clock_us() + WEBSOCKET_PING_MS * 1000LL;
	return 0;
}

/* ---- frames ---- */

static int
send_frame(struct websocket *ws, int opcode, const void *p, size_t n, const struct deadline *d)
{
	struct wslay_frame_iocb io = { .fin = 1,
				       .opcode = (uint8_t)opcode,
				       .mask = 1,
				       .payload_length = n,
				       .data = p,
				       .data_length = n };
	size_t sent = 0;

	ws->d = d;
	/* An empty frame is sent by one call that returns 0. */
	do {
		ssize_t m = wslay_frame_send(ws->frames, &io);

		if (m < 0)
			return -1;
		sent += (size_t)m;
		io.data = (const uint8_t *)p + sent;
		io.data_length = n - sent;
	} while (sent < n);
	return 0;
}

int
websocket_send(struct websocket *ws, const char *text, size_t n, const struct deadline *d,
	       struct err *e)
{
	if (send_frame(ws, WSLAY_TEXT_FRAME, text, n, d) == 0)
		return 0;
	ws->broken = true;
	if (deadline_over(d))
		(void)err_set(e, ERR_DEADLINE, "sending the request to %s", ws->provider);
	else
		(void)err_set(e, ERR_UP_RESET, "%s", "");
	return websocket_sign(ws, "provider.send", e);
}

static void
take_close(struct websocket *ws)
{
	if (ws->control_len >= 2)
		ws->close_code = ws->control[0] << 8 | ws->control[1];
	ws->closed = true;
	(void)send_frame(ws, WSLAY_CONNECTION_CLOSE, ws->control, ws->control_len >= 2 ? 2 : 0,
			 &(struct deadline){ .at_us = clock_us() + GOODBYE_MS * 1000 });
}

static int
no_websocket(const char *why, struct err *e)
{
	return err_set(e, ERR_UP_GARBAGE, "%s", why);
}

/* A frame begins: may it? */
static int
begin_frame(struct websocket *ws, const struct wslay_frame_iocb *io, struct err *e)
{
	bool control = wslay_is_ctrl_frame(io->opcode);

	if (io->rsv)
		return no_websocket("a frame with an extension that was not agreed on", e);
	if (io->mask)
		return no_websocket("a server must not mask its frames", e);
	if (control && (io->payload_length > WEBSOCKET_CONTROL_BYTES || !io->fin))
		return no_websocket("a control frame is too long", e);
	if (!control && (io->opcode == WSLAY_CONTINUATION_FRAME) != ws->in_message)
		return no_websocket("a message's frames are out of order", e);
	if (io->opcode > WSLAY_BINARY_FRAME && !control)
		return no_websocket("a frame of an unknown kind", e);
	ws->in_frame = true;
	ws->opcode = io->opcode;
	ws->final = io->fin;
	ws->frame_left = io->payload_length;
	ws->control_len = 0;
	if (control)
		return 0;
	if (!ws->in_message) {
		ws->text = io->opcode == WSLAY_TEXT_FRAME;
		ws->message_bytes = 0;
		ws->in_message = true;
	}
	/* The sum cannot overflow: lengths have 63 bits. */
	ws->message_bytes += io->payload_length;
	if (ws->message_bytes > WEBSOCKET_MESSAGE_MAX)
		return err_set(e, ERR_UP_TOO_LARGE, "a message of more than %llu MB",
			       WEBSOCKET_MESSAGE_MAX >> 20);
	return 0;
}

/* A frame is whole: 1, a text message ended with it; 0: go on. */
static int
end_frame(struct websocket *ws, const struct deadline *d)
{
	ws->in_frame = false;
	switch (ws->opcode) {
	case WSLAY_CONNECTION_CLOSE: take_close(ws); return 0;
	case WSLAY_PING:
		(void)send_frame(ws, WSLAY_PONG, ws->control, ws->control_len, d);
		return 0;
	case WSLAY_PONG: return 0;
	default:
		if (!ws->final)
			return 0;
		ws->in_message = false;
		return ws->text;
	}
}

static int
take_piece(struct websocket *ws, const struct wslay_frame_iocb *io,
	   int (*data)(void *self, const char *p, size_t n, struct err *e), void *self,
	   struct err *e)
{
	ws->frame_left -= io->data_length;
	if (wslay_is_ctrl_frame(ws->opcode)) {
		memcpy(ws->control + ws->control_len, io->data, io->data_length);
		ws->control_len += io->data_length;
		return 0;
	}
	return ws->text && io->data_length ? data(self, (const char *)io->data, io->data_length, e)
					   : 0;
}

static int
ping_when_due(struct websocket *ws, const struct deadline *d)
{
	if (clock_us() < ws->ping_us)
		return 0;
	ws->ping_us = clock_us() + WEBSOCKET_PING_MS * 1000LL;
	return send_frame(ws, WSLAY_PING, "", 0, d);
}

/* Nothing was there: waits, or says why not. */
static int
wait_for_more(struct websocket *ws, ssize_t why, const struct deadline *d, struct err *e)
{
	if (ws->broken)
		return err_set(e, ws->in_message || ws->in_frame ? ERR_UP_TRUNCATED : ERR_UP_RESET,
			       "%s", "");
	if (why == WSLAY_ERR_PROTO)
		return no_websocket("its frames are no WebSocket's", e);
	if (why != WSLAY_ERR_WANT_READ)
		return err_set(e, ERR_INTERNAL, "wslay failed (%zd)", why);
	stack_trim();
	if (websocket_wait(ws, POLLIN, d, e) < 0)
		return -1;
	if (ping_when_due(ws, d) < 0)
		return err_set(e, ERR_UP_RESET, "%s", "");
	return 0;
}

static int
receive(struct websocket *ws, int (*data)(void *self, const char *p, size_t n, struct err *e),
	void *self, const struct deadline *d, struct err *e)
{
	for (;;) {
		struct wslay_frame_iocb io = { 0 };
		ssize_t n;

		if (ws->closed)
			return 0;
		if (deadline_over(d))
			return err_set(e, ERR_DEADLINE, "receiving the answer of %s", ws->provider);
		n = wslay_frame_recv(ws->frames, &io);
		if (n < 0) {
			if (wait_for_more(ws, n, d, e) < 0)
				return -1;
			continue;
		}
		if ((!ws->in_frame && begin_frame(ws, &io, e) < 0) ||
		    take_piece(ws, &io, data, self, e) < 0)
			return -1;
		if (ws->frame_left == 0 && end_frame(ws, d) > 0)
			return 1;
	}
}

int
websocket_receive(struct websocket *ws,
		  int (*data)(void *self, const char *p, size_t n, struct err *e), void *self,
		  const struct deadline *d, struct err *e)
{
	int rc = receive(ws, data, self, d, e);

	if (rc >= 0)
		return rc;
	if (e->kind != ERR_DEADLINE)
		ws->broken = true; /* whatever comes now is out of step */
	return websocket_sign(ws, "provider.recv", e);
}

int
websocket_close_code(const struct websocket *ws)
{
	return ws->close_code;
}

void
websocket_free(struct websocket *ws)
{
	static const unsigned char normal[2] = { 1000 >> 8, 1000 & 0xff };

	if (!ws)
		return;
	if (ws->frames && !ws->closed && !ws->broken)
		(void)send_frame(ws, WSLAY_CONNECTION_CLOSE, normal, sizeof(normal),
				 &(struct deadline){ .at_us = clock_us() + GOODBYE_MS * 1000 });
	if (ws->frames)
		wslay_frame_context_free(ws->frames);
	if (ws->h)
		handle_drop(ws->h);
	buf_done(&ws->early);
	free(ws);
}
