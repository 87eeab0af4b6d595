#ifndef EASEL_API_CHAT_SOURCES_H
#define EASEL_API_CHAT_SOURCES_H
/*
 * chat_sources - the pictures that a conversation names become files to start from
 *
 * Data URLs, URLs under the policy for what users give (job/source_fetch.h), and our own /files/…, which are
 * taken from the store itself: no address of ours needs to be reachable for that.
 *
 * Pictures of the last user message are what was asked for: one that cannot be had is the caller's error.
 * Those of the answer before it are used when there is none of these and the model can start from pictures, and
 * left out when they cannot be had any more.
 */
#include "api/chat_request.h"
#include "files/filestore.h"
#include "http/request.h"

struct chat_sources {
	struct source v[SOURCES_MAX];
	unsigned n;
};

/*
 * max: how many the model takes.  0, and *out is to be ended with chat_sources_done(); -1: ERR_UNSUPPORTED (the model
 * takes none), as source_fetch() with the place of the picture in `param`.
 */
int chat_sources_take(struct request *r, struct filestore *fs, const struct chat_turn *t,
		      unsigned max, struct chat_sources *out, struct err *e);
void chat_sources_done(struct chat_sources *s);

/* Is this the address of a stored picture, at `base` or without any host?  Fills id and type. */
bool chat_sources_own(const char *url, const char *base, struct picture *out);

#endif
