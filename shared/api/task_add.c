#include "api/task_add.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "access/fingerprint.h"
#include "access/guesses.h"
#include "api/task_input.h"
#include "api/task_json.h"
#include "api/task_repeat.h"
#include "base/cleanup.h"
#include "base/id.h"
#include "http/peer.h"
#include "job/usual_time.h"
#include "net/upstream.h"

#define CALLBACK_URL_MAX 2048
#define QUEUE_RETRY_S    30

/* ---- lanes ---- */

/* The credential that a provider has, or NULL: several, *n of them, and the line sorts them out. */
static const char *
only_credential(const struct provider_conf *p, int64_t *n)
{
	const struct strings *of =
		p->api_keys.n && !provider_by_token(p) ? &p->api_keys : &p->tokens;

	*n = of->n ? (int64_t)of->n : 1;
	if (of->n)
		return of->n == 1 ? of->v[0] : NULL;
	return p->email ? p->email : "";
}

/* By what the account is told from others.  An address means the same one however it is written. */
static void
account_print(const char *credential, char print[FINGERPRINT_TEXT])
{
	char folded[320];
	size_t n = 0;

	for (; n < sizeof(folded) - 1 && credential[n]; n++)
		folded[n] = strchr(credential, '@') ? (char)tolower((unsigned char)credential[n])
						    : credential[n];
	fingerprint(folded, n, print);
	explicit_bzero(folded, sizeof(folded));
}

void
task_lane(const struct model_conf *m, const struct task_account *account, char lane[TASK_LANE_TEXT])
{
	const struct provider_conf *p = m->provider_conf;
	int64_t each = p->concurrency, n = 1, width;
	const char *credential = only_credential(p, &n);
	char print[FINGERPRINT_TEXT] = "all";
	int len;

	lane[0] = '\0';
	if (account) {
		credential = account->token && *account->token ? account->token : account->email;
		n = 1;
	}
	if (p->dialect == DIALECT_NOVELAI && !each)
		each = 1;
	if (!each)
		return;
	if (credential)
		account_print(credential, print);
	len = snprintf(lane, TASK_LANE_TEXT, "%.64s:%s", p->name, print);
	width = each * n;
	if (width > 1)
		(void)snprintf(lane + len, TASK_LANE_TEXT - (size_t)len, "*%lld", (long long)width);
}

/* ---- what is asked for ---- */

static bool
has_pictures(const json_t *body)
{
	static const char *const names[] = { "image", "images", "mask" };

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		const json_t *v = json_object_get(body, names[i]);

		if (v && !json_is_null(v))
			return true;
	}
	return false;
}

static int
read_body(struct request *r, struct image_engine *g, struct edit *ed, struct err *e)
{
	if (!has_pictures(ed->body))
		return image_params_read(ed->body, &ed->rq, &ed->model, e);
	if (edit_sources_json(ed->body, g, ed, request_deadline(r), request_ledger(r), e) < 0)
		return -1;
	return edit_settle(ed, g, request_deadline(r), e);
}

static int
judge_callback(const char *url, struct err *e)
{
	struct err why;

	if (!url)
		return 0;
	if (strlen(url) >= CALLBACK_URL_MAX)
		(void)err_set(&why, ERR_FETCH_REFUSED, "it is too long");
	else if (upstream_url_judge(url, &why) == 0)
		return 0;
	(void)err_set(e, ERR_URL_NOT_ALLOWED, "%s", why.about);
	(void)snprintf(e->param, sizeof(e->param), "callback_url");
	return -1;
}

/* A password is a guess; whether it was wrong is seen when its task is run (api/task_run.h). */
static int
judge_account(struct request *r, struct store *store, const struct task_account *a,
	      const struct model_conf *m, struct err *e)
{
	char peer[PEER_TEXT];
	struct guess g;

	if (!a || !*a->email)
		return 0;
	request_peer(r, peer);
	guess_of(&g, m->provider, a->email, peer);
	return guess_allowed(store, &g, request_deadline(r), e);
}

/* ---- the record ---- */

static char *
callback_text(const struct request *r, const char *url)
{
	char base[TASK_BASE_BYTES];
	json_auto_t *o = NULL;

	if (!url)
		return NULL;
	request_base_url(r, base, sizeof(base));
	o = json_pack("{s:s, s:s}", "url", url, "base", base);
	return o ? json_dumps(o, JSON_COMPACT) : NULL;
}

static int
fill(const struct request *r, const struct image_engine *g, const struct task_wish *wish,
     const struct edit *ed, const struct model_conf *m, struct task_record *t, struct err *e)
{
	int64_t usual_ms = usual_time_ms(m->id, 0);
	json_auto_t *progress = json_object();
	char peer[PEER_TEXT];

	id_make("task_", t->id, sizeof(t->id));
	(void)snprintf(t->request_id, sizeof(t->request_id), "%s", request_id(r));
	(void)snprintf(t->owner, sizeof(t->owner), "%s", request_principal(r)->id);
	(void)snprintf(t->model, sizeof(t->model), "%s", m->id);
	(void)snprintf(t->provider, sizeof(t->provider), "%s", m->provider);
	task_lane(m, wish->account, t->lane);
	t->created_ms = clock_wall_ms();
	if (usual_ms)
		(void)json_object_set_new(progress, "usual_s", json_integer(usual_ms / 1000));
	/* What was meant when it was asked: a default may be another by the time it runs. */
	(void)json_object_set_new(ed->body, "model", json_string(m->id));
	image_params_forget(ed->body);
	t->request = json_dumps(ed->body, JSON_COMPACT);
	t->progress = json_dumps(progress, JSON_COMPACT);
	t->callback = callback_text(r, wish->callback_url);
	if (!t->request || !t->progress || (wish->callback_url && !t->callback))
		return err_set(e, ERR_INTERNAL, "out of memory");
	request_peer(r, peer);
	if (task_account_seal(wish->account, peer, t, e) < 0)
		return -1;
	return task_input_save(g->config->state_dir, t->id, ed, &t->input, e);
}

static void
set_again(struct task_record *t, const struct idem_record *first)
{
	task_record_done(t);
	*t = (struct task_record){ 0 };
	(void)snprintf(t->id, sizeof(t->id), "%s", first->task_id);
}

static int
store_it(struct request *r, struct image_engine *g, struct store *store, struct task_repeat *repeat,
	 struct task_record *t, struct idem_record *first, struct err *e)
{
	struct task_add how = { .queue_length = (uint64_t)g->config->limits.queue_length };
	bool added = false;

	if (task_repeat_record(repeat, t->id, &how.idem, e) == 0 &&
	    store_task_add(store, t, &how, first, &added, request_deadline(r), e) == 0) {
		if (added)
			return 0;
		/* The same came in by another way, a moment ago. */
		task_input_remove(g->config->state_dir, t);
		if (repeat_compare(&repeat->repeat, first, e) < 0)
			return -1;
		set_again(t, first);
		return 0;
	}
	if (e->kind == ERR_RATE_LIMITED) {
		if (!e->retry_after_s)
			e->retry_after_s = QUEUE_RETRY_S;
		e->stage = "queue";
	}
	/* After ERR_STORE it may stand there all the same: whoever runs it then finds no pictures. */
	task_input_remove(g->config->state_dir, t);
	return -1;
}

int
task_add(struct request *r, struct image_engine *g, struct store *store,
	 const struct task_wish *wish, struct task_record *t, struct idem_record *first,
	 struct err *e)
{
	AUTO(edit) ed = { .body = json_incref(wish->body) };
	AUTO(task_repeat) repeat = { 0 };
	AUTO(image_job) job = { .rq = &ed.rq, .asked = wish->model };
	bool found;

	*t = (struct task_record){ 0 };
	*first = (struct idem_record){ 0 };
	if (judge_callback(wish->callback_url, e) < 0 || read_body(r, g, &ed, e) < 0 ||
	    task_repeat_open(&repeat, r, wish, &ed.rq, first, &found, e) < 0)
		return -1;
	if (found) {
		set_again(t, first);
		return 0;
	}
	job.model_asked = ed.model;
	if (image_check(g, &job, e) < 0 ||
	    judge_account(r, store, wish->account, job.asked, e) < 0 ||
	    request_images_take(r, ed.rq.n, e) < 0 || fill(r, g, wish, &ed, job.asked, t, e) < 0 ||
	    store_it(r, g, store, &repeat, t, first, e) < 0)
		return -1;
	if (!first->request_id[0])
		request_images_came(r, ed.rq.n);
	return 0;
}
