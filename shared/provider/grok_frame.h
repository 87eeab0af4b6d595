#ifndef EASEL_PROVIDER_GROK_FRAME_H
#define EASEL_PROVIDER_GROK_FRAME_H
/*
 * grok_frame - what one message of Grok's WebSocket says
 *
 * {"type":"image","id","job_id","url","blob","percentage_complete","order","moderated",…},
 * {"type":"json","current_status":"start_stage"|"completed","image_id","moderated",…},
 * {"type":"error","err_code","err_msg"}.  Clients of different years know different members, so every
 * one but the type may be missing, and what is not known is FRAME_OTHER.  Private to provider/.
 * Thread-safe.
 */
#include <jansson.h>
#include <stdbool.h>

#define GROK_ID 64 /* bytes with the NUL */

enum grok_frame_type { FRAME_OTHER, FRAME_IMAGE, FRAME_STATUS, FRAME_ERROR };

struct grok_frame {
	enum grok_frame_type type;
	char id[GROK_ID]; /* image_id, job_id, id, or of the URL; "" when none is said */
	int place;        /* side_by_side_index, order or grid_index; -1: not said */
	int percent;      /* -1: not said */
	int moderated;    /* 0, 1; -1: not said */
	bool completed;   /* current_status */
	bool blob;        /* there is a picture in it */
};

void grok_frame_read(const json_t *root, struct grok_frame *f);

#endif
