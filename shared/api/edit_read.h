#ifndef EASEL_API_EDIT_READ_H
#define EASEL_API_EDIT_READ_H
/*
 * edit_read - what POST /v1/images/edits was sent: pictures, a mask, parameters
 *
 * multipart/form-data, whose pictures stream to the disk, or application/json, whose pictures are data
 * URLs or public URLs.  The parameters of both are read by the same table (job/image_params.c).
 */
#include "http/request.h"
#include "job/image_run.h"

struct edit {
	struct image_request rq;
	const char *model; /* as the caller named it; NULL: the default */
	json_t *body;      /* owns the texts; without its pictures */
	struct source sources[SOURCES_MAX], mask;
	unsigned nsources;
};

/*
 * 0: *out is the caller's, to be ended with edit_done(), as it is after -1.
 * -1: what request_json() or request_multipart(), image_params_read(), source_fetch() and intake_…() say;
 * ERR_MISSING without a picture, ERR_VALUE for more than SOURCES_MAX or a mask that does not fit,
 * ERR_UNSUPPORTED for a file_id.
 */
int edit_read(struct request *r, struct image_engine *g, struct edit *out, struct err *e);
void edit_done(struct edit *ed);

/*
 * The pictures of a JSON body: `images` [{"image_url":"…"}], or `image` (a string, or an array of them),
 * and `mask`.  They are taken out of the body, which holds megabytes of them.
 */
int edit_sources_json(json_t *body, struct image_engine *g, struct edit *out,
		      const struct deadline *d, struct ledger *ledger, struct err *e);

/*
 * When the pictures are read: what they tell about their maker is taken out, and does the mask fit?  Then
 * they are the request's.  0 or -1: ERR_VALUE, or as source_clean().
 */
int edit_settle(struct edit *ed, struct image_engine *g, const struct deadline *d, struct err *e);

#endif
