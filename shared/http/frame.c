#include "http/frame.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "access/fingerprint.h"
#include "base/id.h"
#include "base/log.h"
#include "base/num.h"
#include "http/watchdog.h"

#define BUDGET_DEFAULT_MS 10000

static bool
spends(const struct app *app)
{
	for (const struct route *t = app->routes; t->method; t++)
		if (t->flags & ROUTE_SPENDS)
			return true;
	return false;
}

int
frame_open(struct frame *f, const struct app *app, const struct config *c, struct err *e)
{
	struct app_env env = { .program = app->name, .config = c, .process = &f->process };

	*f = (struct frame){ .app = app, .config = c, .process = config_process(c, app->name) };
	if (stats_open(&f->stats, c->state_dir, app->name, e) < 0 ||
	    fingerprint_init(c->state_dir, e) < 0 ||
	    store_open(&f->store, c->store.url, c->state_dir, false, e) < 0 ||
	    authenticator_open(&f->auth, f->store, c->state_dir, c->auth.required, e) < 0 ||
	    (spends(app) && store_limit_open(f->store, c->state_dir, e) < 0))
		return -1;
	f->state = calloc(1, app->state_size ? app->state_size : 1);
	if (!f->state)
		return err_set(e, ERR_INTERNAL, "no memory");
	env.store = f->store;
	return app->init ? app->init(f->state, &env, e) : 0;
}

void
frame_close(struct frame *f)
{
	if (f->state && f->app->done)
		f->app->done(f->state);
	free(f->state);
	authenticator_free(f->auth);
	store_free(f->store);
}

/*
 * Room for the path and what a route takes of it.  Neither is longer than the target: not two kilobytes
 * on a stack that may wait for minutes.
 */
static int
paths_take(struct request *r, struct err *e)
{
	size_t room = strcspn(r->target, "?") + 2;

	if (room > PATH_BYTES)
		room = PATH_BYTES;
	r->path = calloc(2, room);
	if (!r->path)
		return err_set(e, ERR_OVERLOADED, "no memory for the request");
	r->rest = r->path + room;
	return 0;
}

static void
request_open(struct request *r, struct frame *f, struct conn *conn, int64_t accepted_us)
{
	*r = (struct request){ .frame = f,
			       .conn = conn,
			       .accepted_us = accepted_us,
			       .headers = BUF_INIT(HEADERS_MAX_BYTES) };
	r->budget_ms = BUDGET_DEFAULT_MS;
	r->deadline.at_us = accepted_us + BUDGET_DEFAULT_MS * 1000;
	id_make("req_", r->id, sizeof(r->id));
	(void)snprintf(r->method, sizeof(r->method), "%s",
		       conn_param(conn, "REQUEST_METHOD") ? conn_param(conn, "REQUEST_METHOD")
							  : "GET");
	r->target = conn_param(conn, "REQUEST_URI");
	if (!r->target) {
		/* A CGI environment without it (a shell, a test): the path alone. */
		r->target = conn_param(conn, "PATH_INFO");
		if (!r->target || !*r->target)
			r->target = conn_param(conn, "SCRIPT_NAME");
		if (!r->target)
			r->target = "/";
	}
	r->head_only = !strcmp(r->method, "HEAD");
	watchdog_begin(r->id, r->deadline.at_us);
}

static void
log_line(const struct request *r, int64_t duration_us)
{
	log_info(r->id, "%s %s %d %lld.%dms in=%llu out=%llu key=%s code=%s%s", r->method,
		 r->path && r->path[0] ? r->path : "-", r->status, (long long)(duration_us / 1000),
		 (int)(duration_us / 100 % 10), (unsigned long long)r->bytes_in,
		 (unsigned long long)r->bytes_out, r->who.id[0] ? r->who.id : "-",
		 r->code ? r->code : "-", r->broken ? " client=gone" : "");
}

/* Its connection, and what the log and the counters say of it. */
static void
request_end(struct request *r)
{
	int64_t duration_us;

	if (r->nafters && conn_is_left(r->conn))
		r->broken = true; /* whoever asks afterwards is told */
	conn_close(r->conn);
	duration_us = clock_us() - r->accepted_us;
	stats_request(r->frame->stats, r->status, duration_us);
	log_line(r, duration_us);
}

static void
request_close(struct request *r)
{
	/* Before the last byte leaves: who has its answer is never told that it has a request in hand. */
	store_limit_give(r->frame->store, &r->grant, r->images_came);
	if (!r->over)
		request_end(r);
	for (unsigned i = 0; i < r->nafters; i++)
		r->after[i].fn(r->after[i].arg);
	if (r->let_go)
		(void)atomic_fetch_sub(&r->frame->nlet_go, 1);
	watchdog_end();
	buf_done(&r->headers);
	free(r->body);
	free(r->path);
}

void
request_may_last(struct request *r, int64_t until_us)
{
	store_limit_keep(r->frame->store, &r->grant, &(const struct deadline){ .at_us = until_us });
	watchdog_until(until_us);
}

int64_t
request_leave_us(const struct request *r)
{
	return atomic_load_explicit(&r->frame->leave_us, memory_order_relaxed);
}

void
request_let_go(struct request *r)
{
	if (!r->let_go)
		(void)atomic_fetch_add(&r->frame->nlet_go, 1);
	r->let_go = true;
}

void
request_leave(struct request *r, int64_t until_us)
{
	if (r->over)
		return;
	store_limit_leave(r->frame->store, &r->grant);
	request_end(r);
	r->over = true;
	watchdog_stage("work");
	watchdog_until(until_us);
}

/* The deadline's length: the route's setting, but no more than the profile allows; or the caller's
 * wish where that is shorter. */
static int
set_deadline(struct request *r, struct err *e)
{
	size_t offset = r->route->budget_offset;
	const char *wish = request_header(r, "HTTP_X_EASEL_DEADLINE");
	int64_t ms;
	int rc = 0;

	if (offset)
		r->budget_ms = *(const int64_t *)((const char *)r->frame->config + offset);
	ms = config_ceiling_ms(r->frame->config, r->budget_ms);
	r->ceiling = ms < r->budget_ms;
	r->budget_ms = ms;
	if (wish && (num_duration_ms(wish, &ms) < 0 || ms <= 0)) {
		rc = err_field(e, ERR_VALUE, "x-easel-deadline", "a duration like 20s, 500ms or 2m",
			       "'%.40s'", wish);
	} else if (wish && ms < r->budget_ms) {
		r->budget_ms = ms;
		r->ceiling = false;
	}
	r->deadline.at_us = r->accepted_us + r->budget_ms * 1000;
	conn_read_until(r->conn, r->deadline.at_us);
	watchdog_until(r->deadline.at_us);
	return rc;
}

__attribute__((noinline)) static bool /* its error must not lie on a stack that waits */
deadline_is_clear(struct request *r)
{
	struct err said_later;

	return set_deadline(r, &said_later) == 0;
}

static bool
method_fits(const struct request *r, const struct route *route)
{
	return !strcmp(r->method, route->method) || (r->head_only && !strcmp(route->method, "GET"));
}

/* The route of this program for the path, and whether the method fits too. */
static const struct route *
find_route(struct request *r, bool *method_ok)
{
	const struct route *found = NULL;

	*method_ok = false;
	for (const struct route *t = r->frame->app->routes; t->method; t++) {
		if (!path_matches(r->path, t->path, r->rest))
			continue;
		found = t;
		if (method_fits(r, t)) {
			*method_ok = true;
			return t;
		}
	}
	return found;
}

static int
check_credential(struct request *r, unsigned scope, struct err *e)
{
	int64_t start_us = clock_us();
	int rc;

	watchdog_stage("auth");
	rc = authenticate(r->frame->auth, request_header(r, "HTTP_AUTHORIZATION"), request_query(r),
			  scope, &r->who, &r->deadline, e);
	r->ledger.us[LEDGER_AUTH] += clock_us() - start_us;
	return rc;
}

int
request_authenticate(struct request *r, unsigned scope, struct err *e)
{
	int rc = check_credential(r, scope, e);

	watchdog_stage("work");
	return rc;
}

static int
check_limits(struct request *r, struct err *e)
{
	const struct config *c = r->frame->config;
	const struct limit_set set = { .requests_per_minute = c->limits.requests_per_minute,
				       .concurrent = c->limits.concurrent,
				       .images_per_day = c->limits.images_per_day };

	watchdog_stage("limit");
	return store_limit_take(r->frame->store, r->who.id, &set, &r->grant, &r->deadline, e);
}

int
request_images_take(struct request *r, unsigned n, struct err *e)
{
	return store_limit_take_images(r->frame->store, &r->grant, n, &r->deadline, e);
}

void
request_images_came(struct request *r, unsigned n)
{
	r->images_came = n;
}

/* CORS preflight (Fetch standard, 3.3): open, and answered the same for every path. */
static int
preflight(struct request *r, struct err *e)
{
	const char *asked = request_header(r, "HTTP_ACCESS_CONTROL_REQUEST_HEADERS");

	reply_header(r, "access-control-allow-methods", "GET, POST, DELETE, OPTIONS");
	reply_header(r, "access-control-allow-headers", "%s",
		     asked ? asked : "authorization, content-type");
	reply_header(r, "access-control-max-age", "86400");
	return reply_begin(r, 204, NULL, -1, e);
}

static int
no_such_route(struct request *r, struct err *e)
{
	char allow[64];

	(void)path_explain(r->method, r->path, allow, sizeof(allow), e);
	if (allow[0])
		reply_header(r, "allow", "%s", allow);
	return -1;
}

static int
serve(struct request *r, struct err *e)
{
	const struct route *first = r->frame->app->routes;
	bool method_ok, clear;

	/* The web server's error handler comes with a status and may come with any path. */
	if ((first->flags & ROUTE_ERRORS) && request_header(r, "REDIRECT_STATUS") &&
	    strcmp(request_header(r, "REDIRECT_STATUS"), "200") != 0) {
		r->route = first;
		return first->handler(r, r->frame->state, e);
	}
	if (paths_take(r, e) < 0 || path_normalise(r->target, r->path, e) < 0)
		return -1;
	if (!strcmp(r->method, "OPTIONS") && request_header(r, "HTTP_ORIGIN"))
		return preflight(r, e);
	r->route = find_route(r, &method_ok);
	/* From here on the deadline holds; whether it was asked for rightly is a later question. */
	clear = !r->route || deadline_is_clear(r);
	if (!r->route || !(r->route->flags & ROUTE_OPEN)) {
		if (check_credential(r, r->route && method_ok ? r->route->scope : 0, e) < 0)
			return -1;
	}
	if (!r->route || !method_ok)
		return no_such_route(r, e);
	if ((r->route->flags & ROUTE_SPENDS) && check_limits(r, e) < 0)
		return -1;
	if (!clear)
		return set_deadline(r, e);
	watchdog_stage("work");
	return r->route->handler(r, r->frame->state, e);
}

void
reply_complete_error(const struct request *r, struct err *e)
{
	const struct config *c = r->frame->config;

	if (e->kind == ERR_DEADLINE && !e->expected[0] && r->ceiling)
		(void)snprintf(e->expected, sizeof(e->expected),
			       "%g s ([deadline] profile = \"%s\")", (double)r->budget_ms / 1000,
			       c->deadline.profile);
	else if (e->kind == ERR_DEADLINE && !e->expected[0])
		(void)snprintf(e->expected, sizeof(e->expected), "%g s",
			       (double)r->budget_ms / 1000);
}

void
reply_failure(struct request *r, struct err *e)
{
	reply_failure_with(r, e, NULL);
}

void
reply_failure_with(struct request *r, struct err *e, json_t *members)
{
	reply_complete_error(r, e);
	if (e->detail[0] || err_status(e) >= 500)
		log_warn(r->id, "%s: stage=%s provider=%s status=%d %s%s%s", err_code(e),
			 e->stage ? e->stage : "-", e->upstream.name[0] ? e->upstream.name : "-",
			 e->upstream.status, e->about, e->about[0] && e->detail[0] ? " " : "",
			 e->detail);
	if (!r->status)
		reply_error_with(r, e, members);
	json_decref(members);
}

void
frame_serve(struct frame *f, struct conn *conn, int64_t accepted_us, int64_t waited_us)
{
	struct request r;
	struct err e = { 0 };

	request_open(&r, f, conn, accepted_us);
	r.ledger.us[LEDGER_WAIT] = waited_us;
	r.ledger.us[LEDGER_RECV] = clock_us() - accepted_us - waited_us;
	/* A client that left before its answer began is told so all the same: it may only have closed its
	   own side. */
	if (serve(&r, &e) < 0 && (e.kind != ERR_GONE || !r.status))
		reply_failure(&r, &e);
	request_close(&r);
}

void
frame_refuse(struct frame *f, struct conn *conn, int64_t accepted_us, const struct err *e)
{
	struct request r;

	request_open(&r, f, conn, accepted_us);
	reply_error(&r, e);
	request_close(&r);
}

void
frame_shed(struct frame *f, struct conn *conn, int64_t accepted_us)
{
	struct err e;

	(void)err_set(&e, ERR_OVERLOADED, "%lld requests are in hand",
		      (long long)f->process.max_in_flight);
	e.retry_after_s = 1;
	e.stage = "recv";
	(void)__atomic_fetch_add(&f->stats->shed, 1, __ATOMIC_RELAXED);
	frame_refuse(f, conn, accepted_us, &e);
}
