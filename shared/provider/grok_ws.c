/*
 * Grok's WebSocket: {ws_url} with the token as a cookie, one message for a round of pictures, and frames
 * until as many final ones are there as were asked for.  How many a round makes is the server's to say
 * (2, 4 and 6 are known), so another round is asked for on the same socket, or on a new one when it was
 * closed, as long as each brings something.
 */
#include <jansson.h>
#include <openssl/rand.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/tick.h"
#include "net/upstream.h"
#include "net/websocket.h"
#include "provider/grok.h"
#include "provider/grok_pictures.h"
#include "provider/upstream_error.h"

/* All that have begun have ended, and no other begins. */
#define ROUND_IDLE_MS 2000
/*
 * Pictures have been seen and do not become final: that is how Grok withholds them.  Real ones take some
 * seconds, with 15 s users lost good ones and with 25 s they did not.
 */
#define BLOCKED_MS 30000

#define ROUNDS_MAX 10

enum ending {
	END_ENOUGH,  /* as many as wanted */
	END_IDLE,    /* all that had begun have ended */
	END_BLOCKED, /* previews, then silence */
	END_CLOSED,  /* the server closed */
};

struct session {
	struct image_call *call;
	const char *ratio;
	struct websocket *ws;
	struct upstream_head head; /* of the handshake */
	int close_code;
	int64_t blocked_ms;
	struct grok_pictures pictures;
};

static void
session_free(struct session *s)
{
	if (!s)
		return;
	websocket_free(s->ws);
	upstream_head_done(&s->head);
	grok_pictures_done(&s->pictures);
	free(s);
}
DEFINE_FREEP(session);

/* ---- the way in ---- */

static int
refused(const struct image_call *call, const struct upstream_head *head, const struct buf *body,
	struct err *e)
{
	struct upstream_failure f = { call->provider->name, call->credential, head };

	(void)upstream_error(&f, buf_str(body), body->len, e);
	e->may_have_been_billed = false; /* nothing was asked for yet */
	e->stage = "provider.connect";
	return -1;
}

static int
session_open(struct session *s, struct err *e)
{
	struct image_call *call = s->call;
	const struct provider_conf *p = call->provider;
	AUTO_SECRET char *cookie = NULL;
	AUTO(buf) body = BUF_INIT(UPSTREAM_ERROR_BYTES);
	const char *headers[2] = { NULL };
	struct websocket_req rq = { .url = p->ws_url,
				    .headers = headers,
				    .proxy = p->proxy,
				    .connect_timeout_ms = p->connect_timeout_ms,
				    .provider = p->name };

	if (grok_cookie(call->credential, true, &cookie, e) < 0)
		return -1;
	headers[0] = cookie;
	if (websocket_open(&s->ws, &rq, &s->head, &body, &call->deadline, call->ledger, e) < 0)
		return -1;
	return s->ws ? 0 : refused(call, &s->head, &body, e);
}

/* ---- what is asked ---- */

static void
make_uuid(char out[37])
{
	unsigned char b[16] = { 0 };

	(void)RAND_bytes(b, sizeof(b));
	b[6] = (unsigned char)((b[6] & 0x0f) | 0x40);
	b[8] = (unsigned char)((b[8] & 0x3f) | 0x80);
	(void)snprintf(out, 37,
		       "%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x", b[0],
		       b[1], b[2], b[3], b[4], b[5], b[6], b[7], b[8], b[9], b[10], b[11], b[12],
		       b[13], b[14], b[15]);
}

/* A new reference; takes `content`. */
static json_t *
message(json_t *content)
{
	return json_pack("{s:s, s:I, s:{s:s, s:[o]}}", "type", "conversation.item.create",
			 "timestamp", (json_int_t)clock_wall_ms(), "item", "type", "message",
			 "content", content);
}

static int
send_json(struct session *s, json_t *value, struct err *e)
{
	json_auto_t *owned = value;
	AUTO_FREE char *text = owned ? json_dumps(owned, JSON_COMPACT) : NULL;

	if (!text)
		return err_set(e, ERR_INTERNAL, "out of memory");
	return websocket_send(s->ws, text, strlen(text), &s->call->deadline, e);
}

static json_t *
request(const struct session *s, const char *id, unsigned n)
{
	const struct image_call *call = s->call;
	json_t *properties =
		json_pack("{s:i, s:b, s:b, s:b, s:b, s:s, s:b, s:b, s:i}", "section_count", 0,
			  "is_kids_mode", 0, "enable_nsfw", (int)call->image->image_ws_nsfw,
			  "skip_upsampler", 0, "is_initial", 0, "aspect_ratio", s->ratio,
			  "enable_side_by_side", 1, "enable_pro", 0, "num_generations", (int)n);

	return message(json_pack("{s:s, s:s, s:s, s:o}", "requestId", id, "text", call->rq->prompt,
				 "type", "input_text", "properties", properties));
}

/* *asked: from here on it may have been billed. */
static int
ask(struct session *s, unsigned n, bool *asked, struct err *e)
{
	struct image_call *call = s->call;
	char id[37];

	make_uuid(id);
	if (send_json(s, message(json_pack("{s:s}", "type", "reset")), e) < 0)
		return -1;
	if (call->on_stage)
		call->on_stage(call->self, "provider.submit");
	/* Whoever was just told may have found that it is not to be bought, or could not write down that it may be. */
	if (tick_forsaken())
		return err_set(e, ERR_GONE, "%s", "");
	upstream_sends();
	(void)snprintf(call->upstream_request_id, sizeof(call->upstream_request_id), "%s", id);
	*asked = true;
	if (send_json(s, request(s, id, n), e) < 0)
		return -1;
	grok_note(call, "WebSocket request sent: requestId=%s, num_generations=%u, aspect_ratio=%s",
		  id, n, s->ratio);
	return 0;
}

/* ---- what comes ---- */

/* Until when the next message is waited for, and what it means when none comes. */
static struct deadline
patience(const struct session *s, enum ending *then)
{
	const struct grok_pictures *g = &s->pictures;
	struct deadline d = s->call->deadline, sooner = d;

	*then = END_BLOCKED;
	if (g->data_us)
		sooner.at_us = g->data_us + BLOCKED_MS * 1000LL; /* inside of a message */
	else if (g->heard_us && !grok_pictures_open(g)) {
		*then = END_IDLE;
		sooner.at_us = g->heard_us + ROUND_IDLE_MS * 1000LL;
	} else if (g->seen_us) {
		sooner.at_us = g->seen_us + s->blocked_ms * 1000;
	}
	return sooner.at_us < d.at_us ? sooner : d;
}

static int
said_error(const struct session *s, const json_t *root, struct err *e)
{
	static const struct upstream_head head = { .status = 101 };
	const struct image_call *call = s->call;
	struct upstream_failure f = { call->provider->name, call->credential, &head };
	const char *code = json_string_value(json_object_get(root, "err_code"));
	const char *words = json_string_value(json_object_get(root, "err_msg"));
	json_auto_t *said =
		json_pack("{s:{s:s, s:s}}", "error", "code", code ? code : "error", "message",
			  words  ? words
			  : code ? code
				 : "an error");
	const struct grok_pictures *g = &s->pictures;

	if (!said)
		return err_set(e, ERR_INTERNAL, "out of memory");
	(void)upstream_error_json(&f, said, e);
	grok_note(call, "WebSocket error: %.60s - %s", code ? code : "error", e->upstream.message);
	e->stage = "provider.recv";
	/* A refusal at the beginning has made nothing. */
	e->may_have_been_billed = e->kind != ERR_UP_RATE || g->heard_us || g->finals;
	return -1;
}

/* As long as somebody waits for the answer, it is told in time. */
static int64_t
blocked_after_ms(const struct deadline *d)
{
	struct deadline answered = deadline_to_begin(d);
	int64_t left_ms = deadline_left_ms(deadline_over(&answered) ? d : &answered) * 3 / 4;

	return left_ms < BLOCKED_MS ? left_ms : BLOCKED_MS;
}

static int
receive_round(struct session *s, enum ending *end, struct err *e)
{
	struct grok_pictures *g = &s->pictures;

	for (;;) {
		enum ending then;
		struct deadline until = patience(s, &then);
		json_auto_t *error = NULL;
		int rc = websocket_receive(s->ws, grok_pictures_data, g, &until, e);

		if (rc < 0 && e->kind == ERR_DEADLINE && !deadline_over(&s->call->deadline)) {
			until = patience(s, end);
			if (!deadline_over(&until))
				continue; /* a message has begun to arrive */
			return 0;
		}
		if (rc < 0)
			return -1;
		if (rc == 0) {
			s->close_code = websocket_close_code(s->ws);
			*end = END_CLOSED;
			return 0;
		}
		if (grok_pictures_end(g, &error, e) < 0)
			return -1;
		if (error)
			return said_error(s, error, e);
		if (g->finals >= g->want) {
			*end = END_ENOUGH;
			return 0;
		}
		/* Measured when the first is seen: a short deadline has less patience. */
		if (g->seen_us && !s->blocked_ms)
			s->blocked_ms = blocked_after_ms(&s->call->deadline);
	}
}

/* ---- how it ends without all of them ---- */

static void
sign(const struct session *s, struct err *e)
{
	const struct image_call *call = s->call;

	e->stage = "provider.recv";
	e->may_have_been_billed = true;
	e->upstream.status = 101;
	(void)snprintf(e->upstream.name, sizeof(e->upstream.name), "%s", call->provider->name);
	(void)snprintf(e->upstream.request_id, sizeof(e->upstream.request_id), "%s",
		       call->upstream_request_id);
}

static int
too_few(const struct session *s, enum ending end, struct err *e)
{
	static const struct upstream_head head = { .status = 101 };
	const struct grok_pictures *g = &s->pictures;
	struct upstream_failure f = { s->call->provider->name, s->call->credential, &head };

	if (g->bad) {
		*e = g->why;
	} else if (end == END_BLOCKED) {
		(void)err_set(e, ERR_UP_POLICY,
			      " It sent previews, but no final picture within %lld s: so it "
			      "withholds what it will not show.",
			      (long long)(s->blocked_ms + 500) / 1000);
		grok_note(s->call, "WebSocket blocked: no final image within %lld s",
			  (long long)(s->blocked_ms + 500) / 1000);
	} else if (g->moderated) {
		(void)err_set(e, ERR_UP_POLICY, " It withheld %u of its pictures (moderated).",
			      g->moderated);
	} else if (g->quote.len && !g->n) {
		(void)upstream_garbage(&f, "its message is not JSON", g->quote.p, g->quote.len, e);
	} else {
		(void)err_set(e, ERR_UP_FAILED, "%s", "");
		if (end == END_CLOSED)
			(void)snprintf(e->upstream.message, sizeof(e->upstream.message),
				       "the WebSocket was closed with code %d", s->close_code);
		else
			(void)snprintf(e->upstream.message, sizeof(e->upstream.message),
				       "no further pictures came");
	}
	sign(s, e);
	return -1;
}

/* Is it worth asking for those that lack?  Withheld ones would be withheld again. */
static unsigned
still_to_ask(const struct session *s, enum ending end)
{
	const struct grok_pictures *g = &s->pictures;
	unsigned had = g->finals + g->moderated + g->bad;

	if (end == END_BLOCKED || !grok_pictures_ended(g) || had >= g->want ||
	    g->round + 1 >= ROUNDS_MAX || tick_forsaken() || deadline_over(&s->call->deadline))
		return 0;
	return g->want - had;
}

static int
rounds(struct session *s, bool *asked, struct err *e)
{
	struct grok_pictures *g = &s->pictures;
	unsigned n = g->want;

	for (;;) {
		enum ending end = END_IDLE;

		if (!s->ws && session_open(s, e) < 0)
			return -1;
		if (ask(s, n, asked, e) < 0 || receive_round(s, &end, e) < 0)
			return -1;
		if (end == END_ENOUGH)
			return 0;
		if (grok_pictures_settle(g, e) < 0)
			return -1;
		if (g->finals >= g->want)
			return 0;
		n = still_to_ask(s, end);
		if (!n)
			return too_few(s, end, e);
		if (end == END_CLOSED) {
			websocket_free(s->ws);
			s->ws = NULL;
		}
		if (grok_pictures_round(g, e) < 0)
			return -1;
	}
}

int
grok_ws_generate(struct image_call *call, struct err *e)
{
	AUTO_PTR(session) s = calloc(1, sizeof(*s));
	unsigned want = call->rq->n < IMAGES_MAX ? call->rq->n : IMAGES_MAX;
	bool asked = false;
	struct err ignored;
	int rc;

	if (!s)
		return err_set(e, ERR_INTERNAL, "out of memory");
	s->call = call;
	grok_pictures_init(&s->pictures, call, want > call->nimages ? want - call->nimages : 0);
	if (grok_refuse_sources(call, e) < 0 ||
	    grok_ratio(call, grok_ws_ratios, "2:3", &s->ratio, e) < 0)
		return -1;
	if (!s->pictures.want)
		return 0;
	grok_drop(call, PARAM_QUALITY);
	grok_drop(call, PARAM_USER);
	grok_note(call, "Image generation: prompt='{prompt}', n=%u, ratio=%s, nsfw=%s",
		  s->pictures.want, s->ratio, call->image->image_ws_nsfw ? "True" : "False");
	rc = rounds(s, &asked, e);
	/* What arrived is paid for, whatever broke afterwards. */
	if (rc < 0 && grok_pictures_settle(&s->pictures, &ignored) == 0 &&
	    s->pictures.finals >= s->pictures.want)
		rc = 0;
	if (rc < 0 && asked && e->kind != ERR_UP_RATE)
		e->may_have_been_billed = true;
	if (rc < 0 && asked && !e->upstream.request_id[0])
		(void)snprintf(e->upstream.request_id, sizeof(e->upstream.request_id), "%s",
			       call->upstream_request_id);
	if (asked)
		grok_note(call, "WebSocket collected %u final images", s->pictures.finals);
	grok_pictures_deliver(&s->pictures);
	return rc;
}
