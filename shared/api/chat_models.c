#include "api/chat_models.h"

#include <fnmatch.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"
#include "provider/model_list.h"

#define NAME_BYTES 160

/* A model that is not configured. */
struct extra {
	struct extra *next;
	struct model_conf model;
};

struct chat_models {
	const struct config *config;
	struct model_list **lists; /* of the providers, in their order; NULL: not asked */
	pthread_mutex_t mutex;     /* of what is below */
	struct extra *extras;
	unsigned nextras;
};

int
chat_models_open(struct chat_models **out, const struct config *c, struct err *e)
{
	AUTO_PTR(chat_models) m = calloc(1, sizeof(*m));

	if (!m)
		return err_set(e, ERR_INTERNAL, "out of memory");
	m->config = c;
	(void)pthread_mutex_init(&m->mutex, NULL);
	m->lists = calloc(c->nproviders + 1, sizeof(*m->lists));
	if (!m->lists)
		return err_set(e, ERR_INTERNAL, "out of memory");
	for (size_t i = 0; i < c->nproviders; i++) {
		if (c->providers[i].dialect != DIALECT_OPENAI)
			continue;
		m->lists[i] = model_list_new(&c->providers[i]);
		if (!m->lists[i])
			return err_set(e, ERR_INTERNAL, "out of memory");
	}
	*out = TAKE_PTR(m);
	return 0;
}

void
chat_models_free(struct chat_models *m)
{
	if (!m)
		return;
	for (size_t i = 0; m->lists && i < m->config->nproviders; i++)
		model_list_free(m->lists[i]);
	free(m->lists);
	while (m->extras) {
		struct extra *x = m->extras;

		m->extras = x->next;
		free(x->model.id);
		free(x->model.upstream_model);
		free(x);
	}
	(void)pthread_mutex_destroy(&m->mutex);
	free(m);
}

bool
chat_models_pattern(const struct config *c, const char *name)
{
	const struct strings *p = &c->defaults.image_model_patterns;

	for (size_t i = 0; i < p->n; i++)
		if (fnmatch(p->v[i], name, FNM_CASEFOLD) == 0)
			return true;
	return false;
}

/* ---- models that are not configured ---- */

static bool
is_same(const struct model_conf *a, const struct model_conf *b)
{
	return a->provider_conf == b->provider_conf && a->type == b->type && a->via == b->via &&
	       !strcmp(a->id, b->id) && !strcmp(a->upstream_model, b->upstream_model);
}

/* The one like `wanted`, made when there is none.  NULL: no room. */
static const struct model_conf *
extra(struct chat_models *m, const struct model_conf *wanted)
{
	struct extra *x;

	(void)pthread_mutex_lock(&m->mutex);
	for (x = m->extras; x && !is_same(&x->model, wanted); x = x->next)
		;
	if (!x && m->nextras < CHAT_MODELS_MAX && (x = calloc(1, sizeof(*x)))) {
		x->model = *wanted;
		x->model.id = strdup(wanted->id);
		x->model.upstream_model = strdup(wanted->upstream_model);
		if (x->model.id && x->model.upstream_model) {
			x->next = m->extras;
			m->extras = x;
			m->nextras++;
		} else {
			free(x->model.id);
			free(x->model.upstream_model);
			free(x);
			x = NULL;
		}
	}
	(void)pthread_mutex_unlock(&m->mutex);
	return x ? &x->model : NULL;
}

/* ---- where it is ---- */

static const struct provider_conf *
only_openai(const struct config *c)
{
	const struct provider_conf *found = NULL;

	for (size_t i = 0; i < c->nproviders; i++) {
		if (c->providers[i].dialect != DIALECT_OPENAI)
			continue;
		if (found)
			return NULL;
		found = &c->providers[i];
	}
	return found;
}

/* Who has a model that is not configured; NULL: nobody who says so. */
static const struct provider_conf *
provider_of(struct chat_models *m, const char *name, const struct deadline *d,
	    struct ledger *ledger, bool *image)
{
	const struct config *c = m->config;
	bool unknown = false;

	for (size_t i = 0; i < c->nproviders; i++) {
		enum model_listed said;

		if (!m->lists[i])
			continue;
		said = model_list_find(m->lists[i], name, d, ledger);
		if (said == LISTED || said == LISTED_IMAGE) {
			*image = said == LISTED_IMAGE;
			return &c->providers[i];
		}
		unknown = unknown || said == LISTED_UNKNOWN;
	}
	*image = false;
	return unknown ? only_openai(c) : NULL;
}

static int
no_such_model(const struct chat_models *m, const char *asked, struct err *e)
{
	const char *configured = config_nearest_model(m->config, asked);
	char near[NAME_BYTES] = "", shown[120];

	if (configured)
		(void)snprintf(near, sizeof(near), "%s", configured);
	for (size_t i = 0; !near[0] && i < m->config->nproviders; i++)
		if (m->lists[i] && m->config->defaults.provider_models)
			model_list_nearest(m->lists[i], asked, near, sizeof(near));
	utf8_clip(shown, sizeof(shown), asked, strlen(asked), 60);
	if (near[0])
		(void)err_set(e, ERR_MODEL_NOT_FOUND, " Did you mean '%.80s'?", near);
	else
		(void)err_set(e, ERR_MODEL_NOT_FOUND, "%s", "");
	(void)snprintf(e->param, sizeof(e->param), "model");
	(void)snprintf(e->found, sizeof(e->found), "'%s'", shown);
	return -1;
}

static const struct model_conf *
find_unconfigured(struct chat_models *m, const struct chat_request *rq, const char *name,
		  const struct deadline *d, struct ledger *ledger, struct err *e)
{
	struct model_conf wanted = { .id = (char *)(uintptr_t)name,
				     .upstream_model = (char *)(uintptr_t)name };
	const struct provider_conf *p = NULL;
	const struct model_conf *found;
	bool listed_image = false, named;

	if (m->config->defaults.provider_models)
		p = provider_of(m, name, d, ledger, &listed_image);
	if (!p) {
		(void)no_such_model(m, name, e);
		return NULL;
	}
	named = chat_models_pattern(m->config, name);
	wanted.provider = p->name;
	wanted.provider_conf = p;
	wanted.type = named || listed_image || rq->wants_image ? MODEL_IMAGE : MODEL_CHAT;
	/* Who says in its list what a model makes, or is asked with modalities, makes it in chat. */
	wanted.via = listed_image || !named ? VIA_CHAT : VIA_IMAGES;
	found = extra(m, &wanted);
	if (!found)
		(void)no_such_model(m, name, e);
	return found;
}

static const char *
default_of(const struct config *c, const struct chat_request *rq)
{
	if (rq->wants_image && c->defaults.image_model[0])
		return c->defaults.image_model;
	return c->defaults.chat_model[0] ? c->defaults.chat_model : NULL;
}

const struct model_conf *
chat_models_resolve(struct chat_models *m, const struct chat_request *rq, const struct deadline *d,
		    struct ledger *ledger, struct err *e)
{
	const char *name = rq->model ? rq->model : default_of(m->config, rq);
	const struct model_conf *found;
	struct model_conf wanted;

	if (!name) {
		(void)err_set(e, ERR_MISSING, "%s", "");
		(void)snprintf(e->param, sizeof(e->param), "model");
		(void)snprintf(e->expected, sizeof(e->expected),
			       "a model of GET /v1/models ([defaults] chat_model is not set)");
		return NULL;
	}
	found = config_model(m->config, name);
	if (!found)
		return find_unconfigured(m, rq, name, d, ledger, e);
	if (found->type == MODEL_IMAGE || !rq->wants_image)
		return found;
	/* A chat model that is asked for a picture. */
	wanted = *found;
	wanted.type = MODEL_IMAGE;
	wanted.via = VIA_CHAT;
	wanted.fallback = wanted.degrade = wanted.aliases = (struct strings){ 0 };
	found = extra(m, &wanted);
	if (!found)
		(void)no_such_model(m, name, e);
	return found;
}
