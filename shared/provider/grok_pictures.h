#ifndef EASEL_PROVIDER_GROK_PICTURES_H
#define EASEL_PROVIDER_GROK_PICTURES_H
/*
 * grok_pictures - the pictures of Grok's WebSocket, from their first preview to the stored file
 *
 * Frames of different pictures interleave; which blob is the final one is often said only behind it, or
 * in another frame that may come first.  So the best blob of each picture is held in a file that nobody
 * can see yet, and becomes a picture when its state says so:
 *
 *	100 percent, or no percentage, and completed and not moderated    final
 *	100 percent and the same frame says that it is not moderated      final
 *	no frame of the socket has a percentage or a state (old servers)  final from FINAL_CHARS of base64
 *
 * A medium one never passes for final.  Private to provider/.  One thread at a time.
 */
#include "base/buf.h"
#include "files/answer_scan.h"
#include "files/sink.h"
#include "provider/grok_frame.h"
#include "provider/provider.h"

#define GROK_PICTURES_MAX 40     /* of one request; what comes beyond is not looked at */
#define FINAL_CHARS       100000 /* old clients' rule: about 75 kB */

enum grok_fate { FATE_OPEN, FATE_FINAL, FATE_MODERATED, FATE_BAD };

struct grok_picture {
	char id[GROK_ID];
	int place, percent;
	unsigned round;
	enum grok_fate fate;
	bool completed, clean; /* clean: its own frame says that it is not moderated */
	bool held;             /* there is a file */
	int fd;
	uint64_t chars; /* of base64 */
	struct picture picture;
};

struct grok_pictures {
	struct image_call *call;
	unsigned want; /* how many are to become final */
	unsigned n, finals, moderated, bad, round;
	int64_t heard_us, seen_us; /* when a picture's frame came last, of any kind or with a blob; 0: none
				      in this round */
	bool states, percents;     /* has any frame had them? */
	struct grok_picture v[GROK_PICTURES_MAX];
	struct err why; /* what was wrong with the first bad one */
	struct buf quote; /* of a message that was no JSON, or nobody knows */

	/* The message that is arriving. */
	struct answer_scan scan;
	struct sink sink;
	uint64_t chars;
	int64_t data_us; /* when its last piece came; 0: none arrives */
	int64_t store_us;
	bool blob, blob_bad;
	struct err blob_why;
};

void grok_pictures_init(struct grok_pictures *g, struct image_call *call, unsigned want);
/* Files that did not become pictures end. */
void grok_pictures_done(struct grok_pictures *g);

/* The pieces of a message (websocket_receive()'s data), then its end.  -1: ERR_STORAGE_FULL, … */
int grok_pictures_data(void *self, const char *p, size_t n, struct err *e);
/* *error: an error message, the caller's; else NULL. */
int grok_pictures_end(struct grok_pictures *g, json_t **error, struct err *e);

/* A new request for more: what is open is settled first. */
int grok_pictures_round(struct grok_pictures *g, struct err *e);

/* Is there, in this round, one whose fate is open? */
bool grok_pictures_open(const struct grok_pictures *g);
/* How many of this round have ended, one way or the other? */
unsigned grok_pictures_ended(const struct grok_pictures *g);

/* No more will come: a last look at what is held; then the finals go to the call, in their order. */
int grok_pictures_settle(struct grok_pictures *g, struct err *e);
void grok_pictures_deliver(struct grok_pictures *g);

#endif
