#include "api/task_account.h"

#include <string.h>

#include "access/seal.h"

static void
wipe(json_t *o)
{
	static const char *const names[] = { "token", "email", "password" };

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		const json_t *v = json_object_get(o, names[i]);

		if (json_is_string(v))
			explicit_bzero((char *)json_string_value(v), json_string_length(v));
	}
	json_decref(o);
}

int
task_account_seal(const struct task_account *a, const char *peer, struct task_record *t,
		  struct err *e)
{
	json_t *o;
	char *text;
	int rc;

	if (!a)
		return 0;
	o = a->token && *a->token ? json_pack("{s:s}", "token", a->token)
				  : json_pack("{s:s, s:s, s:s}", "email", a->email, "password",
					      a->password, "peer", peer);
	text = json_dumps(o, JSON_COMPACT);
	rc = text ? seal(t->id, text, strlen(text), &t->secret, e)
		  : err_set(e, ERR_INTERNAL, "out of memory");
	seal_wipe(&text);
	wipe(o);
	return rc;
}

int
task_account_open(const struct task_record *t, struct task_account_opened *out, struct err *e)
{
	*out = (struct task_account_opened){ 0 };
	if (!t->secret.len)
		return 0;
	if (seal_open(t->id, &t->secret, &out->text, e) < 0)
		return -1;
	out->o = json_loads(out->text, 0, NULL);
	out->credential = json_string_value(json_object_get(out->o, "token"));
	if (!out->credential)
		out->credential = json_string_value(json_object_get(out->o, "email"));
	out->password = json_string_value(json_object_get(out->o, "password"));
	out->peer = json_string_value(json_object_get(out->o, "peer"));
	if (!out->peer)
		out->peer = "";
	return out->credential ? 0 : err_set(e, ERR_INTERNAL, "a sealed credential");
}

void
task_account_opened_done(struct task_account_opened *a)
{
	wipe(a->o);
	seal_wipe(&a->text);
	*a = (struct task_account_opened){ 0 };
}
