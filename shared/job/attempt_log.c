#include "job/attempt_log.h"

#include <pthread.h>
#include <string.h>

#include "access/fingerprint.h"
#include "base/log.h"
#include "job/prompt_log.h"

#define PRINT_BYTES (FINGERPRINT_TEXT + 4)
#define KNOWN_MAX   16

/* "fp:7c1d90ab", or "fp:none" where no key is needed. */
static const char *
print_of(const char *credential, char out[PRINT_BYTES])
{
	memcpy(out, "fp:none", sizeof("fp:none"));
	if (*credential)
		fingerprint(credential, strlen(credential), out + 3);
	return out;
}

/*
 * The same of a key of the configuration, which lives as long as the process: worked out once for each, for as
 * many as there usually are.
 */
static const char *
known_print_of(const char *credential, char out[PRINT_BYTES])
{
	static struct {
		const char *credential;
		char print[PRINT_BYTES];
	} known[KNOWN_MAX];
	static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
	size_t i = 0;

	(void)pthread_mutex_lock(&lock);
	while (i < KNOWN_MAX && known[i].credential && known[i].credential != credential)
		i++;
	if (i == KNOWN_MAX) {
		(void)print_of(credential, out);
	} else {
		if (!known[i].credential)
			(void)print_of(credential, known[i].print);
		known[i].credential = credential;
		memcpy(out, known[i].print, PRINT_BYTES);
	}
	(void)pthread_mutex_unlock(&lock);
	return out;
}

void
attempt_log_start(const struct config *c, const struct image_job *job)
{
	const struct image_request *rq = job->rq;
	bool ws = !strcmp(job->mode, "ws");
	char prompt[PROMPT_LOG_BYTES], print[PRINT_BYTES];
	struct log_hold hold;

	prompt_log(c, rq->prompt, prompt);
	log_hold(&hold);
	log_info(job->request_id,
		 "Image generation: stream=%s, use_ws=%s, response_format=%s, n=%u, token=%s, "
		 "model=%s, provider=%s, prompt='%s'",
		 rq->stream ? "True" : "False", ws ? "True" : "False",
		 rq->response_format == RESPONSE_B64 ? "b64_json" : "url", rq->n,
		 job->credential ? print_of(job->call.credential, print)
				 : known_print_of(job->call.credential, print),
		 job->model->id, job->model->provider, prompt);
	if (job->model->provider_conf->dialect != DIALECT_PREVIEW)
		log_info(job->request_id, "Using %s mode for image generation (%s)",
			 ws ? "WebSocket" : "HTTP API", rq->stream ? "streaming" : "non-streaming");
	log_release(&hold);
}

void
attempt_log_note(const struct config *c, const struct image_job *job, const char *text)
{
	static const char place[] = "{prompt}";
	const char *at = strstr(text, place);
	char prompt[PROMPT_LOG_BYTES];

	if (!at) {
		log_info(job->request_id, "%s", text);
		return;
	}
	prompt_log(c, job->rq->prompt, prompt);
	log_info(job->request_id, "%.*s%s%s", (int)(at - text), text, prompt,
		 at + sizeof(place) - 1);
}

void
attempt_log_refusal(const struct image_job *job, const struct err *e)
{
	char print[PRINT_BYTES];

	if (job->model->provider_conf->dialect != DIALECT_GROK || e->upstream.status < 400)
		return;
	log_warn(job->request_id, "%s failed: status=%d, token=%s",
		 !strcmp(job->mode, "ws") ? "WebSocket" : "Chat", e->upstream.status,
		 print_of(job->call.credential, print));
}

void
attempt_log_again(const struct image_job *job)
{
	char print[PRINT_BYTES];

	log_info(job->request_id, "attempt %u of %s: provider=%s, key=%s, after %s",
		 job->attempts + 1, job->model->id, job->model->provider,
		 print_of(job->call.credential, print), job->after ? job->after : "-");
}

void
attempt_log_aside(const struct image_job *job, const char *credential, int64_t ms, const char *why)
{
	char print[PRINT_BYTES];

	log_warn(job->request_id, "key=%s of provider=%s is left aside for %lld s: %s",
		 print_of(credential, print), job->model->provider, (long long)(ms + 999) / 1000,
		 why);
}

void
attempt_log_degrade(const struct image_job *job, const char *step, const char *why)
{
	log_info(job->request_id, "degrade %s: %s, %s", job->model->id, step, why);
}
