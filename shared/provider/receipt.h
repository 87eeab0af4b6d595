#ifndef EASEL_PROVIDER_RECEIPT_H
#define EASEL_PROVIDER_RECEIPT_H
/*
 * receipt - what became of each parameter
 *
 * The header x-easel-params: "size→aspect_ratio=3:2; response_format=served-here; style=dropped".
 * A parameter that was passed on as it came is not mentioned.  The later word on a parameter replaces
 * the earlier one.
 */
#include <jansson.h>
#include <stddef.h>

#include "base/buf.h"
#include "provider/image_request.h"

#define RECEIPT_NOTE    64 /* bytes of a note with its NUL: what is longer is cut */
#define RECEIPT_UNKNOWN 256

/* Begins zeroed; nothing is allocated before there is something to say.  Without memory it says nothing. */
struct receipt {
	struct receipt_words *words; /* receipt.c's own */
};

void receipt_done(struct receipt *r);

/* note: "dropped", "served-here", "→aspect_ratio=3:2", "=1024x1024". */
void receipt_note(struct receipt *r, enum image_param p, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
/* "" when it is kept or was not given; valid until the next note. */
const char *receipt_of(const struct receipt *r, enum image_param p);
/* Names of unknown parameters, "a, b", in the place of those before; at most RECEIPT_UNKNOWN - 1 bytes. */
void receipt_unknown(struct receipt *r, const char *names);
/* Writes the header's value; "" when there is nothing to say. */
void receipt_text(const struct receipt *r, char *out, size_t size);
/* The same as an object, {"size":"→aspect_ratio=3:2","style":"dropped"}, as a new reference. */
json_t *receipt_json(const struct receipt *r);
/* Adds that object's text.  0, or -1 as buf_add(). */
int receipt_json_text(const struct receipt *r, struct buf *b);

#endif
