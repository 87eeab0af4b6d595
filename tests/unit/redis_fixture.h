#ifndef EASEL_TESTS_REDIS_FIXTURE_H
#define EASEL_TESTS_REDIS_FIXTURE_H
/*
 * redis_fixture - a redis-server of the test's own, in a folder of its own, on a free port and a socket
 *
 * Two users: "default", without a password, which is the test's own; and "easel", with exactly what
 * docs/redis.md gives it.  Dies with the test.
 */
#include <arpa/inet.h>
#include <fcntl.h>
#include <hiredis/hiredis.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define REDIS_PASSWORD "fake-p@ss/word-4711" /* in a URL: fake-p%40ss%2Fword-4711 */

static struct {
	char dir[64], conf[96], socket[96], url[160], unix_url[160];
	int port;
	pid_t pid;
	redisContext *admin;
} rd;

/* The line of docs/redis.md that begins with "user easel", with the password in its place. */
__attribute__((unused)) static int
redis_acl(char *out, size_t size)
{
	FILE *f = fopen("docs/redis.md", "re");
	char line[1024];
	char *at;
	int n = -1;

	while (f && n < 0 && fgets(line, sizeof(line), f)) {
		at = strstr(line, ">PASSWORD ");
		if (!strncmp(line, "user easel ", 11) && at)
			n = snprintf(out, size, "%.*s>%s%s", (int)(at - line), line,
				     REDIS_PASSWORD, at + 9);
	}
	if (f)
		(void)fclose(f);
	return n > 0 ? 0 : -1;
}

__attribute__((unused)) static int
redis_free_port(void)
{
	struct sockaddr_in a = { .sin_family = AF_INET,
				 .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t n = sizeof(a);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (bind(fd, (struct sockaddr *)&a, n) < 0 ||
	    getsockname(fd, (struct sockaddr *)&a, &n) < 0)
		a.sin_port = 0;
	(void)close(fd);
	return ntohs(a.sin_port);
}

__attribute__((unused)) static int
redis_up(void)
{
	static const struct timespec pause = { .tv_nsec = 10000000 };

	for (int i = 0; i < 2000; i++) {
		redisReply *r = NULL;
		int ok;

		rd.admin = redisConnectUnix(rd.socket);
		if (rd.admin && !rd.admin->err)
			r = redisCommand(rd.admin, "PING");
		ok = r && r->type == REDIS_REPLY_STATUS;
		if (r)
			freeReplyObject(r);
		if (ok)
			return 0;
		if (rd.admin)
			redisFree(rd.admin);
		rd.admin = NULL;
		(void)nanosleep(&pause, NULL);
	}
	return -1;
}

/* Starts it on what its append-only file holds. */
__attribute__((unused)) static int
redis_start(void)
{
	pid_t parent = getpid();

	rd.pid = fork();
	if (rd.pid == 0) {
		int fd = open("/dev/null", O_RDWR | O_CLOEXEC);

		(void)dup2(fd, 1);
		(void)dup2(fd, 2);
		(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (getppid() == parent)
			(void)execlp("redis-server", "redis-server", rd.conf, (char *)NULL);
		_exit(127);
	}
	return rd.pid < 0 ? -1 : redis_up();
}

__attribute__((unused)) static void
redis_kill(int signal)
{
	int status;

	if (rd.admin)
		redisFree(rd.admin);
	rd.admin = NULL;
	(void)kill(rd.pid, signal);
	(void)waitpid(rd.pid, &status, 0);
	rd.pid = 0;
}

__attribute__((unused)) static int
redis_begin(void)
{
	char acl[1200];
	FILE *f;

	(void)snprintf(rd.dir, sizeof(rd.dir), "/tmp/easel-redis-XXXXXX");
	rd.port = redis_free_port();
	if (!mkdtemp(rd.dir) || redis_acl(acl, sizeof(acl)) < 0 || !rd.port)
		return -1;
	(void)snprintf(rd.conf, sizeof(rd.conf), "%s/redis.conf", rd.dir);
	(void)snprintf(rd.socket, sizeof(rd.socket), "%s/s", rd.dir);
	(void)snprintf(rd.url, sizeof(rd.url), "redis://easel:fake-p%%40ss%%2Fword-4711@127.0.0.1:%d/0",
		       rd.port);
	(void)snprintf(rd.unix_url, sizeof(rd.unix_url),
		       "redis+unix://easel:fake-p%%40ss%%2Fword-4711@%s?db=0", rd.socket);
	f = fopen(rd.conf, "we");
	if (!f)
		return -1;
	(void)fprintf(f,
		      "bind 127.0.0.1\nport %d\nunixsocket %s\ndir %s\nsave \"\"\nappendonly yes\n"
		      "appendfsync everysec\ndaemonize no\n%s\n",
		      rd.port, rd.socket, rd.dir, acl);
	return fclose(f) == 0 ? redis_start() : -1;
}

/* A command of the operator's; its answer is not looked at. */
__attribute__((unused)) static void
redis_say(const char *command)
{
	redisReply *r = redisCommand(rd.admin, command);

	if (r)
		freeReplyObject(r);
}

/* Removes what it has written; it must not run. */
__attribute__((unused)) static void
redis_forget(void)
{
	char name[160];

	for (int i = 1; i < 20; i++) {
		static const char *const kinds[] = { "base.rdb", "base.aof", "incr.aof" };

		for (size_t k = 0; k < 3; k++) {
			(void)snprintf(name, sizeof(name),
				       "%s/appendonlydir/appendonly.aof.%d.%s", rd.dir, i,
				       kinds[k]);
			(void)unlink(name);
		}
	}
	(void)snprintf(name, sizeof(name), "%s/appendonlydir/appendonly.aof.manifest", rd.dir);
	(void)unlink(name);
	(void)snprintf(name, sizeof(name), "%s/appendonlydir", rd.dir);
	(void)rmdir(name);
}

/* Waits until it has been up for so long that it gives slots out (store_redis_slot.c). */
__attribute__((unused)) static int
redis_settle(void)
{
	static const struct timespec pause = { .tv_nsec = 50000000 };

	for (int i = 0; i < 400; i++) {
		redisReply *r = redisCommand(rd.admin, "INFO server");
		const char *up = r && r->str ? strstr(r->str, "uptime_in_seconds:") : NULL;
		long seconds = up ? strtol(up + 18, NULL, 10) : 0;

		if (r)
			freeReplyObject(r);
		if (seconds >= 3)
			return 0;
		(void)nanosleep(&pause, NULL);
	}
	return -1;
}

__attribute__((unused)) static void
redis_end(void)
{
	static const char *const clean[] = { "/redis.conf", "/s", "/dump.rdb" };
	char name[160];

	if (rd.pid > 0)
		redis_kill(SIGKILL);
	for (size_t i = 0; i < sizeof(clean) / sizeof(*clean); i++) {
		(void)snprintf(name, sizeof(name), "%s%s", rd.dir, clean[i]);
		(void)unlink(name);
	}
	redis_forget();
	(void)rmdir(rd.dir);
}

#endif
