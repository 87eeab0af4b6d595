#include "api/task_hook.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "access/key_file.h"
#include "api/task_json.h"
#include "base/cleanup.h"
#include "base/log.h"
#include "net/upstream.h"

#define SEND_MS   15000
#define LEASE_MS  60000 /* who claimed it and died: the next one tries after that */
#define STORE_MS  5000
#define TOLD_MAX  TASK_HOOK_TRIES
#define URL_BYTES 2048

static unsigned char key[KEY_FILE_BYTES];

int
task_hook_init(const char *state_dir, struct err *e)
{
	return key_file(state_dir, "webhook.key", key, e);
}

void
task_hook_secret(char out[HOOK_SECRET])
{
	(void)snprintf(out, HOOK_SECRET, "whsec_");
	(void)EVP_EncodeBlock((unsigned char *)out + 6, key, sizeof(key));
}

void
task_hook_sign(const char *id, int64_t timestamp, const char *body, size_t n,
	       char out[HOOK_SIGNATURE])
{
	AUTO(buf) text = BUF_INIT(n + 128);
	unsigned char mac[EVP_MAX_MD_SIZE];
	unsigned len = 0;

	(void)snprintf(out, HOOK_SIGNATURE, "v1,");
	if (buf_addf(&text, "%s.%lld.", id, (long long)timestamp) == 0 &&
	    buf_add(&text, body, n) == 0 &&
	    HMAC(EVP_sha256(), key, sizeof(key), (const unsigned char *)text.p, text.len, mac,
		 &len))
		(void)EVP_EncodeBlock((unsigned char *)out + 3, mac, (int)len);
}

int64_t
task_hook_pause_ms(int64_t tries)
{
	static const int64_t s[TASK_HOOK_TRIES - 1] = { 5, 30, 120, 600, 3600, 14400, 43200 };

	return tries < TASK_HOOK_TRIES ? s[tries > 0 ? tries - 1 : 0] * 1000 : -1;
}

static const char *
type_of(enum task_status status)
{
	switch (status) {
	case TASK_SUCCESS: return "task.succeeded";
	case TASK_REVOKED: return "task.revoked";
	default: return "task.failed";
	}
}

/* The body, the caller's; NULL: out of memory. */
static char *
body_of(const struct task_record *t, const char *base)
{
	char when[32];
	time_t ended = (time_t)(t->ended_ms / 1000);
	struct tm tm;
	json_auto_t *o = NULL;

	(void)strftime(when, sizeof(when), "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&ended, &tm));
	o = json_pack("{s:s, s:s, s:o}", "type", type_of(t->status), "timestamp", when, "data",
		      task_json(t, 0, base));
	return o ? json_dumps(o, JSON_COMPACT) : NULL;
}

/* 0: the receiver has answered, *status. */
static int
post(const struct task_record *t, const char *url, const char *body, int *status, struct err *e)
{
	char id[64], signature[HOOK_SIGNATURE], lines[3][128];
	const char *headers[] = { "Content-Type: application/json", lines[0], lines[1], lines[2],
				  NULL };
	AUTO(buf) answer = BUF_INIT(4096);
	int64_t now = (int64_t)time(NULL);
	struct deadline d = deadline_in_ms(SEND_MS);
	struct ledger ledger = { 0 };
	AUTO(upstream_head) head = { 0 };
	struct upstream_req rq = { .method = "POST",
				   .url = url,
				   .headers = headers,
				   .body = body,
				   .body_len = strlen(body),
				   .policy = UPSTREAM_PUBLIC,
				   .provider = "the webhook's receiver",
				   .item = LEDGER_FETCH };
	struct upstream_body to = upstream_to_buf(&answer);

	(void)snprintf(id, sizeof(id), "msg_%s", t->id);
	task_hook_sign(id, now, body, strlen(body), signature);
	(void)snprintf(lines[0], sizeof(lines[0]), "webhook-id: %s", id);
	(void)snprintf(lines[1], sizeof(lines[1]), "webhook-timestamp: %lld", (long long)now);
	(void)snprintf(lines[2], sizeof(lines[2]), "webhook-signature: %s", signature);
	if (upstream_call(&rq, &to, &head, &d, &ledger, e) < 0)
		return -1;
	*status = head.status;
	return 0;
}

/* Sends it and notes the outcome in the callback's text.  In how long the next try is due; -1: never. */
static int64_t
try_once(const struct task_record *t, json_t *callback)
{
	const char *url = json_string_value(json_object_get(callback, "url"));
	const char *base = json_string_value(json_object_get(callback, "base"));
	AUTO_FREE char *body = url && base ? body_of(t, base) : NULL;
	json_t *tries = json_object_get(callback, "tries");
	struct err e = { 0 };
	int status = 0, rc = body ? post(t, url, body, &status, &e) : -1;
	bool ok = rc == 0 && status >= 200 && status < 300;
	bool never = !body || status == 410 || (rc < 0 && e.kind == ERR_FETCH_REFUSED);

	if (!tries) {
		tries = json_array();
		(void)json_object_set_new(callback, "tries", tries);
	}
	if (json_array_size(tries) < TOLD_MAX)
		(void)json_array_append_new(tries, json_pack("{s:I, s:i, s:s}", "at",
							     (json_int_t)time(NULL), "status",
							     status, "code",
							     ok       ? "ok"
							     : rc < 0 ? err_code(&e)
								      : "refused"));
	if (ok)
		log_info(t->request_id, "task %s: its webhook was taken, try %lld", t->id,
			 (long long)t->callback_tries);
	else
		log_warn(t->request_id, "task %s: its webhook failed, try %lld: status=%d %s %s",
			 t->id, (long long)t->callback_tries, status, rc < 0 ? err_code(&e) : "",
			 e.about);
	return ok || never ? -1 : task_hook_pause_ms(t->callback_tries);
}

bool
task_hook_send(struct store *store)
{
	struct deadline d = deadline_in_ms(STORE_MS);
	struct task_record t = { 0 };
	json_auto_t *callback = NULL;
	AUTO_FREE char *text = NULL;
	bool found = false;
	int64_t due_in_ms;
	struct err e;

	if (store_task_callback(store, LEASE_MS, &t, &found, &d, &e) < 0 || !found)
		return false;
	callback = t.callback ? json_loads(t.callback, 0, NULL) : NULL;
	if (!callback)
		callback = json_object();
	due_in_ms = try_once(&t, callback);
	text = json_dumps(callback, JSON_COMPACT);
	d = deadline_in_ms(STORE_MS);
	if (store_task_callback_done(store, t.id, text, due_in_ms, &d, &e) < 0)
		log_warn(t.request_id, "task %s: its webhook's outcome cannot be written: %s", t.id,
			 e.detail);
	task_record_done(&t);
	return true;
}
