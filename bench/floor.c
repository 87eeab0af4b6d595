/* floor - the least that a FastCGI program in Easel's place can do: what is left below it is room for work
 *
 *	floor bare|connect|libcurl PROVIDER-PORT [FOLDER]
 *
 * The listening socket is standard input.  Each request goes to the provider at 127.0.0.1 as it came, over a
 * connection that is kept; the provider's body is the answer.  It is asked by bare read() and write(); or over a
 * connection that libcurl makes (CURLOPT_CONNECT_ONLY), with an HTTP/1.1 of our own; or by libcurl.  With a FOLDER as
 * many bytes as the picture has are written to a new file, which is given its name and read again, and two lines
 * are added to FOLDER/log, as for every picture that must not be lost.  There is no key, no JSON, no base64, no
 * check, no deadline, and every failure is the end of the program.
 */
#include <arpa/inet.h>
#include <curl/curl.h>
#include <err.h>
#include <fcgiapp.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define THREADS       4 /* its provider answers at once: more would only take turns */
#define REQUEST_BYTES 65536
#define ANSWER_BYTES  (4 << 20)

static enum { BARE, CONNECT, LIBCURL } way;
static int provider_port;
static const char *folder;
static int log_fd = -1;
static atomic_ulong serial;

static int
provider_connect(void)
{
	const struct sockaddr_in address = { .sin_family = AF_INET,
					     .sin_port = htons((uint16_t)provider_port),
					     .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	const int one = 1;
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || connect(fd, (const struct sockaddr *)&address, sizeof address) ||
	    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one))
		err(1, "the provider at port %d", provider_port);
	return fd;
}

/* ---- by bare read() and write(), or over libcurl's connection ---- */

struct provider {
	int fd;
	CURL *curl; /* NULL: bare */
	struct curl_slist *headers;
};

static void
provider_open(struct provider *p)
{
	char url[64];

	if (way == BARE) {
		p->fd = provider_connect();
		return;
	}
	p->curl = curl_easy_init();
	p->headers = curl_slist_append(NULL, "Content-Type: application/json");
	snprintf(url, sizeof url, "http://127.0.0.1:%d/v1/images/generations", provider_port);
	curl_easy_setopt(p->curl, CURLOPT_URL, url);
	curl_easy_setopt(p->curl, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(p->curl, CURLOPT_PROXY, "");
	curl_easy_setopt(p->curl, CURLOPT_HTTPHEADER, p->headers);
	curl_socket_t fd;
	if (way == CONNECT) {
		curl_easy_setopt(p->curl, CURLOPT_CONNECT_ONLY, 1L);
		if (curl_easy_perform(p->curl) ||
		    curl_easy_getinfo(p->curl, CURLINFO_ACTIVESOCKET, &fd))
			errx(1, "libcurl does not connect to the provider");
		p->fd = fd;
	}
}

static void
send_all(struct provider *p, const char *data, size_t n)
{
	size_t sent = n;
	if (p->curl ? curl_easy_send(p->curl, data, n, &sent) || sent != n
		    : write(p->fd, data, n) != (ssize_t)n)
		err(1, "to the provider");
}

static size_t
receive(struct provider *p, char *buf, size_t n)
{
	struct pollfd wait = { .fd = p->fd, .events = POLLIN };
	size_t got = 0;
	CURLcode rc;
	if (p->curl) {
		while ((rc = curl_easy_recv(p->curl, buf, n, &got)) == CURLE_AGAIN)
			(void)poll(&wait, 1, -1);
		if (rc)
			errx(1, "from the provider: %s", curl_easy_strerror(rc));
	} else {
		ssize_t r = read(p->fd, buf, n);
		got = r > 0 ? (size_t)r : 0;
	}
	if (!got)
		err(1, "from the provider");
	return got;
}

/* The whole answer in buf; *body is where its body begins. */
static size_t
ask(struct provider *p, const char *request, size_t n, char *buf, char **body)
{
	char head[256];
	int h = snprintf(head, sizeof head,
			 "POST /v1/images/generations HTTP/1.1\r\nHost: 127.0.0.1\r\n"
			 "Content-Type: application/json\r\nContent-Length: %zu\r\n\r\n",
			 n);
	char whole[sizeof head + REQUEST_BYTES];
	memcpy(whole, head, (size_t)h);
	memcpy(whole + h, request, n);
	send_all(p, whole, (size_t)h + n);
	size_t got = 0, want = 0;
	while (want == 0 || got < want) {
		got += receive(p, buf + got, ANSWER_BYTES - 1 - got);
		buf[got] = '\0';
		char *end = want ? NULL : strstr(buf, "\r\n\r\n");
		if (end) {
			const char *length = strcasestr(buf, "\r\ncontent-length:");
			if (!length || length > end)
				errx(1, "an answer without its length");
			*body = end + 4;
			want = (size_t)(end + 4 - buf) +
			       strtoul(length + strlen("\r\ncontent-length:"), NULL, 10);
			if (want > ANSWER_BYTES - 1)
				errx(1, "an answer of %zu bytes", want);
		}
	}
	return want - (size_t)(*body - buf);
}

/* ---- by libcurl ---- */

struct answer {
	char *p;
	size_t n;
};

static size_t
take(char *data, size_t size, size_t n, void *self)
{
	struct answer *a = self;
	if (a->n + size * n > ANSWER_BYTES)
		errx(1, "an answer of more than %d bytes", ANSWER_BYTES);
	memcpy(a->p + a->n, data, size * n);
	a->n += size * n;
	return size * n;
}

static size_t
ask_by_libcurl(struct provider *p, const char *request, size_t n, char *buf, char **body)
{
	struct answer a = { .p = buf };
	curl_easy_setopt(p->curl, CURLOPT_POSTFIELDSIZE, (long)n);
	curl_easy_setopt(p->curl, CURLOPT_POSTFIELDS, request);
	curl_easy_setopt(p->curl, CURLOPT_WRITEFUNCTION, take);
	curl_easy_setopt(p->curl, CURLOPT_WRITEDATA, &a);
	CURLcode rc = curl_easy_perform(p->curl);
	if (rc)
		errx(1, "the provider: %s", curl_easy_strerror(rc));
	*body = buf;
	return a.n;
}

/* ---- what is kept, what is answered ---- */

/* data is written, named and read again. */
static void
keep(char *data, size_t n)
{
	char part[256], name[256];
	unsigned long i = atomic_fetch_add(&serial, 1);
	snprintf(part, sizeof part, "%s/%d-%lu.part", folder, (int)getpid(), i);
	snprintf(name, sizeof name, "%s/%d-%lu.png", folder, (int)getpid(), i);
	int fd = open(part, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
	if (fd < 0 || write(fd, data, n) != (ssize_t)n || close(fd) || rename(part, name))
		err(1, "%s", part);
	fd = open(name, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || read(fd, data, n) != (ssize_t)n || close(fd))
		err(1, "%s", name);
	static const char line[] = "a line of the log, as long as such a line is: who asked for "
				   "what, of whom, and what became of it; about 150 letters\n";
	for (int lines = 0; lines < 2; lines++)
		if (write(log_fd, line, sizeof line - 1) < 0)
			err(1, "the log");
}

static void *
serve(void *unused)
{
	(void)unused;
	FCGX_Request r;
	char *buf = malloc(ANSWER_BYTES), *in = malloc(REQUEST_BYTES), *body = NULL;
	if (!buf || !in || FCGX_InitRequest(&r, STDIN_FILENO, 0))
		errx(1, "start");
	struct provider provider = { .fd = -1 };
	provider_open(&provider);
	while (FCGX_Accept_r(&r) == 0) {
		int n = FCGX_GetStr(in, REQUEST_BYTES, r.in);
		size_t length = (way == LIBCURL ? ask_by_libcurl : ask)(&provider, in, (size_t)n,
									buf, &body);
		if (folder)
			keep(body, length / 4 * 3);
		char head[128];
		int h = snprintf(head, sizeof head,
				 "Status: 200 OK\r\nContent-Type: "
				 "application/json\r\nContent-Length: %zu\r\n\r\n",
				 length);
		FCGX_PutStr(head, h, r.out);
		FCGX_PutStr(body, (int)length, r.out);
		FCGX_Finish_r(&r);
	}
	return NULL;
}

int
main(int argc, char **argv)
{
	if (argc < 3 || argc > 4)
		errx(2, "usage: floor bare|connect|libcurl PROVIDER-PORT [FOLDER]");
	way = !strcmp(argv[1], "bare") ? BARE : !strcmp(argv[1], "connect") ? CONNECT : LIBCURL;
	provider_port = (int)strtol(argv[2], NULL, 10);
	if (argc == 4) {
		char path[256];
		folder = argv[3];
		snprintf(path, sizeof path, "%s/log", folder);
		log_fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
		if (log_fd < 0)
			err(1, "%s", path);
	}
	signal(SIGPIPE, SIG_IGN);
	if (curl_global_init(CURL_GLOBAL_DEFAULT))
		errx(1, "libcurl");
	if (FCGX_Init())
		errx(1, "FCGX_Init");
	for (int i = 1; i < THREADS; i++) {
		pthread_t thread;
		if (pthread_create(&thread, NULL, serve, NULL))
			errx(1, "a thread");
	}
	serve(NULL);
	return 0;
}
