#include "api/task_repeat.h"

#include <stdio.h>
#include <string.h>

#include "access/fingerprint.h"
#include "base/tick.h"

#define PAUSE_MS 100
#define LOOK_MS  1000 /* a retry may be quicker than the first one's record */

/* Which account it is, in a way that tells nothing about it. */
static json_t *
account_json(const struct task_account *a)
{
	const char *const texts[] = { a->token, a->email, a->password };
	json_t *list = json_array();
	char print[FINGERPRINT_TEXT];

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		const char *text = texts[i] ? texts[i] : "";

		fingerprint(text, strlen(text), print);
		(void)json_array_append_new(list, json_string(print));
	}
	return list;
}

static int
look(struct task_repeat *p, struct idem_record *first, bool *found, struct err *e)
{
	struct deadline d = deadline_sooner(request_deadline(p->repeat.r), LOOK_MS);

	for (;;) {
		if (repeat_peek(&p->repeat, first, found, e) < 0)
			return -1;
		if (*found || p->repeat.key || !p->repeat.retries || deadline_over(&d))
			return 0;
		(void)tick_pause(PAUSE_MS, false);
	}
}

int
task_repeat_open(struct task_repeat *p, struct request *r, const struct task_wish *wish,
		 const struct image_request *rq, struct idem_record *first, bool *found,
		 struct err *e)
{
	*p = (struct task_repeat){ .sent = json_copy(wish->body) };
	*found = false;
	if (!p->sent)
		return err_set(e, ERR_INTERNAL, "out of memory");
	if (wish->callback_url)
		(void)json_object_set_new(p->sent, "callback_url", json_string(wish->callback_url));
	if (wish->account)
		(void)json_object_set_new(p->sent, "account", account_json(wish->account));
	if (repeat_open(&p->repeat, r, p->sent, rq, request_budget_ms(r), e) < 0)
		return -1;
	return look(p, first, found, e);
}

void
task_repeat_done(struct task_repeat *p)
{
	json_decref(p->sent);
}

int
task_repeat_record(struct task_repeat *p, const char *task_id, const struct idem_record **out,
		   struct err *e)
{
	*out = NULL;
	if (!p->repeat.key && !p->repeat.may_retry)
		return 0;
	if (repeat_record(&p->repeat, task_id, &p->record, e) < 0)
		return -1;
	if (!p->repeat.key)
		p->record.expires_ms =
			p->record.created_ms + p->repeat.longest_ms + REPEAT_TAKEN_MS;
	*out = &p->record;
	return 0;
}
