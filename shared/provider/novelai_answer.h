#ifndef EASEL_PROVIDER_NOVELAI_ANSWER_H
#define EASEL_PROVIDER_NOVELAI_ANSWER_H
/*
 * novelai_answer - receives whatever NovelAI answers with
 *
 * What it is shows in its first bytes, never in its Content-Type, which varies: JSON with pictures in
 * base64, a ZIP archive (which goes to a file without a name and is read when it is whole), a bare picture,
 * or frames with previews.  Memory stays constant.  Private to provider/.
 *
 *	AUTO(novelai_answer) a;
 *	novelai_answer_init(&a, call, steps);
 *	struct upstream_body body = novelai_answer_body(&a);
 *	rc = upstream_call(&rq, &body, &head, …);
 *	rc = novelai_answer_read(&a, rc, &f, e);
 */
#include "provider/novelai_frames.h"
#include "provider/picture_answer.h"
#include "provider/upstream_error.h"

struct novelai_answer {
	struct picture_answer base; /* JSON, and the text of a failure */
	enum {
		NOVELAI_SNIFFING,
		NOVELAI_JSON, /* or a failure */
		NOVELAI_ZIP,
		NOVELAI_BARE,
		NOVELAI_FRAMES
	} form;
	unsigned char first[4];
	unsigned nfirst;

	int spool; /* the archive; -1: none */
	uint64_t spooled;
	struct sink sink; /* a bare picture, or the final one of a stream */

	struct novelai_frames frames;
	unsigned steps;    /* that the picture takes, for choosing among previews */
	unsigned partials; /* handed on so far */
	enum { IMAGE_SKIPPED, IMAGE_PREVIEW, IMAGE_FINAL } image;
	struct intake intake; /* a preview, or a picture of which nobody has yet said what it is */
	struct source held;
	bool finished;    /* the final event came */
	bool stream_failed;
	struct frame_said failure;
};

void novelai_answer_init(struct novelai_answer *a, struct image_call *call, unsigned steps);
void novelai_answer_done(struct novelai_answer *a);
struct upstream_body novelai_answer_body(struct novelai_answer *a);

/*
 * After the call, which returned rc with *e.  0: one more picture is in the call.  -1: also when the call
 * had failed, but a picture that arrived whole is in the call then too.
 */
int novelai_answer_read(struct novelai_answer *a, int rc, const struct upstream_failure *f,
			struct err *e);

#endif
