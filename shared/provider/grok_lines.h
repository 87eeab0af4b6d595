#ifndef EASEL_PROVIDER_GROK_LINES_H
#define EASEL_PROVIDER_GROK_LINES_H
/*
 * grok_lines - what the lines of JSON say with which grok.com's page is answered over HTTP
 *
 * One object a line, perhaps behind "data:"; the pictures' addresses stand in any of several places:
 * generatedImageUrls, imageUrls, imageURLs (a list or a text), imageUrl beside progress and moderated, also
 * in a text that is JSON itself (jsonData).  Lines arrive in pieces of any size; no more than one is kept.
 * Private to provider/.  One thread at a time.
 */
#include <jansson.h>
#include <stdbool.h>

#include "base/buf.h"
#include "base/err.h"

#define GROK_URLS_MAX   16
#define GROK_LINE_BYTES (256 * 1024) /* more is ERR_UP_TOO_LARGE */

struct grok_lines {
	struct buf line;
	char *urls[GROK_URLS_MAX]; /* of final pictures, each once, in their order */
	unsigned nurls, moderated;
	json_t *error; /* the first object that holds one; NULL: none */
	bool json;     /* was any line JSON? */
	char quote[200]; /* of the first that was not */
};

void grok_lines_init(struct grok_lines *g);
void grok_lines_done(struct grok_lines *g);

/* 0, or -1: ERR_UP_TOO_LARGE, ERR_INTERNAL. */
int grok_lines_feed(struct grok_lines *g, const char *p, size_t n, struct err *e);
/* The last line may lack its end. */
void grok_lines_end(struct grok_lines *g);

#endif
