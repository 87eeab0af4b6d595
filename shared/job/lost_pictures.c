/* Pictures whose process died before it had written their records. */
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "job/intent.h"
#include "job/lost_job.h"
#include "job/picture_record.h"

/* Those that are there: others had not got their name yet, or were converted. */
static unsigned
there(struct image_engine *g, const struct intent_lost *l, struct picture out[IMAGES_MAX])
{
	unsigned n = 0;

	for (unsigned i = 0; i < l->nmade && n < IMAGES_MAX; i++)
		if (filestore_bytes(g->files, &l->made[i]) >= 0)
			out[n++] = l->made[i];
	return n;
}

static int
record(struct image_engine *g, const struct intent_lost *l, struct image_job *job,
       struct image_request *rq, const struct deadline *d, struct err *e)
{
	json_auto_t *body = json_loads(l->made_request, 0, NULL);
	const char *model;
	struct err ignored;

	if (!body || image_params_read(body, rq, &model, &ignored) < 0) {
		image_params_init(rq);
		rq->prompt = "";
	}
	job->rq = rq;
	job->request_id = l->job.request_id;
	job->key_id = l->job.key_id;
	if (picture_note_store(g->store, job, l->task_id[0] ? l->task_id : NULL, l->job.created_ms,
			       d, e) < 0)
		return -1;
	log_info(job->request_id,
		 "%u pictures of a process that died have their records, the first is %s",
		 job->call.nimages, job->call.images[0].id);
	return 0;
}

int
lost_pictures_record(struct image_engine *g, const struct intent_lost *l, const struct deadline *d,
		     struct err *e)
{
	struct {
		struct image_job job;
		struct image_request rq;
	} * of;
	int rc = 0;

	if (!l->nmade)
		return 0;
	of = calloc(1, sizeof(*of));
	if (!of)
		return err_set(e, ERR_INTERNAL, "out of memory");
	of->job.call.nimages = there(g, l, of->job.call.images);
	of->job.model = config_model(g->config, l->job.model);
	if (of->job.call.nimages && of->job.model)
		rc = record(g, l, &of->job, &of->rq, d, e);
	else if (of->job.call.nimages)
		log_warn(l->job.request_id,
			 "%u pictures stay without a record: there is no model %s now",
			 of->job.call.nimages, l->job.model);
	free(of);
	return rc;
}
