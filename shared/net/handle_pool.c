#include "net/handle_pool.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define IDLE_MAX     128L   /* handles kept for each policy */
#define BUFFER_BYTES 32768L /* of one read; allocated by libcurl, touched when bytes come */

#define SEND_BYTES 16384L /* the least that libcurl takes; with TLS it copies requests through it */

/*
 * How long a connection may have been idle to be used again.  Servers close idle ones after five
 * seconds at the earliest (Node, Apache, lighttpd); a request sent just then is lost, and whether it
 * was read cannot be known.
 */
#define IDLE_CONNECTION_S 3L

#define DNS_CACHE_S 60L

static struct {
	pthread_mutex_t lock;
	struct handle *idle[2];
	long nidle[2];
	CURLSH *share;
	pthread_mutex_t share_lock[CURL_LOCK_DATA_LAST];
} pool = { .lock = PTHREAD_MUTEX_INITIALIZER };

static void
share_lock(CURL *easy, curl_lock_data data, curl_lock_access access, void *arg)
{
	(void)easy;
	(void)access;
	(void)arg;
	(void)pthread_mutex_lock(&pool.share_lock[data]);
}

static void
share_unlock(CURL *easy, curl_lock_data data, void *arg)
{
	(void)easy;
	(void)arg;
	(void)pthread_mutex_unlock(&pool.share_lock[data]);
}

int
handle_pool_init(struct err *e)
{
	for (int i = 0; i < CURL_LOCK_DATA_LAST; i++)
		(void)pthread_mutex_init(&pool.share_lock[i], NULL);
	pool.share = curl_share_init();
	if (!pool.share ||
	    curl_share_setopt(pool.share, CURLSHOPT_LOCKFUNC, share_lock) != CURLSHE_OK ||
	    curl_share_setopt(pool.share, CURLSHOPT_UNLOCKFUNC, share_unlock) != CURLSHE_OK ||
	    curl_share_setopt(pool.share, CURLSHOPT_SHARE, CURL_LOCK_DATA_DNS) != CURLSHE_OK ||
	    curl_share_setopt(pool.share, CURLSHOPT_SHARE, CURL_LOCK_DATA_SSL_SESSION) !=
		    CURLSHE_OK) {
		curl_share_cleanup(pool.share);
		pool.share = NULL;
		return err_set(e, ERR_INTERNAL, "libcurl cannot share its caches");
	}
	return 0;
}

static void
handle_free(struct handle *h)
{
	curl_easy_cleanup(h->easy);
	curl_url_cleanup(h->parsed);
	free(h->url);
	free(h->proxy);
	free(h);
}

void
handle_pool_shutdown(void)
{
	for (int p = 0; p < 2; p++) {
		while (pool.idle[p]) {
			struct handle *h = pool.idle[p];

			pool.idle[p] = h->next;
			handle_free(h);
		}
		pool.nidle[p] = 0;
	}
	curl_share_cleanup(pool.share);
	pool.share = NULL;
}

/* Everything that no call changes. */
static CURLcode
options_set(struct handle *h)
{
	CURL *c = h->easy;
	CURLcode rc = CURLE_OK;

#define SET(option, value)                                       \
	do {                                                     \
		if (rc == CURLE_OK)                              \
			rc = curl_easy_setopt(c, option, value); \
	} while (0)
	SET(CURLOPT_SHARE, pool.share);
	SET(CURLOPT_ERRORBUFFER, h->words);
	SET(CURLOPT_NOSIGNAL, 1L);
	SET(CURLOPT_QUICK_EXIT, 1L); /* else a deadline waits for the resolver's thread */
	SET(CURLOPT_PROTOCOLS_STR, "http,https");
	SET(CURLOPT_FOLLOWLOCATION, 0L);
	SET(CURLOPT_NETRC, (long)CURL_NETRC_IGNORED);
	SET(CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
	SET(CURLOPT_HTTP09_ALLOWED, 0L);
	SET(CURLOPT_ACCEPT_ENCODING,
	    "identity"); /* pictures; a server that packs all the same is unpacked */
	SET(CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
	SET(CURLOPT_BUFFERSIZE, BUFFER_BYTES);
	SET(CURLOPT_UPLOAD_BUFFERSIZE, SEND_BYTES);
	SET(CURLOPT_MAXCONNECTS, 1L);
	SET(CURLOPT_MAXAGE_CONN, IDLE_CONNECTION_S);
	SET(CURLOPT_DNS_CACHE_TIMEOUT, DNS_CACHE_S);
	/* A provider is silent for minutes; routers on the way forget such a connection. */
	SET(CURLOPT_TCP_KEEPALIVE, 1L);
	SET(CURLOPT_TCP_KEEPIDLE, 30L);
	SET(CURLOPT_TCP_KEEPINTVL, 15L);
	SET(CURLOPT_SSL_VERIFYPEER, 1L);
	SET(CURLOPT_SSL_VERIFYHOST, 2L);
	SET(CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
	/* net/ca.h: the store comes from the process, not from a file for each handle. */
	SET(CURLOPT_CAINFO, NULL);
	SET(CURLOPT_CAPATH, NULL);
	SET(CURLOPT_PROXY_CAINFO, NULL);
	SET(CURLOPT_PROXY_CAPATH, NULL);
#undef SET
	return rc;
}

static struct handle *
handle_new(enum upstream_policy policy)
{
	struct handle *h = calloc(1, sizeof(*h));

	if (!h)
		return NULL;
	h->policy = policy;
	h->fd = -1;
	h->easy = curl_easy_init();
	if (!h->easy || options_set(h) != CURLE_OK) {
		handle_free(h);
		return NULL;
	}
	return h;
}

struct handle *
handle_take(enum upstream_policy policy, const char *origin, struct err *e)
{
	struct handle *h = NULL;

	(void)pthread_mutex_lock(&pool.lock);
	for (struct handle **at = &pool.idle[policy]; *at; at = &(*at)->next)
		if (!strcmp((*at)->origin, origin)) {
			h = *at;
			*at = h->next;
			pool.nidle[policy]--;
			break;
		}
	(void)pthread_mutex_unlock(&pool.lock);
	if (!h)
		h = handle_new(policy);
	if (!h) {
		(void)err_set(e, ERR_INTERNAL, "libcurl gave no handle");
		return NULL;
	}
	h->next = NULL;
	h->words[0] = '\0';
	(void)snprintf(h->origin, sizeof(h->origin), "%s", origin);
	return h;
}

struct handle *
handle_take_again(const char *url)
{
	struct handle *h = NULL;

	(void)pthread_mutex_lock(&pool.lock);
	for (struct handle **at = &pool.idle[UPSTREAM_TRUSTED]; *at; at = &(*at)->next)
		if ((*at)->url && !strcmp((*at)->url, url)) {
			h = *at;
			*at = h->next;
			pool.nidle[UPSTREAM_TRUSTED]--;
			break;
		}
	(void)pthread_mutex_unlock(&pool.lock);
	if (h) {
		h->next = NULL;
		h->words[0] = '\0';
	}
	return h;
}

int
handle_set_url(struct handle *h, const char *url, CURLU *parsed, bool tls, struct err *e)
{
	curl_url_cleanup(h->parsed);
	free(h->url);
	h->parsed = parsed;
	h->url = strdup(url);
	h->tls = tls;
	return h->url && curl_easy_setopt(h->easy, CURLOPT_CURLU, parsed) == CURLE_OK
		       ? 0
		       : err_set(e, ERR_INTERNAL, "out of memory");
}

void
handle_drop(struct handle *h)
{
	handle_free(h);
}

void
handle_give(struct handle *h)
{
	struct handle *oldest = NULL;
	enum upstream_policy p = h->policy;

	(void)pthread_mutex_lock(&pool.lock);
	h->next = pool.idle[p];
	pool.idle[p] = h;
	if (++pool.nidle[p] > IDLE_MAX) {
		struct handle **at = &pool.idle[p];

		while ((*at)->next)
			at = &(*at)->next;
		oldest = *at;
		*at = NULL;
		pool.nidle[p]--;
	}
	(void)pthread_mutex_unlock(&pool.lock);
	if (oldest)
		handle_free(oldest);
}
