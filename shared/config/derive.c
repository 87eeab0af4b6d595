/* What follows from what was said: conventional variables, usual models, the preview. */
#include <stdlib.h>
#include <string.h>

#include "config/loader.h"

static const struct model_conf *
model_of(const struct table *t)
{
	return (const struct model_conf *)t->base;
}

static const struct provider_conf *
provider_of(const struct table *t)
{
	return (const struct provider_conf *)t->base;
}

static bool
dialect_known(const struct table *t)
{
	return t->resolved && !t->values[0].failed; /* the first row */
}

static void
give(struct loader *l, struct table *t, const char *key, const char *text, const char *origin)
{
	value_give_text(l, table_value(t, key), FROM_PLAIN, text, origin);
}

static bool
has_provider(const struct loader *l, const char *name, enum dialect d)
{
	for (EACH_OF(l->rest, SECTION_PROVIDER, t))
		if (!strcmp(t->name, name) || (dialect_known(t) && provider_of(t)->dialect == d))
			return true;
	return false;
}

static struct table *
add_provider(struct loader *l, const char *name, enum dialect d, const char *origin)
{
	struct table *t = table_new(l, section_of_kind(SECTION_PROVIDER), name, origin);

	give(l, t, "dialect", dialects[d].name, origin);
	return t;
}

/* ---- conventional variables ---- */

static const struct standard {
	const char *variable, *provider, *key;
	enum dialect dialect;
	const char *base_url; /* NULL: the dialect's */
} standards[] = {
	{ "OPENAI_API_KEY", "openai", "api_key", DIALECT_OPENAI, NULL },
	{ "MODELSCOPE_API_KEY", "modelscope", "api_key", DIALECT_MODELSCOPE, NULL },
	{ "XAI_API_KEY", "xai", "api_key", DIALECT_GROK, "https://api.x.ai/v1" },
	{ "NOVELAI_TOKEN", "novelai", "token", DIALECT_NOVELAI, NULL },
};

static void
warn(struct loader *l, const char *text)
{
	strings_add(&l->rest->arena, &l->c->warnings, text);
}

static void
add_standard(struct loader *l, const struct standard *s)
{
	const char *secret = env_given(s->variable), *url = s->base_url;
	const char *origin = arena_printf(&l->rest->arena, "environment %s", s->variable);
	const char *url_origin = origin;
	struct table *t;

	if (has_provider(l, s->provider, s->dialect))
		return;
	if (s->dialect == DIALECT_OPENAI && env_given("OPENAI_BASE_URL")) {
		url = env_given("OPENAI_BASE_URL");
		url_origin = "environment OPENAI_BASE_URL";
		if (!secret)
			warn(l, "OPENAI_BASE_URL is set but OPENAI_API_KEY is not: "
				"there is no provider openai");
	}
	if (!secret)
		return;
	t = add_provider(l, s->provider, s->dialect, origin);
	give(l, t, s->key, secret, origin);
	if (url)
		give(l, t, "base_url", url, url_origin);
}

/* ---- providers ---- */

/* Where a dialect has its own idea of a setting that was not set, or set to nothing. */
static void
fill_in(struct table *t, const char *key, const char *text)
{
	struct value *v = table_value(t, key);
	const struct row *row = &t->section->rows[v - t->values];

	if (v->failed || !*text || (v->source != FROM_DEFAULT && v->text && *v->text))
		return;
	v->source = FROM_PLAIN;
	v->text = text;
	v->origin = "default";
	/* Such a row's field is a text, or a number that is 0 where nobody set it. */
	if (row->kind == K_INT)
		*(int64_t *)(t->base + row->offset) = strtoll(text, NULL, 10);
	else
		memcpy(t->base + row->offset, &text, sizeof(text));
}

static void
warn_unused(struct loader *l, const struct table *t)
{
	unsigned bit = 1u << provider_of(t)->dialect;

	for (size_t i = 0; i < t->section->nrows; i++) {
		const struct row *row = &t->section->rows[i];

		if (t->values[i].source == FROM_DEFAULT || !row->dialects || (row->dialects & bit))
			continue;
		warn(l, arena_printf(&l->rest->arena,
				     "%s: [providers.%s] %s is set but the dialect %s does not "
				     "read it",
				     t->values[i].origin, t->name, row->key,
				     config_dialect_name(provider_of(t)->dialect)));
	}
}

void
derive_providers(struct loader *l)
{
	for (size_t i = 0; i < sizeof(standards) / sizeof(*standards); i++)
		add_standard(l, &standards[i]);
	env_collect_providers(l);
	for (EACH_OF(l->rest, SECTION_PROVIDER, t))
		if (!t->resolved)
			table_resolve(l, t);
	if (env_given("OPENAI_MODEL"))
		warn(l, "OPENAI_MODEL is set but never read: the image endpoints take their model "
			"from the request or from [defaults] image_model; OPENAI_IMAGE_MODEL and "
			"OPENAI_CHAT_MODEL are read");
	for (EACH_OF(l->rest, SECTION_PROVIDER, t)) {
		const struct dialect_row *d = &dialects[provider_of(t)->dialect];

		if (!dialect_known(t))
			continue;
		fill_in(t, "base_url", d->base_url);
		fill_in(t, "ws_url", d->ws_url);
		fill_in(t, "assets_url", d->assets_url);
		if (table_value(t, "concurrency")->source == FROM_DEFAULT)
			fill_in(t, "concurrency", d->concurrency);
		warn_unused(l, t);
	}
	if (!l->c->auth.required)
		warn(l, "[auth] required = false: every route is open to everybody");
}

/* ---- models ---- */

/* Does any model have that id or alias? */
static struct table *
model_named(const struct loader *l, const char *name)
{
	for (EACH_OF(l->rest, SECTION_MODEL, t)) {
		const struct strings *aliases = &model_of(t)->aliases;

		if (!strcmp(t->name, name))
			return t;
		for (size_t i = 0; i < aliases->n; i++)
			if (!strcmp(aliases->v[i], name))
				return t;
	}
	return NULL;
}

static void
add_model(struct loader *l, const struct table *provider, const char *id, const char *alias,
	  enum model_type type)
{
	struct table *t;

	if (model_named(l, id))
		return;
	t = table_new(l, section_of_kind(SECTION_MODEL), id, provider->origin);
	give(l, t, "provider", provider->name, provider->origin);
	give(l, t, "type", type == MODEL_CHAT ? "chat" : "image", "default");
	if (alias && !model_named(l, alias))
		give(l, t, "aliases", alias, "default");
	table_resolve(l, t);
}

static bool
is_official_xai(const struct provider_conf *p)
{
	size_t n = p->base_url ? strlen(p->base_url) : 0;

	return n > 3 && !strcmp(p->base_url + n - 3, "/v1");
}

static void
add_openai_models(struct loader *l, const struct table *t)
{
	const char *image = env_given("OPENAI_IMAGE_MODEL"), *chat = env_given("OPENAI_CHAT_MODEL");
	const char *wrong = image ? wrong_model_id(image) : NULL;

	if (!wrong && chat)
		wrong = wrong_model_id(chat);
	if (wrong) {
		problem(l, "environment OPENAI_IMAGE_MODEL or OPENAI_CHAT_MODEL", "%s", wrong);
		return;
	}
	if (image && chat && !strcmp(image, chat))
		problem(l, "environment OPENAI_CHAT_MODEL",
			"names the same model as OPENAI_IMAGE_MODEL");
	add_model(l, t, image ? image : "gpt-image-1", NULL, MODEL_IMAGE);
	if (chat)
		add_model(l, t, chat, NULL, MODEL_CHAT);
}

/* A provider for which no model is configured gets the usual ones. */
static void
add_usual_models(struct loader *l, const struct table *t)
{
	switch (provider_of(t)->dialect) {
	case DIALECT_OPENAI: add_openai_models(l, t); break;
	case DIALECT_MODELSCOPE: add_model(l, t, "Qwen/Qwen-Image", NULL, MODEL_IMAGE); break;
	case DIALECT_GROK:
		if (is_official_xai(provider_of(t)))
			add_model(l, t, "grok-imagine-image", "grok-imagine-1.0", MODEL_IMAGE);
		else
			add_model(l, t, "grok-imagine-1.0", NULL, MODEL_IMAGE);
		break;
	case DIALECT_NOVELAI:
		add_model(l, t, "nai-diffusion-4-5-full", "nai-v4.5", MODEL_IMAGE);
		add_model(l, t, "nai-diffusion-3", "nai-v3", MODEL_IMAGE);
		break;
	case DIALECT_PREVIEW: add_model(l, t, PREVIEW_MODEL, NULL, MODEL_IMAGE); break;
	case DIALECT__MAX: break;
	}
}

static bool
has_model(const struct loader *l, const char *provider)
{
	for (EACH_OF(l->rest, SECTION_MODEL, t))
		if (model_of(t)->provider && !strcmp(model_of(t)->provider, provider))
			return true;
	return false;
}

static struct table *
first_image_model(const struct loader *l)
{
	for (EACH_OF(l->rest, SECTION_MODEL, t))
		if (model_of(t)->type == MODEL_IMAGE)
			return t;
	return NULL;
}

static struct table *
preview_provider(struct loader *l)
{
	const char *name = "preview";
	struct table *t;

	for (EACH_OF(l->rest, SECTION_PROVIDER, p))
		if (dialect_known(p) && provider_of(p)->dialect == DIALECT_PREVIEW)
			return p;
	if (table_find(l->rest, SECTION_PROVIDER, name))
		name = PREVIEW_MODEL;
	t = add_provider(l, name, DIALECT_PREVIEW, "default");
	table_resolve(l, t);
	return t;
}

/* Does anything name the preview, or is there nothing else? */
static bool
preview_wanted(const struct loader *l)
{
	const struct table *d = table_fixed(l->rest, "defaults");
	bool explicit = table_value(d, "image_model")->source != FROM_DEFAULT;

	if (!table_find(l->rest, SECTION_PROVIDER, NULL) || (!explicit && !first_image_model(l)))
		return true;
	if ((explicit && l->c->defaults.image_model &&
	     !strcmp(l->c->defaults.image_model, PREVIEW_MODEL)) ||
	    (l->c->defaults.chat_model && !strcmp(l->c->defaults.chat_model, PREVIEW_MODEL)))
		return true;
	for (EACH_OF(l->rest, SECTION_MODEL, t))
		for (size_t i = 0; i < model_of(t)->fallback.n; i++)
			if (!strcmp(model_of(t)->fallback.v[i], PREVIEW_MODEL))
				return true;
	return false;
}

static void
derive_default(struct loader *l, const char *key, char **field, const char *id, const char *origin)
{
	struct value *v = table_value(table_fixed(l->rest, "defaults"), key);

	if (v->source != FROM_DEFAULT)
		return;
	*field = arena_printf(&l->rest->arena, "%s", id);
	v->source = FROM_PLAIN;
	v->text = *field;
	v->origin = origin;
}

void
derive_models(struct loader *l)
{
	const char *chat = env_given("OPENAI_CHAT_MODEL");
	const struct table *t;

	for (EACH_OF(l->rest, SECTION_MODEL, m))
		if (model_of(m)->provider && !strcmp(model_of(m)->provider, "preview") &&
		    !table_find(l->rest, SECTION_PROVIDER, "preview"))
			(void)preview_provider(l);
	for (EACH_OF(l->rest, SECTION_PROVIDER, p))
		if (dialect_known(p) && !has_model(l, p->name)) {
			add_usual_models(l, p);
			if (!has_model(l, p->name))
				warn(l, arena_printf(&l->rest->arena,
						     "%s: no model uses "
						     "[providers.%s]",
						     p->origin, p->name));
		}
	if (preview_wanted(l) && !model_named(l, PREVIEW_MODEL))
		add_model(l, preview_provider(l), PREVIEW_MODEL, NULL, MODEL_IMAGE);
	for (EACH_OF(l->rest, SECTION_MODEL, m))
		fill_in(m, "upstream_model", m->name);
	t = first_image_model(l);
	if (t)
		derive_default(l, "image_model", &l->c->defaults.image_model, t->name, "default");
	t = chat ? model_named(l, chat) : NULL;
	if (t && model_of(t)->type == MODEL_CHAT)
		derive_default(l, "chat_model", &l->c->defaults.chat_model, t->name,
			       "environment OPENAI_CHAT_MODEL");
}

/* ---- the arrays ---- */

static size_t
count(const struct loader *l, enum section_kind kind)
{
	size_t n = 0;

	for (EACH_OF(l->rest, kind, t))
		n++;
	return n;
}

/* Moves the fields of all tables of a kind into one array. */
static void *
gather_kind(struct loader *l, enum section_kind kind, size_t *n)
{
	size_t size = section_of_kind(kind)->base;
	char *array, *at;

	*n = count(l, kind);
	array = at = arena_alloc(&l->rest->arena, *n * size);
	for (EACH_OF(l->rest, kind, t)) {
		memcpy(at, t->base, size);
		t->base = at;
		at += size;
	}
	return array;
}

void
gather(struct loader *l)
{
	struct config *c = l->c;

	c->providers = gather_kind(l, SECTION_PROVIDER, &c->nproviders);
	c->models = gather_kind(l, SECTION_MODEL, &c->nmodels);
	for (EACH_OF(l->rest, SECTION_PROVIDER, t))
		((struct provider_conf *)t->base)->name =
			arena_printf(&l->rest->arena, "%s", t->name);
	for (EACH_OF(l->rest, SECTION_MODEL, t)) {
		struct model_conf *m = (struct model_conf *)t->base;

		m->id = arena_printf(&l->rest->arena, "%s", t->name);
		m->provider_conf = m->provider ? config_provider(c, m->provider) : NULL;
	}
	/* What [process.NAME] does not set is as in [process]. */
	for (EACH_OF(l->rest, SECTION_PROGRAM, t))
		for (size_t i = 0; i < t->section->nrows; i++)
			if (t->values[i].source == FROM_DEFAULT)
				memcpy(t->base + t->section->rows[i].offset,
				       (const char *)&c->process + t->section->rows[i].offset,
				       sizeof(int64_t));
}
