#include "api/image_common.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "http/reply.h"
#include "job/intent.h"
#include "job/picture_record.h"

/* The caller has its answer. */
static void
forget(void *intent)
{
	intent_release(intent);
}

struct image_job
image_common_job(struct request *r)
{
	return (struct image_job){ .request_id = request_id(r),
				   .key_id = request_principal(r)->id,
				   .deadline = *request_deadline(r),
				   .budget_ms = request_budget_ms(r),
				   .ledger = request_ledger(r) };
}

int
image_common_run(struct request *r, struct image_engine *g, struct image_job *job,
		 const char *task_id, struct err *e)
{
	struct picture_note *note;
	int rc;

	rc = request_images_take(r, job->rq->n, e) < 0 ? -1 : image_run(g, job, e);
	note = picture_note_make(g->records, job, *task_id ? task_id : NULL);
	if (note)
		request_after(r, picture_note_write, note);
	else
		request_after(r, forget, job->intent);
	request_images_came(r, job->call.nimages);
	return rc;
}

void
image_common_headers(struct request *r, const struct image_job *job)
{
	char receipt[1500];

	if (job->model)
		reply_header(r, "x-easel-model", "%s", job->model->id);
	if (job->attempts) {
		reply_header(r, "x-easel-attempts", "%u", job->attempts);
		reply_header(r, "x-easel-mode", "%s", job->mode);
	}
	receipt_text(&job->receipt, receipt, sizeof(receipt));
	if (receipt[0])
		reply_header(r, "x-easel-params", "%s", receipt);
}

void
image_common_member(struct buf *b, const char *name, const char *value)
{
	(void)buf_adds(b, ",\"");
	(void)buf_adds(b, name);
	(void)buf_adds(b, "\":");
	(void)json_text_string(b, value, strlen(value));
}

void
image_common_facts(const struct image_job *job, struct buf *b, enum picture_type type,
		   uint32_t width, uint32_t height)
{
	const struct image_call *call = &job->call;
	const char *quality = call->quality[0] ? call->quality : job->rq->quality;
	const char *background = call->background[0] ? call->background : job->rq->background;

	(void)buf_addf(b, "\",\"created_at\":%lld,\"size\":\"%ux%u\",\"output_format\":\"%s\"",
		       (long long)(job->created ? job->created : time(NULL)), width, height,
		       picture_format(type));
	image_common_member(b, "quality", quality ? quality : "auto");
	image_common_member(b, "background", background ? background : "auto");
}

static int64_t
said(int64_t n)
{
	return n > 0 ? n : 0;
}

struct image_usage
image_common_tokens(const struct image_call *call)
{
	struct image_usage u = { .total = said(call->usage_total),
				 .input = said(call->usage_input),
				 .output = said(call->usage_output),
				 .input_text = said(call->usage_input_text),
				 .input_image = said(call->usage_input_image) };

	if (u.total < u.input + u.output)
		u.total = u.input + u.output;
	return u;
}

void
image_common_usage(struct buf *b, const struct image_usage *u)
{
	(void)buf_addf(b,
		       ",\"usage\":{\"total_tokens\":%lld,\"input_tokens\":%lld,"
		       "\"output_tokens\":%lld,\"input_tokens_details\":{"
		       "\"text_tokens\":%lld,\"image_tokens\":%lld}}",
		       (long long)u->total, (long long)u->input, (long long)u->output,
		       (long long)u->input_text, (long long)u->input_image);
}

void
image_common_url(const struct request *r, const struct picture *p, char out[IMAGE_URL_BYTES])
{
	char base[IMAGE_URL_BYTES - PICTURE_PATH], path[PICTURE_PATH];

	request_base_url(r, base, sizeof(base));
	picture_path(p, path);
	(void)snprintf(out, IMAGE_URL_BYTES, "%s%s", base, path);
}

json_t *
image_common_came(const struct request *r, const struct image_job *job)
{
	json_t *images;
	char url[IMAGE_URL_BYTES];

	if (!job->call.nimages)
		return NULL;
	images = json_array();
	for (unsigned i = 0; i < job->call.nimages; i++) {
		image_common_url(r, &job->call.images[i], url);
		(void)json_array_append_new(images, json_pack("{s:s}", "url", url));
	}
	return json_pack("{s:o}", "images", images);
}

int
image_common_fail(struct request *r, const struct image_job *job, struct err *e)
{
	if (!job->call.nimages || request_is_answered(r))
		return -1;
	reply_failure_with(r, e, image_common_came(r, job));
	return 0;
}
