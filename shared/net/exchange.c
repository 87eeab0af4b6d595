#include "net/exchange.h"

#include <stdio.h>
#include <string.h>

enum phase { PHASE_DNS, PHASE_CONNECT, PHASE_TLS, PHASE_SEND, PHASE_WAIT, PHASE_RECV };

static const struct {
	const char *stage, *doing;
} phases[] = {
	[PHASE_DNS] = { "provider.dns", "resolving the host name of" },
	[PHASE_CONNECT] = { "provider.connect", "connecting to" },
	[PHASE_TLS] = { "provider.tls", "agreeing on TLS with" },
	[PHASE_SEND] = { "provider.send", "sending the request to" },
	[PHASE_WAIT] = { "provider.wait", "waiting for the answer of" },
	[PHASE_RECV] = { "provider.recv", "receiving the answer of" },
};

static curl_off_t
info(const struct exchange *x, CURLINFO what)
{
	curl_off_t v = 0;

	return curl_easy_getinfo(x->easy, what, &v) == CURLE_OK ? v : 0;
}

static long
bytes_out(const struct exchange *x)
{
	long n = 0;

	return curl_easy_getinfo(x->easy, CURLINFO_REQUEST_SIZE, &n) == CURLE_OK ? n : 0;
}

/* Has any byte of the request been handed to the kernel? */
static bool
has_left(const struct exchange *x)
{
	return x->easy && x->sending && bytes_out(x) > x->overhead;
}

void
exchange_ready(struct exchange *x)
{
	if (!x->sending)
		x->overhead = bytes_out(x);
	x->sending = true;
	x->heard_us = clock_us();
}

bool
exchange_may_not_repeat(struct exchange *x)
{
	if (!x->repeatable && has_left(x))
		x->died = true;
	return x->died;
}

static enum phase
phase_of(const struct exchange *x)
{
	if (x->head_bytes)
		return PHASE_RECV;
	if (x->died)
		return PHASE_WAIT;
	if (x->sending)
		return info(x, CURLINFO_SIZE_UPLOAD_T) < (curl_off_t)x->rq->body_len ? PHASE_SEND
										     : PHASE_WAIT;
	if (!x->easy || !info(x, CURLINFO_NAMELOOKUP_TIME_T))
		return PHASE_DNS;
	return x->tls_us ? PHASE_TLS : PHASE_CONNECT;
}

const char *
exchange_stage(const struct exchange *x)
{
	return x->rq->item == LEDGER_FETCH ? "fetch" : phases[phase_of(x)].stage;
}

void
exchange_book(const struct exchange *x, CURLcode rc)
{
	int64_t dns = info(x, CURLINFO_NAMELOOKUP_TIME_T);
	int64_t connect = info(x, CURLINFO_CONNECT_TIME_T);
	int64_t tls = info(x, CURLINFO_APPCONNECT_TIME_T);
	int64_t ready = info(x, CURLINFO_PRETRANSFER_TIME_T);
	int64_t total = info(x, CURLINFO_TOTAL_TIME_T);
	int64_t *us = x->ledger->us;
	enum phase end = rc == CURLE_OK ? PHASE_RECV : phase_of(x);

	/* libcurl notes the connection only when TLS is there too. */
	if (x->tls_us)
		connect = x->tls_us - x->start_us;
	/* What was not reached took until the end; what was skipped, as with a living connection, nothing. */
	if (end <= PHASE_DNS)
		dns = total;
	if (end <= PHASE_CONNECT)
		connect = total;
	if (end <= PHASE_TLS)
		tls = x->tls ? total : 0;
	us[LEDGER_DNS] += dns;
	if (connect > dns)
		us[LEDGER_CONNECT] += connect - dns;
	if (tls > connect)
		us[LEDGER_TLS] += tls - connect;
	if (end > PHASE_TLS && total > ready)
		us[x->rq->item] += total - ready;
}

/* A connect_timeout that ran out, not the deadline. */
static int
slow_connection(const struct exchange *x, struct err *e)
{
	double s = (double)x->rq->connect_timeout_ms / 1000;

	switch (phase_of(x)) {
	case PHASE_DNS: return err_set(e, ERR_UP_DNS, "no answer in %g s", s);
	case PHASE_TLS: return err_set(e, ERR_UP_TLS, "no handshake within %g s", s);
	default: return err_set(e, ERR_UP_CONNECT, "no connection within %g s", s);
	}
}

static int
connect_error(const struct exchange *x, struct err *e)
{
	char text[96];
	long number = 0;

	if (x->refused)
		return err_set(e, ERR_FETCH_REFUSED, "it leads to an address that is not public");
	if (curl_easy_getinfo(x->easy, CURLINFO_OS_ERRNO, &number) != CURLE_OK || !number)
		return err_set(e, ERR_UP_CONNECT, "it cannot be reached");
	return err_set(e, ERR_UP_CONNECT, "%s", strerror_r((int)number, text, sizeof(text)));
}

/* Why OpenSSL was not content, in words for the operator. */
static int
tls_error(const struct exchange *x, CURLcode rc, struct err *e)
{
	const char *why = "the handshake failed";

	if (strstr(x->words, "expired") || strstr(x->words, "not yet valid"))
		why = "its certificate is not valid at this machine's time";
	else if (strstr(x->words, "self-signed") || strstr(x->words, "self signed") ||
		 strstr(x->words, "unable to get local issuer"))
		why = "its certificate is not signed by an authority that this machine trusts";
	else if (strstr(x->words, "no alternative certificate subject name") ||
		 strstr(x->words, "does not match"))
		why = "its certificate is for another host name";
	else if (rc == CURLE_PEER_FAILED_VERIFICATION)
		why = "its certificate cannot be verified";
	return err_set(e, ERR_UP_TLS, "%s", why);
}

/* The connection broke: what that means depends on how far it had come. */
static int
broken(const struct exchange *x, struct err *e)
{
	switch (phase_of(x)) {
	case PHASE_RECV:
		/* libcurl has one code for a connection that breaks and for chunks that are none. */
		if (strstr(x->words, "chunk"))
			return err_set(e, ERR_UP_GARBAGE, "its chunked encoding is malformed");
		return err_set(e, ERR_UP_TRUNCATED, "%s", "");
	case PHASE_SEND:
	case PHASE_WAIT: return err_set(e, ERR_UP_RESET, "%s", "");
	case PHASE_TLS: return err_set(e, ERR_UP_TLS, "it closed the connection");
	default:
		if (x->rq->proxy && *x->rq->proxy)
			return err_set(e, ERR_UP_CONNECT, "the proxy did not let it through");
		return err_set(e, ERR_UP_CONNECT, "it closed the connection");
	}
}

static int
translate(const struct exchange *x, CURLcode rc, struct err *e)
{
	if (x->died)
		return err_set(e, ERR_UP_RESET, "%s", "");
	if (x->forsaken)
		return err_set(e, ERR_GONE, "%s", "");
	switch (rc) {
	case CURLE_OPERATION_TIMEDOUT:
		/* libcurl rounds; a few milliseconds are not worth another code. */
		if (!x->sending && x->rq->connect_timeout_ms > 0 &&
		    deadline_left_ms(&x->to_begin) > 5)
			return slow_connection(x, e);
		return err_set(e, ERR_DEADLINE, "%s %s", phases[phase_of(x)].doing,
			       x->rq->provider);
	case CURLE_COULDNT_RESOLVE_HOST: return err_set(e, ERR_UP_DNS, "%s", "");
	case CURLE_COULDNT_RESOLVE_PROXY:
		return err_set(e, ERR_UP_CONNECT, "the proxy's host name cannot be resolved");
	case CURLE_PROXY: return err_set(e, ERR_UP_CONNECT, "the proxy did not let it through");
	case CURLE_COULDNT_CONNECT: return connect_error(x, e);
	case CURLE_SSL_CONNECT_ERROR:
	case CURLE_PEER_FAILED_VERIFICATION:
	case CURLE_SSL_CERTPROBLEM:
	case CURLE_SSL_CIPHER:
	case CURLE_SSL_CACERT_BADFILE:
	case CURLE_SSL_ISSUER_ERROR:
	case CURLE_SSL_INVALIDCERTSTATUS: return tls_error(x, rc, e);
	case CURLE_GOT_NOTHING:
	case CURLE_SEND_ERROR:
	case CURLE_SEND_FAIL_REWIND:
	case CURLE_PARTIAL_FILE:
	case CURLE_RECV_ERROR: return broken(x, e);
	case CURLE_UNSUPPORTED_PROTOCOL: /* HTTP/0.9 */
	case CURLE_WEIRD_SERVER_REPLY:
	case CURLE_BAD_CONTENT_ENCODING:
	case CURLE_HTTP2: return err_set(e, ERR_UP_GARBAGE, "it is not HTTP");
	case CURLE_URL_MALFORMAT:
		return err_set(e, x->guarded ? ERR_FETCH_REFUSED : ERR_CONFIG, "it is no URL");
	default: return err_set(e, ERR_INTERNAL, "libcurl failed (%d)", (int)rc);
	}
}

int
exchange_error(const struct exchange *x, CURLcode rc, struct err *e)
{
	if (x->failed)
		return -1;
	(void)translate(x, rc, e);
	err_detail(e, "%s", x->words[0] ? x->words : curl_easy_strerror(rc));
	return -1;
}

void
exchange_sign(const struct exchange *x, struct err *e)
{
	const struct upstream_req *rq = x->rq;

	if (!e->upstream.name[0])
		(void)snprintf(e->upstream.name, sizeof(e->upstream.name), "%s", rq->provider);
	if (!e->upstream.status)
		e->upstream.status = x->head->status;
	if (!e->upstream.request_id[0])
		(void)snprintf(e->upstream.request_id, sizeof(e->upstream.request_id), "%s",
			       x->head->request_id);
	if (!e->stage)
		e->stage = exchange_stage(x);
	/* Whose move it is does not depend on whether connect_timeout or the deadline came first. */
	if (e->kind == ERR_DEADLINE && !e->party && phase_of(x) <= PHASE_TLS)
		e->party = PARTY_NETWORK + 1;
	if (rq->item != LEDGER_FETCH && has_left(x))
		e->may_have_been_billed = true;
}
