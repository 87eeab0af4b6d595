#include "listen.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/deadline.h"
#include "base/num.h"

#define RETRY_MS 20 /* between two tries to bind a port in use */

int
address_parse(const char *listen, struct address *out, struct err *e)
{
	const char *host = listen, *colon = strrchr(listen, ':'), *end = colon;
	int64_t port;

	if (!colon || num_i64(colon + 1, 0, 65535, &port) < 0)
		return err_set(e, ERR_CONFIG, "[server] listen: expected HOST:PORT, found \"%s\".",
			       listen);
	if (*host == '[') {
		host++;
		end = colon - 1;
		if (end < host || *end != ']')
			return err_set(e, ERR_CONFIG,
				       "[server] listen: the bracket of \"%s\" is not closed.",
				       listen);
	} else if (memchr(host, ':', (size_t)(colon - host))) {
		return err_set(e, ERR_CONFIG,
			       "[server] listen: an IPv6 address stands in brackets, "
			       "\"[::1]:8080\"; found \"%s\".",
			       listen);
	}
	if ((size_t)(end - host) >= sizeof(out->host))
		return err_set(e, ERR_CONFIG, "[server] listen: the host is too long.");
	(void)snprintf(out->host, sizeof(out->host), "%.*s", (int)(end - host), host);
	(void)snprintf(out->port, sizeof(out->port), "%d", (int)port);
	return 0;
}

static int
try_bind(const struct addrinfo *ai)
{
	int one = 1, zero = 0, saved;
	int fd = socket(ai->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0)
		return -1;
	/* The web server sets TCP_NODELAY; [::] takes IPv4 too, as people expect of it. */
	(void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (ai->ai_family == AF_INET6)
		(void)setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &zero, sizeof(zero));
	if (bind(fd, ai->ai_addr, ai->ai_addrlen) == 0 && listen(fd, LISTEN_BACKLOG) == 0)
		return fd;
	saved = errno;
	(void)close(fd);
	errno = saved;
	return -1;
}

static int
bind_failed(const char *listen, struct err *e)
{
	if (errno == EADDRINUSE)
		return err_set(e, ERR_INTERNAL,
			       "%s is in use by another program; choose another address with "
			       "EASEL_SERVER_LISTEN=127.0.0.1:PORT or [server] listen",
			       listen);
	if (errno == EACCES)
		return err_set(e, ERR_CONFIG,
			       "[server] listen: this user may not listen on %s (a port below "
			       "1024?).",
			       listen);
	return err_set(e, ERR_CONFIG, "[server] listen: cannot listen on %s: %s.", listen,
		       strerror(errno));
}

/* Fills in where the socket can be reached: the real port, and the loopback for "every address". */
static int
find_out(struct front *f, struct err *e)
{
	struct sockaddr_in *v4 = (struct sockaddr_in *)&f->probe;
	struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)&f->probe;
	char host[INET6_ADDRSTRLEN];

	f->probe_len = sizeof(f->probe);
	if (getsockname(f->fd, (struct sockaddr *)&f->probe, &f->probe_len) < 0)
		return err_set(e, ERR_INTERNAL, "getsockname: %s", strerror(errno));
	if (f->probe.ss_family == AF_INET) {
		if (v4->sin_addr.s_addr == htonl(INADDR_ANY))
			v4->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
		(void)inet_ntop(AF_INET, &v4->sin_addr, host, sizeof(host));
		(void)snprintf(f->url, sizeof(f->url), "http://%s:%u", host, ntohs(v4->sin_port));
		return 0;
	}
	if (IN6_IS_ADDR_UNSPECIFIED(&v6->sin6_addr))
		v6->sin6_addr = in6addr_loopback;
	(void)inet_ntop(AF_INET6, &v6->sin6_addr, host, sizeof(host));
	(void)snprintf(f->url, sizeof(f->url), "http://[%s]:%u", host, ntohs(v6->sin6_port));
	return 0;
}

int
front_listen(const char *listen, int64_t wait_ms, struct front *out, struct err *e)
{
	struct deadline d = deadline_in_ms(wait_ms);
	const struct addrinfo hints = { .ai_family = AF_UNSPEC,
					.ai_socktype = SOCK_STREAM,
					.ai_flags = AI_PASSIVE | AI_NUMERICSERV };
	struct addrinfo *ai;
	struct address a = { .host = "" };
	int rc;

	if (address_parse(listen, &a, e) < 0)
		return -1;
	rc = getaddrinfo(*a.host ? a.host : "0.0.0.0", a.port, &hints, &ai);
	if (rc)
		return err_set(e, ERR_CONFIG, "[server] listen: %s: %s.", a.host, gai_strerror(rc));
	while ((out->fd = try_bind(ai)) < 0 && errno == EADDRINUSE && !deadline_over(&d))
		(void)poll(NULL, 0, RETRY_MS);
	rc = errno;
	freeaddrinfo(ai);
	errno = rc;
	if (out->fd < 0)
		return bind_failed(listen, e);
	return find_out(out, e);
}

void
front_scheme(struct front *f, bool tls)
{
	const char *rest = strstr(f->url, "://");
	char url[URL_TEXT];

	if (rest &&
	    snprintf(url, sizeof(url), "%s%s", tls ? "https" : "http", rest) < (int)sizeof(url))
		(void)memcpy(f->url, url, sizeof(url));
}

int
unix_listen(const char *path, struct err *e)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	mode_t mask;
	int fd, rc;

	if (strlen(path) >= sizeof(sun.sun_path))
		return err_set(e, ERR_INTERNAL, "the socket's path is too long");
	(void)snprintf(sun.sun_path, sizeof(sun.sun_path), "%s", path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return err_set(e, ERR_INTERNAL, "socket: %s", strerror(errno));
	(void)unlink(path); /* of a run that was killed: the lock says that none is alive */
	mask = umask(0177);
	rc = bind(fd, (struct sockaddr *)&sun, sizeof(sun));
	(void)umask(mask);
	if (rc == 0 && listen(fd, LISTEN_BACKLOG) == 0)
		return fd;
	(void)err_set(e, ERR_INTERNAL, "a program's socket cannot be made");
	err_detail(e, "%s: %s", path, strerror(errno));
	(void)close(fd);
	return -1;
}

int
lock_file(const char *path, struct err *e)
{
	int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);

	if (fd < 0) {
		(void)err_set(e, ERR_INTERNAL, "the state folder cannot be written");
		err_detail(e, "%s: %s", path, strerror(errno));
		return -1;
	}
	if (flock(fd, LOCK_EX | LOCK_NB) == 0)
		return fd;
	(void)err_set(e, ERR_INTERNAL,
		      errno == EWOULDBLOCK ? "another 'easel serve' runs on this state folder"
					   : "the state folder cannot be locked");
	err_detail(e, "%s", path);
	(void)close(fd);
	return -1;
}
