/*
 * health - GET /healthz, /readyz, /metrics
 *
 * /healthz: does this program answer.  /readyz: could a picture be made now, as far as that can be
 * known without spending anything; 503 names what is missing.  /metrics: Prometheus text of every
 * program's counters.
 */
#include <stdio.h>
#include <stdlib.h>

#include "files/filestore.h"
#include "http/app.h"
#include "http/stats.h"
#include "store/store.h"

struct health {
	const struct config *config;
	struct store *store;
	struct filestore *files;
};

static int
healthz(struct request *r, void *state, struct err *e)
{
	(void)state;
	reply_header(r, "cache-control", "no-store");
	return reply_json(r, 200, json_pack("{s:s}", "status", "ok"), e);
}

static json_t *
check(int rc, const struct err *e, int *failed)
{
	char text[512];

	if (rc == 0)
		return json_pack("{s:s}", "status", "ok");
	++*failed;
	err_message(e, LANG_EN, text, sizeof(text));
	return json_pack("{s:s, s:s, s:s}", "status", "failed", "code", err_code(e), "message",
			 text);
}

static int
readyz(struct request *r, void *state, struct err *e)
{
	struct health *h = state;
	struct err why;
	int failed = 0;
	json_t *store = check(store_ping(h->store, request_deadline(r), &why), &why, &failed);
	json_t *files = check(filestore_room(h->files, 1, &why), &why, &failed);

	reply_header(r, "cache-control", "no-store");
	return reply_json(r, failed ? 503 : 200,
			  json_pack("{s:s, s:{s:o, s:o}}", "status", failed ? "not ready" : "ready",
				    "checks", "store", store, "files", files),
			  e);
}

static int
metrics(struct request *r, void *state, struct err *e)
{
	struct health *h = state;
	char *text = NULL;
	size_t n = 0;
	FILE *out = open_memstream(&text, &n);
	int rc;

	if (!out)
		return err_set(e, ERR_INTERNAL, "no memory for the metrics");
	rc = stats_print(out, h->config->state_dir, e);
	(void)fclose(out);
	if (rc == 0)
		rc = reply_text(r, 200, "text/plain; version=0.0.4; charset=utf-8", text, n, e);
	free(text);
	return rc;
}

static int
init(void *state, const struct app_env *env, struct err *e)
{
	const struct config *c = env->config;
	struct health *h = state;

	h->config = c;
	h->store = env->store;
	return filestore_open(&h->files, c->files.url, c->state_dir,
			      (uint64_t)c->limits.image_bytes, (uint64_t)c->limits.image_pixels,
			      (uint64_t)c->files.max_bytes, e);
}

static void
done(void *state)
{
	filestore_free(((struct health *)state)->files);
}

static const struct route routes[] = { { "GET", "/healthz", healthz, .flags = ROUTE_OPEN },
				       { "GET", "/readyz", readyz, .flags = ROUTE_OPEN },
				       { "GET", "/metrics", metrics, .scope = SCOPE_METRICS },
				       { 0 } };

int
main(int argc, char **argv)
{
	static const char *const sections[] = {
		"server", "auth", "store", "files", "process", NULL
	};

	return app_main(&(const struct app){ .name = "health",
					     .summary = "alive, ready, metrics",
					     .routes = routes,
					     .sections = sections,
					     .state_size = sizeof(struct health),
					     .init = init,
					     .done = done },
			argc, argv);
}
