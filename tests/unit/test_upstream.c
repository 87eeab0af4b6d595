#include <dlfcn.h>
#include <netdb.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "net/upstream.h"
#include "wire_server.h"
#include "wire_tls.h"

/* How late a call may return; generous, for slow machines.  What was measured is printed. */
#define LATE_MS 400

/* ---- a resolver of our own: names in .test ---- */

static pthread_mutex_t dns_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t dns_go = PTHREAD_COND_INITIALIZER;
static bool dns_released;

int
getaddrinfo(const char *name, const char *service, const struct addrinfo *hints,
	    struct addrinfo **res)
{
	static int (*real)(const char *, const char *, const struct addrinfo *, struct addrinfo **);

	if (!real)
		*(void **)&real = dlsym(RTLD_NEXT, "getaddrinfo");
	if (name && !strcmp(name, "hang.test")) {
		(void)pthread_mutex_lock(&dns_lock);
		while (!dns_released)
			(void)pthread_cond_wait(&dns_go, &dns_lock);
		(void)pthread_mutex_unlock(&dns_lock);
		return EAI_AGAIN;
	}
	if (name && !strcmp(name, "rebind.test"))
		return real("127.0.0.1", service, hints, res);
	if (name && !strcmp(name, "metadata.test"))
		return real("169.254.169.254", service, hints, res);
	if (name && strlen(name) > 5 && !strcmp(name + strlen(name) - 5, ".test"))
		return EAI_NONAME;
	return real(name, service, hints, res);
}

/* ---- one call, with everything it leaves ---- */

struct result {
	int rc;
	struct err e;
	struct upstream_head head;
	struct ledger ledger;
	struct buf body;
	int64_t ms;
};

static struct upstream_req
request(const char *url)
{
	return (struct upstream_req){
		.method = "GET", .url = url, .provider = "acme", .item = LEDGER_PROVIDER
	};
}

static struct upstream_req
purchase(const char *url)
{
	struct upstream_req rq = request(url);

	rq.method = "POST";
	rq.body = "{\"prompt\":\"a bear\"}";
	rq.body_len = strlen(rq.body);
	return rq;
}

static struct result
call(const struct upstream_req *rq, int64_t ms)
{
	struct result r = { .body = { .max = 1 << 20 } };
	struct deadline d = deadline_in_ms(ms);
	struct upstream_body body = upstream_to_buf(&r.body);
	int64_t start = clock_us();

	r.rc = upstream_call(rq, &body, &r.head, &d, &r.ledger, &r.e);
	r.ms = (clock_us() - start) / 1000;
	return r;
}

static void
result_done(struct result *r)
{
	buf_done(&r->body);
	upstream_head_done(&r->head);
}

static void
expect_error(const struct result *r, enum err_kind kind, const char *stage, bool billed)
{
	if (r->rc != -1 || r->e.kind != kind || strcmp(r->e.stage ? r->e.stage : "", stage) != 0 ||
	    r->e.may_have_been_billed != billed)
		fail_msg("rc %d, %s at %s, billed %d, about '%s' (%s); expected %s at %s, billed "
			 "%d",
			 r->rc, r->e.kind ? err_code(&r->e) : "-", r->e.stage ? r->e.stage : "-",
			 r->e.may_have_been_billed, r->e.about, r->e.detail, err_row(kind)->code,
			 stage, billed);
	assert_string_equal(r->e.upstream.name, "acme");
}

static void
expect_on_time(const struct result *r, int64_t deadline_ms)
{
	if (r->ms < deadline_ms - 5 || r->ms > deadline_ms + LATE_MS)
		fail_msg("returned after %d ms, the deadline was %d ms", (int)r->ms,
			 (int)deadline_ms);
	print_message("             %d ms after the deadline\n", (int)(r->ms - deadline_ms));
}

/* ---- servers ---- */

static void
serve_script(struct wire *w, int fd, int number)
{
	(void)number;
	while (wire_request(w, fd) == 0)
		if (wire_say(fd, w->arg) < 0)
			return;
}

/* Answers each request with the text, then closes. */
static void
serve_once(struct wire *w, int fd, int number)
{
	(void)number;
	if (wire_request(w, fd) == 0)
		(void)wire_say(fd, w->arg);
}

static void
serve_ok(struct wire *w, int fd, int number)
{
	(void)number;
	while (wire_request(w, fd) == 0 && wire_answer(fd, "200 OK", "", "fine") == 0)
		;
}

/* Reads the request and says nothing. */
static void
serve_silence(struct wire *w, int fd, int number)
{
	(void)number;
	if (wire_request(w, fd) == 0)
		wire_wait_gone(fd);
}

static void
serve_nothing_at_all(struct wire *w, int fd, int number)
{
	(void)w;
	(void)number;
	wire_wait_gone(fd);
}

static void
drip(struct wire *w, int fd, const char *head, const char *piece, int pause_ms)
{
	if (wire_request(w, fd) < 0 || wire_say(fd, head) < 0)
		return;
	while (wire_say(fd, piece) == 0)
		if (pause_ms)
			(void)usleep((useconds_t)pause_ms * 1000);
}

static void
serve_drip_of_headers(struct wire *w, int fd, int number)
{
	(void)number;
	drip(w, fd, "HTTP/1.1 200 OK\r\n", "x: y\r\n", 20);
}

static void
serve_drip_of_body(struct wire *w, int fd, int number)
{
	(void)number;
	drip(w, fd, "HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n", ".", 20);
}

static void
serve_endless(struct wire *w, int fd, int number)
{
	static _Thread_local char piece[32768];

	(void)number;
	memset(piece, '.', sizeof(piece) - 1);
	drip(w, fd, "HTTP/1.1 200 OK\r\n\r\n", piece, 0);
}

static void
serve_endless_headers(struct wire *w, int fd, int number)
{
	(void)number;
	drip(w, fd, "HTTP/1.1 200 OK\r\n", "x-filler: 0123456789012345678901234567890123456789\r\n",
	     0);
}

/* The first request of a connection is answered, the second read and never answered. */
static void
serve_then_vanish(struct wire *w, int fd, int number)
{
	(void)number;
	if (wire_request(w, fd) == 0 && wire_answer(fd, "200 OK", "", "fine") == 0)
		(void)wire_request(w, fd);
}

static void
serve_reset(struct wire *w, int fd, int number)
{
	/* Dissolving the association sends a reset. */
	static const struct sockaddr nobody = { .sa_family = AF_UNSPEC };

	(void)number;
	(void)wire_request(w, fd);
	(void)connect(fd, &nobody, sizeof(nobody));
}

/* ---- tests ---- */

static void
an_answer_and_its_head_arrive(void **state)
{
	static const char answer[] =
		"HTTP/1.1 200 OK\r\nContent-Type: Application/JSON; charset=utf-8\r\n"
		"cf-ray: 8e1\r\nX-Request-Id: req_42\r\nContent-Length: 2\r\n\r\n{}";
	static const char *const headers[] = { "Authorization: Bearer sk-fake-1", "X-A: b", NULL };
	struct wire w;
	char url[128];

	(void)state;
	wire_start(&w, serve_script, answer);
	(void)snprintf(url, sizeof(url), "%s/v1/images/generations", w.url);
	struct upstream_req rq = purchase(url);
	rq.headers = headers;
	AUTO(result) r = call(&rq, 5000);

	assert_int_equal(r.rc, 0);
	assert_int_equal(r.head.status, 200);
	assert_string_equal(r.head.content_type, "application/json");
	assert_string_equal(r.head.request_id, "req_42");
	assert_int_equal(r.head.content_length, 2);
	assert_string_equal(buf_str(&r.body), "{}");
	assert_non_null(strstr(w.last, "POST /v1/images/generations HTTP/1.1\r\n"));
	assert_non_null(strstr(w.last, "Authorization: Bearer sk-fake-1\r\n"));
	assert_non_null(strstr(w.last, "X-A: b\r\n"));
	assert_non_null(strstr(w.last, "Accept-Encoding: identity\r\n"));
	assert_non_null(strstr(w.last, "User-Agent: easel/"));
	assert_non_null(strstr(w.last, "\r\n\r\n{\"prompt\":\"a bear\"}"));
	assert_true(r.ledger.us[LEDGER_PROVIDER] > 0);
	wire_stop(&w);
}

static void
a_large_body_is_sent_without_asking_first(void **state)
{
	struct wire w;
	static char big[60000];

	(void)state;
	memset(big, 'x', sizeof(big));
	wire_start(&w, serve_ok, NULL);
	struct upstream_req rq = purchase(w.url);
	rq.body = big;
	rq.body_len = sizeof(big);
	AUTO(result) r = call(&rq, 5000);

	assert_int_equal(r.rc, 0);
	assert_null(strcasestr(w.last, "expect:"));
	wire_stop(&w);
}

static void
interim_answers_leave_nothing_in_the_head(void **state)
{
	static const char answer[] =
		"HTTP/1.1 103 Early Hints\r\nRetry-After: 9\r\nx-request-id: a\r\n\r\n"
		"HTTP/1.1 204 No Content\r\n\r\n";
	struct wire w;

	(void)state;
	wire_start(&w, serve_once, answer);
	struct upstream_req rq = request(w.url);
	AUTO(result) r = call(&rq, 5000);

	assert_int_equal(r.rc, 0);
	assert_int_equal(r.head.status, 204);
	assert_int_equal(r.head.retry_after_s, 0);
	assert_string_equal(r.head.request_id, "");
	wire_stop(&w);
}

static void
a_connection_is_used_again(void **state)
{
	struct wire w;

	(void)state;
	wire_start(&w, serve_ok, NULL);
	struct upstream_req rq = purchase(w.url);
	for (int i = 0; i < 3; i++) {
		AUTO(result) r = call(&rq, 5000);

		assert_int_equal(r.rc, 0);
	}
	assert_int_equal(atomic_load(&w.requests), 3);
	assert_int_equal(atomic_load(&w.connections), 1);
	wire_stop(&w);
}

static void
a_connection_that_the_server_closed_meanwhile_is_not_used(void **state)
{
	static const char answer[] = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nfine";
	struct wire w;

	(void)state;
	wire_start(&w, serve_once, answer);
	struct upstream_req rq = purchase(w.url);
	for (int i = 0; i < 2; i++) {
		AUTO(result) r = call(&rq, 5000);

		assert_int_equal(r.rc, 0);
		while (atomic_load(&w.ended) <= i)
			(void)sched_yield();
	}
	assert_int_equal(atomic_load(&w.requests), 2);
	assert_int_equal(atomic_load(&w.connections), 2);
	wire_stop(&w);
}

static void
a_purchase_on_a_kept_connection_that_dies_is_sent_once(void **state)
{
	struct wire w;

	(void)state;
	wire_start(&w, serve_then_vanish, NULL);
	struct upstream_req rq = purchase(w.url);
	AUTO(result) first = call(&rq, 5000);
	AUTO(result) second = call(&rq, 5000);

	assert_int_equal(first.rc, 0);
	expect_error(&second, ERR_UP_RESET, "provider.wait", true);
	assert_int_equal(atomic_load(&w.requests), 2);
	assert_int_equal(atomic_load(&w.connections), 1);
	wire_stop(&w);
}

static void
a_question_on_a_kept_connection_that_dies_is_asked_again(void **state)
{
	struct wire w;

	(void)state;
	wire_start(&w, serve_then_vanish, NULL);
	struct upstream_req rq = request(w.url);
	AUTO(result) first = call(&rq, 5000);
	AUTO(result) second = call(&rq, 5000);

	assert_int_equal(first.rc, 0);
	assert_int_equal(second.rc, 0);
	assert_int_equal(atomic_load(&w.requests), 3);
	wire_stop(&w);
}

static void
each_way_to_break_an_answer_has_its_error(void **state)
{
	static const struct {
		const char *what;
		void (*serve)(struct wire *, int, int);
		const char *answer;
		enum err_kind kind;
		const char *stage;
		int status;
	} rows[] = {
		{ "closed without a word", serve_once, "", ERR_UP_RESET, "provider.wait", 0 },
		{ "reset", serve_reset, "", ERR_UP_RESET, "provider.wait", 0 },
		{ "half a status line", serve_once, "HTTP/1.", ERR_UP_RESET, "provider.wait", 0 },
		{ "short of its length", serve_once,
		  "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc", ERR_UP_TRUNCATED,
		  "provider.recv", 200 },
		{ "ends in the headers", serve_once, "HTTP/1.1 200 OK\r\nContent-Le",
		  ERR_UP_TRUNCATED, "provider.recv", 200 },
		{ "chunks end early", serve_once,
		  "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabc", ERR_UP_TRUNCATED,
		  "provider.recv", 200 },
		{ "chunks are none", serve_once,
		  "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nabc", ERR_UP_GARBAGE,
		  "provider.recv", 200 },
		{ "no HTTP", serve_once, "220 smtp.example ESMTP ready\r\n", ERR_UP_GARBAGE,
		  "provider.wait", 0 },
		{ "headers without end", serve_endless_headers, NULL, ERR_UP_GARBAGE,
		  "provider.recv", 200 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct wire w;

		print_message("             %s\n", rows[i].what);
		wire_start(&w, rows[i].serve, rows[i].answer);
		struct upstream_req rq = purchase(w.url);
		AUTO(result) r = call(&rq, 5000);

		expect_error(&r, rows[i].kind, rows[i].stage, true);
		assert_int_equal(r.e.upstream.status, rows[i].status);
		assert_int_equal(atomic_load(&w.requests), 1);
		wire_stop(&w);
	}
}

static void
the_deadline_holds_in_every_phase(void **state)
{
	static const struct {
		const char *what;
		void (*serve)(struct wire *, int, int);
		const char *scheme, *stage;
		bool billed;
	} rows[] = {
		{ "silence", serve_silence, "http", "provider.wait", true },
		{ "headers that drip", serve_drip_of_headers, "http", "provider.recv", true },
		{ "a body that drips", serve_drip_of_body, "http", "provider.recv", true },
		{ "a body without end", serve_endless, "http", "provider.recv", true },
		{ "a TLS handshake without answer", serve_nothing_at_all, "https", "provider.tls",
		  false },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct wire w;
		char url[64];

		print_message("             %s\n", rows[i].what);
		wire_start(&w, rows[i].serve, NULL);
		(void)snprintf(url, sizeof(url), "%s://127.0.0.1:%d/", rows[i].scheme, w.port);
		struct upstream_req rq = purchase(url);
		AUTO(result) r = call(&rq, 200);

		expect_error(&r, ERR_DEADLINE, rows[i].stage, rows[i].billed);
		expect_on_time(&r, 200);
		wire_stop(&w);
	}
}

static void
the_deadline_holds_while_the_resolver_hangs(void **state)
{
	struct upstream_req rq = purchase("http://hang.test/v1");

	(void)state;
	AUTO(result) r = call(&rq, 200);

	expect_error(&r, ERR_DEADLINE, "provider.dns", false);
	expect_on_time(&r, 200);
	assert_true(r.ledger.us[LEDGER_DNS] > 100000);
	(void)pthread_mutex_lock(&dns_lock);
	dns_released = true;
	(void)pthread_cond_broadcast(&dns_go);
	(void)pthread_mutex_unlock(&dns_lock);
}

/* A listening socket whose queue is full answers no further SYN. */
struct full {
	int fd, port, clients[8];
};

static void
full_start(struct full *f)
{
	struct sockaddr_in in = { .sin_family = AF_INET,
				  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(in);

	f->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(f->fd, (struct sockaddr *)&in, sizeof(in)), 0);
	assert_int_equal(listen(f->fd, 0), 0);
	assert_int_equal(getsockname(f->fd, (struct sockaddr *)&in, &len), 0);
	f->port = ntohs(in.sin_port);
	for (int i = 0; i < 8; i++) {
		f->clients[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
		(void)connect(f->clients[i], (struct sockaddr *)&in, sizeof(in));
	}
}

static void
full_stop(struct full *f)
{
	for (int i = 0; i < 8; i++)
		(void)close(f->clients[i]);
	(void)close(f->fd);
}

static void
the_deadline_holds_while_connecting_and_connect_timeout_has_its_own_error(void **state)
{
	struct full f;
	char url[64];

	(void)state;
	full_start(&f);
	(void)snprintf(url, sizeof(url), "http://127.0.0.1:%d/", f.port);
	struct upstream_req rq = purchase(url);
	AUTO(result) r = call(&rq, 200);

	expect_error(&r, ERR_DEADLINE, "provider.connect", false);
	expect_on_time(&r, 200);
	rq.connect_timeout_ms = 150;
	AUTO(result) slow = call(&rq, 20000);
	expect_error(&slow, ERR_UP_CONNECT, "provider.connect", false);
	expect_on_time(&slow, 150);
	assert_non_null(strstr(slow.e.about, "0.15 s"));
	full_stop(&f);
}

static void
a_deadline_that_is_over_calls_nobody(void **state)
{
	struct wire w;

	(void)state;
	wire_start(&w, serve_ok, NULL);
	struct upstream_req rq = purchase(w.url);
	AUTO(result) r = call(&rq, 0);

	expect_error(&r, ERR_DEADLINE, "provider.dns", false);
	assert_int_equal(atomic_load(&w.connections), 0);
	wire_stop(&w);
}

static void
nobody_there_is_no_purchase(void **state)
{
	struct wire w;
	struct upstream_req rq;

	(void)state;
	wire_start(&w, serve_ok, NULL);
	wire_stop(&w); /* its port is free again, and closed */
	rq = purchase(w.url);
	AUTO(result) refused = call(&rq, 5000);
	expect_error(&refused, ERR_UP_CONNECT, "provider.connect", false);
	assert_non_null(strstr(refused.e.about, "refused"));
	rq = purchase("http://nowhere.test/");
	AUTO(result) unknown = call(&rq, 5000);
	expect_error(&unknown, ERR_UP_DNS, "provider.dns", false);
}

static void
urls_that_are_none_are_the_operators_mistake(void **state)
{
	static const char *const urls[] = {
		"",        "/v1/images",      "ftp://127.0.0.1/",         "file:///etc/hostname",
		"http://", "gopher://a.test", "http://u:p@127.0.0.1/",    "http://127.0.0.1:99999/",
		"ws://a/", "http://a b/",     "dict://127.0.0.1:11211/x", "http://u@127.0.0.1/",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(urls) / sizeof(urls[0]); i++) {
		struct upstream_req rq = purchase(urls[i]);
		AUTO(result) r = call(&rq, 5000);

		print_message("             '%s': %s\n", urls[i], r.e.about);
		expect_error(&r, ERR_CONFIG, "provider.dns", false);
		assert_null(strstr(r.e.about, "u:p"));
	}
}

static void
urls_from_outside_lead_to_public_addresses_only(void **state)
{
	static const char *const urls[] = {
		"http://127.0.0.1/",
		"https://127.0.0.1/",
		"http://127.1/",
		"http://0x7f.1/",
		"http://2130706433/",
		"http://0177.0.0.1/",
		"http://0/",
		"http://0.0.0.0/",
		"http://localhost/",
		"http://[::1]/",
		"http://[::]/",
		"http://[::ffff:127.0.0.1]/",
		"http://[::ffff:169.254.169.254]/",
		"http://[64:ff9b::7f00:1]/",
		"http://[2002:7f00:1::]/",
		"http://[fd00:ec2::254]/",
		"http://169.254.169.254/latest/meta-data/",
		"http://10.0.0.1/",
		"http://rebind.test/",
		"https://metadata.test/",
		"http://a@127.0.0.1/",
		"http://user:secret@8.8.8.8/",
		"http://8.8.8.8:22/",
		"http://8.8.8.8:6379/",
		"https://8.8.8.8:8443/",
		"file:///etc/hostname",
		"gopher://127.0.0.1:80/_x",
		"ftp://8.8.8.8/",
		"data:image/png;base64,AAAA",
		"not a url",
		"",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(urls) / sizeof(urls[0]); i++) {
		struct upstream_req rq = request(urls[i]);

		rq.policy = UPSTREAM_PUBLIC;
		rq.item = LEDGER_FETCH;
		rq.allow_origin = "https://api.acme.test/v1";
		AUTO(result) r = call(&rq, 5000);
		print_message("             '%s': %s\n", urls[i], r.e.about);
		expect_error(&r, ERR_FETCH_REFUSED, "fetch", false);
		assert_null(strstr(r.e.about, "secret"));
	}
}

static void
the_providers_own_host_and_port_are_excepted_and_no_others(void **state)
{
	struct wire own, other;
	char url[128];

	(void)state;
	wire_start(&own, serve_ok, NULL);
	wire_start(&other, serve_ok, NULL);
	struct {
		const char *scheme, *host;
		int port;
		bool allowed;
	} rows[] = {
		{ "http", "127.0.0.1", own.port, true },
		{ "http", "127.0.0.1", other.port, false },
		{ "https", "127.0.0.1", own.port, false },
		{ "http", "localhost", own.port, false },
		{ "http", "rebind.test", own.port, false },
		{ "http", "127.0.0.1", 80, false },
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct upstream_req rq = request(url);
		char base[80];

		(void)snprintf(base, sizeof(base), "%s/v1", own.url);
		(void)snprintf(url, sizeof(url), "%s://%s:%d/p.png", rows[i].scheme, rows[i].host,
			       rows[i].port);
		rq.policy = UPSTREAM_PUBLIC;
		rq.item = LEDGER_FETCH;
		rq.allow_origin = base;
		AUTO(result) r = call(&rq, 5000);
		if (rows[i].allowed)
			assert_int_equal(r.rc, 0);
		else
			expect_error(&r, ERR_FETCH_REFUSED, "fetch", false);
	}
	assert_int_equal(atomic_load(&own.requests), 1);
	assert_int_equal(atomic_load(&other.connections), 0);
	wire_stop(&own);
	wire_stop(&other);
}

static void
the_environments_proxies_are_ignored_and_a_configured_one_is_used(void **state)
{
	struct wire w, proxy;

	(void)state;
	wire_start(&w, serve_ok, NULL);
	wire_start(&proxy, serve_ok, NULL);
	(void)setenv("http_proxy", proxy.url, 1);
	(void)setenv("ALL_PROXY", proxy.url, 1);
	struct upstream_req rq = purchase(w.url);
	AUTO(result) direct = call(&rq, 5000);
	assert_int_equal(direct.rc, 0);
	assert_int_equal(atomic_load(&proxy.connections), 0);
	(void)unsetenv("http_proxy");
	(void)unsetenv("ALL_PROXY");

	rq.proxy = proxy.url;
	AUTO(result) through = call(&rq, 5000);
	assert_int_equal(through.rc, 0);
	assert_int_equal(atomic_load(&proxy.requests), 1);
	assert_int_equal(atomic_load(&w.requests), 1);
	wire_stop(&w);
	wire_stop(&proxy);
}

static void
a_proxy_that_refuses_is_no_purchase(void **state)
{
	static const char answer[] =
		"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n";
	struct wire proxy;

	(void)state;
	wire_start(&proxy, serve_once, answer);
	struct upstream_req rq = purchase("https://api.acme.test/v1");
	rq.proxy = proxy.url;
	AUTO(result) r = call(&rq, 5000);

	expect_error(&r, ERR_UP_CONNECT, "provider.connect", false);
	assert_non_null(strstr(r.e.about, "proxy"));
	wire_stop(&proxy);
}

static void
a_redirect_is_told_and_not_followed(void **state)
{
	static const struct {
		const char *location, *absolute;
	} rows[] = {
		{ "/elsewhere?x=1", "%s/elsewhere?x=1" },
		{ "https://cdn.test/a.png", "https://cdn.test/a.png" },
		{ "//cdn.test/b", "http://cdn.test/b" },
		{ "file:///etc/passwd", "file:///etc/passwd" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		char answer[256], expected[128];
		struct wire w;

		(void)snprintf(answer, sizeof(answer),
			       "HTTP/1.1 302 Found\r\nLocation: %s\r\nContent-Length: 0\r\n\r\n",
			       rows[i].location);
		wire_start(&w, serve_script, answer);
		if (!strncmp(rows[i].absolute, "%s", 2))
			(void)snprintf(expected, sizeof(expected), "%s%s", w.url,
				       rows[i].absolute + 2);
		else
			(void)snprintf(expected, sizeof(expected), "%s", rows[i].absolute);
		struct upstream_req rq = request(w.url);
		AUTO(result) r = call(&rq, 5000);

		assert_int_equal(r.rc, 0);
		assert_int_equal(r.head.status, 302);
		assert_string_equal(r.head.location, expected);
		assert_int_equal(atomic_load(&w.requests), 1);
		wire_stop(&w);
	}
}

struct refuser {
	int begins;
	bool at_begin;
};

static int
refuser_begin(void *self, const struct upstream_head *h, struct err *e)
{
	struct refuser *r = self;

	r->begins++;
	assert_int_equal(h->status, 200);
	return r->at_begin ? err_set(e, ERR_RESULT_NOT_IMAGE, "begin") : 0;
}

static int
refuser_data(void *self, const char *p, size_t n, struct err *e)
{
	(void)self;
	(void)p;
	(void)n;
	return err_set(e, ERR_STORAGE_FULL, "data");
}

static void
a_receiver_can_end_the_transfer_with_its_own_error(void **state)
{
	struct wire w;

	(void)state;
	wire_start(&w, serve_endless, NULL);
	for (int at_begin = 0; at_begin < 2; at_begin++) {
		struct refuser refuser = { .at_begin = at_begin };
		struct upstream_body body = { refuser_begin, refuser_data, &refuser };
		struct upstream_req rq = purchase(w.url);
		struct deadline d = deadline_in_ms(5000);
		struct result r = { 0 };

		r.rc = upstream_call(&rq, &body, &r.head, &d, &r.ledger, &r.e);
		expect_error(&r, at_begin ? ERR_RESULT_NOT_IMAGE : ERR_STORAGE_FULL,
			     "provider.recv", true);
		assert_string_equal(r.e.about, at_begin ? "begin" : "data");
		assert_int_equal(refuser.begins, 1);
	}
	wire_stop(&w);
}

static void
an_empty_body_begins_too(void **state)
{
	struct refuser refuser = { .at_begin = false };
	struct upstream_body body = { refuser_begin, refuser_data, &refuser };
	struct deadline d = deadline_in_ms(5000);
	struct ledger ledger = { { 0 } };
	AUTO(upstream_head) head = { 0 };
	struct wire w;
	struct err e;

	(void)state;
	wire_start(&w, serve_script, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
	struct upstream_req rq = request(w.url);
	assert_int_equal(upstream_call(&rq, &body, &head, &d, &ledger, &e), 0);
	assert_int_equal(refuser.begins, 1);
	wire_stop(&w);
}

static void
a_line_break_in_a_header_is_refused(void **state)
{
	static const char *const headers[] = { "Authorization: Bearer a\r\nX-Evil: 1", NULL };
	struct wire w;

	(void)state;
	wire_start(&w, serve_ok, NULL);
	struct upstream_req rq = purchase(w.url);
	rq.headers = headers;
	AUTO(result) r = call(&rq, 5000);

	expect_error(&r, ERR_CONFIG, "provider.dns", false);
	assert_int_equal(atomic_load(&w.connections), 0);
	wire_stop(&w);
}

/* ---- TLS ---- */

static EVP_PKEY *key;
static X509 *authority;
static char folder[] = "/tmp/easel-upstream-XXXXXX";
static char ca_file[64];

struct tls_server {
	SSL_CTX *ctx;
};

static void
serve_tls(struct wire *w, int fd, int number)
{
	const struct tls_server *t = w->arg;
	SSL *ssl = SSL_new(t->ctx);
	char text[4096];

	(void)number;
	(void)SSL_set_fd(ssl, fd);
	if (SSL_accept(ssl) == 1)
		while (SSL_read(ssl, text, sizeof(text)) > 0) {
			static const char answer[] =
				"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nsecret";

			atomic_fetch_add(&w->requests, 1);
			(void)SSL_write(ssl, answer, sizeof(answer) - 1);
		}
	SSL_free(ssl);
}

static void
a_certificate_must_be_signed_valid_and_for_the_host(void **state)
{
	static const struct {
		const char *what, *alt;
		bool self_signed;
		long from_s, to_s;
		const char *about; /* NULL: accepted */
	} rows[] = {
		{ "right", "IP:127.0.0.1", false, -60, 3600, NULL },
		{ "another host", "DNS:other.test", false, -60, 3600, "another host" },
		{ "expired", "IP:127.0.0.1", false, -7200, -3600, "time" },
		{ "not yet valid", "IP:127.0.0.1", false, 3600, 7200, "time" },
		{ "self-signed", "IP:127.0.0.1", true, -60, 3600, "authority" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		EVP_PKEY *own = EVP_EC_gen("P-256");
		X509 *cert = wire_certificate(own, "server", rows[i].alt,
					      rows[i].self_signed ? NULL : authority, key,
					      rows[i].from_s, rows[i].to_s);
		struct tls_server t = { wire_tls_context(cert, own) };
		struct wire w;
		char url[64];

		print_message("             %s\n", rows[i].what);
		wire_start(&w, serve_tls, &t);
		(void)snprintf(url, sizeof(url), "https://127.0.0.1:%d/", w.port);
		struct upstream_req rq = purchase(url);
		for (int again = 0; again < 2; again++) {
			AUTO(result) r = call(&rq, 10000);

			if (rows[i].about) {
				expect_error(&r, ERR_UP_TLS, "provider.tls", false);
				if (!strstr(r.e.about, rows[i].about))
					fail_msg("about is '%s' (%s)", r.e.about, r.e.detail);
			} else {
				assert_int_equal(r.rc, 0);
				assert_string_equal(buf_str(&r.body), "secret");
				assert_true(again || r.ledger.us[LEDGER_TLS] > 0);
			}
		}
		assert_int_equal(atomic_load(&w.requests), rows[i].about ? 0 : 2);
		wire_stop(&w);
		SSL_CTX_free(t.ctx);
		X509_free(cert);
		EVP_PKEY_free(own);
	}
}

/* ---- many at once ---- */

static void *
many(void *arg)
{
	const struct wire *servers = arg;
	intptr_t bad = 0;

	for (int i = 0; i < 20; i++) {
		struct upstream_req rq = purchase(servers[i % 2].url);
		AUTO(result) r = call(&rq, 20000);

		bad += r.rc != 0 || strcmp(buf_str(&r.body), "fine") != 0;
	}
	return (void *)bad;
}

static void
threads_share_the_pool(void **state)
{
	static struct wire w[2];
	pthread_t threads[8];

	(void)state;
	wire_start(&w[0], serve_ok, NULL);
	wire_start(&w[1], serve_ok, NULL);
	for (int i = 0; i < 8; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, many, w), 0);
	for (int i = 0; i < 8; i++) {
		void *bad;

		assert_int_equal(pthread_join(threads[i], &bad), 0);
		assert_null(bad);
	}
	assert_int_equal(atomic_load(&w[0].requests) + atomic_load(&w[1].requests), 160);
	assert_true(atomic_load(&w[0].connections) <= 8);
	wire_stop(&w[0]);
	wire_stop(&w[1]);
}

static int
setup(void **state)
{
	struct err e;
	FILE *f;

	(void)state;
	if (!mkdtemp(folder))
		return -1;
	(void)snprintf(ca_file, sizeof(ca_file), "%s/ca.pem", folder);
	key = EVP_EC_gen("P-256");
	authority = wire_certificate(key, "Test authority", NULL, NULL, NULL, -60, 3600);
	f = fopen(ca_file, "we");
	if (!f || PEM_write_X509(f, authority) != 1 || fclose(f) != 0)
		return -1;
	(void)setenv("SSL_CERT_FILE", ca_file, 1);
	(void)setenv("SSL_CERT_DIR", folder, 1);
	return upstream_init(&e);
}

static int
teardown(void **state)
{
	(void)state;
	upstream_shutdown();
	X509_free(authority);
	EVP_PKEY_free(key);
	(void)unlink(ca_file);
	return rmdir(folder);
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_deadline_holds_while_the_resolver_hangs),
		cmocka_unit_test(an_answer_and_its_head_arrive),
		cmocka_unit_test(a_large_body_is_sent_without_asking_first),
		cmocka_unit_test(interim_answers_leave_nothing_in_the_head),
		cmocka_unit_test(a_connection_is_used_again),
		cmocka_unit_test(a_connection_that_the_server_closed_meanwhile_is_not_used),
		cmocka_unit_test(a_purchase_on_a_kept_connection_that_dies_is_sent_once),
		cmocka_unit_test(a_question_on_a_kept_connection_that_dies_is_asked_again),
		cmocka_unit_test(each_way_to_break_an_answer_has_its_error),
		cmocka_unit_test(the_deadline_holds_in_every_phase),
		cmocka_unit_test(
			the_deadline_holds_while_connecting_and_connect_timeout_has_its_own_error),
		cmocka_unit_test(a_deadline_that_is_over_calls_nobody),
		cmocka_unit_test(nobody_there_is_no_purchase),
		cmocka_unit_test(urls_that_are_none_are_the_operators_mistake),
		cmocka_unit_test(urls_from_outside_lead_to_public_addresses_only),
		cmocka_unit_test(the_providers_own_host_and_port_are_excepted_and_no_others),
		cmocka_unit_test(the_environments_proxies_are_ignored_and_a_configured_one_is_used),
		cmocka_unit_test(a_proxy_that_refuses_is_no_purchase),
		cmocka_unit_test(a_redirect_is_told_and_not_followed),
		cmocka_unit_test(a_receiver_can_end_the_transfer_with_its_own_error),
		cmocka_unit_test(an_empty_body_begins_too),
		cmocka_unit_test(a_line_break_in_a_header_is_refused),
		cmocka_unit_test(a_certificate_must_be_signed_valid_and_for_the_host),
		cmocka_unit_test(threads_share_the_pool),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
