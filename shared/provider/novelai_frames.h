#ifndef EASEL_PROVIDER_NOVELAI_FRAMES_H
#define EASEL_PROVIDER_NOVELAI_FRAMES_H
/*
 * novelai_frames - reads a stream of frames while it arrives: a length of four bytes, big-endian, then one
 * msgpack map
 *
 * The maps are {"event_type","samp_ix","step_ix","gen_id","sigma","message","code","image"}, in any order;
 * other keys are skipped, whatever their values.  The bytes of "image" are handed on as they come, so that
 * memory stays constant.  Private to provider/.  One thread at a time.  Does not log.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

#define FRAME_TEXT 512

/* What a map has said so far. */
struct frame_said {
	char event[16]; /* "intermediate", "final", "error", … ; "" : not yet */
	char message[FRAME_TEXT];
	int64_t sample, step, code; /* -1: not said */
	bool image;                 /* there was one */
};

struct novelai_frames {
	/* Set by the caller.  Each returns 0, or -1 with *e filled, which ends it. */
	int (*image_begin)(void *self, const struct frame_said *so_far, struct err *e);
	int (*image_bytes)(void *self, const void *p, size_t n, struct err *e);
	int (*event)(void *self, const struct frame_said *said, struct err *e); /* a frame has ended */
	void *self;
	uint32_t frame_max; /* bytes of one frame */

	/* Its own. */
	struct frame_said said;
	uint32_t left;      /* bytes of this frame that are to come */
	uint64_t items;     /* keys and values of the map that are to come */
	uint64_t nested;    /* items of the value that is being skipped */
	int state;
	unsigned char type;
	unsigned char number[8]; /* a length or a number whose bytes are arriving */
	unsigned have, need;
	uint32_t data; /* bytes of a text or of a picture that are to come */
	char key[16];
	unsigned key_len;
	char *text; /* where the text that is arriving goes; NULL: nowhere */
	size_t text_size, text_len;
	bool is_key, is_image;
};

void novelai_frames_init(struct novelai_frames *f, uint32_t frame_max);

/* 0 or -1: ERR_UP_GARBAGE (no such stream), ERR_UP_TOO_LARGE, or what a callback said. */
int novelai_frames_feed(struct novelai_frames *f, const void *p, size_t n, struct err *e);

/* Did the input end between two frames? */
bool novelai_frames_whole(const struct novelai_frames *f);

#endif
