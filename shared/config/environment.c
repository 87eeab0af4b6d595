/* The environment: overrides, and the wiping of what is secret in it. */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "config/loader.h"
#include "config/nearest.h"

#define PREFIX    "EASEL_"
#define PROVIDERS "EASEL_PROVIDERS_"
#define MODELS    "EASEL_MODELS_"
#define NAME_MAX_ 160 /* bytes of a variable's name that can be ours */

/*
 * What config_wipe_environment() took out of the environment, as "NAME=value", for a reload: the file
 * still says ${NAME}.  Written while single-threaded, never freed.
 */
static char **kept;
static size_t nkept;

static const char *
entry_value(const char *entry, const char *name)
{
	size_t n = strlen(name);

	return !strncmp(entry, name, n) && entry[n] == '=' ? entry + n + 1 : NULL;
}

const char *
env_get(const char *name)
{
	const char *value = getenv(name);

	/* The newest first. */
	for (size_t i = nkept; i > 0 && !value; i--)
		value = entry_value(kept[i - 1], name);
	return value;
}

const char *
env_given(const char *name)
{
	const char *value = env_get(name);

	return value && *value ? value : NULL;
}

/* The i-th "NAME=value" there is, NULL behind the last. */
static const char *
entry_at(size_t i)
{
	size_t n;

	for (n = 0; environ && environ[n]; n++)
		if (n == i)
			return environ[n];
	i -= n;
	return i < nkept ? kept[i] : NULL;
}

/* "images-edits" to "IMAGES_EDITS". */
static void
shout(char *out, size_t size, const char *s)
{
	size_t i;

	for (i = 0; s[i] && i + 1 < size; i++)
		out[i] = isalnum((unsigned char)s[i]) ? (char)toupper((unsigned char)s[i]) : '_';
	out[i] = '\0';
}

static bool
starts(const char *s, const char *prefix)
{
	return !strncmp(s, prefix, strlen(prefix));
}

/* One variable of ours. */
struct variable {
	char name[NAME_MAX_];
	const char *value;
	char origin[NAME_MAX_ + 16];
};

static bool
split(const char *entry, struct variable *out)
{
	const char *equals = strchr(entry, '=');
	size_t n = equals ? (size_t)(equals - entry) : 0;

	if (n == 0 || n >= sizeof(out->name))
		return false;
	memcpy(out->name, entry, n);
	out->name[n] = '\0';
	out->value = equals + 1;
	(void)snprintf(out->origin, sizeof(out->origin), "environment %s", out->name);
	return true;
}

static void
give(struct loader *l, const struct variable *var, struct table *t, size_t row)
{
	value_give_text(l, &t->values[row], FROM_ENV, var->value,
			arena_printf(&l->rest->arena, "%s", var->origin));
}

/* The row whose key, shouted, is `name`; nrows when there is none. */
static size_t
row_of(const struct section *s, const char *name)
{
	char key[64];
	size_t i;

	for (i = 0; i < s->nrows; i++) {
		shout(key, sizeof(key), s->rows[i].key);
		if (!strcmp(key, name))
			break;
	}
	return i;
}

static void
unknown_key(struct loader *l, const struct variable *var, const struct section *s, size_t prefix)
{
	struct nearest n = nearest_to(var->name + prefix);
	char near[64];

	for (size_t i = 0; i < s->nrows; i++)
		nearest_try(&n, s->rows[i].key);
	if (n.best) {
		shout(near, sizeof(near), n.best);
		problem(l, var->origin, "there is no such setting; did you mean %.*s%s?",
			(int)prefix, var->name, near);
	} else {
		problem(l, var->origin, "there is no such setting in [%s]", s->name);
	}
}

/* ---- providers ---- */

/* A provider that only the environment names: EASEL_PROVIDERS_X_DIALECT. */
static void
provider_maybe_new(struct loader *l, const struct variable *var)
{
	static const char suffix[] = "_DIALECT";
	size_t from = strlen(PROVIDERS), n = strlen(var->name), len;
	char name[NAME_MAX_];

	if (!starts(var->name, PROVIDERS) || n <= from + strlen(suffix) ||
	    strcmp(var->name + n - strlen(suffix), suffix) != 0)
		return;
	len = n - from - strlen(suffix);
	for (size_t i = 0; i < len; i++)
		name[i] = (char)tolower((unsigned char)var->name[from + i]);
	name[len] = '\0';
	for (EACH_OF(l->rest, SECTION_PROVIDER, t))
		if (!strncmp(t->env_name, var->name + from, len) && !t->env_name[len])
			return;
	(void)table_new(l, section_of_kind(SECTION_PROVIDER), name,
			arena_printf(&l->rest->arena, "%s", var->origin));
}

static void
unknown_provider(struct loader *l, const struct variable *var)
{
	const char *rest = var->name + strlen(PROVIDERS);
	const struct section *s = section_of_kind(SECTION_PROVIDER);
	char name[NAME_MAX_], key[64];
	struct nearest n;

	(void)snprintf(name, sizeof(name), "%s", rest);
	for (size_t i = 0; i < s->nrows; i++) {
		size_t len = strlen(rest), klen;

		shout(key, sizeof(key), s->rows[i].key);
		klen = strlen(key);
		if (len > klen + 1 && rest[len - klen - 1] == '_' &&
		    !strcmp(rest + len - klen, key))
			name[len - klen - 1] = '\0';
	}
	n = nearest_to(name);
	for (EACH_OF(l->rest, SECTION_PROVIDER, t))
		nearest_try(&n, t->env_name);
	if (n.best)
		problem(l, var->origin, "no provider of that name; did you mean %s%s%s?", PROVIDERS,
			n.best, rest + strlen(name));
	else
		problem(l, var->origin,
			"no provider of that name is configured; %s%s_DIALECT would make one",
			PROVIDERS, name);
}

/* `last`: whose variable it is must be known now; before, it may be a conventional provider's. */
static void
provider_give(struct loader *l, const struct variable *var, bool last)
{
	const char *rest = var->name + strlen(PROVIDERS);
	struct table *best = NULL, *twin = NULL;
	size_t longest = 0, row;

	for (EACH_OF(l->rest, SECTION_PROVIDER, t)) {
		size_t n = strlen(t->env_name);

		if (strncmp(rest, t->env_name, n) != 0 || rest[n] != '_' || n < longest)
			continue;
		twin = n == longest ? best : NULL;
		best = t;
		longest = n;
	}
	if (!best && last)
		unknown_provider(l, var);
	if (!best || best->resolved)
		return;
	row = row_of(best->section, rest + longest + 1);
	if (twin)
		problem(l, var->origin, "may mean [providers.%s] or [providers.%s]: rename one",
			twin->name, best->name);
	else if (row == best->section->nrows)
		unknown_key(l, var, best->section, (size_t)(rest - var->name) + longest + 1);
	else
		give(l, var, best, row);
}

/* ---- the fixed sections ---- */

/* EASEL_SERVR_LISTEN names no section of ours, but it was hardly meant for anybody else. */
static void
warn_if_near(struct loader *l, const struct variable *var)
{
	struct nearest n = nearest_to(var->name);
	char names[NAME_MAX_], section[64], key[64];
	char *best = NULL;

	n.distance = n.distance > 3 ? 3 : n.distance;
	for (size_t i = 0; i < nsections; i++)
		for (size_t r = 0; r < sections[i].nrows && sections[i].kind == SECTION_FIXED;
		     r++) {
			const char *before = n.best;

			shout(section, sizeof(section), sections[i].name);
			shout(key, sizeof(key), sections[i].rows[r].key);
			(void)snprintf(names, sizeof(names), PREFIX "%s_%s", section, key);
			nearest_try(&n, names);
			if (n.best != before)
				best = arena_printf(&l->rest->arena, "%s", names);
			n.best = best;
		}
	if (best)
		strings_add(&l->rest->arena, &l->c->warnings,
			    arena_printf(&l->rest->arena,
					 "%s is set but never read; did you mean %s?", var->name,
					 best));
}

static void
collect(struct loader *l, const struct variable *var)
{
	char prefix[80], section[64];

	if (starts(var->name, PROVIDERS)) {
		provider_give(l, var, false);
		return;
	}
	if (starts(var->name, MODELS)) {
		problem(l, var->origin,
			"models cannot be set by the environment, only in the file");
		return;
	}
	for (size_t i = 0; i < nsections; i++) {
		const struct section *s = &sections[i];
		size_t row;

		shout(section, sizeof(section), s->name);
		(void)snprintf(prefix, sizeof(prefix), PREFIX "%s_", section);
		if (s->kind != SECTION_FIXED || !starts(var->name, prefix))
			continue;
		row = row_of(s, var->name + strlen(prefix));
		if (row == s->nrows)
			unknown_key(l, var, s, strlen(prefix));
		else
			give(l, var, table_fixed(l->rest, s->name), row);
		return;
	}
	warn_if_near(l, var);
}

void
env_collect(struct loader *l)
{
	struct variable var;
	const char *entry;

	for (size_t i = 0; (entry = entry_at(i)); i++)
		if (starts(entry, PROVIDERS) && split(entry, &var))
			provider_maybe_new(l, &var);
	for (size_t i = 0; (entry = entry_at(i)); i++)
		/* A name may be there twice, or again after it was wiped. */
		if (starts(entry, PREFIX) && split(entry, &var) && env_get(var.name) == var.value)
			collect(l, &var);
}

void
env_collect_providers(struct loader *l)
{
	struct variable var;
	const char *entry;

	for (size_t i = 0; (entry = entry_at(i)); i++)
		if (starts(entry, PROVIDERS) && split(entry, &var) &&
		    env_get(var.name) == var.value)
			provider_give(l, &var, true);
}

/* ---- wiping ---- */

static bool
holds_secret(const struct config *c, const char *name)
{
	const struct rest *rest = c->rest;
	const struct section *s = section_of_kind(SECTION_PROVIDER);
	size_t len = strlen(name);
	char suffix[64];

	/* The command line's own key, which no program that it starts needs. */
	if (!strcmp(name, "EASEL_API_KEY"))
		return true;
	for (size_t i = 0; conventions[i].name; i++)
		if (conventions[i].secret && !strcmp(conventions[i].name, name))
			return true;
	for (size_t i = 0; i < rest->secret_vars.n; i++)
		if (!strcmp(rest->secret_vars.v[i], name))
			return true;
	for (size_t i = 0; i < s->nrows && starts(name, PROVIDERS); i++) {
		const struct row *r = &s->rows[i];
		size_t n;

		if (r->kind != K_SECRET && r->kind != K_SECRETS && !(r->flags & ROW_HIDE))
			continue;
		suffix[0] = '_';
		shout(suffix + 1, sizeof(suffix) - 1, r->key);
		n = strlen(suffix);
		if (len > n && !strcmp(name + len - n, suffix))
			return true;
	}
	return false;
}

/* Puts "NAME=value" where a reload finds it. */
static void
keep(const char *entry)
{
	char *copy = strdup(entry);
	char **more = copy ? realloc(kept, (nkept + 1) * sizeof(*kept)) : NULL;

	if (!more)
		abort(); /* rather than go on with the secret in /proc/PID/environ */
	kept = more;
	kept[nkept++] = copy;
}

void
config_wipe_environment(const struct config *c)
{
	struct variable var;

	/* A name may be there twice: getenv() sees the first, /proc shows both. */
	for (char **at = environ; at && *at; at++) {
		char *entry = *at;
		size_t n;

		if (!split(entry, &var) || !holds_secret(c, var.name))
			continue;
		n = strlen(var.value);
		if (getenv(var.name) == var.value)
			keep(entry);
		explicit_bzero(entry + strlen(var.name) + 1, n);
	}
	for (size_t i = 0; environ && environ[i];) {
		if (split(environ[i], &var) && holds_secret(c, var.name))
			(void)unsetenv(var.name); /* environ[i] is now another */
		else
			i++;
	}
}
