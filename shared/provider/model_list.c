#include "provider/model_list.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/cleanup.h"
#include "base/json.h"
#include "config/nearest.h"
#include "net/upstream.h"

struct listed {
	char *id;
	bool image;
};

struct model_list {
	const struct provider_conf *provider;
	pthread_mutex_t mutex; /* held while it is asked: others wait for the answer */
	struct listed *v;
	size_t n;
	bool known;      /* there was an answer */
	int64_t next_us; /* when to ask again */
};

struct model_list *
model_list_new(const struct provider_conf *p)
{
	struct model_list *l = calloc(1, sizeof(*l));

	if (!l)
		return NULL;
	l->provider = p;
	(void)pthread_mutex_init(&l->mutex, NULL);
	return l;
}

static void
forget(struct model_list *l)
{
	for (size_t i = 0; i < l->n; i++)
		free(l->v[i].id);
	free(l->v);
	l->v = NULL;
	l->n = 0;
}

void
model_list_free(struct model_list *l)
{
	if (!l)
		return;
	forget(l);
	(void)pthread_mutex_destroy(&l->mutex);
	free(l);
}

static bool
holds(const json_t *list, const char *word)
{
	const json_t *v;
	size_t i;

	json_array_foreach(list, i, v) if (json_is_string(v) &&
					   !strcmp(json_string_value(v), word)) return true;
	return false;
}

static bool
says_image(const json_t *model)
{
	const json_t *of = json_object_get(model, "architecture");
	const char *type = json_string_value(json_object_get(model, "type"));

	return holds(json_object_get(of, "output_modalities"), "image") ||
	       holds(json_object_get(model, "output_modalities"), "image") ||
	       (type && !strcmp(type, "image"));
}

static void
take(struct model_list *l, const json_t *data)
{
	size_t n = json_array_size(data), i;
	struct listed *v;
	const json_t *m;

	if (n > MODEL_LIST_MAX)
		n = MODEL_LIST_MAX;
	v = calloc(n + 1, sizeof(*v));
	if (!v)
		return;
	forget(l);
	l->v = v;
	l->known = true;
	json_array_foreach(data, i, m)
	{
		const char *id = json_string_value(json_object_get(m, "id"));
		char *copy = id && l->n < n ? strdup(id) : NULL;

		if (copy)
			v[l->n++] = (struct listed){ .id = copy, .image = says_image(m) };
	}
}

static void
secret_freep(char **s)
{
	if (*s)
		explicit_bzero(*s, strlen(*s));
	free(*s);
}

/* 0: it answered with a list, which is l's now. */
static int
ask_with(struct model_list *l, const char *key, const struct deadline *d, struct ledger *ledger)
{
	__attribute__((cleanup(secret_freep))) char *authorization = NULL;
	const struct provider_conf *p = l->provider;
	const char *headers[] = { "Accept: application/json", NULL, NULL };
	struct upstream_req rq = { .method = "GET",
				   .headers = headers,
				   .proxy = p->proxy,
				   .connect_timeout_ms = p->connect_timeout_ms,
				   .policy = UPSTREAM_TRUSTED,
				   .provider = p->name,
				   .item = LEDGER_PROVIDER };
	AUTO(buf) text = BUF_INIT(MODEL_LIST_BYTES);
	struct upstream_body body = upstream_to_buf(&text);
	AUTO_FREE char *url = NULL;
	json_auto_t *root = NULL;
	AUTO(upstream_head) head = { 0 };
	struct err e;

	if (asprintf(&url, "%s/models", p->base_url) < 0 ||
	    asprintf(&authorization, "Authorization: Bearer %s", key) < 0)
		return -1;
	headers[1] = authorization;
	rq.url = url;
	if (upstream_call(&rq, &body, &head, d, ledger, &e) < 0 || head.status != 200 ||
	    json_read(buf_str(&text), text.len, &root, &e) < 0 ||
	    !json_is_array(json_object_get(root, "data")))
		return -1;
	take(l, json_object_get(root, "data"));
	return 0;
}

static void
ask(struct model_list *l, const struct deadline *d, struct ledger *ledger)
{
	const struct strings *keys = &l->provider->api_keys;
	struct deadline until = deadline_sooner(d, MODEL_LIST_WAIT_MS);
	int rc = -1;

	for (size_t i = 0; rc < 0 && i < keys->n && !deadline_over(&until); i++)
		rc = ask_with(l, keys->v[i], &until, ledger);
	l->next_us = clock_us() + (rc == 0 ? MODEL_LIST_KEEP_MS : MODEL_LIST_RETRY_MS) * 1000LL;
}

/* 0, or -1: somebody else has it for too long. */
static int
lock(struct model_list *l, const struct deadline *d)
{
	int64_t until_us = deadline_sooner(d, MODEL_LIST_WAIT_MS).at_us;
	struct timespec t = { .tv_sec = until_us / 1000000, .tv_nsec = until_us % 1000000 * 1000 };

	return pthread_mutex_clocklock(&l->mutex, CLOCK_MONOTONIC, &t) == 0 ? 0 : -1;
}

enum model_listed
model_list_find(struct model_list *l, const char *id, const struct deadline *d,
		struct ledger *ledger)
{
	enum model_listed found;

	if (lock(l, d) < 0)
		return LISTED_UNKNOWN;
	if (clock_us() >= l->next_us)
		ask(l, d, ledger);
	found = l->known ? LISTED_NOT : LISTED_UNKNOWN;
	for (size_t i = 0; i < l->n && found == LISTED_NOT; i++)
		if (l->v[i].id && !strcmp(l->v[i].id, id))
			found = l->v[i].image ? LISTED_IMAGE : LISTED;
	(void)pthread_mutex_unlock(&l->mutex);
	return found;
}

void
model_list_nearest(struct model_list *l, const char *id, char *out, size_t size)
{
	struct deadline now = deadline_in_ms(0);
	struct nearest n = nearest_to(id);

	*out = '\0';
	if (lock(l, &now) < 0)
		return;
	for (size_t i = 0; i < l->n; i++)
		nearest_try(&n, l->v[i].id);
	if (n.best)
		(void)snprintf(out, size, "%s", n.best);
	(void)pthread_mutex_unlock(&l->mutex);
}
