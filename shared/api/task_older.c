#include "api/task_older.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "base/num.h"
#include "provider/novelai_model.h"

#define CREDENTIAL_MAX 4096
#define TYPE_SHOWN_MAX 16
#define SCALE_OLD      11.0
#define SCALE_NEW      5.5
#define SIDE_MAX       16384

static const struct {
	const char *older, *name;
} names[] = { { "prompt", "prompt" },     { "negative_prompt", "negative_prompt" },
	      { "sampler", "sampler" },   { "steps", "steps" },
	      { "scale", "guidance" },    { "resolution", "size" },
	      { "seed", "seed" },         { "image", "image" },
	      { "strength", "strength" }, { "noise", "noise" } };
#define NNAMES (sizeof(names) / sizeof(names[0]))

static const char *const secrets[] = { "token", "email", "password" };

void
task_older_done(struct task_older *o)
{
	for (size_t i = 0; i < 3; i++) {
		const json_t *v = json_object_get(o->given, secrets[i]);

		if (json_is_string(v))
			explicit_bzero((char *)json_string_value(v), json_string_length(v));
	}
	json_decref(o->given);
	json_decref(o->body);
	*o = (struct task_older){ 0 };
}

void
task_older_name(struct err *e)
{
	for (size_t i = 0; i < NNAMES; i++)
		if (!strcmp(e->param, names[i].name))
			(void)snprintf(e->param, sizeof(e->param), "%s", names[i].older);
}

/* ---- credentials ---- */

/* Trims the text where it lies, so that no second copy is left.  What is inside must be printable. */
static int
credential(const json_t *given, const char *name, const char **out, struct err *e)
{
	const json_t *v = json_object_get(given, name);
	char *s = (char *)json_string_value(v), *end;

	*out = "";
	if (v && !json_is_null(v) && !s)
		return err_field(e, ERR_TYPE, name, "a string", "%s", json_type_name(v));
	if (s) {
		s += strspn(s, " \t\r\n\f\v");
		for (end = s + strlen(s); end > s && isspace((unsigned char)end[-1]); end--)
			end[-1] = '\0';
		for (end = s; *end; end++)
			if (iscntrl((unsigned char)*end))
				return err_field(e, ERR_VALUE, name,
						 "text without line breaks inside",
						 "a control character");
		if (end - s > CREDENTIAL_MAX)
			return err_field(e, ERR_TOO_LONG, name, "at most 4096 bytes", "%zd",
					 end - s);
	}
	if (s && *s) {
		*out = s;
		return 0;
	}
	(void)err_set(e, ERR_MISSING, "%s", "");
	(void)snprintf(e->param, sizeof(e->param), "%s", name);
	(void)snprintf(e->expected, sizeof(e->expected), "of your NovelAI account");
	return -1;
}

static int
read_account(const json_t *given, struct task_account *a, struct err *e)
{
	const json_t *type = json_object_get(given, "auth_type");
	const char *word = json_string_value(type);
	char found[80];

	*a = (struct task_account){ "", "", "" };
	if (type && !json_is_null(type) && !word)
		return err_field(e, ERR_TYPE, "auth_type", "'token' or 'login'", "%s",
				 json_type_name(type));
	if (!word) {
		(void)err_set(e, ERR_MISSING, "%s", "");
		(void)snprintf(e->param, sizeof(e->param), "auth_type");
		(void)snprintf(e->expected, sizeof(e->expected), "'token' or 'login'");
		return -1;
	}
	if (!strcmp(word, "token"))
		return credential(given, "token", &a->token, e);
	if (!strcmp(word, "login"))
		return credential(given, "email", &a->email, e) < 0
			       ? -1
			       : credential(given, "password", &a->password, e);
	if (strlen(word) > TYPE_SHOWN_MAX) /* a credential in the wrong member is not told */
		return err_field(e, ERR_VALUE, "auth_type", "'token' or 'login'", "another text");
	json_quote(type, found, sizeof(found));
	return err_field(e, ERR_VALUE, "auth_type", "'token' or 'login'", "%s", found);
}

/* ---- the model ---- */

/* By its name here, else by any name that NovelAI's models are known by. */
static const struct model_conf *
find_model(const struct config *c, const char *name)
{
	const struct model_conf *m = name ? config_model(c, name) : NULL;

	for (size_t i = 0; i < c->nmodels && !m; i++) {
		const struct model_conf *x = &c->models[i];

		if (x->type == MODEL_IMAGE && x->provider_conf->dialect == DIALECT_NOVELAI &&
		    (!name || !strcmp(novelai_model_id(x->upstream_model), novelai_model_id(name))))
			m = x;
	}
	return m || name ? m : config_model(c, c->defaults.image_model);
}

static int
choose_model(const struct config *c, struct task_older *o, struct err *e)
{
	const json_t *v = json_object_get(o->given, "model");
	enum dialect d;

	if (v && !json_is_null(v) && !json_is_string(v))
		return err_field(e, ERR_TYPE, "model", "a string", "%s", json_type_name(v));
	o->model = find_model(c, json_string_value(v));
	if (v && json_is_string(v))
		(void)json_object_set(o->body, "model", (json_t *)v);
	/* What lacks, or makes no pictures, is refused where every other request's is. */
	if (!o->model || o->model->type != MODEL_IMAGE) {
		o->model = NULL;
		return 0;
	}
	d = o->model->provider_conf->dialect;
	o->has_account = d == DIALECT_NOVELAI;
	if (o->has_account || d == DIALECT_PREVIEW)
		return 0;
	return err_field(e, ERR_VALUE, "model", "a model of NovelAI, which the account is for",
			 "'%.80s'", o->model->id);
}

/* ---- parameters ---- */

static int
read_resolution(json_t *body, struct err *e)
{
	const json_t *v = json_object_get(body, "size");
	uint32_t width, height;
	char found[80];

	if (!json_is_string(v))
		return 0; /* none, or told where sizes are read */
	if (novelai_resolution(json_string_value(v), &width, &height) ||
	    num_size(json_string_value(v), 1, SIDE_MAX, &width, &height) == 0) {
		(void)json_object_set_new(body, "size", json_sprintf("%ux%u", width, height));
		return 0;
	}
	json_quote(v, found, sizeof(found));
	return err_field(e, ERR_VALUE, "resolution",
			 "portrait, landscape, square, one of them with small_, large_ or "
			 "wallpaper_ "
			 "in front, or WIDTHxHEIGHT",
			 "%s", found);
}

static int
read_parameters(struct task_older *o, struct err *e)
{
	const json_t *scale;

	for (size_t i = 0; i < NNAMES; i++) {
		json_t *v = json_object_get(o->given, names[i].older);

		if (v && !json_is_null(v))
			(void)json_object_set(o->body, names[i].name, v);
	}
	scale = json_object_get(o->body, "guidance");
	if (json_is_number(scale) && json_number_value(scale) == SCALE_OLD)
		(void)json_object_set_new(o->body, "guidance", json_real(SCALE_NEW));
	if (!json_object_get(o->body, "size") && !json_object_get(o->body, "image"))
		(void)json_object_set_new(o->body, "size", json_string("portrait"));
	return read_resolution(o->body, e);
}

int
task_older_read(struct request *r, const struct config *c, struct task_older *out, struct err *e)
{
	char *text = NULL;
	size_t n = 0;

	*out = (struct task_older){ 0 };
	if (request_json_text(r, &out->given, &text, &n, e) < 0)
		return -1;
	explicit_bzero(text, n);
	free(text);
	out->body = json_object();
	if (!out->body)
		return err_set(e, ERR_INTERNAL, "out of memory");
	if (read_account(out->given, &out->account, e) < 0 || choose_model(c, out, e) < 0)
		return -1;
	return read_parameters(out, e);
}
