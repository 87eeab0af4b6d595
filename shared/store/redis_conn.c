#include "store/redis_conn.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>

#include "store/redis_url.h"

struct redis_link {
	struct redis_link *next;
	redisContext *c;
};

struct redis {
	struct redis_url url;
	pthread_mutex_t mutex;   /* guards what follows */
	pthread_cond_t given;    /* on CLOCK_MONOTONIC */
	struct redis_link *idle; /* last in, first out */
	unsigned open;
};

int
redis_new(struct redis **out, const char *rest, bool local, struct err *e)
{
	struct redis *r = calloc(1, sizeof(*r));
	pthread_condattr_t attr;

	if (!r)
		return err_set(e, ERR_INTERNAL, "out of memory");
	if (redis_url_parse(&r->url, rest, local, e) < 0) {
		free(r);
		return -1;
	}
	(void)pthread_mutex_init(&r->mutex, NULL);
	(void)pthread_condattr_init(&attr);
	(void)pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	(void)pthread_cond_init(&r->given, &attr);
	(void)pthread_condattr_destroy(&attr);
	*out = r;
	return 0;
}

static void
link_close(struct redis_link *l)
{
	if (l->c)
		redisFree(l->c);
	free(l);
}

void
redis_free(struct redis *r)
{
	struct redis_link *l;

	if (!r)
		return;
	while ((l = r->idle)) {
		r->idle = l->next;
		link_close(l);
	}
	(void)pthread_cond_destroy(&r->given);
	(void)pthread_mutex_destroy(&r->mutex);
	explicit_bzero(&r->url, sizeof(r->url));
	free(r);
}

/* ---- connecting ---- */

static int
no_answer(struct err *e, const char *what, int code)
{
	(void)err_set(e, ERR_STORE, "redis");
	err_detail(e, "redis: %s: %s", what, strerror(code));
	return -1;
}

static int
connect_in_time(int fd, const struct sockaddr *to, socklen_t len, const struct deadline *d)
{
	struct pollfd p = { .fd = fd, .events = POLLOUT };
	int code = 0;
	socklen_t n = sizeof(code);

	if (connect(fd, to, len) == 0)
		return 0;
	if (errno != EINPROGRESS)
		return errno;
	if (poll(&p, 1, (int)deadline_left_ms(d)) <= 0)
		return ETIMEDOUT;
	return getsockopt(fd, SOL_SOCKET, SO_ERROR, &code, &n) < 0 ? errno : code;
}

/* A connected descriptor, non-blocking still; or -1 and errno's kind in *code. */
static int
dial(const struct redis_url *u, const struct deadline *d, int *code)
{
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM }, *list = NULL;
	struct sockaddr_un local = { .sun_family = AF_UNIX };
	int fd = -1;

	*code = EHOSTUNREACH;
	if (!*u->host) {
		(void)snprintf(local.sun_path, sizeof(local.sun_path), "%s", u->path);
		fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
		*code = fd < 0 ? errno
			       : connect_in_time(fd, (struct sockaddr *)&local, sizeof(local), d);
	} else if (getaddrinfo(u->host, u->port, &hints, &list) == 0) {
		for (struct addrinfo *a = list; a && *code; a = a->ai_next) {
			if (fd >= 0)
				(void)close(fd);
			fd = socket(a->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
			*code = fd < 0 ? errno : connect_in_time(fd, a->ai_addr, a->ai_addrlen, d);
		}
		freeaddrinfo(list);
		if (!*code)
			(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){ 1 }, sizeof(int));
	}
	if (*code && fd >= 0) {
		(void)close(fd);
		fd = -1;
	}
	return fd;
}

static void
limit_waits(const struct redis_link *l, const struct deadline *d)
{
	struct deadline end = deadline_sooner(d, REDIS_COMMAND_MS);
	int64_t ms = deadline_left_ms(&end);
	struct timeval t = { .tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000 };

	if (ms <= 0)
		t.tv_usec = 1000; /* 0 would mean for ever */
	(void)redisSetTimeout(l->c, t);
}

/* What Redis says may quote a command's words; they may be secret. */
static int
said_no(struct err *e, const redisReply *reply)
{
	const char *cut = strstr(reply->str, ", with args");
	int n = cut ? (int)(cut - reply->str) : (int)strlen(reply->str);

	(void)err_set(e, ERR_STORE, "redis");
	err_detail(e, "redis: %.*s", n > 200 ? 200 : n, reply->str);
	return -1;
}

static int
greet(const struct redis *r, struct redis_link *l, struct err *e)
{
	const struct redis_url *u = &r->url;
	AUTO_REPLY auth = NULL;
	AUTO_REPLY db = NULL;

	if (*u->password) {
		const char *v[] = { "AUTH", *u->user ? u->user : u->password, u->password };

		auth = redisCommandArgv(l->c, *u->user ? 3 : 2, v, NULL);
		if (!auth)
			return no_answer(e, "greeting", errno ? errno : ECONNRESET);
		if (auth->type == REDIS_REPLY_ERROR)
			return said_no(e, auth);
	}
	if (!strcmp(u->db, "0"))
		return 0;
	db = redisCommand(l->c, "SELECT %s", u->db);
	if (!db)
		return no_answer(e, "greeting", errno ? errno : ECONNRESET);
	return db->type == REDIS_REPLY_ERROR ? said_no(e, db) : 0;
}

/* NULL: *e; *wait: it may come back by itself. */
static struct redis_link *
link_open(struct redis *r, const struct deadline *d, bool *wait, struct err *e)
{
	struct deadline end = deadline_sooner(d, REDIS_COMMAND_MS);
	struct redis_link *l = calloc(1, sizeof(*l));
	int code = ENOMEM, fd = l ? dial(&r->url, &end, &code) : -1;

	*wait = false;
	if (fd < 0) {
		free(l);
		*wait = code == ECONNREFUSED || code == ENOENT || code == ECONNRESET;
		(void)no_answer(e, "connect", code);
		return NULL;
	}
	(void)fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) & ~O_NONBLOCK);
	l->c = redisConnectFd(fd);
	if (!l->c) {
		(void)close(fd);
		free(l);
		(void)no_answer(e, "connect", ENOMEM);
		return NULL;
	}
	limit_waits(l, d);
	errno = 0;
	if (greet(r, l, e) < 0) {
		/* A server that is on its way down or up closes, or says that it is loading. */
		*wait = l->c->err != 0 || strstr(e->detail, "LOADING");
		link_close(l);
		return NULL;
	}
	return l;
}

/* ---- the pool ---- */

/* An idle connection is silent.  One that has something to say was closed by the other side. */
static bool
link_alive(const struct redis_link *l)
{
	char c;

	return recv(l->c->fd, &c, 1, MSG_PEEK | MSG_DONTWAIT) < 0 &&
	       (errno == EAGAIN || errno == EWOULDBLOCK);
}

static void
link_drop(struct redis *r, struct redis_link *l)
{
	if (l)
		link_close(l);
	(void)pthread_mutex_lock(&r->mutex);
	r->open--;
	(void)pthread_mutex_unlock(&r->mutex);
	(void)pthread_cond_signal(&r->given);
}

static void
link_give(struct redis *r, struct redis_link *l)
{
	(void)pthread_mutex_lock(&r->mutex);
	l->next = r->idle;
	r->idle = l;
	(void)pthread_mutex_unlock(&r->mutex);
	(void)pthread_cond_signal(&r->given);
}

static struct redis_link *
link_take(struct redis *r, const struct deadline *d, bool *wait, struct err *e)
{
	struct timespec at = { .tv_sec = d->at_us / 1000000, .tv_nsec = d->at_us % 1000000 * 1000 };
	struct redis_link *l = NULL, *stale;
	bool late = false;

	*wait = false;
	(void)pthread_mutex_lock(&r->mutex);
	while (!r->idle && r->open >= REDIS_POOL_MAX && !late)
		late = pthread_cond_timedwait(&r->given, &r->mutex, &at) == ETIMEDOUT;
	while ((l = r->idle)) {
		r->idle = l->next;
		if (link_alive(l))
			break;
		stale = l;
		r->open--;
		link_close(stale);
	}
	late = !l && r->open >= REDIS_POOL_MAX;
	if (!l && !late)
		r->open++;
	(void)pthread_mutex_unlock(&r->mutex);
	if (late) {
		(void)err_set(e, ERR_STORE, "busy");
		err_detail(e, "redis: all %d connections were busy until the deadline",
			   REDIS_POOL_MAX);
		return NULL;
	}
	if (l)
		return l;
	l = link_open(r, d, wait, e);
	if (!l)
		link_drop(r, NULL);
	return l;
}

/* ---- commands ---- */

/* One try.  NULL: *e; *again: it may be tried once more. */
static redisReply *
try_once(struct redis *r, const struct redis_args *a, const struct deadline *d, bool *again,
	 struct err *e)
{
	struct redis_link *l = link_take(r, d, again, e);
	redisReply *reply;
	int code;

	if (!l)
		return NULL;
	limit_waits(l, d);
	errno = 0;
	reply = redisCommandArgv(l->c, a->n, (const char **)a->v, a->len);
	if (!reply) {
		code = l->c->err == REDIS_ERR_IO ? errno : ECONNRESET;
		*again = code != EAGAIN && !a->once;
		(void)no_answer(e, "command", code == EAGAIN ? ETIMEDOUT : code);
		link_drop(r, l);
		return NULL;
	}
	link_give(r, l);
	return reply;
}

/* These say: not now, and nothing was done. */
static bool
not_now(const redisReply *reply)
{
	static const char *const words[] = { "LOADING ", "BUSY ", "TRYAGAIN ", "MASTERDOWN " };

	for (size_t i = 0; i < sizeof(words) / sizeof(*words); i++)
		if (!strncmp(reply->str, words[i], strlen(words[i])))
			return true;
	return false;
}

/* The answer, whatever it is, unless there is none. */
static redisReply *
run_any(struct redis *r, const struct redis_args *a, const struct deadline *d, struct err *e)
{
	static const struct timespec pause = { .tv_nsec = 20000000 };
	struct deadline give_up = { 0 };
	bool again;

	for (;;) {
		redisReply *reply = try_once(r, a, d, &again, e);

		if (reply && (reply->type != REDIS_REPLY_ERROR || !not_now(reply)))
			return reply;
		if (reply) {
			(void)said_no(e, reply);
			freeReplyObject(reply);
			again = true;
		}
		if (!give_up.at_us)
			give_up = deadline_sooner(d, REDIS_RETRY_MS);
		if (!again || deadline_over(&give_up))
			return NULL;
		(void)nanosleep(&pause, NULL);
	}
}

static redisReply *
unless_error(redisReply *reply, struct err *e)
{
	if (!reply || reply->type != REDIS_REPLY_ERROR)
		return reply;
	(void)said_no(e, reply);
	freeReplyObject(reply);
	return NULL;
}

redisReply *
redis_run(struct redis *r, struct redis_args *a, const struct deadline *d, struct err *e)
{
	return unless_error(run_any(r, a, d, e), e);
}

redisReply *
redis_script_run(struct redis *r, const struct redis_script *script, struct redis_args *a,
		 const struct deadline *d, struct err *e)
{
	redisReply *reply;

	/* args_begin(a, NULL) left three places. */
	a->v[0] = "EVALSHA";
	a->v[1] = script->sha;
	a->v[2] = "0";
	for (int i = 0; i < 3; i++)
		a->len[i] = strlen(a->v[i]);
	reply = run_any(r, a, d, e);
	if (reply && reply->type == REDIS_REPLY_ERROR && !strncmp(reply->str, "NOSCRIPT", 8)) {
		freeReplyObject(reply);
		a->v[0] = "EVAL";
		a->v[1] = script->text;
		for (int i = 0; i < 2; i++)
			a->len[i] = strlen(a->v[i]);
		reply = run_any(r, a, d, e);
	}
	return unless_error(reply, e);
}
