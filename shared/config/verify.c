/* What must fit together once every single value is in order. */
#include <string.h>

#include "base/scrub.h"
#include "base/utf8.h"
#include "config/loader.h"
#include "config/nearest.h"

/* Where that value was said, or its table where nobody said it. */
static const char *
where(const struct table *t, const char *key)
{
	const struct value *v = table_value(t, key);

	return v->origin && v->source != FROM_DEFAULT && strcmp(v->origin, "default") != 0
		       ? v->origin
		       : t->origin;
}

static bool
failed(const struct table *t, const char *key)
{
	return table_value(t, key)->failed;
}

/* "; did you mean X?", or nothing. */
static void
hint(const char *nearest, char *out, size_t size)
{
	out[0] = '\0';
	if (nearest)
		(void)snprintf(out, size, "; did you mean %s?", nearest);
}

/* ---- providers ---- */

static const char *
credential_lacking(const struct provider_conf *p)
{
	switch (p->dialect) {
	case DIALECT_OPENAI:
	case DIALECT_MODELSCOPE: return p->api_keys.n ? NULL : "an api_key (or api_keys)";
	case DIALECT_GROK: return p->tokens.n || p->api_keys.n ? NULL : "a token or an api_key";
	case DIALECT_NOVELAI:
		return p->tokens.n || (*p->email && *p->password)
			       ? NULL
			       : "a token, or an email and a password";
	case DIALECT_PREVIEW:
	case DIALECT__MAX: break;
	}
	return NULL;
}

static void
verify_provider(struct loader *l, const struct table *t)
{
	const struct provider_conf *p = (const struct provider_conf *)t->base;
	const char *lacking;

	if (failed(t, "dialect") || failed(t, "api_key") || failed(t, "api_keys") ||
	    failed(t, "token") || failed(t, "tokens") || failed(t, "email") ||
	    failed(t, "password"))
		return;
	lacking = credential_lacking(p);
	if (lacking)
		problem(l, t->origin, "[providers.%s]: the dialect %s needs %s", t->name,
			config_dialect_name(p->dialect), lacking);
	else if (p->dialect == DIALECT_GROK && !p->tokens.n && !failed(t, "base_url") &&
		 !config_grok_is_official(p))
		problem(l, where(t, table_value(t, "api_key")->source ? "api_key" : "api_keys"),
			"[providers.%s]: an api_key is for xAI's API, which needs a base_url that "
			"ends "
			"in /v1, such as https://api.x.ai/v1; grok.com's page needs a token (or "
			"tokens)",
			t->name);
}

/* ---- models ---- */

static void
verify_fallback(struct loader *l, const struct table *t, const struct model_conf *m)
{
	char near[200];

	for (size_t i = 0; i < m->fallback.n; i++) {
		const char *name = m->fallback.v[i];
		const struct model_conf *other = config_model(l->c, name);

		hint(other ? NULL : config_nearest_model(l->c, name), near, sizeof(near));
		if (!other)
			problem(l, where(t, "fallback"),
				"[models.\"%s\"] fallback: there is no model %s%s", m->id, name,
				near);
		else if (other == m)
			problem(l, where(t, "fallback"), "[models.\"%s\"] fallback: names itself",
				m->id);
		else if (other->type != m->type)
			problem(l, where(t, "fallback"),
				"[models.\"%s\"] fallback: %s is of another type", m->id, name);
	}
}

/* The model that has this name as its id or among its aliases, before alias `upto` of m itself. */
static const struct model_conf *
owner(const struct config *c, const char *name, const struct model_conf *m, size_t upto)
{
	for (const struct model_conf *o = c->models; o < c->models + c->nmodels; o++)
		if (!strcmp(o->id, name))
			return o;
	for (const struct model_conf *o = c->models; o <= m; o++)
		for (size_t i = 0; i < (o == m ? upto : o->aliases.n); i++)
			if (!strcmp(o->aliases.v[i], name))
				return o;
	return NULL;
}

static void
verify_model(struct loader *l, const struct table *t)
{
	const struct model_conf *m = (const struct model_conf *)t->base;
	struct nearest n;
	char near[200], name[128];

	for (size_t i = 0; i < m->aliases.n; i++) {
		const struct model_conf *other = owner(l->c, m->aliases.v[i], m, i);

		if (other)
			problem(l, where(t, "aliases"),
				"[models.\"%s\"] aliases: %s is already a name of [models.\"%s\"]",
				m->id, m->aliases.v[i], other->id);
	}
	if (!failed(t, "type"))
		verify_fallback(l, t, m);
	if (!failed(t, "via") && m->via == VIA_CHAT && m->provider_conf &&
	    (m->provider_conf->dialect == DIALECT_NOVELAI ||
	     m->provider_conf->dialect == DIALECT_PREVIEW))
		problem(l, where(t, "via"), "[models.\"%s\"] via: the dialect %s has no chat",
			m->id, config_dialect_name(m->provider_conf->dialect));
	if (failed(t, "provider") || m->provider_conf)
		return;
	n = nearest_to(m->provider);
	for (size_t i = 0; i < l->c->nproviders; i++)
		nearest_try(&n, l->c->providers[i].name);
	hint(n.best, near, sizeof(near));
	utf8_clip(name, sizeof(name), m->provider, strlen(m->provider), 60);
	scrub(name, NULL); /* a key in the wrong row */
	problem(l, where(t, "provider"), "[models.\"%s\"] provider: there is no provider %s%s",
		m->id, name, near);
}

/* ---- the rest ---- */

static void
verify_default(struct loader *l, const char *key, const char *id, bool image)
{
	const struct table *t = table_fixed(l->rest, "defaults");
	const struct model_conf *m;
	char near[200];

	if (failed(t, key) || !*id)
		return;
	m = config_model(l->c, id);
	hint(m ? NULL : config_nearest_model(l->c, id), near, sizeof(near));
	if (!m)
		problem(l, where(t, key), "[defaults] %s: there is no model %s%s", key, id, near);
	else if (image && m->type != MODEL_IMAGE)
		problem(l, where(t, key), "[defaults] %s: %s is a chat model", key, id);
}

static void
verify_tls(struct loader *l)
{
	const struct table *t = table_fixed(l->rest, "server");
	bool certificate = *table_value(t, "tls_certificate")->text;
	bool key = *table_value(t, "tls_key")->text;

	if (certificate && !key)
		problem(l, where(t, "tls_certificate"),
			"[server] tls_certificate is set but tls_key is not");
	if (key && !certificate)
		problem(l, where(t, "tls_key"),
			"[server] tls_key is set but tls_certificate is not");
}

void
verify(struct loader *l)
{
	const struct table *server = table_fixed(l->rest, "server");

	if (!failed(server, "tls_certificate") && !failed(server, "tls_key"))
		verify_tls(l);
	for (EACH_OF(l->rest, SECTION_PROVIDER, t))
		verify_provider(l, t);
	for (EACH_OF(l->rest, SECTION_MODEL, t))
		verify_model(l, t);
	verify_default(l, "image_model", l->c->defaults.image_model, true);
	verify_default(l, "chat_model", l->c->defaults.chat_model, false);
}
