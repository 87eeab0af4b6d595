#ifndef EASEL_PROVIDER_PICTURE_TEXT_H
#define EASEL_PROVIDER_PICTURE_TEXT_H
/*
 * picture_text - pictures that stand in a text as addresses
 *
 * What chat models answer when they make a picture: Markdown, "![any text](URL "title")"; else a bare URL that ends
 * in a picture's extension; else a data URL.  Links "[text](URL)" are none of them: relays put "[click to
 * download](URL)" behind a picture.  Thread-safe; nothing allocates.
 */
#include <stddef.h>

struct picture_text {
	const char *text, *end;
	/* picture_text's own */
	const char *at;
	int pass; /* Markdown first; bare ones only when there was no Markdown */
	unsigned found;
};

void picture_text_init(struct picture_text *t, const char *text, size_t n);

/* The next picture's address, n bytes of the text; NULL: there are no more. */
const char *picture_text_next(struct picture_text *t, size_t *n);

#endif
